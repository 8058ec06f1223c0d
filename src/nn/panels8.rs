//! Products with weights of 8 bits: what [`super::panels`] does with a quarter of the bytes, and integers in between.
//!
//! Every column of the weights is `s q`, q whole numbers from -127 to 127, and so is every row that comes, with a scale of
//! its own each time. The sums of the q are exact, and the same on every instruction set: AVX-512's VNNI adds four products
//! of bytes at once, AVX2 two of 16-bit numbers, and plain Rust does as AVX2 does.

use super::panels::{Onto, Rows};
use super::simd::Path;
use std::cell::RefCell;

/// Vectors of a panel, at most.
const VECTORS: usize = 4;
/// The largest q.
const LARGEST: f32 = 127.0;
/// Added to a small number, it leaves the nearest integer in the lowest bits.
const TO_INTEGER: f32 = 12_582_912.0;

/// Weights `[depth, columns]`: `[panels][groups of the depth][vectors of the panel][lanes][group]`.
pub struct Panels8 {
    lines: Lines,
    depth: usize,
    columns: usize,
    /// `[columns]`: the sum of the q.
    sums: Vec<i32>,
    /// `[columns]`: the scale.
    scales: Vec<f32>,
}

/// Vectors of weights, as an instruction set wants them.
enum Lines {
    #[cfg(target_arch = "x86_64")]
    Vnni(Vec<Bytes>),
    #[cfg(target_arch = "x86_64")]
    Avx2(Vec<Pairs>),
    Portable(Vec<Pairs>),
}

/// 16 lanes of four.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bytes([i8; 64]);

/// 8 lanes of two.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Pairs([i16; 16]);

impl Panels8 {
    /// Column c is row `row(c)` of `weights`, whose rows are `depth` long; zeros where there is none.
    pub fn of_rows(
        weights: &[f32],
        depth: usize,
        columns: usize,
        row: impl Fn(usize) -> Option<usize>,
        path: Path,
    ) -> Self {
        let (mut q, mut scales) = (vec![0_i8; columns * depth], vec![0.0; columns]);
        for (c, (q, scale)) in q.chunks_exact_mut(depth.max(1)).zip(&mut scales).enumerate() {
            if let Some(row) = row(c) {
                *scale = quantise(&weights[row * depth..][..depth], q, |q| q as i8);
            }
        }
        let sums = q.chunks_exact(depth.max(1)).map(|q| q.iter().map(|q| i32::from(*q)).sum()).collect();
        let lines = match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 if is_x86_feature_detected!("avx512vnni") => {
                Lines::Vnni(lines::<Vnni>(&q, depth, columns, Bytes([0; 64]), |line, at, q| line.0[at] = q))
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 | Path::Avx2 if is_x86_feature_detected!("avx2") => {
                Lines::Avx2(lines::<Avx2>(&q, depth, columns, Pairs([0; 16]), |line, at, q| line.0[at] = q.into()))
            }
            _ => {
                let fill = |line: &mut Pairs, at, q: i8| line.0[at] = q.into();
                Lines::Portable(lines::<Portable>(&q, depth, columns, Pairs([0; 16]), fill))
            }
        };
        Self { lines, depth, columns, sums, scales }
    }

    /// Writes `rows` times these weights to rows of `to`, `stride` apart.
    ///
    /// # Panics
    /// If the slices are too short: a mistake in this crate, not in its input.
    pub fn multiply(&self, rows: Rows<'_>, onto: Onto<'_>, (to, stride): (&mut [f32], usize)) {
        let Self { depth, columns, sums, scales, .. } = self;
        let product = Product { depth: *depth, columns: *columns, sums, scales, rows, onto, to, stride };
        match &self.lines {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `of_rows` makes such lines only where the processor has these instructions.
            Lines::Vnni(lines) => BYTES.with_borrow_mut(|scratch| unsafe { vnni(product, lines, scratch) }),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Lines::Avx2(lines) => SHORTS.with_borrow_mut(|scratch| unsafe { avx2(product, lines, scratch) }),
            Lines::Portable(lines) => SHORTS.with_borrow_mut(|scratch| {
                // SAFETY: plain Rust runs everywhere.
                unsafe { product.run::<Portable>(lines, scratch) }
            }),
        }
    }
}

thread_local! {
    /// Rows as whole numbers, kept from call to call.
    static BYTES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SHORTS: RefCell<Vec<i16>> = const { RefCell::new(Vec::new()) };
}

