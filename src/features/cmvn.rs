//! Mean and variance normalisation.
#![forbid(unsafe_code)]

use super::Features;

/// What is taken off and multiplied, by column.
#[derive(Clone, Debug, PartialEq)]
pub struct Cmvn {
    /// Means.
    pub mean: Vec<f32>,
    /// One over the standard deviations.
    pub inv_std: Vec<f32>,
}

impl Cmvn {
    /// Leaves features of `dim` columns as they are.
    pub fn identity(dim: usize) -> Self {
        Self { mean: vec![0.0; dim], inv_std: vec![1.0; dim] }
    }

    /// Normalises in place.
    pub fn apply(&self, features: &mut Features) {
        for row in features.data.chunks_exact_mut(features.dim.max(1)) {
            for ((x, mean), scale) in row.iter_mut().zip(&self.mean).zip(&self.inv_std) {
                *x = (*x - mean) * scale;
            }
        }
    }
}

/// Sums from which a [`Cmvn`] is made.
#[derive(Clone, Debug)]
pub struct CmvnAccumulator {
    count: u64,
    sum: Vec<f64>,
    square: Vec<f64>,
}

impl CmvnAccumulator {
    /// Nothing seen yet.
    pub fn new(dim: usize) -> Self {
        Self { count: 0, sum: vec![0.0; dim], square: vec![0.0; dim] }
    }

    /// As if `frames` frames had been seen that `cmvn` was made of.
    pub fn from_prior(cmvn: &Cmvn, frames: u64) -> Self {
        let columns = || cmvn.mean.iter().zip(&cmvn.inv_std).map(|(m, s)| (f64::from(*m), f64::from(*s)));
        let count = frames as f64;
        Self {
            count: frames,
            sum: columns().map(|(mean, _)| count * mean).collect(),
            square: columns().map(|(mean, inv_std)| count * (mean * mean + inv_std.powi(-2))).collect(),
        }
    }

    /// Adds all frames.
    pub fn add(&mut self, features: &Features) {
        self.count += features.frames as u64;
        for row in features.rows() {
            for ((x, sum), square) in row.iter().zip(&mut self.sum).zip(&mut self.square) {
                *sum += f64::from(*x);
                *square += f64::from(*x) * f64::from(*x);
            }
        }
    }

    /// Adds what another one has seen.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum.iter_mut().zip(&other.sum).for_each(|(a, b)| *a += b);
        self.square.iter_mut().zip(&other.square).for_each(|(a, b)| *a += b);
    }

    /// Mean and deviation of what was seen; a column that never changes is only shifted.
    pub fn finish(&self) -> Cmvn {
        let count = self.count.max(1) as f64;
        let mean: Vec<f64> = self.sum.iter().map(|s| s / count).collect();
        let scale = |square: &f64, mean: &f64| {
            let variance = square / count - mean * mean;
            if variance > 1e-10 { variance.sqrt().recip() as f32 } else { 1.0 }
        };
        Cmvn {
            inv_std: self.square.iter().zip(&mean).map(|(s, m)| scale(s, m)).collect(),
            mean: mean.iter().map(|m| *m as f32).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prior_comes_back() {
        let cmvn = Cmvn { mean: vec![3.0, -1.0], inv_std: vec![0.5, 4.0] };
        let again = CmvnAccumulator::from_prior(&cmvn, 100).finish();
        let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close(&again.mean, &cmvn.mean) && close(&again.inv_std, &cmvn.inv_std));
    }

    #[test]
    fn normalised_features_have_mean_zero_and_variance_one() {
        let mut features = Features { data: vec![1.0, 5.0, 3.0, 5.0, 5.0, 5.0], frames: 3, dim: 2 };
        let mut sums = CmvnAccumulator::new(2);
        sums.add(&features);
        sums.finish().apply(&mut features);
        let expected = [-1.5_f32.sqrt(), 0.0, 0.0, 0.0, 1.5_f32.sqrt(), 0.0];
        assert!(features.data.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
