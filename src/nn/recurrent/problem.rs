//! What a call of the recurrent layer is about, beside its numbers.
#![forbid(unsafe_code)]

use super::cells::Spec;
use crate::lengths::Lengths;

/// The shape of a call.
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// The packed layout of the batch: N rows.
    pub lengths: &'a Lengths,
    /// Directions, D: 1 (forward in time) or 2 (forward, then backward).
    pub directions: usize,
    /// Units of one direction, H.
    pub hidden: usize,
    /// Groups of neighbouring units that hear only each other through R: it is block-diagonal, `[D, G H, H / heads]`.
    pub heads: usize,
}

impl Problem<'_> {
    /// Units of a head.
    pub fn head(&self) -> usize {
        self.hidden / self.heads
    }

    /// Numbers of `a`, of `r`, of `aux`, and of the output.
    pub fn sizes(&self, spec: &Spec) -> [usize; 4] {
        let (rows, units) = (self.lengths.rows(), self.directions * self.hidden);
        [rows * units * spec.gates.len(), units * spec.rows_of_r() * self.head(), units * spec.aux.len(), rows * units]
    }
}
