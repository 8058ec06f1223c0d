//! From log probabilities to phones. Plain slices, no tensors.
#![forbid(unsafe_code)]

mod beam;
mod clock;
mod grammar;
mod greedy;
mod phone_lm;
mod words;

pub use beam::Beam;
pub use clock::Clock;
pub use greedy::Greedy;
pub use phone_lm::{Fusion, PhoneLmBeam};
pub use words::WordBeam;

use crate::error::{Error, Result};
use crate::lexicon::WordId;
use crate::phones::PhoneId;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Log probabilities of one utterance, row-major `[frames, classes]`, natural logarithm; class 0 is the blank.
#[derive(Clone, Debug)]
pub struct LogProbs {
    data: Vec<f32>,
    classes: usize,
}

impl LogProbs {
    /// The log-softmax of rows of logits.
    ///
    /// # Errors
    /// If they are no rows of `classes` numbers, or not finite.
    pub fn from_logits(mut data: Vec<f32>, classes: usize) -> Result<Self> {
        if classes == 0 || !data.len().is_multiple_of(classes) {
            return Err(Error::invalid(format!("{} logits are no rows of {classes} classes", data.len())));
        }
        for row in data.chunks_exact_mut(classes) {
            let high = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum = high + row.iter().map(|x| (x - high).exp()).sum::<f32>().ln();
            if !sum.is_finite() {
                return Err(Error::invalid("the model's scores are no finite numbers: it is damaged or diverged"));
            }
            row.iter_mut().for_each(|x| *x -= sum);
        }
        Ok(Self { data, classes })
    }

    /// Frames.
    pub fn frames(&self) -> usize {
        self.data.len() / self.classes
    }

    /// Classes, the blank included.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// One frame.
    pub fn row(&self, t: usize) -> &[f32] {
        &self.data[t * self.classes..(t + 1) * self.classes]
    }

    /// Some of the frames.
    pub fn cut(&self, frames: &Range<usize>) -> Self {
        Self { data: self.data[frames.start * self.classes..frames.end * self.classes].to_vec(), ..*self }
    }

    /// Frames in order.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks_exact(self.classes)
    }
}

/// Where a phone was heard, in frames of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// The phone.
    pub phone: PhoneId,
    /// First frame.
    pub start: usize,
    /// One past the last frame.
    pub end: usize,
    /// Mean log probability of the phone over the frames in which the network wrote it.
    pub score: f32,
}

/// Widens segments from the peaks that CTC gives to where phones meet: half way to the neighbour, but no further than
/// the usual gap of the utterance, so that pauses stay free; and by half the mean gap at the utterance's ends.
pub fn widen(segments: &mut [Segment], frames: usize) {
    let mut gaps: Vec<usize> = segments.windows(2).map(|w| w[1].start - w[0].end).collect();
    let (count, sum) = (gaps.len(), gaps.iter().sum::<usize>());
    let usual = if count == 0 { 1 } else { (*gaps.select_nth_unstable(count / 2).1).max(1) };
    for n in 1..segments.len() {
        let gap = segments[n].start - segments[n - 1].end;
        segments[n - 1].end += (gap / 2).min(usual);
        segments[n].start -= gap.div_ceil(2).min(usual);
    }
    let reach = if count == 0 { 1 } else { sum.div_ceil(2 * count).min(usual) };
    if let Some(first) = segments.first_mut() {
        first.start = first.start.saturating_sub(reach);
    }
    if let Some(last) = segments.last_mut() {
        last.end = (last.end + reach).min(frames);
    }
}

/// A transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// The phones.
    pub phones: Vec<PhoneId>,
    /// Log probability: of all paths that give these phones (beam), or of the one best path (greedy).
    pub score: f32,
    /// Where each phone was heard.
    pub segments: Vec<Segment>,
    /// The words, if words were looked for.
    pub words: Vec<HeardWord>,
}

/// A word of a hypothesis.
#[derive(Clone, Debug, PartialEq)]
pub struct HeardWord {
    /// The word, in the dictionary that the decoder has.
    pub word: WordId,
    /// Its phones in the hypothesis.
    pub phones: Range<usize>,
}

/// Turns log probabilities into transcripts.
pub trait Decoder: Send + Sync {
    /// Transcripts, best first; never empty.
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis>;

    /// The first `most` of them, or the best if that is 0: a decoder may save the work for the others.
    fn decode_best(&self, log_probs: &LogProbs, most: usize) -> Vec<Hypothesis> {
        let mut all = self.decode(log_probs);
        all.truncate(most.max(1));
        all
    }
}

impl Decoder for Box<dyn Decoder> {
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis> {
        self.as_ref().decode(log_probs)
    }

    fn decode_best(&self, log_probs: &LogProbs, most: usize) -> Vec<Hypothesis> {
        self.as_ref().decode_best(log_probs, most)
    }
}

/// Which decoder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DecoderConfig {
    /// The best symbol of every frame.
    #[default]
    Greedy,
    /// Prefix beam search.
    Beam {
        /// Prefixes kept in every frame.
        width: usize,
    },
}

impl DecoderConfig {
    /// The decoder.
    ///
    /// # Errors
    /// If the beam's width is not between 1 and 10000.
    pub fn build(&self) -> Result<Box<dyn Decoder>> {
        match *self {
            Self::Greedy => Ok(Box::new(Greedy)),
            Self::Beam { width } if (1..=10_000).contains(&width) => Ok(Box::new(Beam { width })),
            Self::Beam { width } => Err(Error::invalid(format!("a beam of {width}: it must lie between 1 and 10000"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_meet_half_way_and_leave_pauses_free() {
        let peaks = [2, 5, 8, 40, 43];
        let segment = |&at: &usize| Segment { phone: PhoneId(1), start: at, end: at + 1, score: 0.0 };
        let mut segments: Vec<_> = peaks.iter().map(segment).collect();
        widen(&mut segments, 45);
        let spans: Vec<_> = segments.iter().map(|s| (s.start, s.end)).collect();
        assert_eq!(spans, [(0, 4), (4, 7), (7, 11), (38, 42), (42, 45)]);
    }
}
