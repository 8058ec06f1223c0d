//! The path on a GPU: `kernels/cluster.cu` or `kernels/recurrent.cu` for what must wait for the step before, products by
//! cuBLAS for all else.
#![forbid(unsafe_code)]

use super::cells::{CellKind, Spec};
use super::plan::{self, Path};
use super::problem::Problem;
use crate::cuda::{Call, Grid, Kernel, Matrix};
use crate::nn::gpu;
use candle_core::Result;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};

/// Weights of a layer on the device.
pub struct Weights<'a> {
    /// `[D G H, F]`.
    pub w: &'a CudaView<'a, f32>,
    /// Biases, recurrent weights and further parameters, side by side.
    pub small: &'a CudaView<'a, f32>,
}

/// What the backward pass needs.
pub struct Saved {
    kept: CudaSlice<f32>,
    modulated: CudaSlice<f32>,
    full: CudaSlice<f32>,
    before: CudaSlice<f32>,
    shares: Option<CudaSlice<f32>>,
}

/// The pointers of `Buffers` in the kernel, in its order.
#[derive(Default)]
struct Buffers {
    offsets: u64,
    lengths: u64,
    a: u64,
    b: u64,
    r: u64,
    aux: u64,
    shares: u64,
    y: u64,
    kept: u64,
    modulated: u64,
    full: u64,
    before: u64,
    exchange: u64,
    states: u64,
    arrived: u64,
    dy: u64,
    da: u64,
    dr: u64,
    dseen: u64,
    daux: u64,
    next: u64,
}

impl Buffers {
    fn all(&self) -> [u64; 21] {
        [
            self.offsets,
            self.lengths,
            self.a,
            self.b,
            self.r,
            self.aux,
            self.shares,
            self.y,
            self.kept,
            self.modulated,
            self.full,
            self.before,
            self.exchange,
            self.states,
            self.arrived,
            self.dy,
            self.da,
            self.dr,
            self.dseen,
            self.daux,
            self.next,
        ]
    }
}

/// A pass of a layer over a batch.
struct Pass<'a> {
    call: Call<'a>,
    kind: CellKind,
    path: Path,
    problem: &'a Problem<'a>,
    keep: bool,
}

