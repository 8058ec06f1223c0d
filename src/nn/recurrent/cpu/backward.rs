//! The time loop of one unit, backward pass: the gradient of each gate. Only what the loop carries is computed in it.
#![forbid(unsafe_code)]

use super::unit::{Head, Unit};
use super::vector::Vector;
use crate::nn::matrix::{Matrix, Precision};
use crate::nn::panels::{Onto, Rows};
use crate::nn::recurrent::cells::{Cell, Gradients, MAX, StepGrad};
use crate::nn::simd::{Path, load, store};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// What a unit's backward pass reads.
pub struct Input<'a> {
    /// `[G H, H / heads]`, with a projection `[(G + 1) H, P]`, the direction's part.
    pub r: &'a [f32],
    /// `[A, H]`, the direction's part.
    pub aux: &'a [f32],
    /// As the forward pass left it.
    pub kept: &'a [f32],
    /// `[N, D H]`, with a projection `[N, D P]`, the whole layer's output.
    pub y: &'a [f32],
    /// Its gradient.
    pub dy: &'a [f32],
}

/// Gradients that a unit found, by row of its own layout.
pub struct Output {
    /// `[rows, G H]`: of the gates' input parts.
    pub a: Vec<f32>,
    /// `[rows, R H]`: of their recurrent parts; empty where that is the same.
    pub r: Vec<f32>,
    /// `[rows, A H]`: of the units' further parameters.
    pub aux: Vec<f32>,
    /// `[rows, P]`: of the projected output; empty if there is no projection.
    pub projected: Vec<f32>,
}

/// A unit's backward pass, to be dispatched to an instruction set.
pub struct Backward<'a, C> {
    unit: &'a Unit<'a>,
    input: Input<'a>,
    /// The instruction set that it is dispatched to.
    path: Path,
    cell: PhantomData<C>,
}

/// Gradients carried from step to step.
struct Carried {
    /// H, padded to whole vectors.
    padded: usize,
    /// Numbers that R sees, padded likewise.
    width: usize,
    /// `[B, width]`: of what R sees of state 0.
    seen: Vec<f32>,
    /// `[S - 1, B, padded]`: of the other states.
    others: Vec<f32>,
    /// `[B, padded]`, within a step: of state 0 before it was projected, if it was.
    full: Vec<f32>,
    /// `[B, padded]`, within a step: of the modulated state.
    modulated: Vec<f32>,
}

/// Vectors that the derivative of a step reads.
struct Loaded<S: Simd> {
    next: [Vector<S>; MAX],
    aux: [Vector<S>; MAX],
    prev: [Vector<S>; MAX],
    saved: [Vector<S>; MAX],
}

impl<S: Simd> Loaded<S> {
    #[inline(always)]
    fn seen<C: Cell>(&self) -> StepGrad<'_, Vector<S>> {
        let states = C::SPEC.states.len();
        StepGrad {
            next: &self.next[..states],
            aux: &self.aux[..C::SPEC.aux.len()],
            prev: &self.prev[..states],
            saved: &self.saved[..C::SPEC.saved.len()],
        }
    }
}

impl<'a, C: Cell> Backward<'a, C> {
    /// See [`Input`].
    pub fn new(unit: &'a Unit<'a>, input: Input<'a>, path: Path) -> Self {
        Self { unit, input, path, cell: PhantomData }
    }

    fn projects(&self) -> bool {
        self.unit.problem.projection > 0
    }

    /// Where the head's part of the output's row `(t, b)` begins.
    #[inline(always)]
    fn output(&self, t: usize, b: usize) -> usize {
        let (problem, Head { direction, head, .. }) = (&self.unit.problem, self.unit.of);
        (self.unit.global(t, b) * problem.directions + direction) * problem.output() + head * self.unit.seen()
    }

