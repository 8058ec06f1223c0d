//! Log-mel energies equal to Kaldi's (feat/feature-fbank.cc), and the whole front end in one call.
#![forbid(unsafe_code)]

use super::deltas;
use super::mel::MelBank;
use super::{Cmvn, CmvnAccumulator, Features, FrontEnd, Normalize};
use crate::audio::Waveform;
use crate::error::Result;
use realfft::{RealFftPlanner, RealToComplex};
use std::ops::Range;
use std::sync::Arc;

/// Makes features as one [`FrontEnd`] says. Tables and the Fourier transform's plan are made once.
#[derive(Clone)]
pub struct FeatureExtractor {
    front: FrontEnd,
    window: Vec<f32>,
    shift: usize,
    fft: Arc<dyn RealToComplex<f32>>,
    mel: Arc<MelBank>,
}

impl FeatureExtractor {
    /// Fails if the front end's values make no sense.
    pub fn new(front: &FrontEnd) -> Result<Self> {
        front.validate()?;
        let (length, shift) = front.frame_samples();
        let fft_size = length.next_power_of_two();
        Ok(Self {
            front: front.clone(),
            window: front.window.weights(length),
            shift,
            fft: RealFftPlanner::new().plan_fft_forward(fft_size),
            mel: Arc::new(MelBank::new(front, fft_size, 1.0)),
        })
    }

    /// The same front end for a speaker whose frequencies are `warp` times, and whose pace is `tempo` times, what they
    /// are: the filters are stretched and the frames' starts move apart.
    pub fn perturbed(&self, warp: f32, tempo: f32) -> Self {
        let shift = (self.shift as f32 * tempo).round().max(1.0) as usize;
        let mel = Arc::new(MelBank::new(&self.front, self.window.len().next_power_of_two(), warp.into()));
        Self { shift, mel, ..self.clone() }
    }

    /// The front end.
    pub fn front(&self) -> &FrontEnd {
        &self.front
    }

    /// Frames of `samples` samples: those that lie inside entirely, and one for a sound shorter than a frame, which is
    /// filled up with silence.
    pub fn frames(&self, samples: usize) -> usize {
        1 + samples.saturating_sub(self.window.len()) / self.shift
    }

    /// Log-mel energies (and log energy first, if asked for), unnormalised; samples in [-1, 1] at the front end's rate.
    /// They are scaled to 16 bits first, as Kaldi's are.
    pub fn fbank(&self, samples: &[f32]) -> Features {
        let (length, dim) = (self.window.len(), self.front.bins + usize::from(self.front.energy));
        let frames = self.frames(samples.len());
        let mut data = vec![0.0; frames * dim];
        let (mut frame, mut spectrum) = (self.fft.make_input_vec(), self.fft.make_output_vec());
        let (mut scratch, mut power) = (self.fft.make_scratch_vec(), vec![0.0; spectrum.len()]);
        for (t, out) in data.chunks_exact_mut(dim).enumerate() {
            let start = t * self.shift;
            let inside = &samples[start.min(samples.len())..(start + length).min(samples.len())];
            frame.fill(0.0);
            frame.iter_mut().zip(inside).for_each(|(f, s)| *f = s * 32768.0);
            let energy = self.shape(&mut frame[..length]);
            // The buffers come from the plan itself, so that their sizes always fit.
            let _ = self.fft.process_with_scratch(&mut frame, &mut spectrum, &mut scratch);
            power.iter_mut().zip(&spectrum).for_each(|(p, c)| *p = c.norm_sqr());
            let bins = if self.front.energy {
                out[0] = energy.max(f32::EPSILON).ln();
                &mut out[1..]
            } else {
                out
            };
            self.mel.log_energies(&power, bins);
        }
        Features { data, frames, dim }
    }

    /// Takes off the mean, emphasises high frequencies, applies the window. Returns the energy after the mean is off.
    fn shape(&self, frame: &mut [f32]) -> f32 {
        let mean = frame.iter().sum::<f32>() / frame.len() as f32;
        frame.iter_mut().for_each(|x| *x -= mean);
        let energy = frame.iter().map(|x| x * x).sum();
        for i in (1..frame.len()).rev() {
            frame[i] -= self.front.preemphasis * frame[i - 1];
        }
        frame[0] -= self.front.preemphasis * frame[0];
        frame.iter_mut().zip(&self.window).for_each(|(x, w)| *x *= w);
        energy
    }

