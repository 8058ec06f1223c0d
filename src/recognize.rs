//! The pipeline: a recording in, transcripts out.
//!
//! A recording of up to [`WINDOW_SECONDS`] is seen whole. A longer one is cut into windows that overlap; what the
//! network says near a window's edges, where it lacks context, is taken from the neighbour. So memory beyond the samples
//! themselves stays bounded, however long the recording.
#![forbid(unsafe_code)]

use crate::align::{Alignment, Sound};
use crate::audio::Waveform;
use crate::corpus::Batch;
use crate::decode::{Clock, Decoder, DecoderConfig, Hypothesis, LogProbs, Segment};
use crate::error::Result;
use crate::features::{Cmvn, CmvnAccumulator, FeatureExtractor, Features, Normalize};
use crate::lexicon::Word;
use crate::model::{Mode, Model, Precision};
use crate::nn::op;
use crate::phones::Labels;
use candle_core::Tensor;
use std::ops::Range;

/// Recordings up to this length are seen whole, in seconds.
pub const WINDOW_SECONDS: f64 = 40.0;
/// What a window of a longer recording sees before and after the part that it is responsible for, in seconds.
pub const CONTEXT_SECONDS: f64 = 2.0;
/// Windows that go through the network together.
const WINDOWS_AT_ONCE: usize = 4;

/// A model ready to be used.
pub struct Recognizer {
    model: Model,
    extractor: FeatureExtractor,
    decoder: Box<dyn Decoder>,
}

/// What was heard in a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcript {
    /// Best first; never empty. Segments are in frames of the model.
    pub hypotheses: Vec<Hypothesis>,
    /// How frames become seconds.
    pub clock: Clock,
}

impl Transcript {
    /// The best hypothesis.
    pub fn best(&self) -> &Hypothesis {
        &self.hypotheses[0]
    }

    /// Start and end of a segment in seconds, inside the recording.
    pub fn times(&self, segment: &Segment) -> (f64, f64) {
        (self.clock.at(segment.start), self.clock.at(segment.end))
    }
}

impl Default for Recognizer {
    /// The embedded model, greedy.
    fn default() -> Self {
        let model = Model::embedded().unwrap_or_else(|e| unreachable!("the embedded model is tested: {e}"));
        Self::new(model, &DecoderConfig::Greedy).unwrap_or_else(|e| unreachable!("the embedded model is tested: {e}"))
    }
}

impl Recognizer {
    /// Fails if the decoder's configuration makes no sense.
    pub fn new(model: Model, decoder: &DecoderConfig) -> Result<Self> {
        Self::with_precision(model, decoder, Precision::F32)
    }

    /// The same on the device that the model's network is on ([`Network::to_device`](crate::model::Network::to_device)), with
    /// products of another precision.
    pub fn with_precision(mut model: Model, decoder: &DecoderConfig, precision: Precision) -> Result<Self> {
        model.network = model.network.prepared(model.front.dim(), precision)?;
        Ok(Self { extractor: FeatureExtractor::new(&model.front)?, decoder: decoder.build()?, model })
    }

