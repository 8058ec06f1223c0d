//! Noise on weights while training (Graves 2011, 2013): a network that bears it generalises better.
#![forbid(unsafe_code)]

use crate::rng::Rng;
use candle_core::{Result, Tensor};

/// Each number of `w` moved by noise of this standard deviation; the gradient is that of `w`.
///
/// The noise is the sum of four uniform numbers, which is as good as Gaussian and takes one draw.
pub fn weight_noise(w: &Tensor, deviation: f32, rng: &mut Rng) -> Result<Tensor> {
    // Four uniform numbers of 16 bits have the variance 4 (2^16)^2 / 12.
    let scale = deviation * 3.0_f32.sqrt() / 65536.0;
    let mut draw = || {
        let bits = rng.next_u64();
        let sum = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum::<u64>();
        (sum as f32 - 2.0 * 65535.0) * scale
    };
    let noise = (0..w.elem_count()).map(|_| draw()).collect::<Vec<_>>();
    w + Tensor::from_vec(noise, w.shape(), w.device())?.to_dtype(w.dtype())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op;
    use candle_core::{DType, Device};

    #[test]
    fn has_the_deviation_and_no_mean() -> Result<()> {
        let w = Tensor::zeros((100, 100), DType::F32, &Device::Cpu)?;
        let noise: Vec<f32> = op::to_vec(&weight_noise(&w, 0.5, &mut Rng::stream(1, "noise", 0))?)?;
        let mean = noise.iter().sum::<f32>() / 1e4;
        let deviation = (noise.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e4).sqrt();
        assert!(mean.abs() < 0.02 && (deviation - 0.5).abs() < 0.02, "{mean} {deviation}");
        Ok(())
    }
}
