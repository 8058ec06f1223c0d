//! The front end: from samples to frames of log-mel energies, deltas and normalisation.
//!
//! `samples -> fbank (-> energy) -> deltas -> normalisation -> stacking`, as [`FrontEnd`] says.
#![forbid(unsafe_code)]

mod augment;
mod cmvn;
mod deltas;
mod fbank;
mod mel;
mod npy;
mod window;

pub use augment::SpecAugment;
pub use cmvn::{Cmvn, CmvnAccumulator};
pub use fbank::FeatureExtractor;
pub use mel::hz_to_mel;
pub use npy::write_npy;
pub use window::Window;

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How features are brought to a common range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// Mean zero and variance one over the training set; the numbers are part of the model.
    #[default]
    Global,
    /// Mean zero and variance one over each utterance.
    Utterance,
    /// As they are.
    None,
}

/// Everything that decides what the features of a recording are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrontEnd {
    /// Hz; recordings at other rates are resampled.
    pub sample_rate: u32,
    /// Mel filters.
    pub bins: usize,
    /// Length of a frame in milliseconds.
    pub frame_length_ms: f32,
    /// From the start of one frame to that of the next, in milliseconds.
    pub frame_shift_ms: f32,
    /// Share of the sample before that is taken off each sample.
    pub preemphasis: f32,
    /// Lower edge of the lowest filter, Hz.
    pub low_hz: f32,
    /// Upper edge of the highest filter, Hz; zero or less: so far below half the sample rate.
    pub high_hz: f32,
    /// Shape of the frame's window.
    pub window: Window,
    /// Whether the frame's log energy comes before the filters.
    pub energy: bool,
    /// Orders of time derivatives appended: 0, 1 or 2.
    pub deltas: usize,
    /// Normalisation.
    pub normalize: Normalize,
    /// Neighbouring frames put side by side; so many times fewer frames come out.
    pub stack: usize,
}

impl Default for FrontEnd {
    fn default() -> Self {
        Self {
            sample_rate: 16000,
            bins: 40,
            frame_length_ms: 25.0,
            frame_shift_ms: 10.0,
            preemphasis: 0.97,
            low_hz: 20.0,
            high_hz: 0.0,
            window: Window::Povey,
            energy: false,
            deltas: 0,
            normalize: Normalize::Global,
            stack: 1,
        }
    }
}

impl FrontEnd {
    /// Numbers a frame before stacking.
    pub fn frame_dim(&self) -> usize {
        (self.bins + usize::from(self.energy)) * (1 + self.deltas)
    }

    /// Whether a frame is its mel bins and nothing else, so that neighbouring numbers are neighbouring bins.
    pub fn is_plain(&self) -> bool {
        self.dim() == self.bins
    }

    /// Numbers a frame.
    pub fn dim(&self) -> usize {
        self.frame_dim() * self.stack
    }

    /// Seconds from one frame to the next, after stacking.
    pub fn frame_shift(&self) -> f64 {
        f64::from(self.frame_shift_ms) / 1000.0 * self.stack as f64
    }

    /// Samples a frame, and from frame to frame.
    pub(crate) fn frame_samples(&self) -> (usize, usize) {
        let samples = |ms: f32| (f64::from(self.sample_rate) * f64::from(ms) / 1000.0) as usize;
        (samples(self.frame_length_ms), samples(self.frame_shift_ms))
    }

    /// Fails, naming the value, if features cannot be made like this.
    pub fn validate(&self) -> Result<()> {
        let (length, shift) = self.frame_samples();
        let nyquist = self.sample_rate as f32 / 2.0;
        let high = if self.high_hz > 0.0 { self.high_hz } else { nyquist + self.high_hz };
        let checks = [
            ((1000..=192_000).contains(&self.sample_rate), "sample_rate must lie between 1000 and 192000 Hz"),
            ((1..=512).contains(&self.bins), "bins must lie between 1 and 512"),
            (self.frame_length_ms <= 1000.0 && length >= 2, "frame_length_ms must lie between two samples and 1000 ms"),
            (self.frame_shift_ms >= 1.0 && shift <= length, "frame_shift_ms must lie between 1 ms and frame_length_ms"),
            ((0.0..=1.0).contains(&self.preemphasis), "preemphasis must lie between 0 and 1"),
            (
                self.low_hz >= 0.0 && self.low_hz < high && high <= nyquist,
                "low_hz and high_hz must rise within half the sample rate",
            ),
            (self.deltas <= 2, "deltas must be 0, 1 or 2"),
            ((1..=16).contains(&self.stack), "stack must lie between 1 and 16"),
        ];
        match checks.iter().find(|(fine, _)| !fine) {
            Some((_, reason)) => Err(Error::invalid(format!("features: {reason}"))),
            None => Ok(()),
        }
    }
}

/// Frames of one utterance, row-major `[frames, dim]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// The numbers.
    pub data: Vec<f32>,
    /// Rows.
    pub frames: usize,
    /// Columns.
    pub dim: usize,
}

impl Features {
    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks_exact(self.dim.max(1))
    }

    /// The frames in `range`.
    pub fn cut(mut self, range: std::ops::Range<usize>) -> Self {
        self.data.truncate(range.end * self.dim);
        self.data.drain(..range.start * self.dim);
        Self { frames: range.len(), ..self }
    }

    /// Every `factor` neighbouring frames as one; the last frame is repeated to fill the last group.
    pub fn stacked(self, factor: usize) -> Self {
        if factor == 1 {
            return self;
        }
        let frames = self.frames.div_ceil(factor);
        let mut data = Vec::with_capacity(frames * factor * self.dim);
        for row in 0..frames * factor {
            let row = row.min(self.frames - 1);
            data.extend_from_slice(&self.data[row * self.dim..(row + 1) * self.dim]);
        }
        Self { data, frames, dim: self.dim * factor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacking_fills_the_last_group() {
        let features = Features { data: vec![1.0, 2.0, 3.0], frames: 3, dim: 1 };
        let stacked = features.stacked(2);
        assert_eq!((stacked.frames, stacked.dim), (2, 2));
        assert_eq!(stacked.data, [1.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn bad_values_are_named() {
        assert!(FrontEnd::default().validate().is_ok());
        for (front, word) in [
            (FrontEnd { bins: 0, ..Default::default() }, "bins"),
            (FrontEnd { frame_shift_ms: 0.5, ..Default::default() }, "frame_shift_ms"),
            (FrontEnd { frame_shift_ms: f32::NAN, ..Default::default() }, "frame_shift_ms"),
            (FrontEnd { frame_length_ms: 1e9, ..Default::default() }, "frame_length_ms"),
            (FrontEnd { high_hz: 9000.0, ..Default::default() }, "high_hz"),
            (FrontEnd { stack: 0, ..Default::default() }, "stack"),
        ] {
            assert!(front.validate().unwrap_err().to_string().contains(word));
        }
    }
}
