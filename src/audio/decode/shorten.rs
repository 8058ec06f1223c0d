//! Shorten, Tony Robinson's lossless compression: as NIST put it into SPHERE, and as `.shn` files.
//!
//! A stream is a header and functions. Most of them are a block of one channel, predicted from the samples before it;
//! the differences are written in Rice's code. Versions 0 to 3.
#![forbid(unsafe_code)]

mod bits;
mod kind;

use super::{Mono, Source};
use crate::error::{Error, Result};
use bits::{Bits, Broken};
use kind::Kind;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::Path;

/// How a stream begins.
pub const MAGIC: &[u8] = b"ajkg";

const LAST_VERSION: u8 = 3;
const MOST_CHANNELS: u32 = 64;
/// Samples of a block. Encoders write 256, or what is asked of them.
const MOST_BLOCK: u32 = 65_535;
/// Coefficients of a predictor, as the original program has it.
const MOST_ORDER: u32 = 64;
/// Blocks whose means are remembered. Encoders write 4.
const MOST_MEANS: u32 = 256;
/// Bytes beside the samples: the header of a WAV file.
const MOST_VERBATIM: usize = 1 << 20;
/// Samples that are believed: so many in any case, and so many of a byte. A block of silence is five bits; those of 256
/// samples make 410 samples of a byte.
const MOST_SAMPLES: (u64, u64) = (1 << 20, 512);

// Functions. The first four predict by a polynomial of that degree less one.
const DIFF3: u32 = 3;
const QUIT: u32 = 4;
const BLOCKSIZE: u32 = 5;
const BITSHIFT: u32 = 6;
const QLPC: u32 = 7;
const ZERO: u32 = 8;
const VERBATIM: u32 = 9;

/// Bits behind the point in the coefficients of a predictor.
const FRACTION: u32 = 5;

/// One channel.
struct Channel {
    /// As many samples as prediction looks back, then those of the block; without the bits that are shifted out.
    samples: Vec<i32>,
    /// How many those are.
    shift: u32,
    /// Means of the latest blocks, with those bits.
    means: VecDeque<i64>,
}

/// A stream that is being read.
struct Stream<'a> {
    bits: Bits<'a>,
    version: u8,
    kind: Kind,
    channels: Vec<Channel>,
    /// Samples of a block.
    block: usize,
    /// Samples that prediction looks back.
    back: usize,
    /// Bits that are zero in all samples of the blocks to come, and are not written.
    shift: u32,
    /// Bytes beside the samples.
    verbatim: Vec<u8>,
}

