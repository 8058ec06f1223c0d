//! Dropout (Srivastava et al. 2014), scaled at training time, drawn from our own generator so that runs repeat.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::op;
use crate::lengths::Lengths;
use crate::rng::{Counter, Rng};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// Each number of `x` is zero with probability `rate` and otherwise multiplied by `1 / (1 - rate)`.
pub fn dropout(x: &Tensor, rate: f32, rng: &mut Rng) -> Result<Tensor> {
    apply(x, rate, rng, None)
}

/// [`dropout`] with one mask for all frames of an utterance (Gal and Ghahramani 2016); `x` `[N, F]`, packed as `lengths`
/// says.
pub fn variational_dropout(x: &Tensor, lengths: &Lengths, rate: f32, rng: &mut Rng) -> Result<Tensor> {
    apply(x, rate, rng, Some(lengths.clone()))
}

fn apply(x: &Tensor, rate: f32, rng: &mut Rng, lengths: Option<Lengths>) -> Result<Tensor> {
    if rate <= 0.0 {
        return Ok(x.clone());
    }
    x.contiguous()?.apply_op1(Dropout { rate, bits: rng.counter(), lengths })
}

/// Numbers that take 16 bits each of one draw.
const DRAWS: usize = 4;
/// Numbers that a thread takes at a time.
const BLOCK: usize = 1 << 14;

/// The mask is never kept: forward and backward pass draw the same one.
struct Dropout {
    rate: f32,
    bits: Counter,
    /// Whose frames share a mask; nothing: every number has its own.
    lengths: Option<Lengths>,
}

impl Dropout {
    fn apply<T: WithDType>(&self, x: &[T]) -> Vec<T> {
        let Some(lengths) = &self.lengths else { return self.masked(x) };
        let width = x.len() / lengths.rows().max(1);
        let masks = self.masked(&vec![T::one(); lengths.batch() * width]);
        let mut y = x.to_vec();
        for t in 0..lengths.steps() {
            for b in 0..lengths.active(t) {
                let row = &mut y[lengths.row(t, b) * width..][..width];
                row.iter_mut().zip(&masks[b * width..]).for_each(|(y, mask)| *y *= *mask);
            }
        }
        y
    }

    /// A number is zeroed if its bits, of 65,536, lie below this.
    fn threshold(&self) -> u64 {
        (f64::from(self.rate) * 65536.0) as u64
    }

    /// What a number that stays is multiplied by.
    fn scale(&self) -> f32 {
        1.0 / (1.0 - self.rate)
    }

    fn masked<T: WithDType>(&self, x: &[T]) -> Vec<T> {
        let (threshold, keep) = (self.threshold(), [T::from_f64(f64::from(self.scale())), T::zero()]);
        let mut y = vec![T::zero(); x.len()];
        y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).enumerate().for_each(|(block, (y, x))| {
            for (n, (y, x)) in y.chunks_mut(DRAWS).zip(x.chunks(DRAWS)).enumerate() {
                let bits = self.bits.bits((block * (BLOCK / DRAWS) + n) as u64);
                for (i, (y, x)) in y.iter_mut().zip(x).enumerate() {
                    *y = *x * keep[usize::from((bits >> (16 * i)) & 0xffff < threshold)];
                }
            }
        });
        y
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(&self) -> gpu::Mask<'_> {
        let (threshold, lengths) = (self.threshold() as u32, self.lengths.as_ref());
        gpu::Mask { key: self.bits.key, threshold, scale: self.scale(), lengths }
    }
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = match x {
            CpuStorage::F32(_) => CpuStorage::F32(self.apply(op::slice(x, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.apply(op::slice(x, layout)?)),
            _ => bail!("dropout: only f32 and f64"),
        };
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> gpu::Output {
        self.on_gpu().forward(x, layout)
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (shape, dy) = (x.shape().clone(), dy.contiguous()?);
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return Ok(Some(self.on_gpu().backward(&dy)?));
        }
        Ok(Some(match x.dtype() {
            DType::F64 => op::from_vec(op::with_slice::<f64, _>(&dy, |dy| self.apply(dy))?, shape)?,
            _ => op::from_vec(op::with_slice::<f32, _>(&dy, |dy| self.apply(dy))?, shape)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn keeps_the_mean_and_zeroes_the_share() -> Result<()> {
        let x = Tensor::ones((100, 101), DType::F32, &Device::Cpu)?;
        let y = op::to_vec::<f32>(&dropout(&x, 0.25, &mut Rng::stream(1, "dropout", 0))?)?;
        let zeros = y.iter().filter(|v| **v == 0.0).count() as f32 / y.len() as f32;
        assert!((zeros - 0.25).abs() < 0.02, "{zeros}");
        assert!(y.iter().all(|v| *v == 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
        Ok(())
    }

    #[test]
    fn frames_of_an_utterance_share_a_mask() -> Result<()> {
        let lengths = Lengths::new(&[3, 2]);
        let x = Tensor::ones((5, 40), DType::F32, &Device::Cpu)?;
        let y = variational_dropout(&x, &lengths, 0.5, &mut Rng::stream(1, "dropout", 0))?.to_vec2::<f32>()?;
        let rows = |b: usize, count: usize| (0..count).map(|t| &y[lengths.row(t, b)]).collect::<Vec<_>>();
        let (first, second) = (rows(0, 3), rows(1, 2));
        assert!(first.iter().all(|row| *row == first[0]) && second[0] == second[1]);
        assert_ne!(first[0], second[0]);
        Ok(())
    }

    #[test]
    fn the_gradient_passes_where_the_number_did() -> Result<()> {
        let x = Var::from_tensor(&Tensor::ones((7, 3), DType::F64, &Device::Cpu)?)?;
        let y = dropout(&x, 0.5, &mut Rng::stream(1, "dropout", 0))?;
        let gradients = y.sum_all()?.backward()?;
        let Some(gradient) = gradients.get(&x) else { panic!("no gradient") };
        assert_eq!(gradient.to_vec2::<f64>()?, y.to_vec2::<f64>()?);
        Ok(())
    }
}
