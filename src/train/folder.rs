//! A run's folder: which file is where, whose it is at the moment, and what lies in it already.
#![forbid(unsafe_code)]

use super::checkpoint::Checkpoint;
use crate::corpus::Dataset;
use crate::error::{Error, Result};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// Where a run's files are.
pub struct Files {
    /// The folder.
    pub out: PathBuf,
}

impl Files {
    /// Everything that it takes to go on.
    pub fn checkpoint(&self) -> PathBuf {
        self.out.join("checkpoint.safetensors")
    }
    /// The best model.
    pub fn model(&self) -> PathBuf {
        self.out.join("model.safetensors")
    }
    /// The recipe as run.
    pub fn recipe(&self) -> PathBuf {
        self.out.join("recipe.toml")
    }
    /// Which utterances were not used, and why.
    pub fn left_out(&self) -> PathBuf {
        self.out.join("left-out.tsv")
    }
}

/// Looks at the output folder: a checkpoint to go on from, or nothing, the folder then being ready for a new run. The
/// folder is ours as long as the file that comes back is open.
pub fn open(files: &Files, resume: bool) -> Result<(File, Option<Checkpoint>)> {
    let out = &files.out;
    if out.is_file() {
        return Err(Error::invalid(format!("{}: a file, where a folder for the run is asked for", out.display())));
    }
    let there = files.checkpoint().exists();
    if there && !resume {
        let reason = "this folder holds a run already: go on with --resume, or choose another folder with --out";
        return Err(Error::model(files.checkpoint(), reason));
    }
    std::fs::create_dir_all(out).map_err(|e| Error::io(out, e))?;
    let lock = lock(out)?;
    crate::files::remove_leftovers(out);
    let checkpoint = if there { Some(Checkpoint::load(&files.checkpoint())?) } else { None };
    Ok((lock, checkpoint))
}

/// Two runs in one folder would write over each other's files. The system takes the lock off when a process ends,
/// however it ends.
fn lock(out: &Path) -> Result<File> {
    let path = out.join(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| Error::io(&path, e))?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(Error::invalid(format!("{}: another process is training in this folder", out.display())))
        }
        // A file system that knows no locks is no reason to fail.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Writes down which utterances are not used, and why.
pub fn write_left_out(files: &Files, sets: &[&Dataset]) -> Result<()> {
    let lines = sets.iter().flat_map(|s| s.left_out()).map(|l| format!("{}\t{}\n", l.utterance, l.reason));
    let table: String = std::iter::once("utterance\treason\n".to_owned()).chain(lines).collect();
    crate::files::write_atomic(&files.left_out(), table.as_bytes())
}

/// Whether a folder holds a run that can be gone on with.
pub fn holds_a_run(folder: &Path) -> bool {
    Files { out: folder.to_owned() }.checkpoint().exists()
}
