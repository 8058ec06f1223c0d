//! Neighbourhoods: what a convolution and a time subsampling look at, laid side by side for one dense product.
//!
//! A frame's row is `[bins, channels]`. Output row `(t, b)` holds, for each of its bins, the `kernel` of frames and bins
//! around it, `[bins', frames, bins, channels]`; what lies outside the utterance or the band is zero. A convolution is
//! [`patches`] and [`linear`](super::linear::linear); a kernel of `factor` frames with a stride of `factor` only puts
//! neighbouring frames together.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::op;
use crate::lengths::Lengths;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;
use std::ops::Range;

/// A kernel and its stride along one axis. Outputs are as many as strides begin in the input; the kernel stands in the
/// middle of its stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Inputs that one output looks at.
    pub kernel: usize,
    /// From the inputs of one output to those of the next.
    pub stride: usize,
}

impl Axis {
    /// Outputs for `inputs`.
    pub fn outputs(self, inputs: usize) -> usize {
        inputs.div_ceil(self.stride)
    }

    /// The first input of output `o`, plus `kernel` so that it is never negative.
    fn start(self, o: usize) -> usize {
        // Half of what the kernel has beyond its stride hangs over on the left, a quarter lost to rounding.
        let over = (self.kernel as isize - self.stride as isize).div_euclid(2);
        (self.kernel as isize + (o * self.stride) as isize - over) as usize
    }

    /// The part of output `o`'s kernel that lies inside `inputs`, and the input that its first place looks at.
    fn inside(self, o: usize, inputs: usize) -> (Range<usize>, usize) {
        let start = self.start(o);
        let first = self.kernel.saturating_sub(start).min(self.kernel);
        let last = (inputs + self.kernel).saturating_sub(start).min(self.kernel).max(first);
        (first..last, (start + first).saturating_sub(self.kernel))
    }

    /// Every output that looks at input `i`, and the place in its kernel.
    fn lookers(self, i: usize, outputs: usize) -> impl Iterator<Item = (usize, usize)> {
        let last = outputs.min((i + self.kernel) / self.stride + 1);
        let first = (i / self.stride).saturating_sub(self.kernel / self.stride + 1);
        (first..last).filter_map(move |o| {
            let place = (i + self.kernel).checked_sub(self.start(o))?;
            (place < self.kernel).then_some((o, place))
        })
    }
}

/// `x` `[N, bins channels]` to `[N', bins' frames.kernel bins.kernel channels]`, and the new layout.
pub fn patches(x: &Tensor, lengths: &Lengths, channels: usize, frames: Axis, bins: Axis) -> Result<(Tensor, Lengths)> {
    let after = lengths.subsampled(frames.stride);
    let count = x.dim(1)? / channels.max(1);
    let op = Patches { before: lengths.clone(), after: after.clone(), channels, count, frames, bins };
    Ok((x.contiguous()?.apply_op1(op)?, after))
}

/// Every `factor` neighbouring frames of `x` `[N, F]` become one, side by side: `[N', factor F]`, and the new layout.
/// The last group of an utterance is filled up with zeros.
pub fn subsample(x: &Tensor, lengths: &Lengths, factor: usize) -> Result<(Tensor, Lengths)> {
    if factor == 1 {
        return Ok((x.clone(), lengths.clone()));
    }
    let all = Axis { kernel: 1, stride: 1 };
    patches(x, lengths, x.dim(1)?, Axis { kernel: factor, stride: factor }, all)
}

struct Patches {
    before: Lengths,
    after: Lengths,
    channels: usize,
    /// Bins of a frame.
    count: usize,
    frames: Axis,
    bins: Axis,
}

impl Patches {
    /// Numbers of one frame of a patch, of a patch, of a row of patches.
    fn widths(&self) -> (usize, usize, usize) {
        let frame = self.bins.kernel * self.channels;
        let patch = self.frames.kernel * frame;
        (frame, patch, self.bins.outputs(self.count) * patch)
    }

    fn check(&self, x: &Layout) -> Result<()> {
        let (rows, width) = x.shape().dims2()?;
        if rows != self.before.rows() || width != self.count * self.channels {
            bail!("patches: {rows} rows of {width} for lengths of {} frames", self.before.rows())
        }
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn on_gpu(&self) -> gpu::Patches<'_> {
        let (lengths, axes) = ([&self.before, &self.after], [self.frames, self.bins]);
        gpu::Patches { lengths, axes, channels: self.channels, bins: self.count }
    }

    fn gather<T: WithDType>(&self, x: &[T]) -> Vec<T> {
        let (frame, patch, row) = self.widths();
        let width = self.count * self.channels;
        let mut y = vec![T::zero(); self.after.rows() * row];
        y.par_chunks_mut(row.max(1)).zip(self.after.places().collect::<Vec<_>>()).for_each(|(y, (t, b))| {
            let (times, first) = self.frames.inside(t, self.before.sorted()[b]);
            for (time, from) in times.zip(first..) {
                let x = &x[self.before.row(from, b) * width..][..width];
                for (o, y) in y.chunks_exact_mut(patch).enumerate() {
                    let (bins, first) = self.bins.inside(o, self.count);
                    let y = &mut y[time * frame..][bins.start * self.channels..bins.end * self.channels];
                    y.copy_from_slice(&x[first * self.channels..][..y.len()]);
                }
            }
        });
        y
    }

