//! The loss as an operation on candle tensors, log-softmax inside.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::cuda;
use super::softmax::Posteriors;
use super::{cpu, reference};
#[cfg(feature = "cuda")]
use crate::cuda::{Call, tensors};
use crate::error::{Error, Result};
use crate::lengths::Lengths;
use crate::nn::op;
use crate::phones::Labels;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Storage, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;
use std::sync::OnceLock;

/// Minus the log probability of each utterance's labels, `[B]`, in the sorted order of `lengths`.
///
/// `logits` `[N, V]` are packed, class 0 is the blank; `labels[b]` belongs to sorted utterance b. Empty labels are
/// legal. A value that is not finite makes the loss of its own utterance NaN, and only that.
///
/// # Errors
/// [`Error::Infeasible`] if an utterance has fewer frames than its labels need.
pub fn loss(logits: &Tensor, labels: &[Labels], lengths: &Lengths) -> Result<Tensor> {
    if labels.len() != lengths.batch() {
        return Err(Error::invalid(format!("{} label sequences for {} utterances", labels.len(), lengths.batch())));
    }
    for (b, (labels, &frames)) in labels.iter().zip(lengths.sorted()).enumerate() {
        let needed = labels.frames_needed();
        if needed > frames {
            let utterance = format!("utterance {} of the batch", lengths.order()[b]);
            return Err(Error::Infeasible { utterance, labels: labels.as_slice().len(), needed, frames });
        }
    }
    let keep = logits.track_op();
    let (labels, lengths) = (labels.to_vec(), lengths.clone());
    let op = CtcLoss {
        labels,
        lengths,
        keep,
        posteriors: OnceLock::new(),
        #[cfg(feature = "cuda")]
        on_gpu: OnceLock::new(),
    };
    Ok(logits.contiguous()?.apply_op1(op)?)
}

struct CtcLoss {
    labels: Vec<Labels>,
    lengths: Lengths,
    /// Whether a backward pass may follow.
    keep: bool,
    /// By utterance, what the gradient is made of; f32 logits only.
    posteriors: OnceLock<Vec<Posteriors>>,
    /// What the gradient of logits on a GPU is made of.
    #[cfg(feature = "cuda")]
    on_gpu: OnceLock<cuda::Saved>,
}

impl CtcLoss {
    /// The rows of utterance `b`, as one block.
    fn rows_of<T: Copy>(&self, all: &[T], classes: usize, b: usize) -> Vec<T> {
        let row = |t| self.lengths.row(t, b) * classes;
        (0..self.lengths.sorted()[b]).flat_map(|t| &all[row(t)..row(t) + classes]).copied().collect()
    }

    fn forward(&self, logits: &[f32], classes: usize) -> Vec<f32> {
        let one = |b: usize| {
            let row = |t: usize| &logits[self.lengths.row(t, b) * classes..][..classes];
            cpu::loss(self.lengths.sorted()[b], row, &self.labels[b], self.keep)
        };
        let all: Vec<_> = (0..self.labels.len()).into_par_iter().map(one).collect();
        let losses = all.iter().map(|(loss, _)| *loss as f32).collect();
        let _ = self.posteriors.set(all.into_iter().filter_map(|(_, posteriors)| posteriors).collect());
        losses
    }

    /// The gradient by f32 logits: frame by frame, so that threads write apart from each other.
    fn gradient(&self, posteriors: &[Posteriors], logits: &[f32], upstream: &[f32], classes: usize) -> Vec<f32> {
        let mut out = vec![0.0; logits.len()];
        let mut rest = &mut out[..];
        let mut frames = Vec::with_capacity(self.lengths.steps());
        for t in 0..self.lengths.steps() {
            let (frame, later) = rest.split_at_mut(self.lengths.active(t) * classes);
            frames.push(frame);
            rest = later;
        }
        frames.into_par_iter().enumerate().for_each(|(t, frame)| {
            let logits = &logits[self.lengths.offset(t) * classes..][..frame.len()];
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    let rows = frame.chunks_exact_mut(classes).zip(logits.chunks_exact(classes));
                    for (b, (out, logits)) in rows.enumerate() {
                        posteriors[b].gradient(t, self.labels[b].as_slice(), logits, upstream[b], out);
                    }
                },
            );
        });
        out
    }

    /// The number of classes.
    fn check(&self, logits: &Layout) -> candle_core::Result<usize> {
        let (rows, classes) = logits.shape().dims2()?;
        let most = self.labels.iter().flat_map(|l| l.as_slice()).map(|p| p.index()).max().unwrap_or(0);
        if rows != self.lengths.rows() || most >= classes {
            bail!("ctc-loss: {rows} rows of {classes} classes for {} frames and label {most}", self.lengths.rows())
        }
        Ok(classes)
    }

    /// Puts each utterance's gradient in its place, times its upstream gradient.
    fn scatter(&self, gradients: &[Vec<f64>], upstream: &[f64], classes: usize) -> Vec<f64> {
        let mut out = vec![0.0; self.lengths.rows() * classes];
        for ((t, b), to) in self.lengths.places().zip(out.chunks_exact_mut(classes)) {
            let from = &gradients[b][t * classes..(t + 1) * classes];
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from * upstream[b]);
        }
        out
    }
}

