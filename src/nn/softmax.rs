//! Softmax of every row as one operation.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::op;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// `x` `[N, F]` to `exp(x) / sum exp(x)` in every row.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Softmax)
}

struct Softmax;

fn forward<T: WithDType>(x: &[T], width: usize) -> Vec<T> {
    let mut y = vec![T::zero(); x.len()];
    let width = width.max(1);
    y.par_chunks_mut(width).zip(x.par_chunks(width)).for_each(|(y, x)| {
        let high = x.iter().fold(f64::NEG_INFINITY, |high, x| high.max(x.to_f64()));
        y.iter_mut().zip(x).for_each(|(y, x)| *y = T::from_f64((x.to_f64() - high).exp()));
        let sum = y.iter().fold(T::zero(), |sum, y| sum + *y);
        y.iter_mut().for_each(|y| *y /= sum);
    });
    y
}

fn backward<T: WithDType>(y: &[T], dy: &[T], width: usize) -> Vec<T> {
    let mut dx = vec![T::zero(); y.len()];
    let width = width.max(1);
    let rows = dx.par_chunks_mut(width).zip(y.par_chunks(width).zip(dy.par_chunks(width)));
    rows.for_each(|(dx, (y, dy))| {
        let sum = y.iter().zip(dy).fold(T::zero(), |sum, (y, dy)| sum + *y * *dy);
        dx.iter_mut().zip(y.iter().zip(dy)).for_each(|(dx, (y, dy))| *dx = *y * (*dy - sum));
    });
    dx
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.shape().dims2()?.1;
        let y = match x {
            CpuStorage::F32(_) => CpuStorage::F32(forward(op::slice(x, layout)?, width)),
            CpuStorage::F64(_) => CpuStorage::F64(forward(op::slice(x, layout)?, width)),
            _ => bail!("softmax: only f32 and f64"),
        };
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> gpu::Output {
        gpu::softmax(x, layout)
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (width, dy) = (y.dim(1)?, dy.contiguous()?);
        #[cfg(feature = "cuda")]
        if y.device().is_cuda() {
            return Ok(Some(gpu::softmax_backward(y, &dy)?));
        }
        Ok(Some(match y.dtype() {
            DType::F64 => {
                op::from_vec(op::with_slices([y, &dy], |[y, dy]: [&[f64]; 2]| backward(y, dy, width))?, y.shape())?
            }
            _ => op::from_vec(op::with_slices([y, &dy], |[y, dy]: [&[f32]; 2]| backward(y, dy, width))?, y.shape())?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, Var};

    #[test]
    fn equals_candles_own_and_its_gradient() -> Result<()> {
        let x: Vec<f64> = (0..12).map(|i| (i as f64 * 0.7).sin() * 5.0).collect();
        let x = Var::from_tensor(&Tensor::from_vec(x, (3, 4), &Device::Cpu)?)?;
        let (ours, theirs) = (softmax(&x)?, candle_nn::ops::softmax(&x, D::Minus1)?);
        let close = |a: &Tensor, b: &Tensor| -> Result<bool> {
            Ok((a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()? < 1e-12)
        };
        assert!(close(&ours, &theirs)?);
        let (a, b) =
            ((&ours * x.as_tensor())?.sum_all()?.backward()?, (&theirs * x.as_tensor())?.sum_all()?.backward()?);
        let (Some(a), Some(b)) = (a.get(&x), b.get(&x)) else { panic!("no gradient") };
        assert!(close(a, b)?);
        Ok(())
    }
}
