//! N-gram language models: how probable a word, or a phone, is after those before it.
//!
//! A model is a tree of n-grams in arrays, an order each: the continuations of a context lie side by side, sorted, and each
//! n-gram knows the one that is shorter by its first word. A context is the longest n-gram of the tree that ends it, so that
//! going on by a word is a search in one list, or in that of a shorter context with what backing off costs. ARPA files are
//! read and written (`arpa`), and models estimated from text (`kneser_ney`).
#![forbid(unsafe_code)]

mod arpa;
mod kneser_ney;

pub use kneser_ney::{Discounts, Estimate};

use crate::error::{Error, Result};
use crate::table;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A word's number in a model's vocabulary.
pub type WordIndex = u32;

/// What the built-in model's training transcripts say: data/lm/README.md.
const PHONES: &[u8] = include_bytes!("../../data/lm/phones.arpa.gz");
const WORDS: &[u8] = include_bytes!("../../data/lm/words.arpa.gz");

/// Longer n-grams than anybody uses.
const MOST_WORDS: usize = 16;

/// Begin of a sentence, its end, and any word that is not in the vocabulary.
const BEGIN: &str = "<s>";
const END: &str = "</s>";
const UNKNOWN: &str = "<unk>";

/// Log probability of a word that a model says nothing of (natural logarithm): ARPA's usual -99.
const NEVER: f32 = -99.0 * std::f32::consts::LN_10;

/// A back-off model.
#[derive(Clone, Debug, PartialEq)]
pub struct NGram {
    words: Vec<Box<str>>,
    indices: HashMap<Box<str>, WordIndex>,
    /// By order; those of one word stand at their word's place.
    orders: Vec<Table>,
    unknown: WordIndex,
    end: WordIndex,
}

/// All n-grams of an order, sorted by their context and their last word. Logarithms are natural ones.
#[derive(Clone, Debug, Default, PartialEq)]
struct Table {
    words: Vec<WordIndex>,
    log_probs: Vec<f32>,
    backoffs: Vec<f32>,
    /// By n-gram, the one without its first word in the order below.
    suffixes: Vec<u32>,
    /// By n-gram, its first continuation in the order above; one past the last at the end. None in the highest order.
    continuations: Vec<u32>,
}

/// The words before, as far as a model remembers them: an n-gram of `order` words, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Context {
    order: u32,
    place: u32,
}

/// N-grams by their words, with log probability and back-off weight: what a model is made from.
type Entries = BTreeMap<Box<[WordIndex]>, (f32, f32)>;

/// What an n-gram has whose probability is not listed: it follows from the shorter ones.
const IMPLIED: f32 = f32::NAN;

impl NGram {
    /// The model inside formant of the phones of English: 4-grams of ARPAbet in lower case without stress.
    pub fn phones() -> Self {
        Self::built_in(PHONES)
    }

    /// The model inside formant of English words: bigrams of 9,000 words, in lower case.
    pub fn english() -> Self {
        Self::built_in(WORDS)
    }

    fn built_in(packed: &[u8]) -> Self {
        let path = Path::new("<built-in language model>");
        let read = table::unpacked(packed, path).and_then(|text| Self::parse(&text, path));
        read.unwrap_or_else(|e| unreachable!("the built-in language models are tested: {e}"))
    }

    /// A model from its vocabulary and, by order, its n-grams. N-grams that others need as their context or their end, and
    /// that are not there, are filled in with what the shorter ones give.
    ///
    /// # Errors
    /// If there are no orders or no vocabulary.
    fn new(mut words: Vec<Box<str>>, mut entries: Vec<Entries>) -> Result<Self> {
        if entries.is_empty() || words.is_empty() {
            return Err(Error::invalid("a language model without words"));
        }
        for special in [UNKNOWN, BEGIN, END] {
            if !words.iter().any(|word| **word == *special) {
                words.push(special.into());
            }
        }
        for order in (1..entries.len()).rev() {
            let (below, this) = entries.split_at_mut(order);
            for words in this[0].keys() {
                for shorter in [&words[1..], &words[..order]] {
                    below[order - 1].entry(shorter.into()).or_insert((IMPLIED, 0.0));
                }
            }
        }
        let indices: HashMap<Box<str>, WordIndex> = words.iter().cloned().zip(0..).collect();
        let index = |word: &str| indices.get(word).copied().unwrap_or_default();
        let (unknown, end) = (index(UNKNOWN), index(END));
        let mut model = Self { words, indices, orders: Vec::new(), unknown, end };
        let single = |word: WordIndex| entries[0].get(&[word][..]).copied().unwrap_or((NEVER, 0.0));
        let mut unigrams = Table::default();
        for word in 0..model.words.len() as WordIndex {
            let (log_prob, backoff) = single(word);
            unigrams.push(word, if log_prob.is_nan() { NEVER } else { log_prob }, backoff, 0);
        }
        model.orders.push(unigrams);
        for order in 2..=entries.len() {
            model.push_order(&entries[order - 1]);
        }
        Ok(model)
    }

