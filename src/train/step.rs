//! One update: forward, loss, backward, clipping, the optimiser's step, the running average.
#![forbid(unsafe_code)]

use super::checkpoint::Average;
use super::expected::expected_errors;
use super::recipe::TrainConfig;
use crate::corpus::Batch;
use crate::ctc;
use crate::error::Result;
use crate::model::{Mode, Network};
use crate::nn::collect::Collector;
#[cfg(feature = "cuda")]
use crate::nn::gpu::Uploads;
use crate::nn::op;
use crate::nn::optim::{Gradients, OptimizerState, norm};
#[cfg(feature = "cuda")]
use crate::nn::optim::{Norm, Resident, ResidentStep};
use crate::nn::params::Params;
use crate::rng::Rng;
#[cfg(feature = "cuda")]
use candle_core::Device;
use candle_core::Tensor;

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Utterances of the batch.
    pub utterances: usize,
    /// Sum of their losses.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Whether the weights were changed: not if the loss or the gradient is not finite.
    pub applied: bool,
}

/// What changes with every update.
pub struct Learner {
    /// The network.
    pub network: Network,
    /// The optimiser; where `resident` is something, what it remembers is there.
    pub optimizer: OptimizerState,
    /// The averaged weights, likewise.
    pub average: Average,
    /// The optimiser's memory on a GPU.
    #[cfg(feature = "cuda")]
    resident: Option<Resident>,
    /// Where batches wait for a GPU to copy them.
    #[cfg(feature = "cuda")]
    uploads: Uploads,
    /// Updates that nobody has asked for yet.
    done: Vec<Done>,
}

/// An update, or where to read on a GPU what it did.
enum Done {
    Known(Update),
    #[cfg(feature = "cuda")]
    OnGpu {
        losses: Tensor,
        norm: Norm,
    },
}

impl Learner {
    /// The parts on `device`; `averages` says whether an average is kept.
    pub fn new(network: Network, optimizer: OptimizerState, average: Average, averages: bool) -> Result<Self> {
        #[cfg(not(feature = "cuda"))]
        let _ = averages;
        Ok(Self {
            #[cfg(feature = "cuda")]
            resident: match network.params().device().is_cuda() {
                true => Some(Resident::new(network.params(), &optimizer, averages.then_some(&average))?),
                false => None,
            },
            #[cfg(feature = "cuda")]
            uploads: Uploads::default(),
            network,
            optimizer,
            average,
            done: Vec::new(),
        })
    }

    /// What the updates did since the last call, in order. Waits for a GPU to have ended them.
    pub fn finished(&mut self) -> Result<Vec<Update>> {
        let read = |done: Done| match done {
            Done::Known(update) => Ok(update),
            #[cfg(feature = "cuda")]
            Done::OnGpu { losses, norm } => {
                let (losses, gradient_norm) = (op::to_vec::<f32>(&losses)?, norm.read()?);
                let loss = losses.iter().map(|l| f64::from(*l)).sum();
                Ok(Update { utterances: losses.len(), loss, gradient_norm, applied: gradient_norm.is_finite() })
            }
        };
        self.done.drain(..).map(read).collect()
    }

    /// Brings what is on a GPU to the host: the weights, and into `optimizer` and `average` what they remember.
    pub fn synchronise(&mut self) -> Result<Params> {
        #[cfg(feature = "cuda")]
        if let Some(resident) = &self.resident {
            resident.download(&mut self.optimizer, &mut self.average)?;
            return Ok(self.network.params().to_device(&Device::Cpu)?);
        }
        Ok(self.network.params().clone())
    }

    /// The features of a batch, `[N, F]`, where the network is.
    fn features(&mut self, batch: &Batch) -> Result<Tensor> {
        let (shape, device) = ((batch.lengths.rows(), batch.dim), self.network.params().device());
        #[cfg(feature = "cuda")]
        if let Device::Cuda(cuda) = &device {
            return Ok(self.uploads.tensor(cuda, &batch.features, shape)?);
        }
        Ok(Tensor::from_slice(&batch.features, shape, &device)?)
    }

