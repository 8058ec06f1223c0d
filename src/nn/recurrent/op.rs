//! The recurrent layer as one operation on candle tensors.
#![forbid(unsafe_code)]

use super::carry::Carry;
use super::cells::{Cell, CellKind, Spec, Visitor};
use super::problem::Problem;
use super::{cpu, reference};
use crate::lengths::Lengths;
use crate::nn::op;
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use std::sync::OnceLock;

/// Tensors of a recurrent layer.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// `[N, D G H]`: the input part of every gate, `x W^T + b`; G is the cell's number of gates.
    pub a: &'a Tensor,
    /// `[D, R H, H / heads]`: recurrent weights of the R gates that have some; nothing for a cell without. With a
    /// projection to P, `[D, (R + 1) H, P]`: the last H rows are its matrix, transposed.
    pub r: Option<&'a Tensor>,
    /// `[D, A, H]`: the cell's A further parameters of each unit; nothing for a cell without.
    pub aux: Option<&'a Tensor>,
    /// What happens to states between one step and the next; nothing: nothing.
    pub carry: Option<&'a Carry>,
}

/// Runs a recurrent layer of `directions` (1 or 2) over a packed batch.
///
/// Returns `[N, D H]`, or `[N, D P]`, the forward direction's half first. The state of every utterance starts anew, in the backward
/// direction at its own last frame.
///
/// # Errors
/// If shapes do not fit the cell or each other.
pub fn recurrent(kind: CellKind, directions: usize, x: Inputs<'_>, lengths: &Lengths) -> Result<Tensor> {
    let spec = kind.spec();
    let hidden = x.a.dim(1)? / (directions * spec.gates.len()).max(1);
    let (rows, seen) = x.r.map_or(Ok((0, hidden)), |r| Ok::<_, candle_core::Error>((r.dim(1)?, r.dim(2)?)))?;
    // One group of rows more than the cell's gates have is a projection's.
    let projects = spec.projects && rows == (spec.rows_of_r() + 1) * hidden;
    let (projection, heads) = if projects { (seen, 1) } else { (0, hidden.checked_div(seen).unwrap_or(1).max(1)) };
    // candle's operation takes three tensors; a missing one is no number long.
    let missing = Tensor::zeros(0, x.a.dtype(), x.a.device())?;
    let (r, aux) = (x.r.unwrap_or(&missing).contiguous()?, x.aux.unwrap_or(&missing).contiguous()?);
    let keep = [x.a, &r, &aux].iter().any(|t| t.track_op());
    let carry = x.carry.cloned().unwrap_or_default();
    let op = Recurrent {
        carry,
        kind,
        lengths: lengths.clone(),
        directions,
        hidden,
        projection,
        heads,
        keep,
        saved: OnceLock::new(),
    };
    op.check(x)?;
    x.a.contiguous()?.apply_op3(&r, &aux, op)
}

struct Recurrent {
    kind: CellKind,
    lengths: Lengths,
    directions: usize,
    hidden: usize,
    carry: Carry,
    projection: usize,
    heads: usize,
    /// Whether a backward pass may follow.
    keep: bool,
    saved: OnceLock<cpu::Saved>,
}

