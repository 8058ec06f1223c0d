//! Forced alignment: when known words, or known phones, are spoken, and how well.
//!
//! A text becomes a lattice of states, pronunciations of a word beside each other (`lattice`); the most probable path
//! through it says which pronunciation was used and in which frames each phone was written (`viterbi`). CTC writes a
//! phone in one frame or two, so its boundaries are then looked for in the spectrum (`boundaries`), and the phones are
//! judged by what else could stand there (`pronunciation`).
#![forbid(unsafe_code)]

mod boundaries;
mod lattice;
mod pronunciation;
mod viterbi;

pub use pronunciation::{Heard, Pronunciation};

use crate::decode::{Clock, LogProbs, Segment, widen};
use crate::error::{Error, Result};
use crate::features::Features;
use crate::lexicon::Word;
use crate::phones::{Labels, PhoneId};
use lattice::{Emission, Lattice};
use std::ops::Range;

/// When a phone is spoken, and how well.
#[derive(Clone, Debug, PartialEq)]
pub struct AlignedPhone {
    /// The phone; the blank for the whole of a word without pronunciation.
    pub phone: PhoneId,
    /// When it begins, in seconds.
    pub start: f64,
    /// When it ends, in seconds.
    pub end: f64,
    /// The frames of the model in which CTC wrote it.
    pub frames: Range<usize>,
    /// How well it was said.
    pub pronunciation: Pronunciation,
}

/// When words and their phones are spoken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alignment {
    /// By word of the text, its phones in [`phones`](Self::phones).
    pub words: Vec<Range<usize>>,
    /// The phones in the order of time.
    pub phones: Vec<AlignedPhone>,
    /// Log probability of the path.
    pub score: f32,
    /// Log probability of the best path with any phones: how much better it is tells a text that was never spoken.
    pub free_score: f32,
}

impl Alignment {
    /// By how much, for each phone, the best path with any phones is more probable than this one (natural logarithm). It is
    /// near zero where the text is what was said.
    pub fn doubt(&self) -> f32 {
        (self.free_score - self.score) / self.phones.len().max(1) as f32
    }

    /// When a word begins and ends, in seconds; nothing for one that has no phones.
    pub fn word_times(&self, word: usize) -> Option<(f64, f64)> {
        let phones = &self.phones[self.words.get(word)?.clone()];
        Some((phones.first()?.start, phones.last()?.end))
    }

    /// The score of a word's pronunciation, from 0 to 100: the mean of its phones'.
    pub fn word_score(&self, word: usize) -> Option<f64> {
        let phones = &self.phones[self.words.get(word)?.clone()];
        let sum: f64 = phones.iter().map(|phone| phone.pronunciation.score()).sum();
        (!phones.is_empty()).then(|| sum / phones.len() as f64)
    }
}

/// What is known of a recording.
pub struct Sound<'a> {
    /// What the network says of it.
    pub log_probs: &'a LogProbs,
    /// Its log-mel energies, before they are normalised.
    pub features: &'a Features,
    /// How frames become seconds.
    pub clock: Clock,
}

impl Sound<'_> {
    /// Aligns the words of a text. Of the pronunciations of a word, the one that fits best is taken; a word without any may
    /// be said with any phones.
    ///
    /// # Errors
    /// [`Error::Infeasible`] if there are fewer frames than the phones need.
    pub fn align_words(&self, words: &[Word]) -> Result<Alignment> {
        let alternatives: Vec<&[Vec<PhoneId>]> = words.iter().map(|word| &word.pronunciations[..]).collect();
        Ok(self.finish(Path::find(self.log_probs, &alternatives)?))
    }

    /// Aligns phones: a word of the result each.
    ///
    /// # Errors
    /// [`Error::Infeasible`] if there are fewer frames than the labels need.
    pub fn align_labels(&self, labels: &Labels) -> Result<Alignment> {
        Ok(self.finish(Path::of_labels(self.log_probs, labels)?))
    }

    /// Judges the phones, and gives them their boundaries.
    fn finish(&self, path: Path) -> Alignment {
        let pronunciations = pronunciation::judge(self.log_probs, &path.segments);
        let Path { words, mut segments, score, free_score } = path;
        let frames: Vec<Range<usize>> = segments.iter().map(|segment| segment.start..segment.end).collect();
        widen(&mut segments, self.log_probs.frames());
        let times = boundaries::find(&segments, &frames, self.features, self.clock);
        let all = segments.iter().zip(times).zip(frames).zip(pronunciations);
        let phones = all.map(|(((segment, (start, end)), frames), pronunciation)| AlignedPhone {
            phone: segment.phone,
            start,
            end,
            frames,
            pronunciation,
        });
        let phones = phones.collect();
        Alignment { words, phones, score, free_score }
    }
}

/// The best path through a lattice, as segments.
#[derive(Debug, Default)]
struct Path {
    /// By word, its segments.
    words: Vec<Range<usize>>,
    /// The phones, each from the first to the last frame in which it is written.
    segments: Vec<Segment>,
    score: f32,
    free_score: f32,
}

impl Path {
    fn of_labels(log_probs: &LogProbs, labels: &Labels) -> Result<Self> {
        let one_each: Vec<[Vec<PhoneId>; 1]> = labels.as_slice().iter().map(|&phone| [vec![phone]]).collect();
        let alternatives: Vec<&[Vec<PhoneId>]> = one_each.iter().map(|one| &one[..]).collect();
        Self::find(log_probs, &alternatives)
    }

