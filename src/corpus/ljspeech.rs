//! The LJ Speech dataset: `metadata.csv` with lines `ID|text|text with numbers spelled out`, recordings in `wavs/`.
#![forbid(unsafe_code)]

use super::prepared::{Prepared, Problem, Row, Split};
use crate::error::{Error, Result};
use crate::files;
use crate::table::text_lines;
use std::path::Path;

/// One utterance of so many is for development: the corpus has no splits, and one speaker.
const DEV: usize = 20;

/// Reads the corpus in `root`.
///
/// # Errors
/// If its table is not there or cannot be read.
pub fn prepare(root: &Path) -> Result<Prepared> {
    let path = root.join("metadata.csv");
    let bytes = files::read(&path)?;
    let mut prepared = Prepared::default();
    let (mut train, mut dev) = (Vec::new(), Vec::new());
    for line in text_lines(&bytes, &path) {
        let (number, line) = line?;
        let fields: Vec<&str> = line.split('|').collect();
        let [id, text, ..] = fields[..] else {
            return Err(Error::table(&path, number, "not `ID|text|normalised text`"));
        };
        let audio = root.join("wavs").join(format!("{id}.wav"));
        if !audio.is_file() {
            prepared.problems.push(Problem::left_out(&audio, "the recording is missing"));
            continue;
        }
        let text = fields.get(2).filter(|text| !text.is_empty()).unwrap_or(&text);
        let row = Row { audio, speaker: "ljspeech".to_owned(), text: (*text).to_owned(), ..Row::default() };
        if number % DEV == 0 { &mut dev } else { &mut train }.push(row);
    }
    for (name, rows) in [("train", train), ("dev", dev)] {
        prepared.splits.push(Split { name: name.to_owned(), more: Vec::new(), rows });
    }
    prepared.splits.retain(|split| !split.rows.is_empty());
    prepared.notes.push("one speaker in both splits: the rate on dev says nothing of other voices".to_owned());
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spelled_out_text_is_taken() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("wavs")).expect("a folder");
        let mut table = String::new();
        for n in 1..=20 {
            std::fs::write(folder.path().join(format!("wavs/LJ-{n}.wav")), "").expect("a file");
            table += &format!("LJ-{n}|in 18{n}|in eighteen\n");
        }
        std::fs::write(folder.path().join("metadata.csv"), table + "LJ-x|gone|gone\n").expect("a file");
        let prepared = prepare(folder.path())?;
        let counts: Vec<_> = prepared.splits.iter().map(|split| (split.name.as_str(), split.rows.len())).collect();
        assert_eq!(counts, [("train", 19), ("dev", 1)]);
        assert_eq!((prepared.splits[0].rows[0].text.as_str(), prepared.problems.len()), ("in eighteen", 1));
        Ok(())
    }
}