/// Lays out columns `[columns, depth]` of weights for an instruction set.
fn lines<K: Kernel>(
    q: &[i8],
    depth: usize,
    columns: usize,
    empty: K::Line,
    mut fill: impl FnMut(&mut K::Line, usize, i8),
) -> Vec<K::Line> {
    let (vectors, groups) = (columns.div_ceil(K::LANES), depth.div_ceil(K::GROUP));
    let mut lines = vec![empty; vectors * groups];
    for (c, q) in q.chunks_exact(depth.max(1)).enumerate() {
        let (vector, lane) = (c / K::LANES, c % K::LANES);
        let (first, place) = (vector / VECTORS * VECTORS, vector % VECTORS);
        let width = VECTORS.min(vectors - first);
        for (k, q) in q.iter().enumerate() {
            let line = &mut lines[first * groups + k / K::GROUP * width + place];
            fill(line, lane * K::GROUP + k % K::GROUP, *q);
        }
    }
    lines
}

/// Writes the nearest q of a row, as `number` holds it, and returns the scale.
#[inline(always)]
fn quantise<T>(row: &[f32], to: &mut [T], number: impl Fn(i32) -> T) -> f32 {
    // By sixteens, so that they can be vectors.
    let mut largest = [0.0_f32; 16];
    for some in row.chunks(largest.len()) {
        largest.iter_mut().zip(some).for_each(|(m, x)| *m = if x.abs() > *m { x.abs() } else { *m });
    }
    let largest = largest.into_iter().fold(0.0, f32::max);
    let to_q = if largest > 0.0 { LARGEST / largest } else { 0.0 };
    for (to, x) in to.iter_mut().zip(row) {
        let shifted = (x * to_q + TO_INTEGER).to_bits().cast_signed();
        *to = number((shifted - TO_INTEGER.to_bits().cast_signed()).clamp(-127, 127));
    }
    largest / LARGEST
}

/// Products of whole numbers on an instruction set.
trait Kernel {
    /// A vector of weights.
    type Line: Copy;
    /// A number of a row.
    type Number: Copy + Default;
    /// Columns of a vector.
    const LANES: usize;
    /// Numbers of a row that meet a column at once.
    const GROUP: usize;
    /// Rows of a tile, for as many vectors.
    const ROWS: [usize; VECTORS];
    /// What is added to a number of a row.
    const OFFSET: i32;

    /// A q of a row.
    fn number(q: i32) -> Self::Number;

    /// The sums of R rows and a panel; only the first [`Kernel::LANES`] of sixteen mean something.
    ///
    /// # Safety
    /// The processor must have the instructions; rows must be as long as the panel is deep.
    unsafe fn tile<const NV: usize, const R: usize>(
        panel: &[Self::Line],
        rows: [&[Self::Number]; R],
    ) -> [[[i32; 16]; NV]; R];
}

/// A product to be made.
struct Product<'a> {
    depth: usize,
    columns: usize,
    sums: &'a [i32],
    scales: &'a [f32],
    rows: Rows<'a>,
    onto: Onto<'a>,
    to: &'a mut [f32],
    stride: usize,
}

/// Where a tile is.
struct Tile<'a, K: Kernel> {
    panel: &'a [K::Line],
    /// The panel's first column.
    column: usize,
    /// The first row.
    row: usize,
    /// All rows, padded to whole groups, and their scales.
    numbers: &'a [K::Number],
    scales: &'a [f32],
}

