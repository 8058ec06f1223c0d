//! Products of rows of numbers with weights that were packed into panels, in f32: what the recurrent loops and the affine
//! maps are made of.
//!
//! A panel is a few vectors wide and holds its columns of the weights row after row, so that a product reads it front to
//! back while the sums of a tile of rows stay in registers. Each sum runs over the depth in order, whatever rows share
//! the tile: unlike a general matrix product's, a row's results depend on that row alone.

use super::simd::{Packed, Path, load, mul_add, store};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Vectors of a panel, at most.
const VECTORS: usize = 4;

/// Weights `[depth, columns]`: `[panels][depth][vectors of the panel][lanes]`, four vectors a panel, in the last one as many
/// as there are.
pub struct Panels {
    packed: Packed,
    depth: usize,
    columns: usize,
}

/// Rows of numbers, `depth` of each.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// The first row starts here.
    pub data: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
    /// How many.
    pub count: usize,
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub enum Onto<'a> {
    /// Nothing.
    Zero,
    /// A number for each column.
    Bias(&'a [f32]),
    /// What stands there.
    Sum,
}

impl Panels {
    /// Column c is row `row(c)` of `weights`, whose rows are `depth` long; zeros where there is none.
    pub fn of_rows(
        weights: &[f32],
        depth: usize,
        columns: usize,
        row: impl Fn(usize) -> Option<usize>,
        lanes: usize,
    ) -> Self {
        Self::pack(depth, columns, lanes, |panel, width, c, to| {
            if let Some(row) = row(c) {
                let from = &weights[row * depth..][..depth];
                panel[to..].iter_mut().step_by(width).zip(from).for_each(|(to, w)| *to = *w);
            }
        })
    }

    /// Row k is row `row(k)` of `weights`, whose rows are `columns` long.
    pub fn of_columns(
        weights: &[f32],
        depth: usize,
        columns: usize,
        row: impl Fn(usize) -> usize,
        lanes: usize,
    ) -> Self {
        Self::pack(depth, columns, lanes, |panel, width, c, to| {
            // A whole row of the panel at a time.
            if to == 0 {
                for (k, to) in panel.chunks_exact_mut(width).enumerate() {
                    let from = &weights[row(k) * columns + c..][..width.min(columns - c)];
                    to[..from.len()].copy_from_slice(from);
                }
            }
        })
    }

    /// Calls `fill(panel, its width, column, place of that column in it)` for every column.
    fn pack(depth: usize, columns: usize, lanes: usize, mut fill: impl FnMut(&mut [f32], usize, usize, usize)) -> Self {
        let mut packed = Packed::zeros(columns.next_multiple_of(lanes) * depth);
        let panels = packed.as_mut_slice().chunks_mut((VECTORS * lanes * depth).max(1));
        for (panel, first) in panels.zip((0..).step_by(VECTORS * lanes)) {
            let width = panel.len() / depth;
            (0..width.min(columns - first)).for_each(|c| fill(panel, width, first + c, c));
        }
        Self { packed, depth, columns }
    }

    /// Writes `rows` times these weights to rows of `to`, `stride` apart. `simd` is the instruction set whose lanes they were
    /// packed for.
    ///
    /// # Panics
    /// If the slices are too short: a mistake in this crate, not in its input.
    pub fn multiply<S: Simd>(&self, simd: S, rows: Rows<'_>, onto: Onto<'_>, (to, stride): (&mut [f32], usize)) {
        // Compiled once for an instruction set, not into every caller.
        simd.vectorize(Multiply { panels: self, rows, onto, to, stride });
    }
}

/// See [`Panels::multiply`].
struct Multiply<'a> {
    panels: &'a Panels,
    rows: Rows<'a>,
    onto: Onto<'a>,
    to: &'a mut [f32],
    stride: usize,
}

impl WithSimd for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let depth = self.panels.depth.max(1);
        let panels = S::as_simd_f32s(self.panels.packed.as_slice()).0.chunks(VECTORS * depth);
        for (panel, first) in panels.zip((0..).step_by(VECTORS * S::F32_LANES)) {
            match panel.len() / depth {
                1 => self.panel::<S, 1>(simd, panel, first),
                2 => self.panel::<S, 2>(simd, panel, first),
                3 => self.panel::<S, 3>(simd, panel, first),
                _ => self.panel::<S, VECTORS>(simd, panel, first),
            }
        }
    }
}

