//! The time loop of one unit, forward pass.

use super::simd::{Packed, Vector, load, panel_product, store};
use super::{Unit, for_tiles, tile_rows};
use crate::nn::recurrent::cells::{Cell, MAX, Step};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// What a unit reads.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `[N, D G H]`.
    pub a: &'a [f32],
    /// `[G H, H / heads]`, the direction's part.
    pub r: &'a [f32],
    /// `[A, H]`, the direction's part.
    pub aux: &'a [f32],
}

/// What a unit computed, by row of its own layout.
pub struct Output {
    /// `[rows, H]`: the output.
    pub y: Vec<f32>,
    /// `[rows, H]`: state 0, if it is not the output; empty otherwise, and if nothing was to be kept.
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

/// The running state. State 0 before and after the step, `[B, padded]`; the other states, `[S - 1, B, padded]`.
struct State {
    padded: usize,
    seen: Vec<f32>,
    seen_next: Vec<f32>,
    others: Vec<f32>,
    /// `[B, padded]`, if there is a modulated state.
    modulated: Vec<f32>,
    /// `[B, R, padded]`: the first product of a step that has two.
    heard: Vec<f32>,
}

impl<'a, C: Cell, const G: usize, const R: usize, const M: usize> Forward<'a, C, G, R, M> {
    /// See [`Input`].
    pub fn new(unit: &'a Unit<'a>, input: Input<'a>, keep: bool) -> Self {
        Self { unit, input, keep, cell: PhantomData }
    }

    /// The recurrent weights of `count` gates by block of hidden units: `[blocks][H][count][lanes]`.
    fn pack(&self, first: usize, count: usize, lanes: usize) -> Packed {
        let hidden = self.unit.hidden();
        let mut packed = Packed::zeros(hidden.div_ceil(lanes) * hidden * count * lanes);
        let to = packed.as_mut_slice();
        for unit in 0..hidden {
            let (block, lane) = (unit / lanes, unit % lanes);
            for g in 0..count {
                let row = &self.input.r[(self.unit.column(first + g) + unit) * hidden..][..hidden];
                for (k, w) in row.iter().enumerate() {
                    to[((block * hidden + k) * count + g) * lanes + lane] = *w;
                }
            }
        }
        packed
    }

    fn state(&self, lanes: usize) -> State {
        let (batch, padded) = (self.unit.lengths.batch(), self.unit.hidden().next_multiple_of(lanes));
        let (size, modulated) = (batch * padded, if M > 0 { batch * padded } else { 0 });
        let seen = vec![C::SPEC.initial[0]; size];
        State {
            padded,
            seen_next: seen.clone(),
            seen,
            others: (1..C::SPEC.states.len()).flat_map(|s| std::iter::repeat_n(C::SPEC.initial[s], size)).collect(),
            modulated: vec![0.0; modulated],
            heard: vec![0.0; R * modulated],
        }
    }

    /// The gates' input parts, the unit's further parameters, and the states before, of row `b` at time `t`, hidden
    /// units from `j` on.
    #[inline(always)]
    #[allow(clippy::type_complexity)]
    fn load<S: Simd>(
        &self,
        simd: S,
        state: &State,
        (t, b, j): (usize, usize, usize),
    ) -> ([Vector<S>; G], [Vector<S>; MAX], [Vector<S>; MAX]) {
        let Unit { problem, direction, lengths, .. } = self.unit;
        let (padded, batch) = (state.padded, lengths.batch());
        let len = S::F32_LANES.min(self.unit.hidden() - j);
        let vector = |from: &[f32]| Vector { simd, v: load(simd, from) };
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let at = (self.unit.global(t, b) * problem.directions + direction) * G * problem.hidden + j;
        let a = std::array::from_fn(|g| vector(&self.input.a[at + self.unit.column(g)..][..len]));
        let (mut aux, mut prev) = ([zero; MAX], [zero; MAX]);
        for (n, aux) in aux[..C::SPEC.aux.len()].iter_mut().enumerate() {
            *aux = vector(&self.input.aux[self.unit.column(n) + j..][..len]);
        }
        prev[0] = vector(&state.seen[b * padded + j..][..S::F32_LANES]);
        for (s, prev) in prev[1..C::SPEC.states.len()].iter_mut().enumerate() {
            *prev = vector(&state.others[(s * batch + b) * padded + j..][..S::F32_LANES]);
        }
        (a, aux, prev)
    }

