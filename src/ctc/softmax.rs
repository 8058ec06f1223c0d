//! Rows of logits to probabilities, and the gradient of the loss by them.
//!
//! Sums go in sixteen parts in a fixed order, and nothing is contracted: every instruction set gives the same bits.
#![forbid(unsafe_code)]

use crate::phones::PhoneId;

/// What the gradient of an utterance is made of: for each frame the softmax of its logits, and how probable each symbol of the
/// target is there by all paths together.
#[derive(Clone, Debug, Default)]
pub struct Posteriors {
    /// By frame: the greatest logit, and one over the sum of the exponentials of the logits less that.
    highs: Vec<f32>,
    inverses: Vec<f32>,
    /// By frame: of the blank, and of each label in its place.
    shares: Vec<f32>,
}

impl Posteriors {
    /// For `frames` frames of `labels` labels, all zero.
    pub fn new(frames: usize, labels: usize) -> Self {
        Self { highs: vec![0.0; frames], inverses: vec![0.0; frames], shares: vec![0.0; frames * (labels + 1)] }
    }

    /// Makes every gradient NaN.
    pub fn spoil(&mut self) {
        self.inverses.fill(f32::NAN);
    }

    /// The softmax of frame `t`: e^(logit - high) times `inverse`.
    pub fn set_softmax(&mut self, t: usize, high: f32, inverse: f32) {
        (self.highs[t], self.inverses[t]) = (high, inverse);
    }

    /// The shares of frame `t`.
    pub fn shares_mut(&mut self, t: usize) -> &mut [f32] {
        let width = self.shares.len() / self.highs.len();
        &mut self.shares[t * width..(t + 1) * width]
    }

    /// The gradient by the logits of frame `t`, times `scale` (Graves et al. 2006, equation 16).
    #[inline(always)]
    pub fn gradient(&self, t: usize, labels: &[PhoneId], logits: &[f32], scale: f32, out: &mut [f32]) {
        let (high, factor) = (self.highs[t], self.inverses[t] * scale);
        out.iter_mut().zip(logits).for_each(|(out, x)| *out = exp(*x - high) * factor);
        let shares = &self.shares[t * (labels.len() + 1)..][..labels.len() + 1];
        out[0] -= shares[0] * scale;
        for (share, label) in shares[1..].iter().zip(labels) {
            out[label.index()] -= share * scale;
        }
    }
}

/// The greatest number; NaN if one is, or if there is an infinite one.
#[inline(always)]
pub fn highest(values: &[f32]) -> f32 {
    let (mut high, mut odd) = ([f32::NEG_INFINITY; 16], [0.0_f32; 16]);
    let chunks = values.chunks_exact(16);
    let rest = chunks.remainder();
    let mut take = |chunk: &[f32]| {
        for ((high, odd), x) in high.iter_mut().zip(&mut odd).zip(chunk) {
            *high = if *x > *high { *x } else { *high };
            // Zero, but for what is no finite number.
            *odd += *x * 0.0;
        }
    };
    chunks.for_each(&mut take);
    take(rest);
    high.into_iter().fold(f32::NEG_INFINITY, f32::max) + odd.into_iter().sum::<f32>()
}

/// e^(x - high) for each x, and their sum.
#[inline(always)]
pub fn exponentiate(logits: &[f32], high: f32, out: &mut [f32]) -> f64 {
    let mut sum = 0.0;
    // Short sums in f32, long ones in f64.
    for (logits, out) in logits.chunks(256).zip(out.chunks_mut(256)) {
        let mut lanes = [0.0_f32; 16];
        let (inputs, outputs) = (logits.chunks_exact(16), out.chunks_exact_mut(16));
        let rest = inputs.remainder();
        for (x, y) in inputs.zip(outputs) {
            for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
                *y = exp(*x - high);
                *lane += *y;
            }
        }
        let place = logits.len() - rest.len();
        for ((lane, x), y) in lanes.iter_mut().zip(rest).zip(&mut out[place..]) {
            *y = exp(*x - high);
            *lane += *y;
        }
        sum += lanes.iter().map(|lane| f64::from(*lane)).sum::<f64>();
    }
    sum
}

/// e^x for x up to 0, to within two units of the last place; 0 below -87 (Cephes' expf).
#[inline(always)]
fn exp(x: f32) -> f32 {
    let low = x < -87.0;
    let x = if low { -87.0 } else { x };
    // The nearest whole number: adding this leaves no bits for fractions.
    const ROUND: f32 = 12_582_912.0;
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    // The number stands in the last bits.
    let scale = f32::from_bits(rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23);
    if low { 0.0 } else { y * scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_exact_to_the_last_places() {
        for i in 0..87_000 {
            let x = -(i as f32) * 1e-3;
            let truth = f64::from(x).exp();
            assert!((f64::from(exp(x)) / truth - 1.0).abs() < 2.5e-7, "{x}");
        }
        assert_eq!((exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }

    #[test]
    fn odd_numbers_are_noticed() {
        let mut values = vec![1.0_f32; 40];
        assert_eq!(highest(&values), 1.0);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, 17, 39] {
                let before = std::mem::replace(&mut values[place], odd);
                assert!(highest(&values).is_nan(), "{odd} at {place}");
                values[place] = before;
            }
        }
    }
}
