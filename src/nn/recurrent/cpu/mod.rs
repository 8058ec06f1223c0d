//! The fast path in f32.
//!
//! Work is cut into units, one direction of a slab of utterances each; a unit runs its whole time loop on one
//! thread without meeting another. A step is one product of the rows that still run with R, packed for it once a call,
//! and then the cell's own arithmetic, vector by vector. The input parts of the gates are made some hundred rows ahead of
//! the loop, and forgotten behind it.
//!
//! No bit of the result depends on threads or slabs: a row's sums do not depend on its neighbours, and what is summed
//! over rows (the gradients of weights) is one product over all of them after the loop.
#![forbid(unsafe_code)]

mod backward;
mod forward;
mod gradients;
mod input;
mod unit;
mod vector;
mod weights;

pub use weights::{PackedLayer, Weights};

use super::cells::{Cell, CellKind, Visitor};
use super::problem::Problem;
use crate::nn::matrix::Precision;
use crate::nn::simd::Path;
use gradients::{After, Rows};
use rayon::prelude::*;
use unit::Unit;

/// Gradients of the numbers of a layer, shaped alike.
#[derive(Clone, Debug, PartialEq)]
pub struct InputGradients {
    /// Of the input, if it was asked for.
    pub x: Option<Vec<f32>>,
    /// Of the input weights.
    pub w: Vec<f32>,
    /// Of the biases.
    pub b: Vec<f32>,
    /// Of the recurrent weights.
    pub r: Vec<f32>,
    /// Of the units' further parameters.
    pub aux: Vec<f32>,
}

/// What the backward pass needs.
pub struct Saved {
    /// By unit: the states but the output, and the cell's saved values, of every row.
    units: Vec<Vec<f32>>,
    /// By direction, `[N, H]`: state 0, where it is not the output, or not as it is.
    seen: Vec<Rows>,
    /// By direction, `[N, H]`: the modulated state, of a cell that has one.
    modulated: Vec<Rows>,
    slabs: usize,
    path: Path,
}

impl PackedLayer {
    /// The output for `x`, `[N, F]` to `[N, D H]`, and what a backward pass needs if `keep`. The problem's shape must be
    /// the layer's.
    pub fn run(&self, problem: &Problem<'_>, x: &[f32], keep: bool) -> (Vec<f32>, Option<Saved>) {
        struct Run<'a>(Path, &'a Unit<'a>, forward::Input<'a>, bool);
        impl Visitor for Run<'_> {
            type Output = forward::Output;
            fn visit<C: Cell>(self) -> forward::Output {
                self.0.dispatch(forward::Forward::<C>::new(self.1, self.2, self.3))
            }
        }
        let slabs = rayon::current_num_threads().div_ceil(problem.directions * problem.heads);
        let units = Unit::all(problem, slabs);
        let run = |unit: &Unit<'_>| {
            let input = forward::Input { x, weights: self.head(unit.of) };
            self.kind.visit(Run(self.path, unit, input, keep))
        };
        let outputs: Vec<_> = units.par_iter().map(run).collect();
        let stride = problem.directions * problem.output();
        let mut y = vec![0.0; problem.lengths.rows() * stride];
        for (unit, output) in units.iter().zip(&outputs) {
            unit.scatter(&output.y, 1, &mut y, (stride, unit.direction * problem.output()));
        }
        (y, keep.then(|| Saved::new(&units, problem, outputs, (slabs, self.path))))
    }
}

/// The output, `[N, D H]`, and what a backward pass needs if `keep`.
pub fn forward(
    kind: CellKind,
    problem: &Problem<'_>,
    (x, weights): (&[f32], Weights<'_>),
    keep: bool,
) -> (Vec<f32>, Option<Saved>) {
    PackedLayer::new(kind, problem.shape, weights, Precision::F32, Path::current()).run(problem, x, keep)
}

impl Saved {
    fn new(
        units: &[Unit<'_>],
        problem: &Problem<'_>,
        outputs: Vec<forward::Output>,
        (slabs, path): (usize, Path),
    ) -> Self {
        let of_direction = units.len() / problem.directions;
        let mut parts = [const { Vec::new() }; 3];
        for forward::Output { kept, seen, modulated, .. } in outputs {
            parts.iter_mut().zip([kept, seen, modulated]).for_each(|(part, own)| part.push(own));
        }
        let [kept, seen, modulated] = parts;
        let gather = |part: Vec<Vec<f32>>| {
            let mut part = part.into_iter();
            let of_units = units.chunks(of_direction.max(1));
            of_units.map(|u| Rows::gathered(u, part.by_ref().take(u.len()).collect(), (1, problem.hidden))).collect()
        };
        Self { units: kept, seen: gather(seen), modulated: gather(modulated), slabs, path }
    }
}

/// Gradients, given the output `y` and its gradient; that of the layer's input only if `wants_x`.
pub fn backward(
    kind: CellKind,
    problem: &Problem<'_>,
    saved: &Saved,
    (x, weights): (&[f32], Weights<'_>),
    (y, dy): (&[f32], &[f32]),
    wants_x: bool,
) -> InputGradients {
    struct Run<'a>(Path, &'a Unit<'a>, backward::Input<'a>);
    impl Visitor for Run<'_> {
        type Output = backward::Output;
        fn visit<C: Cell>(self) -> backward::Output {
            self.0.dispatch(backward::Backward::<C>::new(self.1, self.2, self.0))
        }
    }
    let units = Unit::all(problem, saved.slabs);
    let run = |(unit, kept): (&Unit<'_>, &Vec<f32>)| {
        let input = backward::Input { r: unit.part(weights.r), aux: unit.part(weights.aux), kept, y, dy };
        kind.visit(Run(saved.path, unit, input))
    };
    let found = units.par_iter().zip(&saved.units).map(run).collect();
    After { spec: kind.spec(), problem, saved, x, w: weights.w, y }.gradients(&units, found, wants_x)
}

#[cfg(test)]
mod tests;