impl Multiply<'_> {
    /// All rows times a panel whose columns begin with `first`.
    #[inline(always)]
    fn panel<S: Simd, const NV: usize>(&mut self, simd: S, panel: &[S::f32s], first: usize) {
        let mut done = 0;
        while done < self.rows.count {
            done += match (self.rows.count - done).min(tile_rows(S::REGISTER_COUNT, NV)) {
                1 => self.tile::<S, NV, 1>(simd, panel, first, done),
                2 => self.tile::<S, NV, 2>(simd, panel, first, done),
                3 => self.tile::<S, NV, 3>(simd, panel, first, done),
                4 => self.tile::<S, NV, 4>(simd, panel, first, done),
                5 => self.tile::<S, NV, 5>(simd, panel, first, done),
                _ => self.tile::<S, NV, 6>(simd, panel, first, done),
            }
        }
    }

    /// R rows from row `b` on, times a panel; R.
    #[inline(always)]
    fn tile<S: Simd, const NV: usize, const R: usize>(
        &mut self,
        simd: S,
        panel: &[S::f32s],
        first: usize,
        b: usize,
    ) -> usize {
        let Panels { depth, columns, .. } = *self.panels;
        let rows = std::array::from_fn(|i| &self.rows.data[(b + i) * self.rows.stride..][..depth]);
        let sums = panel_product::<S, NV, R>(simd, panel, rows, depth);
        for (i, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                let column = first + n * S::F32_LANES;
                let len = S::F32_LANES.min(columns - column);
                let to = &mut self.to[(b + i) * self.stride + column..][..len];
                let total = match self.onto {
                    Onto::Zero => sum,
                    Onto::Bias(bias) => simd.add_f32s(sum, load(simd, &bias[column..][..len])),
                    Onto::Sum => simd.add_f32s(sum, load(simd, to)),
                };
                store(simd, to, total);
            }
        }
        R
    }
}

/// Rows whose sums are kept in registers at once, for `vectors` vectors a row.
const fn tile_rows(registers: usize, vectors: usize) -> usize {
    let rows = (registers - registers / 4) / vectors;
    if rows > 6 { 6 } else { rows }
}

/// `R` rows of `depth` numbers times a packed panel of `NV` vectors of columns: `[depth][NV]`.
///
/// Each sum runs over the depth in order, whatever `R` is: a row's result does not depend on its neighbours.
#[inline(always)]
// Two plain counted loops around one multiply-add say best what is to be unrolled.
#[allow(clippy::needless_range_loop)]
fn panel_product<S: Simd, const NV: usize, const R: usize>(
    simd: S,
    panel: &[S::f32s],
    rows: [&[f32]; R],
    depth: usize,
) -> [[S::f32s; NV]; R] {
    assert!(panel.len() == depth * NV && rows.iter().all(|row| row.len() >= depth), "panel and rows do not fit");
    let mut sums = [[simd.splat_f32s(0.0); NV]; R];
    for k in 0..depth {
        for r in 0..R {
            // SAFETY: k < depth, and the assertion above says that rows and panel are long enough.
            let x = simd.splat_f32s(unsafe { *rows[r].get_unchecked(k) });
            for v in 0..NV {
                // SAFETY: as above.
                let w = unsafe { *panel.get_unchecked(k * NV + v) };
                sums[r][v] = mul_add(simd, x, w, sums[r][v]);
            }
        }
    }
    sums
}

/// Rows of an affine map that one thread takes at a time: enough to be worth it, and so few that they stay in its cache
/// while panel after panel goes by.
const MIN_ROWS: usize = 48;
const MAX_ROWS: usize = 384;

/// `x W^T + b`: `x` `[N, inputs]`, `w` `[O, inputs]`, `b` `[O]`, by all threads.
pub fn affine(x: &[f32], w: &[f32], b: &[f32], inputs: usize) -> Vec<f32> {
    let (path, rows) = (Path::current(), x.len().checked_div(inputs).unwrap_or(0));
    let panels = &Panels::of_rows(w, inputs, b.len(), Some, path.lanes());
    let at_once = rows.div_ceil(rayon::current_num_threads()).clamp(MIN_ROWS, MAX_ROWS);
    let mut y = vec![0.0; rows * b.len()];
    if !y.is_empty() {
        let chunks = y.par_chunks_mut(at_once * b.len()).zip(x.par_chunks(at_once * inputs));
        chunks.for_each(|(to, x)| {
            let rows = Rows { data: x, stride: inputs, count: to.len() / b.len() };
            path.dispatch(Multiply { panels, rows, onto: Onto::Bias(b), to, stride: b.len() });
        });
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn an_affine_map_is_its_definition_for_every_row_alone() {
        for (rows, inputs, outputs) in [(1, 1, 1), (7, 5, 3), (200, 33, 40), (13, 64, 97), (5, 3, 130), (0, 4, 2)] {
            let draw = |count: usize, purpose: &str| {
                let mut rng = Rng::stream(1, purpose, 0);
                (0..count).map(|_| rng.normal()).collect::<Vec<f32>>()
            };
            let (x, w, b) = (draw(rows * inputs, "x"), draw(inputs * outputs, "w"), draw(outputs, "b"));
            let y = affine(&x, &w, &b, inputs);
            assert_eq!(y.len(), rows * outputs);
            for (x, y) in x.chunks(inputs).zip(y.chunks(outputs)) {
                for (c, y) in y.iter().enumerate() {
                    let products = w[c * inputs..][..inputs].iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                    let truth = f64::from(b[c]) + products.sum::<f64>();
                    assert!((f64::from(*y) - truth).abs() < 1e-5 * (1.0 + truth.abs()), "{y} instead of {truth}");
                }
                assert_eq!(affine(x, &w, &b, inputs), y, "a row alone");
            }
        }
    }
}
