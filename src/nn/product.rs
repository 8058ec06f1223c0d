//! Dense matrix products on plain slices, by the `gemm` crate, with bounds checked once per product.
//!
//! A result does not depend on the number of threads: the crate splits rows and columns among them, never a sum.

use gemm::Parallelism;

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// A row-major matrix `[rows, cols]` whose rows start `stride` numbers apart.
    ///
    /// # Panics
    /// If the slice is too short: a mistake in this crate, not in its input.
    pub fn strided(data: &'a [T], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(rows == 0 || cols == 0 || (rows - 1) * stride + cols <= data.len(), "matrix outside its slice");
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// A row-major matrix `[rows, cols]` without gaps.
    pub fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// A row; of a matrix that is no transpose.
    pub fn row(self, row: usize) -> &'a [T] {
        &self.data[row * self.row_stride..][..self.cols]
    }

    /// The transpose.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }
}

/// Who works on a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// The calling thread: the others have work of their own.
    Caller,
    /// All threads of the pool.
    Pool,
}

impl Workers {
    /// For each of `jobs` that run side by side.
    pub fn beside(jobs: usize) -> Self {
        if jobs < rayon::current_num_threads() { Self::Pool } else { Self::Caller }
    }
}

/// Numbers that have a product: f32 and f64.
pub trait Element: Copy + Send + Sync + 'static {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
}
impl Element for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}
impl Element for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// `lhs rhs`, row-major `[lhs.rows, rhs.cols]`, by all threads.
///
/// # Panics
/// If the shapes do not fit: a mistake in this crate, not in its input.
pub fn product<T: Element>(lhs: View<'_, T>, rhs: View<'_, T>) -> Vec<T> {
    product_by(Workers::Pool, lhs, rhs)
}

/// [`product`] by some of them.
pub fn product_by<T: Element>(workers: Workers, lhs: View<'_, T>, rhs: View<'_, T>) -> Vec<T> {
    let len = lhs.rows * rhs.cols;
    let mut dst = Vec::with_capacity(len);
    if len > 0 {
        // SAFETY: the buffer has room for `len` numbers. Without accumulation every one of them is written and none read,
        // also where the sums have no term; only then is their number set.
        unsafe {
            multiply(workers, dst.as_mut_ptr(), lhs, rhs, false);
            dst.set_len(len);
        }
    }
    dst
}

/// `dst += lhs rhs`, by all threads; `dst` is row-major `[lhs.rows, rhs.cols]`.
///
/// # Panics
/// If the shapes do not fit: a mistake in this crate, not in its input.
pub fn add_product<T: Element>(dst: &mut [T], lhs: View<'_, T>, rhs: View<'_, T>) {
    assert!(dst.len() == lhs.rows * rhs.cols, "shapes of a product do not fit");
    if !dst.is_empty() {
        // SAFETY: the slice has as many numbers as the product, and, being borrowed mutably, overlaps neither operand.
        unsafe { multiply(Workers::Pool, dst.as_mut_ptr(), lhs, rhs, true) }
    }
}

/// `dst = lhs rhs`, or `dst += lhs rhs` with `accumulate`.
///
/// # Safety
/// `dst` must have room for `lhs.rows * rhs.cols` numbers that nobody else uses; with `accumulate` they must be there.
unsafe fn multiply<T: Element>(workers: Workers, dst: *mut T, lhs: View<'_, T>, rhs: View<'_, T>, accumulate: bool) {
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    assert!(k == rhs.rows, "shapes of a product do not fit");
    let parallelism = match workers {
        Workers::Caller => Parallelism::None,
        Workers::Pool => Parallelism::Rayon(rayon::current_num_threads()),
    };
    // gemm's "alpha" scales what is in dst already, "beta" the product.
    // SAFETY: View keeps its matrix inside its slice, and the caller answers for dst.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst,
            1,
            n as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplies_views() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        let mut out = [1.0_f64; 4];
        add_product(&mut out, View::new(&a, 2, 3), View::new(&b, 3, 2));
        assert_eq!(out, [6.0, 12.0, 15.0, 24.0]);
        let a = a.map(|x| x as f32);
        let out = product(View::new(&a, 2, 3).t(), View::new(&a, 2, 3));
        assert_eq!(out, [17.0, 22.0, 27.0, 22.0, 29.0, 36.0, 27.0, 36.0, 45.0]);
        assert_eq!(product(View::new(&a[..0], 2, 0), View::new(&a[..0], 0, 2)), [0.0; 4], "sums of nothing");
    }
}
