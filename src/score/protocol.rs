//! How a phone error rate comes about: what both sides are folded to, what becomes of silences, how edits are counted. The
//! same hypotheses give rates that lie points apart, so every rate names its protocol.
#![forbid(unsafe_code)]

use super::edit::Convention;
use crate::error::{Error, Result};
use crate::phones::Folding;

/// What becomes of the silences that a folding leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Silence {
    /// They are scored like phones.
    #[default]
    Scored,
    /// Several in a row are one.
    Merged,
    /// They are not scored.
    Dropped,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name.
    pub name: String,
    /// What both sides are folded to.
    pub folding: Folding,
    /// What becomes of silences then.
    pub silence: Silence,
    /// How edits are counted.
    pub convention: Convention,
    /// Phones of the reference that TIMIT's core test set (192 utterances) has under it, where papers say so: a set of that
    /// size with another number is another set, or was read in another way.
    pub core_test_phones: Option<usize>,
}

impl Protocol {
    /// Names that [`Protocol::named`] knows.
    pub const NAMES: [&str; 5] = ["arpabet", "graves", "kaldi", "speechbrain", "no-silence"];

    /// - `arpabet`: folded to `timit39`, so that dictionary labels and models of ARPAbet can be compared, too: silences not
    ///   scored, dx as t.
    /// - `graves`: TIMIT's 61 labels folded to Lee & Hon's 39, silences scored and not merged (Graves, Mohamed & Hinton 2013).
    /// - `kaldi`: the same 39, counted as sclite counts (Kaldi's egs/timit/s5 scores 48 phones folded to 39 with it).
    /// - `speechbrain`: the same 39, silences in a row merged (SpeechBrain's recipes/TIMIT).
    /// - `no-silence`: the same 39, silences left out (PyTorch-Kaldi and others).
    pub fn named(name: &str) -> Result<Self> {
        let (folding, silence, convention, core_test_phones) = match name {
            "arpabet" => ("timit39", Silence::Scored, Convention::Levenshtein, None),
            "graves" => ("lee-hon-39", Silence::Scored, Convention::Levenshtein, Some(7215)),
            "kaldi" => ("lee-hon-39", Silence::Scored, Convention::Sclite, Some(7215)),
            "speechbrain" => ("lee-hon-39", Silence::Merged, Convention::Levenshtein, None),
            "no-silence" => ("lee-hon-39", Silence::Dropped, Convention::Levenshtein, None),
            _ => {
                let names = Self::NAMES.join(", ");
                return Err(Error::invalid(format!("unknown protocol {name:?}: it is one of {names}")));
            }
        };
        let folding = Folding::named(folding)?;
        Ok(Self { name: name.to_owned(), folding, silence, convention, core_test_phones })
    }

    /// All of [`Protocol::NAMES`].
    ///
    /// # Errors
    /// None: every name is known.
    pub fn all() -> Result<Vec<Self>> {
        Self::NAMES.into_iter().map(Self::named).collect()
    }

    /// Both sides folded, every edit counted as one.
    pub fn folded(folding: Folding) -> Self {
        let name = folding.name().to_owned();
        let (silence, convention) = (Silence::Scored, Convention::Levenshtein);
        Self { name, folding, silence, convention, core_test_phones: None }
    }

    /// The symbols that are compared, of symbols separated by white space.
    pub fn symbols<'a>(&'a self, text: &'a str) -> Vec<&'a str> {
        let mut symbols = self.folding.fold_text(text);
        match self.silence {
            Silence::Scored => {}
            Silence::Merged => symbols.dedup_by(|next, before| next == before && *next == Folding::SILENCE),
            Silence::Dropped => symbols.retain(|symbol| *symbol != Folding::SILENCE),
        }
        symbols
    }

    /// What is compared and how, as part of a sentence.
    pub fn describe(&self) -> String {
        let silences = match (self.silence, self.folding.name()) {
            (Silence::Merged, _) => "silences in a row merged",
            (Silence::Dropped, _) | (_, "timit39") => "silences, closures and glottal stops not scored",
            _ => "silences scored like phones",
        };
        let compared = match self.folding.name() {
            "none" => "symbols compared as they are".to_owned(),
            name => format!("both sides folded to {name}"),
        };
        let cost = match self.convention {
            Convention::Levenshtein => "every edit costs one",
            Convention::Sclite => "edits counted as sclite does",
        };
        format!("{compared}, {silences}, {cost}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silences_are_scored_merged_or_dropped() -> Result<()> {
        let text = "h# pau tcl t q dx ao dcl h#";
        for (name, expected) in [
            ("arpabet", "t t aa"),
            ("graves", "sil sil sil t dx aa sil sil"),
            ("kaldi", "sil sil sil t dx aa sil sil"),
            ("speechbrain", "sil t dx aa sil"),
            ("no-silence", "t dx aa"),
        ] {
            assert_eq!(Protocol::named(name)?.symbols(text).join(" "), expected, "{name}");
        }
        assert_eq!(Protocol::named("speechbrain")?.symbols("t t"), ["t", "t"], "only silences are merged");
        assert!(Protocol::named("x").is_err());
        Ok(())
    }
}
