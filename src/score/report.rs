//! Error counts of a set of utterances: in all, by speaker, by pair of phones.
#![forbid(unsafe_code)]

use super::edit::{Edit, align};
use crate::rng::Rng;
use std::collections::BTreeMap;

/// Error counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Phones heard as another one.
    pub substitutions: usize,
    /// Phones of the reference that are missing.
    pub deletions: usize,
    /// Phones that are not in the reference.
    pub insertions: usize,
    /// Phones of the reference.
    pub reference: usize,
}

impl Score {
    /// All errors.
    pub fn errors(&self) -> usize {
        self.substitutions + self.deletions + self.insertions
    }

    /// Errors per hundred phones of the reference; infinite if there are errors but no reference.
    pub fn per(&self) -> f64 {
        if self.errors() == 0 { 0.0 } else { 100.0 * self.errors() as f64 / self.reference as f64 }
    }
}

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.substitutions += other.substitutions;
        self.deletions += other.deletions;
        self.insertions += other.insertions;
        self.reference += other.reference;
    }
}

/// Counts over many utterances.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All of them.
    pub total: Score,
    /// How many.
    pub utterances: usize,
    /// By speaker.
    pub speakers: BTreeMap<String, Score>,
    /// Reference phone and what was heard; `None` stands for nothing.
    pub confusions: BTreeMap<(Option<String>, Option<String>), usize>,
}

impl Report {
    /// Counts one utterance.
    pub fn add(&mut self, speaker: &str, reference: &[&str], hypothesis: &[&str]) -> Score {
        let mut score = Score { reference: reference.len(), ..Score::default() };
        for edit in align(reference, hypothesis) {
            let pair = match edit {
                Edit::Match(_) => continue,
                Edit::Substitution(r, h) => {
                    score.substitutions += 1;
                    (Some(r.to_owned()), Some(h.to_owned()))
                }
                Edit::Deletion(r) => {
                    score.deletions += 1;
                    (Some(r.to_owned()), None)
                }
                Edit::Insertion(h) => {
                    score.insertions += 1;
                    (None, Some(h.to_owned()))
                }
            };
            *self.confusions.entry(pair).or_default() += 1;
        }
        self.total += score;
        self.utterances += 1;
        *self.speakers.entry(speaker.to_owned()).or_default() += score;
        score
    }

    /// The `n` most frequent errors, most frequent first.
    pub fn most_confused(&self, n: usize) -> Vec<(Option<&str>, Option<&str>, usize)> {
        let mut pairs: Vec<_> = self.confusions.iter().map(|((r, h), c)| (r.as_deref(), h.as_deref(), *c)).collect();
        pairs.sort_by(|a, b| b.2.cmp(&a.2).then(a.cmp(b)));
        pairs.truncate(n);
        pairs
    }

    /// A 95 % interval of the PER, by drawing speakers anew a thousand times (Bisani & Ney 2004). With fewer than
    /// five speakers it would mean little, and there is none.
    pub fn interval(&self, seed: u64) -> Option<(f64, f64)> {
        let speakers: Vec<&Score> = self.speakers.values().collect();
        if speakers.len() < 5 {
            return None;
        }
        let mut rng = Rng::stream(seed, "bootstrap", 0);
        let mut draws: Vec<f64> = (0..1000)
            .map(|_| {
                let mut sum = Score::default();
                speakers.iter().for_each(|_| sum += *speakers[rng.below(speakers.len())]);
                sum.per()
            })
            .collect();
        draws.sort_by(f64::total_cmp);
        Some((draws[25], draws[974]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_ranks() {
        let mut report = Report::default();
        report.add("a", &["k", "ae", "t"], &["k", "eh", "t", "s"]);
        report.add("b", &["ae"], &["eh"]);
        assert_eq!(report.total, Score { substitutions: 2, deletions: 0, insertions: 1, reference: 4 });
        assert_eq!(report.total.per(), 75.0);
        assert_eq!(report.most_confused(1), [(Some("ae"), Some("eh"), 2)]);
        assert_eq!((report.speakers["b"].per(), report.interval(1)), (100.0, None));
        assert_eq!(Score::default().per(), 0.0);
    }
}
