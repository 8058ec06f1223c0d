//! How the rate goes with the duration of an utterance and with how fast is spoken.
#![forbid(unsafe_code)]

use super::plot::{Axis, scatter};
use super::rates::{Row, Scale, legend, table};
use super::{Heard, Material};
use crate::score::Report;
use maud::{Markup, html};

/// Where bins of seconds begin.
const SECONDS: [f64; 8] = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0];
/// Where bins of phones a second begin.
const PHONES: [f64; 8] = [0.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0];
/// Where bins of words a second begin.
const WORDS: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];

/// The whole section.
pub fn section(material: &Material<'_>, heard: &[Heard<'_>], report: &Report) -> Markup {
    let overall = report.total.per();
    let rate = |one: &Heard<'_>| one.score.reference as f64 / one.recognized.seconds.max(0.01);
    let speech = if material.symbol() == "phone" { &PHONES[..] } else { &WORDS[..] };
    let (symbols, symbol) = (format!("{} a second", material.unit), material.symbol());
    html! {
        h3 { "Duration" }
        (Binned::new(heard, &SECONDS, |one| one.recognized.seconds).draw("seconds", symbol, overall))
        h3 { "Rate of speech" }
        p { "Symbols of the reference by seconds of the recording, its silences included." }
        (Binned::new(heard, speech, rate).draw(&symbols, symbol, overall))
        (legend())
    }
}

/// Utterances in bins of something that can be measured.
struct Binned {
    rows: Vec<Row>,
    spans: Vec<(f64, f64)>,
    dots: Vec<(f64, f64)>,
    end: f64,
}

impl Binned {
    /// `starts` are where bins begin, from 0; the last is open.
    fn new<'a>(heard: &[Heard<'a>], starts: &[f64], value: impl Fn(&Heard<'a>) -> f64) -> Self {
        // A few far ones would press all others together.
        let mut values: Vec<f64> = heard.iter().map(&value).collect();
        values.sort_by(f64::total_cmp);
        let end = values.get((values.len() * 199 / 200).min(values.len().saturating_sub(1))).copied().unwrap_or(1.0);
        let mut binned = Self { rows: Vec::new(), spans: Vec::new(), dots: Vec::new(), end: end.ceil().max(1.0) };
        for (n, start) in starts.iter().enumerate() {
            let next = starts.get(n + 1).copied();
            let inside: Vec<&Heard<'_>> =
                heard.iter().filter(|one| value(one) >= *start && next.is_none_or(|next| value(one) < next)).collect();
            if inside.is_empty() {
                continue;
            }
            let name = next.map_or_else(|| format!("{start} and more"), |next| format!("{start} to {next}"));
            binned.rows.push(Row::of(name, inside));
            binned.spans.push((*start, next.unwrap_or(f64::MAX)));
        }
        binned.dots = heard.iter().map(|one| (value(one), one.score.per())).collect();
        binned
    }

    fn draw(&self, what: &str, symbol: &str, overall: f64) -> Markup {
        let steps =
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|step| self.end / step <= 8.0).unwrap_or(500.0);
        let steps_of = (self.end / steps).ceil();
        let x = Axis { name: what.to_owned(), end: steps_of * steps, steps: steps_of as usize };
        let bins: Vec<_> = self.spans.iter().copied().zip(self.rows.iter().map(|row| row.score.per())).collect();
        html! {
            (scatter(&x, &format!("Error rate by {what}"), &self.dots, &bins))
            (table(what, symbol, &self.rows, Scale::of(&self.rows, overall)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Utterance;
    use crate::evaluate::Recognized;
    use crate::score::Score;

    #[test]
    fn every_utterance_lies_in_a_bin() {
        let utterance = Utterance::default();
        let recognized: Vec<Recognized> =
            [0.0, 0.5, 1.0, 4.0, 100.0].map(|seconds| Recognized { seconds, ..Recognized::default() }).into();
        let heard = |recognized| Heard { score: Score::default(), recognized, utterance: &utterance };
        let heard: Vec<Heard<'_>> = recognized.iter().map(heard).collect();
        let binned = Binned::new(&heard, &SECONDS, |one| one.recognized.seconds);
        let found: Vec<_> = binned.rows.iter().map(|row| (row.name.as_str(), row.utterances)).collect();
        assert_eq!(found, [("0 to 1", 2), ("1 to 2", 1), ("3 to 5", 1), ("20 and more", 1)]);
    }
}
