//! Whether one system is really better than another on the same utterances, or was luckier: the paired bootstrap (Bisani &
//! Ney 2004) and the matched-pairs test (Gillick & Cox 1989).
#![forbid(unsafe_code)]

use super::interval::{FEWEST, middle, normal_below};
use super::report::Score;
use crate::rng::Rng;

/// Sets that are drawn.
const DRAWS: usize = 10_000;

/// One utterance of both systems.
pub type Pair<'a> = (&'a str, Score, Score);

/// See [`compare`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Rate of the second less that of the first, in points.
    pub difference: f64,
    /// A 95 % interval of it; none if there are too few to draw from.
    pub interval: Option<(f64, f64)>,
    /// The share of draws in which the second has the lower rate; ties count half.
    pub second_better: f64,
    /// How probable so large a difference would be, either way, if both were equally good, by the bootstrap.
    pub bootstrap_p: f64,
    /// The same by the matched-pairs test, whose pairs are utterances.
    pub matched_pairs_p: f64,
    /// What was drawn: speakers, or utterances where there are too few speakers.
    pub by_speaker: bool,
}

/// Compares two systems; each utterance comes with its speaker. With speakers enough it is they that are drawn anew, since
/// what one person says is alike; otherwise utterances.
pub fn compare(pairs: &[Pair<'_>], seed: u64) -> Comparison {
    let mut speakers = std::collections::BTreeMap::<&str, (Score, Score)>::new();
    for (speaker, first, second) in pairs {
        let sums = speakers.entry(*speaker).or_default();
        sums.0 += *first;
        sums.1 += *second;
    }
    let by_speaker = speakers.len() >= FEWEST;
    let units: Vec<(Score, Score)> =
        if by_speaker { speakers.into_values().collect() } else { pairs.iter().map(|pair| (pair.1, pair.2)).collect() };
    let difference = |units: &mut dyn Iterator<Item = (Score, Score)>| {
        let (mut first, mut second) = (Score::default(), Score::default());
        units.for_each(|unit| {
            first += unit.0;
            second += unit.1;
        });
        second.per() - first.per()
    };
    let mut rng = Rng::stream(seed, "paired bootstrap", 0);
    let mut draws: Vec<f64> =
        (0..DRAWS).map(|_| difference(&mut (0..units.len()).map(|_| units[rng.below(units.len())]))).collect();
    draws.sort_by(f64::total_cmp);
    let share = |holds: &dyn Fn(f64) -> bool| draws.iter().filter(|d| holds(**d)).count() as f64 / DRAWS as f64;
    let (lower, equal) = (share(&|d| d < 0.0), share(&|d| d == 0.0));
    let second_better = lower + equal / 2.0;
    Comparison {
        difference: difference(&mut units.iter().copied()),
        interval: (units.len() >= FEWEST).then(|| middle(&draws, units.len())),
        second_better,
        // No draw at all is less probable than one more would have been.
        bootstrap_p: (2.0 * second_better.min(1.0 - second_better)).max(1.0 / DRAWS as f64).min(1.0),
        matched_pairs_p: matched_pairs(pairs),
        by_speaker,
    }
}

/// The probability of a mean difference so far from zero, differences of the utterances' errors being independent.
fn matched_pairs(pairs: &[Pair<'_>]) -> f64 {
    let n = pairs.len() as f64;
    let differences = || pairs.iter().map(|(_, first, second)| second.errors() as f64 - first.errors() as f64);
    let mean = differences().sum::<f64>() / n;
    let variance = differences().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    if mean == 0.0 || pairs.len() < 2 {
        return 1.0;
    }
    if variance == 0.0 {
        return 0.0;
    }
    2.0 * normal_below(-mean.abs() / (variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(errors: usize) -> Score {
        Score { substitutions: errors, reference: 40, ..Score::default() }
    }

    /// `speakers` of ten utterances, the second system making `more` errors in each than the first.
    fn pairs(rng: &mut Rng, names: &[String], more: f32) -> Vec<(usize, Score, Score)> {
        let mut all = Vec::new();
        for speaker in 0..names.len() {
            let level = 10.0 + 3.0 * rng.normal();
            for _ in 0..10 {
                let mut errors = |more: f32| (level + more + 2.0 * rng.normal()).round().max(0.0) as usize;
                all.push((speaker, score(errors(0.0)), score(errors(more))));
            }
        }
        all
    }

    fn compared(rng: &mut Rng, more: f32) -> Comparison {
        let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
        let pairs = pairs(rng, &names, more);
        compare(&pairs.iter().map(|(n, a, b)| (names[*n].as_str(), *a, *b)).collect::<Vec<_>>(), 1)
    }

    #[test]
    fn a_clear_difference_is_found() {
        let found = compared(&mut Rng::stream(1, "test", 0), 1.5);
        assert!(found.difference > 0.0 && found.interval.is_some_and(|(low, _)| low > 0.0), "{found:?}");
        assert!(found.bootstrap_p < 0.01 && found.matched_pairs_p < 0.01 && found.by_speaker, "{found:?}");
        assert!(found.second_better < 0.01);
    }

    #[test]
    fn equal_systems_are_told_apart_once_in_twenty() {
        let mut rng = Rng::stream(2, "test", 0);
        let (mut bootstrap, mut matched) = (0, 0);
        for _ in 0..200 {
            let found = compared(&mut rng, 0.0);
            bootstrap += usize::from(found.bootstrap_p < 0.05);
            matched += usize::from(found.matched_pairs_p < 0.05);
        }
        assert!((2..=20).contains(&bootstrap) && (2..=20).contains(&matched), "{bootstrap} {matched} of 200");
    }

    #[test]
    fn the_same_system_does_not_differ_from_itself() {
        let pairs: Vec<Pair<'_>> = (0..3).map(|n| ("", score(n), score(n))).collect();
        let found = compare(&pairs, 1);
        assert_eq!((found.difference, found.interval, found.bootstrap_p, found.matched_pairs_p), (0.0, None, 1.0, 1.0));
        assert!(!found.by_speaker && found.second_better == 0.5);
    }
}
