//! The time loop of one unit, forward pass.
#![forbid(unsafe_code)]

use super::input::{Affine, InputParts};
use super::unit::Unit;
use super::vector::Vector;
use crate::nn::panels::{COLUMNS, TileRows, for_products, panel_product, tile_rows};
use crate::nn::recurrent::cells::{Cell, MAX, Step};
use crate::nn::simd::{load, store};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// What a unit reads.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// What its gates' input parts are made of.
    pub affine: Affine<'a>,
    /// `[G H, H / heads]`, with a projection `[(G + 1) H, P]`, the direction's part.
    pub r: &'a [f32],
    /// `[A, H]`, the direction's part.
    pub aux: &'a [f32],
}

impl<'a> Input<'a> {
    /// The part of the layer's numbers that is `unit`'s.
    pub fn of(unit: &Unit<'_>, all: super::Input<'a>) -> Self {
        let affine = Affine { x: all.x, w: unit.part(all.w), b: unit.part(all.b) };
        Self { affine, r: unit.part(all.r), aux: unit.part(all.aux) }
    }
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

/// A unit's forward pass, to be dispatched to an instruction set. `G` gates, of which `R` see state 0 and `M` the
/// modulated state.
pub struct Forward<'a, C, const G: usize, const R: usize, const M: usize> {
    unit: &'a Unit<'a>,
    input: Input<'a>,
    keep: bool,
    cell: PhantomData<C>,
}

/// The running state, but for what R sees of state 0 before the step: that of the step after, `[B, width]`, and the other
/// states, `[S - 1, B, padded]`.
struct State {
    padded: usize,
    width: usize,
    seen_next: Vec<f32>,
    others: Vec<f32>,
    /// `[B, padded]`: state 0 before it is projected, if it is.
    full: Vec<f32>,
    /// `[B, padded]`, if there is a modulated state.
    modulated: Vec<f32>,
    /// `[B, R, padded]`: the first product of a step that has two.
    heard: Vec<f32>,
}

/// Where a step is: the time, the row, and the first hidden unit of the block.
type Place = (usize, usize, usize);

/// What was there before a step.
struct Before<'a> {
    parts: InputParts<'a>,
    /// `[B, width]`: what R sees of state 0.
    seen: Vec<f32>,
}

/// Vectors that a step reads beside the gates' recurrent parts.
struct Loaded<S: Simd, const G: usize> {
    a: [Vector<S>; G],
    aux: [Vector<S>; MAX],
    prev: [Vector<S>; MAX],
}

impl<S: Simd, const G: usize> Loaded<S, G> {
    #[inline(always)]
    fn step<'a, C: Cell>(&'a self, r: &'a [Vector<S>]) -> Step<'a, Vector<S>> {
        Step { a: &self.a, r, aux: &self.aux[..C::SPEC.aux.len()], prev: &self.prev[..C::SPEC.states.len()] }
    }
}

impl<'a, C: Cell, const G: usize, const R: usize, const M: usize> Forward<'a, C, G, R, M> {
    /// See [`Input`].
    pub fn new(unit: &'a Unit<'a>, input: Input<'a>, keep: bool) -> Self {
        Self { unit, input, keep, cell: PhantomData }
    }

    fn projects(&self) -> bool {
        self.unit.problem.projection > 0
    }

    fn start(&self, lanes: usize) -> (Before<'a>, State) {
        let (batch, padded) = (self.unit.lengths.batch(), self.unit.hidden().next_multiple_of(lanes));
        let width = if self.projects() { self.unit.seen().next_multiple_of(COLUMNS * lanes) } else { padded };
        let size = batch * padded;
        let buffer = |wanted: bool, size: usize| vec![0.0; if wanted { size } else { 0 }];
        let seen = vec![C::SPEC.initial[0]; batch * width];
        let state = State {
            padded,
            width,
            seen_next: seen.clone(),
            others: (1..C::SPEC.states.len()).flat_map(|s| std::iter::repeat_n(C::SPEC.initial[s], size)).collect(),
            full: buffer(self.projects(), size),
            modulated: buffer(M > 0, size),
            heard: buffer(M > 0, R * size),
        };
        (Before { parts: InputParts::new(self.unit, self.input.affine, G, lanes), seen }, state)
    }

