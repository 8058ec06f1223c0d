//! Fewer frames: every `factor` neighbouring frames of an utterance become one, side by side.
#![forbid(unsafe_code)]

use super::op;
use crate::lengths::Lengths;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};

/// `x` `[N, F]` to `[N', factor F]`, and the new layout; the last group of an utterance is filled up with zeros.
pub fn subsample(x: &Tensor, lengths: &Lengths, factor: usize) -> Result<(Tensor, Lengths)> {
    if factor == 1 {
        return Ok((x.clone(), lengths.clone()));
    }
    let after = lengths.subsampled(factor);
    let y = x.contiguous()?.apply_op1(Subsample { before: lengths.clone(), after: after.clone(), factor })?;
    Ok((y, after))
}

struct Subsample {
    before: Lengths,
    after: Lengths,
    factor: usize,
}

impl Subsample {
    /// Calls `f(row before, row after, place in the group)` for every frame.
    fn for_each(&self, mut f: impl FnMut(usize, usize, usize)) {
        for t in 0..self.before.steps() {
            for b in 0..self.before.active(t) {
                f(self.before.row(t, b), self.after.row(t / self.factor, b), t % self.factor);
            }
        }
    }

    fn gather<T: WithDType>(&self, x: &[T], width: usize) -> Vec<T> {
        let mut y = vec![T::zero(); self.after.rows() * self.factor * width];
        self.for_each(|from, to, place| {
            let to = (to * self.factor + place) * width;
            y[to..to + width].copy_from_slice(&x[from * width..(from + 1) * width]);
        });
        y
    }

    fn scatter<T: WithDType>(&self, dy: &[T], width: usize) -> Vec<T> {
        let mut dx = vec![T::zero(); self.before.rows() * width];
        self.for_each(|from, to, place| {
            let to = (to * self.factor + place) * width;
            dx[from * width..(from + 1) * width].copy_from_slice(&dy[to..to + width]);
        });
        dx
    }
}

impl CustomOp1 for Subsample {
    fn name(&self) -> &'static str {
        "subsample"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if rows != self.before.rows() {
            bail!("subsample: {rows} rows for lengths of {} frames", self.before.rows())
        }
        let y = match x {
            CpuStorage::F32(_) => CpuStorage::F32(self.gather(op::slice(x, layout)?, width)),
            CpuStorage::F64(_) => CpuStorage::F64(self.gather(op::slice(x, layout)?, width)),
            _ => bail!("subsample: only f32 and f64"),
        };
        Ok((y, (self.after.rows(), self.factor * width).into()))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (shape, dy) = (x.dims2()?, dy.contiguous()?);
        let dx = match x.dtype() {
            DType::F64 => op::from_vec(op::with_slice::<f64, _>(&dy, |dy| self.scatter(dy, shape.1))?, shape)?,
            _ => op::from_vec(op::with_slice::<f32, _>(&dy, |dy| self.scatter(dy, shape.1))?, shape)?,
        };
        Ok(Some(dx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn groups_frames_of_one_utterance() -> Result<()> {
        let lengths = Lengths::new(&[3, 2]);
        // Rows in packed order: a0 b0 a1 b1 a2.
        let x = Var::from_tensor(&Tensor::new(&[[1.0_f32], [10.0], [2.0], [20.0], [3.0]], &Device::Cpu)?)?;
        let (y, after) = subsample(&x, &lengths, 2)?;
        assert_eq!(after.sorted(), [2, 1]);
        assert_eq!(y.to_vec2::<f32>()?, [[1.0, 2.0], [10.0, 20.0], [3.0, 0.0]]);
        let grads = y.sqr()?.sum_all()?.backward()?;
        let grad = grads.get(&x).map(|g| g.flatten_all()?.to_vec1::<f32>()).transpose()?;
        assert_eq!(grad, Some(vec![2.0, 20.0, 4.0, 40.0, 6.0]));
        Ok(())
    }
}
