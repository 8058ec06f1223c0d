//! The time loop of one unit, backward pass: the gradient of each gate. Only what the loop carries is computed in it.
#![forbid(unsafe_code)]

use super::unit::Unit;
use super::vector::Vector;
use crate::nn::panels::{COLUMNS, TileRows, for_products, panel_product, tile_rows};
use crate::nn::recurrent::cells::{Cell, Gradients, MAX, StepGrad};
use crate::nn::simd::{load, store};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;
use std::ops::Range;

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
pub struct Backward<'a, C, const G: usize, const R: usize, const M: usize> {
    unit: &'a Unit<'a>,
    input: Input<'a>,
    cell: PhantomData<C>,
}

/// Gradients carried from step to step: of what R sees of state 0, `[B, width]`, and of the other states,
/// `[S - 1, B, padded]`.
struct Carried {
    padded: usize,
    width: usize,
    seen: Vec<f32>,
    others: Vec<f32>,
    /// `[B, padded]`, within a step: of state 0 before it was projected, if it was.
    full: Vec<f32>,
    /// `[B, width]`, within a step: of the modulated state.
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

impl<'a, C: Cell, const G: usize, const R: usize, const M: usize> Backward<'a, C, G, R, M> {
    /// See [`Input`].
    pub fn new(unit: &'a Unit<'a>, input: Input<'a>) -> Self {
        Self { unit, input, cell: PhantomData }
    }

    fn projects(&self) -> bool {
        self.unit.problem.projection > 0
    }

