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

use super::carry::Carry;
use super::cells::{Cell, CellKind, Visitor};
use super::problem::Problem;
use crate::lengths::Lengths;
use crate::nn::product::{View, product};
use crate::nn::sums::column_sums;
use pulp::Simd;
use rayon::prelude::*;
use simd::{Packed, Path, Vector, load};

/// The numbers of a layer, all row-major.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `[N, D G H]`.
    pub a: &'a [f32],
    /// `[D, G H, H / heads]`, only the gates that have a recurrent part; with a projection to P, `[D, (G + 1) H, P]`.
    pub r: &'a [f32],
    /// `[D, A, H]`.
    pub aux: &'a [f32],
}

/// Gradients of the numbers of a layer, shaped alike.
#[derive(Clone, Debug, PartialEq)]
pub struct InputGradients {
    /// Of the gates' input parts.
    pub a: Vec<f32>,
    /// Of the recurrent weights.
    pub r: Vec<f32>,
    /// Of the units' further parameters.
    pub aux: Vec<f32>,
}

/// What the backward pass needs.
pub struct Saved {
    /// By unit: the states but the output, and the cell's saved values, of every row.
    units: Vec<Vec<f32>>,
    /// `[N, D H]`: state 0, where it is not the output, or not as it is.
    seen: Vec<f32>,
    /// `[N, D H]`: the modulated state, of a cell that has one.
    modulated: Vec<f32>,
    slabs: usize,
    path: Path,
}

/// One direction of one head of the utterances `first .. first + lengths.batch()` of the batch.
struct Unit<'a> {
    problem: Problem<'a>,
    direction: usize,
    head: usize,
    first: usize,
    /// The slab's own packed layout.
    lengths: Lengths,
}

impl<'a> Unit<'a> {
    fn all(problem: &Problem<'a>, slabs: usize) -> Vec<Self> {
        let sorted = problem.lengths.sorted();
        let size = sorted.len().div_ceil(slabs).max(1);
        let slabs = sorted.len().div_ceil(size);
        let unit = |n: usize| {
            let (slab, n) = (n % slabs, n / slabs);
            let (head, direction) = (n % problem.heads, n / problem.heads);
            let lengths = Lengths::new(&sorted[slab * size..((slab + 1) * size).min(sorted.len())]);
            Unit { problem: *problem, direction, head, first: slab * size, lengths }
        };
        (0..problem.directions * problem.heads * slabs).map(unit).collect()
    }

    /// Hidden units of the head.
    fn hidden(&self) -> usize {
        self.problem.head()
    }

    /// Numbers that the head's units see through R.
    fn seen(&self) -> usize {
        self.problem.seen()
    }

    /// Where the head's part of the `n`-th group of H columns begins.
    fn column(&self, n: usize) -> usize {
        n * self.problem.hidden + self.head * self.hidden()
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

    /// Calls `f` with every state and the share of its new value that is carried on from row `b` at time `t`, units from
    /// `j` on; not at all if nothing happens to states.
    #[inline(always)]
    fn carry<S: Simd, C: Cell>(&self, simd: S, (t, b, j): (usize, usize, usize), mut f: impl FnMut(usize, Vector<S>)) {
        let Problem { carry, directions, hidden, .. } = self.problem;
        if carry.is_nothing() {
            return;
        }
        let row = self.global(t, b) * directions + self.direction;
        for s in 0..C::SPEC.states.len() {
            let at = Carry::start(&C::SPEC, row, s, hidden) + self.head * self.hidden() + j;
            let share = match carry.shares.is_empty() {
                true => simd.splat_f32s(1.0),
                false => load(simd, &carry.shares[at..][..S::F32_LANES.min(self.hidden() - j)]),
            };
            f(s, Vector { simd, v: share });
        }
    }

    /// This direction's part of something that lies direction by direction.
    fn part<'r>(&self, all: &'r [f32]) -> &'r [f32] {
        let size = all.len() / self.problem.directions;
        &all[self.direction * size..(self.direction + 1) * size]
    }

    /// Copies the unit's rows, `[groups, width / heads]`, to where they belong among `[N, D groups width]`.
    fn scatter(&self, rows: &[f32], groups: usize, width: usize, to: &mut [f32]) {
        let (own, directions) = (width / self.problem.heads, self.problem.directions);
        for t in 0..self.lengths.steps() {
            for b in 0..self.lengths.active(t) {
                let from = self.lengths.row(t, b) * groups * own;
                let at = (self.global(t, b) * directions + self.direction) * groups * width + self.head * own;
                for n in 0..groups {
                    to[at + n * width..][..own].copy_from_slice(&rows[from + n * own..][..own]);
                }
            }
        }
    }

    /// Rows of R, those of `count` gates from `first` on, by panels of columns, so that a product runs down its rows:
    /// `[panels][count H][COLUMNS lanes]`.
    fn pack_columns(&self, r: &[f32], first: usize, count: usize, lanes: usize) -> Packed {
        let (hidden, seen, width) = (self.hidden(), self.seen(), COLUMNS * lanes);
        let depth = count * hidden;
        let mut packed = Packed::zeros(seen.div_ceil(width) * depth * width);
        for (n, panel) in packed.as_mut_slice().chunks_exact_mut((depth * width).max(1)).enumerate() {
            let columns = n * width..seen.min((n + 1) * width);
            for (to, k) in panel.chunks_exact_mut(width).zip(0..) {
                let row = (self.column(first + k / hidden) + k % hidden) * seen;
                to[..columns.len()].copy_from_slice(&r[row..][columns.clone()]);
            }
        }
        packed
    }

    /// The same rows by blocks of hidden units, so that a product runs along them: `[blocks][seen][count][lanes]`.
    fn pack_rows(&self, r: &[f32], first: usize, count: usize, lanes: usize) -> Packed {
        let (hidden, seen) = (self.hidden(), self.seen());
        let mut packed = Packed::zeros(hidden.div_ceil(lanes) * seen * count * lanes);
        let to = packed.as_mut_slice();
        for unit in 0..hidden {
            let (block, lane) = (unit / lanes, unit % lanes);
            for g in 0..count {
                let row = &r[(self.column(first + g) + unit) * seen..][..seen];
                for (k, w) in row.iter().enumerate() {
                    to[((block * seen + k) * count + g) * lanes + lane] = *w;
                }
            }
        }
        packed
    }
}