impl Pass<'_> {
    fn spec(&self) -> &'static Spec {
        self.kind.spec()
    }

    /// Numbers that the backward pass gets of a unit and row.
    fn kept(&self) -> usize {
        let (spec, clips) = (self.spec(), self.problem.carry.clip > 0.0);
        spec.states.len() * if clips { 2 } else { 1 } + spec.saved.len()
    }

    /// The input parts of the gates, `[N, D G H]`.
    fn input_parts(&self, x: &CudaView<'_, f32>, w: &CudaView<'_, f32>) -> Result<CudaSlice<f32>> {
        let (rows, inputs, width) =
            (self.problem.lengths.rows(), self.problem.inputs, self.problem.biases(self.spec()));
        let a = self.call.room(rows * width)?;
        let [x, w, to] = [self.call.address(x), self.call.address(w), self.call.address(&a)];
        self.call.product(
            [rows, width, inputs],
            Matrix::new(x, inputs),
            Matrix::new(w, inputs).t(),
            Matrix::new(to, width),
            1,
        )?;
        Ok(a)
    }

    /// Fills in what both directions have in common, and launches.
    fn launch(&self, small: u64, mut buffers: Buffers, backward: bool) -> Result<()> {
        let (p, spec, call) = (self.problem, self.spec(), self.call);
        let lengths = p.lengths;
        if lengths.rows() == 0 {
            return Ok(());
        }
        let pass = plan::Pass { kind: self.kind, shape: p.shape, batch: lengths.batch(), backward };
        let limits = call.limits()?;
        let plan = pass.plan(self.path, limits, |plan| {
            let kernel = Kernel(plan.kernel.0, &plan.kernel.1);
            match plan.path {
                Path::Clusters => call.clusters_at_once(kernel, plan.grid),
                _ => Ok(call.blocks_at_once(kernel, plan.grid)? * limits.multiprocessors / plan.blocks),
            }
        })?;
        let (kernel, whole) = (Kernel(plan.kernel.0, &plan.kernel.1), plan.path != Path::Steps);
        let layout = call.upload(&gpu::layout(lengths))?;
        let slots = p.directions * lengths.batch();
        let exchange = call.room(2 * slots * p.seen() * p.heads)?;
        let states = call.room(spec.states.len() * slots * p.hidden)?;
        let next = call.room(if spec.modulated > 0 { spec.states.len() * slots * p.hidden } else { 0 })?;
        let arrived = call.zeros::<u32>(plan.groups)?;
        buffers.offsets = call.address(&layout);
        buffers.lengths = buffers.offsets + 4 * (lengths.steps() as u64 + 1);
        buffers.b = small;
        buffers.r = small + 4 * p.biases(spec) as u64;
        buffers.aux = buffers.r + 4 * p.recurrent(spec) as u64;
        (buffers.exchange, buffers.states, buffers.next) =
            (call.address(&exchange), call.address(&states), call.address(&next));
        buffers.arrived = call.address(&arrived);
        let launch = |steps: [usize; 2], phases: [usize; 2]| {
            let layer = [
                p.directions,
                p.hidden,
                p.heads,
                p.projection,
                lengths.rows(),
                lengths.batch(),
                plan.slices,
                plan.rows,
                plan.blocks,
                plan.units,
                plan.columns,
                usize::from(whole),
                steps[0],
                steps[1],
                phases[0],
                phases[1],
                usize::from(buffers.shares != 0),
                usize::from(self.keep),
            ]
            .map(|n| n as i32);
            call.launch(kernel, plan.grid, &[&layer, &p.carry.clip, &buffers.all()])
        };
        if whole {
            return launch([0, lengths.steps()], [0, 3]);
        }
        // What must not begin before all blocks have ended the phase before.
        let phases: &[[usize; 2]] = match (backward, spec.modulated > 0, p.projection > 0) {
            (false, true, _) => &[[0, 1], [1, 2]],
            (false, false, true) => &[[0, 2], [2, 3]],
            (true, true, _) => &[[1, 2], [2, 3]],
            (true, false, true) => &[[0, 1], [1, 2]],
            (_, false, false) => &[[0, 2]],
        };
        (0..lengths.steps()).try_for_each(|t| phases.iter().try_for_each(|phases| launch([t, t + 1], *phases)))
    }

    fn shares(&self) -> Result<Option<CudaSlice<f32>>> {
        let shares = &self.problem.carry.shares;
        if shares.is_empty() { Ok(None) } else { Ok(Some(self.call.upload(shares)?)) }
    }
}

/// The output, `[N, D H]` or `[N, D P]`, and what a backward pass needs if `keep`.
pub fn forward(
    call: Call<'_>,
    (kind, path): (CellKind, Path),
    problem: &Problem<'_>,
    (x, weights): (&CudaView<'_, f32>, Weights<'_>),
    keep: bool,
) -> Result<(CudaSlice<f32>, Option<Saved>)> {
    let (p, spec) = (problem, kind.spec());
    let pass = Pass { call, kind, path, problem, keep };
    let (rows, own) = (p.lengths.rows(), p.directions * p.lengths.rows());
    let a = pass.input_parts(x, weights.w)?;
    let y = call.room(rows * p.directions * p.output())?;
    let room = |wanted: bool, width: usize| call.room(if wanted { own * width } else { 0 });
    let saved = Saved {
        kept: room(keep, pass.kept() * p.hidden)?,
        modulated: room(spec.modulated > 0, p.hidden)?,
        full: room(p.projection > 0, p.hidden)?,
        before: room(keep && p.projection > 0, p.projection)?,
        shares: pass.shares()?,
    };
    let buffers = Buffers {
        a: call.address(&a),
        y: call.address(&y),
        kept: call.address(&saved.kept),
        modulated: call.address(&saved.modulated),
        full: call.address(&saved.full),
        before: call.address(&saved.before),
        shares: saved.shares.as_ref().map_or(0, |shares| call.address(shares)),
        ..Buffers::default()
    };
    pass.launch(call.address(weights.small), buffers, false)?;
    Ok((y, keep.then_some(saved)))
}

/// Gradients of the numbers of a layer.
pub struct Gradients {
    /// Of the input, if it was asked for.
    pub x: Option<CudaSlice<f32>>,
    /// Of the input weights.
    pub w: CudaSlice<f32>,
    /// Of biases, recurrent weights and further parameters, side by side.
    pub small: CudaSlice<f32>,
}