impl<'a> Stream<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Broken> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Broken::Damaged("it does not begin with ajkg"))?;
        let (&version, rest) = rest.split_first().ok_or(Broken::Ends)?;
        if version > LAST_VERSION {
            return Err(Broken::Damaged("its version is none of 0 to 3"));
        }
        let mut bits = Bits::new(rest);
        let mut number = |low: u32| if version == 0 { bits.rice(low) } else { bits.number() };
        let kind = Kind::new(number(4)?).ok_or(Broken::Damaged("its samples are of no known kind"))?;
        let channels = within(number(0)?, 1..=MOST_CHANNELS, "it has not between 1 and 64 channels")?;
        let (mut block, mut order, mut means, mut skipped) = (256, 0, 0, 0);
        if version > 0 {
            block = within(number(8)?, 1..=MOST_BLOCK, "the size of its blocks makes no sense")?;
            order = within(number(2)?, 0..=MOST_ORDER, "its prediction looks back too far")?;
            means = within(number(0)?, 0..=MOST_MEANS, "it asks for too many means")?;
            skipped = number(1)?;
        }
        for _ in 0..skipped {
            bits.rice(7)?;
        }
        let back = order.max(DIFF3) as usize;
        let means = VecDeque::from(vec![kind.silence(); means as usize]);
        let channel = || Channel { samples: vec![0; back], shift: 0, means: means.clone() };
        let channels = (0..channels).map(|_| channel()).collect();
        let block = block as usize;
        Ok(Self { bits, version, kind, channels, block, back, shift: 0, verbatim: Vec::new() })
    }

    /// Reads the next block of every channel; false at the end.
    fn blocks(&mut self) -> Result<bool, Broken> {
        for channel in &mut self.channels {
            let read = channel.samples.len() - self.back;
            channel.samples.drain(..read);
        }
        let mut channel = 0;
        while channel < self.channels.len() {
            match self.bits.rice(2)? {
                function @ (0..=DIFF3 | QLPC | ZERO) => {
                    self.one_block(channel, function)?;
                    channel += 1;
                }
                QUIT => return Ok(false),
                BLOCKSIZE if channel > 0 => return Err(Broken::Damaged("the size of blocks changes within one")),
                BLOCKSIZE => {
                    let low = self.block.ilog2();
                    let size = if self.version == 0 { self.bits.rice(low)? } else { self.bits.number()? };
                    self.block = within(size, 1..=MOST_BLOCK, "the size of its blocks makes no sense")? as usize;
                }
                BITSHIFT => {
                    let most = self.kind.most_shift();
                    self.shift = within(self.bits.rice(2)?, 0..=most, "it shifts too many bits out")?;
                }
                VERBATIM => {
                    for _ in 0..self.bits.rice(5)? {
                        self.verbatim.push(self.bits.rice(8)? as u8);
                    }
                    if self.verbatim.len() > MOST_VERBATIM {
                        return Err(Broken::Damaged("more beside its samples than any header has"));
                    }
                }
                _ => return Err(Broken::Damaged("an unknown function in it")),
            }
        }
        Ok(true)
    }

    fn one_block(&mut self, at: usize, function: u32) -> Result<(), Broken> {
        let low = match function {
            ZERO => 0,
            // Until version 0 the bit of the sign was counted.
            _ => self.bits.rice(3)?.saturating_add(u32::from(self.version > 0)),
        };
        let offset = self.offset(at);
        self.channels[at].shift = self.shift;
        let Self { bits, channels, block, back, .. } = self;
        let samples = &mut channels[at].samples;
        let mut next = |predicted: i32| Ok(bits.signed(low)?.wrapping_add(predicted));
        match function {
            ZERO => samples.resize(*back + *block, 0),
            QLPC => return self.predicted_block(at, low, offset),
            _ => {
                for i in *back..*back + *block {
                    let [a, b, c] = [1, 2, 3].map(|n| samples[i - n]);
                    samples.push(next(match function {
                        0 => offset,
                        1 => a,
                        2 => a.wrapping_mul(2).wrapping_sub(b),
                        _ => a.wrapping_sub(b).wrapping_mul(3).wrapping_add(c),
                    })?);
                }
            }
        }
        self.remember_mean(at);
        Ok(())
    }

    /// A block that is predicted with coefficients of its own.
    fn predicted_block(&mut self, at: usize, low: u32, offset: i32) -> Result<(), Broken> {
        let order = within(self.bits.rice(2)?, 0..=self.back as u32, "a predictor in it looks back too far")? as usize;
        let coefficients = (0..order).map(|_| self.bits.signed(FRACTION + 1)).collect::<Result<Vec<_>, _>>()?;
        let rounding = if self.version < 2 { 0 } else { 1 << FRACTION };
        let samples = &mut self.channels[at].samples;
        for i in self.back..self.back + self.block {
            let before = samples[i - order..i].iter().rev();
            let sum = before.zip(&coefficients).fold(rounding, |sum: i64, (sample, coefficient)| {
                let sample = i64::from(sample.wrapping_sub(offset));
                sum.wrapping_add(sample.wrapping_mul(i64::from(*coefficient)))
            });
            let predicted = ((sum >> FRACTION) as i32).wrapping_add(offset);
            samples.push(self.bits.signed(low)?.wrapping_add(predicted));
        }
        self.remember_mean(at);
        Ok(())
    }

    /// What is taken for the mean of the block to come. Division rounds towards zero, as the original program's does.
    fn offset(&self, at: usize) -> i32 {
        let means = &self.channels[at].means;
        let Some(count) = Some(means.len() as i64).filter(|count| *count > 0) else {
            return self.kind.silence() as i32;
        };
        let sum = |rounding: i64| means.iter().fold(rounding, |sum, mean| sum.wrapping_add(*mean));
        (if self.version < 2 { sum(0) / count } else { (sum(count / 2) / count) >> self.shift }) as i32
    }

    fn remember_mean(&mut self, at: usize) {
        let Channel { samples, means, shift } = &mut self.channels[at];
        if means.pop_front().is_some() {
            let (sum, count) = (samples[self.back..].iter().map(|s| i64::from(*s)).sum::<i64>(), self.block as i64);
            means.push_back(if self.version < 2 { sum / count } else { ((sum + count / 2) / count) << *shift });
        }
    }

    /// Samples that every channel has of its block.
    fn frames(&self) -> usize {
        self.channels.iter().map(|channel| channel.samples.len() - self.back).min().unwrap_or(0)
    }
}

