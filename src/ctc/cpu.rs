//! The fast path: f32 logits, sums in f64, only the states that a path can be in.
//!
//! `scaled` does nearly all, and knows when it cannot; the rest is done here. Instead of logarithms, which would cost an exponential and a logarithm for each sum, a state's probability is kept
//! as a product that is scaled anew in every frame. A frame's states may then differ by more than f64 can hold, and
//! small ones would be lost: each state is therefore weighed by its own power of two (`Scaled`), so that nothing is
//! ever lost and the result is exact to rounding, at any length.
#![forbid(unsafe_code)]

use super::softmax::Posteriors;
use super::{may_leap, reachable, scaled, states};
use crate::phones::Labels;

/// A number `m 2^e` with m in [1, 2), or zero.
#[derive(Clone, Copy)]
struct Scaled {
    m: f64,
    e: i64,
}

/// Far below every exponent that can come up.
const NOTHING: i64 = i64::MIN / 4;

impl Scaled {
    const ZERO: Self = Self { m: 0.0, e: NOTHING };
    const ONE: Self = Self { m: 1.0, e: 0 };

    /// Brings the mantissa back to [1, 2). It must be normal, zero, or not finite.
    #[inline(always)]
    fn normal(m: f64, e: i64) -> Self {
        let bits = m.to_bits();
        let exponent = (bits >> 52) as i64;
        if exponent == 0 {
            return Self::ZERO;
        }
        Self { m: f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000), e: e + exponent - 1023 }
    }

    /// e^x, for x at most a little above zero.
    fn exp(x: f64) -> Self {
        let e = (x * std::f64::consts::LOG2_E).floor();
        if e == f64::NEG_INFINITY {
            return Self::ZERO;
        }
        Self::normal((x - e * std::f64::consts::LN_2).exp(), e as i64)
    }

    fn ln(self) -> f64 {
        if self.m == 0.0 { f64::NEG_INFINITY } else { self.m.ln() + self.e as f64 * std::f64::consts::LN_2 }
    }
}

/// 2^-d for d >= 0, and 0 where a double would not show it beside 1.
#[inline(always)]
fn half_to(d: i64) -> f64 {
    if d > 1000 { 0.0 } else { f64::from_bits(((1023 - d) as u64) << 52) }
}

/// (a + b + c) p
#[inline(always)]
fn sum3_times(a: Scaled, b: Scaled, c: Scaled, p: Scaled) -> Scaled {
    let e = a.e.max(b.e).max(c.e);
    let m = a.m * half_to(e - a.e) + b.m * half_to(e - b.e) + c.m * half_to(e - c.e);
    Scaled::normal(m * p.m, e + p.e)
}

/// Minus the log probability of `labels` given `frames` rows of logits, which `row` hands out, and, if they are wanted, the
/// posteriors that its gradient is made of. The labels must fit. A row with a value that is not finite makes the loss and the
/// gradient NaN.
pub fn loss<'a>(
    frames: usize,
    row: impl Fn(usize) -> &'a [f32],
    labels: &Labels,
    wanted: bool,
) -> (f64, Option<Posteriors>) {
    let mut posteriors = wanted.then(|| Posteriors::new(frames, labels.as_slice().len()));
    if frames == 0 {
        return (0.0, posteriors);
    }
    let quick = match labels.as_slice() {
        [] => None,
        _ => scaled::loss(frames, &row, labels, posteriors.as_mut()),
    };
    (quick.unwrap_or_else(|| exact(frames, row, labels, posteriors.as_mut())), posteriors)
}

/// [`loss`], and the gradient, `[frames, classes]`.
#[cfg(test)]
pub fn loss_and_gradient<'a>(
    frames: usize,
    row: impl Fn(usize) -> &'a [f32],
    labels: &Labels,
    gradient: &mut [f32],
) -> f64 {
    let (loss, posteriors) = loss(frames, &row, labels, true);
    if let Some(posteriors) = posteriors {
        let classes = gradient.len() / frames.max(1);
        for (t, out) in gradient.chunks_mut(classes.max(1)).enumerate() {
            posteriors.gradient(t, labels.as_slice(), row(t), 1.0, out);
        }
    }
    loss
}

