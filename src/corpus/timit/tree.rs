//! Finding the utterances in a folder that is laid out like TIMIT, whoever unpacked it: names in any letter case;
//! `TRAIN/DR1/FCJF0/SA1.PHN` as the Linguistic Data Consortium has it, `data/TRAIN/..` with `SA1.WAV.wav` beside `SA1.WAV` as
//! on Kaggle, `dr1-fvmh0/sa1.phn` as in NLTK's sample.
//!
//! What a folder is called matters only next to the speaker's, so a corpus may lie below folders that are called `train` or
//! `test` themselves.
#![forbid(unsafe_code)]

use super::speakers::Usage;
use crate::corpus::Problem;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders inside folders are not followed beyond this.
const DEEPEST: usize = 32;

/// Names of recordings for a sentence called `sa1`, best first.
const RECORDINGS: [&str; 5] = ["wav", "wav.wav", "flac", "sph", "ogg"];

/// The files of an utterance, and what their place says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// By the folder; the speaker may still tell.
    pub usage: Option<Usage>,
    /// `dr1` to `dr8`; empty if no folder says so.
    pub dialect: String,
    /// Lower case, as `fcjf0`.
    pub speaker: String,
    /// Lower case, as `sx37`.
    pub sentence: String,
    /// The recording.
    pub audio: PathBuf,
    /// The phones.
    pub phn: PathBuf,
    /// The text, if there is one.
    pub txt: Option<PathBuf>,
    /// The words, if there are any.
    pub wrd: Option<PathBuf>,
}

/// What a tree holds.
#[derive(Debug, Default)]
pub struct Tree {
    /// Sorted by usage, speaker and sentence.
    pub entries: Vec<Entry>,
    /// The table of speakers.
    pub speaker_table: Option<PathBuf>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Tree {
    /// Walks `root`.
    ///
    /// # Errors
    /// If a folder cannot be listed.
    pub fn walk(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.folder(root, &mut Vec::new())?;
        let key = |e: &Entry| (e.usage, e.speaker.clone(), e.sentence.clone());
        tree.entries.sort_by_cached_key(|e| (key(e), e.phn.clone()));
        // A copy inside a copy: the first counts.
        tree.entries.dedup_by(|next, before| {
            let same = key(next) == key(before);
            if same {
                let what = format!("the same utterance as {}", before.phn.display());
                tree.problems.push(Problem::left_out(&next.phn, what));
            }
            same
        });
        tree.problems.sort();
        Ok(tree)
    }

    /// `names` are those of the folders below the root that lead to `folder`, in lower case.
    fn folder(&mut self, folder: &Path, names: &mut Vec<String>) -> Result<()> {
        let mut files = BTreeMap::new();
        let mut folders = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
            let entry = entry.map_err(|e| Error::io(folder, e))?;
            let name = entry.file_name().to_string_lossy().to_lowercase();
            // Links to folders could lead in circles.
            let kind = entry.file_type().map_err(|e| Error::io(entry.path(), e))?;
            if name.starts_with('.') {
                continue;
            }
            if kind.is_dir() { &mut folders } else { &mut files }.insert(name, entry.path());
        }
        self.utterances(&files, names);
        if self.speaker_table.is_none() {
            self.speaker_table = files.remove("spkrinfo.txt");
        }
        for (name, path) in folders {
            if names.len() < DEEPEST {
                names.push(name);
                self.folder(&path, names)?;
                names.pop();
            }
        }
        Ok(())
    }

