//! Windows of a frame, as Kaldi defines them (feat/feature-window.cc).
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// The shape of a frame's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// A Hann window to the power of 0.85: Kaldi's own.
    #[default]
    Povey,
    /// Hamming.
    Hamming,
    /// Hann.
    Hann,
}

impl Window {
    /// `length` weights, symmetric.
    pub fn weights(self, length: usize) -> Vec<f32> {
        let angle = TAU / (length.max(2) - 1) as f64;
        let weight = |i: usize| {
            let cosine = (angle * i as f64).cos();
            match self {
                Self::Povey => (0.5 - 0.5 * cosine).powf(0.85),
                Self::Hamming => 0.54 - 0.46 * cosine,
                Self::Hann => 0.5 - 0.5 * cosine,
            }
        };
        (0..length).map(|i| weight(i) as f32).collect()
    }
}
