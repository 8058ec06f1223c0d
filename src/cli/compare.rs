//! `formant compare`: two systems on the same utterances, and whether the difference is one.
#![forbid(unsafe_code)]

use super::Outcome;
use super::args::CompareArgs;
use super::output::{self, Table};
use crate::evaluate::{Recognized, Results, report};
use crate::phones::Folding;
use crate::score::{Comparison, Protocol, Report, compare};
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;

/// Seed of the draws, so that a figure can be made again.
const SEED: u64 = 1;
/// A difference that chance alone would make less often than this is called one.
const LEVEL: f64 = 0.05;

/// Runs `formant compare`.
pub fn run(args: &CompareArgs) -> anyhow::Result<Outcome> {
    let (first, second) = (Results::read(&args.first)?, Results::read(&args.second)?);
    let protocol = match first.unit.as_str() {
        "words" => Protocol::folded(Folding::named("none")?),
        _ => Protocol::named(&args.protocol)?,
    };
    let second_utterances = paired(args, &first, &second)?;
    let (one, two) = (report(&first.utterances, &protocol), report(&second_utterances, &protocol));
    for (path, n) in [(&args.first, &one), (&args.second, &two)] {
        if n.total.reference == 0 {
            return Err(anyhow::anyhow!("{}: there are no references in it to compare with", output::path(path)));
        }
    }
    let scores = one.utterances.iter().zip(&two.utterances);
    let pairs: Vec<_> = first.utterances.iter().zip(scores).map(|(u, (a, b))| (u.speaker.as_str(), *a, *b)).collect();
    let found = compare(&pairs, SEED);
    let compared = Compared::new(args, &one, &two, &found, &protocol, &first.unit);
    if args.json {
        output::json(&compared)?
    } else {
        output::line(compared.table(&found))?
    }
    Ok(Outcome::Done)
}

/// The utterances of the second file in the order of the first.
///
/// # Errors
/// If the files are not of the same utterances with the same references: rates of other sets cannot be compared.
fn paired(args: &CompareArgs, first: &Results, second: &Results) -> anyhow::Result<Vec<Recognized>> {
    let differ = |what: String| {
        let hint = "evaluate both models with the same --data, --split and --column";
        output::with_hint(format!("{}: {what} {}", output::path(&args.second), output::path(&args.first)), hint)
    };
    if first.unit != second.unit {
        return Err(differ(format!("{} where there are {} in", second.unit, first.unit)));
    }
    let by_id: HashMap<&str, &Recognized> = second.utterances.iter().map(|u| (u.id.as_str(), u)).collect();
    if by_id.len() != first.utterances.len() || second.utterances.len() != by_id.len() {
        let (found, expected) = (second.utterances.len(), first.utterances.len());
        return Err(differ(format!("{found} utterances where there are {expected} in")));
    }
    let of = |utterance: &Recognized| match by_id.get(utterance.id.as_str()) {
        None => Err(differ(format!("utterance {} is missing, which is in", output::path(Path::new(&utterance.id))))),
        Some(other) if other.reference != utterance.reference => {
            Err(differ(format!("another reference for {} than in", output::path(Path::new(&utterance.id)))))
        }
        Some(other) => Ok((*other).clone()),
    };
    first.utterances.iter().map(of).collect()
}

#[derive(Serialize)]
struct System {
    file: String,
    rate: f64,
    errors: usize,
}

#[derive(Serialize)]
struct Compared {
    first: System,
    second: System,
    unit: String,
    protocol: String,
    utterances: usize,
    speakers: usize,
    difference: f64,
    relative_percent: f64,
    interval: Option<(f64, f64)>,
    drawn: &'static str,
    bootstrap_p: f64,
    matched_pairs_p: f64,
    second_better: f64,
    verdict: String,
}

impl Compared {
    fn new(
        args: &CompareArgs,
        one: &Report,
        two: &Report,
        found: &Comparison,
        protocol: &Protocol,
        unit: &str,
    ) -> Self {
        let system = |path: &Path, report: &Report| System {
            file: output::path(path),
            rate: report.total.per(),
            errors: report.total.errors(),
        };
        Self {
            first: system(&args.first, one),
            second: system(&args.second, two),
            unit: unit.to_owned(),
            protocol: protocol.describe(),
            utterances: one.utterances.len(),
            speakers: one.speakers.len(),
            difference: found.difference,
            relative_percent: 100.0 * found.difference / one.total.per().max(f64::MIN_POSITIVE),
            interval: found.interval,
            drawn: if found.by_speaker { "speakers" } else { "utterances" },
            bootstrap_p: found.bootstrap_p,
            matched_pairs_p: found.matched_pairs_p,
            second_better: found.second_better,
            verdict: verdict(found),
        }
    }

    fn table(&self, found: &Comparison) -> Table {
        let mut table = Table::default();
        for system in [&self.first, &self.second] {
            let System { file, rate, errors } = system;
            table.row(file, format!("{rate:.2} %, {errors} errors"));
        }
        let Self { difference, relative_percent, utterances, speakers, drawn, .. } = self;
        table.row("difference", format!("{difference:+.2} points ({relative_percent:+.1} % relative)"));
        let interval = self.interval.map_or_else(
            || "none: fewer than five utterances".to_owned(),
            |(low, high)| format!("{low:+.2} to {high:+.2} points, drawing {drawn}"),
        );
        table.row("95 % interval", interval);
        let limit = if found.bootstrap_p <= 1e-4 { "at most " } else { "" };
        table.row("paired bootstrap", format!("p {limit}{:.4}, drawing {drawn}", found.bootstrap_p));
        table.row("matched pairs", format!("p {:.4}, by utterance", found.matched_pairs_p));
        table.row("compared on", format!("{utterances} utterances, {speakers} speakers"));
        table.row("protocol", &self.protocol);
        table.row("verdict", &self.verdict);
        table
    }
}

/// Whether the difference is real, in words.
fn verdict(found: &Comparison) -> String {
    let better = if found.difference < 0.0 { "the second is better" } else { "the first is better" };
    let of = if found.by_speaker { "other speakers" } else { "other utterances of these speakers" };
    match (found.bootstrap_p < LEVEL, found.matched_pairs_p < LEVEL) {
        _ if found.difference == 0.0 => "there is no difference at all".to_owned(),
        _ if found.interval.is_none() => "too few utterances to tell".to_owned(),
        (true, true) => format!("{better}, and would very probably be with {of}"),
        (true, false) | (false, true) => {
            format!("{better} here; the tests disagree on whether that would hold for {of}")
        }
        (false, false) => "no real difference can be seen: so large a one comes about by chance".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_in_words() {
        let found = |difference, bootstrap_p, matched_pairs_p| Comparison {
            difference,
            interval: Some((-1.0, 1.0)),
            second_better: 0.5,
            bootstrap_p,
            matched_pairs_p,
            by_speaker: true,
        };
        let better = "the second is better, and would very probably be with other speakers";
        assert_eq!(verdict(&found(-2.0, 0.01, 0.01)), better);
        assert!(verdict(&found(2.0, 0.01, 0.2)).starts_with("the first is better here"));
        assert!(verdict(&found(2.0, 0.3, 0.2)).starts_with("no real difference"));
        assert_eq!(verdict(&found(0.0, 1.0, 1.0)), "there is no difference at all");
    }
}
