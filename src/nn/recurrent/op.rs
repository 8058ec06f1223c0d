//! The recurrent layer as one operation on candle tensors.
#![forbid(unsafe_code)]

use super::cells::{Cell, CellKind, Visitor};
use super::problem::Problem;
use super::{cpu, reference};
use crate::lengths::Lengths;
use crate::nn::op;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use std::sync::OnceLock;

/// Runs a recurrent layer over a packed batch.
///
/// `a` `[N, D G H]` is the input part of every gate, `x W^T + b`; `r` `[D, G H, H]` the recurrent weights; G is the
/// cell's number of gates. Returns `[N, D H]`, the forward direction's half first. The state of every utterance
/// starts at zero, in the backward direction at its own last frame.
pub fn recurrent(kind: CellKind, a: &Tensor, r: &Tensor, lengths: &Lengths) -> Result<Tensor> {
    let (directions, _, hidden) = r.dims3()?;
    let keep = a.track_op() || r.track_op();
    let op = Recurrent { kind, lengths: lengths.clone(), directions, hidden, keep, saved: OnceLock::new() };
    a.contiguous()?.apply_op2(&r.contiguous()?, op)
}

struct Recurrent {
    kind: CellKind,
    lengths: Lengths,
    directions: usize,
    hidden: usize,
    /// Whether a backward pass may follow.
    keep: bool,
    saved: OnceLock<cpu::Saved>,
}

impl Recurrent {
    fn problem(&self) -> Problem<'_> {
        Problem { lengths: &self.lengths, directions: self.directions, hidden: self.hidden }
    }

    fn check(&self, la: &Layout, lr: &Layout) -> Result<()> {
        let width = self.kind.spec().gates.len() * self.hidden;
        let (rows, columns) = la.shape().dims2()?;
        let fits = self.directions == 1 || self.directions == 2;
        if !fits || rows != self.lengths.rows() || columns != self.directions * width || lr.dims()[1] != width {
            bail!(
                "{}: gates {:?} and recurrent weights {:?} do not fit {} frames",
                self.kind.spec().name,
                la.dims(),
                lr.dims(),
                self.lengths.rows()
            )
        }
        Ok(())
    }
}

impl CustomOp2 for Recurrent {
    fn name(&self) -> &'static str {
        self.kind.spec().name
    }

    fn cpu_fwd(&self, a: &CpuStorage, la: &Layout, r: &CpuStorage, lr: &Layout) -> Result<(CpuStorage, Shape)> {
        self.check(la, lr)?;
        let shape = Shape::from((self.lengths.rows(), self.directions * self.hidden));
        let y = match a {
            CpuStorage::F32(_) => {
                let (y, saved) =
                    cpu::forward(self.kind, &self.problem(), op::slice(a, la)?, op::slice(r, lr)?, self.keep);
                if let Some(saved) = saved {
                    let _ = self.saved.set(saved);
                }
                CpuStorage::F32(y)
            }
            CpuStorage::F64(_) => {
                let visitor = ReferenceForward(self.problem(), op::slice(a, la)?, op::slice(r, lr)?);
                CpuStorage::F64(self.kind.visit(visitor))
            }
            _ => bail!("{}: only f32 and f64", self.name()),
        };
        Ok((y, shape))
    }

    fn bwd(&self, a: &Tensor, r: &Tensor, y: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (da, dr) = if a.dtype() == DType::F64 {
            let (a_data, r_data, dy) = (op::to_vec(a)?, op::to_vec(r)?, op::to_vec(&dy)?);
            let (da, dr) = self.kind.visit(ReferenceBackward(self.problem(), &a_data, &r_data, &dy));
            (op::from_vec(da, a.shape().clone())?, op::from_vec(dr, r.shape().clone())?)
        } else {
            let Some(saved) = self.saved.get() else { bail!("{}: the forward pass kept nothing", self.name()) };
            let backward = |[r, y, dy]: [&[f32]; 3]| cpu::backward(self.kind, &self.problem(), saved, r, y, dy);
            let (da, dr) = op::with_slices([r, y, &dy], backward)?;
            (op::from_vec(da, a.shape().clone())?, op::from_vec(dr, r.shape().clone())?)
        };
        Ok((Some(da), Some(dr)))
    }
}

struct ReferenceForward<'a>(Problem<'a>, &'a [f64], &'a [f64]);

impl Visitor for ReferenceForward<'_> {
    type Output = Vec<f64>;
    fn visit<C: Cell, const G: usize>(self) -> Vec<f64> {
        reference::forward::<C>(&self.0, self.1, self.2)
    }
}

struct ReferenceBackward<'a>(Problem<'a>, &'a [f64], &'a [f64], &'a [f64]);

impl Visitor for ReferenceBackward<'_> {
    type Output = (Vec<f64>, Vec<f64>);
    fn visit<C: Cell, const G: usize>(self) -> Self::Output {
        reference::backward::<C>(&self.0, self.1, self.2, self.3)
    }
}
