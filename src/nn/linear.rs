//! The affine map `y = x W^T + b` as one operation: product and bias together, forward and backward.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::product::{Element, View, add_product, product};
use super::sums::column_sums;
use super::{collect, op, panels};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, WithDType, bail};

/// `x` `[N, F]`, `w` `[O, F]`, `b` `[O]` to `[N, O]`.
pub fn linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(w, b, Linear)
}

struct Linear;

/// `x W^T + b` by definition: `x` `[N, inputs]`, `w` `[O, inputs]`, `b` `[O]`. [`panels::affine`] is the same in f32.
pub fn forward(x: &[f64], w: &[f64], b: &[f64], inputs: usize) -> Vec<f64> {
    let (rows, outputs) = (x.len() / inputs.max(1), b.len());
    let mut y = Vec::with_capacity(rows * outputs);
    for _ in 0..rows {
        y.extend_from_slice(b);
    }
    add_product(&mut y, View::new(x, rows, inputs), View::new(w, outputs, inputs).t());
    y
}

/// Gradients of what [`forward`] takes, given that of its result; of x only if somebody asks for it.
pub fn backward<T: Element + WithDType>(
    x: &[T],
    w: &[T],
    dy: &[T],
    (inputs, outputs): (usize, usize),
    wants_x: bool,
) -> (Option<Vec<T>>, Vec<T>, Vec<T>) {
    let rows = dy.len() / outputs.max(1);
    let (x, w, dy_view) = (View::new(x, rows, inputs), View::new(w, outputs, inputs), View::new(dy, rows, outputs));
    (wants_x.then(|| product(dy_view, w)), product(dy_view.t(), x), column_sums(dy, outputs))
}

fn gradients<T: Element + WithDType>(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    dy: &Tensor,
) -> Result<(Option<Tensor>, Tensor, Tensor)> {
    let (outputs, inputs) = w.dims2()?;
    // Nobody asks for the gradient of the features.
    let asked = x.track_op();
    let (dx, dw, db) = op::with_slices([x, w, &dy.contiguous()?], |[x, w, dy]: [&[T]; 3]| {
        backward(x, w, dy, (inputs, outputs), asked)
    })?;
    let dx = dx.map(|dx| op::from_vec(dx, x.shape())).transpose()?;
    Ok((dx, op::from_vec(dw, w.shape())?, op::from_vec(db, b.shape())?))
}

/// Rows, inputs and outputs.
fn check(x: &Layout, w: &Layout, b: &Layout) -> Result<[usize; 3]> {
    let ((rows, inputs), (outputs, expected), biases) = (x.shape().dims2()?, w.shape().dims2()?, b.shape().dims1()?);
    if inputs != expected || outputs != biases {
        bail!("linear: input {:?}, weight {:?}, bias {:?} do not fit", x.dims(), w.dims(), b.dims())
    }
    Ok([rows, inputs, outputs])
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        let [rows, inputs, outputs] = check(lx, lw, lb)?;
        let y = match x {
            CpuStorage::F32(_) => {
                CpuStorage::F32(panels::affine(op::slice(x, lx)?, op::slice(w, lw)?, op::slice(b, lb)?, inputs))
            }
            CpuStorage::F64(_) => {
                CpuStorage::F64(forward(op::slice(x, lx)?, op::slice(w, lw)?, op::slice(b, lb)?, inputs))
            }
            _ => bail!("linear: only f32 and f64"),
        };
        Ok((y, (rows, outputs).into()))
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
        gpu::linear([(x, lx), (w, lw), (b, lb)])
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let (dx, dw, db) = gpu::linear_backward(x, w, &dy.contiguous()?)?;
            return Ok((dx, collect::offer(w, dw)?, collect::offer(b, db)?));
        }
        let (dx, dw, db) = match x.dtype() {
            DType::F64 => gradients::<f64>(x, w, b, dy)?,
            _ => gradients::<f32>(x, w, b, dy)?,
        };
        Ok((dx, collect::offer(w, dw)?, collect::offer(b, db)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn equals_candles_own_product_and_gradient() -> Result<()> {
        let device = Device::Cpu;
        let values = |n: usize, scale: f64| (0..n).map(|i| ((i * 37 % 11) as f64 - 5.0) * scale).collect::<Vec<_>>();
        let x = Var::from_tensor(&Tensor::from_vec(values(12, 0.1), (4, 3), &device)?)?;
        let w = Var::from_tensor(&Tensor::from_vec(values(6, 0.3), (2, 3), &device)?)?;
        let b = Var::from_tensor(&Tensor::from_vec(values(2, 0.7), 2, &device)?)?;
        let ours = linear(&x, &w, &b)?;
        let theirs = x.matmul(&w.t()?)?.broadcast_add(&b)?;
        let (ours_grad, theirs_grad) = (ours.sqr()?.sum_all()?.backward()?, theirs.sqr()?.sum_all()?.backward()?);
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
