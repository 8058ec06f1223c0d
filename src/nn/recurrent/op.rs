//! The recurrent layer as one operation on candle tensors.
#![forbid(unsafe_code)]

use super::carry::Carry;
use super::cells::{Cell, CellKind, Visitor};
use super::problem::{Problem, Shape};
use super::{cpu, reference};
#[cfg(feature = "cuda")]
use super::{cuda, plan};
#[cfg(feature = "cuda")]
use crate::cuda::Call;
use crate::lengths::Lengths;
#[cfg(feature = "cuda")]
use crate::nn::gpu;
use crate::nn::matrix::Precision;
use crate::nn::simd::Path;
use crate::nn::{collect, linear, op};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, DType, Error, Layout, Result, Tensor, bail};
use std::sync::{Arc, OnceLock};

/// The weights of a recurrent layer.
#[derive(Clone, Debug)]
pub struct Weights {
    /// `[D G H, F]`: the input weights of every gate; G is the cell's number of gates.
    pub w: Tensor,
    /// `[D G H]`: the biases.
    pub b: Tensor,
    /// `[D, R H, H / heads]`: recurrent weights of the R gates that have some; nothing for a cell without. With a
    /// projection to P, `[D, (R + 1) H, P]`: the last H rows are its matrix, transposed.
    pub r: Option<Tensor>,
    /// `[D, A, H]`: the cell's A further parameters of each unit; nothing for a cell without.
    pub aux: Option<Tensor>,
}

impl Weights {
    /// The layer's shape.
    ///
    /// # Errors
    /// If the weights do not fit the cell or each other.
    pub fn shape(&self, kind: CellKind, directions: usize) -> Result<Shape> {
        let spec = kind.spec();
        let (inputs, hidden) = (self.w.dim(1)?, self.b.dims1()? / (directions * spec.gates.len()).max(1));
        let (rows, seen) = self.r.as_ref().map_or(Ok((0, hidden)), |r| Ok::<_, Error>((r.dim(1)?, r.dim(2)?)))?;
        // One group of rows more than the cell's gates have is a projection's.
        let projects = spec.projects && rows == (spec.rows_of_r() + 1) * hidden;
        let (projection, heads) = if projects { (seen, 1) } else { (0, hidden.checked_div(seen).unwrap_or(1).max(1)) };
        let shape = Shape { directions, inputs, hidden, projection, heads };
        let expected = |count: usize, dims: [usize; 3]| (count > 0).then(|| dims.to_vec());
        let dims = [
            (Some(&self.w), Some(vec![shape.biases(spec), inputs])),
            (Some(&self.b), Some(vec![shape.biases(spec)])),
            (self.r.as_ref(), expected(spec.rows_of_r(), [directions, shape.groups(spec) * hidden, shape.seen()])),
            (self.aux.as_ref(), expected(spec.aux.len(), [directions, spec.aux.len(), hidden])),
        ];
        let fits = dims.iter().all(|(tensor, dims)| tensor.map(Tensor::dims) == dims.as_deref());
        if !fits || !hidden.is_multiple_of(heads) || !(1..=2).contains(&directions) {
            let [w, b, r, aux] = dims.map(|(tensor, _)| tensor.map(Tensor::dims).unwrap_or_default().to_vec());
            bail!("{}: weights {w:?}, {b:?}, {r:?} and {aux:?} do not fit {directions} directions", spec.name)
        }
        Ok(shape)
    }

    /// All but the input weights.
    fn smaller(&self) -> impl Iterator<Item = &Tensor> {
        [Some(&self.b), self.r.as_ref(), self.aux.as_ref()].into_iter().flatten()
    }

    /// All but the input weights, side by side.
    fn small(&self) -> Result<Tensor> {
        Tensor::cat(&self.smaller().map(Tensor::flatten_all).collect::<Result<Vec<_>>>()?, 0)
    }

    /// The same without a history.
    fn small_detached(&self) -> Result<Tensor> {
        let parts = self.smaller().map(|part| part.detach().flatten_all());
        Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)
    }
}

/// Whether `x` and what happens to states fit a layer and a batch.
fn check(kind: CellKind, shape: Shape, x: &Tensor, carry: &Carry, lengths: &Lengths) -> Result<()> {
    let (rows, shares) = (lengths.rows(), carry.shares.len());
    let carries = shares == 0 || shares == 2 * rows * shape.directions * shape.hidden && shape.projection == 0;
    if x.dims2()? != (rows, shape.inputs) || !carries {
        bail!("{}: input {:?} and {shares} shares do not fit {rows} frames", kind.spec().name, x.dims())
    }
    Ok(())
}