/// Gradients, given that of the output; of the layer's input only if `wants_x`.
pub fn backward(
    call: Call<'_>,
    (kind, path): (CellKind, Path),
    problem: &Problem<'_>,
    saved: &Saved,
    (x, weights): (&CudaView<'_, f32>, Weights<'_>),
    dy: &CudaView<'_, f32>,
    wants_x: bool,
) -> Result<Gradients> {
    let (p, spec) = (problem, kind.spec());
    let pass = Pass { call, kind, path, problem, keep: true };
    let (rows, width, slots) = (p.lengths.rows(), p.biases(spec), p.directions * p.lengths.batch());
    let da = call.room(rows * width)?;
    let heard = p.directions * spec.rows_of_r() * p.hidden;
    let dr = call.room(if spec.added { 0 } else { rows * heard })?;
    let dseen = call.room(p.directions * rows * p.projection)?;
    let daux = match spec.aux.len() {
        0 => call.room(0)?,
        count => call.zeros(count * slots * p.hidden)?,
    };
    let buffers = Buffers {
        dy: call.address(dy),
        da: call.address(&da),
        dr: if spec.added { 0 } else { call.address(&dr) },
        dseen: call.address(&dseen),
        daux: call.address(&daux),
        kept: call.address(&saved.kept),
        shares: saved.shares.as_ref().map_or(0, |shares| call.address(shares)),
        ..Buffers::default()
    };
    let found = Found {
        da: buffers.da,
        dr: if spec.added { (buffers.da, width) } else { (buffers.dr, heard) },
        dseen: buffers.dseen,
    };
    pass.launch(call.address(weights.small), buffers, true)?;

    let dw = call.room(width * p.inputs)?;
    let (da_matrix, at_x, at_w) = (Matrix::new(found.da, width), call.address(x), call.address(weights.w));
    call.product(
        [width, p.inputs, rows],
        da_matrix.t(),
        Matrix::new(at_x, p.inputs),
        Matrix::new(call.address(&dw), p.inputs),
        1,
    )?;
    let count = width + p.recurrent(spec) + p.aux(spec);
    let small = if rows > 0 { call.room(count)? } else { call.zeros(count)? };
    let at = call.address(&small);
    if rows > 0 {
        gpu::column_sums(call, [rows, width], &da, &small)?;
        pass.recurrent_gradients(saved, &found, at + 4 * width as u64)?;
        if !spec.aux.is_empty() {
            let to = at + 4 * (width + p.recurrent(spec)) as u64;
            let counts = [p.directions, spec.aux.len(), p.lengths.batch(), p.hidden].map(|n| n as i32);
            let [directions, parameters, batch, hidden] = counts;
            let grid = Grid::over(p.aux(spec));
            call.launch(
                Kernel("layers", "sum_utterances"),
                grid,
                &[&directions, &parameters, &batch, &hidden, &daux, &to],
            )?;
        }
    }
    let dx = if wants_x {
        let dx = call.room(rows * p.inputs)?;
        call.product(
            [rows, p.inputs, width],
            da_matrix,
            Matrix::new(at_w, p.inputs),
            Matrix::new(call.address(&dx), p.inputs),
            1,
        )?;
        Some(dx)
    } else {
        None
    };
    Ok(Gradients { x: dx, w: dw, small })
}

/// Where the loop left its gradients.
struct Found {
    da: u64,
    /// Those of what gates heard, and from one row to the next.
    dr: (u64, usize),
    dseen: u64,
}

