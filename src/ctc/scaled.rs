//! The quick path: probabilities as f64 numbers that are scaled every few frames, states side by side in vectors.
//!
//! A frame's states may differ by more than f64 can hold; what is lost then may matter. So the result is only given when
//! the sums of forward times backward probabilities, which must be the same in every frame, are; and otherwise it is left to
//! the path that loses nothing. Sums go in eight or sixteen parts in a fixed order, and nothing is contracted: every
//! instruction set gives the same bits.
#![forbid(unsafe_code)]

use super::reachable;
use super::softmax::{Posteriors, exponentiate, highest};
use crate::phones::Labels;
use pulp::Arch;
use std::ops::Range;

/// Frames after which numbers are scaled. The least that a frame multiplies with is e^[`LOWEST`].
const STRIDE: usize = 4;
/// Logits of labels this far below the frame's best are left to the other path.
const LOWEST: f32 = -80.0;
/// So much may the sums of the frames differ, relatively.
const TOLERANCE: f64 = 1e-9;

/// Minus the log probability of `labels`, at least one, given `frames` rows of logits, at least one; nothing if this path
/// cannot say. Fills in the posteriors if they are wanted.
pub fn loss<'a>(
    frames: usize,
    row: &impl Fn(usize) -> &'a [f32],
    labels: &Labels,
    posteriors: Option<&mut Posteriors>,
) -> Option<f64> {
    Arch::new().dispatch(
        #[inline(always)]
        || Lattice::new(frames, row(0).len(), labels).run(row, posteriors),
    )
}

/// All that the sums need. Label i lies between blanks i and i + 1.
struct Lattice {
    frames: usize,
    classes: usize,
    labels: Vec<usize>,
    /// 1 where a path may go from label i - 1 to label i without a blank, else 0; one 0 more at either end.
    leaps: Vec<f64>,
    /// By frame: the probability of the blank, those of the labels.
    blank: Vec<f64>,
    emissions: Vec<f64>,
    /// By frame, of blanks and of labels, with a place before the first for what is not there. In units of two to the
    /// exponents.
    alpha_blank: Vec<f64>,
    alpha_label: Vec<f64>,
    exponents: Vec<i64>,
}

impl Lattice {
    #[inline(always)]
    fn new(frames: usize, classes: usize, labels: &Labels) -> Self {
        let labels: Vec<usize> = labels.as_slice().iter().map(|label| label.index()).collect();
        let count = labels.len();
        let mut leaps = vec![0.0; count + 2];
        (1..count).for_each(|i| leaps[i] = f64::from(u8::from(labels[i] != labels[i - 1])));
        Self {
            frames,
            classes,
            leaps,
            blank: vec![0.0; frames],
            emissions: vec![0.0; frames * count],
            alpha_blank: vec![0.0; frames * (count + 2)],
            alpha_label: vec![0.0; frames * (count + 2)],
            exponents: vec![0; frames],
            labels,
        }
    }

    /// Labels that a path can be at or next to in a frame.
    fn range(&self, t: usize) -> Range<usize> {
        let states = reachable(2 * self.labels.len() + 1, self.frames, t);
        states.start / 2..self.labels.len().min(states.end.div_ceil(2))
    }

