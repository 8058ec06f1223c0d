//! The library's one error type. Every variant names the thing that is wrong (file, line, utterance) and why,
//! in one sentence that can be shown to a user as it is.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

/// What formant's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong in the library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A recording cannot be decoded, or its content makes no sense.
    #[error("{}: {reason}", path.display())]
    Audio {
        /// The file, or `<stdin>`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A table (manifest, Kaldi file, lexicon) has a line that cannot be read.
    #[error("{}:{line}: {reason}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// What is wrong with it, naming the column.
        reason: String,
    },
    /// A model file is damaged, lies about itself, or is not a model.
    #[error("{}: {reason}", path.display())]
    Model {
        /// The file, or `<embedded model>`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A recipe or another piece of configuration cannot be used.
    #[error("{}: {reason}", path.display())]
    Recipe {
        /// The file, or `<recipe>`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A phone symbol that the phone set does not have.
    #[error("unknown phone {symbol:?}: it is not one of the {size} phones of {set:?}")]
    UnknownPhone {
        /// The symbol.
        symbol: String,
        /// The phone set's name.
        set: String,
        /// How many phones the set has, the blank left out.
        size: usize,
    },
    /// CTC needs at least as many frames as labels and repeats.
    #[error("{utterance}: {labels} labels need {needed} frames, but there are only {frames}")]
    Infeasible {
        /// The utterance's id, or its place in the batch.
        utterance: String,
        /// Labels of the target.
        labels: usize,
        /// Frames that the target needs: labels plus neighbouring repeats.
        needed: usize,
        /// Frames there are.
        frames: usize,
    },
    /// A value given by the caller is out of range or does not fit another one.
    #[error("{0}")]
    Invalid(String),
    /// The tensor library failed.
    #[error("{}", without_backtrace(.0))]
    Tensor(#[from] candle_core::Error),
}

/// What candle says without the backtrace that it appends where RUST_BACKTRACE is set.
fn without_backtrace(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.split("\n   0: ").next().unwrap_or_default().trim_end().to_owned()
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }

    /// An [`Error::Audio`] for `path`.
    pub fn audio(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Audio { path: path.as_ref().to_owned(), reason: reason.into() }
    }

    /// An [`Error::Table`] for line `line` (from 1) of `path`.
    pub fn table(path: impl AsRef<Path>, line: usize, reason: impl Into<String>) -> Self {
        Self::Table { path: path.as_ref().to_owned(), line, reason: reason.into() }
    }

    /// An [`Error::Model`] for `path`.
    pub fn model(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Model { path: path.as_ref().to_owned(), reason: reason.into() }
    }

    /// An [`Error::Recipe`] for `path`.
    pub fn recipe(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Recipe { path: path.as_ref().to_owned(), reason: reason.into() }
    }

    /// An [`Error::Invalid`].
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }
}
