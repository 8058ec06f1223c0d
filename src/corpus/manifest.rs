//! Manifests: a table of utterances, tab separated, one header line, no quoting.
//!
//! Columns are found by name. `path` (relative to the manifest's folder) and `phones` must be there; `speaker`,
//! `seconds`, `text`, `start` and `end` (seconds, for an utterance inside a longer recording) are understood, and
//! any others are kept for reports.
#![forbid(unsafe_code)]

use crate::audio::{ReadOptions, Waveform};
use crate::error::{Error, Result};
use crate::table::{seconds_in, text_lines};
use std::path::{Path, PathBuf};

/// So many seconds may an utterance seem to reach beyond its recording: times are often rounded, frames added.
const ROUNDING: f64 = 0.1;

/// One utterance of a corpus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Utterance {
    /// A name that is unique in the corpus: the path as the manifest writes it, or Kaldi's utterance id.
    pub id: String,
    /// The recording.
    pub audio: PathBuf,
    /// Who speaks; empty if the corpus does not say.
    pub speaker: String,
    /// Length as the corpus gives it.
    pub seconds: Option<f64>,
    /// What is said, as the source spells it.
    pub text: String,
    /// The label: phone symbols separated by spaces.
    pub phones: String,
    /// Start and end in the recording, in seconds; all of it if there are none.
    pub span: Option<(f64, f64)>,
    /// All columns, in the order of [`Manifest::columns`].
    pub fields: Vec<String>,
}

impl Utterance {
    /// Decodes the utterance's sound, at `sample_rate` Hz.
    ///
    /// # Errors
    /// Those of [`Waveform::open`], and if the utterance lies beyond the end of its recording.
    pub fn load(&self, sample_rate: u32) -> Result<Waveform> {
        self.load_as(ReadOptions { sample_rate: Some(sample_rate), ..ReadOptions::default() })
    }

    /// [`Utterance::load`] with other options.
    pub fn load_as(&self, options: ReadOptions) -> Result<Waveform> {
        let wave = Waveform::open_as(&self.audio, options)?;
        let Some((start, end)) = self.span else { return Ok(wave) };
        let length = wave.seconds();
        if end > length + ROUNDING {
            let reason = format!("{start} to {end} s is asked for, but it is only {length:.2} s long");
            return Err(Error::audio(&self.audio, reason));
        }
        Ok(wave.cut(start, end))
    }
}

/// The utterances of one split of a corpus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The file or the folder they come from.
    pub path: PathBuf,
    /// Names of the columns that each utterance keeps in [`Utterance::fields`].
    pub columns: Vec<String>,
    /// The utterances, in the order of the file.
    pub utterances: Vec<Utterance>,
}

