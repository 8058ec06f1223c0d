//! Names of phones in other alphabets than the model's own.
#![forbid(unsafe_code)]

/// How phones are written for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// As the model writes them.
    #[default]
    Own,
    /// ARPAbet in capitals, as CMUdict has it, without stress.
    Arpabet,
    /// The International Phonetic Alphabet.
    Ipa,
}

/// ARPAbet as CMUdict and TIMIT use it, in IPA: General American; TIMIT's symbols as its documentation (phoncode.doc)
/// explains them. Code points are those of the IPA's own chart: U+0261 for g; affricates are two letters without a tie.
const IPA: [(&str, &str); 60] = [
    ("aa", "ɑ"),
    ("ae", "æ"),
    ("ah", "ʌ"),
    ("ao", "ɔ"),
    ("aw", "aʊ"),
    ("ax", "ə"),
    ("ax-h", "ə̥"),
    ("axr", "ɚ"),
    ("ay", "aɪ"),
    ("b", "b"),
    ("bcl", "b̚"),
    ("ch", "tʃ"),
    ("d", "d"),
    ("dcl", "d̚"),
    ("dh", "ð"),
    ("dx", "ɾ"),
    ("eh", "ɛ"),
    ("el", "l̩"),
    ("em", "m̩"),
    ("en", "n̩"),
    ("eng", "ŋ̍"),
    ("er", "ɝ"),
    ("ey", "eɪ"),
    ("f", "f"),
    ("g", "ɡ"),
    ("gcl", "ɡ̚"),
    ("hh", "h"),
    ("hv", "ɦ"),
    ("ih", "ɪ"),
    ("ix", "ɨ"),
    ("iy", "i"),
    ("jh", "dʒ"),
    ("k", "k"),
    ("kcl", "k̚"),
    ("l", "l"),
    ("m", "m"),
    ("n", "n"),
    ("ng", "ŋ"),
    ("nx", "ɾ̃"),
    ("ow", "oʊ"),
    ("oy", "ɔɪ"),
    ("p", "p"),
    ("pcl", "p̚"),
    ("q", "ʔ"),
    ("r", "ɹ"),
    ("s", "s"),
    ("sh", "ʃ"),
    ("t", "t"),
    ("tcl", "t̚"),
    ("th", "θ"),
    ("uh", "ʊ"),
    ("uw", "u"),
    ("ux", "ʉ"),
    ("v", "v"),
    ("w", "w"),
    ("y", "j"),
    ("z", "z"),
    ("zh", "ʒ"),
    ("epi", "‖"),
    ("pau", "‖"),
];

impl Names {
    /// The name of the phone that the model writes as `symbol`. Without one, the symbol as it is.
    pub fn name(self, symbol: &str) -> String {
        match self {
            Self::Own => symbol.to_owned(),
            Self::Arpabet => symbol.to_ascii_uppercase(),
            Self::Ipa => IPA
                .iter()
                .find(|(own, _)| *own == symbol)
                .map_or_else(|| symbol.to_owned(), |(_, ipa)| (*ipa).to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ARPABET39;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_phone_has_a_name_of_its_own() {
        let names: BTreeSet<String> = ARPABET39.iter().map(|phone| Names::Ipa.name(phone)).collect();
        assert_eq!(names.len(), 39);
        assert!(ARPABET39.iter().all(|phone| IPA.iter().any(|(own, _)| own == phone)));
        assert_eq!((Names::Ipa.name("g"), Names::Ipa.name("x!")), ("\u{261}".to_owned(), "x!".to_owned()));
        assert_eq!((Names::Own.name("ah"), Names::Arpabet.name("ah")), ("ah".to_owned(), "AH".to_owned()));
    }
}
