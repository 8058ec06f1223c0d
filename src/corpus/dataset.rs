//! A split made ready for training: labels encoded, lengths known, sound at hand.
//!
//! Memory stays bounded for a corpus of any size: sound is kept as 16-bit samples at the front end's rate as long as
//! it fits into the cache, and decoded anew each time beyond that. What the network sees is the same either way.
#![forbid(unsafe_code)]

use super::augment::Augment;
use super::batch::Batch;
use super::manifest::Utterance;
use crate::audio::Waveform;
use crate::error::{Error, Result};
use crate::features::{Cmvn, CmvnAccumulator, FeatureExtractor, Features, FrontEnd};
use crate::phones::{Labels, PhoneSet};
use crate::rng::Rng;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// An utterance that cannot be trained on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its id.
    pub utterance: String,
    /// One sentence.
    pub reason: String,
}

impl LeftOut {
    /// Which one, and why; the reason may name it already.
    pub fn sentence(&self) -> String {
        if self.reason.contains(&self.utterance) {
            self.reason.clone()
        } else {
            format!("{}: {}", self.utterance, self.reason)
        }
    }
}

/// Utterances that are looked at together while surveying.
const SURVEY_BLOCK: usize = 64;

/// See the module.
pub struct Dataset {
    utterances: Vec<Utterance>,
    labels: Vec<Labels>,
    frames: Vec<usize>,
    left_out: Vec<LeftOut>,
    extractor: FeatureExtractor,
    /// Frames of the front end, before stacking, for one frame of the network's output.
    reduction: usize,
    cache: Cache,
    seconds: f64,
}

impl Dataset {
    /// Decodes every utterance once: counts frames, sums up for the normalisation, and leaves out what cannot be
    /// trained on. `progress` is told how many utterances are done.
    ///
    /// # Errors
    /// For a label that is not in `phones`, and if nothing is left.
    pub fn survey(
        utterances: Vec<Utterance>,
        phones: &PhoneSet,
        front: &FrontEnd,
        reduction: usize,
        cache_bytes: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Self, CmvnAccumulator)> {
        let extractor = FeatureExtractor::new(front)?;
        let mut sums = CmvnAccumulator::new(front.frame_dim());
        let cache = Cache::new(utterances.len(), cache_bytes);
        let mut set = Self {
            utterances: Vec::new(),
            labels: Vec::new(),
            frames: Vec::new(),
            left_out: Vec::new(),
            extractor,
            reduction,
            cache,
            seconds: 0.0,
        };
        for block in utterances.chunks(SURVEY_BLOCK) {
            let looked_at: Vec<_> = block.par_iter().map(|u| set.look_at(u, phones)).collect();
            for (utterance, result) in block.iter().zip(looked_at) {
                match result? {
                    Ok(Seen { labels, samples, frames, own_sums }) => {
                        sums.merge(&own_sums);
                        set.seconds += samples.len() as f64 / f64::from(front.sample_rate);
                        set.cache.keep(set.utterances.len(), samples);
                        set.utterances.push(utterance.clone());
                        set.labels.push(labels);
                        set.frames.push(frames);
                    }
                    Err(reason) => set.left_out.push(LeftOut { utterance: utterance.id.clone(), reason }),
                }
            }
            progress(set.utterances.len() + set.left_out.len());
        }
        if set.utterances.is_empty() {
            let why = set.left_out.first().map_or(String::new(), |l| format!(": {}", l.sentence()));
            return Err(Error::invalid(format!("no utterance to work with, {} left out{why}", set.left_out.len())));
        }
        Ok((set, sums))
    }

