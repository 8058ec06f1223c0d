//! A split of a corpus, whatever form its folder has.
#![forbid(unsafe_code)]

use super::kaldi;
use super::manifest::Manifest;
use crate::error::{Error, Result};
use std::path::Path;

impl Manifest {
    /// The split called `split` of the corpus in `dir`: `DIR/SPLIT.manifest.tsv`, or the Kaldi data directory
    /// `DIR/SPLIT` (`wav.scp`, `text`, perhaps `utt2spk` and `segments`).
    ///
    /// # Errors
    /// If there is neither, naming the splits that there are.
    pub fn open(dir: &Path, split: &str) -> Result<Self> {
        let manifest = dir.join(format!("{split}.manifest.tsv"));
        if manifest.is_file() {
            return Self::read(&manifest);
        }
        let folder = dir.join(split);
        if folder.join("wav.scp").is_file() {
            return kaldi::read(&folder);
        }
        let there = match Self::splits(dir)? {
            splits if splits.is_empty() => "no manifest (SPLIT.manifest.tsv) or Kaldi folder at all".to_owned(),
            splits => format!("only {}", splits.join(", ")),
        };
        Err(Error::invalid(format!("{}: no split {split:?} in it, {there}", dir.display())))
    }

    /// The splits of the corpus in `dir`, sorted.
    pub fn splits(dir: &Path) -> Result<Vec<String>> {
        let mut splits = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(|e| Error::io(dir, e))? {
            let entry = entry.map_err(|e| Error::io(dir, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(split) = name.strip_suffix(".manifest.tsv") {
                splits.push(split.to_owned());
            } else if entry.path().join("wav.scp").is_file() {
                splits.push(name);
            }
        }
        splits.sort();
        Ok(splits)
    }
}