    /// Changes weights by their gradients, which are scaled down to the norm that `config` allows. If their norm is not
    /// finite, nothing is changed.
    fn apply(&mut self, losses: &Tensor, gradients: &Gradients, rate: f32, config: &TrainConfig) -> Result<()> {
        let number = self.optimizer.step + 1;
        #[cfg(feature = "cuda")]
        if let Some(resident) = &mut self.resident {
            let rule = (&self.optimizer.rule, number);
            let follow = 1.0 - decay(config.average_decay, number);
            let step = ResidentStep { rate, limit: config.clip_norm, follow };
            let norm = resident.update(rule, self.network.params(), gradients, step)?;
            self.done.push(Done::OnGpu { losses: losses.detach(), norm });
            self.optimizer.step = number;
            return Ok(());
        }
        let loss = sum(losses)?;
        let (norm, limit) = (norm(gradients)?, f64::from(config.clip_norm));
        if norm.is_finite() {
            let scale = if limit > 0.0 && norm > limit { (limit / norm) as f32 } else { 1.0 };
            self.optimizer.update(self.network.params(), gradients, rate, scale)?;
            if config.average_decay > 0.0 {
                follow(&mut self.average, self.network.params(), decay(config.average_decay, number))?;
            }
        }
        let (utterances, applied) = (losses.elem_count(), norm.is_finite());
        self.done.push(Done::Known(Update { utterances, loss, gradient_norm: norm, applied }));
        Ok(())
    }
}

fn sum(losses: &Tensor) -> Result<f64> {
    Ok(op::to_vec::<f32>(losses)?.iter().map(|l| f64::from(*l)).sum())
}

/// Updates the network by the mean loss of a batch; `rate` is the learning rate. [`Learner::finished`] tells what it did: on
/// a GPU, which nobody waits for here, that is known only later.
pub fn update(learner: &mut Learner, batch: &Batch, rate: f32, config: &TrainConfig, dropout: &mut Rng) -> Result<()> {
    let x = learner.features(batch)?;
    let (network, collector) = (&learner.network, Collector::new());
    let ((logits, lengths), guesses) = network.forward_with_guesses(&x, &batch.lengths, Mode::Train(dropout))?;
    let losses = ctc::loss(&logits, &batch.labels, &lengths)?;
    if losses.device().is_cpu() {
        let loss = sum(&losses)?;
        if !loss.is_finite() {
            let (utterances, gradient_norm) = (batch.labels.len(), f64::NAN);
            learner.done.push(Done::Known(Update { utterances, loss, gradient_norm, applied: false }));
            return Ok(());
        }
    }
    let mut total = losses.mean_all()?;
    if let Some(wanted) = &config.expected_errors {
        let errors = expected_errors(&logits, &batch.labels, &lengths, wanted.hypotheses)?.mean_all()?;
        let share = f64::from(wanted.ctc_share);
        total = ((total * share)? + (errors * (1.0 - share))?)?;
    }
    if !guesses.is_empty() {
        // The guesses share their weight among them, the last layer has the rest.
        let share = f64::from(config.guess_weight);
        total = (total * (1.0 - share))?;
        for (logits, lengths) in &guesses {
            let own = ctc::loss(logits, &batch.labels, lengths)?.mean_all()?;
            total = (total + (own * (share / guesses.len() as f64))?)?;
        }
    }
    let gradients = collector.gradients(&total, network.params())?;
    learner.apply(&losses, &gradients, rate, config)
}

/// The share of the average that stays at an update. Early on less stays than `wanted`, so that the first weights are soon
/// forgotten.
fn decay(wanted: f32, step: u64) -> f32 {
    wanted.min((1.0 + step as f32) / (10.0 + step as f32))
}

/// Moves the running average of the weights towards `params`.
fn follow(average: &mut Average, params: &Params, decay: f32) -> Result<()> {
    for (name, var) in params.iter() {
        op::with_slice(var, |values: &[f32]| match average.get_mut(name) {
            Some(own) => own.iter_mut().zip(values).for_each(|(a, v)| *a += (1.0 - decay) * (v - *a)),
            None => drop(average.insert(name.to_owned(), values.to_vec())),
        })?;
    }
    Ok(())
}