    /// Adds the n-grams of the next order. All their contexts and ends are in the orders below.
    fn push_order(&mut self, entries: &Entries) {
        let mut table = Table::default();
        let mut continuations = Vec::new();
        // Entries are sorted by their words as the tables are: contexts come in the order of their places.
        for (words, &(log_prob, backoff)) in entries {
            let (context, last) = (&words[..words.len() - 1], words[words.len() - 1]);
            let place = self.place(context) as usize;
            while continuations.len() <= place {
                continuations.push(table.words.len() as u32);
            }
            let suffix = self.place(&words[1..]);
            let log_prob = if log_prob.is_nan() {
                self.score(Context { order: context.len() as u32, place: place as u32 }, last).0
            } else {
                log_prob
            };
            table.push(last, log_prob, backoff, suffix);
        }
        let below = self.orders.len() - 1;
        continuations.resize(self.orders[below].words.len() + 1, table.words.len() as u32);
        self.orders[below].continuations = continuations;
        self.orders.push(table);
    }

    /// The place of an n-gram that is there.
    fn place(&self, words: &[WordIndex]) -> u32 {
        let mut place = words[0];
        for (below, &word) in words[1..].iter().enumerate() {
            place = self.continuation(below, place, word).unwrap_or_default();
        }
        place
    }

    /// The n-gram that is longer by `word` than the one at `place` of table `below`.
    fn continuation(&self, below: usize, place: u32, word: WordIndex) -> Option<u32> {
        let range = self.orders[below].continuations.get(place as usize..place as usize + 2)?;
        let (start, end) = (range[0] as usize, range[1] as usize);
        let found = self.orders.get(below + 1)?.words[start..end].binary_search(&word).ok()?;
        Some((start + found) as u32)
    }

    /// Words in the longest n-grams.
    pub fn order(&self) -> usize {
        self.orders.len()
    }

    /// How many n-grams there are of each order.
    pub fn counts(&self) -> Vec<usize> {
        self.orders.iter().map(|table| table.words.len()).collect()
    }

    /// The vocabulary, by index, with the marks of sentences and of unknown words.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// The index of a word; none if it is not in the vocabulary.
    pub fn index(&self, word: &str) -> Option<WordIndex> {
        self.indices.get(word).copied()
    }

    /// What stands for words that are not in the vocabulary.
    pub fn unknown(&self) -> WordIndex {
        self.unknown
    }

    /// The end of a sentence.
    pub fn end(&self) -> WordIndex {
        self.end
    }

    /// At the begin of a sentence.
    pub fn start(&self) -> Context {
        self.index(BEGIN).map_or(Context::default(), |word| self.shortened(1, word))
    }

    /// Log probability (natural logarithm) of a word after a context, and the context after it.
    pub fn score(&self, context: Context, word: WordIndex) -> (f32, Context) {
        let Context { mut order, mut place } = context;
        let mut backoff = 0.0;
        while order > 0 {
            let below = order as usize - 1;
            if let Some(found) = self.continuation(below, place, word) {
                return (backoff + self.orders[below + 1].log_probs[found as usize], self.shortened(order + 1, found));
            }
            backoff += self.orders[below].backoffs[place as usize];
            place = self.orders[below].suffixes[place as usize];
            order -= 1;
        }
        (backoff + self.orders[0].log_probs[word as usize], self.shortened(1, word))
    }

    /// An n-gram as the context of what follows: one of the highest order goes on without its first word, and one that nothing
    /// is known to follow is as good as a shorter one.
    fn shortened(&self, mut order: u32, mut place: u32) -> Context {
        while order > 0 {
            let table = &self.orders[order as usize - 1];
            let goes_on = table.continuations.get(place as usize..place as usize + 2).is_some_and(|r| r[0] < r[1]);
            if goes_on || table.backoffs[place as usize] != 0.0 && (order as usize) < self.order() {
                break;
            }
            place = table.suffixes[place as usize];
            order -= 1;
        }
        Context { order, place }
    }

    /// Log probability (natural logarithm) of a sentence with its end, and how many of its words are not in the vocabulary.
    pub fn sentence<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> (f64, usize) {
        let (mut context, mut sum, mut unknown) = (self.start(), 0.0, 0);
        for word in words {
            let index = self.index(word).unwrap_or(self.unknown);
            unknown += usize::from(index == self.unknown);
            let (log_prob, next) = self.score(context, index);
            sum += f64::from(log_prob);
            context = next;
        }
        (sum + f64::from(self.score(context, self.end).0), unknown)
    }
}

