//! What one thread works on: one direction of one head of some of the batch's utterances, with its own packed layout.
#![forbid(unsafe_code)]

use super::vector::Vector;
use crate::lengths::Lengths;
use crate::nn::recurrent::carry::Carry;
use crate::nn::recurrent::cells::Cell;
use crate::nn::recurrent::problem::{Problem, Shape};
use crate::nn::simd::load;
use pulp::Simd;
use std::ops::Deref;

/// One head of one direction of a layer, and which numbers of the layer are its own.
#[derive(Clone, Copy)]
pub struct Head {
    /// The layer's.
    pub shape: Shape,
    /// 0: forward in time.
    pub direction: usize,
    /// Which group of hidden units.
    pub head: usize,
}

impl Head {
    /// All heads of a layer, those of a direction side by side.
    pub fn all(shape: Shape) -> impl Iterator<Item = Self> {
        let heads = move |direction| (0..shape.heads).map(move |head| Self { shape, direction, head });
        (0..shape.directions).flat_map(heads)
    }

    /// Hidden units of the head.
    pub fn hidden(&self) -> usize {
        self.shape.head()
    }

    /// Numbers that the head's units see through R.
    pub fn seen(&self) -> usize {
        self.shape.seen()
    }

    /// Where the head's part of the `n`-th group of H columns begins.
    pub fn column(&self, n: usize) -> usize {
        n * self.shape.hidden + self.head * self.hidden()
    }

    /// Its direction's part of something that lies direction by direction.
    pub fn part<'r>(&self, all: &'r [f32]) -> &'r [f32] {
        let size = all.len() / self.shape.directions;
        &all[self.direction * size..(self.direction + 1) * size]
    }
}

/// The utterances `first .. first + lengths.batch()` of the batch, in one direction of one head.
pub struct Unit<'a> {
    /// The call that it is part of.
    pub problem: Problem<'a>,
    /// The head.
    pub of: Head,
    /// The first utterance, of the sorted ones.
    pub first: usize,
    /// The slab's own packed layout.
    pub lengths: Lengths,
}

impl Deref for Unit<'_> {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.of
    }
}

impl<'a> Unit<'a> {
    /// The units of a call: those of a direction side by side, of a head among them. Every direction of every head is cut
    /// into `slabs`, if there are as many utterances.
    pub fn all(problem: &Problem<'a>, slabs: usize) -> Vec<Self> {
        let sorted = problem.lengths.sorted();
        let size = sorted.len().div_ceil(slabs).max(1);
        let unit = |of: Head| {
            sorted.chunks(size).enumerate().map(move |(slab, lengths)| Unit {
                problem: *problem,
                of,
                first: slab * size,
                lengths: Lengths::new(lengths),
            })
        };
        Head::all(problem.shape).flat_map(unit).collect()
    }

    /// One direction of all heads and utterances.
    pub fn whole(problem: &Problem<'a>, direction: usize) -> Self {
        let of = Head { shape: problem.shape, direction, head: 0 };
        Self { problem: *problem, of, first: 0, lengths: problem.lengths.clone() }
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
        let (carry, Shape { directions, hidden, .. }) = (self.problem.carry, self.shape);
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

    /// Copies the unit's rows, `[groups, units of the head]`, to where they belong in `to`, whose rows, `stride` long, hold
    /// the direction's `[groups, H]` from `column` on.
    pub fn scatter(&self, rows: &[f32], groups: usize, to: &mut [f32], (stride, column): (usize, usize)) {
        let own = rows.len().checked_div(self.lengths.rows() * groups).unwrap_or(0);
        for t in 0..self.lengths.steps() {
            for b in 0..self.lengths.active(t) {
                let from = self.lengths.row(t, b) * groups * own;
                let at = self.global(t, b) * stride + column + self.head * own;
                for n in 0..groups {
                    let to = &mut to[at + n * self.shape.heads * own..][..own];
                    to.copy_from_slice(&rows[from + n * own..][..own]);
                }
            }
        }
    }
}
