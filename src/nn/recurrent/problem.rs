//! What a call of the recurrent layer is about, beside its numbers.
#![forbid(unsafe_code)]

use super::carry::Carry;
use super::cells::Spec;
use crate::lengths::Lengths;

/// The shape of a call.
#[derive(Clone, Copy)]
pub struct Problem<'a> {
    /// The packed layout of the batch: N rows.
    pub lengths: &'a Lengths,
    /// Directions, D: 1 (forward in time) or 2 (forward, then backward).
    pub directions: usize,
    /// Numbers of a frame of the layer's input, F.
    pub inputs: usize,
    /// Units of one direction, H.
    pub hidden: usize,
    /// Numbers that the output is projected to before R sees it, P; 0: it is not.
    pub projection: usize,
    /// What happens to states between one step and the next.
    pub carry: &'a Carry,
    /// Groups of neighbouring units that hear only each other through R: it is block-diagonal, `[D, G H, H / heads]`.
    pub heads: usize,
}

impl Problem<'_> {
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

    /// How many numbers the call's tensors have.
    pub fn sizes(&self, spec: &Spec) -> Sizes {
        let (rows, units) = (self.lengths.rows(), self.directions * self.hidden);
        let b = units * spec.gates.len();
        Sizes {
            a: rows * b,
            b,
            r: units * self.groups(spec) * self.seen(),
            aux: units * spec.aux.len(),
            y: rows * self.directions * self.output(),
        }
    }
}

/// See [`Problem::sizes`].
pub struct Sizes {
    /// The gates' input parts.
    pub a: usize,
    /// Biases.
    pub b: usize,
    /// Recurrent weights.
    pub r: usize,
    /// Further parameters.
    pub aux: usize,
    /// The output.
    pub y: usize,
}