impl Table {
    fn push(&mut self, word: WordIndex, log_prob: f32, backoff: f32, suffix: u32) {
        self.words.push(word);
        self.log_probs.push(log_prob);
        self.backoffs.push(backoff);
        self.suffixes.push(suffix);
    }
}

/// How well a model foresees a text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perplexity {
    /// Sentences.
    pub sentences: usize,
    /// Words, unknown ones among them, without the ends of sentences.
    pub words: usize,
    /// Words that are not in the vocabulary.
    pub unknown: usize,
    /// Log probability of everything (natural logarithm).
    pub log_prob: f64,
}

impl Perplexity {
    /// Adds a sentence.
    pub fn add(&mut self, model: &NGram, sentence: &[&str]) {
        let (log_prob, unknown) = model.sentence(sentence.iter().copied());
        self.sentences += 1;
        self.words += sentence.len();
        self.unknown += unknown;
        self.log_prob += log_prob;
    }

    /// The perplexity, the end of a sentence counting as a word.
    pub fn value(&self) -> f64 {
        (-self.log_prob / (self.words + self.sentences).max(1) as f64).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn corpus(seed: u64) -> Vec<Vec<String>> {
        let mut rng = Rng::stream(seed, "lm", 0);
        let word = |rng: &mut Rng| ["a", "b", "c", "d"][rng.below(4).min(rng.below(4))].to_owned();
        (0..50).map(|_| (0..rng.below(7)).map(|_| word(&mut rng)).collect()).collect()
    }

    #[test]
    fn probabilities_sum_to_one_after_anything() -> Result<()> {
        for (seed, order) in [(1, 1), (2, 2), (3, 3), (4, 4)] {
            let model = Estimate::new(&corpus(seed), order)?.model;
            let mut rng = Rng::stream(seed, "lm walk", 0);
            let mut context = model.start();
            for _ in 0..200 {
                let begin = model.index(BEGIN);
                let all = (0..model.words().len() as u32).filter(|word| Some(*word) != begin);
                let sum: f64 = all.map(|word| f64::from(model.score(context, word).0).exp()).sum();
                assert!((sum - 1.0).abs() < 1e-5, "order {order}: {sum}");
                context = match model.score(context, rng.below(model.words().len()) as u32).1 {
                    _ if rng.below(8) == 0 => model.start(),
                    next => next,
                };
            }
        }
        Ok(())
    }

    #[test]
    fn the_models_inside_know_english() {
        let value = |model: &NGram, text: &str| {
            let mut perplexity = Perplexity::default();
            perplexity.add(model, &text.split(' ').collect::<Vec<_>>());
            perplexity.value()
        };
        let (phones, words) = (NGram::phones(), NGram::english());
        assert_eq!((phones.order(), words.order()), (4, 2));
        assert!(10.0 * value(&phones, "dh ah k ae t s ae t") < value(&phones, "ng zh hh ng zh w ng"));
        assert!(value(&words, "he was in the house") < value(&words, "house the in was he"));
    }

    #[test]
    fn perplexity_counts_ends_and_unknown_words() -> Result<()> {
        let model = Estimate::new(&corpus(5), 3)?.model;
        let mut perplexity = Perplexity::default();
        perplexity.add(&model, &["a", "zz"]);
        perplexity.add(&model, &[]);
        assert_eq!((perplexity.sentences, perplexity.words, perplexity.unknown), (2, 2, 1));
        assert!(perplexity.value() > 1.0 && perplexity.value() < 1000.0);
        Ok(())
    }

    #[test]
    fn what_others_need_is_filled_in() -> Result<()> {
        let words = ["a", "b"].map(Box::from).to_vec();
        let single = Entries::from([([0].into(), (-1.0, -0.5)), ([1].into(), (-2.0, 0.0))]);
        let triple = Entries::from([([0, 1, 0].into(), (-0.1, 0.0))]);
        let model = NGram::new(words, vec![single, Entries::new(), triple])?;
        assert_eq!(model.counts(), [5, 2, 1]);
        let after =
            |words: &[u32]| words.iter().fold(Context::default(), |context, &word| model.score(context, word).1);
        assert_eq!(model.score(after(&[0, 1]), 0).0, -0.1);
        assert_eq!(model.score(after(&[0]), 1).0, -2.5);
        assert_eq!(model.score(after(&[1]), 0).0, -1.0);
        Ok(())
    }
}
