//! Best path decoding: the best symbol of every frame, repeats joined, blanks dropped.
#![forbid(unsafe_code)]

use super::{Decoder, Hypothesis, LogProbs, Segment, widen};
use crate::phones::PhoneId;

/// Best path decoding (Graves et al. 2006).
#[derive(Clone, Copy, Debug)]
pub struct Greedy;

impl Decoder for Greedy {
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis> {
        let mut segments: Vec<Segment> = Vec::new();
        let (mut last, mut score) = (PhoneId::BLANK, 0.0);
        for (t, row) in log_probs.rows().enumerate() {
            let (mut best, mut value) = (0, row[0]);
            for (class, &x) in row.iter().enumerate() {
                if x > value {
                    (best, value) = (class, x);
                }
            }
            let phone = PhoneId(best as u16);
            score += value;
            match segments.last_mut() {
                Some(segment) if phone == last && phone != PhoneId::BLANK => {
                    segment.end = t + 1;
                    segment.score += value;
                }
                _ if phone != PhoneId::BLANK => segments.push(Segment { phone, start: t, end: t + 1, score: value }),
                _ => {}
            }
            last = phone;
        }
        segments.iter_mut().for_each(|s| s.score /= (s.end - s.start) as f32);
        widen(&mut segments, log_probs.frames());
        vec![Hypothesis { phones: segments.iter().map(|s| s.phone).collect(), score, segments, words: Vec::new() }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_repeats_and_drops_blanks() -> crate::Result<()> {
        let path = [0, 1, 1, 0, 1, 2, 2, 0];
        let logits = path.iter().flat_map(|&p| (0..3).map(move |c| if c == p { 9.0 } else { 0.0 })).collect();
        let hypothesis = &Greedy.decode(&LogProbs::from_logits(logits, 3)?)[0];
        assert_eq!(hypothesis.phones, [PhoneId(1), PhoneId(1), PhoneId(2)]);
        let spans: Vec<_> = hypothesis.segments.iter().map(|s| (s.start, s.end)).collect();
        assert_eq!(spans, [(0, 3), (3, 5), (5, 8)]);
        Ok(())
    }

    #[test]
    fn no_frames_give_no_phones() -> crate::Result<()> {
        assert!(Greedy.decode(&LogProbs::from_logits(vec![], 3)?)[0].phones.is_empty());
        Ok(())
    }
}
