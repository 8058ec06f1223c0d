//! Rates by speaker, and by every column of the corpus that divides it into a few groups: sex, dialect, age and others.
#![forbid(unsafe_code)]

use super::rates::{Row, Scale, legend, percent, table};
use super::{Heard, Material, plot};
use crate::score::Report;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// With more speakers, only so many of the best and the worst are listed.
const SPEAKERS: usize = 60;
const ENDS: usize = 20;
/// With fewer speakers there is no histogram.
const HISTOGRAM: usize = 10;
/// A column divides the corpus if it has so many values at most.
const GROUPS: usize = 12;
/// Columns that say something else.
const OTHERS: [&str; 7] = ["path", "text", "speaker", "seconds", "start", "end", "id"];
/// Ages are put together to those below each, and the rest.
const BANDS: [(f64, &str); 6] = [
    (8.0, "under 8"),
    (12.0, "8 to 11"),
    (16.0, "12 to 15"),
    (30.0, "16 to 29"),
    (50.0, "30 to 49"),
    (f64::MAX, "50 and over"),
];

/// The rate of each speaker.
pub fn speakers(heard: &[Heard<'_>], report: &Report, symbol: &str) -> Markup {
    let mut of: BTreeMap<&str, Vec<&Heard<'_>>> = BTreeMap::new();
    heard.iter().for_each(|one| of.entry(&one.recognized.speaker).or_default().push(one));
    if of.keys().all(|name| name.is_empty()) {
        return html! { p { "The corpus does not say who speaks." } };
    }
    let name = |name: &str| if name.is_empty() { "(not named)" } else { name }.to_owned();
    let mut rows: Vec<Row> = of.into_iter().map(|(speaker, heard)| Row::of(name(speaker), heard)).collect();
    rows.sort_by(|a, b| b.score.per().total_cmp(&a.score.per()));
    let overall = report.total.per();
    let rates: Vec<f64> = rows.iter().map(|row| row.score.per()).filter(|rate| rate.is_finite()).collect();
    let scale = Scale::of(&rows, overall);
    let best = if rows.len() > SPEAKERS { rows.split_off(rows.len() - ENDS) } else { Vec::new() };
    let left_out = if best.is_empty() { 0 } else { rows.len() - ENDS };
    rows.truncate(if best.is_empty() { rows.len() } else { ENDS });
    html! {
        @if let [highest, .., lowest] = rates[..] {
            p {
                (rates.len()) " speakers, from " (percent(lowest)) " to " (percent(highest)) "; the one in the middle has "
                (percent(rates[rates.len() / 2])) "."
            }
        }
        @if rates.len() >= HISTOGRAM { (plot::histogram(&rates, overall)) }
        @if !best.is_empty() { h3 { "The " (ENDS) " with the highest rates" } }
        (table("speaker", symbol, &rows, scale))
        @if !best.is_empty() {
            h3 { "The " (ENDS) " with the lowest rates" }
            p.quiet { (left_out) " speakers between them are not listed." }
            (table("speaker", symbol, &best, scale))
        }
        (legend())
    }
}

/// The rates of the groups that the columns make; nothing if none does.
pub fn columns(material: &Material<'_>, heard: &[Heard<'_>], report: &Report) -> Option<Markup> {
    let names = material.manifest.columns.iter().enumerate();
    let useful = names.filter(|(_, name)| {
        !OTHERS.contains(&name.as_str()) && !name.starts_with("phones") && *name != material.column
    });
    let mut columns: Vec<(&str, Vec<Row>)> =
        useful.filter_map(|(place, name)| Some((name.as_str(), groups(name, place, heard)?))).collect();
    columns.sort_by_key(|(name, _)| rank(name));
    let overall = report.total.per();
    (!columns.is_empty()).then(|| {
        html! {
            @for (name, rows) in columns {
                h3 { (name) }
                (table(name, material.symbol(), &rows, Scale::of(&rows, overall)))
            }
            (legend())
        }
    })
}

/// What is asked for most comes first.
fn rank(column: &str) -> usize {
    ["gender", "sex", "dialect", "age"].iter().position(|name| column.eq_ignore_ascii_case(name)).unwrap_or(4)
}

/// The groups of one column, if they are some and not too many.
fn groups(name: &str, place: usize, heard: &[Heard<'_>]) -> Option<Vec<Row>> {
    let value =
        |one: &Heard<'_>| one.utterance.fields.get(place).map_or(String::new(), |field| field.trim().to_owned());
    let is_age = name.eq_ignore_ascii_case("age") && heard.iter().any(|one| value(one).parse::<f64>().is_ok());
    let mut groups: BTreeMap<(usize, String), Vec<&Heard<'_>>> = BTreeMap::new();
    for one in heard {
        let value = value(one);
        let key = match band(&value).filter(|_| is_age) {
            Some(band) => band,
            None if value.is_empty() => (BANDS.len() + 1, "(not given)".to_owned()),
            None => (BANDS.len(), value),
        };
        groups.entry(key).or_default().push(one);
    }
    if !(2..=GROUPS).contains(&groups.len()) {
        return None;
    }
    Some(groups.into_iter().map(|((_, name), heard)| Row::of(name, heard)).collect())
}

/// The band of an age, and its place among them.
fn band(age: &str) -> Option<(usize, String)> {
    let age: f64 = age.parse().ok().filter(|age: &f64| age.is_finite())?;
    let place = BANDS.iter().position(|(below, _)| age < *below)?;
    Some((place, BANDS[place].1.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Utterance;
    use crate::evaluate::Recognized;
    use crate::score::Score;

    fn names(column: &str, values: &[&str]) -> Option<Vec<String>> {
        let utterance = |value: &&str| Utterance { fields: vec![(*value).to_owned()], ..Utterance::default() };
        let (utterances, recognized) = (values.iter().map(utterance).collect::<Vec<_>>(), Recognized::default());
        let heard = |utterance| Heard { score: Score::default(), recognized: &recognized, utterance };
        let heard: Vec<_> = utterances.iter().map(heard).collect();
        Some(groups(column, 0, &heard)?.into_iter().map(|row| row.name).collect())
    }

    #[test]
    fn ages_are_put_into_bands_in_their_order() {
        let found = names("Age", &["50", "7.5", "8", "11", "", "29"]);
        assert_eq!(found.expect("groups"), ["under 8", "8 to 11", "16 to 29", "50 and over", "(not given)"]);
        assert_eq!(names("age", &["child", "adult"]).expect("groups"), ["adult", "child"]);
    }

    #[test]
    fn columns_that_do_not_divide_are_left_out() {
        assert_eq!(names("x", &["a", "a"]), None);
        let many: Vec<String> = (0..=GROUPS).map(|n| n.to_string()).collect();
        assert_eq!(names("x", &many.iter().map(String::as_str).collect::<Vec<_>>()), None);
        assert!(rank("Sex") < rank("dialect") && rank("age") < rank("kind"));
    }
}
