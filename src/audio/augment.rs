//! Changes to training recordings that keep what is said: speed, level, noise.
#![forbid(unsafe_code)]

use super::Waveform;
use crate::error::Result;
use crate::rng::Rng;

/// Plays the sound `factor` times as fast: tempo and pitch change together (Ko et al. 2015).
pub fn speed(wave: Waveform, factor: f32) -> Result<Waveform> {
    let rate = wave.sample_rate;
    // To a hundredth, so that the resampler's blocks stay short.
    let played = (f64::from(rate) * (f64::from(factor) * 100.0).round() / 100.0).round() as u32;
    Ok(Waveform { sample_rate: rate, ..Waveform { sample_rate: played, ..wave }.resampled(rate)? })
}

/// Adds noise whose spectrum falls by a random amount, from white to brown, at `snr_db` decibels below the speech.
pub fn add_noise(samples: &mut [f32], snr_db: f32, rng: &mut Rng) {
    let colour = rng.range(0.0, 0.98);
    let mut state = 0.0;
    let noise: Vec<f32> = samples
        .iter()
        .map(|_| {
            state = colour * state + rng.range(-1.0, 1.0);
            state
        })
        .collect();
    let power = |x: &[f32]| x.iter().map(|v| v * v).sum::<f32>() / x.len().max(1) as f32;
    let gain = (power(samples) / power(&noise).max(f32::MIN_POSITIVE)).sqrt() * 10_f32.powf(-snr_db / 20.0);
    samples.iter_mut().zip(noise).for_each(|(s, n)| *s += gain * n);
}

impl Waveform {
    /// The samples, to be changed in place.
    pub fn samples_mut(&mut self) -> &mut [f32] {
        &mut self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_changes_the_length() -> Result<()> {
        let wave = Waveform::new(vec![0.1; 16000], 16000)?;
        let fast = speed(wave, 1.1)?;
        assert_eq!((fast.sample_rate(), fast.samples().len()), (16000, 14545));
        Ok(())
    }

    #[test]
    fn noise_has_the_asked_level() {
        let mut samples: Vec<f32> = (0..16000).map(|i| (i as f32 * 0.3).sin()).collect();
        let clean = samples.clone();
        add_noise(&mut samples, 10.0, &mut Rng::stream(1, "noise", 0));
        let power = |x: &mut dyn Iterator<Item = f32>| x.map(|v| v * v).sum::<f32>();
        let ratio = power(&mut clean.iter().copied()) / power(&mut clean.iter().zip(&samples).map(|(a, b)| b - a));
        assert!((10.0 * ratio.log10() - 10.0).abs() < 0.1);
    }
}