    /// The same with another decoder, which need not be one of formant's.
    pub fn with_decoder(self, decoder: impl Decoder + 'static) -> Self {
        Self { decoder: Box::new(decoder), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is said in a recording, by the decoder.
    pub fn transcribe(&self, wave: &Waveform) -> Result<Transcript> {
        let hypotheses = self.decoder.decode(&self.log_probs(wave)?);
        Ok(Transcript { hypotheses, clock: self.clock(wave) })
    }

    /// Where each of the phones `labels` is said in a recording, and how well.
    pub fn align(&self, wave: &Waveform, labels: &Labels) -> Result<Alignment> {
        self.sound(wave, |sound| sound.align_labels(labels))
    }

    /// The same for the words of a text ([`Lexicon::words`](crate::lexicon::Lexicon::words)).
    pub fn align_words(&self, wave: &Waveform, words: &[Word]) -> Result<Alignment> {
        self.sound(wave, |sound| sound.align_words(words))
    }

    /// Hands what is to be known of a recording to `align`.
    fn sound<T>(&self, wave: &Waveform, align: impl FnOnce(&Sound) -> Result<T>) -> Result<T> {
        let log_probs = self.log_probs(wave)?;
        let features = self.extractor.fbank(&wave.samples_at(self.model.front.sample_rate)?);
        align(&Sound { log_probs: &log_probs, features: &features, clock: self.clock(wave) })
    }

    fn clock(&self, wave: &Waveform) -> Clock {
        let front = &self.model.front;
        let seconds = |ms: f32| f64::from(ms) / 1000.0;
        Clock {
            frame_shift: self.model.frame_shift(),
            hop: seconds(front.frame_shift_ms),
            window: seconds(front.frame_length_ms),
            seconds: wave.seconds(),
        }
    }

    /// What the network says of a recording, `[frames, classes]`.
    pub fn log_probs(&self, wave: &Waveform) -> Result<LogProbs> {
        let rate = self.model.front.sample_rate;
        let samples = wave.samples_at(rate)?;
        let windows = self.windows(self.extractor.frames(samples.len()));
        let own_cmvn = self.own_cmvn(&samples, &windows);
        let cmvn = own_cmvn.as_ref().unwrap_or(&self.model.cmvn);
        let mut logits = Vec::new();
        for windows in windows.chunks(WINDOWS_AT_ONCE) {
            let items =
                windows.iter().map(|w| (self.features(&samples, &w.seen, cmvn), Labels::default(), 0)).collect();
            self.add_logits(&Batch::pack(items), windows, &mut logits)?;
        }
        LogProbs::from_logits(logits, self.model.phones.classes())
    }

    /// Cuts `frames` frames into windows whose edges lie between two frames of the model.
    fn windows(&self, frames: usize) -> Vec<Window> {
        let reduction = self.model.reduction();
        let count = |seconds: f64| {
            let frames = seconds * 1000.0 / f64::from(self.model.front.frame_shift_ms);
            (frames as usize / reduction).max(1) * reduction
        };
        let (whole, context) = (count(WINDOW_SECONDS), count(CONTEXT_SECONDS));
        if frames <= whole {
            return vec![Window { seen: 0..frames, kept: 0..frames }];
        }
        let step = whole - 2 * context;
        let starts = (0..frames).step_by(step);
        let window = |start: usize| {
            let end = (start + step).min(frames);
            Window { seen: start.saturating_sub(context)..(end + context).min(frames), kept: start..end }
        };
        starts.map(window).collect()
    }

    fn features(&self, samples: &[f32], frames: &Range<usize>, cmvn: &Cmvn) -> Features {
        let mut features = self.extractor.raw_frames(samples, frames);
        if self.model.front.normalize != Normalize::None {
            cmvn.apply(&mut features);
        }
        features.stacked(self.model.front.stack)
    }

    /// The recording's own normalisation, if the model wants that.
    fn own_cmvn(&self, samples: &[f32], windows: &[Window]) -> Option<Cmvn> {
        if self.model.front.normalize != Normalize::Utterance {
            return None;
        }
        let mut sums = CmvnAccumulator::new(self.model.front.frame_dim());
        windows.iter().for_each(|w| sums.add(&self.extractor.raw_frames(samples, &w.kept)));
        Some(sums.finish())
    }

    /// Runs windows through the network and appends the logits of the parts that they are responsible for.
    fn add_logits(&self, batch: &Batch, windows: &[Window], logits: &mut Vec<f32>) -> Result<()> {
        let (rows, classes, reduction) = (batch.lengths.rows(), self.model.phones.classes(), self.model.reduction());
        let x = Tensor::from_slice(&batch.features, (rows, batch.dim), &self.model.network.params().device())?;
        let (y, lengths) = self.model.network.forward(&x, &batch.lengths, Mode::Infer)?;
        let y = op::to_vec::<f32>(&y)?;
        let mut place = vec![0; windows.len()];
        lengths.order().iter().enumerate().for_each(|(sorted, &given)| place[given] = sorted);
        for (window, &b) in windows.iter().zip(&place) {
            let (skip, frames) = (window.kept.start - window.seen.start, window.kept.len());
            let first = skip / reduction;
            for t in first..first + frames.div_ceil(reduction) {
                logits.extend_from_slice(&y[lengths.row(t, b) * classes..][..classes]);
            }
        }
        Ok(())
    }
}

/// A stretch of a recording, in frames before stacking.
#[derive(Debug)]
struct Window {
    seen: Range<usize>,
    kept: Range<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::FrontEnd;
    use crate::model::{Card, LayerConfig, ModelConfig, Network, Storage};
    use crate::phones::PhoneSet;
    use candle_core::Device;

    fn recognizer(normalize: Normalize) -> Result<Recognizer> {
        let front = FrontEnd { bins: 8, deltas: 2, stack: 2, normalize, ..FrontEnd::default() };
        let layer = LayerConfig { hidden: 8, ..LayerConfig::default() };
        let layers = vec![layer.clone(), LayerConfig { subsample: 2, ..layer }];
        let config = ModelConfig { layers, ..ModelConfig::default() };
        let phones = PhoneSet::arpabet39();
        let network = Network::new(&config, &front, phones.classes(), 1, &Device::Cpu)?;
        // Small inputs: with saturated gates a network without training remembers for longer than the context.
        let cmvn = Cmvn { mean: vec![9.0; 24], inv_std: vec![0.03; 24] };
        let model =
            Model { name: "x".into(), network, cmvn, front, phones, card: Card::default(), storage: Storage::F32 };
        Recognizer::new(model, &DecoderConfig::Greedy)
    }

    fn noise(seconds: f64) -> Result<Waveform> {
        let mut rng = crate::rng::Rng::stream(1, "noise", 0);
        let sample = |i: usize| (i as f32 * 0.01).sin() * rng.range(-0.5, 0.5);
        Waveform::new((0..(seconds * 16000.0) as usize).map(sample).collect(), 16000)
    }

    #[test]
    fn windows_cover_every_frame_once() -> Result<()> {
        let recognizer = recognizer(Normalize::Global)?;
        for frames in [1, 3999, 4000, 4001, 4004, 100_003] {
            let windows = recognizer.windows(frames);
            assert_eq!((windows[0].kept.start, windows[windows.len() - 1].kept.end), (0, frames));
            assert!(windows.windows(2).all(|w| w[0].kept.end == w[1].kept.start));
            assert!(windows.iter().all(|w| w.seen.len() <= 4000 && w.seen.start % 4 == 0 && w.kept.start % 4 == 0));
        }
        Ok(())
    }

    #[test]
    fn a_long_recording_gives_what_it_would_as_a_whole() -> Result<()> {
        for normalize in [Normalize::Global, Normalize::Utterance] {
            let recognizer = recognizer(normalize)?;
            let wave = noise(95.0)?;
            let cut = recognizer.log_probs(&wave)?;
            let frames = recognizer.extractor.frames(wave.samples().len());
            let whole = [Window { seen: 0..frames, kept: 0..frames }];
            let own = recognizer.own_cmvn(wave.samples(), &whole);
            let cmvn = own.as_ref().unwrap_or(&recognizer.model.cmvn);
            let features = recognizer.features(wave.samples(), &whole[0].seen, cmvn);
            let mut logits = Vec::new();
            recognizer.add_logits(&Batch::pack(vec![(features, Labels::default(), 0)]), &whole, &mut logits)?;
            let expected = LogProbs::from_logits(logits, cut.classes())?;
            assert_eq!(cut.frames(), expected.frames());
            for t in 0..cut.frames() {
                assert!(cut.row(t).iter().zip(expected.row(t)).all(|(a, b)| (a - b).abs() < 1e-5), "frame {t}");
            }
        }
        Ok(())
    }

    #[test]
    fn every_length_gives_a_transcript() -> Result<()> {
        let recognizer = recognizer(Normalize::Utterance)?;
        for samples in [0, 1, 399, 401, 16000] {
            let transcript = recognizer.transcribe(&Waveform::new(vec![0.0; samples], 16000)?)?;
            assert_eq!(transcript.hypotheses.len(), 1);
            assert!((transcript.clock.frame_shift - 0.04).abs() < 1e-9);
        }
        Ok(())
    }
}
