//! What is changed in a training utterance each time it is seen.
#![forbid(unsafe_code)]

use crate::audio::{Waveform, augment};
use crate::error::{Error, Result};
use crate::features::{FeatureExtractor, SpecAugment};
use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Additive noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Noise {
    /// Share of the utterances that get some.
    pub probability: f32,
    /// Lowest ratio of speech to noise, decibels.
    pub snr_low_db: f32,
    /// Highest.
    pub snr_high_db: f32,
}

impl Default for Noise {
    fn default() -> Self {
        Self { probability: 0.5, snr_low_db: 10.0, snr_high_db: 40.0 }
    }
}

/// Changes to training utterances. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// One of these speeds is drawn each time; none: as recorded.
    pub speeds: Vec<f32>,
    /// Vocal tract length perturbation (Jaitly and Hinton 2013): frequencies are stretched by up to this share, up or
    /// down.
    pub vtlp: f32,
    /// The pace changes by up to this share, up or down, pitch and formants staying what they are.
    pub tempo: f32,
    /// The level moves by up to so many decibels, up or down.
    pub gain_db: f32,
    /// Additive noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
    /// SpecAugment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<SpecAugment>,
}

impl Augment {
    /// Fails, naming the value, if one makes no sense.
    pub fn validate(&self) -> Result<()> {
        let noise = self.noise.clone().unwrap_or_default();
        let checks = [
            (self.speeds.iter().all(|s| (0.5..=2.0).contains(s)), "speeds must lie between 0.5 and 2"),
            ((0.0..=0.5).contains(&self.vtlp), "vtlp must lie between 0 and 0.5"),
            ((0.0..=0.5).contains(&self.tempo), "tempo must lie between 0 and 0.5"),
            ((0.0..=60.0).contains(&self.gain_db), "gain_db must lie between 0 and 60"),
            ((0.0..=1.0).contains(&noise.probability), "noise.probability must lie between 0 and 1"),
            (noise.snr_low_db <= noise.snr_high_db, "noise.snr_low_db must not lie above noise.snr_high_db"),
            (noise.snr_low_db >= -20.0 && noise.snr_high_db <= 120.0, "noise's ratios must lie between -20 and 120 dB"),
        ];
        if let Some((_, reason)) = checks.iter().find(|(fine, _)| !fine) {
            return Err(Error::invalid(format!("augment: {reason}")));
        }
        self.spec.as_ref().map_or(Ok(()), SpecAugment::validate).map_err(|e| Error::invalid(format!("augment: {e}")))
    }

    /// The front end of the speaker that the utterance gets. `fits` tells whether a front end's frames are enough for
    /// the utterance's labels: if they are not, the pace is left as it was.
    pub fn front<'a>(
        &self,
        extractor: &'a FeatureExtractor,
        rng: &mut Rng,
        fits: impl Fn(&FeatureExtractor) -> bool,
    ) -> Cow<'a, FeatureExtractor> {
        if self.vtlp == 0.0 && self.tempo == 0.0 {
            return Cow::Borrowed(extractor);
        }
        let (warp, tempo) = (1.0 + self.vtlp * rng.range(-1.0, 1.0), 1.0 + self.tempo * rng.range(-1.0, 1.0));
        let perturbed = extractor.perturbed(warp, tempo);
        Cow::Owned(if fits(&perturbed) { perturbed } else { extractor.perturbed(warp, 1.0) })
    }

    /// Changes a recording. `fits` tells whether a number of samples is enough for the utterance's labels: if it is not,
    /// the speed is left as it was.
    pub fn waveform(&self, wave: Waveform, rng: &mut Rng, fits: impl Fn(usize) -> bool) -> Result<Waveform> {
        let speed = if self.speeds.is_empty() { 1.0 } else { self.speeds[rng.below(self.speeds.len())] };
        let gain = 10_f32.powf(rng.range(-1.0, 1.0) * self.gain_db / 20.0);
        let mut wave = if speed != 1.0 && fits((wave.samples().len() as f32 / speed) as usize) {
            augment::speed(wave, speed)?
        } else {
            wave
        };
        if let Some(noise) = &self.noise
            && rng.uniform() < noise.probability
        {
            let snr_db = rng.range(noise.snr_low_db, noise.snr_high_db);
            augment::add_noise(wave.samples_mut(), snr_db, rng);
        }
        if gain != 1.0 {
            wave.samples_mut().iter_mut().for_each(|s| *s *= gain);
        }
        Ok(wave)
    }
}
