//! One update: forward, loss, backward, clipping, the optimiser's step, the running average.
#![forbid(unsafe_code)]

use super::checkpoint::Average;
use super::expected::expected_errors;
use super::recipe::TrainConfig;
use crate::corpus::Batch;
use crate::ctc;
use crate::error::Result;
use crate::model::{Mode, Network};
use crate::nn::op;
use crate::nn::optim::{OptimizerState, gradients, norm};
use crate::nn::params::Params;
use crate::rng::Rng;
use candle_core::{Device, Tensor};

/// What an update did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Sum of the utterances' losses.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Whether the weights were changed: not if the loss or the gradient is not finite.
    pub applied: bool,
}

/// Updates `network` by the mean loss of a batch; `rate` is the learning rate.
pub fn update(
    network: &Network,
    optimizer: &mut OptimizerState,
    batch: &Batch,
    rate: f32,
    config: &TrainConfig,
    dropout: &mut Rng,
) -> Result<Update> {
    let x = Tensor::from_slice(&batch.features, (batch.lengths.rows(), batch.dim), &Device::Cpu)?;
    let ((logits, lengths), guesses) = network.forward_with_guesses(&x, &batch.lengths, Mode::Train(dropout))?;
    let losses = ctc::loss(&logits, &batch.labels, &lengths)?;
    let loss = op::to_vec::<f32>(&losses)?.iter().map(|l| f64::from(*l)).sum::<f64>();
    if !loss.is_finite() {
        return Ok(Update { loss, gradient_norm: f64::NAN, applied: false });
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
    let gradients = gradients(network.params(), &total.backward()?)?;
    let gradient_norm = norm(&gradients)?;
    if !gradient_norm.is_finite() {
        return Ok(Update { loss, gradient_norm, applied: false });
    }
    let limit = f64::from(config.clip_norm);
    let scale = if limit > 0.0 && gradient_norm > limit { (limit / gradient_norm) as f32 } else { 1.0 };
    optimizer.update(network.params(), &gradients, rate, scale)?;
    Ok(Update { loss, gradient_norm, applied: true })
}

/// Moves the running average of the weights towards `params`. Early on it moves faster than `decay` says, so that the
/// first weights are soon forgotten.
pub fn follow(average: &mut Average, params: &Params, decay: f32, step: u64) -> Result<()> {
    let decay = decay.min((1.0 + step as f32) / (10.0 + step as f32));
    for (name, var) in params.iter() {
        op::with_slice(var, |values: &[f32]| match average.get_mut(name) {
            Some(own) => own.iter_mut().zip(values).for_each(|(a, v)| *a += (1.0 - decay) * (v - *a)),
            None => drop(average.insert(name.to_owned(), values.to_vec())),
        })?;
    }
    Ok(())
}
