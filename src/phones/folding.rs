//! Folding one set of phones onto a smaller one.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Maps symbols onto fewer symbols, or onto nothing, before references and hypotheses are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folding {
    name: String,
    map: BTreeMap<String, Option<String>>,
}

impl Folding {
    /// Names that [`Folding::named`] knows.
    pub const NAMES: [&str; 2] = ["timit39", "none"];

    /// Of `timit39`.
    pub(super) fn timit39() -> &'static Self {
        static FOLDING: LazyLock<Folding> =
            LazyLock::new(|| Folding::named("timit39").unwrap_or_else(|_| unreachable!("it is one of the names")));
        &FOLDING
    }

    /// `timit39`: the classical folding of Lee & Hon (1989) as far as ARPAbet labels have its phones (ao to aa,
    /// zh to sh, axr to er, dx to t, ...), with silences, closures and the glottal stop dropped.
    /// `none`: symbols as they are.
    pub fn named(name: &str) -> Result<Self> {
        let pairs: &[(&str, &str)] = match name {
            "none" => &[],
            "timit39" => &[
                ("ao", "aa"),
                ("zh", "sh"),
                ("ax", "ah"),
                ("ax-h", "ah"),
                ("ix", "ih"),
                ("axr", "er"),
                ("el", "l"),
                ("em", "m"),
                ("en", "n"),
                ("nx", "n"),
                ("eng", "ng"),
                ("hv", "hh"),
                ("ux", "uw"),
                ("dx", "t"),
                ("pau", ""),
                ("epi", ""),
                ("h#", ""),
                ("sil", ""),
                ("q", ""),
                ("bcl", ""),
                ("dcl", ""),
                ("gcl", ""),
                ("pcl", ""),
                ("tcl", ""),
                ("kcl", ""),
            ],
            _ => {
                return Err(Error::invalid(format!(
                    "unknown folding {name:?}: it is one of {}",
                    Self::NAMES.join(", ")
                )));
            }
        };
        let target = |to: &str| (!to.is_empty()).then(|| to.to_owned());
        Ok(Self { name: name.to_owned(), map: pairs.iter().map(|&(from, to)| (from.to_owned(), target(to))).collect() })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_and_drops() -> Result<()> {
        let folding = Folding::named("timit39")?;
        assert_eq!(folding.fold_text("h# ao zh dcl d ux q"), ["aa", "sh", "d", "uw"]);
        assert!(Folding::named("x").is_err());
        Ok(())
    }
}
