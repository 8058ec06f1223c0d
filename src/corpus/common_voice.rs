//! Mozilla Common Voice: `train.tsv`, `dev.tsv`, `test.tsv` with a header line, and the recordings in `clips/`.
#![forbid(unsafe_code)]

use super::prepared::{Prepared, Problem, Row, Split};
use crate::error::{Error, Result};
use crate::files;
use crate::table::text_lines;
use std::path::Path;

const SPLITS: [&str; 3] = ["train", "dev", "test"];
/// Columns that are kept, as the corpus calls them, and as manifests do. Releases differ in the last.
const MORE: [(&str, &str); 4] = [("gender", "gender"), ("age", "age"), ("accent", "accent"), ("accents", "accents")];
/// So many characters of a speaker's number are enough to tell all of them apart.
const SPEAKER: usize = 16;

/// Reads the corpus in `root`, the folder of one language.
///
/// # Errors
/// If a table cannot be read, or none is there.
pub fn prepare(root: &Path) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    for name in SPLITS {
        let path = root.join(format!("{name}.tsv"));
        if path.is_file() {
            prepared.splits.push(split(name, &path, &mut prepared.problems)?);
        }
    }
    if prepared.splits.is_empty() {
        let reason = "no train.tsv, dev.tsv or test.tsv in it, as Common Voice has them in a language's folder";
        return Err(Error::invalid(format!("{}: {reason}", root.display())));
    }
    Ok(prepared)
}

fn split(name: &str, path: &Path, problems: &mut Vec<Problem>) -> Result<Split> {
    let bytes = files::read(path)?;
    let mut lines = text_lines(&bytes, path);
    let header: Vec<&str> = lines.next().transpose()?.map(|(_, line)| line.split('\t').collect()).unwrap_or_default();
    let place = |column: &str| header.iter().position(|name| *name == column);
    let needed = |column: &str| place(column).ok_or_else(|| Error::table(path, 1, format!("no column {column:?}")));
    let (clip, sentence, speaker) = (needed("path")?, needed("sentence")?, needed("client_id")?);
    let more: Vec<(usize, &'static str)> =
        MORE.into_iter().filter_map(|(theirs, ours)| Some((place(theirs)?, ours))).collect();
    let clips = path.with_file_name("clips");
    let mut rows = Vec::new();
    for line in lines {
        let (number, line) = line?;
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() < header.len() {
            let reason = format!("{} columns instead of {}", fields.len(), header.len());
            return Err(Error::table(path, number, reason));
        }
        let audio = clips.join(fields[clip]);
        if !audio.is_file() {
            problems.push(Problem::left_out(&audio, "the recording is missing"));
            continue;
        }
        rows.push(Row {
            audio,
            speaker: fields[speaker].chars().take(SPEAKER).collect(),
            text: fields[sentence].to_owned(),
            more: more.iter().map(|(place, _)| fields[*place].to_owned()).collect(),
            ..Row::default()
        });
    }
    Ok(Split { name: name.to_owned(), more: more.into_iter().map(|(_, name)| name).collect(), rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("clips")).expect("a folder");
        std::fs::write(folder.path().join("clips/a.mp3"), "").expect("a file");
        let text = "client_id\tpath\tsentence\tage\nc1\ta.mp3\tHi, \"you\".\ttwenties\nc2\tb.mp3\tNo.\t\n";
        std::fs::write(folder.path().join("dev.tsv"), text).expect("a file");
        let prepared = prepare(folder.path())?;
        let [split] = &prepared.splits[..] else { unreachable!("one table") };
        assert_eq!((split.name.as_str(), split.more.as_slice()), ("dev", &["age"][..]));
        assert_eq!((split.rows[0].text.as_str(), split.rows[0].more[0].as_str()), ("Hi, \"you\".", "twenties"));
        assert_eq!((split.rows.len(), prepared.problems.len()), (1, 1));
        std::fs::write(folder.path().join("dev.tsv"), "path\tsentence\n").expect("a file");
        assert!(prepare(folder.path()).unwrap_err().to_string().ends_with("dev.tsv:1: no column \"client_id\""));
        Ok(())
    }
}
