//! The loss on a GPU: `kernels/ctc.cu`.
#![forbid(unsafe_code)]

use crate::cuda::{Argument, Call, Grid, Kernel};
use crate::lengths::Lengths;
use crate::phones::Labels;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};
use candle_core::{Result, bail};

/// Threads of a block.
const THREADS: usize = 128;

/// Each utterance's loss, `[B]`, and, if wanted, its gradient for an upstream one of 1, `[N, V]`. `logits` `[N, V]`.
///
/// # Errors
/// If an utterance has more labels than a block's shared memory has room for: some 2,300 where a block may have 48 KiB,
/// 11,000 on an H100.
pub fn loss(
    call: Call<'_>,
    logits: &CudaView<'_, f32>,
    classes: usize,
    labels: &[Labels],
    lengths: &Lengths,
    wants_gradient: bool,
) -> Result<(CudaSlice<f32>, Option<CudaSlice<f32>>)> {
    let (rows, batch) = (lengths.rows(), lengths.batch());
    let loss = call.room(batch)?;
    let gradient = if wants_gradient { Some(call.room(rows * classes)?) } else { None };
    if batch == 0 {
        return Ok((loss, gradient));
    }
    let most = labels.iter().map(|l| l.as_slice().len()).max().unwrap_or(0);
    let states = 2 * most + 1;
    let shared = 4 * (states + 2) + states + THREADS;
    if shared > call.limits()?.shared {
        bail!("ctc-loss: an utterance of {most} labels is too long for this GPU: cut it, or train on the CPU")
    }
    // All whole numbers in one copy: offsets, lengths, starts, labels, order.
    let starts = labels.iter().scan(0, |start, l| {
        *start += l.as_slice().len();
        Some(*start)
    });
    let symbols = labels.iter().flat_map(|l| l.as_slice().iter().map(|p| p.index()));
    let orders = labels.iter().flat_map(|l| {
        let mut order: Vec<usize> = (0..l.as_slice().len()).collect();
        order.sort_by_key(|&i| l.as_slice()[i].index());
        order
    });
    let numbers: Vec<i32> = lengths
        .offsets()
        .iter()
        .chain(lengths.sorted())
        .copied()
        .chain(std::iter::once(0))
        .chain(starts)
        .chain(symbols)
        .chain(orders)
        .map(|n| n as i32)
        .collect();
    let count: usize = labels.iter().map(|l| l.as_slice().len()).sum();
    let numbers = call.upload(&numbers)?;
    let at = call.address(&numbers);
    let place = |n: usize| at + 4 * n as u64;
    let first = [0, lengths.steps() + 1, lengths.steps() + 1 + batch, lengths.steps() + 2 + 2 * batch];
    let [offsets, sorted, starts, symbols] = first.map(place);
    let order = place(first[3] + count);
    let mut scratch = 0;
    let alpha_starts: Vec<u64> = labels
        .iter()
        .zip(lengths.sorted())
        .map(|(l, frames)| {
            let start = scratch;
            scratch += (frames * (2 * l.as_slice().len() + 1)) as u64;
            start
        })
        .collect();
    let (alpha_starts, alpha) = (call.upload(&alpha_starts)?, call.room(2 * scratch as usize)?);
    let sums = call.room(2 * rows)?;
    let gradient_at = gradient.as_ref().map_or(0, |gradient| call.address(gradient));
    let grid = Grid { blocks: batch, threads: THREADS, shared, cooperative: false };
    let classes = classes as i32;
    let arguments: [&dyn Argument; 12] = [
        &classes,
        &offsets,
        &sorted,
        &starts,
        &symbols,
        &order,
        &alpha_starts,
        logits,
        &sums,
        &alpha,
        &loss,
        &gradient_at,
    ];
    call.launch(Kernel("ctc", "ctc"), grid, &arguments)?;
    Ok((loss, gradient))
}

/// The gradient times each utterance's upstream one.
pub fn scale(
    call: Call<'_>,
    gradient: &CudaSlice<f32>,
    upstream: &CudaView<'_, f32>,
    classes: usize,
    lengths: &Lengths,
) -> Result<CudaSlice<f32>> {
    let n = lengths.rows() * classes;
    let out = call.room(n)?;
    if n > 0 {
        let utterances: Vec<i32> = lengths.places().map(|(_, b)| b as i32).collect();
        let utterances = call.upload(&utterances)?;
        let arguments: [&dyn Argument; 6] = [&(n as u64), &(classes as i32), &utterances, upstream, gradient, &out];
        call.launch(Kernel("ctc", "scale_utterances"), Grid::over(n), &arguments)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::{cpu, loss as loss_of};
    use crate::error::Result;
    use crate::lengths::Lengths;
    use crate::nn::op;
    use crate::phones::{Labels, PhoneId};
    use crate::rng::Rng;
    use candle_core::{Tensor, Var};

    /// Losses and gradients of a batch whose lengths and labels are anything but alike, with upstream gradients.
    #[test]
    fn agrees_with_the_cpu() -> Result<()> {
        let Some(device) = crate::cuda::for_tests() else { return Ok(()) };
        let mut rng = Rng::stream(5, "ctc", 0);
        let frames = [70, 1, 0, 33, 33, 12, 400];
        for (classes, spread) in [(3, 1.0), (40, 4.0), (40, 40.0), (131, 2.0)] {
            let lengths = Lengths::new(&frames);
            let label = |rng: &mut Rng| PhoneId(1 + rng.below(classes - 1) as u16);
            let mut labels = Vec::new();
            for (b, &frames) in lengths.sorted().iter().enumerate() {
                let mut own: Vec<PhoneId> = (0..frames * b / 8).map(|_| label(&mut rng)).collect();
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
                let mut worst = 0.0_f32;
                let scaled = |t: usize, g: &[f32]| {
                    let ours = &gradient[lengths.row(t, b) * classes..][..classes];
                    worst = ours.iter().zip(g).fold(worst, |w, (a, g)| w.max((a / upstream[b] - g).abs()));
                };
                let loss = cpu::loss_and_gradient(lengths.sorted()[b], row, labels, Some(scaled));
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
