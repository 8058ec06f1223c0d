//! Beam search with an n-gram model of phones: its log probability, weighed, is added for each phone, and a bonus that makes
//! up for the fewer phones that a model alone would give.
#![forbid(unsafe_code)]

use super::grammar::{Extension, Grammar};
use super::{Decoder, Hypothesis, LogProbs, beam};
use crate::error::{Error, Result};
use crate::lm::{Context, NGram, WordIndex};
use crate::phones::{PhoneId, PhoneSet};
use std::collections::HashMap;

/// How much a language model counts beside the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fusion {
    /// Of the logarithm of its probability.
    pub weight: f32,
    /// Added to the logarithm for each phone, or word.
    pub bonus: f32,
}

/// Prefix beam search with an n-gram model of phones.
#[derive(Clone, Debug)]
pub struct PhoneLmBeam {
    /// Prefixes kept in every frame.
    pub width: usize,
    model: NGram,
    /// By phone, its index in the model.
    indices: Vec<WordIndex>,
    fusion: Fusion,
}

impl PhoneLmBeam {
    /// Fails if the model has none of the phones: it is one of words, or of other phones.
    pub fn new(width: usize, model: NGram, phones: &PhoneSet, fusion: Fusion) -> Result<Self> {
        let known = |symbol: &String| model.index(symbol);
        let indices: Vec<WordIndex> =
            phones.symbols().iter().map(|symbol| known(symbol).unwrap_or(model.unknown())).collect();
        if phones.symbols()[1..].iter().all(|symbol| known(symbol).is_none()) {
            return Err(Error::invalid(format!("the language model knows none of the phones of {:?}", phones.name())));
        }
        Ok(Self { width, model, indices, fusion })
    }
}

impl Decoder for PhoneLmBeam {
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis> {
        self.decode_best(log_probs, self.width)
    }

    fn decode_best(&self, log_probs: &LogProbs, most: usize) -> Vec<Hypothesis> {
        beam::search(log_probs, self.width, most, &mut PhoneGrammar::new(self))
    }
}

/// The model as a table of what was asked for so far: a row a context.
struct PhoneGrammar<'a> {
    decoder: &'a PhoneLmBeam,
    contexts: Vec<Context>,
    rows: HashMap<Context, u32>,
    /// By row and phone; a weight that is no number where it is not known yet.
    table: Vec<(f64, u32)>,
}

impl<'a> PhoneGrammar<'a> {
    fn new(decoder: &'a PhoneLmBeam) -> Self {
        Self { decoder, contexts: Vec::new(), rows: HashMap::new(), table: Vec::new() }
    }

    fn row(&mut self, context: Context) -> u32 {
        let (contexts, table, classes) = (&mut self.contexts, &mut self.table, self.decoder.indices.len());
        *self.rows.entry(context).or_insert_with(|| {
            contexts.push(context);
            table.resize(contexts.len() * classes, (f64::NAN, 0));
            contexts.len() as u32 - 1
        })
    }
}

impl Grammar for PhoneGrammar<'_> {
    type State = u32;
    const SINGLE: bool = true;

    fn start(&mut self) -> u32 {
        self.row(self.decoder.model.start())
    }

    fn extend(&mut self, row: u32, phone: PhoneId, mut take: impl FnMut(Extension<u32>)) {
        let place = row as usize * self.decoder.indices.len() + phone.index();
        if self.table[place].0.is_nan() {
            let Fusion { weight, bonus } = self.decoder.fusion;
            let (log_prob, next) =
                self.decoder.model.score(self.contexts[row as usize], self.decoder.indices[phone.index()]);
            let weight = f64::from(weight * log_prob + bonus).exp();
            self.table[place] = (weight, self.row(next));
        }
        let (weight, state) = self.table[place];
        take(Extension { state, word: None, weight });
    }

    fn most(&self) -> f64 {
        f64::from(self.decoder.fusion.bonus).exp()
    }

    fn end(&mut self, row: u32) -> f64 {
        let (log_prob, _) = self.decoder.model.score(self.contexts[row as usize], self.decoder.model.end());
        f64::from(self.decoder.fusion.weight * log_prob).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::Estimate;

    fn decoder(weight: f32) -> Result<PhoneLmBeam> {
        let phones = PhoneSet::new("x", &["a", "b"])?;
        let model = Estimate::new(&[vec!["a", "b"], vec!["a", "b", "a", "b"], vec!["a", "b"]], 2)?.model;
        PhoneLmBeam::new(10, model, &phones, Fusion { weight, bonus: 0.0 })
    }

    #[test]
    fn the_model_decides_where_the_network_does_not() -> Result<()> {
        // a or b, then a or b a little less.
        let logits = vec![0.0, 3.0, 3.0, 3.0, 0.0, 0.0, 0.0, 3.05, 3.0];
        let log_probs = LogProbs::from_logits(logits, 3)?;
        let best = |weight: f32| -> Result<Vec<u16>> {
            Ok(decoder(weight)?.decode(&log_probs)[0].phones.iter().map(|p| p.0).collect())
        };
        assert_eq!(best(1.0)?, [1, 2]);
        assert_ne!(best(0.0)?, [1, 2]);
        Ok(())
    }

    #[test]
    fn scores_are_sums_over_paths_and_the_models() -> Result<()> {
        let mut rng = crate::rng::Rng::stream(1, "phone lm", 0);
        let log_probs = LogProbs::from_logits((0..5 * 3).map(|_| rng.normal()).collect(), 3)?;
        let with = decoder(0.7)?;
        let free = crate::decode::Beam { width: 1000 }.decode(&log_probs);
        for found in (PhoneLmBeam { width: 1000, ..with.clone() }).decode(&log_probs) {
            let names: Vec<&str> = found.phones.iter().map(|p| ["", "a", "b"][p.index()]).collect();
            let plain = free.iter().find(|h| h.phones == found.phones).map_or(0.0, |h| h.score);
            let expected = plain + 0.7 * with.model.sentence(names).0 as f32;
            assert!((found.score - expected).abs() < 1e-4, "{} {expected}", found.score);
        }
        Ok(())
    }

    #[test]
    fn a_model_of_words_is_refused() -> Result<()> {
        let model = Estimate::new(&[vec!["hello", "there"]], 2)?.model;
        let fusion = Fusion { weight: 1.0, bonus: 0.0 };
        assert!(PhoneLmBeam::new(10, model, &PhoneSet::arpabet39(), fusion).is_err());
        Ok(())
    }
}