    /// Features before normalisation: resampled if need be, with derivatives, not stacked.
    pub fn raw(&self, wave: Waveform) -> Result<Features> {
        let wave = wave.resampled(self.front.sample_rate)?;
        Ok(self.raw_frames(wave.samples(), &(0..self.frames(wave.samples().len()))))
    }

    /// Some of the frames that [`FeatureExtractor::raw`] would give; samples at the front end's rate.
    pub fn raw_frames(&self, samples: &[f32], frames: &Range<usize>) -> Features {
        let reach = deltas::REACH * self.front.deltas;
        let seen = frames.start.saturating_sub(reach)..(frames.end + reach).min(self.frames(samples.len()));
        let end = ((seen.end - 1) * self.shift + self.window.len()).min(samples.len());
        let mut features = self.fbank(&samples[(seen.start * self.shift).min(end)..end]);
        if self.front.deltas > 0 {
            features = deltas::add_deltas(&features, self.front.deltas);
        }
        features.cut(frames.start - seen.start..frames.end - seen.start)
    }

    /// Normalises features made by [`FeatureExtractor::raw`].
    pub fn normalize(&self, features: &mut Features, cmvn: &Cmvn) {
        match self.front.normalize {
            Normalize::None => {}
            Normalize::Global => cmvn.apply(features),
            Normalize::Utterance => {
                let mut sums = CmvnAccumulator::new(features.dim);
                sums.add(features);
                sums.finish().apply(features);
            }
        }
    }

    /// The whole front end: `[frames, front.dim()]`.
    pub fn extract(&self, wave: Waveform, cmvn: &Cmvn) -> Result<Features> {
        let mut features = self.raw(wave)?;
        self.normalize(&mut features, cmvn);
        Ok(features.stacked(self.front.stack))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_as_kaldi_does() -> Result<()> {
        let extractor = FeatureExtractor::new(&FrontEnd::default())?;
        let counts = [0, 1, 399, 400, 559, 560, 16000].map(|n| extractor.frames(n));
        assert_eq!(counts, [1, 1, 1, 1, 1, 2, 98]);
        Ok(())
    }

    #[test]
    fn silence_is_the_floor_and_a_tone_peaks_in_its_filter() -> Result<()> {
        let extractor = FeatureExtractor::new(&FrontEnd::default())?;
        let silence = extractor.fbank(&[0.0; 800]);
        assert!(silence.data.iter().all(|x| *x == f32::EPSILON.ln()));
        let tone: Vec<f32> = (0..800).map(|i| (std::f32::consts::TAU * 1000.0 * i as f32 / 16000.0).sin()).collect();
        let features = extractor.fbank(&tone);
        let row = &features.data[..40];
        let peak = (0..40).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        // 1000 Hz is 1000 mel; the filters' centres lie 68.5 mel apart from 31.7 on.
        assert_eq!(peak, Some(13));
        Ok(())
    }

    #[test]
    fn a_perturbed_speaker_is_higher_and_faster() -> Result<()> {
        let extractor = FeatureExtractor::new(&FrontEnd::default())?;
        let tone: Vec<f32> = (0..8000).map(|i| (std::f32::consts::TAU * 1000.0 * i as f32 / 16000.0).sin()).collect();
        let peak = |features: &Features| (0..40).max_by(|a, b| features.data[*a].total_cmp(&features.data[*b]));
        let higher = extractor.perturbed(1.2, 1.25).fbank(&tone);
        // 1200 Hz are 1125 mel, one filter and a half above.
        assert_eq!((peak(&extractor.fbank(&tone)), peak(&higher)), (Some(13), Some(15)));
        assert_eq!((extractor.frames(8000), higher.frames), (48, 39));
        assert_eq!(extractor.perturbed(1.0, 1.0).fbank(&tone), extractor.fbank(&tone));
        Ok(())
    }

    #[test]
    fn dimensions_follow_the_front_end() -> Result<()> {
        let front =
            FrontEnd { deltas: 2, energy: true, stack: 3, normalize: Normalize::Utterance, ..Default::default() };
        let wave = Waveform::new((0..8000).map(|i| (i as f32 * 0.1).sin()).collect(), 8000)?;
        let features = FeatureExtractor::new(&front)?.extract(wave, &Cmvn::identity(123))?;
        assert_eq!((features.frames, features.dim), (33, front.dim()));
        assert_eq!(front.dim(), 369);
        Ok(())
    }
}