    fn output(&self, state: &State) -> Output {
        let (rows, hidden) = (self.unit.lengths.rows(), self.unit.hidden());
        let buffer = |wanted: bool, width: usize| vec![0.0; if wanted { rows * width } else { 0 }];
        Output {
            y: buffer(true, if self.projects() { self.unit.seen() } else { hidden }),
            seen: buffer(self.keep && (C::SPEC.output != 0 || self.projects()), hidden),
            modulated: buffer(self.keep && M > 0, hidden),
            kept: buffer(self.keep, (C::SPEC.states.len() - 1 + C::SPEC.saved.len()) * state.padded),
        }
    }

    #[inline(always)]
    fn load<S: Simd>(&self, simd: S, before: &Before<'_>, state: &State, (t, b, j): Place) -> Loaded<S, G> {
        let (hidden, padded, batch) = (self.unit.hidden(), state.padded, self.unit.lengths.batch());
        let len = S::F32_LANES.min(hidden - j);
        let vector = |from: &[f32]| Vector { simd, v: load(simd, from) };
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let parts = before.parts.row(t, b);
        let a = std::array::from_fn(|g| vector(&parts[g * hidden + j..][..len]));
        let (mut aux, mut prev) = ([zero; MAX], [zero; MAX]);
        for (n, aux) in aux[..C::SPEC.aux.len()].iter_mut().enumerate() {
            *aux = vector(&self.input.aux[self.unit.column(n) + j..][..len]);
        }
        if !self.projects() {
            prev[0] = vector(&before.seen[b * state.width + j..][..S::F32_LANES]);
        }
        for (s, prev) in prev[1..C::SPEC.states.len()].iter_mut().enumerate() {
            *prev = vector(&state.others[(s * batch + b) * padded + j..][..S::F32_LANES]);
        }
        Loaded { a, aux, prev }
    }

    /// The step, given the gates' recurrent parts.
    #[inline(always)]
    fn step<S: Simd>(
        &self,
        simd: S,
        r: &[Vector<S>],
        before: &Before<'_>,
        (state, out): (&mut State, &mut Output),
        (t, b, j): Place,
    ) {
        let (hidden, padded, batch) = (self.unit.hidden(), state.padded, self.unit.lengths.batch());
        let (states, saved_count, output) = (C::SPEC.states.len(), C::SPEC.saved.len(), C::SPEC.output);
        let len = S::F32_LANES.min(hidden - j);
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let loaded = self.load(simd, before, state, (t, b, j));
        let (mut next, mut saved) = ([zero; MAX], [zero; MAX]);
        C::step(&loaded.step::<C>(r), &mut next[..states], &mut saved[..saved_count]);
        self.unit.carry::<S, C>(simd, (t, b, j), |s, share| {
            next[s] = self.unit.problem.carry.forward(s == output, next[s], loaded.prev[s], share);
        });
        let local = self.unit.lengths.row(t, b);
        if self.projects() {
            store(simd, &mut state.full[b * padded + j..][..S::F32_LANES], next[0].v);
        } else {
            store(simd, &mut state.seen_next[b * state.width + j..][..S::F32_LANES], next[0].v);
            store(simd, &mut out.y[local * hidden + j..][..len], next[output].v);
        }
        for (s, next) in next[1..states].iter().enumerate() {
            store(simd, &mut state.others[(s * batch + b) * padded + j..][..S::F32_LANES], next.v);
        }
        if self.keep {
            if output != 0 || self.projects() {
                store(simd, &mut out.seen[local * hidden + j..][..len], next[0].v);
            }
            let kept = &mut out.kept[local * (states - 1 + saved_count) * padded..];
            let others = next[..output].iter().chain(&next[output + 1..states]);
            for (n, value) in others.chain(&saved[..saved_count]).enumerate() {
                store(simd, &mut kept[n * padded + j..][..S::F32_LANES], value.v);
            }
        }
    }

    /// The modulated state, given the first product of a step that has two.
    #[inline(always)]
    fn modulate<S: Simd>(
        &self,
        simd: S,
        r: &[Vector<S>],
        before: &Before<'_>,
        (state, out): (&mut State, &mut Output),
        (t, b, j): Place,
    ) {
        let (hidden, padded) = (self.unit.hidden(), state.padded);
        let modulated = C::modulate(&self.load(simd, before, state, (t, b, j)).step::<C>(r));
        store(simd, &mut state.modulated[b * padded + j..][..S::F32_LANES], modulated.v);
        for (g, r) in r.iter().enumerate() {
            store(simd, &mut state.heard[(b * R + g) * padded + j..][..S::F32_LANES], r.v);
        }
        if self.keep {
            let to = &mut out.modulated[self.unit.lengths.row(t, b) * hidden + j..];
            store(simd, &mut to[..S::F32_LANES.min(hidden - j)], modulated.v);
        }
    }