    fn look_at(&self, utterance: &Utterance, phones: &PhoneSet) -> Result<Result<Seen, String>> {
        let labels = phones.encode(&utterance.phones).map_err(|e| Error::invalid(format!("{}: {e}", utterance.id)))?;
        let samples = match self.decode(utterance) {
            Ok(samples) => samples,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let features = self.extractor.raw(self.waveform(&samples)?)?;
        let (needed, there) = (labels.frames_needed(), features.frames.div_ceil(self.reduction));
        if needed > there {
            let count = labels.as_slice().len();
            return Ok(Err(format!("{count} labels need {needed} frames, but there are only {there}")));
        }
        let mut own_sums = CmvnAccumulator::new(features.dim);
        own_sums.add(&features);
        Ok(Ok(Seen { labels, samples, frames: features.frames, own_sums }))
    }

    /// 16-bit samples at the front end's rate.
    fn decode(&self, utterance: &Utterance) -> Result<Arc<[i16]>> {
        let wave = utterance.load(self.extractor.front().sample_rate)?;
        Ok(wave.samples().iter().map(|s| (s * 32768.0).round().clamp(-32768.0, 32767.0) as i16).collect())
    }

    fn waveform(&self, samples: &[i16]) -> Result<Waveform> {
        let samples = samples.iter().map(|s| f32::from(*s) / 32768.0).collect();
        Waveform::new(samples, self.extractor.front().sample_rate)
    }

    /// Utterances that can be trained on.
    pub fn len(&self) -> usize {
        self.utterances.len()
    }

    /// Never: [`Dataset::survey`] fails rather than make an empty one.
    pub fn is_empty(&self) -> bool {
        self.utterances.is_empty()
    }

    /// The utterances, by number.
    pub fn utterances(&self) -> &[Utterance] {
        &self.utterances
    }

    /// Frames of each utterance as recorded, before stacking.
    pub fn frames(&self) -> &[usize] {
        &self.frames
    }

    /// What was left out.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Seconds of sound.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// The batch of the utterances `indices`, as recorded.
    pub fn batch(&self, indices: &[usize], cmvn: &Cmvn) -> Result<Batch> {
        self.assemble(indices, |i| {
            let mut features = self.extractor.raw(self.sound(i)?)?;
            self.extractor.normalize(&mut features, cmvn);
            Ok(features)
        })
    }

    /// The batch of the utterances `indices`, changed as `augment` says; `(seed, epoch)` decides how.
    pub fn augmented_batch(
        &self,
        indices: &[usize],
        cmvn: &Cmvn,
        augment: &Augment,
        seed: u64,
        epoch: u64,
    ) -> Result<Batch> {
        let front = self.extractor.front();
        self.assemble(indices, |i| {
            let mut rng = Rng::stream(seed, "augment", epoch * self.len() as u64 + i as u64);
            let needed = self.labels[i].frames_needed() * self.reduction;
            let fits = |samples| self.extractor.frames(samples) >= needed;
            let wave = augment.waveform(self.sound(i)?, &mut rng, fits)?;
            let samples = wave.samples().len();
            let extractor = augment.front(&self.extractor, &mut rng, |front| front.frames(samples) >= needed);
            let mut features = extractor.raw(wave)?;
            extractor.normalize(&mut features, cmvn);
            if let Some(spec) = &augment.spec {
                spec.apply(&mut features, front.bins + usize::from(front.energy), &mut rng);
            }
            Ok(features)
        })
    }

    fn assemble(&self, indices: &[usize], features: impl Fn(usize) -> Result<Features> + Sync) -> Result<Batch> {
        let stack = self.extractor.front().stack;
        let items: Vec<_> = indices
            .par_iter()
            .map(|&i| Ok((features(i)?.stacked(stack), self.labels[i].clone(), i)))
            .collect::<Result<_>>()?;
        Ok(Batch::pack(items))
    }

    fn sound(&self, i: usize) -> Result<Waveform> {
        match self.cache.get(i) {
            Some(samples) => self.waveform(&samples),
            None => self.waveform(&self.decode(&self.utterances[i])?),
        }
    }
}

/// What a survey learns of an utterance.
struct Seen {
    labels: Labels,
    samples: Arc<[i16]>,
    frames: usize,
    own_sums: CmvnAccumulator,
}

/// Samples by utterance, until the budget is used up.
struct Cache {
    slots: Vec<OnceLock<Arc<[i16]>>>,
    left: AtomicUsize,
}

impl Cache {
    fn new(utterances: usize, bytes: usize) -> Self {
        Self { slots: (0..utterances).map(|_| OnceLock::new()).collect(), left: AtomicUsize::new(bytes) }
    }

    fn keep(&self, i: usize, samples: Arc<[i16]>) {
        let size = samples.len() * size_of::<i16>();
        let take = |left: usize| left.checked_sub(size);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            let _ = self.slots[i].set(samples);
        }
    }

    fn get(&self, i: usize) -> Option<Arc<[i16]>> {
        self.slots[i].get().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> (tempfile::TempDir, Vec<Utterance>) {
        let folder = tempfile::tempdir().expect("a folder");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let make = |(n, phones): (usize, &str)| {
            let audio = folder.path().join(format!("{n}.wav"));
            let mut writer = hound::WavWriter::create(&audio, spec).expect("a writer");
            (0..n * 1600).for_each(|i| writer.write_sample((i * 7919 % 2000) as i16).expect("a sample"));
            writer.finalize().expect("an end");
            Utterance { id: n.to_string(), audio, phones: phones.to_owned(), ..Utterance::default() }
        };
        let mut utterances: Vec<_> = [(5, "k ae t"), (1, "k ae t k ae t"), (8, "d ao g")].map(make).to_vec();
        utterances.push(Utterance { id: "lost".into(), audio: folder.path().join("x.wav"), ..Utterance::default() });
        (folder, utterances)
    }

    fn survey(utterances: &[Utterance], cache: usize) -> Result<Dataset> {
        let phones = PhoneSet::arpabet39();
        Ok(Dataset::survey(utterances.to_vec(), &phones, &FrontEnd::default(), 2, cache, &mut |_| ())?.0)
    }

    #[test]
    fn what_cannot_be_trained_on_is_named() -> Result<()> {
        let (_folder, utterances) = corpus();
        let set = survey(&utterances, 1 << 20)?;
        assert_eq!((set.len(), set.frames()), (2, [48, 78].as_slice()));
        assert_eq!(set.left_out()[0].reason, "6 labels need 6 frames, but there are only 4");
        assert_eq!(set.left_out()[1].utterance, "lost");
        assert!(survey(&utterances[1..2], 0).is_err());
        Ok(())
    }

    #[test]
    fn the_cache_changes_nothing() -> Result<()> {
        let (_folder, utterances) = corpus();
        let cmvn = Cmvn::identity(40);
        let augment = Augment {
            speeds: vec![0.9, 1.1],
            vtlp: 0.1,
            tempo: 0.1,
            gain_db: 6.0,
            noise: Some(Default::default()),
            spec: None,
        };
        let batch =
            |cache| -> Result<Batch> { survey(&utterances, cache)?.augmented_batch(&[0, 1], &cmvn, &augment, 3, 4) };
        let (without, with) = (batch(0)?, batch(1 << 20)?);
        assert_eq!(without.features, with.features);
        assert_eq!(without.indices, [1, 0]);
        Ok(())
    }
}
