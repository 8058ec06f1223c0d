//! LibriSpeech, and corpora in its layout: `SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt`, recordings beside it, SPEAKERS.TXT.
#![forbid(unsafe_code)]

use super::prepared::{Prepared, Problem, Row, Split};
use crate::error::{Error, Result};
use crate::files;
use crate::table::text_lines;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Columns beside those that every manifest has.
const COLUMNS: [&str; 1] = ["gender"];
/// Names of recordings after the utterance's, best first.
const RECORDINGS: [&str; 3] = ["flac", "wav", "ogg"];

/// Reads the corpus in `root`, the folder `LibriSpeech` or the one that holds it. Each subset is a split of its name.
///
/// # Errors
/// If a folder cannot be read, or no transcripts are found.
pub fn prepare(root: &Path) -> Result<Prepared> {
    let inside = root.join("LibriSpeech");
    let root = if inside.is_dir() { inside } else { root.to_owned() };
    let genders = genders(&root.join("SPEAKERS.TXT"))?;
    let mut prepared = Prepared::default();
    for (subset, folder) in folders(&root)? {
        let mut rows = Vec::new();
        for (speaker, folder) in folders(&folder)? {
            let gender = genders.get(&speaker).cloned().unwrap_or_default();
            for (chapter, folder) in folders(&folder)? {
                let transcripts = folder.join(format!("{speaker}-{chapter}.trans.txt"));
                if transcripts.is_file() {
                    rows.extend(chapter_rows(&transcripts, &speaker, &gender, &mut prepared.problems)?);
                }
            }
        }
        if !rows.is_empty() {
            prepared.splits.push(Split { name: subset, more: COLUMNS.to_vec(), rows });
        }
    }
    if prepared.splits.is_empty() {
        let reason = "no SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt in it, as LibriSpeech has them";
        return Err(Error::invalid(format!("{}: {reason}", root.display())));
    }
    Ok(prepared)
}

/// The folders in a folder, by name.
fn folders(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut folders = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        if entry.path().is_dir() {
            folders.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
        }
    }
    Ok(folders)
}

/// `f` or `m` by speaker, from `ID | SEX | ..`; nothing if the file is not there.
fn genders(path: &Path) -> Result<HashMap<String, String>> {
    let mut genders = HashMap::new();
    if !path.is_file() {
        return Ok(genders);
    }
    let bytes = files::read(path)?;
    for line in text_lines(&bytes, path) {
        let (_, line) = line?;
        let mut fields = line.split('|').map(str::trim);
        if let (Some(speaker), Some(sex @ ("F" | "M"))) = (fields.next(), fields.next()) {
            genders.insert(speaker.to_owned(), sex.to_lowercase());
        }
    }
    Ok(genders)
}

/// The utterances of a chapter: lines `ID TEXT`.
fn chapter_rows(path: &Path, speaker: &str, gender: &str, problems: &mut Vec<Problem>) -> Result<Vec<Row>> {
    let bytes = files::read(path)?;
    let mut rows = Vec::new();
    for line in text_lines(&bytes, path) {
        let (_, line) = line?;
        let Some((id, text)) = line.split_once(' ') else { continue };
        let beside = |extension: &&str| Some(path.with_file_name(format!("{id}.{extension}"))).filter(|p| p.is_file());
        match RECORDINGS.iter().find_map(beside) {
            Some(audio) => rows.push(Row {
                audio,
                speaker: speaker.to_owned(),
                text: text.trim().to_owned(),
                more: vec![gender.to_owned()],
                ..Row::default()
            }),
            None => problems.push(Problem::left_out(path, format!("the recording of {id} is missing"))),
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_splits() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let chapter = folder.path().join("LibriSpeech/dev-clean/84/121123");
        std::fs::create_dir_all(&chapter).expect("folders");
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).expect("a file");
        write(chapter.join("84-121123.trans.txt"), "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT\n");
        write(chapter.join("84-121123-0000.flac"), "");
        write(folder.path().join("LibriSpeech/SPEAKERS.TXT"), ";ID |SEX\n84   | F | dev-clean | 8.0 | Name\n");
        let prepared = prepare(folder.path())?;
        let [split] = &prepared.splits[..] else { unreachable!("one subset") };
        assert_eq!((split.name.as_str(), split.rows[0].text.as_str()), ("dev-clean", "GO DO YOU HEAR"));
        assert_eq!((split.rows[0].speaker.as_str(), split.rows[0].more[0].as_str()), ("84", "f"));
        assert_eq!(prepared.problems[0].what, "the recording of 84-121123-0001 is missing");
        assert!(prepare(&chapter).is_err());
        Ok(())
    }
}
