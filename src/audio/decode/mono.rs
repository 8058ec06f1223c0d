//! Where decoded samples go: channels are mixed down, and the sample rate is converted, while they arrive.
#![forbid(unsafe_code)]

use crate::audio::resample::{RATES, Resampling};
use crate::audio::{Channel, ReadOptions, Waveform, impossible};
use crate::error::{Error, Result};
use std::path::Path;

const MOST_CHANNELS: usize = 64;
/// Samples that are handed on to the conversion together.
const BLOCK: usize = 1 << 16;

/// See the module.
pub struct Mono {
    options: ReadOptions,
    samples: Vec<f32>,
    rate: u32,
    resampling: Option<Resampling>,
    /// Samples that have gone into `resampling`.
    handed_on: usize,
    warnings: Vec<String>,
}

impl Mono {
    /// Nothing yet.
    pub fn new(options: ReadOptions) -> Self {
        Self { options, samples: Vec::new(), rate: 0, resampling: None, handed_on: 0, warnings: Vec::new() }
    }

    /// Fails if so many channels make no sense, or if the one that is wanted is not among them.
    pub fn check(&self, channels: usize, name: &Path) -> Result<()> {
        if channels == 0 || channels > MOST_CHANNELS {
            return Err(Error::audio(name, format!("{channels} channels: between 1 and {MOST_CHANNELS} can be read")));
        }
        match self.options.channel {
            Channel::Only(n) if n >= channels => {
                Err(Error::audio(name, format!("there is no channel {n}: it has {channels}, counted from 0")))
            }
            _ => Ok(()),
        }
    }

    /// The rate of the samples that follow.
    pub fn set_rate(&mut self, rate: u32, name: &Path) -> Result<()> {
        if self.rate == rate {
            return Ok(());
        }
        if self.rate != 0 {
            let before = self.rate;
            return Err(Error::audio(name, format!("the sample rate changes from {before} to {rate} Hz on the way")));
        }
        self.rate = rate;
        if let Some(wanted) = self.options.sample_rate.filter(|wanted| *wanted != rate && RATES.contains(&rate)) {
            self.resampling = Some(Resampling::new(rate, wanted)?);
        }
        Ok(())
    }

    /// Samples so far, at the file's own rate.
    pub fn len(&self) -> usize {
        self.handed_on + self.samples.len()
    }

    /// Takes a sample of each channel.
    pub fn push(&mut self, frame: &[f32], name: &Path) -> Result<()> {
        self.samples.push(match self.options.channel {
            Channel::Mix => frame.iter().sum::<f32>() / frame.len() as f32,
            Channel::Only(n) => frame[n],
        });
        if self.resampling.is_some() && self.samples.len() >= BLOCK { self.hand_on(name) } else { Ok(()) }
    }

    fn hand_on(&mut self, name: &Path) -> Result<()> {
        if let Some(resampling) = &mut self.resampling {
            // A number that can be no sample would spread over its neighbours: it is found here or never.
            if let Some(reason) = impossible(&self.samples, self.handed_on) {
                return Err(Error::audio(name, reason));
            }
            resampling.push(&self.samples)?;
            self.handed_on += self.samples.len();
            self.samples.clear();
        }
        Ok(())
    }

    /// Remembers something that is wrong with the file although it can be decoded.
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// The recording.
    pub fn finish(mut self, name: &Path) -> Result<Waveform> {
        if self.len() == 0 {
            let reason = self.warnings.into_iter().next();
            let reason = reason.unwrap_or("no sound in it: it has a header but no samples".to_owned());
            return Err(Error::audio(name, reason));
        }
        if !RATES.contains(&self.rate) {
            return Err(Error::audio(name, format!("a sample rate of {} Hz cannot be right", self.rate)));
        }
        self.hand_on(name)?;
        let (samples, rate) = match self.resampling {
            Some(resampling) => (resampling.finish()?, self.options.sample_rate.unwrap_or(self.rate)),
            None => (self.samples, self.rate),
        };
        let wave = Waveform::new(samples, rate).map_err(|e| Error::audio(name, e.to_string()))?;
        Ok(Waveform { warnings: self.warnings, ..wave })
    }
}
