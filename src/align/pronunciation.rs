//! Goodness of pronunciation: how probable it is that a phone was said, rather than another one or none.
//!
//! For the phone `l_i` of an alignment, the probability of all CTC paths of its surroundings (two phones on each side) is
//! compared with that of the same surroundings with another phone in its place, or without it:
//!
//! p(l_i) = P(.. l_i ..) / (P(.. l_i ..) + sum over q of P(.. q ..) + P(.. without l_i ..))
//!
//! This needs no boundaries, which CTC does not know (Cao, Fan, Svendsen & Salvi 2024, "A framework for phoneme-level
//! pronunciation assessment using CTC", the normalised form).
#![forbid(unsafe_code)]

use crate::decode::{LogProbs, Segment};
use crate::phones::PhoneId;
use std::ops::Range;

/// Phones on each side of the one that is judged.
const CONTEXT: usize = 2;

/// A score is how often a phone is the one that was said, where one in ten is not: a logistic curve over the log odds of its
/// probability. Fitted on the development sets of AN4 and speechocean762 with one phone in ten of the labels replaced by
/// another of its class; `scripts/pronunciation` shows how well it holds on others.
const STRETCH: f64 = 0.55;
const SHIFT: f64 = 4.0;

/// By so much must something else be more probable than the phone of the text before it is believed (natural logarithm):
/// there the score is 50.
const TRUST: f64 = SHIFT / STRETCH;

/// How a phone was said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pronunciation {
    /// Probability, beside all other phones and none, that it was said.
    pub probability: f32,
    /// What was said, if not this phone.
    pub heard: Heard,
    /// A phone that was said before it, and that the text does not have.
    pub inserted: Option<PhoneId>,
}

/// What was said where a phone should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The phone.
    Same,
    /// Another phone.
    Other(PhoneId),
    /// Nothing: the phone was left out.
    Nothing,
}

impl Pronunciation {
    /// From 0, certainly not said, to 100, certainly said: the share in percent of such phones that were.
    pub fn score(&self) -> f64 {
        let p = f64::from(self.probability).clamp(1e-12, 1.0 - 1e-7);
        let logit = (p / (1.0 - p)).ln();
        100.0 / (1.0 + (-(STRETCH * logit + SHIFT)).exp())
    }
}

/// How each phone was said. `segments` are the frames in which CTC wrote them. Of a word without pronunciation nothing can be
/// said against.
pub fn judge(log_probs: &LogProbs, segments: &[Segment]) -> Vec<Pronunciation> {
    (0..segments.len()).map(|n| Surroundings::new(log_probs, segments, n).judge()).collect()
}

/// A phone and what stands around it.
struct Surroundings<'a> {
    log_probs: &'a LogProbs,
    frames: Range<usize>,
    phones: Vec<PhoneId>,
    /// Place of the phone that is judged.
    place: usize,
}

impl<'a> Surroundings<'a> {
    fn new(log_probs: &'a LogProbs, all: &[Segment], n: usize) -> Self {
        // An unknown word is no context: nobody knows its phones.
        let known = |n: &usize| all[*n].phone != PhoneId::BLANK;
        let first = (n.saturating_sub(CONTEXT)..n).rev().take_while(known).last().unwrap_or(n);
        let last = (n + 1..all.len().min(n + CONTEXT + 1)).take_while(known).last().unwrap_or(n);
        let start = if first == 0 { 0 } else { all[first].start };
        let end = if last + 1 == all.len() { log_probs.frames() } else { all[last].end };
        let phones = all[first..=last].iter().map(|segment| segment.phone).collect();
        Self { log_probs, frames: start..end, phones, place: n - first }
    }

    fn judge(&self) -> Pronunciation {
        let own = self.phones[self.place];
        if own == PhoneId::BLANK {
            return Pronunciation { probability: 1.0, heard: Heard::Same, inserted: None };
        }
        let with = |middle: &[PhoneId]| {
            let phones = [&self.phones[..self.place], middle, &self.phones[self.place + 1..]].concat();
            log_probability(self.log_probs, self.frames.clone(), &phones)
        };
        let others = (1..self.log_probs.classes() as u16).map(PhoneId);
        let said = with(&[own]);
        // Log probabilities relative to that of the phone.
        let mut best = (0.0, Heard::Same);
        let mut sum = 1.0;
        let nothing = (with(&[]) - said, Heard::Nothing);
        let changed = others.clone().filter(|q| *q != own).map(|q| (with(&[q]) - said, Heard::Other(q)));
        for (score, heard) in changed.chain([nothing]) {
            sum += score.exp();
            if score > best.0 {
                best = (score, heard);
            }
        }
        if sum.ln() < TRUST {
            best.1 = Heard::Same;
        }
        let before = others.map(|q| (with(&[q, own]) - said, q)).max_by(|a, b| a.0.total_cmp(&b.0));
        let inserted = before.filter(|(score, _)| *score > TRUST && best.1 == Heard::Same).map(|(_, q)| q);
        Pronunciation { probability: (1.0 / sum) as f32, heard: best.1, inserted }
    }
}

