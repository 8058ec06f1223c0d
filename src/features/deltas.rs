//! Time derivatives of features, as Kaldi computes them (feat/feature-functions.cc, window 2).
#![forbid(unsafe_code)]

use super::Features;

/// The regression over two frames on either side: `sum_j j x[t + j] / sum_j j^2`.
const FIRST: [f32; 5] = [-0.2, -0.1, 0.0, 0.1, 0.2];

/// Frames on either side that one order of derivatives looks at.
pub const REACH: usize = FIRST.len() / 2;

/// The weights of the `order`-th derivative: `FIRST` convolved with itself.
fn scales(order: usize) -> Vec<f32> {
    (0..order).fold(vec![1.0], |scales, _| {
        let mut next = vec![0.0; scales.len() + FIRST.len() - 1];
        for (i, a) in scales.iter().enumerate() {
            for (j, b) in FIRST.iter().enumerate() {
                next[i + j] += a * b;
            }
        }
        next
    })
}

/// Appends derivatives up to `order` to every frame; frames beyond the ends count as copies of the first and the last.
pub fn add_deltas(features: &Features, order: usize) -> Features {
    let (dim, frames) = (features.dim, features.frames);
    let mut data = vec![0.0; frames * dim * (order + 1)];
    for order_now in 0..=order {
        let scales = scales(order_now);
        let reach = scales.len() / 2;
        for t in 0..frames {
            let out = &mut data[(t * (order + 1) + order_now) * dim..][..dim];
            for (k, scale) in scales.iter().enumerate().filter(|(_, scale)| **scale != 0.0) {
                let from = (t + k).saturating_sub(reach).min(frames - 1);
                let row = &features.data[from * dim..(from + 1) * dim];
                out.iter_mut().zip(row).for_each(|(o, x)| *o += scale * x);
            }
        }
    }
    Features { data, frames, dim: dim * (order + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_has_slope_one_and_no_curvature() {
        let ramp = Features { data: (0..20).map(|i| i as f32).collect(), frames: 20, dim: 1 };
        let out = add_deltas(&ramp, 2);
        assert_eq!(out.dim, 3);
        let middle = &out.data[10 * 3..11 * 3];
        assert!((middle[0] - 10.0).abs() < 1e-5 && (middle[1] - 1.0).abs() < 1e-5 && middle[2].abs() < 1e-5);
        // At the start x[-1] = x[-2] = x[0]: (0.1 x 1 + 0.2 x 2).
        assert!((out.data[1] - 0.5).abs() < 1e-6);
    }
}
