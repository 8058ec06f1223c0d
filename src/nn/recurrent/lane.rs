//! `Lane`: one number, or a vector of numbers side by side, so that a cell is written once and serves all paths.
#![forbid(unsafe_code)]

use std::ops::{Add, Mul, Neg, Sub};

/// The arithmetic that a cell's step may use. No branches: a lane may be a vector.
pub trait Lane: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self> {
    /// The same constant in every place. It comes from a value because a vector carries proof of its instruction set.
    fn splat(self, value: f32) -> Self;
    /// The logistic function.
    fn sigmoid(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;

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
}
