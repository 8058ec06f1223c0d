//! The fast path in f32.
//!
//! Work is cut into units, one direction of a slab of utterances each; a unit runs its whole time loop on one
//! thread without meeting another. Inside a step, a block of hidden units (one vector wide) is finished at once: the
//! sums of all its gates stay in registers, and the cell's step follows on the spot. The recurrent weights are packed
//! once a call so that the inner product reads them front to back. Only the rows of utterances that still run are
//! computed.
//!
//! No bit of the result depends on threads or slabs: a row's sums do not depend on its neighbours, and what is summed
//! over rows (the gradient of R) is one product over all of them after the loop.

mod backward;
mod forward;
pub mod simd;

use super::cells::{Cell, CellKind, Visitor};
use super::problem::Problem;
use crate::lengths::Lengths;
use crate::nn::product::{View, product};
use rayon::prelude::*;
use simd::Path;

/// What the backward pass needs: by unit, the states but `h` and the cell's saved values of every row.
pub struct Saved {
    units: Vec<Vec<f32>>,
    slabs: usize,
    path: Path,
}

/// One direction of the utterances `first .. first + lengths.batch()` of the batch.
struct Unit<'a> {
    problem: Problem<'a>,
    direction: usize,
    first: usize,
    /// The slab's own packed layout.
    lengths: Lengths,
}

impl<'a> Unit<'a> {
    fn all(problem: &Problem<'a>, slabs: usize) -> Vec<Self> {
        let sorted = problem.lengths.sorted();
        let size = sorted.len().div_ceil(slabs).max(1);
        let unit = |direction, slab: usize| Unit {
            problem: *problem,
            direction,
            first: slab * size,
            lengths: Lengths::new(&sorted[slab * size..((slab + 1) * size).min(sorted.len())]),
        };
        let slabs = sorted.len().div_ceil(size);
        (0..problem.directions).flat_map(|d| (0..slabs).map(move |s| (d, s))).map(|(d, s)| unit(d, s)).collect()
    }

    /// Time steps in the order in which this direction runs through them.
    fn times(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let (steps, reverse) = (self.lengths.steps(), self.direction == 1);
        (0..steps).map(move |i| if reverse { steps - 1 - i } else { i })
    }

    /// How many of the rows at time `t` have a step before them, and that step's time. They are the first ones.
    fn before(&self, t: usize) -> (usize, usize) {
        match self.direction {
            0 if t > 0 => (self.lengths.active(t), t - 1),
            1 if t + 1 < self.lengths.steps() => (self.lengths.active(t + 1), t + 1),
            _ => (0, t),
        }
    }

    /// The row of the whole batch.
    fn global(&self, t: usize, b: usize) -> usize {
        self.problem.lengths.row(t, self.first + b)
    }

    /// This direction's part of the recurrent weights.
    fn weights<'r>(&self, r: &'r [f32]) -> &'r [f32] {
        let size = r.len() / self.problem.directions;
        &r[self.direction * size..(self.direction + 1) * size]
    }

    /// Copies the unit's rows, `width` wide, to where they belong among `[N, D width]`.
    fn scatter(&self, rows: &[f32], width: usize, to: &mut [f32]) {
        for t in 0..self.lengths.steps() {
            for b in 0..self.lengths.active(t) {
                let (from, at) =
                    (self.lengths.row(t, b) * width, self.global(t, b) * self.problem.directions + self.direction);
                to[at * width..(at + 1) * width].copy_from_slice(&rows[from..from + width]);
            }
        }
    }
}

/// Rows of `R` whose sums are kept in registers at once, for `vectors` vectors a row.
const fn tile_rows(registers: usize, vectors: usize) -> usize {
    let rows = (registers - registers / 4) / vectors;
    if rows > 6 {
        6
    } else if rows < 1 {
        1
    } else {
        rows
    }
}

/// Calls `$tile::<.., R>(b)` for tiles of R rows that cover `0..$n`, R being at most `$most`.
macro_rules! for_tiles {
    ($n:expr, $most:expr, |$b:ident, $R:ident| $body:expr) => {{
        let (n, mut $b) = ($n, 0);
        while $b < n {
            match (n - $b).min($most) {
                1 => {
                    const $R: usize = 1;
                    $body;
                    $b += 1
                }
                2 => {
                    const $R: usize = 2;
                    $body;
                    $b += 2
                }
                3 => {
                    const $R: usize = 3;
                    $body;
                    $b += 3
                }
                4 => {
                    const $R: usize = 4;
                    $body;
                    $b += 4
                }
                5 => {
                    const $R: usize = 5;
                    $body;
                    $b += 5
                }
                _ => {
                    const $R: usize = 6;
                    $body;
                    $b += 6
                }
            }
        }
    }};
}
use for_tiles;

