//! Sample rate conversion, by rubato's FFT resampler, with its delay taken off.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// Lowest and highest rate that is believed, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 1000..=768_000;
/// Samples after which the two rates meet again, at most: blocks are twice as long, and memory grows with them.
const MOST_PERIOD: u32 = 100_000;
/// An odd rate above this counts as a rounder one that is nearly the same.
const EXACT_PERIOD: u32 = 50_000;

/// `samples` at `from` Hz to `to` Hz; `round(n to / from)` samples come out.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let mut resampling = Resampling::new(from, to)?;
    resampling.push(samples)?;
    resampling.finish()
}

/// A conversion that runs along while samples arrive. How they are cut into pieces changes nothing.
pub struct Resampling {
    resampler: Fft<f32>,
    rates: (u32, u32),
    /// Samples that the resampler takes at once.
    block: usize,
    /// Samples that have arrived and do not fill a block yet.
    pending: Vec<f32>,
    arrived: u64,
    /// Samples that were handed out already.
    taken: u64,
    /// What is left of the resampler's delay: samples of its output that come before the sound.
    delay: usize,
    output: Vec<f32>,
}

impl Resampling {
    /// From `from` Hz to `to` Hz.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        for rate in [from, to] {
            if !RATES.contains(&rate) {
                let (low, high) = (RATES.start(), RATES.end());
                return Err(Error::invalid(format!("a sample rate of {rate} Hz is outside {low} to {high} Hz")));
            }
        }
        // Blocks of an even number of samples on both sides: the delay, half a block, is then a whole number of samples.
        let (near, period) = round_rate(from, to);
        if period > MOST_PERIOD {
            return Err(failed((from, to), &"the two rates have too little in common"));
        }
        let block = (2 * period * (1024 / (2 * period)).max(1)) as usize;
        let (from_hz, to_hz, window) = (near as usize, to as usize, WindowFunction::BlackmanHarris2);
        let resampler = Fft::<f32>::new_custom(from_hz, to_hz, block, 1, 1, window, FixedSync::Input)
            .map_err(|e| failed((from, to), &e))?;
        let delay = resampler.output_delay();
        Ok(Self {
            resampler,
            rates: (from, to),
            block,
            pending: Vec::new(),
            arrived: 0,
            taken: 0,
            delay,
            output: Vec::new(),
        })
    }

    /// Takes the next samples.
    pub fn push(&mut self, samples: &[f32]) -> Result<()> {
        self.arrived += samples.len() as u64;
        self.pending.extend_from_slice(samples);
        let pending = std::mem::take(&mut self.pending);
        let blocks = pending.chunks_exact(self.block);
        self.pending = blocks.remainder().to_vec();
        for block in blocks {
            self.convert(block)?;
        }
        Ok(())
    }

    /// What has come out since this was last asked.
    pub fn take(&mut self) -> Vec<f32> {
        self.taken += self.output.len() as u64;
        std::mem::take(&mut self.output)
    }

    /// All that comes out, without what was taken.
    pub fn finish(mut self) -> Result<Vec<f32>> {
        let (from, to) = self.rates;
        let length = (self.arrived as f64 * f64::from(to) / f64::from(from)).round() as u64;
        let length = length.saturating_sub(self.taken) as usize;
        let mut rest = std::mem::take(&mut self.pending);
        while self.output.len() < length {
            rest.resize(self.block, 0.0);
            self.convert(&rest)?;
            rest.clear();
        }
        self.output.truncate(length);
        Ok(self.output)
    }

    fn convert(&mut self, block: &[f32]) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| failed(self.rates, e);
        let input = InterleavedSlice::new(block, 1, block.len()).map_err(|e| failed(&e))?;
        let out = self.resampler.process(&input, None).map_err(|e| failed(&e))?.take_data();
        let skip = self.delay.min(out.len());
        self.delay -= skip;
        self.output.extend_from_slice(&out[skip..]);
        Ok(())
    }
}

/// A rate that `from` may be taken for, and the period that it has with `to`. No recorder's clock is as exact as the
/// difference, a hundred-thousandth at most.
fn round_rate(from: u32, to: u32) -> (u32, u32) {
    let period = |rate| (rate, rate / gcd(rate, to));
    let exact = period(from);
    if exact.1 <= EXACT_PERIOD {
        return exact;
    }
    let reach = from / 100_000;
    (from - reach..=from + reach).map(period).min_by_key(|(_, period)| *period).unwrap_or(exact)
}

fn failed((from, to): (u32, u32), reason: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("resampling from {from} to {to} Hz: {reason}"))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_stays_a_tone_and_in_place() -> Result<()> {
        let tone = |rate: u32, n: usize| -> Vec<f32> {
            (0..n).map(|i| (std::f32::consts::TAU * 440.0 * i as f32 / rate as f32).sin()).collect()
        };
        for rate in [8000, 22050, 44100, 48000] {
            let out = resample(&tone(rate, rate as usize), rate, 16000)?;
            assert_eq!(out.len(), 16000);
            let worst = out.iter().zip(tone(16000, 16000)).skip(1000).take(14000).map(|(a, b)| (a - b).abs());
            assert!(worst.fold(0.0, f32::max) < 1e-3, "{rate}");
        }
        Ok(())
    }

    #[test]
    fn pieces_change_nothing() -> Result<()> {
        let noise: Vec<f32> = (0..30_000).map(|i| ((i * 7919 % 2003) as f32 / 1001.5) - 1.0).collect();
        for rate in [44100, 8000, 17600] {
            let mut resampling = Resampling::new(rate, 16000)?;
            for piece in noise.chunks(997) {
                resampling.push(piece)?;
            }
            assert_eq!(resampling.finish()?, resample(&noise, rate, 16000)?);
            let mut resampling = Resampling::new(rate, 16000)?;
            let mut out = Vec::new();
            for piece in noise.chunks(1997) {
                resampling.push(piece)?;
                out.extend(resampling.take());
            }
            out.extend(resampling.finish()?);
            assert_eq!(out, resample(&noise, rate, 16000)?);
        }
        Ok(())
    }

    #[test]
    fn odd_lengths_and_rates_work() -> Result<()> {
        assert_eq!(resample(&[0.5], 44100, 16000)?.len(), 0);
        assert_eq!(resample(&[0.5], 8000, 16000)?.len(), 2);
        assert_eq!(resample(&[0.1; 999], 44101, 16000)?.len(), 362);
        assert!(resample(&[0.5], 1, 16000).is_err());
        assert_eq!((round_rate(44_101, 16000), round_rate(767_999, 16000)), ((44_101, 44_101), (768_000, 48)));
        assert_eq!(resample(&[0.1; 7680], 767_999, 16000)?.len(), 160);
        assert!(resample(&[0.5], 700_001, 15_991).is_err());
        Ok(())
    }
}