    /// The recurrent parts of all gates of a step that has two products, given the second one.
    #[inline(always)]
    fn heard<S: Simd>(&self, simd: S, second: [S::f32s; M], state: &State, (_, b, j): Place) -> [Vector<S>; MAX] {
        let mut r = [Vector { simd, v: simd.splat_f32s(0.0) }; MAX];
        for (g, r) in r[..R].iter_mut().enumerate() {
            r.v = load(simd, &state.heard[(b * R + g) * state.padded + j..][..S::F32_LANES]);
        }
        r[R..R + M].iter_mut().zip(second).for_each(|(r, v)| r.v = v);
        r
    }

    /// Keeps row `b` of the projected output, from column `j` on.
    #[inline(always)]
    fn project<S: Simd>(
        &self,
        simd: S,
        sums: [S::f32s; COLUMNS],
        (state, out): (&mut State, &mut Output),
        (t, b, j): Place,
    ) {
        let (seen, at) = (self.unit.seen(), b * state.width + j);
        for (n, sum) in sums.into_iter().enumerate() {
            store(simd, &mut state.seen_next[at + n * S::F32_LANES..][..S::F32_LANES], sum);
        }
        let len = (COLUMNS * S::F32_LANES).min(seen - j);
        let to = &mut out.y[self.unit.lengths.row(t, b) * seen + j..][..len];
        to.copy_from_slice(&state.seen_next[at..][..len]);
    }
}

impl<C: Cell, const G: usize, const R: usize, const M: usize> WithSimd for Forward<'_, C, G, R, M> {
    type Output = Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Output {
        let (lengths, hidden, seen) = (&self.unit.lengths, self.unit.hidden(), self.unit.seen());
        let pack = |first: usize, count: usize| self.unit.pack_rows(self.input.r, first, count, S::F32_LANES);
        let (first, second) = (pack(0, R), pack(R, M));
        let (first, second) = (S::as_simd_f32s(first.as_slice()).0, S::as_simd_f32s(second.as_slice()).0);
        let projection = usize::from(self.projects());
        let projection = self.unit.pack_columns(self.input.r, R + M, projection, S::F32_LANES);
        let projection = S::as_simd_f32s(projection.as_slice()).0;
        let (mut before, mut state) = self.start(S::F32_LANES);
        let mut out = self.output(&state);
        for t in self.unit.times() {
            let active = lengths.active(t);
            before.parts.reach(simd, t);
            for (block, j) in (0..hidden).step_by(S::F32_LANES).enumerate() {
                let panel = &first[block * seen * R..(block + 1) * seen * R];
                let rows = TileRows { data: &before.seen, stride: state.width, depth: seen };
                for_products!(simd, S, R, panel, rows, active, |b, sums| {
                    let r = sums.map(|v| Vector { simd, v });
                    if M == 0 {
                        self.step(simd, &r, &before, (&mut state, &mut out), (t, b, j));
                    } else {
                        self.modulate(simd, &r, &before, (&mut state, &mut out), (t, b, j));
                    }
                });
            }
            if M > 0 {
                let modulated = std::mem::take(&mut state.modulated);
                for (block, j) in (0..hidden).step_by(S::F32_LANES).enumerate() {
                    let panel = &second[block * seen * M..(block + 1) * seen * M];
                    let rows = TileRows { data: &modulated, stride: state.padded, depth: hidden };
                    for_products!(simd, S, M, panel, rows, active, |b, sums| {
                        let r = self.heard(simd, sums, &state, (t, b, j));
                        self.step(simd, &r[..R + M], &before, (&mut state, &mut out), (t, b, j));
                    });
                }
                state.modulated = modulated;
            }
            if self.projects() {
                let full = std::mem::take(&mut state.full);
                for (n, panel) in projection.chunks_exact((hidden * COLUMNS).max(1)).enumerate() {
                    let rows = TileRows { data: &full, stride: state.padded, depth: hidden };
                    for_products!(simd, S, COLUMNS, panel, rows, active, |b, sums| {
                        self.project(simd, sums, (&mut state, &mut out), (t, b, n * COLUMNS * S::F32_LANES));
                    });
                }
                state.full = full;
            }
            std::mem::swap(&mut before.seen, &mut state.seen_next);
        }
        out
    }
}
