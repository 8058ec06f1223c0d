//! The order of an epoch: batches of utterances of similar length, in random order. A pure function of its arguments,
//! so that a run can be resumed anywhere.
#![forbid(unsafe_code)]

use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// How large a batch may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatchLimits {
    /// Frames of all utterances together, before stacking; an utterance longer than this is a batch of its own.
    pub frames: usize,
    /// Utterances.
    pub utterances: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { frames: 12_000, utterances: 32 }
    }
}

/// The batches of an epoch: utterances by number, given the `frames` of each.
///
/// Utterances are sorted by their length times a random factor near one, so that batch mates are of similar length
/// but not the same ones in every epoch.
pub fn epoch(frames: &[usize], limits: BatchLimits, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut rng = Rng::stream(seed, "epoch", epoch);
    let mut order: Vec<(f32, usize)> =
        frames.iter().enumerate().map(|(i, &f)| (f as f32 * rng.range(0.9, 1.1), i)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut total = 0;
    for (_, i) in order {
        match batches.last_mut() {
            Some(batch) if batch.len() < limits.utterances && total + frames[i] <= limits.frames => batch.push(i),
            _ => {
                batches.push(vec![i]);
                total = 0;
            }
        }
        total += frames[i];
    }
    rng.shuffle(&mut batches);
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_utterance_comes_once_and_limits_hold() {
        let frames: Vec<usize> = (0..101).map(|i| 50 + (i * 37) % 400).collect();
        let limits = BatchLimits { frames: 1000, utterances: 6 };
        let batches = epoch(&frames, limits, 1, 0);
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..101).collect::<Vec<_>>());
        for batch in &batches {
            assert!(batch.len() <= 6 && batch.iter().map(|&i| frames[i]).sum::<usize>() <= 1000);
        }
        assert_eq!(batches, epoch(&frames, limits, 1, 0));
        assert_ne!(batches, epoch(&frames, limits, 1, 1));
    }

    #[test]
    fn a_long_utterance_is_alone() {
        let limits = BatchLimits { frames: 10, utterances: 4 };
        assert!(epoch(&[500, 3, 3], limits, 1, 0).contains(&vec![0]));
    }
}
