//! The time loop of one unit, forward pass.

use super::simd::{Packed, Vector, load, panel_product, store};
use super::{Unit, for_tiles, tile_rows};
use crate::nn::recurrent::cells::{Cell, MAX, Step};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// What a unit computed, by row of its own layout.
pub struct Output {
    /// `[rows, H]`.
    pub h: Vec<f32>,
    /// `[rows][states but h, then saved values][H padded to whole vectors]`; empty if nothing was to be kept.
    pub kept: Vec<f32>,
}

/// A unit's forward pass, to be dispatched to an instruction set.
pub struct Forward<'a, C, const G: usize> {
    unit: &'a Unit<'a>,
    /// `[N, D G H]`.
    a: &'a [f32],
    /// `[G H, H]`.
    r: &'a [f32],
    keep: bool,
    cell: PhantomData<C>,
}

/// The running state: `h` before and after the step, `[B, padded]`, and the other states, `[S - 1, B, padded]`.
struct State {
    padded: usize,
    h: Vec<f32>,
    h_next: Vec<f32>,
    others: Vec<f32>,
}

impl<'a, C: Cell, const G: usize> Forward<'a, C, G> {
    /// `r` is the direction's part of the recurrent weights.
    pub fn new(unit: &'a Unit<'a>, a: &'a [f32], r: &'a [f32], keep: bool) -> Self {
        Self { unit, a, r, keep, cell: PhantomData }
    }

    /// The recurrent weights by block of hidden units: `[blocks][H][G][lanes]`.
    fn pack(&self, lanes: usize) -> Packed {
        let hidden = self.unit.problem.hidden;
        let mut packed = Packed::zeros(hidden.div_ceil(lanes) * hidden * G * lanes);
        let to = packed.as_mut_slice();
        for unit in 0..hidden {
            let (block, lane) = (unit / lanes, unit % lanes);
            for g in 0..G {
                let row = &self.r[(g * hidden + unit) * hidden..(g * hidden + unit + 1) * hidden];
                for (k, w) in row.iter().enumerate() {
                    to[((block * hidden + k) * G + g) * lanes + lane] = *w;
                }
            }
        }
        packed
    }

    /// R rows from row `b` on, the block of hidden units that starts at `j`, at time `t`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(
        &self,
        simd: S,
        panel: &[S::f32s],
        state: &mut State,
        out: &mut Output,
        (t, b, j): (usize, usize, usize),
    ) {
        let Unit { problem, direction, lengths, .. } = self.unit;
        let (hidden, padded, batch) = (problem.hidden, state.padded, lengths.batch());
        let (states, saved_count) = (C::SPEC.states.len(), C::SPEC.saved.len());
        let len = S::F32_LANES.min(hidden - j);
        let rows: [&[f32]; R] = std::array::from_fn(|i| &state.h[(b + i) * padded..][..hidden]);
        let sums = panel_product::<S, G, R>(simd, panel, rows, hidden);
        let vector = |v| Vector { simd, v };
        let zero = vector(simd.splat_f32s(0.0));
        for (i, sums) in sums.into_iter().enumerate() {
            let row = b + i;
            let at = (self.unit.global(t, row) * problem.directions + direction) * G * hidden + j;
            let a: [_; G] = std::array::from_fn(|g| vector(load(simd, &self.a[at + g * hidden..][..len])));
            let mut prev = [zero; MAX];
            prev[0] = vector(load(simd, &state.h[row * padded + j..][..S::F32_LANES]));
            for (s, prev) in prev[1..states].iter_mut().enumerate() {
                let from = (s * batch + row) * padded + j;
                *prev = vector(load(simd, &state.others[from..][..S::F32_LANES]));
            }
            let (mut next, mut saved) = ([zero; MAX], [zero; MAX]);
            let seen = Step { a: &a, r: &sums.map(vector), prev: &prev[..states] };
            C::step(&seen, &mut next[..states], &mut saved[..saved_count]);
            store(simd, &mut state.h_next[row * padded + j..][..S::F32_LANES], next[0].v);
            let local = lengths.row(t, row);
            store(simd, &mut out.h[local * hidden + j..][..len], next[0].v);
            for (s, next) in next[1..states].iter().enumerate() {
                let to = (s * batch + row) * padded + j;
                store(simd, &mut state.others[to..][..S::F32_LANES], next.v);
            }
            if self.keep {
                let kept = &mut out.kept[local * (states - 1 + saved_count) * padded..];
                for (n, value) in next[1..states].iter().chain(&saved[..saved_count]).enumerate() {
                    store(simd, &mut kept[n * padded + j..][..S::F32_LANES], value.v);
                }
            }
        }
    }
}

impl<C: Cell, const G: usize> WithSimd for Forward<'_, C, G> {
    type Output = Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Output {
        let (lengths, hidden) = (&self.unit.lengths, self.unit.problem.hidden);
        let padded = hidden.next_multiple_of(S::F32_LANES);
        let (batch, others) = (lengths.batch(), C::SPEC.states.len() - 1);
        let width = if self.keep { others + C::SPEC.saved.len() } else { 0 };
        let packed = self.pack(S::F32_LANES);
        let panels = S::as_simd_f32s(packed.as_slice()).0;
        let zeros = || vec![0.0; batch * padded];
        let mut state = State { padded, h: zeros(), h_next: zeros(), others: vec![0.0; others * batch * padded] };
        let mut out =
            Output { h: vec![0.0; lengths.rows() * hidden], kept: vec![0.0; lengths.rows() * width * padded] };
        let most = tile_rows(S::REGISTER_COUNT, G);
        for t in self.unit.times() {
            for (block, panel) in panels.chunks_exact((hidden * G).max(1)).enumerate() {
                let j = block * S::F32_LANES;
                for_tiles!(lengths.active(t), most, |b, R| self.tile::<S, R>(
                    simd,
                    panel,
                    &mut state,
                    &mut out,
                    (t, b, j)
                ));
            }
            std::mem::swap(&mut state.h, &mut state.h_next);
        }
        out
    }
}