/// Runs a recurrent layer of `directions` (1 or 2) over a packed batch, `x` `[N, F]`. Nothing happens to states between
/// one step and the next unless `carry` says so.
///
/// Returns `[N, D H]`, or `[N, D P]`, the forward direction's half first. The state of every utterance starts anew, in
/// the backward direction at its own last frame.
///
/// # Errors
/// If shapes do not fit the cell or each other.
pub fn recurrent(
    kind: CellKind,
    directions: usize,
    x: &Tensor,
    weights: &Weights,
    carry: Option<&Carry>,
    lengths: &Lengths,
) -> Result<Tensor> {
    let (shape, carry) = (weights.shape(kind, directions)?, carry.cloned().unwrap_or_default());
    check(kind, shape, x, &carry, lengths)?;
    // candle's operation takes three tensors: the smaller weights go together.
    let w = weights.w.contiguous()?;
    // Gradients of the smaller weights that are collected need no way back to where these came from.
    let (small, parts) = match collect::collects(weights.smaller().chain([&weights.w])) {
        true => (weights.small_detached()?, weights.smaller().cloned().collect()),
        false => (weights.small()?, Vec::new()),
    };
    let keep = x.track_op() || w.track_op() || small.track_op();
    let op = Recurrent { kind, shape, lengths: lengths.clone(), carry, keep, parts, saved: OnceLock::new() };
    x.contiguous()?.apply_op3(&w, &small, op)
}

/// A recurrent layer for recognition alone: its weights are packed once, for as many calls as there will be, and may be
/// narrower than f32.
#[derive(Clone)]
pub struct Prepared(Arc<cpu::PackedLayer>);

impl Prepared {
    /// Packs a layer's weights, which must be f32 and on the CPU.
    ///
    /// # Errors
    /// If shapes do not fit the cell or each other.
    pub fn new(kind: CellKind, directions: usize, weights: &Weights, precision: Precision) -> Result<Self> {
        let shape = weights.shape(kind, directions)?;
        let tensors = [&weights.w.contiguous()?, &weights.small()?];
        let pack = |[w, small]: [&[f32]; 2]| {
            let [b, r, aux] = parts(kind, shape, small);
            cpu::PackedLayer::new(kind, shape, cpu::Weights { w, b, r, aux }, precision, Path::current())
        };
        Ok(Self(Arc::new(op::with_slices(tensors, pack)?)))
    }

    /// What [`recurrent`] does, without a gradient.
    ///
    /// # Errors
    /// As there.
    pub fn recurrent(&self, x: &Tensor, carry: Option<&Carry>, lengths: &Lengths) -> Result<Tensor> {
        let (shape, nothing) = (self.0.shape(), Carry::default());
        let carry = carry.unwrap_or(&nothing);
        check(self.0.kind(), shape, x, carry, lengths)?;
        let problem = Problem { shape, lengths, carry };
        let y = op::with_slice(&x.contiguous()?, |x: &[f32]| self.0.run(&problem, x, false).0)?;
        op::from_vec(y, (lengths.rows(), shape.directions * shape.output()))
    }
}

/// The biases, the recurrent weights and the further parameters, of what [`Weights::small`] made of them.
fn parts<T>(kind: CellKind, shape: Shape, small: &[T]) -> [&[T]; 3] {
    let (b, rest) = small.split_at(shape.biases(kind.spec()));
    let (r, aux) = rest.split_at(shape.recurrent(kind.spec()));
    [b, r, aux]
}

struct Recurrent {
    kind: CellKind,
    shape: Shape,
    lengths: Lengths,
    carry: Carry,
    /// Whether a backward pass may follow.
    keep: bool,
    /// The smaller weights, if their gradients are collected.
    parts: Vec<Tensor>,
    saved: OnceLock<Saved>,
}

/// What the path of the forward pass keeps for the backward pass.
enum Saved {
    Cpu(cpu::Saved),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Saved),
}