    /// What was there around row `b` at time `t`, hidden units from `j` on; without what comes back in time.
    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, (t, b, j): (usize, usize, usize)) -> Loaded<S> {
        let (lengths, hidden) = (&self.unit.lengths, self.unit.hidden());
        let padded = hidden.next_multiple_of(S::F32_LANES);
        let (states, saved_count, output) = (C::SPEC.states.len(), C::SPEC.saved.len(), C::SPEC.output);
        let (lanes, len) = (S::F32_LANES, S::F32_LANES.min(hidden - j));
        let (with_past, before) = self.unit.before(t);
        let kept = |t: usize| &self.input.kept[lengths.row(t, b) * (states - 1 + saved_count) * padded + j..];
        let vector = |from: &[f32]| Vector { simd, v: load(simd, from) };
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let mut loaded = Loaded { next: [zero; MAX], aux: [zero; MAX], prev: [zero; MAX], saved: [zero; MAX] };
        for (n, aux) in loaded.aux[..C::SPEC.aux.len()].iter_mut().enumerate() {
            *aux = vector(&self.input.aux[self.unit.column(n) + j..][..len]);
        }
        for (s, prev) in loaded.prev[..states].iter_mut().enumerate().skip(usize::from(self.projects())) {
            *prev = if b >= with_past {
                Vector { simd, v: simd.splat_f32s(C::SPEC.initial[s]) }
            } else if s == output {
                vector(&self.input.y[self.output(before, b) + j..][..len])
            } else {
                vector(&kept(before)[(s - usize::from(s > output)) * padded..][..lanes])
            };
        }
        for (n, value) in loaded.saved[..saved_count].iter_mut().enumerate() {
            *value = vector(&kept(t)[(states - 1 + n) * padded..][..lanes]);
        }
        loaded
    }

    /// State `s` as it was carried on from time `t`; of the output nobody asks.
    #[inline(always)]
    fn after<S: Simd>(&self, simd: S, s: usize, (t, b, j): (usize, usize, usize)) -> Vector<S> {
        let padded = self.unit.hidden().next_multiple_of(S::F32_LANES);
        let output = C::SPEC.output;
        if s == output {
            return Vector { simd, v: simd.splat_f32s(0.0) };
        }
        let row = self.unit.lengths.row(t, b) * (C::SPEC.states.len() - 1 + C::SPEC.saved.len());
        let from = &self.input.kept[(row + s - usize::from(s > output)) * padded + j..][..S::F32_LANES];
        Vector { simd, v: load(simd, from) }
    }

    /// Gradient of the gates of row `b` at time `t`, hidden units from `j` on.
    #[inline(always)]
    fn step<S: Simd>(&self, simd: S, carried: &mut Carried, out: &mut Output, (t, b, j): (usize, usize, usize)) {
        let lengths = &self.unit.lengths;
        let (hidden, padded, batch) = (self.unit.hidden(), carried.padded, lengths.batch());
        let (states, lanes, len) = (C::SPEC.states.len(), S::F32_LANES, S::F32_LANES.min(hidden - j));
        let vector = |from: &[f32]| Vector { simd, v: load(simd, from) };
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let mut loaded = self.load(simd, (t, b, j));
        loaded.next[0] = match self.projects() {
            true => vector(&carried.full[b * padded + j..][..lanes]),
            false => vector(&carried.seen[b * carried.width + j..][..lanes]),
        };
        for (s, next) in loaded.next[1..states].iter_mut().enumerate() {
            *next = vector(&carried.others[(s * batch + b) * padded + j..][..lanes]);
        }
        if !self.projects() {
            let dy = vector(&self.input.dy[self.output(t, b) + j..][..len]);
            loaded.next[C::SPEC.output] = loaded.next[C::SPEC.output] + dy;
        }

        // What of the gradients goes past the step, to the states before it.
        let mut past = [zero; MAX];
        self.unit.carry::<S, C>(simd, (t, b, j), |s, share| {
            let carried = self.after(simd, s, (t, b, j));
            let is_output = s == C::SPEC.output;
            [loaded.next[s], past[s]] = self.unit.problem.carry.backward(is_output, loaded.next[s], carried, share);
        });
        let (mut a, mut r, mut aux, mut prev) = ([zero; MAX], [zero; MAX], [zero; MAX], [zero; MAX]);
        let recurrent = if C::SPEC.added { 0 } else { C::SPEC.recurrent };
        let gates = C::SPEC.gates.len();
        let mut d = Gradients {
            a: &mut a[..gates],
            r: &mut r[..recurrent],
            aux: &mut aux[..C::SPEC.aux.len()],
            prev: &mut prev[..states],
        };
        C::step_grad(&loaded.seen::<C>(), &mut d);
        prev[..states].iter_mut().zip(past).for_each(|(prev, past)| *prev = *prev + past);
        let local = lengths.row(t, b);
        let write = |to: &mut [f32], values: &[Vector<S>]| {
            for (n, value) in values.iter().enumerate() {
                store(simd, &mut to[(local * values.len() + n) * hidden + j..][..len], value.v);
            }
        };
        write(&mut out.a, &a[..gates]);
        write(&mut out.r, &r[..recurrent]);
        write(&mut out.aux, &aux[..C::SPEC.aux.len()]);
        if !self.projects() {
            store(simd, &mut carried.seen[b * carried.width + j..][..lanes], prev[0].v);
        }
        for (s, prev) in prev[1..states].iter().enumerate() {
            store(simd, &mut carried.others[(s * batch + b) * padded + j..][..lanes], prev.v);
        }
    }

    /// The gradients of the projected output at time `t` and, through `weights`, of what was projected.
    fn unproject<S: Simd>(&self, simd: S, weights: &Matrix, carried: &mut Carried, out: &mut Output, t: usize) {
        let (seen, first, count) = (self.unit.seen(), self.unit.lengths.offset(t), self.unit.lengths.active(t));
        for b in 0..count {
            let dy = &self.input.dy[self.output(t, b)..][..seen];
            let of_row = &mut carried.seen[b * carried.width..][..carried.width];
            let to = &mut out.projected[(first + b) * seen..][..seen];
            to.iter_mut().zip(&*of_row).zip(dy).for_each(|((to, carried), dy)| *to = carried + dy);
            // What reaches state 0 through R is added to it anew.
            of_row.fill(0.0);
        }
        let rows = Rows { data: &out.projected[first * seen..], stride: seen, count };
        weights.multiply(simd, rows, Onto::Zero, (&mut carried.full, carried.padded));
    }

    /// Adds what comes from the modulated state to the gradients of row `b`'s gates and of the states before.
    #[inline(always)]
    fn demodulate<S: Simd>(&self, simd: S, carried: &mut Carried, out: &mut Output, (t, b, j): (usize, usize, usize)) {
        let (hidden, padded, batch) = (self.unit.hidden(), carried.padded, self.unit.lengths.batch());
        let (states, lanes, len) = (C::SPEC.states.len(), S::F32_LANES, S::F32_LANES.min(hidden - j));
        let vector = |from: &[f32]| Vector { simd, v: load(simd, from) };
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let loaded = self.load(simd, (t, b, j));
        let (gates, at) = (C::SPEC.gates.len(), self.unit.lengths.row(t, b) * C::SPEC.gates.len() * hidden + j);
        let (mut a, mut prev) = ([zero; MAX], [zero; MAX]);
        for (g, a) in a[..gates].iter_mut().enumerate() {
            *a = vector(&out.a[at + g * hidden..][..len]);
        }
        prev[0] = vector(&carried.seen[b * carried.width + j..][..lanes]);
        for (s, prev) in prev[1..states].iter_mut().enumerate() {
            *prev = vector(&carried.others[(s * batch + b) * padded + j..][..lanes]);
        }
        let q = vector(&carried.modulated[b * carried.padded + j..][..lanes]);
        let mut d = Gradients { a: &mut a[..gates], r: &mut [], aux: &mut [], prev: &mut prev[..states] };
        C::modulate_grad(&loaded.seen::<C>(), q, &mut d);
        for (g, a) in a[..gates].iter().enumerate() {
            store(simd, &mut out.a[at + g * hidden..][..len], a.v);
        }
        store(simd, &mut carried.seen[b * carried.width + j..][..lanes], prev[0].v);
        for (s, prev) in prev[1..states].iter().enumerate() {
            store(simd, &mut carried.others[(s * batch + b) * padded + j..][..lanes], prev.v);
        }
    }
    /// Gradients of gates at time `t`, from `column` on, of the rows that have a step before them; a row has `gates`.
    fn gates<'g>(&self, d: &'g [f32], gates: usize, column: usize, t: usize) -> Rows<'g> {
        let stride = gates * self.unit.hidden();
        let at = self.unit.lengths.offset(t) * stride + column;
        Rows { data: &d[at.min(d.len())..], stride, count: self.unit.before(t).0 }
    }

    fn start(&self, lanes: usize) -> (Carried, Output) {
        let (lengths, hidden, projects) = (&self.unit.lengths, self.unit.hidden(), self.projects());
        let (padded, width) = (hidden.next_multiple_of(lanes), self.unit.seen().next_multiple_of(lanes));
        let buffer = |wanted: bool, size: usize| vec![0.0; if wanted { size } else { 0 }];
        let of_rows = |count: usize| vec![0.0; lengths.rows() * count * hidden];
        let carried = Carried {
            padded,
            width,
            seen: vec![0.0; lengths.batch() * width],
            others: vec![0.0; (C::SPEC.states.len() - 1) * lengths.batch() * padded],
            full: buffer(projects, lengths.batch() * padded),
            modulated: buffer(C::SPEC.modulated > 0, lengths.batch() * padded),
        };
        let out = Output {
            a: of_rows(C::SPEC.gates.len()),
            r: of_rows(if C::SPEC.added { 0 } else { C::SPEC.recurrent }),
            aux: of_rows(C::SPEC.aux.len()),
            projected: buffer(projects, lengths.rows() * self.unit.seen()),
        };
        (carried, out)
    }
}

