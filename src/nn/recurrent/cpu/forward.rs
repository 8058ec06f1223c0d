//! The time loop of one unit, forward pass.
#![forbid(unsafe_code)]

use super::input::InputParts;
use super::unit::Unit;
use super::vector::Vector;
use super::weights::PackedHead;
use crate::nn::panels::{Onto, Rows};
use crate::nn::recurrent::cells::{Cell, MAX, Step};
use crate::nn::simd::{load, store};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// What a unit reads.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `[N, F]`.
    pub x: &'a [f32],
    /// Its head's weights.
    pub weights: &'a PackedHead,
}

/// What a unit computed, by row of its own layout.
pub struct Output {
    /// `[rows, H or P]`: the output.
    pub y: Vec<f32>,
    /// `[rows, H]`: state 0, if it is not the output, or not as it is; empty otherwise, and if nothing was to be kept.
    pub seen: Vec<f32>,
    /// `[rows, H]`: the modulated state, if there is one; empty if nothing was to be kept.
    pub modulated: Vec<f32>,
    /// `[rows][states but the output, then saved values][H padded to whole vectors]`; empty if nothing was to be kept.
    pub kept: Vec<f32>,
}

/// A unit's forward pass, to be dispatched to an instruction set.
pub struct Forward<'a, C> {
    unit: &'a Unit<'a>,
    input: Input<'a>,
    keep: bool,
    cell: PhantomData<C>,
}

/// The running state.
struct State {
    /// H, padded to whole vectors.
    padded: usize,
    /// Numbers that R sees, padded likewise.
    width: usize,
    /// `[B, width]`: what R sees of state 0.
    seen: Vec<f32>,
    /// `[S - 1, B, padded]`: the other states.
    others: Vec<f32>,
    /// `[B, R + M, padded]`: the recurrent parts of the gates.
    heard: Vec<f32>,
    /// `[B, padded]`: state 0 before it is projected, if it is.
    full: Vec<f32>,
    /// `[B, padded]`, if there is a modulated state.
    modulated: Vec<f32>,
}

/// Where a step is: the time, the row, and the first hidden unit of a vector of them.
type Place = (usize, usize, usize);

/// Vectors that a step reads.
struct Loaded<S: Simd> {
    a: [Vector<S>; MAX],
    r: [Vector<S>; MAX],
    aux: [Vector<S>; MAX],
    prev: [Vector<S>; MAX],
}

impl<S: Simd> Loaded<S> {
    /// With the first `heard` recurrent parts.
    #[inline(always)]
    fn step<C: Cell>(&self, heard: usize) -> Step<'_, Vector<S>> {
        Step {
            a: &self.a[..C::SPEC.gates.len()],
            r: &self.r[..heard],
            aux: &self.aux[..C::SPEC.aux.len()],
            prev: &self.prev[..C::SPEC.states.len()],
        }
    }
}

impl<'a, C: Cell> Forward<'a, C> {
    /// See [`Input`].
    pub fn new(unit: &'a Unit<'a>, input: Input<'a>, keep: bool) -> Self {
        Self { unit, input, keep, cell: PhantomData }
    }

    fn projects(&self) -> bool {
        self.unit.problem.projection > 0
    }

    fn start(&self, lanes: usize) -> State {
        let (batch, padded) = (self.unit.lengths.batch(), self.unit.hidden().next_multiple_of(lanes));
        let (width, size) = (self.unit.seen().next_multiple_of(lanes), batch * padded);
        let buffer = |wanted: bool| vec![0.0; if wanted { size } else { 0 }];
        State {
            padded,
            width,
            seen: vec![C::SPEC.initial[0]; batch * width],
            others: (1..C::SPEC.states.len()).flat_map(|s| std::iter::repeat_n(C::SPEC.initial[s], size)).collect(),
            heard: vec![0.0; C::SPEC.rows_of_r() * size],
            full: buffer(self.projects()),
            modulated: buffer(C::SPEC.modulated > 0),
        }
    }

