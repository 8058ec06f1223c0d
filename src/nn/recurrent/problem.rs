//! What a call of the recurrent layer is about, beside its numbers.
#![forbid(unsafe_code)]

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
}
