//! The loss on a GPU: `kernels/ctc.cu`.
#![forbid(unsafe_code)]

use crate::cuda::{Argument, Call, Grid, Kernel};
use crate::lengths::Lengths;
use crate::phones::Labels;
use candle_core::Result;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};

/// Threads of a warp, and of a block that serves a frame with each of its warps.
const WARP: usize = 32;
const THREADS: usize = 256;
/// States of a thread where paths are followed, and threads of a team.
const STATES: usize = 4;
const MOST_THREADS: usize = 256;

/// The most labels that an utterance may have here. (Longer ones are the CPU's.)
pub const MOST_LABELS: usize = (STATES * MOST_THREADS - 1) / 2;

/// A batch on the device, and what a backward pass needs.
pub struct Saved {
    shape: Sizes,
    /// All whole numbers: rooms (of 64 bits), offsets, lengths, starts, labels, order.
    numbers: CudaSlice<i32>,
    sums: CudaSlice<f32>,
    scratch: CudaSlice<f32>,
    totals: CudaSlice<f32>,
}

/// Counts of a batch.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    rows: usize,
    steps: usize,
    labels: usize,
    /// The most labels of an utterance.
    most: usize,
    classes: usize,
}

impl Sizes {
    /// A warp for every frame of every utterance, as if all were as long as the longest.
    fn frames(&self, shared: usize) -> Grid {
        let warps = THREADS / WARP;
        let blocks = self.batch * self.steps.div_ceil(warps);
        Grid { blocks, threads: THREADS, shared: warps * shared, cooperative: false }
    }
}

impl Saved {
    /// `Batch` of the kernels.
    fn pointers(&self, call: Call<'_>, logits: &CudaView<'_, f32>, loss: u64) -> [u64; 11] {
        let Sizes { batch, steps, labels, .. } = self.shape;
        let rooms = call.address(&self.numbers);
        let offsets = rooms + 8 * batch as u64;
        let behind = |at: u64, numbers: usize| at + 4 * numbers as u64;
        let lengths = behind(offsets, steps + 1);
        let starts = behind(lengths, batch);
        let symbols = behind(starts, batch + 1);
        let order = behind(symbols, labels);
        let [sums, scratch, totals] = [&self.sums, &self.scratch, &self.totals].map(|own| call.address(own));
        [offsets, lengths, starts, symbols, order, rooms, call.address(logits), sums, scratch, totals, loss]
    }
}

/// The whole numbers of a batch, and the length of the scratch in pairs of scaled numbers. `keep`: whether paths are kept.
fn layout(labels: &[Labels], lengths: &Lengths, keep: bool) -> (Vec<i32>, usize) {
    let count = |l: &Labels| l.as_slice().len();
    let mut scratch = 0;
    let mut numbers = Vec::new();
    for (l, &frames) in labels.iter().zip(lengths.sorted()) {
        numbers.extend([scratch as i32, (scratch as u64 >> 32) as i32]);
        let stride = (2 * count(l) + 1).next_multiple_of(STATES);
        scratch += (frames * (count(l) + 1)).div_ceil(2) + if keep { frames * stride } else { 0 };
    }
    numbers.extend(lengths.offsets().iter().chain(lengths.sorted()).map(|&n| n as i32));
    let mut start = 0;
    numbers.push(0);
    for l in labels {
        start += count(l) as i32;
        numbers.push(start);
    }
    numbers.extend(labels.iter().flat_map(|l| l.as_slice().iter().map(|p| p.index() as i32)));
    for l in labels {
        let mut order: Vec<usize> = (0..count(l)).collect();
        order.sort_by_key(|&i| l.as_slice()[i].index());
        numbers.extend(order.into_iter().map(|i| i as i32));
    }
    (numbers, scratch)
}

/// Each utterance's loss, `[B]`, and, if wanted, what its gradient is made of. `logits` `[N, V]`; no utterance has more than
/// [`MOST_LABELS`].
pub fn loss(
    call: Call<'_>,
    logits: &CudaView<'_, f32>,
    classes: usize,
    labels: &[Labels],
    lengths: &Lengths,
    keep: bool,
) -> Result<(CudaSlice<f32>, Saved)> {
    let counts = labels.iter().map(|l| l.as_slice().len());
    let shape = Sizes {
        batch: lengths.batch(),
        rows: lengths.rows(),
        steps: lengths.steps(),
        labels: counts.clone().sum(),
        most: counts.max().unwrap_or(0),
        classes,
    };
    let (numbers, scratch) = layout(labels, lengths, keep);
    let loss = call.room(shape.batch)?;
    let saved = Saved {
        shape,
        numbers: call.upload(&numbers)?,
        sums: call.room(2 * shape.rows)?,
        scratch: call.room(4 * scratch)?,
        totals: call.room(2 * shape.batch)?,
    };
    if shape.batch == 0 {
        return Ok((loss, saved));
    }
    let pointers = saved.pointers(call, logits, call.address(&loss));
    let [batch, classes] = [shape.batch as i32, classes as i32];
    if shape.steps > 0 {
        call.launch(Kernel("ctc", "ctc_emissions"), shape.frames(0), &[&batch, &classes, &pointers])?;
    }
    let (teams, team) = (if keep { 2 } else { 1 }, (2 * shape.most + 1).div_ceil(STATES).next_multiple_of(WARP));
    let threads = teams * team;
    let grid = Grid { blocks: shape.batch, threads, shared: 4 * threads / WARP + 4, cooperative: false };
    call.launch(Kernel("ctc", "ctc_paths"), grid, &[&(teams as i32), &pointers])?;
    Ok((loss, saved))
}