    /// The utterances among the files of a folder.
    fn utterances(&mut self, files: &BTreeMap<String, PathBuf>, names: &[String]) {
        let sentences = files.iter().filter_map(|(name, phn)| Some((name.strip_suffix(".phn")?, phn)));
        let any = sentences.clone().next().is_some();
        for (sentence, phn) in sentences {
            let beside = |extension: &&str| files.get(&format!("{sentence}.{extension}")).cloned();
            let Some(audio) = RECORDINGS.iter().find_map(beside) else {
                self.problems.push(Problem::left_out(phn, "no recording lies beside it"));
                continue;
            };
            let Some((usage, dialect, speaker)) = place(names) else {
                self.problems.push(Problem::left_out(phn, "it does not lie in a speaker's folder"));
                continue;
            };
            let (sentence, phn) = (sentence.to_owned(), phn.clone());
            let (txt, wrd) = (beside(&"txt"), beside(&"wrd"));
            self.entries.push(Entry { usage, dialect, speaker, sentence, audio, phn, txt, wrd });
        }
        let alone = files.iter().filter_map(|(name, path)| Some((name.strip_suffix(".wav")?, path)));
        for (sentence, path) in alone.filter(|_| any) {
            let sentence = sentence.strip_suffix(".wav").unwrap_or(sentence);
            if !files.contains_key(&format!("{sentence}.phn")) {
                self.problems.push(Problem::left_out(path, "no .PHN lies beside it"));
            }
        }
    }
}

/// Usage, dialect and speaker by the names of the folders that lead to an utterance.
fn place(names: &[String]) -> Option<(Option<Usage>, String, String)> {
    let (last, above) = names.split_last()?;
    let is_dialect =
        |name: &str| name.strip_prefix("dr").is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit());
    let (dialect, speaker, above) = match (last.split_once('-'), above.split_last()) {
        (Some((dialect, speaker)), _) if is_dialect(dialect) => (dialect, speaker, above),
        (_, Some((dialect, above))) if is_dialect(dialect) => (dialect.as_str(), last.as_str(), above),
        _ => ("", last.as_str(), above),
    };
    let usage = above.last().and_then(|name| Usage::of_folder(name));
    (Usage::of_folder(speaker).is_none() && !is_dialect(speaker))
        .then(|| (usage, dialect.to_owned(), speaker.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_the_end() {
        let of = |path: &str| place(&path.split('/').map(str::to_owned).collect::<Vec<_>>());
        let found = |usage, dialect: &str, speaker: &str| Some((usage, dialect.to_owned(), speaker.to_owned()));
        assert_eq!(of("timit/train/dr1/fcjf0"), found(Some(Usage::Train), "dr1", "fcjf0"));
        assert_eq!(of("test/timit/train/dr8/mbcg0"), found(Some(Usage::Train), "dr8", "mbcg0"));
        assert_eq!(of("dr1-fvmh0"), found(None, "dr1", "fvmh0"));
        assert_eq!(of("test/dr1-fvmh0"), found(Some(Usage::Test), "dr1", "fvmh0"));
        assert_eq!(of("dev/anna"), found(Some(Usage::Dev), "", "anna"));
        assert_eq!(of("train/timit/anna"), found(None, "", "anna"), "only the folder next to it tells");
        assert_eq!((of("timit/train/dr1"), of("train")), (None, None));
    }

    #[test]
    fn what_is_missing_is_named() -> Result<()> {
        let folder = tempfile::tempdir().expect("a folder");
        let speaker = folder.path().join("TRAIN/DR1/FCJF0");
        std::fs::create_dir_all(&speaker).expect("folders");
        for name in ["SA1.PHN", "SA1.WAV.wav", "SX2.PHN", "SX3.WAV", "SX4.phn", "SX4.WAV", "SX4.WAV.wav", "x.txt"] {
            std::fs::write(speaker.join(name), "").expect("a file");
        }
        std::fs::create_dir_all(folder.path().join("copy/train/dr1/fcjf0")).expect("folders");
        for name in ["sx4.phn", "sx4.wav"] {
            std::fs::write(folder.path().join("copy/train/dr1/fcjf0").join(name), "").expect("a file");
        }
        let tree = Tree::walk(folder.path())?;
        let audio: Vec<_> = tree.entries.iter().map(|e| e.audio.file_name().expect("a name").to_owned()).collect();
        assert_eq!(audio, ["SA1.WAV.wav", "SX4.WAV"]);
        let what: Vec<_> =
            tree.problems.iter().map(|p| p.what.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(what, ["no recording lies", "no .PHN lies", "the same utterance"]);
        Ok(())
    }
}
