//! Products of rows of numbers with weights that were packed into panels, in f32: what the recurrent loops and the affine
//! maps are made of.
//!
//! A panel is a few vectors wide and holds its columns of the weights row after row, so that a product reads it front to
//! back while the sums of a tile of rows stay in registers. Each sum runs over the depth in order, whatever rows share
//! the tile: unlike a general matrix product's, a row's results depend on that row alone.

use super::simd::{Packed, Path, load, mul_add, store};
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Vectors of columns in a panel of a product down the rows of R.
pub const COLUMNS: usize = 4;

/// Rows whose sums are kept in registers at once, for `vectors` vectors a row.
pub const fn tile_rows(registers: usize, vectors: usize) -> usize {
    let rows = (registers - registers / 4) / if vectors > 0 { vectors } else { 1 };
    if rows > 6 {
        6
    } else if rows < 1 {
        1
    } else {
        rows
    }
}

/// Rows of numbers, as a product reads them.
#[derive(Clone, Copy)]
pub struct TileRows<'a> {
    /// The first row starts here.
    pub data: &'a [f32],
    /// From one row to the next.
    pub stride: usize,
    /// Numbers of a row.
    pub depth: usize,
}

impl<'a> TileRows<'a> {
    /// N of them, from row `b` on.
    #[inline(always)]
    pub fn tile<const N: usize>(self, b: usize) -> [&'a [f32]; N] {
        std::array::from_fn(|i| &self.data[(b + i) * self.stride..][..self.depth])
    }
}

/// The first `$count` of `$rows`, a [`TileRows`], times `$panel`, `$NV` vectors wide: calls `$body` with the number of each
/// row and its sums. A macro, since a closure would not become part of a function compiled for an instruction set.
macro_rules! for_products {
    ($simd:expr, $S:ty, $NV:expr, $panel:expr, $rows:expr, $count:expr, |$b:ident, $sums:ident| $body:expr) => {{
        let (panel, rows, count) = ($panel, $rows, $count);
        let mut first = 0;
        while first < count {
            match (count - first).min(tile_rows(<$S>::REGISTER_COUNT, $NV)) {
                1 => for_products!(@tile 1, $simd, $S, $NV, panel, rows, first, |$b, $sums| $body),
                2 => for_products!(@tile 2, $simd, $S, $NV, panel, rows, first, |$b, $sums| $body),
                3 => for_products!(@tile 3, $simd, $S, $NV, panel, rows, first, |$b, $sums| $body),
                4 => for_products!(@tile 4, $simd, $S, $NV, panel, rows, first, |$b, $sums| $body),
                5 => for_products!(@tile 5, $simd, $S, $NV, panel, rows, first, |$b, $sums| $body),
                _ => for_products!(@tile 6, $simd, $S, $NV, panel, rows, first, |$b, $sums| $body),
            }
        }
    }};
    (@tile $R:literal, $simd:expr, $S:ty, $NV:expr, $panel:ident, $rows:ident, $first:ident, |$b:ident, $sums:ident| $body:expr) => {{
        let all = panel_product::<$S, { $NV }, $R>($simd, $panel, $rows.tile($first), $rows.depth);
        for (i, $sums) in all.into_iter().enumerate() {
            let $b = $first + i;
            $body;
        }
        $first += $R;
    }};
}
pub(super) use for_products;

/// `R` rows of `depth` numbers times a packed panel of `NV` vectors of columns: `[depth][NV]`.
///
/// Each sum runs over the depth in order, whatever `R` is: a row's result does not depend on its neighbours.
#[inline(always)]
// Two plain counted loops around one multiply-add say best what is to be unrolled.
#[allow(clippy::needless_range_loop)]
pub fn panel_product<S: Simd, const NV: usize, const R: usize>(
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

/// Weights `[columns, depth]` as a product along their rows reads them: `[panels][depth][vectors of the panel][lanes]`,
/// [`COLUMNS`] vectors a panel, in the last one as many as there are.
pub struct Panels {
    packed: Packed,
    depth: usize,
    columns: usize,
}

impl Panels {
    /// Packs the rows of `weights` that `row` names, for vectors of so many lanes.
    pub fn pack(weights: &[f32], depth: usize, columns: usize, row: impl Fn(usize) -> usize, lanes: usize) -> Self {
        let mut packed = Packed::zeros(columns.next_multiple_of(lanes) * depth);
        let size = COLUMNS * lanes * depth;
        for (panel, first) in packed.as_mut_slice().chunks_mut(size.max(1)).zip((0..).step_by(COLUMNS * lanes)) {
            let width = panel.len() / depth;
            for c in 0..width.min(columns - first) {
                let from = &weights[row(first + c) * depth..][..depth];
                panel[c..].iter_mut().step_by(width).zip(from).for_each(|(to, w)| *to = *w);
            }
        }
        Self { packed, depth, columns }
    }

    /// The first `count` of `rows` times these weights, transposed, and `bias` added, to rows of `to`, `stride` apart.
    #[inline(always)]
    pub fn affine<S: Simd>(
        &self,
        simd: S,
        (rows, count): (TileRows<'_>, usize),
        bias: &[f32],
        (to, stride): (&mut [f32], usize),
    ) {
        let all = S::as_simd_f32s(self.packed.as_slice()).0;
        let panels = all.chunks(COLUMNS * self.depth.max(1));
        for (panel, first) in panels.zip((0..).step_by(COLUMNS * S::F32_LANES)) {
            macro_rules! times {
                ($NV:literal) => {
                    for_products!(simd, S, $NV, panel, rows, count, |b, sums| {
                        for (n, sum) in sums.into_iter().enumerate() {
                            let column = first + n * S::F32_LANES;
                            let len = S::F32_LANES.min(self.columns - column);
                            let bias = load(simd, &bias[column..][..len]);
                            store(simd, &mut to[b * stride + column..][..len], simd.add_f32s(sum, bias));
                        }
                    })
                };
            }
            match panel.len() / self.depth.max(1) {
                1 => times!(1),
                2 => times!(2),
                3 => times!(3),
                _ => times!(4),
            }
        }
    }
}

/// `x W^T + b`: `x` `[N, inputs]`, `w` `[O, inputs]`, `b` `[O]`, by all threads.
pub fn affine(x: &[f32], w: &[f32], b: &[f32], inputs: usize) -> Vec<f32> {
    struct Chunk<'a>(&'a [f32], &'a Panels, &'a [f32], &'a mut [f32]);
    impl WithSimd for Chunk<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(x, panels, b, y) = self;
            let rows = TileRows { data: x, stride: panels.depth, depth: panels.depth };
            panels.affine(simd, (rows, y.len() / b.len()), b, (y, b.len()));
        }
    }
    let (path, rows) = (Path::current(), x.len().checked_div(inputs).unwrap_or(0));
    let panels = Panels::pack(w, inputs, b.len(), |c| c, path.lanes());
    let at_once = rows.div_ceil(rayon::current_num_threads()).clamp(MIN_ROWS, MAX_ROWS);
    let mut y = vec![0.0; rows * b.len()];
    if !y.is_empty() {
        let chunks = y.par_chunks_mut(at_once * b.len()).zip(x.par_chunks(at_once * inputs));
        chunks.for_each(|(y, x)| path.dispatch(Chunk(x, &panels, b, y)));
    }
    y
}

/// Rows of an affine map that one thread takes at a time: enough to be worth it, and so few that they stay in its cache
/// while panel after panel goes by.
const MIN_ROWS: usize = 48;
const MAX_ROWS: usize = 384;

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
