//! Layer normalisation (Ba, Kiros and Hinton 2016): each frame to mean zero and variance one, then scaled and moved.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::sums::column_sums;
use super::{collect, op};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

/// Added to the variance.
const EPSILON: f64 = 1e-5;

/// `x` `[N, F]`, `w` `[F]`, `b` `[F]` to `(x - mean) / sqrt(variance + 1e-5) w + b`, mean and variance of each row.
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(w, b, LayerNorm)
}

struct LayerNorm;

/// Mean, and one over the standard deviation.
fn moments<T: WithDType>(row: &[T]) -> (T, T) {
    let share = T::from_f64(1.0 / row.len().max(1) as f64);
    let mean = sum(row, |x| x) * share;
    let variance = sum(row, |x| (x - mean) * (x - mean)) * share;
    (mean, T::from_f64(1.0 / (variance.to_f64() + EPSILON).sqrt()))
}

/// Sums side by side, so that the loop is one over vectors.
const LANES: usize = 16;

fn sum<T: WithDType>(row: &[T], f: impl Fn(T) -> T) -> T {
    let mut sums = [T::zero(); LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for block in blocks {
        sums.iter_mut().zip(block).for_each(|(s, x)| *s += f(*x));
    }
    sums.into_iter().chain(rest.iter().map(|x| f(*x))).fold(T::zero(), |a, b| a + b)
}

fn forward<T: WithDType>(x: &[T], w: &[T], b: &[T]) -> Vec<T> {
    let mut y = vec![T::zero(); x.len()];
    let width = w.len().max(1);
    y.par_chunks_mut(width).zip(x.par_chunks(width)).for_each(|(y, x)| {
        let (mean, scale) = moments(x);
        y.iter_mut().zip(x).zip(w.iter().zip(b)).for_each(|((y, x), (w, b))| *y = (*x - mean) * scale * *w + *b);
    });
    y
}

/// The gradients of x, w and b.
fn backward<T: WithDType>(x: &[T], w: &[T], dy: &[T]) -> [Vec<T>; 3] {
    let width = w.len().max(1);
    let share = T::from_f64(1.0 / width as f64);
    let mut dx = vec![T::zero(); x.len()];
    // dy times the normalised x: its column sums are the gradient of w.
    let mut dw = vec![T::zero(); x.len()];
    let rows = dx.par_chunks_mut(width).zip(dw.par_chunks_mut(width));
    rows.zip(x.par_chunks(width).zip(dy.par_chunks(width))).for_each(|((dx, dw), (x, dy))| {
        let (mean, scale) = moments(x);
        dx.iter_mut().zip(dy).zip(w).for_each(|((dx, dy), w)| *dx = *dy * *w);
        let mean_dx = sum(dx, |d| d) * share;
        dw.iter_mut().zip(dx.iter().zip(x)).for_each(|(dw, (dx, x))| *dw = *dx * (*x - mean) * scale);
        let mean_dx_x = sum(dw, |d| d) * share;
        for ((dx, dw), (x, dy)) in dx.iter_mut().zip(dw).zip(x.iter().zip(dy)) {
            let normal = (*x - mean) * scale;
            *dx = (*dx - mean_dx - normal * mean_dx_x) * scale;
            *dw = *dy * normal;
        }
    });
    [dx, column_sums(&dw, width), column_sums(dy, width)]
}

fn check(x: &Layout, w: &Layout, b: &Layout) -> Result<()> {
    let width = x.shape().dims2()?.1;
    if w.shape().dims1()? != width || b.shape().dims1()? != width {
        bail!("layer norm: rows of {width}, weights {:?}, biases {:?}", w.dims(), b.dims())
    }
    Ok(())
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        check(lx, lw, lb)?;
        let y = match x {
            CpuStorage::F32(_) => CpuStorage::F32(forward(op::slice(x, lx)?, op::slice(w, lw)?, op::slice(b, lb)?)),
            CpuStorage::F64(_) => CpuStorage::F64(forward(op::slice(x, lx)?, op::slice(w, lw)?, op::slice(b, lb)?)),
            _ => bail!("layer norm: only f32 and f64"),
        };
        Ok((y, lx.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        w: &CudaStorage,
        lw: &Layout,
        b: &CudaStorage,
        lb: &Layout,
    ) -> gpu::Output {
        check(lx, lw, lb)?;
        gpu::layer_norm([(x, lx), (w, lw), (b, lb)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        fn typed<T: WithDType>(x: &Tensor, w: &Tensor, b: &Tensor, dy: &Tensor) -> Result<[Tensor; 3]> {
            let [dx, dw, db] = op::with_slices([x, w, dy], |[x, w, dy]: [&[T]; 3]| backward(x, w, dy))?;
            Ok([op::from_vec(dx, x.shape())?, op::from_vec(dw, w.shape())?, op::from_vec(db, b.shape())?])
        }
        let dy = dy.contiguous()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let [dx, dw, db] = gpu::layer_norm_backward(x, w, &dy)?;
            return Ok((Some(dx), collect::offer(w, dw)?, collect::offer(b, db)?));
        }
        let [dx, dw, db] = match x.dtype() {
            DType::F64 => typed::<f64>(x, w, b, &dy)?,
            _ => typed::<f32>(x, w, b, &dy)?,
        };
        Ok((Some(dx), collect::offer(w, dw)?, collect::offer(b, db)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, Var};

    fn plainly(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        centred.broadcast_div(&(variance + EPSILON)?.sqrt()?)?.broadcast_mul(w)?.broadcast_add(b)
    }

    #[test]
    fn equals_its_definition_and_the_gradient_of_that() -> Result<()> {
        let values =
            |n: usize, k: f64| Tensor::new((0..n).map(|i| (i as f64 * k).sin()).collect::<Vec<_>>(), &Device::Cpu);
        let x = Var::from_tensor(&values(5 * 37, 0.7)?.reshape((5, 37))?)?;
        let (w, b) = (Var::from_tensor(&values(37, 1.3)?)?, Var::from_tensor(&values(37, 2.9)?)?);
        let (ours, theirs) = (layer_norm(&x, &w, &b)?, plainly(&x, &w, &b)?);
        let z = values(5 * 37, 0.37)?.reshape((5, 37))?;
        let (ours_grad, theirs_grad) = ((&ours * &z)?.sum_all()?.backward()?, (&theirs * &z)?.sum_all()?.backward()?);
        let close = |a: &Tensor, b: &Tensor| -> Result<bool> {
            Ok((a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>()? < 1e-12)
        };
        assert!(close(&ours, &theirs)?);
        for var in [&x, &w, &b] {
            let (Some(a), Some(b)) = (ours_grad.get(var), theirs_grad.get(var)) else { panic!("no gradient") };
            assert!(close(a, b)?);
        }
        Ok(())
    }
}