/// `a` `[N, D G H]` and `r` `[D, G H, H]` to `[N, D H]`, and what a backward pass needs if `keep`.
pub fn forward(kind: CellKind, problem: &Problem<'_>, a: &[f32], r: &[f32], keep: bool) -> (Vec<f32>, Option<Saved>) {
    forward_on(Path::current(), kind, problem, a, r, keep)
}

/// [`forward`] with a chosen instruction set.
pub fn forward_on(
    path: Path,
    kind: CellKind,
    problem: &Problem<'_>,
    a: &[f32],
    r: &[f32],
    keep: bool,
) -> (Vec<f32>, Option<Saved>) {
    struct Run<'a>(Path, &'a Unit<'a>, &'a [f32], &'a [f32], bool);
    impl Visitor for Run<'_> {
        type Output = forward::Output;
        fn visit<C: Cell, const G: usize>(self) -> forward::Output {
            self.0.dispatch(forward::Forward::<C, G>::new(self.1, self.2, self.3, self.4))
        }
    }
    let slabs = rayon::current_num_threads().div_ceil(problem.directions);
    let units = Unit::all(problem, slabs);
    let outputs: Vec<_> = units.par_iter().map(|unit| kind.visit(Run(path, unit, a, unit.weights(r), keep))).collect();
    let mut y = vec![0.0; problem.lengths.rows() * problem.directions * problem.hidden];
    for (unit, output) in units.iter().zip(&outputs) {
        unit.scatter(&output.h, problem.hidden, &mut y);
    }
    let saved = keep.then(|| Saved { units: outputs.into_iter().map(|o| o.kept).collect(), slabs, path });
    (y, saved)
}

/// Gradients of `a` and `r`, given the output `y` and its gradient.
pub fn backward(
    kind: CellKind,
    problem: &Problem<'_>,
    saved: &Saved,
    r: &[f32],
    y: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    struct Run<'a>(Path, &'a Unit<'a>, backward::Input<'a>);
    impl Visitor for Run<'_> {
        type Output = Vec<f32>;
        fn visit<C: Cell, const G: usize>(self) -> Vec<f32> {
            self.0.dispatch(backward::Backward::<C, G>::new(self.1, self.2))
        }
    }
    let units = Unit::all(problem, saved.slabs);
    let gradients: Vec<_> = units
        .par_iter()
        .zip(&saved.units)
        .map(|(unit, kept)| kind.visit(Run(saved.path, unit, backward::Input { r: unit.weights(r), kept, y, dy })))
        .collect();
    let (rows, hidden, directions) = (problem.lengths.rows(), problem.hidden, problem.directions);
    let width = kind.spec().gates.len() * hidden;
    let mut da = vec![0.0; rows * directions * width];
    for (unit, gradient) in units.iter().zip(gradients) {
        unit.scatter(&gradient, width, &mut da);
    }
    let mut dr = Vec::with_capacity(directions * width * hidden);
    for direction in 0..directions {
        let before = previous_outputs(problem, direction, y);
        let gates = View::strided(&da[(direction * width).min(da.len())..], rows, width, directions * width);
        dr.extend(product(gates.t(), View::new(&before, rows, hidden)));
    }
    (da, dr)
}

/// `[N, H]`: the output one step before each row, zero where there is none.
fn previous_outputs(problem: &Problem<'_>, direction: usize, y: &[f32]) -> Vec<f32> {
    let whole = Unit { problem: *problem, direction, first: 0, lengths: problem.lengths.clone() };
    let hidden = problem.hidden;
    let mut before = vec![0.0; problem.lengths.rows() * hidden];
    for t in whole.times() {
        let (count, time) = whole.before(t);
        for b in 0..count {
            let from = (whole.global(time, b) * problem.directions + direction) * hidden;
            let to = whole.global(t, b) * hidden;
            before[to..to + hidden].copy_from_slice(&y[from..from + hidden]);
        }
    }
    before
}

#[cfg(test)]
mod tests;
