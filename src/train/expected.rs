//! Errors instead of likelihood: the expected number of wrong phones over an n-best list (Graves & Jaitly 2014, section 4,
//! who sample; the list of a beam search as in Prabhavalkar et al. 2018, "Minimum word error rate training").
#![forbid(unsafe_code)]

use crate::ctc;
use crate::decode::{Beam, Decoder, LogProbs};
use crate::error::Result;
use crate::lengths::Lengths;
use crate::nn::op;
use crate::phones::{Labels, PhoneId};
use crate::score::{Convention, Edit, align};
use candle_core::{D, Tensor};
use candle_nn::ops::softmax;
use rayon::prelude::*;

/// Each utterance's expected errors, `[B]`, in the sorted order of `lengths`: the edit distances of its `hypotheses` best
/// transcripts to its labels, weighed by their probabilities, which are made to add up to one.
///
/// `logits` `[N, V]` are packed, class 0 is the blank; `labels[b]` belongs to sorted utterance b. Its gradient moves
/// probability between the transcripts of the list, so that a network must know the task before it can learn from it.
pub fn expected_errors(logits: &Tensor, labels: &[Labels], lengths: &Lengths, hypotheses: usize) -> Result<Tensor> {
    let lists = n_best(logits, lengths, hypotheses)?;
    let (mut log_probs, mut errors) = (Vec::new(), Vec::new());
    for n in 0..hypotheses {
        // A shorter list is filled up with its best transcript, whose share is then nothing.
        let nth: Vec<Labels> = lists.iter().map(|list| list.get(n).unwrap_or(&list[0]).clone()).collect();
        let missing: Vec<f32> = lists.iter().map(|list| if n < list.len() { 0.0 } else { -1e9 }).collect();
        let loss = ctc::loss(logits, &nth, lengths)?;
        log_probs.push((Tensor::new(missing, logits.device())? - loss)?);
        errors.extend(labels.iter().zip(&nth).map(|(said, heard)| distance(said, heard)));
    }
    let shares = softmax(&Tensor::stack(&log_probs, D::Minus1)?, D::Minus1)?;
    let errors = Tensor::from_vec(errors, (hypotheses, labels.len()), logits.device())?.t()?;
    Ok((shares * errors)?.sum(D::Minus1)?)
}

/// The best transcripts of every utterance, at least one.
fn n_best(logits: &Tensor, lengths: &Lengths, hypotheses: usize) -> Result<Vec<Vec<Labels>>> {
    let classes = logits.dim(1)?;
    let logits = op::to_vec::<f32>(logits)?;
    let row = |b: usize, t: usize| &logits[lengths.row(t, b) * classes..][..classes];
    let list = |b: usize| {
        let own = (0..lengths.sorted()[b]).flat_map(|t| row(b, t)).copied().collect();
        let found = Beam { width: hypotheses }.decode(&LogProbs::from_logits(own, classes)?);
        found.into_iter().map(|hypothesis| Labels::new(hypothesis.phones)).collect()
    };
    (0..lengths.batch()).into_par_iter().map(list).collect()
}

fn distance(said: &Labels, heard: &Labels) -> f32 {
    let edits = align::<PhoneId>(said.as_slice(), heard.as_slice(), Convention::Levenshtein);
    edits.iter().filter(|edit| !matches!(edit, Edit::Match(_))).count() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn labels(of: &[&[u16]]) -> Result<Vec<Labels>> {
        of.iter().map(|l| Labels::new(l.iter().map(|p| PhoneId(*p)).collect())).collect()
    }

    /// Two frames, two phones: all seven transcripts are in a list of seven, their chances can be counted by hand.
    #[test]
    fn is_the_mean_over_all_transcripts() -> Result<()> {
        let lengths = Lengths::new(&[2, 1]);
        let p = [[0.5_f32, 0.3, 0.2], [0.6, 0.1, 0.3], [0.2, 0.7, 0.1]];
        let at = |b: usize, t: usize| p[lengths.row(t, b)];
        let (first, second) = (at(0, 0), at(0, 1));
        let logits: Vec<f32> = p.iter().flatten().map(|p| p.ln()).collect();
        let logits = Tensor::from_vec(logits, (3, 3), &Device::Cpu)?;
        let errors: Vec<f32> = op::to_vec(&expected_errors(&logits, &labels(&[&[1], &[2]])?, &lengths, 7)?)?;
        // [1] is right; [] and [2] have one error, [1, 2] and [2, 1] too; [1, 1] and [2, 2] need a blank between.
        let right = first[1] * second[1] + first[0] * second[1] + first[1] * second[0];
        assert!((errors[0] - (1.0 - right)).abs() < 1e-5, "{errors:?} {right}");
        assert!((errors[1] - (1.0 - at(1, 0)[2])).abs() < 1e-5, "{errors:?}");
        Ok(())
    }

    #[test]
    fn its_gradient_is_its_slope_and_lowers_it() -> Result<()> {
        let lengths = Lengths::new(&[6, 4]);
        let labels = labels(&[&[1, 2, 1], &[2]])?;
        let mut rng = crate::rng::Rng::stream(4, "expected", 0);
        let values: Vec<f32> = (0..30).map(|_| rng.normal()).collect();
        let total = |values: &[f32]| -> Result<(Var, Tensor)> {
            let logits = Var::from_vec(values.to_vec(), (10, 3), &Device::Cpu)?;
            let errors = expected_errors(&logits, &labels, &lengths, 300)?.sum_all()?;
            Ok((logits, errors))
        };
        let (logits, errors) = total(&values)?;
        let before: f32 = errors.to_scalar()?;
        let gradients = errors.backward()?;
        let Some(gradient) = gradients.get(&logits) else { panic!("no gradient") };
        let gradient: Vec<f32> = op::to_vec(gradient)?;
        for n in 0..values.len() {
            let moved = |by: f32| -> Result<f32> {
                let mut values = values.clone();
                values[n] += by;
                Ok(total(&values)?.1.to_scalar()?)
            };
            let slope = (moved(1e-2)? - moved(-1e-2)?) / 2e-2;
            assert!((slope - gradient[n]).abs() < 1e-3, "{n}: {slope} {}", gradient[n]);
        }
        let down: Vec<f32> = values.iter().zip(&gradient).map(|(v, g)| v - 0.3 * g).collect();
        assert!(total(&down)?.1.to_scalar::<f32>()? < before);
        Ok(())
    }
}
