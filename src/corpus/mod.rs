//! Which utterances there are, in which order they come, and as which batches.
#![forbid(unsafe_code)]

mod augment;
mod batch;
pub mod common_voice;
mod dataset;
pub mod kaldi;
pub mod librispeech;
pub mod ljspeech;
mod manifest;
mod open;
mod prefetch;
mod prepared;
mod sampler;
pub mod timit;

pub use augment::{Augment, Noise};
pub use batch::Batch;
pub use dataset::{Dataset, LeftOut};
pub use manifest::{Manifest, Utterance};
pub use prefetch::prefetch;
pub use prepared::{Prepared, Problem, Row, Split};
pub use sampler::{BatchLimits, epoch};
