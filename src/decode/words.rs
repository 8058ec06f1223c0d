//! Beam search for words: the pronunciations of a dictionary as a tree, perhaps with an n-gram model of words.
//!
//! A transcript is a way through the tree, from its root to where a word ends and to the root again. The model's probability
//! is known where a word ends; until then, that of the most probable word that can still come stands in for it (Ortmanns, Ney
//! & Eiden 1996, "Language-model look-ahead for large vocabulary speech recognition"), by the model of single words.
#![forbid(unsafe_code)]

use super::grammar::{Extension, Grammar};
use super::phone_lm::Fusion;
use super::{Decoder, Hypothesis, LogProbs, beam};
use crate::error::{Error, Result};
use crate::lexicon::{Lexicon, WordId};
use crate::lm::{Context, NGram, WordIndex};
use crate::phones::PhoneId;
use std::collections::HashMap;

/// Prefix beam search for the words of a dictionary.
#[derive(Clone, Debug)]
pub struct WordBeam {
    /// Prefixes kept in every frame.
    pub width: usize,
    tree: Tree,
    model: Option<WordModel>,
    fusion: Fusion,
    /// By word, what is added to its logarithm.
    boosts: HashMap<WordId, f32>,
    most_boost: f32,
}

#[derive(Clone, Debug)]
struct WordModel {
    model: NGram,
    /// By word of the dictionary, its index in the model.
    indices: Vec<WordIndex>,
    /// The logarithm of a word's share of what the model gives to all that it does not know: they share it equally.
    share_of_unknown: f32,
}

/// A dictionary as a tree. The root is node 0; the children of a node lie side by side, sorted by their phones.
#[derive(Clone, Debug, Default)]
struct Tree {
    phones: Vec<PhoneId>,
    /// By node, its first child; one past the last at the end.
    children: Vec<u32>,
    /// By node, the first of the words that end there; one past the last at the end.
    first_words: Vec<u32>,
    words: Vec<WordId>,
    /// By node, the logarithm of the best word at or below it: by the model of single words, and its boost.
    ahead: Vec<f32>,
}

impl Tree {
    /// `worth` is the logarithm of a word by itself.
    fn new(lexicon: &Lexicon, worth: impl Fn(WordId) -> f32) -> Self {
        let said = |id: WordId| lexicon.pronunciations(id).map(move |phones| (phones, id));
        let mut all: Vec<(&[PhoneId], WordId)> = lexicon.ids().flat_map(said).collect();
        all.sort_unstable();
        let mut tree = Self { phones: vec![PhoneId::BLANK], ..Self::default() };
        // Level by level: each node is a range of the sorted pronunciations, and how much of them it has read.
        let whole = 0..all.len();
        let mut level = vec![whole];
        let mut depth = 0;
        while !level.is_empty() {
            let mut next = Vec::new();
            for range in level {
                let ends = all[range.clone()].iter().take_while(|(phones, _)| phones.len() == depth).count();
                tree.first_words.push(tree.words.len() as u32);
                tree.words.extend(all[range.start..range.start + ends].iter().map(|(_, word)| *word));
                tree.children.push((tree.phones.len()) as u32);
                let mut start = range.start + ends;
                for group in all[start..range.end].chunk_by(|a, b| a.0[depth] == b.0[depth]) {
                    tree.phones.push(group[0].0[depth]);
                    next.push(start..start + group.len());
                    start += group.len();
                }
            }
            level = next;
            depth += 1;
        }
        tree.children.push(tree.phones.len() as u32);
        tree.first_words.push(tree.words.len() as u32);
        tree.ahead = vec![f32::NEG_INFINITY; tree.phones.len()];
        for node in (0..tree.phones.len()).rev() {
            let own = tree.words_at(node as u32).iter().map(|word| worth(*word)).fold(f32::NEG_INFINITY, f32::max);
            let below = tree.children[node] as usize..tree.children[node + 1] as usize;
            tree.ahead[node] = tree.ahead[below].iter().copied().fold(own, f32::max);
        }
        tree
    }

    fn child(&self, node: u32, phone: PhoneId) -> Option<u32> {
        let start = self.children[node as usize] as usize;
        let all = &self.phones[start..self.children[node as usize + 1] as usize];
        // There are at most as many as phones, of most nodes one or two.
        all.iter().position(|p| *p == phone).map(|n| (start + n) as u32)
    }

    fn words_at(&self, node: u32) -> &[WordId] {
        let node = node as usize;
        &self.words[self.first_words[node] as usize..self.first_words[node + 1] as usize]
    }
}

