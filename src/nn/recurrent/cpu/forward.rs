//! The time loop of one unit, forward pass.

use super::simd::{Vector, load, panel_product, store};
use super::{COLUMNS, Unit, for_tiles, tile_rows};
use crate::nn::recurrent::cells::{Cell, MAX, Step};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// What a unit reads.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// `[N, D G H]`.
    pub a: &'a [f32],
    /// `[G H, H / heads]`, with a projection `[(G + 1) H, P]`, the direction's part.
    pub r: &'a [f32],
    /// `[A, H]`, the direction's part.
    pub aux: &'a [f32],
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

/// The running state. What R sees of state 0, before and after the step, `[B, width]`; the other states,
/// `[S - 1, B, padded]`.
struct State {
    padded: usize,
    width: usize,
    seen: Vec<f32>,
    seen_next: Vec<f32>,
    others: Vec<f32>,
    /// `[B, padded]`: state 0 before it is projected, if it is.
    full: Vec<f32>,
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

    fn state(&self, lanes: usize) -> State {
        let (batch, padded) = (self.unit.lengths.batch(), self.unit.hidden().next_multiple_of(lanes));
        let width = if self.projects() { self.unit.seen().next_multiple_of(COLUMNS * lanes) } else { padded };
        let size = batch * padded;
        let buffer = |wanted: bool, size: usize| vec![0.0; if wanted { size } else { 0 }];
        let seen = vec![C::SPEC.initial[0]; batch * width];
        State {
            padded,
            width,
            seen_next: seen.clone(),
            seen,
            others: (1..C::SPEC.states.len()).flat_map(|s| std::iter::repeat_n(C::SPEC.initial[s], size)).collect(),
            full: buffer(self.projects(), size),
            modulated: buffer(M > 0, size),
            heard: buffer(M > 0, R * size),
        }
    }

    fn projects(&self) -> bool {
        self.unit.problem.projection > 0
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
        if !self.projects() {
            prev[0] = vector(&state.seen[b * state.width + j..][..S::F32_LANES]);
        }
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
        self.unit.carry::<S, C>(simd, (t, b, j), |s, share| {
            next[s] = self.unit.problem.carry.forward(s == output, next[s], prev[s], share);
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
        let depth = self.unit.seen();
        let rows: [&[f32]; N] = std::array::from_fn(|i| &state.seen[(b + i) * state.width..][..depth]);
        let sums = panel_product::<S, R, N>(simd, panel, rows, depth);
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
        let rows: [&[f32]; N] = std::array::from_fn(|i| &state.seen[(b + i) * state.width..][..hidden]);
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

impl<C: Cell, const G: usize, const R: usize, const M: usize> Forward<'_, C, G, R, M> {
    /// Projects state 0 of N rows from row `b` on to the columns from `j` on.
    #[inline(always)]
    fn project<S: Simd, const N: usize>(
        &self,
        simd: S,
        panel: &[S::f32s],
        state: &mut State,
        out: &mut Output,
        (t, b, j): (usize, usize, usize),
    ) {
        let (hidden, seen, width) = (self.unit.hidden(), self.unit.seen(), state.width);
        let rows: [&[f32]; N] = std::array::from_fn(|i| &state.full[(b + i) * state.padded..][..hidden]);
        let sums = panel_product::<S, COLUMNS, N>(simd, panel, rows, hidden);
        for (i, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                store(simd, &mut state.seen_next[(b + i) * width + j + n * S::F32_LANES..][..S::F32_LANES], sum);
            }
            let (local, len) = (self.unit.lengths.row(t, b + i), (COLUMNS * S::F32_LANES).min(seen - j));
            out.y[local * seen + j..][..len].copy_from_slice(&state.seen_next[(b + i) * width + j..][..len]);
        }
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
        let mut state = self.state(S::F32_LANES);
        let rows = |wanted: bool, width: usize| vec![0.0; if wanted { lengths.rows() * width } else { 0 }];
        let mut out = Output {
            y: rows(true, if self.projects() { seen } else { hidden }),
            seen: rows(self.keep && (C::SPEC.output != 0 || self.projects()), hidden),
            modulated: rows(self.keep && M > 0, hidden),
            kept: rows(self.keep, (C::SPEC.states.len() - 1 + C::SPEC.saved.len()) * state.padded),
        };
        for t in self.unit.times() {
            let active = lengths.active(t);
            for (block, j) in (0..hidden).step_by(S::F32_LANES).enumerate() {
                let panel = &first[block * seen * R..(block + 1) * seen * R];
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
                    let panel = &second[block * seen * M..(block + 1) * seen * M];
                    for_tiles!(active, tile_rows(S::REGISTER_COUNT, M), |b, N| self.second_tile::<S, N>(
                        simd,
                        panel,
                        &mut state,
                        &mut out,
                        (t, b, j)
                    ));
                }
            }
            if self.projects() {
                for (n, panel) in projection.chunks_exact((hidden * COLUMNS).max(1)).enumerate() {
                    let j = n * COLUMNS * S::F32_LANES;
                    for_tiles!(active, tile_rows(S::REGISTER_COUNT, COLUMNS), |b, N| self.project::<S, N>(
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
