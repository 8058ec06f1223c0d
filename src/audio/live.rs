//! Sound from a pipe while it arrives: WAV, or samples without a header.
#![forbid(unsafe_code)]

use super::{Channel, LOUDEST};
use crate::error::{Error, Result};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// A chunk before the sound that is longer than this is no WAV file's.
const MOST_SKIPPED: u32 = 1 << 20;
/// Samples of a channel that are handed over at once, at most.
const AT_ONCE: usize = 1024;

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// Whole numbers of so many bytes; of one byte without a sign.
    Integer(usize),
    Float,
}

impl Coding {
    fn bytes(self) -> usize {
        match self {
            Self::Integer(bytes) => bytes,
            Self::Float => 4,
        }
    }

    fn value(self, b: &[u8]) -> f32 {
        match self {
            Self::Integer(1) => (f32::from(b[0]) - 128.0) / 128.0,
            Self::Integer(2) => f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0,
            Self::Integer(3) => (i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8) as f32 / 8_388_608.0,
            Self::Integer(_) => i32::from_le_bytes([b[0], b[1], b[2], b[3]]) as f32 / 2_147_483_648.0,
            Self::Float => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        }
    }
}

/// A stream of sound. It ends where the reader does, whatever a header says.
pub struct Live<R> {
    reader: R,
    name: PathBuf,
    coding: Coding,
    channels: usize,
    channel: Channel,
    sample_rate: u32,
    /// Bytes that do not make a sample of every channel yet.
    pending: Vec<u8>,
}

impl<R: Read> Live<R> {
    /// Samples of 16 bits, low byte first, one channel.
    pub fn raw(reader: R, name: &Path, sample_rate: u32) -> Self {
        let (coding, channel, pending) = (Coding::Integer(2), Channel::Mix, Vec::new());
        Self { reader, name: name.to_owned(), coding, channels: 1, channel, sample_rate, pending }
    }

    /// Reads a WAV file's header.
    ///
    /// # Errors
    /// If it is none, or of a kind that cannot be read as it arrives.
    pub fn wav(mut reader: R, name: &Path, channel: Channel) -> Result<Self> {
        let audio = |reason: &str| Error::audio(name, reason);
        let mut head = [0; 12];
        read(&mut reader, &mut head, name)?;
        if &head[..4] != b"RIFF" || &head[8..] != b"WAVE" {
            return Err(audio("no WAV: only WAV, or samples without a header (--raw HZ), can be heard as they arrive"));
        }
        let mut format = None;
        loop {
            let mut chunk = [0; 8];
            read(&mut reader, &mut chunk, name)?;
            if &chunk[..4] == b"data" {
                break;
            }
            let size = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]);
            if size > MOST_SKIPPED {
                return Err(audio("a WAV header that makes no sense"));
            }
            let mut content = vec![0; (size + size % 2) as usize];
            read(&mut reader, &mut content, name)?;
            if &chunk[..4] == b"fmt " && content.len() >= 16 {
                format = Some(content);
            }
        }
        let format = format.ok_or_else(|| audio("a WAV file whose header does not say what its samples are"))?;
        let number = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
        let sample_rate = u32::from_le_bytes([format[4], format[5], format[6], format[7]]);
        let (channels, bits) = (usize::from(number(2)), number(14));
        // WAVE_FORMAT_EXTENSIBLE has the kind further back.
        let kind = if number(0) == 0xfffe && format.len() >= 26 { number(24) } else { number(0) };
        let coding = match (kind, bits) {
            (1, 8 | 16 | 24 | 32) => Coding::Integer(usize::from(bits) / 8),
            (3, 32) => Coding::Float,
            _ => {
                return Err(Error::audio(
                    name,
                    format!("samples of kind {kind} and {bits} bits cannot be read as they arrive"),
                ));
            }
        };
        if !(1..=64).contains(&channels) {
            return Err(Error::audio(name, format!("{channels} channels: between 1 and 64 can be read")));
        }
        if let Channel::Only(n) = channel
            && n >= channels
        {
            return Err(Error::audio(name, format!("there is no channel {n}: it has {channels}, counted from 0")));
        }
        Ok(Self { reader, name: name.to_owned(), coding, channels, channel, sample_rate, pending: Vec::new() })
    }

    /// Samples a second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The next samples, as soon as there are some; nothing at the end.
    ///
    /// # Errors
    /// If the reader fails, or a sample can be none.
    pub fn next_samples(&mut self) -> Result<Option<Vec<f32>>> {
        let block = self.coding.bytes() * self.channels;
        let mut bytes = vec![0; block * AT_ONCE];
        loop {
            let count = match self.reader.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io(&self.name, error)),
            };
            self.pending.extend_from_slice(&bytes[..count]);
            let whole = self.pending.len() / block * block;
            if whole == 0 {
                continue;
            }
            let rest = self.pending.split_off(whole);
            let all = std::mem::replace(&mut self.pending, rest);
            let samples: Vec<f32> = all.chunks_exact(block).map(|frame| self.mono(frame)).collect();
            return match samples.iter().find(|s| s.is_nan() || s.abs() > LOUDEST) {
                Some(sample) => Err(Error::audio(&self.name, format!("a sample of {sample:e}: that cannot be right"))),
                None => Ok(Some(samples)),
            };
        }
    }

    fn mono(&self, frame: &[u8]) -> f32 {
        let mut samples = frame.chunks_exact(self.coding.bytes()).map(|bytes| self.coding.value(bytes));
        match self.channel {
            Channel::Mix => samples.sum::<f32>() / self.channels as f32,
            Channel::Only(n) => samples.nth(n).unwrap_or_default(),
        }
    }
}