/// Log probability of all paths of `phones` in `frames` (Graves et al. 2006, equations 6 to 8), up to a constant that is the
/// same for all phones.
fn log_probability(log_probs: &LogProbs, frames: Range<usize>, phones: &[PhoneId]) -> f64 {
    // At odd places phones, at even ones blanks.
    let symbol = |s: usize| if s % 2 == 1 { phones[s / 2] } else { PhoneId::BLANK };
    let count = 2 * phones.len() + 1;
    let leaps = |s: usize| s >= 3 && s % 2 == 1 && symbol(s) != symbol(s - 2);
    let mut alpha = vec![0.0_f64; count];
    let mut log_scale = 0.0;
    for (n, t) in frames.clone().enumerate() {
        let row = log_probs.row(t);
        for s in (0..count).rev() {
            let from = match n {
                0 => f64::from(u8::from(s <= 1)),
                _ => alpha[s] + if s >= 1 { alpha[s - 1] } else { 0.0 } + if leaps(s) { alpha[s - 2] } else { 0.0 },
            };
            alpha[s] = from * f64::from(row[symbol(s).index()]).exp();
        }
        let high = alpha.iter().copied().fold(0.0, f64::max);
        if high == 0.0 {
            return f64::NEG_INFINITY;
        }
        alpha.iter_mut().for_each(|a| *a /= high);
        log_scale += high.ln();
    }
    let end = if count >= 2 { alpha[count - 1] + alpha[count - 2] } else { alpha[0] };
    if frames.is_empty() { if phones.is_empty() { 0.0 } else { f64::NEG_INFINITY } } else { end.ln() + log_scale }
}

#[cfg(test)]
mod tests {
    use super::super::Path;
    use super::*;
    use crate::phones::Labels;

    fn certain(path: &[usize]) -> crate::Result<LogProbs> {
        let logits = path.iter().flat_map(|&p| (0..5).map(move |c| if c == p { 12.0 } else { 0.0 })).collect();
        LogProbs::from_logits(logits, 5)
    }

    fn judged(said: &[usize], text: &[u16]) -> crate::Result<Vec<Pronunciation>> {
        let log_probs = certain(said)?;
        let text = Labels::new(text.iter().map(|p| PhoneId(*p)).collect())?;
        Ok(judge(&log_probs, &Path::of_labels(&log_probs, &text)?.segments))
    }

    #[test]
    fn changed_and_missing_phones_are_named() -> crate::Result<()> {
        let said = [0, 1, 0, 2, 0, 0, 3, 0, 4, 0];
        let right = judged(&said, &[1, 2, 3, 4])?;
        assert!(right.iter().all(|p| p.heard == Heard::Same && p.inserted.is_none() && p.score() > 90.0), "{right:?}");
        let changed = judged(&said, &[1, 4, 3, 4])?;
        assert_eq!(changed[1].heard, Heard::Other(PhoneId(2)));
        assert!(changed[1].score() < 10.0 && changed[0].score() > 90.0 && changed[2].score() > 90.0);
        let missing = judged(&[0, 1, 0, 0, 3, 0, 4, 0], &[1, 2, 3, 4])?;
        assert_eq!(missing[1].heard, Heard::Nothing);
        let extra = judged(&said, &[1, 3, 4])?;
        assert_eq!((extra[1].inserted, extra[1].heard), (Some(PhoneId(2)), Heard::Same));
        Ok(())
    }

    #[test]
    fn local_sums_are_the_losss() -> crate::Result<()> {
        let mut rng = crate::rng::Rng::stream(1, "pronunciation", 0);
        let logits: Vec<f32> = (0..12 * 5).map(|_| 2.0 * rng.normal()).collect();
        let text = Labels::new([1, 1, 3].map(PhoneId).to_vec())?;
        let log_probs = LogProbs::from_logits(logits.clone(), 5)?;
        let wide: Vec<f64> = logits.iter().map(|x| f64::from(*x)).collect();
        let (loss, _) = crate::ctc::reference::loss_and_gradient(&wide, 5, &text);
        assert!((log_probability(&log_probs, 0..12, text.as_slice()) + loss).abs() < 1e-5);
        Ok(())
    }
}