    /// Where the head's part of the output's row `(t, b)` begins.
    #[inline(always)]
    fn output(&self, t: usize, b: usize) -> usize {
        let Unit { problem, direction, head, .. } = self.unit;
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
        let (mut a, mut r, mut aux, mut prev) = ([zero; G], [zero; R], [zero; MAX], [zero; MAX]);
        let recurrent = if C::SPEC.added { 0 } else { R };
        let mut d = Gradients {
            a: &mut a,
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
        write(&mut out.a, &a);
        write(&mut out.r, &r[..recurrent]);
        write(&mut out.aux, &aux[..C::SPEC.aux.len()]);
        if !self.projects() {
            store(simd, &mut carried.seen[b * carried.width + j..][..lanes], prev[0].v);
        }
        for (s, prev) in prev[1..states].iter().enumerate() {
            store(simd, &mut carried.others[(s * batch + b) * padded + j..][..lanes], prev.v);
        }
    }

    /// The gradients of the projected output at time `t` and, through `panels`, of what was projected.
    #[inline(always)]
    fn unproject<S: Simd>(&self, simd: S, panels: &[S::f32s], carried: &mut Carried, out: &mut Output, t: usize) {
        let (seen, first, active) = (self.unit.seen(), self.unit.lengths.offset(t), self.unit.lengths.active(t));
        for b in 0..active {
            let dy = &self.input.dy[self.output(t, b)..][..seen];
            let of_row = &mut carried.seen[b * carried.width..][..carried.width];
            let to = &mut out.projected[(first + b) * seen..][..seen];
            to.iter_mut().zip(&*of_row).zip(dy).for_each(|((to, carried), dy)| *to = carried + dy);
            // What reaches state 0 through R is added to it anew.
            of_row.fill(0.0);
        }
        for (block, j) in (0..self.unit.hidden()).step_by(S::F32_LANES).enumerate() {
            let panel = &panels[block * seen..(block + 1) * seen];
            let rows = TileRows { data: &out.projected[first * seen..], stride: seen, depth: seen };
            for_products!(simd, S, 1, panel, rows, active, |b, sums| {
                store(simd, &mut carried.full[b * carried.padded + j..][..S::F32_LANES], sums[0]);
            });
        }
    }

    /// Adds what comes from the modulated state to the gradients of row `b`'s gates and of the states before.
    #[inline(always)]
    fn demodulate<S: Simd>(&self, simd: S, carried: &mut Carried, out: &mut Output, (t, b, j): (usize, usize, usize)) {
        let (hidden, padded, batch) = (self.unit.hidden(), carried.padded, self.unit.lengths.batch());
        let (states, lanes, len) = (C::SPEC.states.len(), S::F32_LANES, S::F32_LANES.min(hidden - j));
        let vector = |from: &[f32]| Vector { simd, v: load(simd, from) };
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let loaded = self.load(simd, (t, b, j));
        let at = self.unit.lengths.row(t, b) * G * hidden + j;
        let mut a: [_; G] = std::array::from_fn(|g| vector(&out.a[at + g * hidden..][..len]));
        let mut prev = [zero; MAX];
        prev[0] = vector(&carried.seen[b * carried.width + j..][..lanes]);
        for (s, prev) in prev[1..states].iter_mut().enumerate() {
            *prev = vector(&carried.others[(s * batch + b) * padded + j..][..lanes]);
        }
        let q = vector(&carried.modulated[b * carried.width + j..][..lanes]);
        let mut d = Gradients { a: &mut a, r: &mut [], aux: &mut [], prev: &mut prev[..states] };
        C::modulate_grad(&loaded.seen::<C>(), q, &mut d);
        for (g, a) in a.into_iter().enumerate() {
            store(simd, &mut out.a[at + g * hidden..][..len], a.v);
        }
        store(simd, &mut carried.seen[b * carried.width + j..][..lanes], prev[0].v);
        for (s, prev) in prev[1..states].iter().enumerate() {
            store(simd, &mut carried.others[(s * batch + b) * padded + j..][..lanes], prev.v);
        }
    }

    /// Adds to `to`, `[B, width]`, what comes through R from the gates in `columns` of each row of `gates`, for the rows
    /// with a step before them.
    #[inline(always)]
    fn through<S: Simd>(
        &self,
        simd: S,
        panels: &[S::f32s],
        (gates, stride, columns): (&[f32], usize, Range<usize>),
        to: &mut [f32],
        (t, width): (usize, usize),
    ) {
        let depth = columns.len();
        let rows = TileRows { data: &gates[self.unit.lengths.offset(t) * stride + columns.start..], stride, depth };
        for (n, panel) in panels.chunks_exact((depth * COLUMNS).max(1)).enumerate() {
            let j = n * COLUMNS * S::F32_LANES;
            for_products!(simd, S, COLUMNS, panel, rows, self.unit.before(t).0, |b, sums| {
                for (n, sum) in sums.into_iter().enumerate() {
                    let to = &mut to[b * width + j + n * S::F32_LANES..][..S::F32_LANES];
                    let total = simd.add_f32s(sum, load(simd, to));
                    store(simd, to, total);
                }
            });
        }
    }
}

impl<C: Cell, const G: usize, const R: usize, const M: usize> WithSimd for Backward<'_, C, G, R, M> {
    type Output = Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Output {
        let (lengths, hidden) = (&self.unit.lengths, self.unit.hidden());
        let seen = if self.projects() { self.unit.seen() } else { hidden };
        let (padded, width) = (hidden.next_multiple_of(S::F32_LANES), seen.next_multiple_of(COLUMNS * S::F32_LANES));
        let (batch, others) = (lengths.batch(), C::SPEC.states.len() - 1);
        let pack = |first: usize, count: usize| self.unit.pack_columns(self.input.r, first, count, S::F32_LANES);
        let (first, second) = (pack(0, R), pack(R, M));
        let (first, second) = (S::as_simd_f32s(first.as_slice()).0, S::as_simd_f32s(second.as_slice()).0);
        let projection = usize::from(self.projects());
        let projection = self.unit.pack_rows(self.input.r, R + M, projection, S::F32_LANES);
        let projection = S::as_simd_f32s(projection.as_slice()).0;
        let mut carried = Carried {
            padded,
            width,
            seen: vec![0.0; batch * width],
            others: vec![0.0; others * batch * padded],
            full: vec![0.0; if self.projects() { batch * padded } else { 0 }],
            modulated: vec![0.0; if M > 0 { batch * width } else { 0 }],
        };
        let rows = |count: usize| vec![0.0; lengths.rows() * count * hidden];
        let mut out = Output {
            a: rows(G),
            r: rows(if C::SPEC.added { 0 } else { R }),
            aux: rows(C::SPEC.aux.len()),
            projected: vec![0.0; if self.projects() { lengths.rows() * seen } else { 0 }],
        };
        for t in self.unit.times().rev() {
            if self.projects() {
                self.unproject(simd, projection, &mut carried, &mut out, t);
            }
            for b in 0..lengths.active(t) {
                for j in (0..hidden).step_by(S::F32_LANES) {
                    self.step(simd, &mut carried, &mut out, (t, b, j));
                }
            }
            if M > 0 {
                carried.modulated.fill(0.0);
                let gates = (&*out.a, G * hidden, R * hidden..(R + M) * hidden);
                self.through::<S>(simd, second, gates, &mut carried.modulated, (t, width));
                for b in 0..lengths.active(t) {
                    for j in (0..hidden).step_by(S::F32_LANES) {
                        self.demodulate(simd, &mut carried, &mut out, (t, b, j));
                    }
                }
            }
            let (gates, stride) = if C::SPEC.added { (&*out.a, G * hidden) } else { (&*out.r, R * hidden) };
            self.through::<S>(simd, first, (gates, stride, 0..R * hidden), &mut carried.seen, (t, width));
        }
        out
    }
}