fn within(number: u32, range: RangeInclusive<u32>, otherwise: &'static str) -> Result<u32, Broken> {
    if range.contains(&number) { Ok(number) } else { Err(Broken::Damaged(otherwise)) }
}

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
    let channels = stream.channels.len();
    if let Some(promised) = expected.channels.filter(|promised| *promised != channels) {
        let reason = format!("its channel_count is {promised}, but its shorten stream has {channels} channels");
        return Err(Error::audio(name, reason));
    }
    mono.check(channels, name)?;
    decode(&mut stream, bytes.len() as u64, expected, name, mono)
}

fn decode(stream: &mut Stream, size: u64, expected: &Expected, name: &Path, mono: &mut Mono) -> Result<()> {
    let channels = stream.channels.len();
    let believed = (MOST_SAMPLES.0 + MOST_SAMPLES.1 * size) / channels as u64;
    let promised = expected.samples;
    let most = promised.unwrap_or(u64::MAX);
    let (mut there, mut frame) = (0_u64, vec![0.0; channels]);
    loop {
        let more = stream.blocks();
        let frames = (stream.frames() as u64).min(most - there);
        if frames > 0 && there == 0 {
            let unknown =
                || Error::audio(name, "a shorten stream without a WAV header in it: its sample rate is unknown");
            mono.set_rate(expected.rate.or_else(|| wav_rate(&stream.verbatim)).ok_or_else(unknown)?, name)?;
        }
        if there + frames > believed {
            mono.warn(format!("damaged after {there} samples: more silence than a stream of {size} bytes can hold"));
            return Ok(());
        }
        for i in 0..frames as usize {
            for (to, channel) in frame.iter_mut().zip(&stream.channels) {
                *to = stream.kind.sample(channel.samples[stream.back + i], channel.shift);
            }
            mono.push(&frame, name)?;
        }
        there += frames;
        let missing = promised.filter(|promised| *promised > there);
        match more {
            Ok(true) if there < most => {}
            Err(Broken::Damaged(why)) if there < most => {
                mono.warn(format!("damaged after {there} samples: {why}"));
                return Ok(());
            }
            Err(Broken::Ends) if promised.is_none() => {
                mono.warn("truncated: the file ends in the middle of the sound".to_owned());
                return Ok(());
            }
            _ => {
                if let Some(promised) = missing {
                    mono.warn(format!("incomplete: the header promises {promised} samples, {there} are there"));
                }
                return Ok(());
            }
        }
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
        assert!(samples.len() < 1 << 23 && warning.contains("more silence than"), "{warning}");
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
