//! Recognition while sound arrives.
//!
//! The network sees the sound in chunks, each with what came before it and a little of what comes after it: so much later
//! than the sound is the transcript. What it says of a chunk is kept; the decoder reads the utterance so far anew after each.
//! An utterance ends with a pause, or when it gets too long.
#![forbid(unsafe_code)]

use super::{Recognizer, Transcript, Window};
use crate::audio::{Resampling, Waveform};
use crate::corpus::Batch;
use crate::decode::{Clock, HeardWord, Hypothesis, LogProbs, Segment};
use crate::error::{Error, Result};
use crate::features::{CmvnAccumulator, Normalize};
use crate::phones::{Labels, PhoneId};
use std::ops::Range;

/// How sound is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamOptions {
    /// Seconds of sound that are recognised at a time.
    pub chunk: f64,
    /// Seconds after them that the network sees: with the chunk, how far the transcript is behind.
    pub lookahead: f64,
    /// Seconds before them that the network sees.
    pub context: f64,
    /// An utterance ends after so many seconds without a phone.
    pub pause: f64,
    /// An utterance has no more seconds.
    pub longest: f64,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { chunk: 0.24, lookahead: 0.3, context: 3.0, pause: 0.7, longest: 15.0 }
    }
}

impl StreamOptions {
    /// Seconds after which a sound is in a transcript, at most, besides the time that computing takes.
    pub fn latency(&self) -> f64 {
        self.chunk + self.lookahead
    }
}

/// What is normalised by the utterance begins as if so many frames had been like those of the training set.
const PRIOR_FRAMES: u64 = 100;

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Of an utterance so far; it may change.
    Partial(Utterance),
    /// Of an utterance that is over.
    Final(Utterance),
}

/// An utterance, or the begin of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Utterance {
    /// The best hypothesis. Segments are in frames of the model, from the utterance's begin.
    pub hypothesis: Hypothesis,
    /// How they become seconds from the begin of the stream.
    pub clock: Clock,
    /// Up to when the network has heard, in seconds.
    pub end: f64,
}

/// A stream of sound that is being recognised.
pub struct Stream<'r> {
    recognizer: &'r Recognizer,
    frames: FrameCounts,
    pause: usize,
    longest: usize,
    resampling: Option<Resampling>,
    /// Samples from frame `first` on.
    samples: Vec<f32>,
    first: usize,
    /// Frames of the front end that are recognised, and that are in `sums`.
    done: usize,
    summed: usize,
    sums: CmvnAccumulator,
    /// All samples that arrived, at the model's rate.
    arrived: usize,
    /// Logits of the utterance, and the model's frame that it begins with.
    logits: Vec<f32>,
    begin: usize,
    last: Vec<PhoneId>,
}

/// Lengths in frames of the front end, multiples of a frame of the model.
#[derive(Clone, Copy)]
struct FrameCounts {
    chunk: usize,
    lookahead: usize,
    context: usize,
}

impl Recognizer {
    /// Begins to listen to sound of `sample_rate` Hz.
    ///
    /// # Errors
    /// If the rate cannot be converted to the model's, or a length is not between 0 and 60 seconds.
    pub fn stream(&self, sample_rate: u32, options: StreamOptions) -> Result<Stream<'_>> {
        let StreamOptions { chunk, lookahead, context, pause, longest } = options;
        if [chunk, lookahead, context, pause, longest].iter().any(|seconds| !(0.0..=60.0).contains(seconds)) {
            return Err(Error::invalid("a stream's chunk, lookahead, context and pause lie between 0 and 60 seconds"));
        }
        let (front, reduction) = (&self.model.front, self.model.reduction());
        let model_frames = |seconds: f64| (seconds / self.model.frame_shift()).round() as usize;
        let frames = |seconds: f64| model_frames(seconds) * reduction;
        let resampling = (sample_rate != front.sample_rate).then(|| Resampling::new(sample_rate, front.sample_rate));
        Ok(Stream {
            recognizer: self,
            frames: FrameCounts {
                chunk: frames(chunk).max(reduction),
                lookahead: frames(lookahead),
                context: frames(context),
            },
            pause: model_frames(pause).max(1),
            longest: model_frames(longest).max(2),
            resampling: resampling.transpose()?,
            samples: Vec::new(),
            first: 0,
            done: 0,
            summed: 0,
            sums: CmvnAccumulator::from_prior(&self.model.cmvn, PRIOR_FRAMES),
            arrived: 0,
            logits: Vec::new(),
            begin: 0,
            last: Vec::new(),
        })
    }

    /// What [`Recognizer::stream`] makes of a whole recording: its utterances as one, in a transcript with one hypothesis.
    pub fn transcribe_as_stream(&self, wave: &Waveform, options: StreamOptions) -> Result<Transcript> {
        let mut stream = self.stream(wave.sample_rate(), options)?;
        let mut events = Vec::new();
        for piece in wave.samples().chunks((wave.sample_rate() as usize / 10).max(1)) {
            events.extend(stream.push(piece)?);
        }
        events.extend(stream.finish()?);
        let mut all = Hypothesis { phones: Vec::new(), score: 0.0, segments: Vec::new(), words: Vec::new() };
        for event in events {
            if let Event::Final(utterance) = event {
                let offset = (utterance.clock.begin / utterance.clock.frame_shift).round() as usize;
                append(&mut all, utterance.hypothesis, offset);
            }
        }
        Ok(Transcript { hypotheses: vec![all], clock: self.clock(wave) })
    }
}