    /// The step, given the gates' recurrent parts.
    #[inline(always)]
    fn step<S: Simd>(
        &self,
        simd: S,
        r: &[Vector<S>],
        state: &mut State,
        out: &mut Output,
        (t, b, j): (usize, usize, usize),
    ) {
        let (hidden, padded, batch) = (self.unit.hidden(), state.padded, self.unit.lengths.batch());
        let (states, saved_count, output) = (C::SPEC.states.len(), C::SPEC.saved.len(), C::SPEC.output);
        let len = S::F32_LANES.min(hidden - j);
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };
        let (a, aux, prev) = self.load(simd, state, (t, b, j));
        let (mut next, mut saved) = ([zero; MAX], [zero; MAX]);
        let seen = Step { a: &a, r, aux: &aux[..C::SPEC.aux.len()], prev: &prev[..states] };
        C::step(&seen, &mut next[..states], &mut saved[..saved_count]);
        store(simd, &mut state.seen_next[b * padded + j..][..S::F32_LANES], next[0].v);
        let local = self.unit.lengths.row(t, b);
        store(simd, &mut out.y[local * hidden + j..][..len], next[output].v);
        for (s, next) in next[1..states].iter().enumerate() {
            store(simd, &mut state.others[(s * batch + b) * padded + j..][..S::F32_LANES], next.v);
        }
        if self.keep {
            if output != 0 {
                store(simd, &mut out.seen[local * hidden + j..][..len], next[0].v);
            }
            let kept = &mut out.kept[local * (states - 1 + saved_count) * padded..];
            let others = next[..output].iter().chain(&next[output + 1..states]);
            for (n, value) in others.chain(&saved[..saved_count]).enumerate() {
                store(simd, &mut kept[n * padded + j..][..S::F32_LANES], value.v);
            }
        }
    }

    /// N rows from row `b` on, the block of hidden units that starts at `j`, at time `t`: product and step.
    #[inline(always)]
    fn tile<S: Simd, const N: usize>(
        &self,
        simd: S,
        panel: &[S::f32s],
        state: &mut State,
        out: &mut Output,
        (t, b, j): (usize, usize, usize),
    ) {
        let hidden = self.unit.hidden();
        let rows: [&[f32]; N] = std::array::from_fn(|i| &state.seen[(b + i) * state.padded..][..hidden]);
        let sums = panel_product::<S, R, N>(simd, panel, rows, hidden);
        for (i, sums) in sums.into_iter().enumerate() {
            self.step(simd, &sums.map(|v| Vector { simd, v }), state, out, (t, b + i, j));
        }
    }

    /// The first product of a step that has two, and the modulated state.
    #[inline(always)]
    fn modulate<S: Simd, const N: usize>(
        &self,
        simd: S,
        panel: &[S::f32s],
        state: &mut State,
        out: &mut Output,
        (t, b, j): (usize, usize, usize),
    ) {
        let (hidden, padded) = (self.unit.hidden(), state.padded);
        let rows: [&[f32]; N] = std::array::from_fn(|i| &state.seen[(b + i) * padded..][..hidden]);
        let sums = panel_product::<S, R, N>(simd, panel, rows, hidden);
        for (i, sums) in sums.into_iter().enumerate() {
            let row = b + i;
            let (a, aux, prev) = self.load(simd, state, (t, row, j));
            let r = sums.map(|v| Vector { simd, v });
            let seen = Step { a: &a, r: &r, aux: &aux[..C::SPEC.aux.len()], prev: &prev[..C::SPEC.states.len()] };
            let modulated = C::modulate(&seen);
            store(simd, &mut state.modulated[row * padded + j..][..S::F32_LANES], modulated.v);
            for (g, sum) in sums.into_iter().enumerate() {
                store(simd, &mut state.heard[(row * R + g) * padded + j..][..S::F32_LANES], sum);
            }
            if self.keep {
                let len = S::F32_LANES.min(hidden - j);
                let local = self.unit.lengths.row(t, row);
                store(simd, &mut out.modulated[local * hidden + j..][..len], modulated.v);
            }
        }
    }

