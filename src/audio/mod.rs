//! Recordings: from the bytes of a file to mono samples at one rate.
#![forbid(unsafe_code)]

mod activity;
pub mod augment;
mod decode;
mod encode;
mod live;
mod resample;

pub use activity::{ActivityOptions, activity};
pub use decode::{container, panics_are_contained};
pub use encode::sphere;
pub use live::Live;
pub use resample::Resampling;

use crate::error::{Error, Result};
use std::borrow::Cow;
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

/// How a recording is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Which channel.
    pub channel: Channel,
    /// The sample rate that is wanted, in Hz; nothing: the file's own. The conversion runs along with the decoding, so
    /// that a long recording is never in memory at a higher rate than is wanted.
    pub sample_rate: Option<u32>,
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
    /// If the rate is zero, or a sample is not a finite number or too large to be one of a recording.
    pub fn new(samples: Vec<f32>, sample_rate: u32) -> Result<Self> {
        if sample_rate == 0 {
            return Err(Error::invalid("a sample rate of 0 Hz"));
        }
        if let Some(reason) = impossible(&samples, 0) {
            return Err(Error::invalid(reason));
        }
        Ok(Self { samples, sample_rate, warnings: Vec::new() })
    }

    /// Decodes a file, recognised by its content: WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE and more.
    /// Channels are mixed, the sample rate is the file's.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(path, ReadOptions::default())
    }

    /// [`Waveform::open`] with a choice of channel and sample rate.
    pub fn open_as(path: impl AsRef<Path>, options: ReadOptions) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let kind = file.metadata().map_err(|e| Error::io(path, e))?;
        if kind.is_dir() {
            return Err(Error::audio(path, "a folder, not a recording"));
        }
        if is_device(&kind) {
            return Err(Error::audio(path, "a device, not a recording"));
        }
        if !kind.is_file() {
            // A pipe cannot be sought in: it is read to its end, within reason.
            return Self::read(decode::read_all(file, path)?, path, options);
        }
        decode::decode(Box::new(BufReader::with_capacity(1 << 16, file)), path, options)
    }

    /// Decodes bytes; `name` is what error messages call them.
    pub fn read(bytes: Vec<u8>, name: impl AsRef<Path>, options: ReadOptions) -> Result<Self> {
        decode::decode(Box::new(Cursor::new(bytes)), name.as_ref(), options)
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
        Self { samples: self.samples[start..end.max(start)].to_vec(), warnings: self.warnings.clone(), ..*self }
    }

    /// The samples at a sample rate.
    pub fn samples_at(&self, sample_rate: u32) -> Result<Cow<'_, [f32]>> {
        if sample_rate == self.sample_rate {
            return Ok(Cow::Borrowed(&self.samples));
        }
        resample::resample(&self.samples, self.sample_rate, sample_rate).map(Cow::Owned)
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

/// The largest sample that is believed. Full scale is 1, but there are files that have 2147483648 in its place.
const LOUDEST: f32 = 1e10;

/// What is wrong with the first sample that can be none; `before` samples came before these.
fn impossible(samples: &[f32], before: usize) -> Option<String> {
    let at = samples.iter().position(|s| s.is_nan() || s.abs() > LOUDEST)?;
    let (place, value) = (before + at, samples[at]);
    Some(match value.is_finite() {
        true => format!("sample {place} is {value:e}, and full scale is 1: that cannot be right"),
        false => format!("sample {place} is {value}, not a finite number"),
    })
}

/// Whether reading would have no end: `/dev/zero`, a terminal.
#[cfg(unix)]
fn is_device(kind: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_char_device(&kind.file_type())
}
#[cfg(not(unix))]
fn is_device(_: &std::fs::Metadata) -> bool {
    false
}

/// Whether a file failed because it is no recording at all, rather than a damaged one or one of a kind that formant
/// does not decode.
pub fn is_foreign(error: &Error) -> bool {
    matches!(error, Error::Audio { reason, .. } if reason == decode::FORMATS)
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
    fn other_files_are_told_from_damaged_recordings() {
        let error = |bytes: &[u8]| Waveform::read(bytes.to_vec(), "x", ReadOptions::default()).err();
        assert!(error(b"<html>hello</html>").is_some_and(|e| is_foreign(&e)));
        for damaged in [&b""[..], b"RIFF\x24\0\0\0WAVEfmt "] {
            assert!(error(damaged).is_some_and(|e| !is_foreign(&e)));
        }
    }

    #[test]
    fn containers_are_told_apart() {
        let cases: [(&[u8], Option<&str>); 10] = [
            (b"RIFF....WAVE", Some("WAV")),
            (b"\xff\xfb\x90", Some("MP3")),
            (b"\xff\xf1\x50", Some("AAC")),
            (b"....ftypM4A ", Some("MP4")),
            (b"FORM....AIFC", Some("AIFF")),
            (b"NIST_1A\n   1", Some("SPHERE")),
            (b"NIST_1B\n   1", None),
            (b"ajkg\x02", Some("shorten")),
            (b"\xff\xfep\0a\0", None),
            (b"", None),
        ];
        for (head, expected) in cases {
            assert_eq!(container(head), expected);
        }
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