impl Product<'_> {
    /// # Safety
    /// The processor must have the instructions.
    #[inline(always)]
    unsafe fn run<K: Kernel>(mut self, lines: &[K::Line], scratch: &mut Vec<K::Number>) {
        let (padded, groups) = (self.depth.next_multiple_of(K::GROUP), self.depth.div_ceil(K::GROUP));
        // Few enough that their numbers and scales stay near while panel after panel goes by.
        const ROWS: usize = 96;
        for first in (0..self.rows.count).step_by(ROWS) {
            let count = ROWS.min(self.rows.count - first);
            let mut scales = [0.0; ROWS];
            scratch.clear();
            scratch.resize(count * padded, K::number(0));
            for (b, (to, scale)) in scratch.chunks_exact_mut(padded.max(1)).zip(&mut scales).enumerate() {
                let row = &self.rows.data[(first + b) * self.rows.stride..][..self.depth];
                *scale = quantise(row, to, K::number);
            }
            let panels = lines.chunks(VECTORS * groups.max(1));
            for (panel, column) in panels.zip((0..).step_by(VECTORS * K::LANES)) {
                let vectors = panel.len() / groups.max(1);
                let mut row = 0;
                while row < count {
                    let tile = Tile {
                        panel,
                        column,
                        row: first + row,
                        numbers: &scratch[row * padded..],
                        scales: &scales[row..],
                    };
                    let rows = (count - row).min(K::ROWS[vectors - 1]);
                    // SAFETY: the caller's promise.
                    unsafe {
                        match vectors {
                            1 => self.tiles::<K, 1>(tile, rows),
                            2 => self.tiles::<K, 2>(tile, rows),
                            3 => self.tiles::<K, 3>(tile, rows),
                            _ => self.tiles::<K, VECTORS>(tile, rows),
                        }
                    }
                    row += rows;
                }
            }
        }
    }

    /// # Safety
    /// The processor must have the instructions.
    #[inline(always)]
    unsafe fn tiles<K: Kernel, const NV: usize>(&mut self, tile: Tile<'_, K>, rows: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match rows {
                1 => self.tile::<K, NV, 1>(tile),
                2 => self.tile::<K, NV, 2>(tile),
                3 => self.tile::<K, NV, 3>(tile),
                4 => self.tile::<K, NV, 4>(tile),
                5 => self.tile::<K, NV, 5>(tile),
                _ => self.tile::<K, NV, 6>(tile),
            }
        }
    }

    /// # Safety
    /// The processor must have the instructions.
    #[inline(always)]
    unsafe fn tile<K: Kernel, const NV: usize, const R: usize>(&mut self, tile: Tile<'_, K>) {
        let padded = self.depth.next_multiple_of(K::GROUP);
        let rows = std::array::from_fn(|i| &tile.numbers[i * padded..][..padded]);
        assert!(tile.panel.len() * K::GROUP == padded * NV, "panel and rows do not fit");
        // SAFETY: the caller's promise, and the assertion.
        let sums = unsafe { K::tile::<NV, R>(tile.panel, rows) };
        for (i, sums) in sums.iter().enumerate() {
            for (n, sums) in sums.iter().enumerate() {
                let column = tile.column + n * K::LANES;
                let len = K::LANES.min(self.columns - column);
                let to = &mut self.to[(tile.row + i) * self.stride + column..][..len];
                let (offsets, scales) = (&self.sums[column..][..len], &self.scales[column..][..len]);
                let value = |n: usize| (sums[n] - K::OFFSET * offsets[n]) as f32 * (tile.scales[i] * scales[n]);
                match self.onto {
                    Onto::Zero => to.iter_mut().enumerate().for_each(|(n, to)| *to = value(n)),
                    Onto::Sum => to.iter_mut().enumerate().for_each(|(n, to)| *to += value(n)),
                    Onto::Bias(bias) => {
                        let bias = &bias[column..][..len];
                        to.iter_mut().enumerate().for_each(|(n, to)| *to = bias[n] + value(n));
                    }
                }
            }
        }
    }
}

/// A kernel of x86 intrinsics: what loads, fills and stores a vector of its width, and what adds the products of a group.
#[cfg(target_arch = "x86_64")]
macro_rules! x86_kernel {
    (
        $name:ident of $Line:ident and $Number:ty, $lanes:literal lanes, groups of $group:literal, tiles of $rows:expr,
        offset $offset:literal, $V:ident, $zero:ident, $load:ident, $fill:ident, $store:ident,
        |$sum:ident, $x:ident, $w:ident| $add:expr
    ) => {
        struct $name;

        impl Kernel for $name {
            type Line = $Line;
            type Number = $Number;
            const LANES: usize = $lanes;
            const GROUP: usize = $group;
            const ROWS: [usize; VECTORS] = $rows;
            const OFFSET: i32 = $offset;

            #[inline(always)]
            fn number(q: i32) -> $Number {
                (q + Self::OFFSET) as $Number
            }

            #[inline(always)]
            unsafe fn tile<const NV: usize, const R: usize>(
                panel: &[$Line],
                rows: [&[$Number]; R],
            ) -> [[[i32; 16]; NV]; R] {
                use std::arch::x86_64::*;
                let mut out = [[[0; 16]; NV]; R];
                // SAFETY: the caller's promise: the instructions are there, and k is below the depth of the panel and of the
                // rows. A line is as wide as a vector and aligned to its width; a group of a row is four bytes; sixteen sums
                // are as wide as a vector or wider.
                unsafe {
                    let mut sums = [[$zero(); NV]; R];
                    for k in 0..panel.len() / NV {
                        let mut w = [$zero(); NV];
                        for (v, w) in w.iter_mut().enumerate() {
                            *w = $load(panel.as_ptr().add(k * NV + v).cast::<$V>());
                        }
                        for (row, sums) in rows.iter().zip(&mut sums) {
                            let $x = $fill(row.as_ptr().add($group * k).cast::<i32>().read_unaligned());
                            for (sum, $w) in sums.iter_mut().zip(w) {
                                let $sum = *sum;
                                *sum = $add;
                            }
                        }
                    }
                    for (out, sums) in out.iter_mut().zip(sums) {
                        for (out, sum) in out.iter_mut().zip(sums) {
                            $store(out.as_mut_ptr().cast(), sum);
                        }
                    }
                }
                out
            }
        }
    };
}

