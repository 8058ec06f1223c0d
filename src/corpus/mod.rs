//! Which utterances there are, in which order they come, and as which batches.
#![forbid(unsafe_code)]

mod augment;
mod batch;
mod dataset;
mod kaldi;
mod manifest;
mod open;
mod prefetch;
mod sampler;

pub use augment::{Augment, Noise};
pub use batch::Batch;
pub use dataset::{Dataset, LeftOut};
pub use manifest::{Manifest, Utterance};
pub use prefetch::prefetch;
pub use sampler::{BatchLimits, epoch};