    fn find(log_probs: &LogProbs, words: &[&[Vec<PhoneId>]]) -> Result<Self> {
        let lattice = Lattice::new(words);
        let (frames, needed) = (log_probs.frames(), lattice.frames_needed());
        if needed > frames {
            let (utterance, labels) = ("the recording".to_owned(), lattice.fewest_labels());
            return Err(Error::Infeasible { utterance, labels, needed, frames });
        }
        let free_score = log_probs.rows().map(|row| row.iter().copied().fold(f32::NEG_INFINITY, f32::max)).sum();
        let (states, score) = viterbi::best_path(&lattice, log_probs).unwrap_or_default();
        let mut path = Self { words: vec![0..0; words.len()], segments: Vec::new(), score, free_score };
        let mut last = u32::MAX;
        for (t, state) in states.into_iter().enumerate() {
            if let Some(word) = lattice.word(state) {
                path.write(word, lattice.emission(state), state == last, t, log_probs.row(t));
                last = state;
            }
        }
        for segment in &mut path.segments {
            segment.score /= (segment.end - segment.start) as f32;
        }
        Ok(path)
    }

    /// A phone of `word` is written in frame `t`, perhaps once more.
    fn write(&mut self, word: usize, emission: Emission, again: bool, t: usize, row: &[f32]) {
        let phone = emission.phone();
        let score = emission.log_prob(row);
        let range = &mut self.words[word];
        // A word without pronunciation is one segment, pauses in it and all.
        let unknown = phone == PhoneId::BLANK && range.end > range.start;
        match self.segments.last_mut() {
            Some(segment) if again || unknown => {
                segment.end = t + 1;
                segment.score += score;
            }
            _ => {
                let place = self.segments.len();
                *range = if range.end > range.start { range.start..place + 1 } else { place..place + 1 };
                self.segments.push(Segment { phone, start: t, end: t + 1, score });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certain(path: &[usize], classes: usize) -> Result<LogProbs> {
        let logits = path.iter().flat_map(|&p| (0..classes).map(move |c| if c == p { 5.0 } else { 0.0 })).collect();
        LogProbs::from_logits(logits, classes)
    }

    fn word(pronunciations: &[&[u16]]) -> Vec<Vec<PhoneId>> {
        pronunciations.iter().map(|phones| phones.iter().map(|p| PhoneId(*p)).collect()).collect()
    }

    fn find(log_probs: &LogProbs, words: &[Vec<Vec<PhoneId>>]) -> Result<Path> {
        Path::find(log_probs, &words.iter().map(|word| &word[..]).collect::<Vec<_>>())
    }

    fn spans(path: &Path) -> Vec<(u16, usize, usize)> {
        path.segments.iter().map(|s| (s.phone.0, s.start, s.end)).collect()
    }

    #[test]
    fn follows_the_peaks() -> Result<()> {
        let log_probs = certain(&[0, 1, 1, 0, 2, 0, 2, 2], 3)?;
        let path = Path::of_labels(&log_probs, &Labels::new([1, 2, 2].map(PhoneId).to_vec())?)?;
        assert_eq!(spans(&path), [(1, 1, 3), (2, 4, 5), (2, 6, 8)]);
        assert_eq!(path.words, [0..1, 1..2, 2..3]);
        assert!((path.score - path.free_score).abs() < 1e-6);
        let short = LogProbs::from_logits(vec![0.0; 6], 3)?;
        let error = Path::of_labels(&short, &Labels::new([1, 1].map(PhoneId).to_vec())?).unwrap_err().to_string();
        assert_eq!(error, "the recording: 2 labels need 3 frames, but there are only 2");
        Ok(())
    }

    #[test]
    fn the_pronunciation_that_was_used_is_found() -> Result<()> {
        let log_probs = certain(&[0, 3, 0, 1, 2, 0, 4, 4, 0], 5)?;
        let path = find(&log_probs, &[word(&[&[3]]), word(&[&[2, 1, 2], &[1, 2], &[1]]), word(&[&[1], &[4]])])?;
        assert_eq!(spans(&path).iter().map(|s| s.0).collect::<Vec<_>>(), [3, 1, 2, 4]);
        assert_eq!(path.words, [0..1, 1..3, 3..4]);
        Ok(())
    }

    #[test]
    fn an_unknown_word_takes_what_is_left() -> Result<()> {
        let log_probs = certain(&[1, 0, 3, 0, 4, 4, 0, 3, 0, 2], 5)?;
        let path = find(&log_probs, &[word(&[&[1]]), word(&[]), word(&[&[2]])])?;
        assert_eq!(spans(&path), [(1, 0, 1), (0, 2, 8), (2, 9, 10)]);
        Ok(())
    }

    #[test]
    fn nothing_to_align_is_fine() -> Result<()> {
        for frames in [0, 3] {
            let path = find(&LogProbs::from_logits(vec![0.0; 2 * frames], 2)?, &[])?;
            assert!(path.segments.is_empty() && path.words.is_empty());
        }
        assert!(find(&LogProbs::from_logits(Vec::new(), 2)?, &[word(&[&[1]])]).is_err());
        Ok(())
    }
}
