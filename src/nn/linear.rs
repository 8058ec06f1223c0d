//! The affine map `y = x W^T + b` as one operation: product and bias together, forward and backward.
#![forbid(unsafe_code)]

use super::op;
use super::product::{Element, View, add_product, product};
use super::sums::column_sums;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, WithDType, bail};

/// `x` `[N, F]`, `w` `[O, F]`, `b` `[O]` to `[N, O]`.
pub fn linear(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(w, b, Linear)
}

struct Linear;

fn forward<T: Element>(x: &[T], w: &[T], b: &[T], inputs: usize) -> Vec<T> {
    let (rows, outputs) = (x.len() / inputs.max(1), b.len());
    let mut y = Vec::with_capacity(rows * outputs);
    for _ in 0..rows {
        y.extend_from_slice(b);
    }
    add_product(&mut y, View::new(x, rows, inputs), View::new(w, outputs, inputs).t());
    y
}

fn backward<T: Element + WithDType>(x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<[Option<Tensor>; 3]> {
    let ((rows, inputs), outputs) = (x.dims2()?, w.dim(0)?);
    let dy = dy.contiguous()?;
    op::with_slices([x, w, &dy], |[x_data, w, dy]: [&[T]; 3]| {
        let (x_view, w, dy_view) =
            (View::new(x_data, rows, inputs), View::new(w, outputs, inputs), View::new(dy, rows, outputs));
        // Nobody asks for the gradient of the features.
        let dx = x.track_op().then(|| op::from_vec(product(dy_view, w), (rows, inputs))).transpose()?;
        let dw = op::from_vec(product(dy_view.t(), x_view), (outputs, inputs))?;
        Ok([dx, Some(dw), Some(op::from_vec(column_sums(dy, outputs), outputs)?)])
    })?
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
        let ((rows, inputs), (outputs, expected), biases) =
            (lx.shape().dims2()?, lw.shape().dims2()?, lb.shape().dims1()?);
        if inputs != expected || outputs != biases {
            bail!("linear: input {:?}, weight {:?}, bias {:?} do not fit", lx.dims(), lw.dims(), lb.dims())
        }
        let y = match x {
            CpuStorage::F32(_) => {
                CpuStorage::F32(forward(op::slice(x, lx)?, op::slice(w, lw)?, op::slice(b, lb)?, inputs))
            }
            CpuStorage::F64(_) => {
                CpuStorage::F64(forward(op::slice(x, lx)?, op::slice(w, lw)?, op::slice(b, lb)?, inputs))
            }
            _ => bail!("linear: only f32 and f64"),
        };
        Ok((y, (rows, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _b: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = match x.dtype() {
            DType::F64 => backward::<f64>(x, w, dy)?,
            _ => backward::<f32>(x, w, dy)?,
        };
        Ok((dx, dw, db))
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