impl<C: Cell> WithSimd for Backward<'_, C> {
    type Output = Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Output {
        let (unit, lanes, recurrent, all) = (self.unit, S::F32_LANES, C::SPEC.recurrent, C::SPEC.rows_of_r());
        let (gates, hidden) = (C::SPEC.gates.len(), unit.hidden());
        let first = unit.down(self.input.r, 0..recurrent, lanes);
        let second = unit.down(self.input.r, recurrent..all, lanes);
        let projection = all..unit.shape.groups(&C::SPEC);
        let projection = unit.along((Precision::F32, self.path), self.input.r, unit.seen(), projection);
        let (mut carried, mut out) = self.start(lanes);
        for t in unit.times().rev() {
            if self.projects() {
                self.unproject(simd, &projection, &mut carried, &mut out, t);
            }
            for (b, j) in unit.vectors(t, lanes) {
                self.step(simd, &mut carried, &mut out, (t, b, j));
            }
            if C::SPEC.modulated > 0 {
                carried.modulated.fill(0.0);
                let rows = self.gates(&out.a, gates, recurrent * hidden, t);
                second.multiply(simd, rows, Onto::Zero, (&mut carried.modulated, carried.padded));
                for (b, j) in unit.vectors(t, lanes) {
                    self.demodulate(simd, &mut carried, &mut out, (t, b, j));
                }
            }
            let rows = match C::SPEC.added {
                true => self.gates(&out.a, gates, 0, t),
                false => self.gates(&out.r, recurrent, 0, t),
            };
            first.multiply(simd, rows, Onto::Sum, (&mut carried.seen, carried.width));
        }
        out
    }
}
