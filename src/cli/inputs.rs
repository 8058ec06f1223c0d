//! Which recordings the words on the command line mean: files, standard input, and what lies in folders.
#![forbid(unsafe_code)]

use super::output;
use crate::audio::{ReadOptions, Waveform};
use crate::error::{Error, Result};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One recording to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The file, or `-`.
    pub path: PathBuf,
    /// Whether it was found in a folder rather than named: then it need not be a recording at all.
    pub found: bool,
    /// Its size on the disk; 0 where that is not known.
    pub bytes: u64,
    /// Its path below the folder that was named, or its name alone.
    pub below: PathBuf,
}

/// Standard input is not followed beyond this.
const MOST_BYTES: u64 = 4 << 30;

impl Input {
    /// What was named on the command line; what is wrong with it is said when it is read.
    pub fn named(path: &Path) -> Self {
        let bytes = fs::metadata(path).map_or(0, |kind| kind.len());
        let below = path.file_name().map_or_else(|| path.to_owned(), PathBuf::from);
        Self { path: path.to_owned(), found: false, bytes, below }
    }

    /// Whether this is standard input.
    pub fn is_standard(&self) -> bool {
        !self.found && self.path == Path::new("-")
    }

    /// Decodes it.
    pub fn read(&self, options: ReadOptions) -> Result<Waveform> {
        if !self.is_standard() {
            return Waveform::open_as(&self.path, options);
        }
        let name = Path::new("<stdin>");
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io(name, e))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Error::audio(name, "more than 4 GiB"));
        }
        Waveform::read(bytes, name, options)
    }
}

/// All inputs in the order of the words, folders walked; folders that cannot be listed are in `errors`.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The recordings.
    pub all: Vec<Input>,
    /// Folders that cannot be read.
    pub errors: Vec<Error>,
}

impl Inputs {
    /// Looks up what was typed.
    ///
    /// # Errors
    /// If standard input is named twice: it can be read once.
    pub fn find(words: &[PathBuf]) -> anyhow::Result<Self> {
        if words.iter().filter(|word| *word == Path::new("-")).count() > 1 {
            return Err(output::with_hint("standard input (-) is named twice", "a file called - is written ./-"));
        }
        let mut inputs = Self::default();
        for word in words {
            match fs::metadata(word) {
                Ok(kind) if kind.is_dir() && word != Path::new("-") => inputs.walk(word, word),
                _ => inputs.all.push(Input::named(word)),
            }
        }
        Ok(inputs)
    }

    /// Adds the files below `folder`, which lies in `root`, sorted by name. Hidden entries are left out, and so are links to folders, which
    /// could lead in circles.
    fn walk(&mut self, root: &Path, folder: &Path) {
        let listed = fs::read_dir(folder).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
        let mut entries = match listed {
            Ok(entries) => entries,
            Err(error) => return self.errors.push(Error::io(folder, error)),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.walk(root, &path),
                // A link to a file counts; pipes and devices in a folder would block.
                Ok(_) => {
                    if let Some(kind) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) {
                        let below = path.strip_prefix(root).unwrap_or(&path).to_owned();
                        self.all.push(Input { path, found: true, bytes: kind.len(), below });
                    }
                }
                Err(error) => self.errors.push(Error::io(&path, error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order_without_hidden_files() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        fs::create_dir_all(root.join("b/.hidden"))?;
        for name in ["c.wav", "b/z.flac", "b/a.txt", ".x.wav", "b/.hidden/y.wav"] {
            fs::write(root.join(name), "12345")?;
        }
        let inputs = Inputs::find(&[root.to_owned(), root.join("c.wav"), PathBuf::from("-")])?;
        let names: Vec<_> = inputs.all.iter().map(|i| i.path.strip_prefix(root).unwrap_or(&i.path)).collect();
        assert_eq!(names, ["b/a.txt", "b/z.flac", "c.wav", "c.wav", "-"].map(Path::new));
        assert_eq!(inputs.all.iter().map(|i| i.found).collect::<Vec<_>>(), [true, true, true, false, false]);
        assert!(inputs.all[4].is_standard() && inputs.all[0].bytes == 5 && inputs.errors.is_empty());
        Ok(())
    }

    #[test]
    fn standard_input_is_read_once() {
        let error = Inputs::find(&["-".into(), "-".into()]).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("standard input (-) is named twice"));
    }
}