/// [`loss`] with numbers that lose nothing.
fn exact<'a>(
    frames: usize,
    row: impl Fn(usize) -> &'a [f32],
    labels: &Labels,
    mut wanted: Option<&mut Posteriors>,
) -> f64 {
    let states = states(labels);
    let count = states.len();
    // Probabilities of every frame: softmax in f64, exponent apart, for the symbols in use.
    let mut emissions = vec![Scaled::ZERO; frames * count];
    for t in 0..frames {
        let logits = row(t);
        if logits.iter().any(|x| !x.is_finite()) {
            if let Some(posteriors) = wanted {
                posteriors.spoil();
            }
            return f64::NAN;
        }
        let high = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|x| f64::from((x - high).exp())).sum();
        let log_sum = f64::from(high) + sum.ln();
        if let Some(posteriors) = &mut wanted {
            posteriors.set_softmax(t, high, sum.recip() as f32);
        }
        for s in reachable(count, frames, t) {
            emissions[t * count + s] = if s % 2 == 0 && s >= 2 && emissions[t * count + s - 2].m > 0.0 {
                emissions[t * count + s - 2]
            } else {
                Scaled::exp(f64::from(logits[states[s].index()]) - log_sum)
            };
        }
    }
    let leaps: Vec<bool> = (0..count).map(|s| may_leap(&states, s)).collect();
    let alpha = forward(frames, count, &leaps, &emissions);
    let end = &alpha[(frames - 1) * count..];
    let total =
        sum3_times(end[count - 1], if count > 1 { end[count - 2] } else { Scaled::ZERO }, Scaled::ZERO, Scaled::ONE);
    if let Some(wanted) = wanted {
        backward(frames, &leaps, &emissions, &alpha, total, |t, posteriors, range| {
            let shares = wanted.shares_mut(t);
            shares[0] = range.clone().filter(|s| s % 2 == 0).map(|s| posteriors[s]).sum::<f64>() as f32;
            range.filter(|s| s % 2 == 1).for_each(|s| shares[s / 2 + 1] = posteriors[s] as f32);
        });
    }
    -total.ln()
}

/// `[frames, count]`: all ways to be in a state at a frame, that frame included.
fn forward(frames: usize, count: usize, leaps: &[bool], emissions: &[Scaled]) -> Vec<Scaled> {
    let mut alpha = vec![Scaled::ZERO; frames * count];
    let starts = count.min(2);
    alpha[..starts].copy_from_slice(&emissions[..starts]);
    for t in 1..frames {
        let (before, now) = alpha.split_at_mut(t * count);
        let before = &before[(t - 1) * count..];
        for s in reachable(count, frames, t) {
            let one = if s >= 1 { before[s - 1] } else { Scaled::ZERO };
            let two = if leaps[s] { before[s - 2] } else { Scaled::ZERO };
            now[s] = sum3_times(before[s], one, two, emissions[t * count + s]);
        }
    }
    alpha
}