    /// The second product of a step that has two, and the step.
    #[inline(always)]
    fn second_tile<S: Simd, const N: usize>(
        &self,
        simd: S,
        panel: &[S::f32s],
        state: &mut State,
        out: &mut Output,
        (t, b, j): (usize, usize, usize),
    ) {
        let (hidden, padded) = (self.unit.hidden(), state.padded);
        let rows: [&[f32]; N] = std::array::from_fn(|i| &state.modulated[(b + i) * padded..][..hidden]);
        let sums = panel_product::<S, M, N>(simd, panel, rows, hidden);
        for (i, sums) in sums.into_iter().enumerate() {
            let mut r = [Vector { simd, v: simd.splat_f32s(0.0) }; MAX];
            for (g, r) in r[..R].iter_mut().enumerate() {
                r.v = load(simd, &state.heard[((b + i) * R + g) * padded + j..][..S::F32_LANES]);
            }
            r[R..R + M].iter_mut().zip(sums).for_each(|(r, v)| r.v = v);
            self.step(simd, &r[..R + M], state, out, (t, b + i, j));
        }
    }
}

impl<C: Cell, const G: usize, const R: usize, const M: usize> WithSimd for Forward<'_, C, G, R, M> {
    type Output = Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Output {
        let (lengths, hidden) = (&self.unit.lengths, self.unit.hidden());
        let (first, second) = (self.pack(0, R, S::F32_LANES), self.pack(R, M, S::F32_LANES));
        let (first, second) = (S::as_simd_f32s(first.as_slice()).0, S::as_simd_f32s(second.as_slice()).0);
        let mut state = self.state(S::F32_LANES);
        let rows = |wanted: bool, width: usize| vec![0.0; if wanted { lengths.rows() * width } else { 0 }];
        let mut out = Output {
            y: rows(true, hidden),
            seen: rows(self.keep && C::SPEC.output != 0, hidden),
            modulated: rows(self.keep && M > 0, hidden),
            kept: rows(self.keep, (C::SPEC.states.len() - 1 + C::SPEC.saved.len()) * state.padded),
        };
        for t in self.unit.times() {
            let active = lengths.active(t);
            for (block, j) in (0..hidden).step_by(S::F32_LANES).enumerate() {
                let panel = &first[block * hidden * R..(block + 1) * hidden * R];
                let most = tile_rows(S::REGISTER_COUNT, R);
                if M == 0 {
                    for_tiles!(active, most, |b, N| self.tile::<S, N>(simd, panel, &mut state, &mut out, (t, b, j)));
                } else {
                    for_tiles!(active, most, |b, N| self.modulate::<S, N>(
                        simd,
                        panel,
                        &mut state,
                        &mut out,
                        (t, b, j)
                    ));
                }
            }
            if M > 0 {
                for (block, j) in (0..hidden).step_by(S::F32_LANES).enumerate() {
                    let panel = &second[block * hidden * M..(block + 1) * hidden * M];
                    for_tiles!(active, tile_rows(S::REGISTER_COUNT, M), |b, N| self.second_tile::<S, N>(
                        simd,
                        panel,
                        &mut state,
                        &mut out,
                        (t, b, j)
                    ));
                }
            }
            std::mem::swap(&mut state.seen, &mut state.seen_next);
        }
        out
    }
}
