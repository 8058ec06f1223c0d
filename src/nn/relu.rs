//! The rectifier `max(x, 0)` as one operation.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::op;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};

/// Negative numbers become zero.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Relu)
}

struct Relu;

fn forward<T: WithDType>(x: &[T]) -> Vec<T> {
    x.iter().map(|x| if *x > T::zero() { *x } else { T::zero() }).collect()
}

/// The gradient passes where the output is positive.
fn backward<T: WithDType>(y: &[T], dy: &[T]) -> Vec<T> {
    y.iter().zip(dy).map(|(y, dy)| if *y > T::zero() { *dy } else { T::zero() }).collect()
}

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = match x {
            CpuStorage::F32(_) => CpuStorage::F32(forward(op::slice(x, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(forward(op::slice(x, layout)?)),
            _ => bail!("relu: only f32 and f64"),
        };
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> gpu::Output {
        gpu::map("relu_forward", &[], x, layout)
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        #[cfg(feature = "cuda")]
        if y.device().is_cuda() {
            return Ok(Some(gpu::map_tensors("relu_backward", &[], [y, &dy])?));
        }
        Ok(Some(match y.dtype() {
            DType::F64 => op::from_vec(op::with_slices([y, &dy], |[y, dy]: [&[f64]; 2]| backward(y, dy))?, y.shape())?,
            _ => op::from_vec(op::with_slices([y, &dy], |[y, dy]: [&[f32]; 2]| backward(y, dy))?, y.shape())?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn passes_what_is_positive_and_its_gradient() -> Result<()> {
        let x = Var::from_tensor(&Tensor::new(&[-1.0_f32, 0.0, 2.0], &Device::Cpu)?)?;
        let y = relu(&x)?;
        assert_eq!(y.to_vec1::<f32>()?, [0.0, 0.0, 2.0]);
        let gradients = y.sqr()?.sum_all()?.backward()?;
        assert_eq!(gradients.get(&x).map(Tensor::to_vec1::<f32>).transpose()?, Some(vec![0.0, 0.0, 4.0]));
        Ok(())
    }
}
