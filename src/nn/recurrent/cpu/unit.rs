//! What one thread works on: one direction of one head of some of the batch's utterances, with its own packed layout.
#![forbid(unsafe_code)]

use super::vector::Vector;
use crate::lengths::Lengths;
use crate::nn::panels::Panels;
use crate::nn::recurrent::carry::Carry;
use crate::nn::recurrent::cells::Cell;
use crate::nn::recurrent::problem::Problem;
use crate::nn::simd::load;
use pulp::Simd;
use std::ops::Range;

/// One direction of one head of the utterances `first .. first + lengths.batch()` of the batch.
pub struct Unit<'a> {
    /// The call that it is part of.
    pub problem: Problem<'a>,
    /// 0: forward in time.
    pub direction: usize,
    /// Which group of hidden units.
    pub head: usize,
    /// The first utterance, of the sorted ones.
    pub first: usize,
    /// The slab's own packed layout.
    pub lengths: Lengths,
}

impl<'a> Unit<'a> {
    /// The units of a call: those of a direction side by side, of a head among them. Every direction of every head is cut
    /// into `slabs`, if there are as many utterances.
    pub fn all(problem: &Problem<'a>, slabs: usize) -> Vec<Self> {
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

    /// One direction of all heads and utterances.
    pub fn whole(problem: &Problem<'a>, direction: usize) -> Self {
        Self { problem: *problem, direction, head: 0, first: 0, lengths: problem.lengths.clone() }
    }

    /// Hidden units of the head.
    pub fn hidden(&self) -> usize {
        self.problem.head()
    }

    /// Numbers that the head's units see through R.
    pub fn seen(&self) -> usize {
        self.problem.seen()
    }

    /// Where the head's part of the `n`-th group of H columns begins.
    pub fn column(&self, n: usize) -> usize {
        n * self.problem.hidden + self.head * self.hidden()
    }

    /// Time steps in the order in which this direction runs through them.
    pub fn times(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let (steps, reverse) = (self.lengths.steps(), self.direction == 1);
        (0..steps).map(move |i| if reverse { steps - 1 - i } else { i })
    }

    /// The rows of time `t` and, of each, where every vector of hidden units begins.
    #[inline(always)]
    pub fn vectors(&self, t: usize, lanes: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (active, hidden) = (self.lengths.active(t), self.hidden());
        (0..active).flat_map(move |b| (0..hidden).step_by(lanes).map(move |j| (b, j)))
    }

    /// How many of the rows at time `t` have a step before them, and that step's time. They are the first ones.
    pub fn before(&self, t: usize) -> (usize, usize) {
        match self.direction {
            0 if t > 0 => (self.lengths.active(t), t - 1),
            1 if t + 1 < self.lengths.steps() => (self.lengths.active(t + 1), t + 1),
            _ => (0, t),
        }
    }

    /// The row of the whole batch.
    pub fn global(&self, t: usize, b: usize) -> usize {
        self.problem.lengths.row(t, self.first + b)
    }

    /// Calls `f` with every state and the share of its new value that is carried on from row `b` at time `t`, units from
    /// `j` on; not at all if nothing happens to states.
    #[inline(always)]
    pub fn carry<S: Simd, C: Cell>(
        &self,
        simd: S,
        (t, b, j): (usize, usize, usize),
        mut f: impl FnMut(usize, Vector<S>),
    ) {
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
    pub fn part<'r>(&self, all: &'r [f32]) -> &'r [f32] {
        let size = all.len() / self.problem.directions;
        &all[self.direction * size..(self.direction + 1) * size]
    }

    /// Copies the unit's rows, `[groups, units of the head]`, to where they belong in `to`, whose rows, `stride` long, hold
    /// the direction's `[groups, H]` from `column` on.
    pub fn scatter(&self, rows: &[f32], groups: usize, to: &mut [f32], (stride, column): (usize, usize)) {
        let own = rows.len().checked_div(self.lengths.rows() * groups).unwrap_or(0);
        for t in 0..self.lengths.steps() {
            for b in 0..self.lengths.active(t) {
                let from = self.lengths.row(t, b) * groups * own;
                let at = self.global(t, b) * stride + column + self.head * own;
                for n in 0..groups {
                    let to = &mut to[at + n * self.problem.heads * own..][..own];
                    to.copy_from_slice(&rows[from + n * own..][..own]);
                }
            }
        }
    }

    /// The rows of `groups` from `first` on of the direction's `weights`, one for each of the head's units, as columns of a
    /// product along them: `[depth, groups, H padded to whole vectors]`.
    pub fn pack_rows(&self, weights: &[f32], depth: usize, groups: Range<usize>, lanes: usize) -> Panels {
        let (hidden, padded) = (self.hidden(), self.hidden().next_multiple_of(lanes));
        let row = |c: usize| (c % padded < hidden).then(|| self.column(groups.start + c / padded) + c % padded);
        Panels::of_rows(weights, depth, groups.len() * padded, row, lanes)
    }

    /// The same rows of R as rows of a product down them: `[groups H, P or H]`.
    pub fn pack_columns(&self, r: &[f32], groups: Range<usize>, lanes: usize) -> Panels {
        let hidden = self.hidden();
        let row = |k: usize| self.column(groups.start + k / hidden) + k % hidden;
        Panels::of_columns(r, groups.len() * hidden, self.seen(), row, lanes)
    }
}