impl Manifest {
    /// Reads a manifest file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&crate::files::read(path)?, path)
    }

    /// Reads a manifest from its bytes; `path` names it in messages, and audio is looked for beside it.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut lines = text_lines(bytes, path);
        let header = lines.next().transpose()?.ok_or_else(|| Error::table(path, 1, "an empty file"))?.1;
        let columns: Vec<String> = header.split('\t').map(|c| c.trim().to_owned()).collect();
        if let Some(twice) = columns.iter().enumerate().find(|(n, name)| columns[..*n].contains(name)) {
            return Err(Error::table(path, 1, format!("column {:?} comes twice in the header", twice.1)));
        }
        let place = |name: &str| columns.iter().position(|c| c == name);
        let needed = |name: &str| {
            let missing =
                || Error::table(path, 1, format!("no column {name:?} in the header; columns are tab separated"));
            place(name).ok_or_else(missing)
        };
        let (audio, phones) = (needed("path")?, needed("phones")?);
        let (speaker, text, seconds) = (place("speaker"), place("text"), place("seconds"));
        let (start, end) = (place("start"), place("end"));
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut utterances = Vec::new();
        for line in lines {
            let (number, line) = line?;
            if line.is_empty() {
                continue;
            }
            let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
            if fields.len() != columns.len() {
                let reason = format!("{} columns instead of {}", fields.len(), columns.len());
                return Err(Error::table(path, number, reason));
            }
            if fields[audio].is_empty() {
                return Err(Error::table(path, number, "column path: empty"));
            }
            let number_in = |column: Option<usize>| match column.map(|c| (&columns[c], fields[c].trim())) {
                None | Some((_, "" | "-")) => Ok(None),
                Some((name, value)) => seconds_in(value).map(Some).ok_or_else(|| {
                    Error::table(path, number, format!("column {name}: {value:?} is no number of seconds"))
                }),
            };
            let string_in = |column: Option<usize>| column.map(|c| fields[c].clone()).unwrap_or_default();
            let span = match (number_in(start)?, number_in(end)?) {
                (Some(start), Some(end)) if start < end => Some((start, end)),
                (None, None) => None,
                _ => return Err(Error::table(path, number, "columns start and end: the end must lie after the start")),
            };
            utterances.push(Utterance {
                id: match span {
                    Some((start, end)) => format!("{}:{start}-{end}", fields[audio]),
                    None => fields[audio].clone(),
                },
                audio: folder.join(&fields[audio]),
                speaker: string_in(speaker),
                seconds: number_in(seconds)?,
                text: string_in(text),
                phones: fields[phones].clone(),
                span,
                fields,
            });
        }
        Ok(Self { path: path.to_owned(), columns, utterances })
    }

    /// The same utterances with the labels of another column.
    pub fn with_labels(mut self, column: &str) -> Result<Self> {
        let Some(place) = self.columns.iter().position(|c| c == column) else {
            let reason = format!("no column {column:?} in the header: it has {}", self.columns.join(", "));
            return Err(Error::table(&self.path, 1, reason));
        };
        self.utterances.iter_mut().for_each(|u| u.phones.clone_from(&u.fields[place]));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Manifest> {
        Manifest::parse(text.as_bytes(), Path::new("corpus/x.manifest.tsv"))
    }

    #[test]
    fn columns_are_found_by_name() -> Result<()> {
        let manifest = parse("path\tphones\tspeaker\tseconds\tage\r\na.wav\tk ae t\ts1\t1.5\t7\r\n")?;
        let utterance = &manifest.utterances[0];
        assert_eq!(utterance.audio, Path::new("corpus/a.wav"));
        assert_eq!((utterance.phones.as_str(), utterance.seconds), ("k ae t", Some(1.5)));
        assert_eq!((utterance.speaker.as_str(), utterance.fields[4].as_str()), ("s1", "7"));
        assert_eq!(manifest.with_labels("speaker")?.utterances[0].phones, "s1");
        Ok(())
    }

    #[test]
    fn parts_of_a_recording_are_told_apart() -> Result<()> {
        let manifest = parse("path\tphones\tstart\tend\na.wav\tk\t0\t1\na.wav\tt\t1\t2.5\n")?;
        assert_eq!(manifest.utterances[1].span, Some((1.0, 2.5)));
        assert_ne!(manifest.utterances[0].id, manifest.utterances[1].id);
        Ok(())
    }

    #[test]
    fn errors_name_file_line_and_column() {
        for (text, expected) in [
            ("", ":1: an empty file"),
            ("path\tx\n", ":1: no column \"phones\" in the header; columns are tab separated"),
            ("path\tphones\tpath\n", ":1: column \"path\" comes twice in the header"),
            ("path\tphones\na\n", ":2: 1 columns instead of 2"),
            ("path\tphones\n\tk\n", ":2: column path: empty"),
            ("path\tphones\tseconds\n\na\tk\tx\n", ":3: column seconds: \"x\" is no number of seconds"),
            ("path\tphones\tstart\tend\na\tk\t2\t1\n", ":2: columns start and end: the end must lie after the start"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), format!("corpus/x.manifest.tsv{expected}"));
        }
        let error = Manifest::parse(b"path\tphones\n\xff\tk\n", Path::new("x")).unwrap_err().to_string();
        assert_eq!(error, "x:2: not UTF-8 text");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_manifest_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Manifest::parse(&bytes, Path::new("x"));
            let mut with_header = b"path\tphones\tstart\tend\tseconds\n".to_vec();
            with_header.extend(bytes);
            let _ = Manifest::parse(&with_header, Path::new("x"));
        }
    }
}