    fn scatter<T: WithDType>(&self, dy: &[T]) -> Vec<T> {
        let (frame, patch, row) = self.widths();
        let width = self.count * self.channels;
        let mut dx = vec![T::zero(); self.before.rows() * width];
        dx.par_chunks_mut(width.max(1)).zip(self.before.places().collect::<Vec<_>>()).for_each(|(dx, (t, b))| {
            for (from, time) in self.frames.lookers(t, self.after.sorted()[b]) {
                let dy = &dy[self.after.row(from, b) * row..][..row];
                for (o, dy) in dy.chunks_exact(patch).enumerate() {
                    let (bins, first) = self.bins.inside(o, self.count);
                    let dy = &dy[time * frame..][bins.start * self.channels..bins.end * self.channels];
                    dx[first * self.channels..][..dy.len()].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += *dy);
                }
            }
        });
        dx
    }
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.check(layout)?;
        let y = match x {
            CpuStorage::F32(_) => CpuStorage::F32(self.gather(op::slice(x, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.gather(op::slice(x, layout)?)),
            _ => bail!("patches: only f32 and f64"),
        };
        Ok((y, (self.after.rows(), self.widths().2).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> gpu::Output {
        self.check(layout)?;
        self.on_gpu().gather(x, layout)
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (shape, dy) = (x.dims2()?, dy.contiguous()?);
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return Ok(Some(self.on_gpu().scatter(&dy)?));
        }
        let dx = match x.dtype() {
            DType::F64 => op::from_vec(op::with_slice::<f64, _>(&dy, |dy| self.scatter(dy))?, shape)?,
            _ => op::from_vec(op::with_slice::<f32, _>(&dy, |dy| self.scatter(dy))?, shape)?,
        };
        Ok(Some(dx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};
    use proptest::prelude::*;

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

    /// What [`patches`] promises, number by number, for one utterance.
    fn plainly(x: &[f64], count: usize, channels: usize, frames: Axis, bins: Axis) -> Vec<f64> {
        let steps = x.len() / (count * channels);
        let at = |axis: Axis, o: usize, k: usize| {
            (o * axis.stride + k) as isize - (axis.kernel as isize - axis.stride as isize).div_euclid(2)
        };
        let mut y = Vec::new();
        for t in 0..steps.div_ceil(frames.stride) {
            for f in 0..count.div_ceil(bins.stride) {
                for kt in 0..frames.kernel {
                    for kf in 0..bins.kernel {
                        let (t, f) = (at(frames, t, kt), at(bins, f, kf));
                        let inside = (0..steps as isize).contains(&t) && (0..count as isize).contains(&f);
                        let index = |c: usize| (t as usize * count + f as usize) * channels + c;
                        y.extend((0..channels).map(|c| if inside { x[index(c)] } else { 0.0 }));
                    }
                }
            }
        }
        y
    }

    fn axis() -> impl Strategy<Value = Axis> {
        (1..6_usize, 1..4_usize).prop_map(|(kernel, stride)| Axis { kernel, stride })
    }

    proptest! {
        /// The gradient of `sum(y z)` is z carried back; carrying and gathering are each other's transposes.
        #[test]
        fn looks_where_it_should_and_carries_back(
            steps in 1..9_usize, count in 1..7_usize, channels in 1..3_usize, frames in axis(), bins in axis(),
        ) {
            let lengths = Lengths::new(&[steps]);
            let x: Vec<f64> = (0..steps * count * channels).map(|i| (i as f64 * 0.7).sin()).collect();
            let op = Patches { after: lengths.subsampled(frames.stride), before: lengths, channels, count, frames, bins };
            let y = op.gather(&x);
            prop_assert_eq!(&y, &plainly(&x, count, channels, frames, bins));
            let z: Vec<f64> = (0..y.len()).map(|i| (i as f64 * 0.3).cos()).collect();
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            prop_assert!((dot(&y, &z) - dot(&x, &op.scatter(&z))).abs() < 1e-9);
        }
    }

    #[test]
    fn utterances_of_a_batch_do_not_mix() -> Result<()> {
        let axes = (Axis { kernel: 3, stride: 2 }, Axis { kernel: 2, stride: 1 });
        let row = |v: f64| [v, v + 0.5];
        let batch = Tensor::new(&[row(1.0), row(10.0), row(2.0), row(20.0), row(3.0)], &Device::Cpu)?;
        let (y, after) = patches(&batch, &Lengths::new(&[3, 2]), 1, axes.0, axes.1)?;
        let (a, _) = patches(
            &Tensor::new(&[row(1.0), row(2.0), row(3.0)], &Device::Cpu)?,
            &Lengths::new(&[3]),
            1,
            axes.0,
            axes.1,
        )?;
        let (b, _) =
            patches(&Tensor::new(&[row(10.0), row(20.0)], &Device::Cpu)?, &Lengths::new(&[2]), 1, axes.0, axes.1)?;
        let (y, a, b) = (y.to_vec2::<f64>()?, a.to_vec2::<f64>()?, b.to_vec2::<f64>()?);
        assert_eq!((&y[after.row(0, 0)], &y[after.row(1, 0)], &y[after.row(0, 1)]), (&a[0], &a[1], &b[0]));
        Ok(())
    }
}