impl Recurrent {
    fn problem(&self) -> Problem<'_> {
        Problem { shape: self.shape, lengths: &self.lengths, carry: &self.carry }
    }

    /// What the backward pass returns as the gradients of w and of the smaller weights.
    fn offer(&self, w: &Tensor, dw: Tensor, small: Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dw = collect::offer(w, dw)?;
        if self.parts.is_empty() {
            return Ok((dw, Some(small)));
        }
        let mut start = 0;
        for part in &self.parts {
            let gradient = small.narrow(0, start, part.elem_count())?.reshape(part.shape())?;
            collect::offer(part, gradient)?;
            start += part.elem_count();
        }
        Ok((dw, None))
    }

    fn reference_forward(&self, [x, w, small]: [&[f64]; 3]) -> Vec<f64> {
        let [b, r, aux] = parts(self.kind, self.shape, small);
        let a = linear::forward(x, w, b, self.shape.inputs);
        self.kind.visit(ReferenceForward(self.problem(), reference::Input { a: &a, r, aux }))
    }

    fn reference_backward(&self, [x, w, small, dy]: [&[f64]; 4]) -> [Vec<f64>; 3] {
        let [b, r, aux] = parts(self.kind, self.shape, small);
        let a = linear::forward(x, w, b, self.shape.inputs);
        let d = self.kind.visit(ReferenceBackward(self.problem(), reference::Input { a: &a, r, aux }, dy));
        let (dx, dw, db) = linear::backward(x, w, &d.a, (self.shape.inputs, b.len()), true);
        [dx.unwrap_or_default(), dw, [db, d.r, d.aux].concat()]
    }
}

impl CustomOp3 for Recurrent {
    fn name(&self) -> &'static str {
        self.kind.spec().name
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        small: &CpuStorage,
        ls: &Layout,
    ) -> Result<(CpuStorage, candle_core::Shape)> {
        let shape = candle_core::Shape::from((self.lengths.rows(), self.shape.directions * self.shape.output()));
        let y = match x {
            CpuStorage::F32(_) => {
                let [b, r, aux] = parts(self.kind, self.shape, op::slice(small, ls)?);
                let weights = cpu::Weights { w: op::slice(w, lw)?, b, r, aux };
                let input = (op::slice(x, lx)?, weights);
                let (y, saved) = cpu::forward(self.kind, &self.problem(), input, self.keep);
                if let Some(saved) = saved {
                    let _ = self.saved.set(Saved::Cpu(saved));
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

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        lx: &Layout,
        w: &CudaStorage,
        lw: &Layout,
        small: &CudaStorage,
        ls: &Layout,
    ) -> gpu::Output {
        let (call, [w, small]) = (Call(&x.device), [gpu::view(w, lw)?, gpu::view(small, ls)?]);
        let input = (&gpu::view(x, lx)?, cuda::Weights { w: &w, small: &small });
        let (y, saved) = cuda::forward(call, (self.kind, plan::Path::first()), &self.problem(), input, self.keep)?;
        if let Some(saved) = saved {
            let _ = self.saved.set(Saved::Cuda(saved));
        }
        let shape = (self.lengths.rows(), self.shape.directions * self.shape.output());
        Ok((CudaStorage::wrap_cuda_slice(y, x.device.clone()), shape.into()))
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
            let (dw, ds) = self.offer(w, dw?, ds?)?;
            return Ok((Some(dx?), dw, ds));
        }
        #[cfg(feature = "cuda")]
        if let Some(Saved::Cuda(saved)) = self.saved.get() {
            return gpu::with([x, w, small, &dy], |call, [x_view, w_view, small_view, dy]| {
                let input = (&x_view, cuda::Weights { w: &w_view, small: &small_view });
                let d = cuda::backward(
                    call,
                    (self.kind, plan::Path::first()),
                    &self.problem(),
                    saved,
                    input,
                    &dy,
                    x.track_op(),
                )?;
                let dx = d.x.map(|dx| gpu::tensor(call, dx, x.shape()));
                let found = (gpu::tensor(call, d.w, w.shape()), gpu::tensor(call, d.small, small.shape()));
                let (dw, ds) = self.offer(w, found.0, found.1)?;
                Ok((dx, dw, ds))
            });
        }
        let Some(Saved::Cpu(saved)) = self.saved.get() else { bail!("{}: the forward pass kept nothing", self.name()) };
        let d = op::with_slices([x, w, small, y, &dy], |[x_data, w, small, y, dy]: [&[f32]; 5]| {
            let [b, r, aux] = parts(self.kind, self.shape, small);
            let input = (x_data, cpu::Weights { w, b, r, aux });
            // Nobody asks for the gradient of the features.
            cpu::backward(self.kind, &self.problem(), saved, input, (y, dy), x.track_op())
        })?;
        let dx = d.x.map(|dx| op::from_vec(dx, x.shape())).transpose()?;
        let small = op::from_vec([d.b, d.r, d.aux].concat(), small.shape())?;
        let (dw, ds) = self.offer(w, op::from_vec(d.w, w.shape())?, small)?;
        Ok((dx, dw, ds))
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