/// Hands each frame's posteriors of its reachable states to `take`, last frame first.
fn backward(
    frames: usize,
    leaps: &[bool],
    emissions: &[Scaled],
    alpha: &[Scaled],
    total: Scaled,
    mut take: impl FnMut(usize, &[f64], std::ops::Range<usize>),
) {
    let count = leaps.len();
    // beta times emission of the frame after the current one; two states of nothing at the end.
    let mut next = vec![Scaled::ZERO; count + 2];
    let mut beta = vec![Scaled::ZERO; count];
    let mut posteriors = vec![0.0; count];
    for t in (0..frames).rev() {
        let range = reachable(count, frames, t);
        for s in range.clone() {
            beta[s] = if t == frames - 1 {
                Scaled::ONE
            } else {
                let two = if s + 2 < count && leaps[s + 2] { next[s + 2] } else { Scaled::ZERO };
                sum3_times(next[s], next[s + 1], two, Scaled::ONE)
            };
            let alpha = alpha[t * count + s];
            let exponent = alpha.e + beta[s].e - total.e;
            posteriors[s] =
                if exponent < -1000 { 0.0 } else { alpha.m * beta[s].m / total.m * 2.0_f64.powi(exponent as i32) };
        }
        take(t, &posteriors, range.clone());
        next.fill(Scaled::ZERO);
        for s in range {
            let emission = emissions[t * count + s];
            next[s] = Scaled::normal(beta[s].m * emission.m, beta[s].e + emission.e);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reference;
    use super::*;
    use crate::phones::PhoneId;
    use crate::rng::Rng;

    fn both(logits: &[f32], classes: usize, labels: &Labels) -> ((f64, Vec<f32>), (f64, Vec<f64>)) {
        let mut gradient = vec![0.0; logits.len()];
        let row = |t: usize| &logits[t * classes..(t + 1) * classes];
        let loss = loss_and_gradient(logits.len() / classes, row, labels, &mut gradient);
        let wide: Vec<f64> = logits.iter().map(|x| f64::from(*x)).collect();
        ((loss, gradient), reference::loss_and_gradient(&wide, classes, labels))
    }

    #[test]
    fn agrees_with_the_definition() -> crate::Result<()> {
        let mut rng = Rng::stream(2, "ctc", 0);
        for (frames, classes, count, spread) in
            [(1, 3, 0, 1.0), (1, 3, 1, 1.0), (7, 4, 7, 1.0), (50, 5, 20, 3.0), (60, 40, 25, 30.0), (200, 9, 3, 100.0)]
        {
            let mut labels: Vec<PhoneId> = (0..count).map(|_| PhoneId(1 + rng.below(classes - 1) as u16)).collect();
            if frames == count {
                (0..count).for_each(|i| labels[i] = PhoneId(1 + (i % 2) as u16));
            }
            let labels = Labels::new(labels)?;
            let logits: Vec<f32> = (0..frames * classes).map(|_| spread * rng.normal()).collect();
            let ((loss, gradient), (true_loss, true_gradient)) = both(&logits, classes, &labels);
            assert!((loss - true_loss).abs() <= 1e-6 * true_loss.abs().max(1.0), "{loss} {true_loss}");
            for (a, b) in gradient.iter().zip(&true_gradient) {
                assert!((f64::from(*a) - b).abs() < 1e-6, "{a} {b}");
            }
        }
        Ok(())
    }

    #[test]
    fn long_and_extreme_inputs_stay_finite() -> crate::Result<()> {
        // A network that is sure of the blank, against many labels: probabilities far below what f64 holds.
        for (frames, count) in [(100_000, 20), (5_000, 2_000)] {
            let classes = 3;
            let logits: Vec<f32> = (0..frames).flat_map(|_| [40.0, -40.0, -40.0]).collect();
            let labels = Labels::new((0..count).map(|i| PhoneId(1 + (i % 2) as u16)).collect())?;
            let row = |t: usize| &logits[t * classes..(t + 1) * classes];
            let mut gradient = vec![0.0; logits.len()];
            let loss = loss_and_gradient(frames, row, &labels, &mut gradient);
            let size = |x: &f32| if x.is_finite() { x.abs() } else { f32::INFINITY };
            let worst = gradient.iter().map(size).fold(0.0, f32::max);
            assert!(loss.is_finite() && loss > 50.0 * f64::from(count) && worst <= 1.0, "{loss} {worst}");
        }
        Ok(())
    }

    /// The quick path is one, and gives up where it must.
    #[test]
    fn the_quick_path_is_taken_where_it_can_be() -> crate::Result<()> {
        let mut rng = Rng::stream(3, "ctc", 0);
        for (spread, quick) in [(3.0, true), (10.0, true), (100.0, false)] {
            let (frames, classes) = (300, 40);
            let labels = Labels::new((0..40).map(|_| PhoneId(1 + rng.below(classes - 1) as u16)).collect())?;
            let logits: Vec<f32> = (0..frames * classes).map(|_| spread * rng.normal()).collect();
            let row = |t: usize| &logits[t * classes..(t + 1) * classes];
            let gradient = |posteriors: &Posteriors| {
                let mut all = vec![0.0; logits.len()];
                for (t, out) in all.chunks_mut(classes).enumerate() {
                    posteriors.gradient(t, labels.as_slice(), row(t), 1.0, out);
                }
                all
            };
            let (mut ours, mut truth) = (Posteriors::new(frames, 40), Posteriors::new(frames, 40));
            let found = scaled::loss(frames, &row, &labels, Some(&mut ours));
            let loss = exact(frames, row, &labels, Some(&mut truth));
            assert_eq!(found.is_some(), quick, "{spread}");
            if let Some(found) = found {
                let pairs = gradient(&ours).into_iter().zip(gradient(&truth));
                let worst = pairs.fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
                assert!((found - loss).abs() < 1e-6 * loss && worst < 1e-6, "{found} {loss} {worst}");
            }
        }
        Ok(())
    }

    #[test]
    fn numbers_that_are_none_give_nan() -> crate::Result<()> {
        let logits = [0.0, f32::NAN, 0.0, 0.0];
        let ((loss, gradient), _) = both(&logits, 2, &Labels::new(vec![PhoneId(1)])?);
        assert!(loss.is_nan() && gradient.iter().all(|g| g.is_nan()));
        Ok(())
    }
}
