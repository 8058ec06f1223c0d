//! The pipeline: a recording in, transcripts out.
//!
//! A recording of up to [`WINDOW_SECONDS`] is seen whole. A longer one is cut into windows that overlap; what the
//! network says near a window's edges, where it lacks context, is taken from the neighbour. So memory beyond the samples
//! themselves stays bounded, however long the recording.
#![forbid(unsafe_code)]

mod stream;

pub use stream::{Event, Stream, StreamOptions, Utterance};

use crate::align::{Alignment, Sound};
use crate::audio::{ActivityOptions, Waveform, activity};
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

/// Recordings up to this length are decoded in one piece, in seconds; longer ones are cut at pauses.
pub const PIECE_SECONDS: f64 = 60.0;

/// A model ready to be used.
pub struct Recognizer {
    model: Model,
    extractor: FeatureExtractor,
    decoder: Box<dyn Decoder>,
    /// Hypotheses of a recording.
    most: usize,
    /// How silence is found, if it is left out.
    activity: Option<ActivityOptions>,
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
        let (extractor, decoder) = (FeatureExtractor::new(&model.front)?, decoder.build()?);
        Ok(Self { extractor, decoder, model, most: usize::MAX, activity: None })
    }

    /// The same with another decoder, which need not be one of formant's.
    pub fn with_decoder(self, decoder: impl Decoder + 'static) -> Self {
        Self { decoder: Box::new(decoder), ..self }
    }

    /// The same with at most so many hypotheses of a recording. With fewer than a beam is wide, it is faster.
    pub fn with_hypotheses(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// The same, hearing only stretches with sound, each for itself: what is said in a long silence is then nothing, and each
    /// stretch is normalised as if it were a recording. There is one hypothesis then.
    pub fn with_activity(self, options: ActivityOptions) -> Self {
        Self { activity: Some(options), ..self }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is said in a recording, by the decoder.
    pub fn transcribe(&self, wave: &Waveform) -> Result<Transcript> {
        let Some(options) = &self.activity else { return self.transcribe_all(wave) };
        let mut all = Hypothesis { phones: Vec::new(), score: 0.0, segments: Vec::new(), words: Vec::new() };
        for (start, end) in activity(wave, options) {
            // Frames of the stretch are frames of the recording.
            let first = (start / self.model.frame_shift()).floor();
            let stretch = wave.cut(first * self.model.frame_shift(), end);
            stream::append(&mut all, self.transcribe_all(&stretch)?.hypotheses.swap_remove(0), first as usize);
        }
        Ok(Transcript { hypotheses: vec![all], clock: self.clock(wave) })
    }

    /// What is said in a recording, silence and all.
    fn transcribe_all(&self, wave: &Waveform) -> Result<Transcript> {
        let log_probs = self.log_probs(wave)?;
        let longest = (PIECE_SECONDS / self.model.frame_shift()) as usize;
        let hypotheses = if log_probs.frames() <= longest {
            self.decoder.decode_best(&log_probs, self.most)
        } else {
            // Piece by piece: what a decoder remembers grows with what it reads.
            let mut all = Hypothesis { phones: Vec::new(), score: 0.0, segments: Vec::new(), words: Vec::new() };
            for piece in pieces(&log_probs, longest) {
                stream::append(
                    &mut all,
                    self.decoder.decode_best(&log_probs.cut(&piece), 1).swap_remove(0),
                    piece.start,
                );
            }
            vec![all]
        };
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
        self.clock_at(0.0, wave.seconds())
    }

    /// The clock of frames from `begin` on, in a recording of so many seconds.
    fn clock_at(&self, begin: f64, seconds: f64) -> Clock {
        let front = &self.model.front;
        let in_seconds = |ms: f32| f64::from(ms) / 1000.0;
        Clock {
            begin,
            frame_shift: self.model.frame_shift(),
            hop: in_seconds(front.frame_shift_ms),
            window: in_seconds(front.frame_length_ms),
            seconds,
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

/// Cuts frames into pieces of at most `longest`, each but the last at least half as long, in the middle of the longest stretch
/// in which the blank is the most probable class.
fn pieces(log_probs: &LogProbs, longest: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while log_probs.frames() - start > longest {
        let (mut best, mut run) = ((0, start + longest), 0);
        for t in start + longest / 2..start + longest {
            let row = log_probs.row(t);
            run = if row[1..].iter().all(|phone| *phone < row[0]) { run + 1 } else { 0 };
            if run > best.0 {
                best = (run, t + 1 - run / 2);
            }
        }
        pieces.push(start..best.1);
        start = best.1;
    }
    pieces.push(start..log_probs.frames());
    pieces
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

    pub(super) fn recognizer(normalize: Normalize) -> Result<Recognizer> {
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
    fn pieces_end_in_pauses() -> Result<()> {
        let said = |t: usize| if (70..80).contains(&(t % 100)) { 0 } else { t % 2 };
        let logits = (0..1000).flat_map(|t| if said(t) == 0 { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        let found = pieces(&LogProbs::from_logits(logits, 2)?, 150);
        assert!(found.windows(2).all(|w| w[0].end == w[1].start) && found[0].start == 0);
        assert!(found.iter().all(|piece| piece.len() <= 150) && found[found.len() - 1].end == 1000);
        assert!(found[..found.len() - 1].iter().all(|piece| (70..=80).contains(&(piece.end % 100))), "{found:?}");
        Ok(())
    }

    /// With a trained network, what a cut changes a second away from it hardly ever changes what is heard.
    #[test]
    fn seams_are_not_heard_a_second_away() -> Result<()> {
        let recognizer = Recognizer::default();
        let mut samples = Vec::new();
        for name in ["an4-fbbh", "so0120", "an4-ffmm", "so1293", "an4-mrab"].iter().cycle().take(20) {
            let path = format!("{}/data/samples/{name}.wav", env!("CARGO_MANIFEST_DIR"));
            samples.extend_from_slice(Waveform::open(path)?.samples());
        }
        let wave = Waveform::new(samples, 16000)?;
        let cut = recognizer.log_probs(&wave)?;
        let frames = recognizer.extractor.frames(wave.samples().len());
        let windows = recognizer.windows(frames);
        assert!(windows.len() >= 2);
        let whole = [Window { seen: 0..frames, kept: 0..frames }];
        let cmvn = recognizer.own_cmvn(wave.samples(), &whole).unwrap_or(recognizer.model.cmvn.clone());
        let features = recognizer.features(wave.samples(), &whole[0].seen, &cmvn);
        let mut logits = Vec::new();
        recognizer.add_logits(&Batch::pack(vec![(features, Labels::default(), 0)]), &whole, &mut logits)?;
        let expected = LogProbs::from_logits(logits, cut.classes())?;
        let seams: Vec<f64> = windows[1..].iter().map(|w| w.kept.start as f64 * 0.01).collect();
        let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        let (mut away, mut other, mut sum) = (0, 0, 0.0);
        for t in 0..cut.frames() {
            if seams.iter().all(|seam| (t as f64 * 0.03 - seam).abs() > 1.0) {
                let (a, b) = (cut.row(t), expected.row(t));
                away += 1;
                other += usize::from(best(a) != best(b));
                sum += a.iter().zip(b).map(|(a, b)| f64::from((a.exp() - b.exp()).abs())).fold(0.0, f64::max);
            }
        }
        // Not equal: the network remembers the begin of a window for as long as it lasts.
        let mean = sum / away as f64;
        assert!(other * 100 < away && mean < 0.005, "{other} of {away} frames, {mean}");
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
