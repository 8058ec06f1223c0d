//! What a reader of a corpus as it is distributed makes of it: tables of utterances by split, and what is wrong with it.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Something that is wrong with a corpus.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub path: PathBuf,
    /// What, in a sentence.
    pub what: String,
    /// Whether the utterance is not in any split because of it.
    pub left_out: bool,
}

impl Problem {
    /// An utterance is left out because of it.
    pub fn left_out(path: &Path, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), what: what.into(), left_out: true }
    }

    /// The utterance is taken all the same.
    pub fn noted(path: &Path, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), what: what.into(), left_out: false }
    }
}

/// One utterance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// The recording.
    pub audio: PathBuf,
    /// Who speaks; unique over the corpus.
    pub speaker: String,
    /// Its length, if it was looked at.
    pub seconds: Option<f64>,
    /// What is said.
    pub text: String,
    /// The label; empty where the corpus has none.
    pub phones: String,
    /// One for each of [`Split::more`].
    pub more: Vec<String>,
}

/// One split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// Its name.
    pub name: String,
    /// Names of further columns.
    pub more: Vec<&'static str>,
    /// Its utterances, in an order that is always the same.
    pub rows: Vec<Row>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// All splits.
    pub splits: Vec<Split>,
    /// What is wrong, sorted.
    pub problems: Vec<Problem>,
    /// What else a user should know, a sentence each.
    pub notes: Vec<String>,
}

impl Split {
    /// The manifest, as a file in `folder` would have it: recordings below that folder are named from there, others by
    /// their whole path.
    ///
    /// # Errors
    /// If a path is not UTF-8 text, or has a tab or the end of a line in it.
    pub fn manifest(&self, folder: &Path) -> Result<String> {
        let mut text = ["path", "speaker", "seconds", "text", "phones"].join("\t");
        self.more.iter().for_each(|name| text += &format!("\t{name}"));
        for row in &self.rows {
            let path = row.audio.strip_prefix(folder).unwrap_or(&row.audio);
            let path = path.to_str().filter(|path| !path.contains(['\t', '\n', '\r']));
            let path = path.ok_or_else(|| Error::audio(&row.audio, "a name that no manifest can hold: rename it"))?;
            let seconds = row.seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3}"));
            let fields = [path, &row.speaker, &seconds, &row.text, &row.phones].map(str::to_owned);
            let fields: Vec<String> =
                fields.into_iter().chain(row.more.clone()).map(|field| one_field(&field)).collect();
            text += &format!("\n{}", fields.join("\t"));
        }
        Ok(text + "\n")
    }
}

/// Text without what would end a field.
fn one_field(text: &str) -> String {
    text.split(['\t', '\n', '\r']).map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Manifest;

    #[test]
    fn a_manifest_is_read_back() -> Result<()> {
        let row = |audio: &str, text: &str| Row {
            audio: audio.into(),
            speaker: "s".into(),
            seconds: Some(1.25),
            text: text.into(),
            phones: "k ae t".into(),
            more: vec!["f".into()],
        };
        let rows = vec![row("/c/a.wav", "a\tcat\n"), row("/d/b.wav", "")];
        let split = Split { name: "train".into(), more: vec!["gender"], rows };
        let text = split.manifest(Path::new("/c"))?;
        let manifest = Manifest::parse(text.as_bytes(), Path::new("/c/train.manifest.tsv"))?;
        let [first, second] = &manifest.utterances[..] else { unreachable!("two rows: {text}") };
        assert_eq!((first.id.as_str(), first.text.as_str(), first.seconds), ("a.wav", "a cat ", Some(1.25)));
        assert_eq!((second.audio.as_path(), second.fields[5].as_str()), (Path::new("/d/b.wav"), "f"));
        assert!(Split { rows: vec![row("/c/a\tb.wav", "")], ..split }.manifest(Path::new("/c")).is_err());
        Ok(())
    }
}
