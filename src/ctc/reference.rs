//! The definition: forward and backward variables in the log domain, f64, one utterance. Slow and plain on purpose.
#![forbid(unsafe_code)]

use super::{may_leap, states};
use crate::phones::Labels;

/// ln(e^a + e^b), with ln 0 = -inf.
fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// The log-softmax of one row.
pub fn log_softmax(row: &[f64]) -> Vec<f64> {
    let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = high + row.iter().map(|x| (x - high).exp()).sum::<f64>().ln();
    row.iter().map(|x| x - sum).collect()
}

/// Minus the log probability of `labels` given rows of `logits` (`classes` wide), and its gradient by the logits.
pub fn loss_and_gradient(logits: &[f64], classes: usize, labels: &Labels) -> (f64, Vec<f64>) {
    let log_probs: Vec<Vec<f64>> = logits.chunks_exact(classes).map(log_softmax).collect();
    let (states, frames) = (states(labels), log_probs.len());
    let (count, floor) = (states.len(), f64::NEG_INFINITY);
    if frames == 0 {
        return (if labels.as_slice().is_empty() { 0.0 } else { f64::INFINITY }, Vec::new());
    }
    // alpha[t][s]: all ways to be in state s at frame t, frame t included. beta[t][s]: all ways on from there.
    let mut alpha = vec![vec![floor; count]; frames];
    let mut beta = vec![vec![floor; count]; frames];
    for t in 0..frames {
        for s in 0..count {
            let emit = log_probs[t][states[s].index()];
            let mut sum = if t == 0 && s < 2 { 0.0 } else { floor };
            if t > 0 {
                sum = alpha[t - 1][s];
                if s >= 1 {
                    sum = log_add(sum, alpha[t - 1][s - 1]);
                }
                if may_leap(&states, s) {
                    sum = log_add(sum, alpha[t - 1][s - 2]);
                }
            }
            alpha[t][s] = sum + emit;
        }
    }
    for t in (0..frames).rev() {
        for s in 0..count {
            if t == frames - 1 {
                beta[t][s] = if s + 2 >= count { 0.0 } else { floor };
                continue;
            }
            let on = |to: usize| beta[t + 1][to] + log_probs[t + 1][states[to].index()];
            let mut sum = on(s);
            if s + 1 < count {
                sum = log_add(sum, on(s + 1));
            }
            if s + 2 < count && may_leap(&states, s + 2) {
                sum = log_add(sum, on(s + 2));
            }
            beta[t][s] = sum;
        }
    }
    let total = (0..count).fold(floor, |sum, s| log_add(sum, alpha[0][s] + beta[0][s]));
    let mut gradient = Vec::with_capacity(logits.len());
    for t in 0..frames {
        let mut row: Vec<f64> = log_probs[t].iter().map(|p| p.exp()).collect();
        for s in 0..count {
            row[states[s].index()] -= (alpha[t][s] + beta[t][s] - total).exp();
        }
        gradient.extend(row);
    }
    (-total, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::PhoneId;
    use crate::rng::Rng;

    /// The sum over all paths, written down as the definition says it.
    fn brute_force(logits: &[f64], classes: usize, labels: &Labels) -> f64 {
        let log_probs: Vec<Vec<f64>> = logits.chunks_exact(classes).map(log_softmax).collect();
        let frames = log_probs.len();
        let mut total = 0.0;
        for code in 0..classes.pow(frames as u32) {
            let path: Vec<usize> = (0..frames).map(|t| code / classes.pow(t as u32) % classes).collect();
            let mut collapsed = path.clone();
            collapsed.dedup();
            collapsed.retain(|c| *c != 0);
            if collapsed.iter().copied().eq(labels.as_slice().iter().map(|p| p.index())) {
                total += path.iter().enumerate().map(|(t, c)| log_probs[t][*c]).sum::<f64>().exp();
            }
        }
        -total.ln()
    }

    #[test]
    fn equals_the_sum_over_all_paths() -> crate::Result<()> {
        let mut rng = Rng::stream(1, "ctc", 0);
        for frames in 1..=8 {
            for labels in [vec![], vec![1], vec![1, 1], vec![1, 2], vec![2, 1, 1], vec![1, 2, 1, 2]] {
                let labels = Labels::new(labels.into_iter().map(PhoneId).collect())?;
                if labels.frames_needed() > frames {
                    continue;
                }
                let logits: Vec<f64> = (0..frames * 3).map(|_| f64::from(rng.normal()) * 2.0).collect();
                let (loss, gradient) = loss_and_gradient(&logits, 3, &labels);
                assert!((loss - brute_force(&logits, 3, &labels)).abs() < 1e-10);
                for i in 0..logits.len() {
                    let probe = |delta: f64| {
                        let mut moved = logits.clone();
                        moved[i] += delta;
                        loss_and_gradient(&moved, 3, &labels).0
                    };
                    assert!(((probe(1e-5) - probe(-1e-5)) / 2e-5 - gradient[i]).abs() < 1e-7);
                }
            }
        }
        Ok(())
    }
}
