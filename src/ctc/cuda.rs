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
    let loss = call.zeros(batch)?;
    let gradient = if wants_gradient { Some(call.zeros(rows * classes)?) } else { None };
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
    let offsets = (0..=lengths.steps()).map(|t| lengths.offset(t));
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
    let numbers: Vec<i32> = offsets
        .chain(lengths.sorted().iter().copied())
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
    let utterances: Vec<i32> = (0..lengths.steps()).flat_map(|t| 0..lengths.active(t) as i32).collect();
    if n > 0 {
        let utterances = call.upload(&utterances)?;
        let arguments: [&dyn Argument; 6] = [&(n as u64), &(classes as i32), &utterances, upstream, gradient, &out];
        call.launch(Kernel("ctc", "scale_utterances"), Grid::over(n), &arguments)?;
    }
    Ok(out)
}
