//! The recurrent layer as one operation on candle tensors.
#![forbid(unsafe_code)]

use super::carry::Carry;
use super::cells::{Cell, CellKind, Spec, Visitor};
use super::problem::Problem;
use super::{cpu, reference};
use crate::lengths::Lengths;
use crate::nn::{linear, op};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use std::sync::OnceLock;

/// Tensors of a recurrent layer.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// `[N, F]`: the layer's input.
    pub x: &'a Tensor,
    /// `[D G H, F]`: the input weights of every gate; G is the cell's number of gates.
    pub w: &'a Tensor,
    /// `[D G H]`: the biases.
    pub b: &'a Tensor,
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
/// Returns `[N, D H]`, or `[N, D P]`, the forward direction's half first. The state of every utterance starts anew, in
/// the backward direction at its own last frame.
///
/// # Errors
/// If shapes do not fit the cell or each other.
pub fn recurrent(kind: CellKind, directions: usize, inputs: Inputs<'_>, lengths: &Lengths) -> Result<Tensor> {
    let spec = kind.spec();
    let hidden = inputs.b.dims1()? / (directions * spec.gates.len()).max(1);
    let (rows, seen) = inputs.r.map_or(Ok((0, hidden)), |r| Ok::<_, candle_core::Error>((r.dim(1)?, r.dim(2)?)))?;
    // One group of rows more than the cell's gates have is a projection's.
    let projects = spec.projects && rows == (spec.rows_of_r() + 1) * hidden;
    let (projection, heads) = if projects { (seen, 1) } else { (0, hidden.checked_div(seen).unwrap_or(1).max(1)) };
    let op = Recurrent {
        kind,
        lengths: lengths.clone(),
        directions,
        inputs: inputs.x.dim(1)?,
        hidden,
        carry: inputs.carry.cloned().unwrap_or_default(),
        projection,
        heads,
        keep: [Some(inputs.x), Some(inputs.w), Some(inputs.b), inputs.r, inputs.aux]
            .into_iter()
            .flatten()
            .any(Tensor::track_op),
        saved: OnceLock::new(),
    };
    op.check(inputs)?;
    // candle's operation takes three tensors: the smaller parameters go together.
    let small = [Some(inputs.b), inputs.r, inputs.aux].into_iter().flatten();
    let small = Tensor::cat(&small.map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?, 0)?;
    inputs.x.contiguous()?.apply_op3(&inputs.w.contiguous()?, &small, op)
}

struct Recurrent {
    kind: CellKind,
    lengths: Lengths,
    directions: usize,
    inputs: usize,
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
        let Self { directions, inputs, hidden, projection, heads, .. } = *self;
        Problem { lengths: &self.lengths, directions, inputs, hidden, projection, carry: &self.carry, heads }
    }

    fn check(&self, x: Inputs<'_>) -> Result<()> {
        let (spec, hidden, problem) = (self.spec(), self.hidden, self.problem());
        let (gates, rows) = (self.directions * spec.gates.len() * hidden, self.lengths.rows());
        let expected = |count: usize, shape: [usize; 3]| (count > 0).then(|| shape.to_vec());
        let shapes = [
            (Some(x.x), Some(vec![rows, self.inputs])),
            (Some(x.w), Some(vec![gates, self.inputs])),
            (Some(x.b), Some(vec![gates])),
            (x.r, expected(spec.rows_of_r(), [self.directions, problem.groups(spec) * hidden, problem.seen()])),
            (x.aux, expected(spec.aux.len(), [self.directions, spec.aux.len(), hidden])),
        ];
        let fits = shapes.iter().all(|(tensor, shape)| tensor.map(Tensor::dims) == shape.as_deref());
        let shares = 2 * rows * self.directions * hidden;
        let parted = hidden.is_multiple_of(self.heads)
            && (self.carry.shares.is_empty() || self.carry.shares.len() == shares && self.projection == 0);
        if !fits || !parted || !(1..=2).contains(&self.directions) {
            let dims = shapes.map(|(tensor, _)| tensor.map(Tensor::dims).unwrap_or_default().to_vec());
            let [x, w, b, r, aux] = dims;
            bail!("{}: input {x:?}, weights {w:?}, {b:?}, {r:?} and {aux:?} do not fit {rows} frames", spec.name)
        }
        Ok(())
    }

    /// The biases, the recurrent weights and the further parameters.
    fn parts<'a, T>(&self, small: &'a [T]) -> [&'a [T]; 3] {
        let sizes = self.problem().sizes(self.spec());
        let (b, rest) = small.split_at(sizes.b);
        let (r, aux) = rest.split_at(sizes.r);
        [b, r, aux]
    }

    fn reference_forward(&self, [x, w, small]: [&[f64]; 3]) -> Vec<f64> {
        let [b, r, aux] = self.parts(small);
        let a = linear::forward(x, w, b, self.inputs);
        self.kind.visit(ReferenceForward(self.problem(), reference::Input { a: &a, r, aux }))
    }

    fn reference_backward(&self, [x, w, small, dy]: [&[f64]; 4]) -> [Vec<f64>; 3] {
        let [b, r, aux] = self.parts(small);
        let a = linear::forward(x, w, b, self.inputs);
        let d = self.kind.visit(ReferenceBackward(self.problem(), reference::Input { a: &a, r, aux }, dy));
        let (dx, dw, db) = linear::backward(x, w, &d.a, (self.inputs, b.len()), true);
        [dx.unwrap_or_default(), dw, [db, d.r, d.aux].concat()]
    }
}

