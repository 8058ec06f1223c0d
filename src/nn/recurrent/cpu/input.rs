//! The input part of every gate, `x W^T + b`, made for many time steps at once: a product of many rows is faster than many
//! products of few; and not for all steps, so that the numbers are still in the cache when the loop comes to them.
#![forbid(unsafe_code)]

use super::unit::Unit;
use super::weights::PackedHead;
use crate::nn::panels::{Onto, Rows};
use pulp::Simd;
use std::borrow::Cow;
use std::ops::Range;

/// Rows that are made at once, at least, if there are as many.
const ROWS: usize = 512;

/// The input parts of the steps around the one that the loop has come to.
pub struct InputParts<'a> {
    unit: &'a Unit<'a>,
    /// `[N, F]`, the whole batch's.
    x: &'a [f32],
    weights: &'a PackedHead,
    steps: Range<usize>,
    /// `[rows of those steps, G, H padded]`.
    data: Vec<f32>,
}

impl<'a> InputParts<'a> {
    /// None yet.
    pub fn new(unit: &'a Unit<'a>, x: &'a [f32], weights: &'a PackedHead) -> Self {
        Self { unit, x, weights, steps: 0..0, data: Vec::new() }
    }

    /// The parts of row `b` at time `t`, `[G, H padded]`; the loop must have [come to](Self::reach) that time.
    #[inline(always)]
    pub fn row(&self, t: usize, b: usize) -> &[f32] {
        let (lengths, width) = (&self.unit.lengths, self.weights.bias.len());
        &self.data[(lengths.row(t, b) - lengths.offset(self.steps.start)) * width..][..width]
    }

    /// Makes the parts of time `t`, and of times after it in the order of running.
    pub fn reach<S: Simd>(&mut self, simd: S, t: usize) {
        if self.steps.contains(&t) {
            return;
        }
        let (lengths, PackedHead { input, bias, .. }) = (&self.unit.lengths, self.weights);
        let count = ROWS.div_ceil(lengths.batch());
        self.steps = match self.unit.direction {
            0 => t..(t + count).min(lengths.steps()),
            _ => (t + 1).saturating_sub(count)..t + 1,
        };
        let count = lengths.offset(self.steps.end) - lengths.offset(self.steps.start);
        let x = self.unit.inputs(self.x, self.steps.clone());
        let rows = Rows { data: &x, stride: self.unit.shape.inputs, count };
        self.data.resize(count * bias.len(), 0.0);
        input.multiply(simd, rows, Onto::Bias(bias), (&mut self.data, bias.len()));
    }
}

impl Unit<'_> {
    /// The unit's rows of `x`, `[N, F]`, at those times.
    fn inputs<'x>(&self, x: &'x [f32], times: Range<usize>) -> Cow<'x, [f32]> {
        let width = self.shape.inputs;
        if self.lengths.batch() == self.problem.lengths.batch() {
            return Cow::Borrowed(&x[self.lengths.offset(times.start) * width..self.lengths.offset(times.end) * width]);
        }
        let row = |t: usize| &x[self.global(t, 0) * width..][..self.lengths.active(t) * width];
        Cow::Owned(times.flat_map(row).copied().collect())
    }
}
