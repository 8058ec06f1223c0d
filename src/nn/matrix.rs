//! Packed weights in the precision that was asked for.
#![forbid(unsafe_code)]

use super::panels::{Onto, Panels, Rows};
use super::panels8::Panels8;
use super::simd::Path;
use pulp::Simd;

/// How exact the products with a layer's weights are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floating point, as in training.
    #[default]
    F32,
    /// Weights and what they meet rounded to 8 bits, with a scale for each row: faster, a little less exact.
    Int8,
}

/// See the module.
pub enum Matrix {
    /// As they are.
    F32(Panels),
    /// Rounded.
    Int8(Panels8),
}

impl Matrix {
    /// Column c is row `row(c)` of `weights`, whose rows are `depth` long; zeros where there is none.
    pub fn of_rows(
        (precision, path): (Precision, Path),
        weights: &[f32],
        depth: usize,
        columns: usize,
        row: impl Fn(usize) -> Option<usize>,
    ) -> Self {
        match precision {
            Precision::F32 => Self::F32(Panels::of_rows(weights, depth, columns, row, path.lanes())),
            Precision::Int8 => Self::Int8(Panels8::of_rows(weights, depth, columns, row, path)),
        }
    }

    /// Writes `rows` times these weights to rows of `to`, `stride` apart. `simd` is the path's that they were packed for.
    ///
    /// # Panics
    /// If the slices are too short: a mistake in this crate, not in its input.
    pub fn multiply<S: Simd>(&self, simd: S, rows: Rows<'_>, onto: Onto<'_>, to: (&mut [f32], usize)) {
        match self {
            Self::F32(panels) => panels.multiply(simd, rows, onto, to),
            Self::Int8(panels) => panels.multiply(rows, onto, to),
        }
    }
}
