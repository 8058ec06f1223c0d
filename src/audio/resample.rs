//! Sample rate conversion, by rubato's FFT resampler, with its delay taken off.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// Lowest and highest rate that is believed, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 100..=768_000;

/// `samples` at `from` Hz to `to` Hz; `round(n to / from)` samples come out.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    for rate in [from, to] {
        if !RATES.contains(&rate) {
            return Err(Error::invalid(format!(
                "a sample rate of {rate} Hz is outside {} to {} Hz",
                RATES.start(),
                RATES.end()
            )));
        }
    }
    let length = (samples.len() as f64 * f64::from(to) / f64::from(from)).round() as usize;
    if samples.is_empty() || length == 0 {
        return Ok(vec![0.0; length]);
    }
    let failed = |e: &dyn std::fmt::Display| Error::invalid(format!("resampling from {from} to {to} Hz: {e}"));
    // Blocks of an even number of samples on both sides: the delay, half a block, is then a whole number of samples.
    let period = from / gcd(from, to);
    let block = (2 * period * (1024 / (2 * period)).max(1)) as usize;
    let (from_hz, to_hz, window) = (from as usize, to as usize, WindowFunction::BlackmanHarris2);
    let mut resampler =
        Fft::<f32>::new_custom(from_hz, to_hz, block, 1, 1, window, FixedSync::Input).map_err(|e| failed(&e))?;
    let input = InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| failed(&e))?;
    let mut output = resampler.process_all(&input, samples.len(), None).map_err(|e| failed(&e))?.take_data();
    output.resize(length, 0.0);
    Ok(output)
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
    fn odd_lengths_and_rates_work() -> Result<()> {
        assert_eq!(resample(&[0.5], 44100, 16000)?.len(), 0);
        assert_eq!(resample(&[0.5], 8000, 16000)?.len(), 2);
        assert_eq!(resample(&[0.1; 999], 44101, 16000)?.len(), 362);
        assert!(resample(&[0.5], 1, 16000).is_err());
        Ok(())
    }
}