impl CustomOp1 for CtcLoss {
    fn name(&self) -> &'static str {
        "ctc-loss"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let classes = self.check(layout)?;
        let losses = match logits {
            CpuStorage::F32(_) => CpuStorage::F32(self.forward(op::slice(logits, layout)?, classes)),
            CpuStorage::F64(_) => {
                let logits: &[f64] = op::slice(logits, layout)?;
                let one =
                    |(b, labels)| reference::loss_and_gradient(&self.rows_of(logits, classes, b), classes, labels).0;
                CpuStorage::F64(self.labels.iter().enumerate().map(one).collect())
            }
            _ => bail!("ctc-loss: only f32 and f64"),
        };
        Ok((losses, self.labels.len().into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, logits: &CudaStorage, layout: &Layout) -> candle_core::Result<(CudaStorage, Shape)> {
        let (classes, call) = (self.check(layout)?, Call(&logits.device));
        let Some((start, end)) = layout.contiguous_offsets() else { bail!("ctc-loss: the logits are not contiguous") };
        let view = logits.as_cuda_slice::<f32>()?.slice(start..end);
        if self.labels.iter().any(|l| l.as_slice().len() > cuda::MOST_LABELS) {
            // Too long for the kernel.
            return tensors::on_host(logits, layout, self.labels.len(), |logits| self.forward(logits, classes));
        }
        let (losses, saved) = cuda::loss(call, &view, classes, &self.labels, &self.lengths, self.keep)?;
        let _ = self.on_gpu.set(saved);
        Ok((CudaStorage::wrap_cuda_slice(losses, logits.device.clone()), self.labels.len().into()))
    }

    fn bwd(&self, logits: &Tensor, _losses: &Tensor, upstream: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let shape = logits.dims2()?;
        #[cfg(feature = "cuda")]
        if let Some(saved) = self.on_gpu.get() {
            return tensors::with([&logits.contiguous()?, &upstream.contiguous()?], |call, [logits, upstream]| {
                Ok(Some(tensors::tensor(call, cuda::gradient(call, saved, &logits, &upstream)?, shape)))
            });
        }
        let gradient = if logits.dtype() == DType::F64 {
            let all = op::to_vec::<f64>(logits)?;
            let one = |(b, labels)| reference::loss_and_gradient(&self.rows_of(&all, shape.1, b), shape.1, labels).1;
            let gradients: Vec<_> = self.labels.iter().enumerate().map(one).collect();
            op::from_vec(self.scatter(&gradients, &op::to_vec(upstream)?, shape.1), shape)?
        } else {
            let Some(posteriors) = self.posteriors.get() else { bail!("ctc-loss: the forward pass kept nothing") };
            let upstream = op::to_vec::<f32>(upstream)?;
            let gradient = match logits.storage_and_layout() {
                (storage, layout) if logits.device().is_cpu() => match &*storage {
                    Storage::Cpu(logits) => self.gradient(posteriors, op::slice(logits, layout)?, &upstream, shape.1),
                    _ => bail!("ctc-loss: logits that are not where they should be"),
                },
                _ => self.gradient(posteriors, &op::to_vec::<f32>(logits)?, &upstream, shape.1),
            };
            op::from_vec(gradient, shape)?
        };
        Ok(Some(gradient.to_device(logits.device())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::PhoneId;
    use candle_core::{Device, Var};

    #[test]
    fn infeasible_targets_are_refused_by_name() -> Result<()> {
        let lengths = Lengths::new(&[2, 3]);
        let logits = Tensor::zeros((5, 3), DType::F32, &Device::Cpu)?;
        let twice = Labels::new(vec![PhoneId(1), PhoneId(1)])?;
        let error = loss(&logits, &[twice.clone(), twice], &lengths).unwrap_err().to_string();
        assert_eq!(error, "utterance 0 of the batch: 2 labels need 3 frames, but there are only 2");
        Ok(())
    }

    #[test]
    fn f32_and_f64_agree_and_upstream_gradients_count() -> Result<()> {
        let lengths = Lengths::new(&[4, 0, 6]);
        let labels = [vec![1, 2, 2], vec![2], vec![]];
        let labels = labels
            .map(|l| Labels::new(l.into_iter().map(PhoneId).collect()))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let values: Vec<f64> = (0..30).map(|i| ((i * 7 % 13) as f64 - 6.0) / 3.0).collect();
        let weights = [1.0, 3.0, 5.0];
        let mut results = Vec::new();
        for dtype in [DType::F64, DType::F32] {
            let logits = Var::from_tensor(&Tensor::from_vec(values.clone(), (10, 3), &Device::Cpu)?.to_dtype(dtype)?)?;
            let losses = loss(&logits, &labels, &lengths)?;
            let weights = Tensor::new(&weights, &Device::Cpu)?.to_dtype(dtype)?;
            let gradients = losses.mul(&weights)?.sum_all()?.backward()?;
            let Some(gradient) = gradients.get(&logits) else { panic!("no gradient") };
            let flat =
                |t: &Tensor| -> Result<Vec<f64>> { Ok(op::to_vec::<f64>(&t.flatten_all()?.to_dtype(DType::F64)?)?) };
            results.push((flat(&losses)?, flat(gradient)?));
        }
        assert_eq!(results[0].0[2], 0.0);
        for (a, b) in results[0].0.iter().zip(&results[1].0).chain(results[0].1.iter().zip(&results[1].1)) {
            assert!((a - b).abs() < 1e-5);
        }
        Ok(())
    }

    /// Whatever path serves: small and large logits, labels with repeats, few frames and many.
    #[test]
    fn gradients_are_the_definitions_for_all_kinds_of_logits() -> Result<()> {
        let mut rng = crate::rng::Rng::stream(5, "ctc op", 0);
        for case in 0..60 {
            let spread = [0.1, 1.0, 5.0, 20.0, 60.0, 150.0][case % 6];
            let classes = [3, 17, 40][case / 6 % 3];
            let frames: Vec<usize> = (0..3).map(|_| 1 + rng.below(60)).collect();
            let lengths = Lengths::new(&frames);
            let mut labels = Vec::new();
            for &most in lengths.sorted() {
                let all = (0..rng.below(most / 2 + 1)).map(|_| PhoneId(1 + rng.below(classes - 1) as u16));
                labels.push(Labels::new(all.collect())?);
            }
            let values: Vec<f32> = (0..lengths.rows() * classes).map(|_| spread * rng.normal()).collect();
            let gradient = |dtype: DType| -> Result<Vec<f64>> {
                let values = Tensor::from_slice(&values, (lengths.rows(), classes), &Device::Cpu)?;
                let logits = Var::from_tensor(&values.to_dtype(dtype)?)?;
                let gradients = loss(&logits, &labels, &lengths)?.sum_all()?.backward()?;
                let Some(gradient) = gradients.get(&logits) else { panic!("no gradient") };
                Ok(op::to_vec::<f64>(&gradient.to_dtype(DType::F64)?)?)
            };
            let pairs = gradient(DType::F32)?.into_iter().zip(gradient(DType::F64)?);
            let worst = pairs.fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst < 2e-6, "case {case}, spread {spread}: {worst}");
        }
        Ok(())
    }

    #[test]
    fn a_graph_can_be_walked_twice() -> Result<()> {
        let logits = Var::from_tensor(&Tensor::arange(0.0_f32, 12.0, &Device::Cpu)?.reshape((4, 3))?.sin()?)?;
        let lengths = Lengths::new(&[4]);
        let loss = loss(&logits, &[Labels::new(vec![PhoneId(2)])?], &lengths)?.affine(3.0, 0.0)?.sum_all()?;
        let gradient = || -> Result<Vec<f32>> {
            let Some(gradient) = loss.backward()?.get(&logits).cloned() else { panic!("no gradient") };
            Ok(op::to_vec::<f32>(&gradient)?)
        };
        assert_eq!(gradient()?, gradient()?);
        Ok(())
    }
}