/// Adds a hypothesis that begins at frame `offset`.
pub(super) fn append(all: &mut Hypothesis, next: Hypothesis, offset: usize) {
    let phones = all.phones.len();
    let later = |s: Segment| Segment { start: s.start + offset, end: s.end + offset, ..s };
    let word = |w: HeardWord| HeardWord { phones: w.phones.start + phones..w.phones.end + phones, ..w };
    all.phones.extend(next.phones);
    all.segments.extend(next.segments.into_iter().map(later));
    all.words.extend(next.words.into_iter().map(word));
    all.score += next.score;
}

impl Stream<'_> {
    /// Takes the next samples, in [-1, 1], and tells what was heard since.
    ///
    /// # Errors
    /// If a sample is not a finite number.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<Event>> {
        if samples.iter().any(|sample| !sample.is_finite()) {
            return Err(Error::invalid("a sample is not a finite number"));
        }
        match &mut self.resampling {
            Some(resampling) => {
                resampling.push(samples)?;
                let converted = resampling.take();
                self.add(&converted);
            }
            None => self.add(samples),
        }
        let mut events = Vec::new();
        loop {
            let (start, end) = (self.done, self.done + self.frames.chunk);
            if self.complete() < end + self.frames.lookahead {
                return Ok(events);
            }
            self.recognize(start..end, end + self.frames.lookahead)?;
            events.extend(self.listen(false)?);
        }
    }

    /// Ends the stream.
    pub fn finish(mut self) -> Result<Vec<Event>> {
        if let Some(resampling) = self.resampling.take() {
            let rest = resampling.finish()?;
            self.add(&rest);
        }
        let all = if self.arrived == 0 { 0 } else { self.complete().max(1) };
        while self.done < all {
            let end = all.min(self.done + self.frames.chunk.max(self.frames.lookahead));
            self.recognize(self.done..end, all.min(end + self.frames.lookahead))?;
        }
        self.listen(true)
    }

    fn add(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
        self.arrived += samples.len();
    }

    /// Frames whose samples have all arrived.
    fn complete(&self) -> usize {
        let (length, shift) = self.recognizer.model.front.frame_samples();
        self.first + (self.samples.len() + shift).saturating_sub(length) / shift
    }

    /// Lets the network hear frames, and what is around them up to frame `end`.
    fn recognize(&mut self, kept: Range<usize>, end: usize) -> Result<()> {
        let (model, extractor) = (&self.recognizer.model, &self.recognizer.extractor);
        let seen = self.first.max(kept.start.saturating_sub(self.frames.context))..end;
        let local = |frames: &Range<usize>| frames.start - self.first..frames.end - self.first;
        if model.front.normalize == Normalize::Utterance {
            if self.summed < end {
                self.sums.add(&extractor.raw_frames(&self.samples, &local(&(self.summed..end))));
            }
            self.summed = self.summed.max(end);
        }
        let cmvn = match model.front.normalize {
            Normalize::Utterance => &self.sums.finish(),
            _ => &model.cmvn,
        };
        let features = self.recognizer.features(&self.samples, &local(&seen), cmvn);
        let window = Window { seen, kept: kept.clone() };
        let batch = Batch::pack(vec![(features, Labels::default(), 0)]);
        self.recognizer.add_logits(&batch, &[window], &mut self.logits)?;
        self.done = kept.end;
        // What no chunk will see again.
        let unneeded = self.done.saturating_sub(self.frames.context).saturating_sub(self.first);
        let unneeded = unneeded / model.reduction() * model.reduction();
        let (_, shift) = model.front.frame_samples();
        self.samples.drain(..(unneeded * shift).min(self.samples.len()));
        self.first += unneeded;
        Ok(())
    }

    /// Reads the utterance so far.
    fn listen(&mut self, over: bool) -> Result<Vec<Event>> {
        let classes = self.recognizer.model.phones.classes();
        let mut events = Vec::new();
        let silent = |row: &[f32]| row[1..].iter().all(|phone| *phone < row[0]);
        let frames = self.logits.len() / classes;
        let pause = self.logits.chunks_exact(classes).rev().take_while(|row| silent(row)).count();
        if pause == frames && !over {
            // Nothing was said yet: only what a phone's begin may need is kept.
            let unneeded = frames.saturating_sub(self.pause);
            self.logits.drain(..unneeded * classes);
            self.begin += unneeded;
        } else if over || pause >= self.pause {
            events.extend(self.end(frames)?);
        } else if frames >= self.longest {
            // In the middle of the last of the longest pauses in the second half.
            let mut best = (0, frames);
            let mut run = 0;
            for (t, row) in self.logits.chunks_exact(classes).enumerate().skip(frames / 2) {
                run = if silent(row) { run + 1 } else { 0 };
                if run >= best.0 && run > 0 {
                    best = (run, t + 1 - run / 2);
                }
            }
            events.extend(self.end(best.1)?);
        } else {
            let utterance = self.utterance(frames)?;
            if utterance.hypothesis.phones != self.last && !utterance.hypothesis.phones.is_empty() {
                self.last.clone_from(&utterance.hypothesis.phones);
                events.push(Event::Partial(utterance));
            }
        }
        Ok(events)
    }

    /// Ends the utterance after so many frames.
    fn end(&mut self, frames: usize) -> Result<Option<Event>> {
        let utterance = self.utterance(frames)?;
        self.logits.drain(..frames * self.recognizer.model.phones.classes());
        self.begin += frames;
        self.last.clear();
        Ok((!utterance.hypothesis.phones.is_empty()).then_some(Event::Final(utterance)))
    }

    fn utterance(&self, frames: usize) -> Result<Utterance> {
        let model = &self.recognizer.model;
        let classes = model.phones.classes();
        let log_probs = LogProbs::from_logits(self.logits[..frames * classes].to_vec(), classes)?;
        let hypothesis = self.recognizer.decoder.decode_best(&log_probs, 1).swap_remove(0);
        let shift = model.frame_shift();
        let heard = self.arrived as f64 / f64::from(model.front.sample_rate);
        let clock = self.recognizer.clock_at(self.begin as f64 * shift, heard);
        Ok(Utterance { hypothesis, clock, end: ((self.begin + frames) as f64 * shift).min(heard) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recognizer;
    use super::*;

    fn sample() -> Result<Waveform> {
        Waveform::open(concat!(env!("CARGO_MANIFEST_DIR"), "/data/samples/an4-fbbh.wav"))
    }

    #[test]
    fn pieces_change_nothing() -> Result<()> {
        let (recognizer, wave) = (Recognizer::default(), sample()?);
        let mut found = Vec::new();
        for piece in [160, 1601, 100_000] {
            let mut stream = recognizer.stream(wave.sample_rate(), StreamOptions::default())?;
            let mut events = Vec::new();
            for samples in wave.samples().chunks(piece) {
                events.extend(stream.push(samples)?);
            }
            events.extend(stream.finish()?);
            // How much has arrived by then depends on the pieces; what is heard does not.
            let heard = |event: &Event| match event {
                Event::Partial(u) => (false, u.hypothesis.phones.clone()),
                Event::Final(u) => (true, u.hypothesis.phones.clone()),
            };
            found.push(events.iter().map(heard).collect::<Vec<_>>());
        }
        assert!(found[0] == found[1] && found[1] == found[2] && found[0].len() > 5);
        assert!(found[0].last().is_some_and(|(is_final, phones)| *is_final && !phones.is_empty()));
        Ok(())
    }

    #[test]
    fn with_all_the_context_it_is_what_is_heard_at_once() -> Result<()> {
        // Not normalised by the utterance, of which a stream knows the begin only.
        let (recognizer, wave) = (super::super::tests::recognizer(Normalize::Global)?, sample()?);
        let whole = recognizer.transcribe(&wave)?;
        let options = StreamOptions { lookahead: 10.0, context: 10.0, pause: 10.0, ..StreamOptions::default() };
        let streamed = recognizer.transcribe_as_stream(&wave, options)?;
        assert_eq!(streamed.best().phones, whole.best().phones);
        assert_eq!(streamed.best().segments.len(), whole.best().segments.len());
        Ok(())
    }

    #[test]
    fn any_length_ends() -> Result<()> {
        let recognizer = Recognizer::default();
        for samples in [0, 1, 399, 400, 5000, 16001] {
            for rate in [16000, 8000] {
                let mut stream = recognizer.stream(rate, StreamOptions::default())?;
                stream.push(&vec![0.1; samples])?;
                stream.finish()?;
            }
        }
        assert!(recognizer.stream(16000, StreamOptions { chunk: f64::NAN, ..StreamOptions::default() }).is_err());
        let mut stream = recognizer.stream(16000, StreamOptions::default())?;
        assert!(stream.push(&[f32::NAN]).is_err());
        Ok(())
    }
}
