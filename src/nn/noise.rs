//! Noise on weights while training (Graves 2011, 2013): a network that bears it generalises better.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::op;
use crate::rng::{Counter, Rng};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};

/// Each number of `w` moved by noise of this standard deviation; the gradient is that of `w`.
///
/// The noise is the sum of four uniform numbers, which is as good as Gaussian and takes one draw.
pub fn weight_noise(w: &Tensor, deviation: f32, rng: &mut Rng) -> Result<Tensor> {
    // Four uniform numbers of 16 bits have the variance 4 (2^16)^2 / 12.
    let scale = deviation * 3.0_f32.sqrt() / 65536.0;
    w.contiguous()?.apply_op1(Noise { scale, bits: rng.counter() })
}

struct Noise {
    scale: f32,
    bits: Counter,
}

impl Noise {
    fn add<T: WithDType>(&self, w: &[T]) -> Vec<T> {
        let noise = |n: usize| {
            let bits = self.bits.bits(n as u64);
            let sum = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum::<u64>();
            T::from_f64(f64::from((sum as f32 - 2.0 * 65535.0) * self.scale))
        };
        w.iter().enumerate().map(|(n, w)| *w + noise(n)).collect()
    }
}

impl CustomOp1 for Noise {
    fn name(&self) -> &'static str {
        "weight-noise"
    }

    fn cpu_fwd(&self, w: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = match w {
            CpuStorage::F32(_) => CpuStorage::F32(self.add(op::slice(w, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.add(op::slice(w, layout)?)),
            _ => bail!("weight-noise: only f32 and f64"),
        };
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, w: &CudaStorage, layout: &Layout) -> gpu::Output {
        gpu::map("add_noise", &[&self.bits.key, &self.scale], w, layout)
    }

    fn bwd(&self, _w: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(dy.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