// One factor of VNNI's products must be without a sign: hence the offset.
#[cfg(target_arch = "x86_64")]
x86_kernel!(
    Vnni of Bytes and u8, 16 lanes, groups of 4, tiles of [6; VECTORS], offset 128,
    __m512i, _mm512_setzero_si512, _mm512_load_si512, _mm512_set1_epi32, _mm512_storeu_si512,
    |sum, x, w| _mm512_dpbusd_epi32(sum, x, w)
);

#[cfg(target_arch = "x86_64")]
x86_kernel!(
    Avx2 of Pairs and i16, 8 lanes, groups of 2, tiles of [6, 6, 4, 3], offset 0,
    __m256i, _mm256_setzero_si256, _mm256_load_si256, _mm256_set1_epi32, _mm256_storeu_si256,
    |sum, x, w| _mm256_add_epi32(sum, _mm256_madd_epi16(x, w))
);

/// # Safety
/// The processor must have AVX-512 VNNI.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn vnni(product: Product<'_>, lines: &[Bytes], scratch: &mut Vec<u8>) {
    // SAFETY: the caller's promise.
    unsafe { product.run::<Vnni>(lines, scratch) }
}

/// # Safety
/// The processor must have AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(product: Product<'_>, lines: &[Pairs], scratch: &mut Vec<i16>) {
    // SAFETY: the caller's promise.
    unsafe { product.run::<Avx2>(lines, scratch) }
}

struct Portable;

impl Kernel for Portable {
    type Line = Pairs;
    type Number = i16;
    const LANES: usize = 8;
    const GROUP: usize = 2;
    const ROWS: [usize; VECTORS] = [6, 6, 4, 3];
    const OFFSET: i32 = 0;

    #[inline(always)]
    fn number(q: i32) -> i16 {
        q as i16
    }

    #[inline(always)]
    unsafe fn tile<const NV: usize, const R: usize>(panel: &[Pairs], rows: [&[i16]; R]) -> [[[i32; 16]; NV]; R] {
        let mut sums = [[[0; 16]; NV]; R];
        for (k, lines) in panel.chunks_exact(NV).enumerate() {
            for (row, sums) in rows.iter().zip(&mut sums) {
                let x = [row[2 * k], row[2 * k + 1]].map(i32::from);
                for (Pairs(line), sums) in lines.iter().zip(sums) {
                    for (sum, w) in sums.iter_mut().zip(line.chunks_exact(2)) {
                        *sum += x[0] * i32::from(w[0]) + x[1] * i32::from(w[1]);
                    }
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn products_are_near_and_the_same_on_every_path_and_for_every_row_alone() {
        for (count, depth, columns) in [(1, 1, 1), (7, 5, 3), (200, 33, 40), (13, 64, 97), (5, 250, 130), (1, 2, 64)] {
            let draw = |count: usize, purpose: &str| {
                let mut rng = Rng::stream(1, purpose, 0);
                (0..count).map(|_| rng.normal()).collect::<Vec<f32>>()
            };
            let (x, w, b) = (draw(count * depth, "x"), draw(depth * columns, "w"), draw(columns, "b"));
            let run = |path: Path, x: &[f32], count: usize| {
                // Columns the other way round, and one that is nothing.
                let row = |c: usize| (c < columns).then(|| columns - 1 - c);
                let panels = Panels8::of_rows(&w, depth, columns + 1, row, path);
                let mut y = vec![0.0; count * (columns + 1)];
                let bias: Vec<f32> = b.iter().copied().chain([0.5]).collect();
                panels.multiply(Rows { data: x, stride: depth, count }, Onto::Bias(&bias), (&mut y, columns + 1));
                y
            };
            let paths = Path::available();
            let first = run(paths[0], &x, count);
            for path in paths {
                assert_eq!(run(path, &x, count), first, "{path:?}");
            }
            for (x, y) in x.chunks(depth).zip(first.chunks(columns + 1)) {
                assert_eq!(run(Path::current(), x, 1), y, "a row alone");
                assert_eq!(y[columns], 0.5);
                for (c, y) in y[..columns].iter().enumerate() {
                    let w = &w[(columns - 1 - c) * depth..][..depth];
                    let truth = b[c] + w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
                    // Rounding moves either factor by half a step at most, some 0.015, and on average by half of that; the
                    // errors of a sum add up like a random walk, here to less than five times their usual size.
                    let bound = 0.06 * (depth as f32).sqrt();
                    assert!((y - truth).abs() < bound, "{y} instead of {truth}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_does_no_harm() {
        let panels = Panels8::of_rows(&[1.0, f32::NAN, f32::INFINITY, 0.0], 2, 2, Some, Path::current());
        let mut y = [0.0; 2];
        panels.multiply(Rows { data: &[f32::NAN, f32::INFINITY], stride: 2, count: 1 }, Onto::Zero, (&mut y, 2));
    }
}
