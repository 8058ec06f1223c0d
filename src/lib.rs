//! Speech recogniser trained with connectionist temporal classification (CTC): recordings in, phones out.
#![warn(missing_docs)]

pub mod audio;
pub mod corpus;
pub mod ctc;
pub mod decode;
pub mod error;
pub mod features;
pub mod lengths;
pub mod model;
pub mod nn;
pub mod phones;
pub mod recognize;
pub mod rng;
pub mod score;
pub mod train;

#[cfg(feature = "cli")]
pub mod cli;

pub use error::{Error, Result};
