//! What a call of the recurrent layer is about, beside its numbers.
#![forbid(unsafe_code)]

use super::carry::Carry;
use super::cells::Spec;
use crate::lengths::Lengths;
use std::ops::Deref;

/// The shape of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Directions, D: 1 (forward in time) or 2 (forward, then backward).
    pub directions: usize,
    /// Numbers of a frame of the layer's input, F.
    pub inputs: usize,
    /// Units of one direction, H.
    pub hidden: usize,
    /// Numbers that the output is projected to before R sees it, P; 0: it is not.
    pub projection: usize,
    /// Groups of neighbouring units that hear only each other through R: it is block-diagonal, `[D, G H, H / heads]`.
    pub heads: usize,
}

impl Shape {
    /// Units of a head.
    pub fn head(&self) -> usize {
        self.hidden / self.heads
    }

    /// Numbers of one direction of the output.
    pub fn output(&self) -> usize {
        if self.projection > 0 { self.projection } else { self.hidden }
    }

    /// Numbers that a unit sees through R: the columns of R.
    pub fn seen(&self) -> usize {
        self.output() / self.heads
    }

    /// Groups of H rows in `r`: a projection's matrix, transposed, is the last of them.
    pub fn groups(&self, spec: &Spec) -> usize {
        spec.rows_of_r() + usize::from(self.projection > 0)
    }

    /// How many biases there are.
    pub fn biases(&self, spec: &Spec) -> usize {
        self.directions * self.hidden * spec.gates.len()
    }

    /// How many recurrent weights, those of a projection among them.
    pub fn recurrent(&self, spec: &Spec) -> usize {
        self.directions * self.hidden * self.groups(spec) * self.seen()
    }

    /// How many further parameters.
    pub fn aux(&self, spec: &Spec) -> usize {
        self.directions * self.hidden * spec.aux.len()
    }
}

/// A layer's shape, and a batch.
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// The layer's.
    pub shape: Shape,
    /// The packed layout of the batch: N rows.
    pub lengths: &'a Lengths,
    /// What happens to states between one step and the next.
    pub carry: &'a Carry,
}

impl Deref for Problem<'_> {
    type Target = Shape;
    fn deref(&self) -> &Shape {
        &self.shape
    }
}
