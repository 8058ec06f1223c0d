//! A vector of f32 as a lane of a cell: arithmetic, and the functions that cells are made of.
#![forbid(unsafe_code)]

use crate::nn::recurrent::lane::Lane;
use crate::nn::simd::mul_add;
use pulp::Simd;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A vector of f32 with proof of its instruction set.
#[derive(Clone, Copy)]
pub struct Vector<S: Simd> {
    /// The proof.
    pub simd: S,
    /// The numbers.
    pub v: S::f32s,
}

macro_rules! binary {
    ($trait:ident, $method:ident, $call:ident) => {
        impl<S: Simd> $trait for Vector<S> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self { simd: self.simd, v: self.simd.$call(self.v, other.v) }
            }
        }
    };
}
binary!(Add, add, add_f32s);
binary!(Sub, sub, sub_f32s);
binary!(Mul, mul, mul_f32s);
binary!(Div, div, div_f32s);

impl<S: Simd> Neg for Vector<S> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { simd: self.simd, v: self.simd.neg_f32s(self.v) }
    }
}

/// Numerator and denominator of the rational approximation of tanh on [-7.9, 7.9], odd and even part, highest power
/// first (the minimax fit that Eigen publishes as `generic_fast_tanh_float`): within 4e-7 of tanh.
const TANH_ODD: [f32; 7] =
    [-2.760_768_5e-16, 2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619_3e-4, 4.893_525e-3];
const TANH_EVEN: [f32; 4] = [1.198_258_4e-6, 1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3];
const TANH_LIMIT: f32 = 7.905_311;

/// Coefficients of e^x on [-ln 2 / 2, ln 2 / 2], highest power first (Cephes, expf.c), before x^2 is taken out.
const EXP: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5];
/// ln 2 in two parts, the first with few digits, so that a small multiple of it is exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// Added to a small number, it leaves the nearest integer in the lowest bits.
const TO_INTEGER: f32 = 12_582_912.0;
/// Below it e^x is no normal number any more.
const EXP_LIMIT: f32 = -87.0;

impl<S: Simd> Lane for Vector<S> {
    #[inline(always)]
    fn splat(self, value: f32) -> Self {
        Self { simd: self.simd, v: self.simd.splat_f32s(value) }
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        // σ(x) = (1 + tanh(x / 2)) / 2
        let half = self.splat(0.5);
        half + half * (half * self).tanh()
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        let simd = self.simd;
        let limit = simd.splat_f32s(TANH_LIMIT);
        let x = simd.max_f32s(simd.min_f32s(self.v, limit), simd.neg_f32s(limit));
        let x2 = simd.mul_f32s(x, x);
        let polynomial = |coefficients: &[f32]| {
            coefficients[1..]
                .iter()
                .fold(simd.splat_f32s(coefficients[0]), |sum, &c| mul_add(simd, sum, x2, simd.splat_f32s(c)))
        };
        let v = simd.div_f32s(simd.mul_f32s(x, polynomial(&TANH_ODD)), polynomial(&TANH_EVEN));
        Self { simd, v }
    }

    #[inline(always)]
    fn exp_of_negative(self) -> Self {
        // e^x = 2^n e^(x - n ln 2); n goes into the exponent's bits.
        let simd = self.simd;
        let x = simd.max_f32s(self.v, simd.splat_f32s(EXP_LIMIT));
        let magic = simd.splat_f32s(TO_INTEGER);
        let shifted = mul_add(simd, x, simd.splat_f32s(std::f32::consts::LOG2_E), magic);
        let n = simd.sub_f32s(shifted, magic);
        let x = LN_2.iter().fold(x, |x, part| mul_add(simd, n, simd.splat_f32s(-part), x));
        let start = simd.splat_f32s(EXP[0]);
        let sum = EXP[1..].iter().fold(start, |sum, c| mul_add(simd, sum, x, simd.splat_f32s(*c)));
        let value = mul_add(simd, sum, simd.mul_f32s(x, x), simd.add_f32s(x, simd.splat_f32s(1.0)));
        let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
        Self { simd, v: simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(value), exponent)) }
    }

    #[inline(always)]
    fn log_sigmoid(self) -> Self {
        // min(x, 0) - ln(1 + e), e = e^-|x|; ln(1 + e) = 2 artanh(e / (2 + e)), whose argument is at most 1/3.
        let simd = self.simd;
        let e = Self { simd, v: simd.neg_f32s(simd.abs_f32s(self.v)) }.exp_of_negative();
        let s = e / (e + self.splat(2.0));
        let s2 = s * s;
        let series = (0..8).rev().fold(self.splat(0.0), |sum, n| sum * s2 + self.splat(2.0 / (2 * n + 1) as f32));
        Self { simd, v: simd.min_f32s(self.v, simd.splat_f32s(0.0)) } - s * series
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self { simd: self.simd, v: self.simd.max_f32s(self.v, other.v) }
    }

    #[inline(always)]
    fn positive(self) -> Self {
        let simd = self.simd;
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        Self { simd, v: simd.select_f32s(simd.greater_than_f32s(self.v, zero), one, zero) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::simd::{Path, load, store};
    use pulp::WithSimd;

    struct Activations<'a>(&'a [f32]);
    impl WithSimd for Activations<'_> {
        type Output = Vec<[f32; 5]>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let mut out = Vec::new();
            for chunk in self.0.chunks(S::F32_LANES) {
                let x = Vector { simd, v: load(simd, chunk) };
                let all = [x.sigmoid(), x.tanh(), x.log_sigmoid(), (-x.max(-x)).exp_of_negative(), x.positive()];
                let columns = all.map(|y| {
                    let mut to = vec![0.0; chunk.len()];
                    store(simd, &mut to, y.v);
                    to
                });
                out.extend((0..chunk.len()).map(|i| std::array::from_fn(|n| columns[n][i])));
            }
            out
        }
    }

    #[test]
    fn activations_are_exact_to_rounding_on_every_path() {
        let xs: Vec<f32> = (-20_000..=20_000).map(|i| i as f32 * 1e-3).chain([-1e30, -90.0, 90.0, 1e30]).collect();
        for path in Path::available() {
            for (x, [sigmoid, tanh, log_sigmoid, exp, positive]) in xs.iter().zip(path.dispatch(Activations(&xs))) {
                let x = f64::from(*x);
                let close = |ours: f32, truth: f64, bound: f64| (f64::from(ours) - truth).abs() < bound;
                assert!(close(sigmoid, Lane::sigmoid(x), 4e-7), "sigmoid({x}) on {path:?}");
                assert!(close(tanh, x.tanh(), 8e-7), "tanh({x}) on {path:?}");
                let truth = x.log_sigmoid();
                assert!(close(log_sigmoid, truth, 3e-7 * truth.abs().max(1e-3)), "log sigmoid({x}) on {path:?}");
                let truth = (-x.abs()).exp();
                assert!(close(exp, truth, 3e-7 * truth + 2e-38), "exp(-|{x}|) on {path:?}: {exp}");
                assert_eq!(f64::from(positive), x.positive(), "positive({x}) on {path:?}");
            }
        }
    }
}
