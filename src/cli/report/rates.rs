//! Tables of error rates, a group of utterances a row, each with a picture of its rate and interval.
#![forbid(unsafe_code)]

use super::{Heard, SEED};
use crate::score::{FEWEST, Score, interval};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The errors of some utterances together.
pub struct Row {
    pub name: String,
    pub score: Score,
    pub utterances: usize,
    pub speakers: usize,
    pub interval: Option<(f64, f64)>,
}

impl Row {
    /// Speakers are drawn where there are enough of them, else utterances, else there is no interval.
    pub fn of<'a>(name: impl Into<String>, heard: impl IntoIterator<Item = &'a Heard<'a>>) -> Self {
        let (mut score, mut utterances) = (Score::default(), Vec::new());
        let mut speakers: BTreeMap<&str, Score> = BTreeMap::new();
        for one in heard {
            score += one.score;
            utterances.push(one.score);
            *speakers.entry(&one.recognized.speaker).or_default() += one.score;
        }
        let by_speaker: Vec<Score> = speakers.into_values().collect();
        let drawn = if by_speaker.len() >= FEWEST { &by_speaker } else { &utterances };
        let interval = interval(drawn, SEED);
        Self { name: name.into(), score, utterances: utterances.len(), speakers: by_speaker.len(), interval }
    }

    /// The highest value that its picture shows.
    fn highest(&self) -> f64 {
        let high = self.interval.map_or(0.0, |(_, high)| high).max(self.score.per());
        if high.is_finite() { high } else { 0.0 }
    }
}

/// What the pictures of a table show.
#[derive(Clone, Copy)]
pub struct Scale {
    /// The rate of the whole set, where a line stands.
    overall: f64,
    /// They begin at 0 and end here.
    end: f64,
}

impl Scale {
    /// One that has room for all of `rows`.
    pub fn of(rows: &[Row], overall: f64) -> Self {
        Self { overall, end: round_end(rows.iter().map(Row::highest).fold(overall, f64::max)) }
    }
}

/// A table of rows. `what` heads the first column, `symbol` is what is counted.
pub fn table(what: &str, symbol: &str, rows: &[Row], scale: Scale) -> Markup {
    html! {
        div.scroll {
            table.rates {
                thead {
                    tr {
                        th scope="col" { (what) }
                        th.number scope="col" { "error rate" }
                        th.bar scope="col" { span.axis { span { "0" } span { (scale.end) " %" } } }
                        th.number scope="col" { "95 % interval" }
                        th.number.wide scope="col" { "sub" }
                        th.number.wide scope="col" { "del" }
                        th.number.wide scope="col" { "ins" }
                        th.number.wide scope="col" { (symbol) "s" }
                        th.number.wide scope="col" { "utterances" }
                    }
                }
                tbody { @for row in rows { (line(row, scale)) } }
            }
        }
    }
}

fn line(row: &Row, scale: Scale) -> Markup {
    let Score { substitutions, deletions, insertions, reference } = row.score;
    let share = |count: usize| format!("{:.1} %", 100.0 * count as f64 / reference.max(1) as f64);
    html! {
        tr {
            th scope="row" { (row.name) }
            td.number { (percent(row.score.per())) }
            td.bar { (bar(row, scale)) }
            td.number {
                @match row.interval {
                    Some(interval) => {
                        (span(interval)) @if row.speakers < FEWEST { sup title="utterances drawn" { "u" } }
                    }
                    None => { span.quiet { "too few" } }
                }
            }
            td.number.wide { (share(substitutions)) }
            td.number.wide { (share(deletions)) }
            td.number.wide { (share(insertions)) }
            td.number.wide { (reference) }
            td.number.wide { (row.utterances) }
        }
    }
}

/// A bar up to the rate, a whisker over its interval, and a line where the rate of all lies.
fn bar(row: &Row, Scale { overall, end }: Scale) -> Markup {
    let place = |rate: f64| format!("{:.2}%", (100.0 * rate / end).clamp(0.0, 100.0));
    let said = match row.interval {
        Some(interval) => format!("{}, interval {}", percent(row.score.per()), span(interval)),
        None => percent(row.score.per()),
    };
    html! {
        svg.bar role="img" aria-label=(said) width="100%" height="18" {
            rect.amount x="0" y="4" height="10" width=(place(row.highest().min(row.score.per()))) {}
            line.overall x1=(place(overall)) x2=(place(overall)) y1="0" y2="18" {}
            @if let Some((low, high)) = row.interval {
                line.whisker x1=(place(low)) x2=(place(high)) y1="9" y2="9" {}
                line.whisker x1=(place(low)) x2=(place(low)) y1="5" y2="13" {}
                line.whisker x1=(place(high)) x2=(place(high)) y1="5" y2="13" {}
            }
        }
    }
}

/// What the marks of [`table`] mean.
pub fn legend() -> Markup {
    html! {
        p.note {
            "The whisker is the 95 % interval, the dashed line the rate of the whole set. Intervals come from drawing "
            "speakers anew; those marked " sup { "u" } ", of fewer than five speakers, from drawing utterances, and say "
            "nothing about other speakers."
        }
    }
}

/// The end of an axis from 0 that covers `highest`.
pub fn round_end(highest: f64) -> f64 {
    let steps = [5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0, 200.0];
    steps.into_iter().find(|end| highest <= *end).unwrap_or((highest / 100.0).ceil() * 100.0)
}

/// A rate.
pub fn percent(rate: f64) -> String {
    if rate.is_finite() { format!("{rate:.1} %") } else { "no reference".to_owned() }
}

/// An interval.
pub fn span((low, high): (f64, f64)) -> String {
    format!("{low:.1} to {high:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.0, 5.1, 37.0, 199.0, 250.0].map(round_end), [5.0, 10.0, 40.0, 200.0, 300.0]);
        assert_eq!((percent(12.345), percent(f64::INFINITY)), ("12.3 %".to_owned(), "no reference".to_owned()));
    }

    #[test]
    fn a_rate_of_nothing_is_drawn() {
        let score = Score { insertions: 2, ..Score::default() };
        let row = Row { name: "<x>".into(), score, utterances: 1, speakers: 1, interval: None };
        let table = table("what", "phone", &[row], Scale { overall: 10.0, end: 20.0 }).into_string();
        assert!(table.contains("&lt;x&gt;") && table.contains("too few") && !table.contains("inf"));
    }
}
