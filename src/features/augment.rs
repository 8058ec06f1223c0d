//! SpecAugment (Park et al. 2019): stripes of time and of frequency are blanked out while training.
#![forbid(unsafe_code)]

use super::Features;
use crate::error::{Error, Result};
use crate::rng::Rng;
use serde::{Deserialize, Serialize};

/// How many stripes, and how wide at most.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpecAugment {
    /// Stripes of neighbouring mel bins.
    pub freq_masks: usize,
    /// Bins of one, at most.
    pub freq_width: usize,
    /// Stripes of neighbouring frames.
    pub time_masks: usize,
    /// Frames of one, at most.
    pub time_width: usize,
    /// Share of the utterance that one stripe of frames may cover.
    pub time_fraction: f32,
}

impl Default for SpecAugment {
    fn default() -> Self {
        Self { freq_masks: 2, freq_width: 8, time_masks: 2, time_width: 25, time_fraction: 0.2 }
    }
}

impl SpecAugment {
    /// Fails, naming the value, if one makes no sense.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            (self.freq_masks <= 100 && self.time_masks <= 100, "spec: more than 100 masks of a kind"),
            ((0.0..=1.0).contains(&self.time_fraction), "spec.time_fraction must lie between 0 and 1"),
        ];
        match checks.iter().find(|(fine, _)| !fine) {
            Some((_, reason)) => Err(Error::invalid(*reason)),
            None => Ok(()),
        }
    }

    /// Sets stripes of normalised, unstacked features to zero. The row holds `bins` mel bins, then their derivatives,
    /// which are blanked alike.
    pub fn apply(&self, features: &mut Features, bins: usize, rng: &mut Rng) {
        let (frames, dim) = (features.frames, features.dim);
        for _ in 0..self.freq_masks {
            let width = rng.below(self.freq_width.min(bins) + 1);
            let start = rng.below(bins - width + 1);
            for row in features.data.chunks_exact_mut(dim.max(1)) {
                for block in row.chunks_exact_mut(bins.max(1)) {
                    block[start..start + width].fill(0.0);
                }
            }
        }
        for _ in 0..self.time_masks {
            let most = self.time_width.min((frames as f32 * self.time_fraction) as usize);
            let width = rng.below(most + 1);
            let start = rng.below(frames - width + 1);
            features.data[start * dim..(start + width) * dim].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_refused() {
        assert!(SpecAugment::default().validate().is_ok());
        assert!(SpecAugment { time_fraction: 1.5, ..Default::default() }.validate().is_err());
        assert!(SpecAugment { freq_masks: usize::MAX, ..Default::default() }.validate().is_err());
    }

    #[test]
    fn blanks_no_more_than_asked() {
        let masks = SpecAugment { freq_masks: 1, freq_width: 2, time_masks: 1, time_width: 3, time_fraction: 1.0 };
        for seed in 0..50 {
            let mut features = Features { data: vec![1.0; 20 * 8], frames: 20, dim: 8 };
            masks.apply(&mut features, 4, &mut Rng::stream(seed, "mask", 0));
            let zeros = features.data.iter().filter(|x| **x == 0.0).count();
            assert!(zeros <= 3 * 8 + 2 * 2 * 20);
        }
    }
}