    #[inline(always)]
    fn run<'a>(mut self, row: &impl Fn(usize) -> &'a [f32], mut posteriors: Option<&mut Posteriors>) -> Option<f64> {
        let mut exponentials = vec![0.0; self.classes];
        for t in 0..self.frames {
            let (high, inverse) = self.emit(t, row(t), &mut exponentials)?;
            if let Some(posteriors) = &mut posteriors {
                posteriors.set_softmax(t, high, inverse);
            }
            self.forward(t);
        }
        let (end, count) = ((self.frames - 1) * (self.labels.len() + 2), self.labels.len());
        let total = self.alpha_blank[end + count + 1] + self.alpha_label[end + count];
        if !(total > 0.0 && total.is_finite()) {
            return None;
        }
        let exponent = self.exponents[self.frames - 1];
        let log_total = total.ln() + exponent as f64 * std::f64::consts::LN_2;
        if let Some(posteriors) = posteriors {
            self.backward(posteriors, (total, exponent))?;
        }
        Some(-log_total)
    }

    /// Probabilities of the symbols in use; gives the greatest logit and one over the sum of the exponentials less that, or
    /// nothing if a probability is too small to tell.
    #[inline(always)]
    fn emit(&mut self, t: usize, logits: &[f32], exponentials: &mut [f32]) -> Option<(f32, f32)> {
        let high = highest(logits);
        if !high.is_finite() {
            return None;
        }
        let sum = exponentiate(logits, high, exponentials);
        let count = self.labels.len();
        let inverse = sum.recip();
        self.blank[t] = f64::from(exponentials[0]) * inverse;
        let range = self.range(t);
        let mut lowest = logits[0] - high;
        let emissions = &mut self.emissions[t * count..(t + 1) * count];
        for i in range {
            let label = self.labels[i];
            lowest = lowest.min(logits[label] - high);
            emissions[i] = f64::from(exponentials[label]) * inverse;
        }
        (lowest > LOWEST).then_some((high, inverse as f32))
    }

    /// Probabilities of all ways to each state of frame `t`, that frame included (Graves et al. 2006, equation 6).
    #[inline(always)]
    fn forward(&mut self, t: usize) {
        let (count, width) = (self.labels.len(), self.labels.len() + 2);
        let Range { start, end } = self.range(t);
        let emissions = &self.emissions[t * count..(t + 1) * count];
        let blank_now = self.blank[t];
        if t == 0 {
            self.alpha_blank[1] = blank_now;
            self.alpha_label[1] = emissions[0];
            return;
        }
        let (blank_before, blank) = self.alpha_blank[(t - 1) * width..(t + 1) * width].split_at_mut(width);
        let (label_before, label) = self.alpha_label[(t - 1) * width..(t + 1) * width].split_at_mut(width);
        let n = end - start;
        // Blank i is at place i + 1, label i too; the label before it is at place i.
        let (b, l, l1) =
            (&blank_before[start + 1..][..n + 1], &label_before[start + 1..][..n], &label_before[start..][..n + 1]);
        let (leaps, emissions) = (&self.leaps[start..][..n], &emissions[start..][..n]);
        let (blank, label) = (&mut blank[start + 1..][..n + 1], &mut label[start + 1..][..n]);
        for i in 0..n {
            label[i] = (l[i] + b[i] + leaps[i] * l1[i]) * emissions[i];
        }
        for i in 0..n + 1 {
            blank[i] = (b[i] + l1[i]) * blank_now;
        }
        self.exponents[t] = self.exponents[t - 1];
        if t.is_multiple_of(STRIDE) {
            self.exponents[t] += rescale(blank, label);
        }
    }

    /// Makes the posteriors, frame by frame from the last one; nothing if the frames do not agree.
    #[inline(always)]
    fn backward(&self, posteriors: &mut Posteriors, (total, total_exponent): (f64, i64)) -> Option<()> {
        let (count, width) = (self.labels.len(), self.labels.len() + 2);
        // Probabilities of all ways on from each state, times the emission of the frame after; labels and blanks at their
        // own places, a zero behind them.
        let (mut next_blank, mut next_label) = (vec![0.0; width], vec![0.0; width]);
        let (mut beta_blank, mut beta_label) = (vec![0.0; width], vec![0.0; width]);
        let mut posterior = vec![0.0; width];
        let mut exponent = 0;
        for t in (0..self.frames).rev() {
            let Range { start, end } = self.range(t);
            let n = end - start;
            let (b, l) = (&mut beta_blank[start..][..n + 1], &mut beta_label[start..][..n]);
            if t + 1 == self.frames {
                b.fill(0.0);
                l.fill(0.0);
                b[n] = 1.0;
                if n > 0 {
                    l[n - 1] = 1.0;
                }
            } else {
                let (nb, nl) = (&next_blank[start..][..n + 1], &next_label[start..][..n + 1]);
                let leaps = &self.leaps[start + 1..][..n];
                for i in 0..n {
                    l[i] = nl[i] + nb[i + 1] + leaps[i] * nl[i + 1];
                }
                for i in 0..n + 1 {
                    b[i] = nb[i] + nl[i];
                }
            }
            let alpha_blank = &self.alpha_blank[t * width + start + 1..][..n + 1];
            let alpha_label = &self.alpha_label[t * width + start + 1..][..n];
            let posterior = &mut posterior[..n];
            for i in 0..n {
                posterior[i] = alpha_label[i] * l[i];
            }
            let blanks = product(alpha_blank, b);
            let sum = blanks + sum(posterior);
            let agrees = sum / total * power_of_two(self.exponents[t] + exponent - total_exponent);
            let differs = (agrees - 1.0).abs();
            if differs.is_nan() || differs >= TOLERANCE {
                return None;
            }
            let (shares, share) = (posteriors.shares_mut(t), sum.recip());
            shares[0] = (blanks * share) as f32;
            shares[start + 1..].iter_mut().zip(&*posterior).for_each(|(out, p)| *out = (p * share) as f32);
            next_blank.fill(0.0);
            next_label.fill(0.0);
            let emissions = &self.emissions[t * count..][start..end];
            let (nb, nl, blank) = (&mut next_blank[start..][..n + 1], &mut next_label[start..][..n], self.blank[t]);
            for i in 0..n {
                nl[i] = l[i] * emissions[i];
            }
            for i in 0..n + 1 {
                nb[i] = b[i] * blank;
            }
            if t.is_multiple_of(STRIDE) {
                exponent += rescale(nb, nl);
            }
        }
        Some(())
    }
}

/// Divides by a power of two so that the greatest number is about one; gives the exponent.
#[inline(always)]
fn rescale(blank: &mut [f64], label: &mut [f64]) -> i64 {
    let mut high = [0.0_f64; 8];
    for values in [&*blank, &*label] {
        let chunks = values.chunks_exact(8);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (high, x) in high.iter_mut().zip(chunk) {
                *high = if *x > *high { *x } else { *high };
            }
        }
        for (high, x) in high.iter_mut().zip(rest) {
            *high = if *x > *high { *x } else { *high };
        }
    }
    let high = high.into_iter().fold(0.0, f64::max);
    if high < f64::MIN_POSITIVE {
        return 0;
    }
    let exponent = (high.to_bits() >> 52) as i64 - 1023;
    let factor = power_of_two(-exponent);
    blank.iter_mut().for_each(|x| *x *= factor);
    label.iter_mut().for_each(|x| *x *= factor);
    exponent
}

/// Two to a power; zero or infinity beyond what f64 holds.
fn power_of_two(exponent: i64) -> f64 {
    match exponent {
        -1022..=1023 => f64::from_bits(((exponent + 1023) as u64) << 52),
        ..-1022 => 0.0,
        _ => f64::INFINITY,
    }
}

/// The sum, in eight parts.
#[inline(always)]
fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, x)| *lane += x);
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane += x);
    lanes.into_iter().sum()
}

/// The sum of products, in eight parts.
#[inline(always)]
fn product(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (x, y) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = (x.remainder(), y.remainder());
    for (x, y) in x.zip(y) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    for ((lane, x), y) in lanes.iter_mut().zip(rest.0).zip(rest.1) {
        *lane += x * y;
    }
    lanes.into_iter().sum()
}
