//! Pronouncing dictionaries: which phones a word may be said with.
//!
//! The format is CMUdict's: a line a pronunciation, the word first, then its phones, separated by white space; further
//! pronunciations are written `word(2)` or on lines of their own; `;;;` and `#` begin comments. Words are found in any
//! letter case.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::phones::{PhoneId, PhoneSet};
use crate::table;
use std::collections::BTreeMap;
use std::path::Path;

/// The Carnegie Mellon University Pronouncing Dictionary 0.7a: 125,000 words of American English. Its licence is in NOTICE.
const CMUDICT: &[u8] = include_bytes!("../data/lexicon/cmudict.dict.gz");

/// A word that is written with hyphens gets at most so many pronunciations from those of its parts.
const MOST_COMBINED: usize = 16;

/// A word's number in its dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WordId(pub u32);

impl WordId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A word of a text, and how it may be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word as it is written, without punctuation around it.
    pub text: String,
    /// Its pronunciations; none if the dictionary does not know the word.
    pub pronunciations: Vec<Vec<PhoneId>>,
}

/// Words, sorted, and their pronunciations in the phones of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lexicon {
    /// All words, one after another, and where each begins; one past the last at the end.
    text: String,
    words: Vec<u32>,
    /// By word, its first pronunciation; one past the last at the end.
    pronunciations: Vec<u32>,
    /// By pronunciation, its first phone; one past the last at the end.
    phones: Vec<u32>,
    symbols: Vec<PhoneId>,
    left_out: usize,
}

impl Lexicon {
    /// The dictionary inside formant, in the phones of `set`.
    pub fn cmudict(set: &PhoneSet) -> Self {
        let path = Path::new("<built-in CMUdict>");
        let read = table::unpacked(CMUDICT, path).and_then(|text| Self::parse(&text, path, set));
        read.unwrap_or_else(|e| unreachable!("the built-in dictionary is tested: {e}"))
    }

    /// Reads a dictionary, perhaps packed with gzip.
    ///
    /// # Errors
    /// If the file cannot be read, is no text, or has a word without phones, or none that can be said in the phones of `set`.
    pub fn read(path: &Path, set: &PhoneSet) -> Result<Self> {
        let lexicon = Self::parse(&table::read(path)?, path, set)?;
        if lexicon.is_empty() {
            let reason = format!("no word that can be said with the {} phones of {:?}", set.classes() - 1, set.name());
            return Err(Error::table(path, 1, reason));
        }
        Ok(lexicon)
    }

    /// Reads a dictionary from its text; `path` names it in messages. Pronunciations with phones that `set` does not have
    /// are left out and counted.
    pub fn parse(bytes: &[u8], path: &Path, set: &PhoneSet) -> Result<Self> {
        let mut entries = Vec::new();
        let mut symbols: Vec<PhoneId> = Vec::new();
        // A dictionary has few symbols, each many thousand times.
        let mut known: BTreeMap<&str, Option<PhoneId>> = BTreeMap::new();
        let mut left_out = 0;
        for line in table::text_lines(bytes, path) {
            let (number, line) = line?;
            let line = line.split_once(" #").map_or(line, |(line, _)| line);
            let mut fields = line.split_whitespace();
            let Some(word) = fields.next().filter(|word| !word.starts_with(";;;") && !word.starts_with('#')) else {
                continue;
            };
            let start = symbols.len();
            let mut complete = true;
            for symbol in fields {
                match *known.entry(symbol).or_insert_with(|| set.arpabet(symbol)) {
                    Some(phone) => symbols.push(phone),
                    None => complete = false,
                }
            }
            if !complete {
                symbols.truncate(start);
                left_out += 1;
            } else if symbols.len() == start {
                return Err(Error::table(path, number, format!("the word {word:?} has no phones")));
            } else {
                entries.push((spelling(without_number(word)), start..symbols.len()));
            }
        }
        // Stable: a word's pronunciations stay in their order.
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut lexicon = Self { left_out, ..Self::default() };
        for group in entries.chunk_by(|a, b| a.0 == b.0) {
            lexicon.begin(&group[0].0);
            for (n, (_, phones)) in group.iter().enumerate() {
                let phones = &symbols[phones.clone()];
                if group[..n].iter().all(|(_, other)| symbols[other.clone()] != *phones) {
                    lexicon.say(phones);
                }
            }
        }
        Ok(lexicon.finish())
    }