/// Vectors of columns in a panel of a product down the rows of R.
const COLUMNS: usize = 4;

/// The rows of all units together, `[N, D groups width]`; empty if the units have none.
fn gathered<'a>(
    units: &[Unit<'_>],
    groups: usize,
    width: usize,
    rows: impl Iterator<Item = &'a Vec<f32>> + Clone,
) -> Vec<f32> {
    let Some(Problem { lengths, directions, .. }) = units.first().map(|unit| unit.problem) else {
        return Vec::new();
    };
    if groups == 0 || rows.clone().all(Vec::is_empty) {
        return Vec::new();
    }
    let mut all = vec![0.0; lengths.rows() * directions * groups * width];
    units.iter().zip(rows).for_each(|(unit, rows)| unit.scatter(rows, groups, width, &mut all));
    all
}

/// Rows of `R` whose sums are kept in registers at once, for `vectors` vectors a row.
const fn tile_rows(registers: usize, vectors: usize) -> usize {
    let rows = (registers - registers / 4) / if vectors > 0 { vectors } else { 1 };
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

/// The output, `[N, D H]`, and what a backward pass needs if `keep`.
pub fn forward(kind: CellKind, problem: &Problem<'_>, x: Input<'_>, keep: bool) -> (Vec<f32>, Option<Saved>) {
    forward_on(Path::current(), kind, problem, x, keep)
}

/// [`forward`] with a chosen instruction set.
pub fn forward_on(
    path: Path,
    kind: CellKind,
    problem: &Problem<'_>,
    x: Input<'_>,
    keep: bool,
) -> (Vec<f32>, Option<Saved>) {
    struct Run<'a>(Path, &'a Unit<'a>, forward::Input<'a>, bool);
    impl Visitor for Run<'_> {
        type Output = forward::Output;
        fn visit<C: Cell, const G: usize, const R: usize, const M: usize>(self) -> forward::Output {
            self.0.dispatch(forward::Forward::<C, G, R, M>::new(self.1, self.2, self.3))
        }
    }
    let slabs = rayon::current_num_threads().div_ceil(problem.directions * problem.heads);
    let units = Unit::all(problem, slabs);
    let input = |unit: &Unit<'_>| forward::Input { a: x.a, r: unit.part(x.r), aux: unit.part(x.aux) };
    let outputs: Vec<_> = units.par_iter().map(|unit| kind.visit(Run(path, unit, input(unit), keep))).collect();
    let mut y = gathered(&units, 1, problem.output(), outputs.iter().map(|o| &o.y));
    y.resize(problem.lengths.rows() * problem.directions * problem.output(), 0.0);
    let saved = keep.then(|| Saved {
        seen: gathered(&units, 1, problem.hidden, outputs.iter().map(|o| &o.seen)),
        modulated: gathered(&units, 1, problem.hidden, outputs.iter().map(|o| &o.modulated)),
        units: outputs.into_iter().map(|o| o.kept).collect(),
        slabs,
        path,
    });
    (y, saved)
}

