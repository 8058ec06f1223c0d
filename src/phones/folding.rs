//! Folding one set of phones onto a smaller one.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// TIMIT's 61 labels, and what the 48 phones that are trained on and the 39 that are scored make of each (Lee & Hon 1989,
/// "Speaker-independent phone recognition using hidden Markov models", table II): `-` for nothing. In the form that Kaldi's
/// recipe and most papers since have it, closures and silences are one symbol of the 39.
const LEE_HON: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/phones/timit.tsv"));

/// Maps symbols onto fewer symbols, or onto nothing, before references and hypotheses are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folding {
    name: String,
    map: BTreeMap<String, Option<String>>,
}

/// The rows of [`LEE_HON`].
fn lee_hon() -> impl Iterator<Item = [&'static str; 3]> {
    LEE_HON.lines().skip(1).map(|line| {
        let mut fields = line.split('\t');
        std::array::from_fn(|_| fields.next().unwrap_or_default())
    })
}

/// TIMIT's 61 labels, in alphabetical order.
pub fn timit61() -> Vec<&'static str> {
    lee_hon().map(|[label, ..]| label).collect()
}

impl Folding {
    /// Names that [`Folding::named`] knows.
    pub const NAMES: [&str; 4] = ["timit39", "lee-hon-48", "lee-hon-39", "none"];
    /// How silence is written after [`Folding::named`]`("lee-hon-39")`.
    pub const SILENCE: &str = "sil";

    /// Of `timit39`.
    pub(super) fn timit39() -> &'static Self {
        static FOLDING: LazyLock<Folding> =
            LazyLock::new(|| Folding::named("timit39").unwrap_or_else(|_| unreachable!("it is one of the names")));
        &FOLDING
    }

    /// `lee-hon-48` and `lee-hon-39`: TIMIT's 61 labels onto the classical 48 and 39, with silences among them and the
    /// glottal stop q dropped. `timit39`: the same 39 as far as ARPAbet labels have them, so without silences and with dx
    /// as t. `none`: symbols as they are.
    ///
    /// Symbols that are folded already, or unknown, stay as they are: labels of any size can be given.
    pub fn named(name: &str) -> Result<Self> {
        let map = match name {
            "none" => BTreeMap::new(),
            "lee-hon-48" => onto(|[_, to, _]| to),
            "lee-hon-39" => onto(|[_, _, to]| to),
            "timit39" => onto(|[_, _, to]| match to {
                Self::SILENCE => "-",
                "dx" => "t",
                to => to,
            }),
            _ => {
                let names = Self::NAMES.join(", ");
                return Err(Error::invalid(format!("unknown folding {name:?}: it is one of {names}")));
            }
        };
        Ok(Self { name: name.to_owned(), map })
    }

    /// The folding's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The symbol that `symbol` is folded to; nothing if it is dropped.
    pub fn fold<'a>(&'a self, symbol: &'a str) -> Option<&'a str> {
        self.map.get(symbol).map_or(Some(symbol), Option::as_deref)
    }

    /// Folds symbols separated by white space.
    pub fn fold_text<'a>(&'a self, text: &'a str) -> Vec<&'a str> {
        text.split_whitespace().filter_map(|s| self.fold(s)).collect()
    }
}

/// What `to` makes of the rows, both for the 61 labels and for the 48 phones.
fn onto(to: impl Fn([&'static str; 3]) -> &'static str) -> BTreeMap<String, Option<String>> {
    let target = |to: &str| (to != "-").then(|| to.to_owned());
    let rows = || lee_hon().map(|row| (row, to(row)));
    let of_48 = rows().filter(|([_, folded, _], _)| *folded != "-").map(|([_, folded, _], to)| (folded, to));
    // A phone of the 48 that is also one of the 61 means the same in both: the 61 come last and have the last word.
    of_48.chain(rows().map(|([label, ..], to)| (label, to))).map(|(from, to)| (from.to_owned(), target(to))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::ARPABET39;
    use std::collections::BTreeSet;

    #[test]
    fn folds_and_drops() -> Result<()> {
        let folding = Folding::named("timit39")?;
        assert_eq!(folding.fold_text("h# ao zh dcl d ux q dx"), ["aa", "sh", "d", "uw", "t"]);
        assert!(Folding::named("x").is_err());
        Ok(())
    }

    #[test]
    fn sixty_one_become_forty_eight_become_thirty_nine() -> Result<()> {
        let labels = timit61();
        let (to_48, to_39) = (Folding::named("lee-hon-48")?, Folding::named("lee-hon-39")?);
        let of = |folding: &Folding| {
            labels.iter().filter_map(|label| folding.fold(label).map(str::to_owned)).collect::<BTreeSet<_>>()
        };
        assert_eq!((labels.len(), of(&to_48).len(), of(&to_39).len()), (61, 48, 39));
        for label in labels {
            assert_eq!(to_48.fold(label).and_then(|phone| to_39.fold(phone)), to_39.fold(label), "{label}");
        }
        assert_eq!(to_48.fold_text("h# tcl dcl q epi axr"), ["sil", "cl", "vcl", "epi", "er"]);
        assert_eq!(to_39.fold_text("sil cl vcl q epi er zh"), ["sil", "sil", "sil", "sil", "er", "sh"]);
        Ok(())
    }

    #[test]
    fn folding_twice_is_folding_once() -> Result<()> {
        for name in Folding::NAMES {
            let folding = Folding::named(name)?;
            for symbol in timit61().into_iter().chain(ARPABET39) {
                let once = folding.fold(symbol);
                assert_eq!(once.and_then(|symbol| folding.fold(symbol)), once, "{name} {symbol}");
            }
        }
        Ok(())
    }
}