    /// Begins a word: the next one in the order of the alphabet.
    fn begin(&mut self, word: &str) {
        self.words.push(self.text.len() as u32);
        self.text.push_str(word);
        self.pronunciations.push(self.phones.len() as u32);
    }

    /// Adds a pronunciation to the word begun last.
    fn say(&mut self, phones: &[PhoneId]) {
        self.phones.push(self.symbols.len() as u32);
        self.symbols.extend(phones);
    }

    /// Ends the lists.
    fn finish(mut self) -> Self {
        self.words.push(self.text.len() as u32);
        self.pronunciations.push(self.phones.len() as u32);
        self.phones.push(self.symbols.len() as u32);
        self
    }

    /// This dictionary, and the words of `other` that it does not have.
    pub fn or(&self, other: &Self) -> Self {
        let words = |lexicon: &Self| lexicon.ids().map(|id| lexicon.word(id).to_owned()).collect::<Vec<_>>();
        let mut all = words(self);
        all.extend(words(other));
        all.sort_unstable();
        all.dedup();
        let mut joined = Self { left_out: self.left_out + other.left_out, ..Self::default() };
        for word in all {
            let (source, id) = match (self.find(&word), other.find(&word)) {
                (Some(id), _) => (self, id),
                (None, Some(id)) => (other, id),
                (None, None) => continue,
            };
            joined.begin(&word);
            source.pronunciations(id).for_each(|phones| joined.say(phones));
        }
        joined.finish()
    }

    /// Words.
    pub fn len(&self) -> usize {
        self.words.len().saturating_sub(1)
    }

    /// Whether there is no word.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pronunciations that were left out, because they need phones that the model does not have.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// All words, in the order of the alphabet.
    pub fn ids(&self) -> impl Iterator<Item = WordId> {
        (0..self.len() as u32).map(WordId)
    }

    /// How a word is written.
    pub fn word(&self, id: WordId) -> &str {
        &self.text[self.words[id.index()] as usize..self.words[id.index() + 1] as usize]
    }

    /// A word's pronunciations, in the dictionary's order.
    pub fn pronunciations(&self, id: WordId) -> impl Iterator<Item = &[PhoneId]> {
        let range = self.pronunciations[id.index()] as usize..self.pronunciations[id.index() + 1] as usize;
        range.map(|n| &self.symbols[self.phones[n] as usize..self.phones[n + 1] as usize])
    }

