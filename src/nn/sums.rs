//! Sums down the columns of a matrix: the gradient of whatever is added to, or scales, every row alike.
#![forbid(unsafe_code)]

use candle_core::WithDType;

/// Rows whose sums are added up in the numbers' own precision before they join the total.
const ROWS: usize = 64;

/// The sum of each column of a row-major matrix.
pub fn column_sums<T: WithDType>(matrix: &[T], columns: usize) -> Vec<T> {
    let mut sums = vec![0.0_f64; columns];
    let mut block_sums = vec![T::zero(); columns];
    for block in matrix.chunks(ROWS * columns.max(1)) {
        block_sums.fill(T::zero());
        for row in block.chunks_exact(columns) {
            block_sums.iter_mut().zip(row).for_each(|(s, v)| *s += *v);
        }
        sums.iter_mut().zip(&block_sums).for_each(|(s, v)| *s += v.to_f64());
    }
    sums.into_iter().map(T::from_f64).collect()
}