impl Pass<'_> {
    /// `dR = sum over frames of dr^T h`, by direction, gate and head, written behind `to`.
    fn recurrent_gradients(&self, saved: &Saved, found: &Found, to: u64) -> Result<()> {
        let (p, spec, call) = (self.problem, self.spec(), self.call);
        let (rows, seen, head) = (p.lengths.rows(), p.seen(), p.head());
        let gates_of_dr = found.dr.1 / (p.directions * p.hidden);
        let heard = spec.rows_of_r();
        let numbers = |n: usize| 4 * n as u64;
        // From one direction to the next: of the result, and of frames of `width` numbers.
        let result_step = p.groups(spec) * p.hidden * seen;
        let of = |at: u64, stride: usize, batch_stride: usize| Matrix { batch_stride, ..Matrix::new(at, stride) };
        // Gates that hear the same, and what they hear: its first number, from one row to the next, one direction to the next.
        let kept = self.kept() * p.hidden;
        let states = match p.projection {
            // State 0 before the step is the first of what is kept.
            0 => (call.address(&saved.kept), kept, rows * kept),
            width => (call.address(&saved.before), width, rows * width),
        };
        let modulated = (call.address(&saved.modulated), p.hidden, rows * p.hidden);
        for (gates, (h, stride, step)) in [(0..spec.recurrent, states), (spec.recurrent..heard, modulated)] {
            if gates.is_empty() {
                continue;
            }
            let (dr, dr_step) = (found.dr.0, gates_of_dr * p.hidden);
            if p.heads == 1 {
                // Gates stand side by side: one product for all of them and both directions.
                let [dr, to] =
                    [(dr, p.hidden), (to, p.hidden * seen)].map(|(at, width)| at + numbers(gates.start * width));
                let (dr, to) = (of(dr, found.dr.1, dr_step), of(to, seen, result_step));
                call.product([gates.len() * p.hidden, seen, rows], dr.t(), of(h, stride, step), to, p.directions)?;
                continue;
            }
            for (direction, gate) in (0..p.directions).flat_map(|d| gates.clone().map(move |g| (d, g))) {
                let dr = of(dr + numbers(direction * dr_step + gate * p.hidden), found.dr.1, head);
                let h = of(h + numbers(direction * step), stride, seen);
                let to = of(to + numbers(direction * result_step + gate * p.hidden * seen), seen, head * seen);
                call.product([head, seen, rows], dr.t(), h, to, p.heads)?;
            }
        }
        if p.projection > 0 {
            let full = of(call.address(&saved.full), p.hidden, rows * p.hidden);
            let dseen = of(found.dseen, p.projection, rows * p.projection);
            let to = of(to + numbers(heard * p.hidden * seen), seen, result_step);
            call.product([p.hidden, seen, rows], full.t(), dseen, to, p.directions)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::{assert_close, each};
    use super::*;

    /// The path on a GPU against the definition, for every cell and shape, by every way that there is.
    #[test]
    fn agrees_with_the_definition() -> Result<()> {
        let Some(device) = crate::cuda::for_tests() else { return Ok(()) };
        let call = Call(device.as_cuda_device()?);
        let mut failed = Ok(());
        each(|kind, problem, numbers, y, d| {
            for path in [Path::Clusters, Path::Grid, Path::Steps] {
                let run = || -> Result<(Vec<f32>, [Vec<f32>; 5])> {
                    let small = [numbers.b.as_slice(), &numbers.r, &numbers.aux].concat();
                    let uploaded = [call.upload(&numbers.x)?, call.upload(&numbers.w)?, call.upload(&small)?];
                    let [x, w, small] = [&uploaded[0], &uploaded[1], &uploaded[2]].map(CudaSlice::as_view);
                    let weights = || Weights { w: &w, small: &small };
                    let (y, saved) = forward(call, (kind, path), problem, (&x, weights()), true)?;
                    let Some(saved) = saved else { candle_core::bail!("nothing kept") };
                    let (inferred, _) = forward(call, (kind, path), problem, (&x, weights()), false)?;
                    let dy = call.upload(&numbers.dy)?;
                    let d = backward(call, (kind, path), problem, &saved, (&x, weights()), &dy.as_view(), true)?;
                    let host = |numbers: &CudaSlice<f32>, n: usize| -> Result<Vec<f32>> {
                        Ok(call.0.clone_dtoh(numbers)?[..n].to_vec())
                    };
                    let y = host(&y, numbers.dy.len())?;
                    assert_eq!(host(&inferred, y.len())?, y, "inference of {kind:?}");
                    let small = host(&d.small, numbers.b.len() + numbers.r.len() + numbers.aux.len())?;
                    let (db, rest) = small.split_at(numbers.b.len());
                    let (dr, daux) = rest.split_at(numbers.r.len());
                    let Some(dx) = d.x else { candle_core::bail!("dx was asked for") };
                    let (dx, dw) = (host(&dx, numbers.x.len())?, host(&d.w, numbers.w.len())?);
                    Ok((y, [dx, dw, db.to_vec(), dr.to_vec(), daux.to_vec()]))
                };
                let what = |part: &str| {
                    format!("{part} of {kind:?}, {path:?}, {:?}, {:?}", problem.shape, problem.lengths.sorted())
                };
                match run() {
                    Ok((ours, ours_d)) => {
                        assert_close(&ours, y, &what("y"));
                        for ((ours, truth), part) in ours_d.iter().zip(d).zip(["dx", "dw", "db", "dr", "daux"]) {
                            assert_close(ours, truth, &what(part));
                        }
                    }
                    Err(error) => failed = Err(error),
                }
            }
        });
        failed
    }
}