impl WordBeam {
    /// A search for the words of `lexicon`, with an n-gram model of words if there is one. `hotwords` are words and what is
    /// added to the logarithm of their probability.
    ///
    /// # Errors
    /// If the dictionary has no words, a hotword is not in it, or the model knows none of its words.
    pub fn new(
        width: usize,
        lexicon: &Lexicon,
        model: Option<NGram>,
        fusion: Fusion,
        hotwords: &[(String, f32)],
    ) -> Result<Self> {
        if lexicon.is_empty() {
            return Err(Error::invalid("a dictionary without words"));
        }
        let mut boosts = HashMap::new();
        for (word, boost) in hotwords {
            let missing = || Error::invalid(format!("the hotword {word:?} is not in the dictionary"));
            boosts.insert(lexicon.find(word).ok_or_else(missing)?, *boost);
        }
        let model = model.map(|model| WordModel::new(model, lexicon)).transpose()?;
        let boost = |word: WordId| boosts.get(&word).copied().unwrap_or(0.0);
        let single = |word: WordId| match &model {
            Some(model) => fusion.weight * model.score(Context::default(), word).0,
            None => 0.0,
        };
        let tree = Tree::new(lexicon, |word| single(word) + boost(word));
        let most_boost = boosts.values().copied().fold(0.0, f32::max);
        Ok(Self { width, tree, model, fusion, boosts, most_boost })
    }
}

impl WordModel {
    fn new(model: NGram, lexicon: &Lexicon) -> Result<Self> {
        let index = |id: WordId| model.index(lexicon.word(id));
        if lexicon.ids().all(|id| index(id).is_none()) {
            return Err(Error::invalid("the language model knows no word of the dictionary"));
        }
        let indices: Vec<WordIndex> = lexicon.ids().map(|id| index(id).unwrap_or(model.unknown())).collect();
        let unknown = indices.iter().filter(|index| **index == model.unknown()).count();
        Ok(Self { share_of_unknown: -(unknown.max(1) as f32).ln(), model, indices })
    }

    /// The log probability of a word after a context, and the context after it.
    fn score(&self, context: Context, word: WordId) -> (f32, Context) {
        let index = self.indices[word.0 as usize];
        let (log_prob, next) = self.model.score(context, index);
        (if index == self.model.unknown() { log_prob + self.share_of_unknown } else { log_prob }, next)
    }
}

impl Decoder for WordBeam {
    fn decode(&self, log_probs: &LogProbs) -> Vec<Hypothesis> {
        self.decode_best(log_probs, self.width)
    }

    fn decode_best(&self, log_probs: &LogProbs, most: usize) -> Vec<Hypothesis> {
        beam::search(log_probs, self.width, most, &mut WordGrammar { decoder: self })
    }
}

struct WordGrammar<'a> {
    decoder: &'a WordBeam,
}

/// A place in the tree, and the words before.
#[derive(Clone, Copy)]
struct Place {
    node: u32,
    context: Context,
}

impl WordGrammar<'_> {
    /// What is added to the logarithm for a word after a context, and the context after it.
    fn word(&self, context: Context, word: WordId) -> (f32, Context) {
        let WordBeam { model, fusion, boosts, .. } = self.decoder;
        let boost = boosts.get(&word).copied().unwrap_or(0.0);
        match model {
            Some(model) => {
                let (log_prob, next) = model.score(context, word);
                (fusion.weight * log_prob + fusion.bonus + boost, next)
            }
            None => (fusion.bonus + boost, context),
        }
    }
}