    fn output(&self, state: &State) -> Output {
        let (rows, hidden) = (self.unit.lengths.rows(), self.unit.hidden());
        let buffer = |wanted: bool, width: usize| vec![0.0; if wanted { rows * width } else { 0 }];
        Output {
            y: buffer(true, if self.projects() { self.unit.seen() } else { hidden }),
            seen: buffer(self.keep && (C::SPEC.output != 0 || self.projects()), hidden),
            modulated: buffer(self.keep && C::SPEC.modulated > 0, hidden),
            kept: buffer(self.keep, (C::SPEC.states.len() - 1 + C::SPEC.saved.len()) * state.padded),
        }
    }

    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, parts: &InputParts<'_>, state: &State, (t, b, j): Place) -> Loaded<S> {
        let (hidden, padded, batch) = (self.unit.hidden(), state.padded, self.unit.lengths.batch());
        let (lanes, heard) = (S::F32_LANES, C::SPEC.rows_of_r());
        let vector = |from: &[f32]| Vector { simd, v: load(simd, from) };
        let zero = [Vector { simd, v: simd.splat_f32s(0.0) }; MAX];
        let mut loaded = Loaded { a: zero, r: zero, aux: zero, prev: zero };
        let parts = parts.row(t, b);
        for (g, a) in loaded.a[..C::SPEC.gates.len()].iter_mut().enumerate() {
            *a = vector(&parts[g * padded + j..][..lanes]);
        }
        for (g, r) in loaded.r[..heard].iter_mut().enumerate() {
            *r = vector(&state.heard[(b * heard + g) * padded + j..][..lanes]);
        }
        for (n, aux) in loaded.aux[..C::SPEC.aux.len()].iter_mut().enumerate() {
            *aux = vector(&self.input.weights.aux[self.unit.column(n) + j..][..lanes.min(hidden - j)]);
        }
        if !self.projects() {
            loaded.prev[0] = vector(&state.seen[b * state.width + j..][..lanes]);
        }
        for (s, prev) in loaded.prev[1..C::SPEC.states.len()].iter_mut().enumerate() {
            *prev = vector(&state.others[(s * batch + b) * padded + j..][..lanes]);
        }
        loaded
    }

    /// The step of a vector of units.
    #[inline(always)]
    fn step<S: Simd>(&self, simd: S, parts: &InputParts<'_>, state: &mut State, out: &mut Output, (t, b, j): Place) {
        let (hidden, padded, batch) = (self.unit.hidden(), state.padded, self.unit.lengths.batch());
        let (states, saved_count, output) = (C::SPEC.states.len(), C::SPEC.saved.len(), C::SPEC.output);
        let (lanes, len) = (S::F32_LANES, S::F32_LANES.min(hidden - j));
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let loaded = self.load(simd, parts, state, (t, b, j));
        let (mut next, mut saved) = ([zero; MAX], [zero; MAX]);
        C::step(&loaded.step::<C>(C::SPEC.rows_of_r()), &mut next[..states], &mut saved[..saved_count]);
        self.unit.carry::<S, C>(simd, (t, b, j), |s, share| {
            next[s] = self.unit.problem.carry.forward(s == output, next[s], loaded.prev[s], share);
        });
        let local = self.unit.lengths.row(t, b);
        if self.projects() {
            store(simd, &mut state.full[b * padded + j..][..lanes], next[0].v);
        } else {
            store(simd, &mut state.seen[b * state.width + j..][..lanes], next[0].v);
            store(simd, &mut out.y[local * hidden + j..][..len], next[output].v);
        }
        for (s, next) in next[1..states].iter().enumerate() {
            store(simd, &mut state.others[(s * batch + b) * padded + j..][..lanes], next.v);
        }
        if self.keep {
            if output != 0 || self.projects() {
                store(simd, &mut out.seen[local * hidden + j..][..len], next[0].v);
            }
            let kept = &mut out.kept[local * (states - 1 + saved_count) * padded..];
            let others = next[..output].iter().chain(&next[output + 1..states]);
            for (n, value) in others.chain(&saved[..saved_count]).enumerate() {
                store(simd, &mut kept[n * padded + j..][..lanes], value.v);
            }
        }
    }

    /// The modulated state of a vector of units.
    #[inline(always)]
    fn modulate<S: Simd>(
        &self,
        simd: S,
        parts: &InputParts<'_>,
        state: &mut State,
        out: &mut Output,
        (t, b, j): Place,
    ) {
        let (hidden, lanes) = (self.unit.hidden(), S::F32_LANES);
        let modulated = C::modulate(&self.load(simd, parts, state, (t, b, j)).step::<C>(C::SPEC.recurrent));
        store(simd, &mut state.modulated[b * state.padded + j..][..lanes], modulated.v);
        if self.keep {
            let to = &mut out.modulated[self.unit.lengths.row(t, b) * hidden + j..];
            store(simd, &mut to[..lanes.min(hidden - j)], modulated.v);
        }
    }
}

impl<C: Cell> WithSimd for Forward<'_, C> {
    type Output = Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Output {
        let (unit, lanes, recurrent, all) = (self.unit, S::F32_LANES, C::SPEC.recurrent, C::SPEC.rows_of_r());
        let (seen, PackedHead { first, second, projection, .. }) = (unit.seen(), self.input.weights);
        let mut parts = InputParts::new(unit, self.input.x, self.input.weights);
        let mut state = self.start(lanes);
        let mut out = self.output(&state);
        for t in unit.times() {
            let count = unit.lengths.active(t);
            let State { padded, width, .. } = state;
            parts.reach(simd, t);
            let rows = Rows { data: &state.seen, stride: width, count };
            first.multiply(simd, rows, Onto::Zero, (&mut state.heard, all * padded));
            if C::SPEC.modulated > 0 {
                for (b, j) in unit.vectors(t, lanes) {
                    self.modulate(simd, &parts, &mut state, &mut out, (t, b, j));
                }
                let rows = Rows { data: &state.modulated, stride: padded, count };
                second.multiply(simd, rows, Onto::Zero, (&mut state.heard[recurrent * padded..], all * padded));
            }
            for (b, j) in unit.vectors(t, lanes) {
                self.step(simd, &parts, &mut state, &mut out, (t, b, j));
            }
            if self.projects() {
                let rows = Rows { data: &state.full, stride: padded, count };
                projection.multiply(simd, rows, Onto::Zero, (&mut state.seen, width));
                let y = out.y[unit.lengths.offset(t) * seen..].chunks_exact_mut(seen);
                y.zip(state.seen.chunks_exact(width)).take(count).for_each(|(to, h)| to.copy_from_slice(&h[..seen]));
            }
        }
        out
    }
}