impl CustomOp3 for Recurrent {
    fn name(&self) -> &'static str {
        self.spec().name
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        small: &CpuStorage,
        ls: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let shape = Shape::from((self.lengths.rows(), self.directions * self.problem().output()));
        let y = match x {
            CpuStorage::F32(_) => {
                let [b, r, aux] = self.parts(op::slice(small, ls)?);
                let input = cpu::Input { x: op::slice(x, lx)?, w: op::slice(w, lw)?, b, r, aux };
                let (y, saved) = cpu::forward(self.kind, &self.problem(), input, self.keep);
                if let Some(saved) = saved {
                    let _ = self.saved.set(saved);
                }
                CpuStorage::F32(y)
            }
            CpuStorage::F64(_) => {
                CpuStorage::F64(self.reference_forward([op::slice(x, lx)?, op::slice(w, lw)?, op::slice(small, ls)?]))
            }
            _ => bail!("{}: only f32 and f64", self.name()),
        };
        Ok((y, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        small: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        if x.dtype() == DType::F64 {
            let [dx, dw, ds] = op::with_slices([x, w, small, &dy], |slices| self.reference_backward(slices))?;
            let [dx, dw, ds] = [(dx, x), (dw, w), (ds, small)].map(|(d, like)| op::from_vec(d, like.shape()));
            return Ok((Some(dx?), Some(dw?), Some(ds?)));
        }
        let Some(saved) = self.saved.get() else { bail!("{}: the forward pass kept nothing", self.name()) };
        let d = op::with_slices([x, w, small, y, &dy], |[x_data, w, small, y, dy]: [&[f32]; 5]| {
            let [b, r, aux] = self.parts(small);
            let input = cpu::Input { x: x_data, w, b, r, aux };
            // Nobody asks for the gradient of the features.
            cpu::backward(self.kind, &self.problem(), saved, input, (y, dy), x.track_op())
        })?;
        let dx = d.x.map(|dx| op::from_vec(dx, x.shape())).transpose()?;
        Ok((dx, Some(op::from_vec(d.w, w.shape())?), Some(op::from_vec([d.b, d.r, d.aux].concat(), small.shape())?)))
    }
}

struct ReferenceForward<'a>(Problem<'a>, reference::Input<'a>);

impl Visitor for ReferenceForward<'_> {
    type Output = Vec<f64>;
    fn visit<C: Cell>(self) -> Vec<f64> {
        reference::forward::<C>(&self.0, self.1)
    }
}

struct ReferenceBackward<'a>(Problem<'a>, reference::Input<'a>, &'a [f64]);

impl Visitor for ReferenceBackward<'_> {
    type Output = reference::InputGradients;
    fn visit<C: Cell>(self) -> Self::Output {
        reference::backward::<C>(&self.0, self.1, self.2)
    }
}