impl Recurrent {
    fn spec(&self) -> &'static Spec {
        self.kind.spec()
    }

    fn problem(&self) -> Problem<'_> {
        let Self { directions, hidden, projection, heads, .. } = *self;
        Problem { lengths: &self.lengths, directions, hidden, projection, carry: &self.carry, heads }
    }

    fn check(&self, x: Inputs<'_>) -> Result<()> {
        let (spec, hidden, problem) = (self.spec(), self.hidden, self.problem());
        let expected = |count: usize, shape: [usize; 3]| (count > 0).then(|| shape.to_vec());
        let shapes = [
            (Some(x.a), Some(vec![self.lengths.rows(), self.directions * spec.gates.len() * hidden])),
            (x.r, expected(spec.rows_of_r(), [self.directions, problem.groups(spec) * hidden, problem.seen()])),
            (x.aux, expected(spec.aux.len(), [self.directions, spec.aux.len(), hidden])),
        ];
        let fits = shapes.iter().all(|(tensor, shape)| tensor.map(Tensor::dims) == shape.as_deref());
        let shares = 2 * self.lengths.rows() * self.directions * hidden;
        let parted = hidden.is_multiple_of(self.heads)
            && (self.carry.shares.is_empty() || self.carry.shares.len() == shares && self.projection == 0);
        if !fits || !parted || !(1..=2).contains(&self.directions) {
            let dims = shapes.map(|(tensor, _)| tensor.map(Tensor::dims).unwrap_or_default().to_vec());
            let (name, rows) = (spec.name, self.lengths.rows());
            bail!("{name}: gates {:?}, weights {:?} and {:?} do not fit {rows} frames", dims[0], dims[1], dims[2])
        }
        Ok(())
    }
}

impl CustomOp3 for Recurrent {
    fn name(&self) -> &'static str {
        self.spec().name
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        la: &Layout,
        r: &CpuStorage,
        lr: &Layout,
        aux: &CpuStorage,
        lx: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = Shape::from((self.lengths.rows(), self.directions * self.problem().output()));
        let y = match a {
            CpuStorage::F32(_) => {
                let x = cpu::Input { a: op::slice(a, la)?, r: op::slice(r, lr)?, aux: op::slice(aux, lx)? };
                let (y, saved) = cpu::forward(self.kind, &self.problem(), x, self.keep);
                if let Some(saved) = saved {
                    let _ = self.saved.set(saved);
                }
                CpuStorage::F32(y)
            }
            CpuStorage::F64(_) => {
                let x = reference::Input { a: op::slice(a, la)?, r: op::slice(r, lr)?, aux: op::slice(aux, lx)? };
                CpuStorage::F64(self.kind.visit(ReferenceForward(self.problem(), x)))
            }
            _ => bail!("{}: only f32 and f64", self.name()),
        };
        Ok((y, shape))
    }

    fn bwd(
        &self,
        a: &Tensor,
        r: &Tensor,
        aux: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let [da, dr, daux] = match a.dtype() {
            DType::F64 => {
                let backward = |[a, r, aux, dy]: [&[f64]; 4]| {
                    let x = reference::Input { a, r, aux };
                    self.kind.visit(ReferenceBackward(self.problem(), x, dy))
                };
                let d = op::with_slices([a, r, aux, &dy], backward)?;
                [op::from_vec(d.a, a.shape())?, op::from_vec(d.r, r.shape())?, op::from_vec(d.aux, aux.shape())?]
            }
            _ => {
                let Some(saved) = self.saved.get() else { bail!("{}: the forward pass kept nothing", self.name()) };
                let backward = |[a, r, aux, y, dy]: [&[f32]; 5]| {
                    cpu::backward(self.kind, &self.problem(), saved, cpu::Input { a, r, aux }, y, dy)
                };
                let d = op::with_slices([a, r, aux, y, &dy], backward)?;
                [op::from_vec(d.a, a.shape())?, op::from_vec(d.r, r.shape())?, op::from_vec(d.aux, aux.shape())?]
            }
        };
        let some = |d: Tensor| (d.elem_count() > 0).then_some(d);
        Ok((Some(da), some(dr), some(daux)))
    }
}

struct ReferenceForward<'a>(Problem<'a>, reference::Input<'a>);

impl Visitor for ReferenceForward<'_> {
    type Output = Vec<f64>;
    fn visit<C: Cell, const G: usize, const R: usize, const M: usize>(self) -> Vec<f64> {
        reference::forward::<C>(&self.0, self.1)
    }
}

struct ReferenceBackward<'a>(Problem<'a>, reference::Input<'a>, &'a [f64]);

impl Visitor for ReferenceBackward<'_> {
    type Output = reference::InputGradients;
    fn visit<C: Cell, const G: usize, const R: usize, const M: usize>(self) -> Self::Output {
        reference::backward::<C>(&self.0, self.1, self.2)
    }
}
