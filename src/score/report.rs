//! Error counts of a set of utterances: in all, by utterance, by speaker, by pair of phones.
#![forbid(unsafe_code)]

use super::edit::{Convention, Edit, align};
use super::interval::interval;
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
    /// How edits are counted.
    pub convention: Convention,
    /// All of them.
    pub total: Score,
    /// By utterance, in the order in which they came.
    pub utterances: Vec<Score>,
    /// By speaker.
    pub speakers: BTreeMap<String, Score>,
    /// Phones that were heard as they are.
    pub correct: BTreeMap<String, usize>,
    /// Reference phone and what was heard; `None` stands for nothing.
    pub confusions: BTreeMap<(Option<String>, Option<String>), usize>,
}

impl Report {
    /// No counts yet.
    pub fn new(convention: Convention) -> Self {
        Self { convention, ..Self::default() }
    }

    /// Counts one utterance.
    pub fn add(&mut self, speaker: &str, reference: &[&str], hypothesis: &[&str]) -> Score {
        let mut score = Score { reference: reference.len(), ..Score::default() };
        for edit in align(reference, hypothesis, self.convention) {
            let pair = match edit {
                Edit::Match(phone) => {
                    *self.correct.entry(phone.to_owned()).or_default() += 1;
                    continue;
                }
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
        self.utterances.push(score);
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

    /// A 95 % interval of the PER of other speakers: speakers are drawn anew (see [`interval`]).
    pub fn interval(&self, seed: u64) -> Option<(f64, f64)> {
        interval(&self.speakers.values().copied().collect::<Vec<_>>(), seed)
    }

    /// A 95 % interval of the PER of other utterances of the same speakers: narrower, as a rule, than that of other speakers.
    pub fn interval_by_utterance(&self, seed: u64) -> Option<(f64, f64)> {
        interval(&self.utterances, seed)
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
        assert_eq!((report.utterances.len(), report.correct["k"], report.correct.get("ae")), (2, 1, None));
        assert_eq!(Score::default().per(), 0.0);
    }
}
