//! Phones: the symbols that a model knows, label sequences, the folding of one set onto a smaller one for scoring, and
//! their names in the International Phonetic Alphabet.
#![forbid(unsafe_code)]

mod folding;
mod names;

pub use folding::{Folding, timit61};
pub use names::Names;

use crate::error::{Error, Result};
use std::collections::HashMap;

/// A phone's number in its set. 0 is the blank of CTC, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneId(pub u16);

impl PhoneId {
    /// CTC's blank.
    pub const BLANK: Self = Self(0);

    /// The number as an index into a row of scores.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The 39 phones of CMUdict's ARPAbet, lower case, without stress, in alphabetical order.
pub const ARPABET39: [&str; 39] = [
    "aa", "ae", "ah", "ao", "aw", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh", "ih", "iy", "jh", "k",
    "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w", "y", "z", "zh",
];

/// The symbols a model can write, and their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneSet {
    name: String,
    symbols: Vec<String>,
    ids: HashMap<String, PhoneId>,
}

impl PhoneSet {
    /// How the blank is written in model files.
    pub const BLANK_SYMBOL: &str = "<blank>";

    /// A set from its phones, the blank left out. Fails when a symbol is empty, comes twice, or holds white space or
    /// characters that could steer a terminal.
    pub fn new<S: AsRef<str>>(name: &str, phones: &[S]) -> Result<Self> {
        if phones.len() >= usize::from(u16::MAX) {
            return Err(Error::invalid(format!(
                "phone set {name:?} has {} phones, more than the 65534 allowed",
                phones.len()
            )));
        }
        let mut symbols = vec![Self::BLANK_SYMBOL.to_owned()];
        let mut ids = HashMap::new();
        for phone in phones {
            let phone = phone.as_ref();
            let unprintable = |c: char| c.is_whitespace() || c.is_control();
            if phone.is_empty() || phone.contains(unprintable) || phone == Self::BLANK_SYMBOL {
                return Err(Error::invalid(format!("phone set {name:?}: {phone:?} cannot be a phone's name")));
            }
            if ids.insert(phone.to_owned(), PhoneId(symbols.len() as u16)).is_some() {
                return Err(Error::invalid(format!("phone set {name:?}: {phone:?} comes twice")));
            }
            symbols.push(phone.to_owned());
        }
        Ok(Self { name: name.to_owned(), symbols, ids })
    }

    /// A set from all its symbols, the blank first, as [`PhoneSet::symbols`] gives them.
    pub fn from_symbols<S: AsRef<str>>(name: &str, symbols: &[S]) -> Result<Self> {
        match symbols.split_first() {
            Some((blank, phones)) if blank.as_ref() == Self::BLANK_SYMBOL => Self::new(name, phones),
            _ => Err(Error::invalid(format!("phone set {name:?}: its first symbol is not {:?}", Self::BLANK_SYMBOL))),
        }
    }

    /// [`ARPABET39`].
    pub fn arpabet39() -> Self {
        Self::new("arpabet39", &ARPABET39).unwrap_or_else(|_| unreachable!("the constant's symbols are distinct"))
    }

    /// The set's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Classes of a model for this set: the phones and the blank.
    pub fn classes(&self) -> usize {
        self.symbols.len()
    }

    /// Symbols by number; the first is the blank.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// The symbol of `id`, or `"?"` if the set has no such phone.
    pub fn symbol(&self, id: PhoneId) -> &str {
        self.symbols.get(id.index()).map_or("?", String::as_str)
    }

    /// The phone that a pronouncing dictionary means by `symbol`: the symbol itself, or ARPAbet in any letter case with or
    /// without a digit for stress, also where this set writes what the classical folding makes of it.
    pub fn arpabet(&self, symbol: &str) -> Option<PhoneId> {
        let id = |symbol: &str| self.ids.get(symbol).copied();
        let plain = || symbol.trim_end_matches(|c: char| c.is_ascii_digit()).to_ascii_lowercase();
        id(symbol).or_else(|| id(&plain())).or_else(|| id(Folding::timit39().fold(&plain())?))
    }

    /// Labels from symbols separated by white space.
    ///
    /// # Errors
    /// [`Error::UnknownPhone`] for a symbol that the set does not have; the blank is not a label.
    pub fn encode(&self, text: &str) -> Result<Labels> {
        let id = |symbol: &str| {
            self.ids.get(symbol).copied().ok_or_else(|| Error::UnknownPhone {
                symbol: symbol.to_owned(),
                set: self.name.clone(),
                size: self.classes() - 1,
            })
        };
        Ok(Labels(text.split_whitespace().map(id).collect::<Result<_>>()?))
    }

    /// Symbols separated by spaces.
    pub fn decode(&self, phones: &[PhoneId]) -> String {
        phones.iter().map(|&p| self.symbol(p)).collect::<Vec<_>>().join(" ")
    }
}

/// The target of an utterance. Never holds the blank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<PhoneId>);

impl Labels {
    /// Fails if `phones` holds the blank.
    pub fn new(phones: Vec<PhoneId>) -> Result<Self> {
        if phones.contains(&PhoneId::BLANK) {
            return Err(Error::invalid("a label sequence cannot hold the blank"));
        }
        Ok(Self(phones))
    }

    /// The phones.
    pub fn as_slice(&self) -> &[PhoneId] {
        &self.0
    }

    /// Frames that CTC needs at least: one for each label and one for each blank between equal neighbours.
    pub fn frames_needed(&self) -> usize {
        self.0.len() + self.0.windows(2).filter(|w| w[0] == w[1]).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_and_decodes() -> Result<()> {
        let set = PhoneSet::arpabet39();
        let labels = set.encode(" hh ah  l ow")?;
        assert_eq!(set.decode(labels.as_slice()), "hh ah l ow");
        assert_eq!(set.classes(), 40);
        let error = set.encode("hh xx").unwrap_err().to_string();
        assert_eq!(error, "unknown phone \"xx\": it is not one of the 39 phones of \"arpabet39\"");
        assert!(set.encode("<blank>").is_err() && Labels::new(vec![PhoneId(0)]).is_err());
        Ok(())
    }

    #[test]
    fn repeats_need_a_blank_between() -> Result<()> {
        let set = PhoneSet::arpabet39();
        assert_eq!(set.encode("t t t ah")?.frames_needed(), 6);
        assert_eq!(set.encode("")?.frames_needed(), 0);
        Ok(())
    }

    #[test]
    fn bad_sets_are_refused() {
        assert!(PhoneSet::new("x", &["a", "a"]).is_err());
        assert!(PhoneSet::new("x", &[""]).is_err());
        assert!(PhoneSet::new("x", &["a b"]).is_err());
        assert!(PhoneSet::new("x", &["a\u{1b}[2J"]).is_err());
    }
}
