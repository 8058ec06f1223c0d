//! Shorten, Tony Robinson's lossless compression: as NIST put it into SPHERE, and as `.shn` files.
//!
//! A stream is a header and functions. Most of them are a block of one channel, predicted from the samples before it;
//! the differences are written in Rice's code. Versions 0 to 3.
#![forbid(unsafe_code)]

mod bits;
mod kind;
mod stream;

use super::{Mono, Source};
use crate::error::{Error, Result};
use bits::Broken;
use std::path::Path;
use stream::Stream;

/// How a stream begins.
pub const MAGIC: &[u8] = b"ajkg";

/// Samples that are believed: so many in any case, and so many of a byte. Speech has three or four of a byte; but a block
/// of silence is five bits, whatever its size, and a small file could ask for any amount of memory.
const MOST_SAMPLES: (u64, u64) = (1 << 20, 64);

/// What is known of a stream before it is read.
#[derive(Default)]
pub struct Expected {
    /// Samples a second; if nothing is known, the header of a WAV file that lies in the stream tells.
    pub rate: Option<u32>,
    /// Samples of a channel; as many as there are if nothing is known.
    pub samples: Option<u64>,
    /// Channels.
    pub channels: Option<usize>,
}

/// Decodes a file that is nothing but a stream.
pub fn read_file(mut source: Box<dyn Source>, name: &Path, mono: &mut Mono) -> Result<()> {
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).map_err(|e| Error::io(name, e))?;
    read(&bytes, &Expected::default(), name, mono)
}

/// The sample rate in the header of a WAV file.
fn wav_rate(header: &[u8]) -> Option<u32> {
    let number = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let mut at = (header.starts_with(b"RIFF") && header.get(8..12) == Some(b"WAVE")).then_some(12)?;
    while header.get(at..at + 4)? != b"fmt " {
        at = at.checked_add(8)?.checked_add(number(at + 4)? as usize)?;
        at = at.checked_add(at % 2).filter(|at| *at < header.len())?;
    }
    number(at + 12)
}

/// Decodes a stream.
pub fn read(bytes: &[u8], expected: &Expected, name: &Path, mono: &mut Mono) -> Result<()> {
    let mut stream = Stream::open(bytes).map_err(|broken| refused(broken, name))?;
    let channels = stream.channels();
    if let Some(promised) = expected.channels.filter(|promised| *promised != channels) {
        let reason = format!("its channel_count is {promised}, but its shorten stream has {channels} channels");
        return Err(Error::audio(name, reason));
    }
    mono.check(channels, name)?;
    decode(&mut stream, bytes.len() as u64, expected, name, mono)
}

fn decode(stream: &mut Stream, size: u64, expected: &Expected, name: &Path, mono: &mut Mono) -> Result<()> {
    let channels = stream.channels();
    let believed = (MOST_SAMPLES.0 + MOST_SAMPLES.1 * size) / channels as u64;
    let promised = expected.samples;
    let most = promised.unwrap_or(u64::MAX);
    let (mut there, mut frame) = (0_u64, Vec::with_capacity(channels));
    loop {
        let more = stream.blocks();
        let frames = (stream.frames() as u64).min(most - there);
        if frames > 0 && there == 0 {
            let unknown =
                || Error::audio(name, "a shorten stream without a WAV header in it: its sample rate is unknown");
            mono.set_rate(expected.rate.or_else(|| wav_rate(stream.verbatim())).ok_or_else(unknown)?, name)?;
        }
        if there + frames > believed {
            mono.warn(format!("damaged after {there} samples: more silence than is believed of {size} bytes"));
            return Ok(());
        }
        for at in 0..frames as usize {
            frame.clear();
            frame.extend(stream.frame(at));
            mono.push(&frame, name)?;
        }
        there += frames;
        if there >= most || !matches!(more, Ok(true)) {
            if let Some(warning) = missing(more, promised, there) {
                mono.warn(warning);
            }
            return Ok(());
        }
    }
}

/// What to say of a stream that has come to its end.
fn missing(end: Result<bool, Broken>, promised: Option<u64>, there: u64) -> Option<String> {
    match (end, promised) {
        (_, Some(promised)) if there >= promised => None,
        (Err(Broken::Damaged(why)), _) => Some(format!("damaged after {there} samples: {why}")),
        (_, Some(promised)) => Some(format!("incomplete: the header promises {promised} samples, {there} are there")),
        (Err(Broken::Ends), None) => Some("truncated: the file ends in the middle of the sound".to_owned()),
        (Ok(_), None) => None,
    }
}

