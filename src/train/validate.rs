//! How good a network is on a split: loss, PER, and whether it has collapsed into writing blanks only.
#![forbid(unsafe_code)]

use crate::corpus::{BatchLimits, Dataset, epoch, prefetch};
use crate::ctc;
use crate::decode::{Decoder, Greedy, LogProbs};
use crate::error::Result;
use crate::features::Cmvn;
use crate::model::{Mode, Network};
use crate::nn::op;
use crate::phones::PhoneSet;
use crate::score::{Protocol, Report, Score};
use candle_core::Tensor;
use std::ops::ControlFlow;

/// Measured on a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Mean loss of an utterance, in nats.
    pub loss: f64,
    /// Errors, by the protocol `arpabet`.
    pub score: Score,
    /// Share of the frames whose best class is the blank.
    pub blank_fraction: f64,
    /// Share of the utterances for which no phone at all was written.
    pub empty_fraction: f64,
}

/// Measures `network` on all of `set`, greedily.
pub fn validate(network: &Network, set: &Dataset, cmvn: &Cmvn, phones: &PhoneSet) -> Result<Validation> {
    let batches = epoch(set.frames(), BatchLimits::default(), 0, 0);
    let protocol = Protocol::named("arpabet")?;
    let mut report = Report::new(protocol.convention);
    let (mut loss, mut blanks, mut frames, mut empty) = (0.0, 0, 0, 0);
    let make = |i: usize| set.batch(&batches[i], cmvn);
    let _ = prefetch(batches.len(), make, |_, batch| {
        let shape = (batch.lengths.rows(), batch.dim);
        let x = Tensor::from_slice(&batch.features, shape, &network.params().device())?;
        let (logits, lengths) = network.forward(&x, &batch.lengths, Mode::Infer)?;
        let losses: Vec<f32> = op::to_vec(&ctc::loss(&logits, &batch.labels, &lengths)?)?;
        loss += losses.iter().map(|l| f64::from(*l)).sum::<f64>();
        let (classes, logits) = (phones.classes(), op::to_vec::<f32>(&logits)?);
        for (b, labels) in batch.labels.iter().enumerate() {
            let row = |t| &logits[lengths.row(t, b) * classes..][..classes];
            let own = (0..lengths.sorted()[b]).flat_map(row).copied().collect();
            let log_probs = LogProbs::from_logits(own, classes)?;
            frames += log_probs.frames();
            blanks += log_probs.rows().filter(|row| row[1..].iter().all(|p| *p <= row[0])).count();
            let hypothesis = &Greedy.decode(&log_probs)[0];
            empty += usize::from(hypothesis.phones.is_empty());
            let (reference, heard) = (phones.decode(labels.as_slice()), phones.decode(&hypothesis.phones));
            report.add("", &protocol.symbols(&reference), &protocol.symbols(&heard));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
    Ok(Validation {
        loss: loss / set.len() as f64,
        score: report.total,
        blank_fraction: share(blanks, frames),
        empty_fraction: share(empty, set.len()),
    })
}
