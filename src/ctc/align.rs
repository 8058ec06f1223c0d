//! Forced alignment: the most probable path of a label sequence through the CTC lattice (Viterbi).
#![forbid(unsafe_code)]

use super::{may_leap, reachable, states};
use crate::decode::{LogProbs, Segment, widen};
use crate::error::{Error, Result};
use crate::phones::Labels;

/// One segment a label, in frames of the model.
///
/// # Errors
/// [`Error::Infeasible`] if there are fewer frames than the labels need.
pub fn align(log_probs: &LogProbs, labels: &Labels) -> Result<Vec<Segment>> {
    let (frames, needed) = (log_probs.frames(), labels.frames_needed());
    if needed > frames {
        let utterance = "the recording".to_owned();
        return Err(Error::Infeasible { utterance, labels: labels.as_slice().len(), needed, frames });
    }
    if labels.as_slice().is_empty() {
        return Ok(Vec::new());
    }
    let states = states(labels);
    let count = states.len();
    let mut best = vec![f32::NEG_INFINITY; count];
    // By frame and state, how many states back the best path came from.
    let mut steps = vec![0_u8; frames * count];
    for t in 0..frames {
        let row = log_probs.row(t);
        let range = reachable(count, frames, t);
        // From the last state on, so that `best` still holds the frame before.
        for s in (0..count).rev() {
            let mut from = (
                if t == 0 && s >= 2 {
                    f32::NEG_INFINITY
                } else if t == 0 {
                    0.0
                } else {
                    best[s]
                },
                0,
            );
            if t > 0 && s >= 1 && best[s - 1] > from.0 {
                from = (best[s - 1], 1);
            }
            if t > 0 && may_leap(&states, s) && best[s - 2] > from.0 {
                from = (best[s - 2], 2);
            }
            best[s] = if range.contains(&s) { from.0 + row[states[s].index()] } else { f32::NEG_INFINITY };
            steps[t * count + s] = from.1;
        }
    }
    let mut state = if best[count - 1] > best[count - 2] { count - 1 } else { count - 2 };
    let mut segments: Vec<Segment> = Vec::with_capacity(labels.as_slice().len());
    let mut last = usize::MAX;
    for t in (0..frames).rev() {
        if state % 2 == 1 {
            let score = log_probs.row(t)[states[state].index()];
            match segments.last_mut() {
                Some(segment) if last == state => {
                    segment.start = t;
                    segment.score += score;
                }
                _ => segments.push(Segment { phone: states[state], start: t, end: t + 1, score }),
            }
            last = state;
        }
        state -= usize::from(steps[t * count + state]);
    }
    segments.reverse();
    segments.iter_mut().for_each(|s| s.score /= (s.end - s.start) as f32);
    widen(&mut segments, frames);
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::PhoneId;

    #[test]
    fn follows_the_peaks() -> Result<()> {
        let path = [0, 1, 1, 0, 2, 0, 2, 2];
        let logits = path.iter().flat_map(|&p| (0..3).map(move |c| if c == p { 5.0 } else { 0.0 })).collect();
        let labels = Labels::new([1, 2, 2].map(PhoneId).to_vec())?;
        let segments = align(&LogProbs::from_logits(logits, 3)?, &labels)?;
        let spans: Vec<_> = segments.iter().map(|s| (s.phone.0, s.start, s.end)).collect();
        assert_eq!(spans, [(1, 0, 3), (2, 3, 5), (2, 5, 8)]);
        assert!(align(&LogProbs::from_logits(vec![0.0; 6], 3)?, &labels).is_err());
        Ok(())
    }
}
