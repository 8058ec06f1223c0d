//! The time loop of one unit, backward pass: the gradient of each gate. Only what the loop carries is computed in it.

use super::simd::{Packed, Vector, load, panel_product, store};
use super::{Unit, for_tiles, tile_rows};
use crate::nn::recurrent::cells::{Cell, MAX, StepGrad};
use pulp::{Simd, WithSimd};
use std::marker::PhantomData;

/// Vectors of columns in a panel of the transposed product.
const COLUMNS: usize = 4;

/// What a unit's backward pass reads.
pub struct Input<'a> {
    /// `[G H, H]`, the direction's part.
    pub r: &'a [f32],
    /// As the forward pass left it.
    pub kept: &'a [f32],
    /// `[N, D H]`, the whole layer's output.
    pub y: &'a [f32],
    /// `[N, D H]`, its gradient.
    pub dy: &'a [f32],
}

/// A unit's backward pass, to be dispatched to an instruction set. Gives `[rows, G H]`.
pub struct Backward<'a, C, const G: usize> {
    unit: &'a Unit<'a>,
    input: Input<'a>,
    cell: PhantomData<C>,
}

/// Gradients carried from step to step: of `h`, `[B, width]`, and of the other states, `[S - 1, B, padded]`.
struct Carried {
    padded: usize,
    width: usize,
    h: Vec<f32>,
    others: Vec<f32>,
}

impl<'a, C: Cell, const G: usize> Backward<'a, C, G> {
    /// See [`Input`].
    pub fn new(unit: &'a Unit<'a>, input: Input<'a>) -> Self {
        Self { unit, input, cell: PhantomData }
    }

    /// The recurrent weights by panels of columns: `[panels][G H][COLUMNS lanes]`.
    fn pack(&self, lanes: usize) -> Packed {
        let (hidden, width) = (self.unit.problem.hidden, COLUMNS * lanes);
        let depth = G * hidden;
        let mut packed = Packed::zeros(hidden.div_ceil(width) * depth * width);
        for (n, panel) in packed.as_mut_slice().chunks_exact_mut((depth * width).max(1)).enumerate() {
            let columns = n * width..hidden.min((n + 1) * width);
            for (to, row) in panel.chunks_exact_mut(width).zip(self.input.r.chunks_exact(hidden)) {
                to[..columns.len()].copy_from_slice(&row[columns.clone()]);
            }
        }
        packed
    }

    /// Gradient of the gates of row `b` at time `t`, hidden units from `j` on.
    #[inline(always)]
    fn cell<S: Simd>(&self, simd: S, carried: &mut Carried, da: &mut [f32], (t, b, j): (usize, usize, usize)) {
        let Unit { problem, direction, lengths, .. } = self.unit;
        let (hidden, padded, batch) = (problem.hidden, carried.padded, lengths.batch());
        let (states, saved_count) = (C::SPEC.states.len(), C::SPEC.saved.len());
        let (lanes, len) = (S::F32_LANES, S::F32_LANES.min(hidden - j));
        let (with_past, before) = self.unit.before(t);
        let output = |t: usize| (self.unit.global(t, b) * problem.directions + direction) * hidden + j;
        let kept = |t: usize| &self.input.kept[lengths.row(t, b) * (states - 1 + saved_count) * padded + j..];
        let vector = |from: &[f32]| Vector { simd, v: load(simd, from) };
        let zero = Vector { simd, v: simd.splat_f32s(0.0) };

        let mut next = [zero; MAX];
        next[0] = vector(&self.input.dy[output(t)..][..len]) + vector(&carried.h[b * carried.width + j..][..lanes]);
        let mut prev = [zero; MAX];
        if b < with_past {
            prev[0] = vector(&self.input.y[output(before)..][..len]);
        }
        for s in 1..states {
            next[s] = vector(&carried.others[((s - 1) * batch + b) * padded + j..][..lanes]);
            if b < with_past {
                prev[s] = vector(&kept(before)[(s - 1) * padded..][..lanes]);
            }
        }
        let mut saved = [zero; MAX];
        for (n, value) in saved[..saved_count].iter_mut().enumerate() {
            *value = vector(&kept(t)[(states - 1 + n) * padded..][..lanes]);
        }
        let (mut gates, mut past) = ([zero; G], [zero; MAX]);
        let seen = StepGrad { next: &next[..states], prev: &prev[..states], saved: &saved[..saved_count] };
        C::step_grad(&seen, &mut gates, &mut past[..states]);
        let at = lengths.row(t, b) * G * hidden + j;
        for (g, gradient) in gates.into_iter().enumerate() {
            store(simd, &mut da[at + g * hidden..][..len], gradient.v);
        }
        store(simd, &mut carried.h[b * carried.width + j..][..lanes], past[0].v);
        for (s, past) in past[1..states].iter().enumerate() {
            store(simd, &mut carried.others[(s * batch + b) * padded + j..][..lanes], past.v);
        }
    }

    /// Adds to the carried gradient of `h` what comes through R, for R rows from `b` on and the columns from `j` on.
    #[inline(always)]
    fn through<S: Simd, const R: usize>(
        &self,
        simd: S,
        panel: &[S::f32s],
        carried: &mut Carried,
        da: &[f32],
        (t, b, j): (usize, usize, usize),
    ) {
        let depth = G * self.unit.problem.hidden;
        let rows: [&[f32]; R] = std::array::from_fn(|i| &da[self.unit.lengths.row(t, b + i) * depth..][..depth]);
        let sums = panel_product::<S, COLUMNS, R>(simd, panel, rows, depth);
        for (i, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                let to = &mut carried.h[(b + i) * carried.width + j + n * S::F32_LANES..][..S::F32_LANES];
                let total = simd.add_f32s(sum, load(simd, to));
                store(simd, to, total);
            }
        }
    }
}

impl<C: Cell, const G: usize> WithSimd for Backward<'_, C, G> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let (lengths, hidden) = (&self.unit.lengths, self.unit.problem.hidden);
        let (padded, width) = (hidden.next_multiple_of(S::F32_LANES), hidden.next_multiple_of(COLUMNS * S::F32_LANES));
        let (batch, depth, others) = (lengths.batch(), G * hidden, C::SPEC.states.len() - 1);
        let packed = self.pack(S::F32_LANES);
        let panels = S::as_simd_f32s(packed.as_slice()).0;
        let mut carried =
            Carried { padded, width, h: vec![0.0; batch * width], others: vec![0.0; others * batch * padded] };
        let mut da = vec![0.0; lengths.rows() * depth];
        let most = tile_rows(S::REGISTER_COUNT, COLUMNS);
        for t in self.unit.times().rev() {
            for b in 0..lengths.active(t) {
                for j in (0..hidden).step_by(S::F32_LANES) {
                    self.cell(simd, &mut carried, &mut da, (t, b, j));
                }
            }
            let (with_past, _) = self.unit.before(t);
            for (n, panel) in panels.chunks_exact((depth * COLUMNS).max(1)).enumerate() {
                let j = n * COLUMNS * S::F32_LANES;
                for_tiles!(with_past, most, |b, R| self.through::<S, R>(simd, panel, &mut carried, &da, (t, b, j)));
            }
        }
        da
    }
}
