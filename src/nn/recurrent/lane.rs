//! `Lane`: one number, or a vector of numbers side by side, so that a cell is written once and serves all paths.
#![forbid(unsafe_code)]

use std::ops::{Add, Div, Mul, Neg, Sub};

/// The arithmetic that a cell's step may use. No branches: a lane may be a vector.
pub trait Lane:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// The same constant in every place. It comes from a value because a vector carries proof of its instruction set.
    fn splat(self, value: f32) -> Self;
    /// The logistic function.
    fn sigmoid(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The exponential; of numbers that are not above 0.
    fn exp_of_negative(self) -> Self;
    /// The logarithm of the logistic function.
    fn log_sigmoid(self) -> Self;
    /// The larger one.
    fn max(self, other: Self) -> Self;
    /// 1 where it is above 0, 0 elsewhere.
    fn positive(self) -> Self;

    /// Derivative of the logistic function, of its value: s (1 - s).
    #[inline(always)]
    fn d_sigmoid(self) -> Self {
        self * (self.splat(1.0) - self)
    }

    /// Derivative of the hyperbolic tangent, of its value: 1 - t^2.
    #[inline(always)]
    fn d_tanh(self) -> Self {
        self.splat(1.0) - self * self
    }

    /// The rectifier.
    #[inline(always)]
    fn relu(self) -> Self {
        self.max(self.splat(0.0))
    }
}

impl Lane for f64 {
    fn splat(self, value: f32) -> Self {
        value.into()
    }

    fn sigmoid(self) -> Self {
        1.0 / (1.0 + (-self).exp())
    }

    fn tanh(self) -> Self {
        self.tanh()
    }

    fn exp_of_negative(self) -> Self {
        self.exp()
    }

    fn log_sigmoid(self) -> Self {
        self.min(0.0) - (-self.abs()).exp().ln_1p()
    }

    fn max(self, other: Self) -> Self {
        self.max(other)
    }

    fn positive(self) -> Self {
        f64::from(self > 0.0)
    }
}
