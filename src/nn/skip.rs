//! Connections around a layer, and between its directions: numbers that are added up.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::linear::linear;
use super::op;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor, WithDType, bail};
use candle_nn::ops::sigmoid;
use rayon::prelude::*;

/// `x + y` (He et al. 2016), which are alike in shape.
pub fn residual(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&y.contiguous()?, Sum)
}

/// `t y + (1 - t) x` with `t = σ(x w^T + b)` (Srivastava et al. 2015): `w` `[F, F]`, `b` `[F]`.
pub fn highway(x: &Tensor, y: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    let t = sigmoid(&linear(x, w, b)?)?;
    x + (t * (y - x)?)?
}

/// `x` `[N, 2 F]` to `[N, F]`: the halves of every row, which are a layer's directions, added up.
pub fn sum_directions(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Halves)
}

struct Sum;

/// Numbers that a thread takes at a time.
const BLOCK: usize = 1 << 14;

fn sum<T: WithDType>(x: &[T], y: &[T]) -> Vec<T> {
    let mut z = x.to_vec();
    z.par_chunks_mut(BLOCK).zip(y.par_chunks(BLOCK)).for_each(|(z, y)| z.iter_mut().zip(y).for_each(|(z, y)| *z += *y));
    z
}

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, y: &CpuStorage, ly: &Layout) -> Result<(CpuStorage, Shape)> {
        if lx.shape() != ly.shape() {
            bail!("residual: {:?} and {:?}", lx.dims(), ly.dims())
        }
        let z = match x {
            CpuStorage::F32(_) => CpuStorage::F32(sum(op::slice(x, lx)?, op::slice(y, ly)?)),
            CpuStorage::F64(_) => CpuStorage::F64(sum(op::slice(x, lx)?, op::slice(y, ly)?)),
            _ => bail!("residual: only f32 and f64"),
        };
        Ok((z, lx.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, lx: &Layout, y: &CudaStorage, ly: &Layout) -> gpu::Output {
        if lx.shape() != ly.shape() {
            bail!("residual: {:?} and {:?}", lx.dims(), ly.dims())
        }
        gpu::add(x, lx, y, ly)
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, _z: &Tensor, dz: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(dz.clone()), Some(dz.clone())))
    }
}

struct Halves;

fn add_halves<T: WithDType>(x: &[T], width: usize) -> Vec<T> {
    let halves = |row: &[T]| {
        let (a, b) = row.split_at(row.len() / 2);
        a.iter().zip(b).map(|(a, b)| *a + *b).collect::<Vec<_>>()
    };
    x.chunks(width.max(1)).flat_map(halves).collect()
}

fn repeat<T: WithDType>(dy: &[T], width: usize) -> Vec<T> {
    dy.chunks(width.max(1)).flat_map(|row| [row, row]).flatten().copied().collect()
}

impl CustomOp1 for Halves {
    fn name(&self) -> &'static str {
        "sum-directions"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let y = match x {
            CpuStorage::F32(_) => CpuStorage::F32(add_halves(op::slice(x, layout)?, width)),
            CpuStorage::F64(_) => CpuStorage::F64(add_halves(op::slice(x, layout)?, width)),
            _ => bail!("sum-directions: only f32 and f64"),
        };
        Ok((y, (rows, width / 2).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> gpu::Output {
        gpu::add_halves(x, layout)
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (shape, width, dy) = (x.shape(), dy.dim(1)?, dy.contiguous()?);
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return Ok(Some(gpu::repeat_halves(&dy)?));
        }
        Ok(Some(match x.dtype() {
            DType::F64 => op::from_vec(op::with_slice::<f64, _>(&dy, |dy| repeat(dy, width))?, shape)?,
            _ => op::from_vec(op::with_slice::<f32, _>(&dy, |dy| repeat(dy, width))?, shape)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn sums_and_their_gradients() -> Result<()> {
        let x = Var::from_tensor(&Tensor::new(&[[1.0_f64, 2.0, 3.0, 5.0], [4.0, 6.0, 7.0, 9.0]], &Device::Cpu)?)?;
        let y = sum_directions(&x)?;
        assert_eq!(y.to_vec2::<f64>()?, [[4.0, 7.0], [11.0, 15.0]]);
        let z = residual(&y, &y)?;
        assert_eq!(z.to_vec2::<f64>()?, [[8.0, 14.0], [22.0, 30.0]]);
        let weights = Tensor::new(&[[1.0_f64, 10.0], [100.0, 1000.0]], &Device::Cpu)?;
        let gradients = (z * weights)?.sum_all()?.backward()?;
        let Some(gradient) = gradients.get(&x) else { panic!("no gradient") };
        assert_eq!(gradient.to_vec2::<f64>()?, [[2.0, 20.0, 2.0, 20.0], [200.0, 2000.0, 200.0, 2000.0]]);
        Ok(())
    }
}
