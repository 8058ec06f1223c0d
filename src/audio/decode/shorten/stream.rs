//! A shorten stream: its header, and the functions that make blocks of samples.
#![forbid(unsafe_code)]

use super::MAGIC;
use super::bits::{Bits, Broken};
use super::kind::Kind;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

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

// Functions. The first four predict the mean, the sample before, a straight line, and a parabola.
pub(super) const DIFF3: u32 = 3;
pub(super) const QUIT: u32 = 4;
pub(super) const BLOCKSIZE: u32 = 5;
pub(super) const BITSHIFT: u32 = 6;
pub(super) const QLPC: u32 = 7;
pub(super) const ZERO: u32 = 8;
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
pub struct Stream<'a> {
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
    /// Reads the header.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Broken> {
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
    pub fn blocks(&mut self) -> Result<bool, Broken> {
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
            // Version 0 counts the bit of the sign.
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
    pub fn frames(&self) -> usize {
        self.channels.iter().map(|channel| channel.samples.len() - self.back).min().unwrap_or(0)
    }

    /// Sample `at` of every channel's block.
    pub fn frame(&self, at: usize) -> impl Iterator<Item = f32> {
        self.channels.iter().map(move |channel| self.kind.sample(channel.samples[self.back + at], channel.shift))
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Bytes beside the samples, so far.
    pub fn verbatim(&self) -> &[u8] {
        &self.verbatim
    }
}

fn within(number: u32, range: RangeInclusive<u32>, otherwise: &'static str) -> Result<u32, Broken> {
    if range.contains(&number) { Ok(number) } else { Err(Broken::Damaged(otherwise)) }
}
