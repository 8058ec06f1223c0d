//! Kaldi data directories: `wav.scp`, `text` (whose words are the labels), and perhaps `utt2spk` and `segments`.
#![forbid(unsafe_code)]

use super::manifest::{Manifest, Utterance};
use super::prepared::{Prepared, Problem, Row, Split};
use crate::error::{Error, Result};
use crate::table::{seconds_in, text_lines};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// A file of lines `key value..`, in order.
struct Table {
    path: PathBuf,
    rows: Vec<(usize, String, String)>,
}

impl Table {
    fn read(path: PathBuf) -> Result<Self> {
        let bytes = crate::files::read(&path)?;
        let (mut rows, mut keys) = (Vec::new(), HashSet::new());
        for line in text_lines(&bytes, &path) {
            let (number, line) = line?;
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            if !keys.insert(key) {
                return Err(Error::table(&path, number, format!("{key} comes twice")));
            }
            rows.push((number, key.to_owned(), value.trim().to_owned()));
        }
        Ok(Self { path, rows })
    }

    fn optional(path: PathBuf) -> Result<Option<Self>> {
        if path.is_file() { Self::read(path).map(Some) } else { Ok(None) }
    }

    fn by_key(&self) -> HashMap<&str, &str> {
        self.rows.iter().map(|(_, key, value)| (key.as_str(), value.as_str())).collect()
    }

    fn error(&self, line: usize, reason: impl Into<String>) -> Error {
        Error::table(&self.path, line, reason)
    }
}

/// Reads the data directory `folder`. Paths in `wav.scp` are taken as they are, or from `folder` if nothing is there.
pub fn read(folder: &Path) -> Result<Manifest> {
    let (wavs, text) = (Table::read(folder.join("wav.scp"))?, Table::read(folder.join("text"))?);
    let (speakers, segments) = (Table::optional(folder.join("utt2spk"))?, Table::optional(folder.join("segments"))?);
    let speakers = speakers.as_ref().map(Table::by_key).unwrap_or_default();
    let mut recordings = HashMap::new();
    for (line, key, value) in &wavs.rows {
        if value.is_empty() || value.ends_with('|') {
            let reason = format!("{key}: formant reads files and runs no commands; write the audio file's path");
            return Err(wavs.error(*line, reason));
        }
        let path = PathBuf::from(value);
        recordings.insert(key.as_str(), if path.exists() { path } else { folder.join(value) });
    }
    let spans = segments.as_ref().map(spans).transpose()?;
    let mut utterances = Vec::new();
    for (line, id, label) in &text.rows {
        let (recording, span) = match &spans {
            None => (id.as_str(), None),
            Some(spans) => {
                let missing = || text.error(*line, format!("{id} is not in segments"));
                spans.get(id.as_str()).map(|(recording, span)| (*recording, Some(*span))).ok_or_else(missing)?
            }
        };
        let missing = || text.error(*line, format!("{recording} is not in wav.scp"));
        utterances.push(Utterance {
            id: id.clone(),
            audio: recordings.get(recording).cloned().ok_or_else(missing)?,
            speaker: speakers.get(id.as_str()).copied().unwrap_or_default().to_owned(),
            seconds: span.map(|(start, end)| end - start),
            text: label.clone(),
            phones: label.clone(),
            span,
            fields: Vec::new(),
        });
    }
    Ok(Manifest { path: folder.to_owned(), columns: Vec::new(), utterances })
}

/// Reads every data directory in `root`, each a split of its name, for [`crate::prepare`] to look up the words of.
///
/// # Errors
/// If one cannot be read, or there is none.
pub fn prepare(root: &Path) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    let names: Vec<String> =
        Manifest::splits(root)?.into_iter().filter(|n| root.join(n).join("wav.scp").is_file()).collect();
    for name in names {
        let mut rows = Vec::new();
        for utterance in read(&root.join(&name))?.utterances {
            if !utterance.audio.is_file() {
                prepared.problems.push(Problem::left_out(&utterance.audio, "the recording is missing"));
                continue;
            }
            let (start, end) = utterance.span.map(|(a, b)| (a.to_string(), b.to_string())).unwrap_or_default();
            let Utterance { audio, speaker, seconds, text, .. } = utterance;
            rows.push(Row { audio, speaker, seconds, text, phones: String::new(), more: vec![start, end] });
        }
        prepared.splits.push(Split { name, more: vec!["start", "end"], rows });
    }
    if prepared.splits.is_empty() {
        return Err(Error::invalid(format!("{}: no folder with wav.scp and text in it", root.display())));
    }
    Ok(prepared)
}

/// By utterance: its recording, and start and end in seconds.
type Spans<'a> = HashMap<&'a str, (&'a str, (f64, f64))>;

fn spans(segments: &Table) -> Result<Spans<'_>> {
    let mut spans = HashMap::new();
    for (line, id, value) in &segments.rows {
        let fields: Vec<&str> = value.split_whitespace().collect();
        let span = match fields[..] {
            [recording, start, end] => match (seconds_in(start), seconds_in(end)) {
                (Some(start), Some(end)) if start < end => Some((recording, (start, end))),
                _ => None,
            },
            _ => None,
        };
        let span = span.ok_or_else(|| segments.error(*line, "not `utterance recording start end`"))?;
        spans.insert(id.as_str(), span);
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).expect("written"));
        folder
    }

    #[test]
    fn reads_segments_and_speakers() -> Result<()> {
        let folder = folder(&[
            ("wav.scp", "r1 a.wav\n"),
            ("text", "u1 k ae t\nu2 d ao g\n"),
            ("utt2spk", "u1 s1\nu2 s2\n"),
            ("segments", "u1 r1 0.0 1.0\nu2 r1 1.0 2.5\n"),
        ]);
        let manifest = read(folder.path())?;
        let second = &manifest.utterances[1];
        assert_eq!((second.id.as_str(), second.speaker.as_str(), second.phones.as_str()), ("u2", "s2", "d ao g"));
        assert_eq!((second.span, second.seconds), (Some((1.0, 2.5)), Some(1.5)));
        assert_eq!(second.audio, folder.path().join("a.wav"));
        Ok(())
    }

    #[test]
    fn commands_and_gaps_are_refused() {
        let folder = folder(&[("wav.scp", "u1 sph2pipe a.sph |\n"), ("text", "u1 k\n")]);
        assert!(read(folder.path()).unwrap_err().to_string().contains("runs no commands"));
        std::fs::write(folder.path().join("wav.scp"), "u2 a.wav\n").expect("written");
        assert!(read(folder.path()).unwrap_err().to_string().ends_with("text:1: u1 is not in wav.scp"));
        std::fs::write(folder.path().join("wav.scp"), "u1 a.wav\nu1 b.wav\n").expect("written");
        assert!(read(folder.path()).unwrap_err().to_string().ends_with("wav.scp:2: u1 comes twice"));
    }
}