/// The gradient to the logits, `[N, V]`, times each utterance's upstream one. The loss must have been told to keep.
pub fn gradient(
    call: Call<'_>,
    saved: &Saved,
    logits: &CudaView<'_, f32>,
    upstream: &CudaView<'_, f32>,
) -> Result<CudaSlice<f32>> {
    let shape = saved.shape;
    let out = call.room(shape.rows * shape.classes)?;
    if shape.rows > 0 {
        let [batch, classes, states] = [shape.batch, shape.classes, 2 * shape.most + 1].map(|n| n as i32);
        let pointers = saved.pointers(call, logits, 0);
        let arguments: [&dyn Argument; 6] = [&batch, &classes, &states, &pointers, upstream, &out];
        call.launch(Kernel("ctc", "ctc_gradient"), shape.frames(2 * shape.most + 1), &arguments)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::{cpu, loss as loss_of};
    use crate::error::Result;
    use crate::lengths::{Lengths, wanted_by_checkers};
    use crate::nn::op;
    use crate::phones::{Labels, PhoneId};
    use crate::rng::Rng;
    use candle_core::{Tensor, Var};

    /// Losses and gradients of a batch whose lengths and labels are anything but alike, with upstream gradients.
    #[test]
    fn agrees_with_the_cpu() -> Result<()> {
        let Some(device) = crate::cuda::for_tests() else { return Ok(()) };
        let mut rng = Rng::stream(5, "ctc", 0);
        // The longest utterance's labels: for one warp to follow, for several, and more than there are threads for.
        let shapes = [(3, 1.0, 70), (40, 4.0, 400), (40, 40.0, 1200), (131, 2.0, 1400)];
        for (_, (classes, spread, longest)) in (0..).zip(shapes).filter(|(n, _)| wanted_by_checkers(*n)) {
            let frames = [70, 1, 0, 33, 33, 12, longest];
            let lengths = Lengths::new(&frames);
            let label = |rng: &mut Rng| PhoneId(1 + rng.below(classes - 1) as u16);
            let mut labels = Vec::new();
            for (b, &frames) in lengths.sorted().iter().enumerate() {
                let mut own: Vec<PhoneId> = (0..frames * b.max(4) / 10).map(|_| label(&mut rng)).collect();
                while Labels::new(own.clone())?.frames_needed() > frames {
                    own.pop();
                }
                labels.push(Labels::new(own)?);
            }
            let logits: Vec<f32> = (0..lengths.rows() * classes).map(|_| spread * rng.normal()).collect();
            let on_gpu = Var::from_tensor(&Tensor::from_slice(&logits, (lengths.rows(), classes), &device)?)?;
            let losses = loss_of(&on_gpu, &labels, &lengths)?;
            let upstream: Vec<f32> = (0..frames.len()).map(|b| 1.0 + b as f32).collect();
            let total = losses.mul(&Tensor::from_slice(&upstream, frames.len(), &device)?)?.sum_all()?;
            let gradients = total.backward()?;
            let Some(gradient) = gradients.get(&on_gpu) else { panic!("no gradient") };
            let (losses, gradient) = (op::to_vec::<f32>(&losses)?, op::to_vec::<f32>(gradient)?);
            for (b, labels) in labels.iter().enumerate() {
                let row = |t: usize| &logits[lengths.row(t, b) * classes..][..classes];
                let frames = lengths.sorted()[b];
                let mut expected = vec![0.0; frames * classes];
                let loss = cpu::loss_and_gradient(frames, row, labels, &mut expected);
                let mut worst = 0.0_f32;
                for (t, expected) in expected.chunks(classes).enumerate() {
                    let ours = &gradient[lengths.row(t, b) * classes..][..classes];
                    worst = ours.iter().zip(expected).fold(worst, |w, (a, g)| w.max((a / upstream[b] - g).abs()));
                }
                assert!((f64::from(losses[b]) - loss).abs() <= 1e-5 * loss.max(1.0), "{b}: {} {loss}", losses[b]);
                assert!(worst < 1e-5, "{b}: {worst}");
            }
        }
        Ok(())
    }

    #[test]
    fn numbers_that_are_none_spoil_their_own_utterance_only() -> Result<()> {
        let Some(device) = crate::cuda::for_tests() else { return Ok(()) };
        let lengths = Lengths::new(&[2, 2]);
        let labels = [Labels::new(vec![PhoneId(1)])?, Labels::new(vec![PhoneId(1)])?];
        // Rows: frame 0 of both, frame 1 of both; utterance 1 has a NaN in its last.
        let logits = [0.0, 1.0, 0.5, 0.0, 1.0, 0.0, 0.0, f32::NAN];
        let logits = Var::from_tensor(&Tensor::from_slice(&logits, (4, 2), &device)?)?;
        let losses = loss_of(&logits, &labels, &lengths)?;
        let gradients = losses.sum_all()?.backward()?;
        let Some(gradient) = gradients.get(&logits) else { panic!("no gradient") };
        let (losses, gradient) = (op::to_vec::<f32>(&losses)?, op::to_vec::<f32>(gradient)?);
        assert!(losses[0].is_finite() && losses[1].is_nan(), "{losses:?}");
        let finite: Vec<bool> = gradient.chunks(2).map(|row| row[0].is_finite()).collect();
        assert_eq!(finite, [true, false, true, false]);
        Ok(())
    }
}
