//! Hypotheses as text: folded, named, words or phones.
#![forbid(unsafe_code)]

use crate::decode::Hypothesis;
use crate::lexicon::{Lexicon, WordId};
use crate::phones::{Folding, Names, PhoneId, PhoneSet};

/// How what was said is written.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    /// The model's phones.
    pub phones: &'a PhoneSet,
    /// If words are looked for.
    pub lexicon: Option<&'a Lexicon>,
    /// Phones are folded, ...
    pub folding: &'a Folding,
    /// ... and then named.
    pub names: Names,
}

impl Said<'_> {
    /// The name of a phone; none if the folding drops it.
    pub fn phone(&self, phone: PhoneId) -> Option<String> {
        self.folding.fold(self.phones.symbol(phone)).map(|symbol| self.names.name(symbol))
    }

    /// The phones of a hypothesis.
    pub fn phones(&self, hypothesis: &Hypothesis) -> String {
        hypothesis.phones.iter().filter_map(|phone| self.phone(*phone)).collect::<Vec<_>>().join(" ")
    }

    /// A word.
    pub fn word(&self, word: WordId) -> &str {
        self.lexicon.map_or("", |lexicon| lexicon.word(word))
    }

    /// The words of a hypothesis, or its phones if no words are looked for.
    pub fn text(&self, hypothesis: &Hypothesis) -> String {
        match self.lexicon {
            Some(_) => hypothesis.words.iter().map(|word| self.word(word.word)).collect::<Vec<_>>().join(" "),
            None => self.phones(hypothesis),
        }
    }
}