    /// A word by its spelling, in any letter case.
    pub fn find(&self, word: &str) -> Option<WordId> {
        let word = spelling(word);
        let (mut low, mut high) = (0, self.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.word(WordId(middle)).cmp(&word) {
                std::cmp::Ordering::Equal => return Some(WordId(middle)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The words of a text: what stands between spaces, punctuation around it taken off. A word with hyphens that is not in
    /// the dictionary is said as its parts are.
    pub fn words(&self, text: &str) -> Vec<Word> {
        bare(text).map(|text| Word { pronunciations: self.said(text), text: text.to_owned() }).collect()
    }

    /// How a word of a text may be said.
    fn said(&self, text: &str) -> Vec<Vec<PhoneId>> {
        let known = |word: &str| -> Vec<Vec<PhoneId>> {
            self.find(word).map(|id| self.pronunciations(id).map(<[_]>::to_vec).collect()).unwrap_or_default()
        };
        let whole = known(text);
        if !whole.is_empty() {
            return whole;
        }
        let bare = text.trim_matches(is_apostrophe);
        let whole = known(bare);
        if !whole.is_empty() || !bare.contains(['-', '/']) {
            return whole;
        }
        let mut all = vec![Vec::new()];
        for part in bare.split(['-', '/']).filter(|part| !part.is_empty()) {
            let part = known(part);
            let longer = |start: &Vec<PhoneId>| part.iter().map(|end| [&start[..], end].concat()).collect::<Vec<_>>();
            all = all.iter().flat_map(longer).take(MOST_COMBINED).collect();
        }
        all
    }
}

/// The words of a text as dictionaries and language models spell them: in lower case, without punctuation around them.
pub fn plain_words(text: &str) -> Vec<String> {
    bare(text).map(|word| spelling(word.trim_matches(is_apostrophe))).filter(|word| !word.is_empty()).collect()
}

/// What stands between spaces, punctuation taken off its ends.
fn bare(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric() && !is_apostrophe(c)))
        .filter(|word| word.contains(char::is_alphanumeric))
}

/// How a dictionary spells a word: lower case, typewriter's apostrophes.
fn spelling(word: &str) -> String {
    word.chars().map(|c| if is_apostrophe(c) { '\'' } else { c }).flat_map(char::to_lowercase).collect()
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}')
}

/// `read(2)` is another way to say `read`.
fn without_number(word: &str) -> &str {
    let number = word.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
    match number {
        Some((word, digits)) if !word.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => word,
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Lexicon> {
        Lexicon::parse(text.as_bytes(), Path::new("x.dict"), &PhoneSet::arpabet39())
    }

    fn said(lexicon: &Lexicon, word: &str) -> Vec<String> {
        let words = lexicon.words(word);
        words[0].pronunciations.iter().map(|phones| PhoneSet::arpabet39().decode(phones)).collect()
    }

    #[test]
    fn the_dictionary_inside_knows_words() {
        let lexicon = Lexicon::cmudict(&PhoneSet::arpabet39());
        assert!(lexicon.len() > 120_000 && lexicon.left_out() == 0);
        assert_eq!(said(&lexicon, "Read,"), ["r eh d", "r iy d"]);
        assert_eq!(said(&lexicon, "“don’t”"), ["d ow n t", "d ow n"]);
        assert_eq!(said(&lexicon, "twenty-two").len(), 2);
        assert!(said(&lexicon, "xyzzyx").is_empty() && said(&lexicon, "twenty-xyzzyx").is_empty());
        assert!(lexicon.ids().zip(lexicon.ids().skip(1)).all(|(a, b)| lexicon.word(a) < lexicon.word(b)));
    }

    #[test]
    fn forms_of_the_format() -> Result<()> {
        let lexicon =
            parse("\u{feff};;; comment\nCAT  K AE1 T # a pet\r\n\ncat(2) k aa t\ncat k ae t\n(smile) s\nsi xx\n")?;
        assert_eq!((lexicon.len(), lexicon.left_out()), (2, 1));
        assert_eq!(said(&lexicon, "cat"), ["k ae t", "k aa t"]);
        assert_eq!(parse("cat k\ndog\n").unwrap_err().to_string(), "x.dict:2: the word \"dog\" has no phones");
        let own = parse("cat t\nemu iy m y uw\n")?.or(&lexicon);
        assert_eq!((said(&own, "cat"), said(&own, "emu"), own.len()), (vec!["t".into()], vec!["iy m y uw".into()], 3));
        Ok(())
    }

    #[test]
    fn other_sets_of_phones_are_served() -> Result<()> {
        let set = PhoneSet::new("folded", &["aa", "t", "sh"])?;
        let lexicon = Lexicon::parse(b"ought AO1 T\nzha ZH AA\nnot N\n", Path::new("x"), &set)?;
        assert_eq!((lexicon.len(), lexicon.left_out()), (2, 1));
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_dictionary_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(lexicon) = Lexicon::parse(&bytes, Path::new("x"), &PhoneSet::arpabet39()) {
                for id in lexicon.ids() {
                    prop_assert_eq!(lexicon.find(lexicon.word(id)), Some(id));
                    prop_assert!(lexicon.pronunciations(id).all(|phones| !phones.is_empty()));
                }
            }
        }

        #[test]
        fn any_text_has_words(text in "\\PC*") {
            let lexicon = Lexicon::parse(b"a k\n", Path::new("x"), &PhoneSet::arpabet39());
            prop_assert!(lexicon.is_ok_and(|lexicon| lexicon.words(&text).iter().all(|word| !word.text.is_empty())));
        }
    }
}