fn read(reader: &mut impl Read, bytes: &mut [u8], name: &Path) -> Result<()> {
    reader.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Error::audio(name, "it ends before any sound"),
        _ => Error::io(name, error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(mut live: Live<&[u8]>) -> Result<Vec<f32>> {
        let mut samples = Vec::new();
        while let Some(some) = live.next_samples()? {
            samples.extend(some);
        }
        Ok(samples)
    }

    fn wav(channels: u16, bits: u16, format: hound::SampleFormat) -> Vec<u8> {
        let spec = hound::WavSpec { channels, sample_rate: 8000, bits_per_sample: bits, sample_format: format };
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a writer");
        for i in 0..3000 * i32::from(channels) {
            match format {
                hound::SampleFormat::Int => writer.write_sample(i % 100 - 50).expect("a sample"),
                hound::SampleFormat::Float => writer.write_sample((i % 100) as f32 / 100.0).expect("a sample"),
            }
        }
        writer.finalize().expect("an end");
        bytes.into_inner()
    }

    #[test]
    fn what_arrives_is_what_the_file_has() -> Result<()> {
        for (bits, format) in [8, 16, 24, 32]
            .map(|bits| (bits, hound::SampleFormat::Int))
            .into_iter()
            .chain([(32, hound::SampleFormat::Float)])
        {
            for channels in [1, 2] {
                let mut bytes = wav(channels, bits, format);
                let options = super::super::ReadOptions::default();
                let whole = super::super::Waveform::read(bytes.clone(), "x", options)?;
                let heard = all(Live::wav(&bytes[..], Path::new("x"), Channel::Mix)?)?;
                assert!(whole.samples().iter().zip(&heard).all(|(a, b)| (a - b).abs() < 1e-6) && heard.len() == 3000);
                // A program that streams knows no size.
                let size_at = bytes.windows(4).position(|w| w == b"data").expect("a data chunk") + 4;
                bytes[size_at..size_at + 4].fill(0xff);
                assert_eq!(all(Live::wav(&bytes[..], Path::new("x"), Channel::Mix)?)?, heard);
            }
        }
        assert_eq!(all(Live::raw(&[0, 64, 0, 192, 7], Path::new("x"), 8000))?, [0.5, -0.5]);
        Ok(())
    }

    #[test]
    fn what_cannot_be_heard_is_said() {
        let wrong = |bytes: &[u8]| Live::wav(bytes, Path::new("x"), Channel::Mix).err().map(|e| e.to_string());
        assert_eq!(wrong(b"RIFF").as_deref(), Some("x: it ends before any sound"));
        assert!(wrong(b"fLaC12345678").is_some_and(|e| e.contains("--raw")));
        assert!(Live::wav(&wav(1, 16, hound::SampleFormat::Int)[..], Path::new("x"), Channel::Only(1)).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..44_usize) {
            let mut file = wav(1, 16, hound::SampleFormat::Int);
            file.splice(at..at, bytes);
            if let Ok(live) = Live::wav(&file[..], Path::new("x"), Channel::Mix) {
                let _ = all(live);
            }
        }
    }
}
