//! Recordings: from the bytes of a file to mono samples at one rate.
#![forbid(unsafe_code)]

pub mod augment;
mod decode;
mod resample;

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::Path;

/// Which channel of a recording is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// The mean of all channels.
    #[default]
    Mix,
    /// One channel, counted from 0.
    Only(usize),
}

/// Mono samples in [-1, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    samples: Vec<f32>,
    sample_rate: u32,
    warnings: Vec<String>,
}

impl Waveform {
    /// From samples in [-1, 1] at `sample_rate` Hz.
    ///
    /// # Errors
    /// If the rate is zero or a sample is not a finite number.
    pub fn new(samples: Vec<f32>, sample_rate: u32) -> Result<Self> {
        if sample_rate == 0 {
            return Err(Error::invalid("a sample rate of 0 Hz"));
        }
        if let Some(at) = samples.iter().position(|s| !s.is_finite()) {
            return Err(Error::invalid(format!("sample {at} is {}, not a finite number", samples[at])));
        }
        Ok(Self { samples, sample_rate, warnings: Vec::new() })
    }

    /// Decodes a file, recognised by its content: WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC and more. Channels
    /// are mixed, the sample rate is the file's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_channel(path, Channel::Mix)
    }

    /// [`Waveform::open`] with a choice of channel.
    pub fn open_channel(path: impl AsRef<Path>, channel: Channel) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let kind = file.metadata().map_err(|e| Error::io(path, e))?;
        if kind.is_dir() {
            return Err(Error::audio(path, "a folder, not a recording"));
        }
        if !kind.is_file() {
            // A pipe or a device cannot be sought in: it is read to its end, within reason.
            return Self::read(decode::read_all(file, path)?, path, channel);
        }
        decode::decode(Box::new(BufReader::with_capacity(1 << 16, file)), path, channel)
    }

    /// Decodes bytes; `name` is what error messages call them.
    pub fn read(bytes: Vec<u8>, name: impl AsRef<Path>, channel: Channel) -> Result<Self> {
        decode::decode(Box::new(Cursor::new(bytes)), name.as_ref(), channel)
    }

    /// The samples.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Duration in seconds.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }

    /// What was wrong with the file although it could be decoded: sound that its header promises but that is not there.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The part from `start` to `end` seconds, as far as it exists.
    pub fn cut(&self, start: f64, end: f64) -> Self {
        let at =
            |seconds: f64| ((seconds * f64::from(self.sample_rate)).round().max(0.0) as usize).min(self.samples.len());
        let (start, end) = (at(start), at(end));
        Self { samples: self.samples[start..end.max(start)].to_vec(), warnings: Vec::new(), ..*self }
    }

    /// The same sound at another sample rate.
    pub fn resampled(self, sample_rate: u32) -> Result<Self> {
        if sample_rate == self.sample_rate {
            return Ok(self);
        }
        let samples = resample::resample(&self.samples, self.sample_rate, sample_rate)?;
        Ok(Self { samples, sample_rate, warnings: self.warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_samples_are_named() {
        let error = Waveform::new(vec![0.0, f32::NAN], 16000).unwrap_err().to_string();
        assert_eq!(error, "sample 1 is NaN, not a finite number");
        assert!(Waveform::new(vec![], 0).is_err());
    }

    #[test]
    fn cuts_stay_inside() -> Result<()> {
        let wave = Waveform::new((0..100).map(|i| i as f32 / 100.0).collect(), 100)?;
        assert_eq!(wave.cut(0.1, 0.2).samples().len(), 10);
        assert_eq!(wave.cut(0.9, 5.0).samples().len(), 10);
        assert_eq!(wave.cut(3.0, 2.0).samples().len(), 0);
        Ok(())
    }
}
