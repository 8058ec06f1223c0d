//! The learning rate: a rise at the start, then one of several ways down.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the learning rate falls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// It does not.
    #[default]
    Constant,
    /// Half a cosine over all epochs (Loshchilov & Hutter 2017).
    Cosine {
        /// Share of the highest rate that is left at the end.
        #[serde(default)]
        final_share: f32,
    },
    /// By a factor, each time the dev PER has not improved for some epochs.
    Plateau {
        /// What the rate is multiplied by.
        factor: f32,
        /// Epochs without a better dev PER before it is.
        patience: u64,
    },
}

impl Schedule {
    /// Fails, naming the value, if one makes no sense.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Cosine { final_share } if !(0.0..=1.0).contains(&final_share) => {
                Err(Error::invalid("train: schedule.final_share must lie between 0 and 1"))
            }
            Self::Plateau { factor, patience } if !(0.0..1.0).contains(&factor) || factor == 0.0 || patience == 0 => {
                Err(Error::invalid("train: schedule.factor must lie between 0 and 1, and patience be at least 1"))
            }
            _ => Ok(()),
        }
    }

    /// The rate, as a share of the highest. `progress` goes from 0 to 1 over the whole run; `falls` counts how often a
    /// plateau was met.
    pub fn share(&self, step: u64, warmup_steps: u64, progress: f64, falls: u64) -> f32 {
        let rise = if step < warmup_steps { (step + 1) as f64 / (warmup_steps + 1) as f64 } else { 1.0 };
        let fall = match *self {
            Self::Constant => 1.0,
            Self::Cosine { final_share } => {
                let left = f64::from(final_share);
                left + (1.0 - left) * 0.5 * (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos())
            }
            Self::Plateau { factor, .. } => f64::from(factor).powf(falls as f64),
        };
        (rise * fall) as f32
    }

    /// Whether the rate falls now, `stale` epochs after the last better dev PER or the last fall.
    pub fn falls_after(&self, stale: u64) -> bool {
        matches!(*self, Self::Plateau { patience, .. } if stale >= patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_and_falls() {
        let cosine = Schedule::Cosine { final_share: 0.1 };
        let shares: Vec<f32> = [0.0, 0.5, 1.0].iter().map(|p| cosine.share(9, 0, *p, 0)).collect();
        assert!((shares[0] - 1.0).abs() < 1e-6 && (shares[1] - 0.55).abs() < 1e-6 && (shares[2] - 0.1).abs() < 1e-6);
        assert_eq!(Schedule::Constant.share(4, 9, 0.5, 3), 0.5);
        let plateau = Schedule::Plateau { factor: 0.5, patience: 2 };
        assert_eq!(plateau.share(9, 0, 0.5, 3), 0.125);
        assert!(plateau.falls_after(2) && !plateau.falls_after(1) && !cosine.falls_after(9));
    }
}