/// Gradients, given the output `y` and its gradient.
pub fn backward(
    kind: CellKind,
    problem: &Problem<'_>,
    saved: &Saved,
    x: Input<'_>,
    y: &[f32],
    dy: &[f32],
) -> InputGradients {
    struct Run<'a>(Path, &'a Unit<'a>, backward::Input<'a>);
    impl Visitor for Run<'_> {
        type Output = backward::Output;
        fn visit<C: Cell, const G: usize, const R: usize, const M: usize>(self) -> backward::Output {
            self.0.dispatch(backward::Backward::<C, G, R, M>::new(self.1, self.2))
        }
    }
    let (spec, units) = (kind.spec(), Unit::all(problem, saved.slabs));
    let run = |(unit, kept): (&Unit<'_>, &Vec<f32>)| {
        let input = backward::Input { r: unit.part(x.r), aux: unit.part(x.aux), kept, y, dy };
        kind.visit(Run(saved.path, unit, input))
    };
    let found: Vec<_> = units.par_iter().zip(&saved.units).map(run).collect();
    let [size, _, aux_size, _] = problem.sizes(spec);
    let gather = |groups, rows: Vec<&'_ Vec<f32>>| gathered(&units, groups, problem.hidden, rows.into_iter());
    let mut a = gather(spec.gates.len(), found.iter().map(|f| &f.a).collect());
    a.resize(size, 0.0);
    let recurrent = gather(spec.recurrent, found.iter().map(|f| &f.r).collect());
    // The gradients of the gates' recurrent parts, and how many groups of H columns a row of them has.
    let (gates, groups) = if spec.added { (&a, spec.gates.len()) } else { (&recurrent, spec.recurrent) };
    let projected = gathered(&units, 1, problem.output(), found.iter().map(|f| &f.projected));
    let seen = if spec.output == 0 { y } else { &saved.seen };
    let mut r = Vec::new();
    for direction in 0..problem.directions {
        let before = Block::before(problem, direction, seen);
        let modulated = Block::same(problem, direction, problem.hidden, &saved.modulated);
        for (range, state) in [(0..spec.recurrent, &before), (spec.recurrent..spec.rows_of_r(), &modulated)] {
            // One product for all gates that have the same state beside them, unless heads part the units.
            let step = if problem.heads == 1 { range.len().max(1) } else { 1 };
            for first in range.clone().step_by(step) {
                for head in 0..problem.heads {
                    let rows = (direction * groups + first) * problem.hidden + head * problem.head();
                    let view = View::strided(
                        &gates[rows.min(gates.len())..],
                        problem.lengths.rows(),
                        step.min(range.len()) * problem.head(),
                        problem.directions * groups * problem.hidden,
                    );
                    r.extend(product(view.t(), state.head(problem, head)));
                }
            }
        }
        if problem.projection > 0 {
            let h = Block::same(problem, direction, problem.hidden, &saved.seen);
            let d = Block::same(problem, direction, problem.projection, &projected);
            r.extend(product(h.head(problem, 0).t(), d.head(problem, 0)));
        }
    }
    let aux_columns = problem.directions * spec.aux.len() * problem.hidden;
    let mut aux = column_sums(&gather(spec.aux.len(), found.iter().map(|f| &f.aux).collect()), aux_columns);
    aux.resize(aux_size, 0.0);
    InputGradients { a, r, aux }
}

/// Numbers of one direction, `[N, width]`.
struct Block {
    width: usize,
    data: Vec<f32>,
}

impl Block {
    /// What R sees, one step before each row, zero where there is none; `all` is `[N, D width]`.
    fn before(problem: &Problem<'_>, direction: usize, all: &[f32]) -> Self {
        let lengths = problem.lengths.clone();
        let whole = Unit { problem: *problem, direction, head: 0, first: 0, lengths };
        let (width, mut data) = (problem.output(), vec![0.0; problem.lengths.rows() * problem.output()]);
        for t in whole.times() {
            let (count, time) = whole.before(t);
            for b in 0..count {
                let from = (whole.global(time, b) * problem.directions + direction) * width;
                data[whole.global(t, b) * width..][..width].copy_from_slice(&all[from..from + width]);
            }
        }
        Self { width, data }
    }

    /// At each row; empty if `all` is.
    fn same(problem: &Problem<'_>, direction: usize, width: usize, all: &[f32]) -> Self {
        let rows = all.chunks_exact(width.max(1)).skip(direction).step_by(problem.directions);
        Self { width, data: rows.flatten().copied().collect() }
    }

    fn head(&self, problem: &Problem<'_>, head: usize) -> View<'_, f32> {
        let size = self.width / problem.heads;
        View::strided(&self.data[(head * size).min(self.data.len())..], problem.lengths.rows(), size, self.width)
    }
}

#[cfg(test)]
mod tests;