impl Grammar for WordGrammar<'_> {
    type State = Place;
    const SINGLE: bool = false;

    fn start(&mut self) -> Place {
        let context = self.decoder.model.as_ref().map_or(Context::default(), |m| m.model.start());
        Place { node: 0, context }
    }

    fn extend(&mut self, state: Place, phone: PhoneId, mut take: impl FnMut(Extension<Place>)) {
        let tree = &self.decoder.tree;
        let Some(child) = tree.child(state.node, phone) else { return };
        // The root has nothing ahead: all words are.
        let ahead = |node: u32| if node == 0 { 0.0 } else { tree.ahead[node as usize] };
        let so_far = ahead(state.node);
        if tree.children[child as usize] < tree.children[child as usize + 1] {
            let weight = f64::from(ahead(child) - so_far).exp();
            take(Extension { state: Place { node: child, ..state }, word: None, weight });
        }
        for &word in tree.words_at(child) {
            let (added, context) = self.word(state.context, word);
            let weight = f64::from(added - so_far).exp();
            take(Extension { state: Place { node: 0, context }, word: Some(word), weight });
        }
    }

    fn most(&self) -> f64 {
        // A word may turn out more probable after its context than by itself: then all that was taken for it comes back.
        let lowest = self.decoder.tree.ahead.iter().copied().fold(0.0, f32::min);
        f64::from(self.decoder.fusion.bonus.max(0.0) + self.decoder.most_boost - lowest).exp()
    }

    fn end(&mut self, state: Place) -> f64 {
        match &self.decoder.model {
            _ if state.node != 0 => 0.0,
            Some(WordModel { model, .. }) => {
                f64::from(self.decoder.fusion.weight * model.score(state.context, model.end()).0).exp()
            }
            None => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lm::Estimate;
    use crate::phones::PhoneSet;
    use crate::rng::Rng;
    use std::collections::BTreeMap;
    use std::path::Path;

    const FUSION: Fusion = Fusion { weight: 1.0, bonus: 0.0 };

    fn phones() -> Result<PhoneSet> {
        PhoneSet::new("x", &["a", "b", "c"])
    }

    fn lexicon(text: &str) -> Result<Lexicon> {
        Lexicon::parse(text.as_bytes(), Path::new("x"), &phones()?)
    }

    fn certain(path: &[usize]) -> Result<LogProbs> {
        let logits = path.iter().flat_map(|&p| (0..4).map(move |c| if c == p { 6.0 } else { 0.0 })).collect();
        LogProbs::from_logits(logits, 4)
    }

    fn said(lexicon: &Lexicon, beam: &WordBeam, log_probs: &LogProbs) -> Vec<String> {
        beam.decode(log_probs)[0].words.iter().map(|w| lexicon.word(w.word).to_owned()).collect()
    }

    #[test]
    fn words_come_from_the_dictionary() -> Result<()> {
        let lexicon = lexicon("ab a b\nabc a b c\nc c\nca c a\n")?;
        let beam = WordBeam::new(50, &lexicon, None, FUSION, &[])?;
        assert_eq!(said(&lexicon, &beam, &certain(&[1, 2, 0, 3, 1])?), ["ab", "ca"]);
        // The end of a recording in the middle of a word.
        assert_eq!(said(&lexicon, &beam, &certain(&[1, 2, 3, 0, 1])?).len(), 2);
        let found = &beam.decode(&certain(&[1, 2, 0, 3, 1])?)[0];
        assert_eq!(found.words.iter().map(|w| w.phones.clone()).collect::<Vec<_>>(), [0..2, 2..4]);
        let only = WordBeam::new(1, &self::lexicon("abc a b c")?, None, FUSION, &[])?;
        assert!(only.decode(&certain(&[1, 2])?)[0].words.is_empty());
        Ok(())
    }

    #[test]
    fn models_and_hotwords_choose_between_words_that_sound_the_same() -> Result<()> {
        let lexicon = lexicon("red a b\nread a b\nbook c\n")?;
        let log_probs = certain(&[1, 2, 0, 3])?;
        let text = vec![vec!["read", "book"], vec!["read", "book"], vec!["red"], vec!["red"], vec!["red"]];
        let model = Estimate::new(&text, 2)?.model;
        let with = WordBeam::new(50, &lexicon, Some(model.clone()), FUSION, &[])?;
        assert_eq!(said(&lexicon, &with, &log_probs), ["read", "book"]);
        let hot = WordBeam::new(50, &lexicon, Some(model), FUSION, &[("Red".into(), 5.0)])?;
        assert_eq!(said(&lexicon, &hot, &log_probs), ["red", "book"]);
        assert!(WordBeam::new(5, &lexicon, None, FUSION, &[("blue".into(), 1.0)]).is_err());
        Ok(())
    }

    /// Every transcript of words that a wide beam gives has the score that its words have, one by one.
    #[test]
    fn scores_are_the_networks_and_the_models() -> Result<()> {
        let lexicon = lexicon("x a\ny a b\nz b\nw b\n")?;
        let model = Estimate::new(&[vec!["x", "z"], vec!["y"], vec!["y", "w", "x"]], 3)?.model;
        let fusion = Fusion { weight: 0.6, bonus: 0.4 };
        let beam = WordBeam::new(5000, &lexicon, Some(model.clone()), fusion, &[])?;
        for seed in 0..5 {
            let mut rng = Rng::stream(seed, "words", 0);
            let log_probs = LogProbs::from_logits((0..5 * 4).map(|_| rng.normal()).collect(), 4)?;
            let free: BTreeMap<_, _> = beam::search(&log_probs, 5000, 5000, &mut super::super::grammar::Free)
                .into_iter()
                .map(|h| (h.phones, h.score))
                .collect();
            let found = beam.decode(&log_probs);
            assert!(found.len() > 20);
            for hypothesis in found {
                let words: Vec<&str> = hypothesis.words.iter().map(|w| lexicon.word(w.word)).collect();
                let expected = free[&hypothesis.phones]
                    + 0.6 * model.sentence(words.iter().copied()).0 as f32
                    + 0.4 * words.len() as f32;
                assert!((hypothesis.score - expected).abs() < 1e-4, "{words:?}: {} {expected}", hypothesis.score);
            }
        }
        Ok(())
    }
}