fn refused(broken: Broken, name: &Path) -> Error {
    let why = match broken {
        Broken::Ends => "it ends before the sound begins",
        Broken::Damaged(why) => why,
    };
    Error::audio(name, format!("its shorten stream cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::stream::*;
    use super::*;
    use crate::audio::{ReadOptions, Waveform};
    use proptest::prelude::*;

    /// Writes streams.
    #[derive(Clone, Default)]
    struct Writer(Vec<bool>);

    impl Writer {
        fn new(version: u8, header: &[u32]) -> Self {
            let mut writer = Self(Vec::new());
            b"ajkg".iter().chain([&version]).for_each(|byte| writer.bits((*byte).into(), 8));
            header.iter().fold(writer, |writer, number| writer.number(*number))
        }

        fn bits(&mut self, value: u32, count: u32) {
            self.0.extend((0..count).rev().map(|i| value >> i & 1 == 1));
        }

        fn rice(mut self, value: u32, low: u32) -> Self {
            self.0.extend(vec![false; (value >> low) as usize]);
            self.0.push(true);
            self.bits(value, low);
            self
        }

        fn number(self, value: u32) -> Self {
            let low = value.checked_ilog2().unwrap_or(0);
            self.rice(low, 2).rice(value, low)
        }

        fn signed(self, values: &[i32], low: u32) -> Self {
            let fold = |value: i32| if value < 0 { !value as u32 * 2 + 1 } else { value as u32 * 2 };
            values.iter().fold(self, |writer, value| writer.rice(fold(*value), low))
        }

        /// A block that is predicted by a polynomial.
        fn block(self, function: u32, differences: &[i32]) -> Self {
            self.rice(function, 2).rice(2, 3).signed(differences, 3)
        }

        fn bytes(&self) -> Vec<u8> {
            let byte =
                |bits: &[bool]| bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | u8::from(*bit) << (7 - i));
            self.0.chunks(8).map(byte).collect()
        }
    }

    /// A stream of 16-bit samples in blocks of four, with as many means.
    fn stream(version: u8, channels: u32, means: u32) -> Writer {
        Writer::new(version, &[5, channels, 4, 4, means, 0])
    }

    fn decoded(bytes: &[u8], samples: Option<u64>) -> Result<(Vec<f32>, String)> {
        let mut mono = Mono::new(ReadOptions::default());
        read(bytes, &Expected { rate: Some(16000), samples, channels: None }, Path::new("x"), &mut mono)?;
        let wave = mono.finish(Path::new("x"))?;
        Ok((wave.samples().iter().map(|s| s * 32_768.0).collect(), wave.warnings().concat()))
    }

    fn whole(writer: Writer) -> Vec<f32> {
        let (samples, warning) = decoded(&writer.rice(QUIT, 2).bytes(), None).unwrap();
        assert_eq!(warning, "");
        samples
    }

    #[test]
    fn polynomials_predict() {
        for version in 1..=3 {
            let start = stream(version, 1, 0).block(0, &[1, 2, 4, 8]);
            for (function, next) in
                [(0, [1.0, 1.0, 1.0, 1.0]), (1, [9.0, 10.0, 11.0, 12.0]), (2, [13.0, 19.0, 26.0, 34.0])]
            {
                let samples = whole(start.clone().block(function, &[1; 4]));
                assert_eq!(samples, [&[1.0, 2.0, 4.0, 8.0], &next[..]].concat());
            }
            assert_eq!(whole(start.block(DIFF3, &[0; 4]))[4..], [14.0, 22.0, 32.0, 44.0]);
        }
    }

    #[test]
    fn coefficients_predict_and_round() {
        for (version, expected) in [(1, [7.0, 6.0, 5.0, 4.0]), (2, [8.0, 8.0, 8.0, 8.0])] {
            // 15/16 of the sample before; from version 2 on, a whole step is added before the point goes.
            let block = stream(version, 1, 0).block(0, &[0, 0, 0, 8]).rice(QLPC, 2).rice(2, 3).rice(1, 2);
            assert_eq!(whole(block.signed(&[30], 6).signed(&[0; 4], 3))[4..], expected);
        }
    }

    #[test]
    fn means_are_taken_off() {
        for (version, mean) in [(1, 2.0), (2, 3.0)] {
            // 11 / 4, and two means, one of which is nothing yet: rounded down, and to the nearest.
            let samples = whole(stream(version, 1, 1).block(0, &[2, 3, 3, 3]).block(0, &[0, 0, 0, 0]));
            assert_eq!(samples[4..], [mean; 4]);
        }
        // A shift scales the mean.
        let samples = whole(stream(2, 1, 1).block(0, &[8; 4]).rice(BITSHIFT, 2).rice(2, 2).block(0, &[1; 4]));
        assert_eq!(samples[4..], [12.0; 4]);
    }

    #[test]
    fn channels_shifts_sizes_and_silence() {
        let writer = stream(2, 2, 0).rice(BITSHIFT, 2).rice(1, 2).block(0, &[1; 4]);
        let writer = writer.rice(BITSHIFT, 2).rice(3, 2).block(0, &[1; 4]);
        let writer = writer.rice(BLOCKSIZE, 2).number(2).rice(ZERO, 2).block(1, &[0; 2]);
        assert_eq!(whole(writer), [5.0, 5.0, 5.0, 5.0, 4.0, 4.0]);
        // All bits are shifted out of silence in version 1.
        assert_eq!(whole(stream(1, 1, 0).rice(BITSHIFT, 2).rice(32, 2).block(0, &[0; 4])), [0.0; 4]);
    }

    #[test]
    fn short_and_long_streams() -> Result<()> {
        let bytes = stream(2, 2, 0).block(0, &[1; 4]).block(0, &[3; 4]).rice(QUIT, 2).bytes();
        assert_eq!(decoded(&bytes, Some(3))?, (vec![2.0; 3], String::new()));
        let missing = "incomplete: the header promises 5 samples, 4 are there";
        assert_eq!(decoded(&bytes, Some(5))?, (vec![2.0; 4], missing.to_owned()));
        let (samples, warning) = decoded(&bytes[..bytes.len() - 2], Some(4))?;
        assert_eq!((samples.len(), warning.as_str()), (1, "incomplete: the header promises 4 samples, 1 are there"));
        let (_, warning) = decoded(&bytes[..bytes.len() - 2], None)?;
        assert_eq!(warning, "truncated: the file ends in the middle of the sound");
        let (_, warning) = decoded(&stream(2, 1, 0).block(0, &[1; 4]).rice(12, 2).bytes(), None)?;
        assert_eq!(warning, "damaged after 4 samples: an unknown function in it");
        Ok(())
    }

    #[test]
    fn silence_without_end_is_not_believed() -> Result<()> {
        let start = Writer::new(2, &[5, 1, 65_535, 0, 0, 0]);
        let bytes = (0..10_000).fold(start, |writer, _| writer.rice(ZERO, 2)).bytes();
        let (samples, warning) = decoded(&bytes, Some(u64::MAX))?;
        assert!(samples.len() < 1 << 21 && warning.contains("more silence than is believed"), "{warning}");
        Ok(())
    }

    #[test]
    fn headers_that_make_no_sense_are_refused() {
        let error = |writer: Writer| decoded(&writer.bytes(), None).unwrap_err().to_string();
        let header = |header: [u32; 6]| error(Writer::new(2, &header));
        assert_eq!(
            header([11, 1, 4, 0, 0, 0]),
            "x: its shorten stream cannot be read: its samples are of no known kind"
        );
        assert_eq!(
            header([5, 65, 4, 0, 0, 0]),
            "x: its shorten stream cannot be read: it has not between 1 and 64 channels"
        );
        for [block, order, means, skipped] in
            [[0, 0, 0, 0], [65_536, 0, 0, 0], [4, 65, 0, 0], [4, 0, 257, 0], [4, 0, 0, 9]]
        {
            assert!(header([5, 1, block, order, means, skipped]).starts_with("x: its shorten stream cannot be read: "));
        }
        assert_eq!(
            error(Writer::new(4, &[5, 1, 4, 0, 0, 0])),
            "x: its shorten stream cannot be read: its version is none of 0 to 3"
        );
    }

    #[test]
    fn rates_are_found_in_wav_headers() {
        let fmt = b"fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0";
        assert_eq!(wav_rate(&[&b"RIFF....WAVE"[..], fmt].concat()), Some(8000));
        assert_eq!(wav_rate(&[&b"RIFF....WAVELIST\x03\0\0\0abc\0"[..], fmt].concat()), Some(8000));
        for size in [b"\xff\xff\xff\xff", b"\0\0\0\0"] {
            assert_eq!(wav_rate(&[&b"RIFF....WAVELIST"[..], size, b"fmt "].concat()), None);
        }
        assert_eq!(wav_rate(b"FORM....AIFF"), None);
    }

    proptest! {
        #[test]
        fn damaged_streams_never_panic(flips in prop::collection::vec((4usize..60, any::<u8>()), 1..6), version in 0u8..4) {
            let block = stream(version, 2, 3).block(0, &[1, -2, 3, -4]).block(2, &[1; 4]).rice(QLPC, 2).rice(2, 3);
            let block = block.rice(2, 2).signed(&[31, -7], 6).signed(&[1; 4], 3).rice(BITSHIFT, 2).rice(2, 2);
            let mut bytes = block.rice(ZERO, 2).rice(BLOCKSIZE, 2).number(7).block(1, &[9; 7]).rice(QUIT, 2).bytes();
            for (at, value) in flips {
                let at = at % bytes.len();
                bytes[at] ^= value;
            }
            let _ = decoded(&bytes, None);
            let _ = Waveform::read(bytes, "x", ReadOptions::default());
        }
    }
}
