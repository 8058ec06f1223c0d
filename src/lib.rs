//! Speech recogniser trained with connectionist temporal classification (CTC): recordings in, phones out.
//!
//! A model for English is built in, so a transcript needs nothing but a recording:
//!
//! ```
//! use formant::{Recognizer, Waveform};
//!
//! # fn main() -> formant::Result<()> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/samples/an4-fbbh.wav");
//! let recognizer = Recognizer::default();
//! let transcript = recognizer.transcribe(&Waveform::open(path)?)?;
//! let phones = recognizer.model().phones();
//! println!("{}", phones.decode(&transcript.best().phones));
//! for segment in &transcript.best().segments {
//!     let (start, end) = transcript.times(segment);
//!     println!("{start:.2} to {end:.2} s: {}", phones.symbol(segment.phone));
//! }
//! # assert!(!transcript.best().phones.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a recording
//!
//! | step | module | what it makes |
//! |---|---|---|
//! | decode | [`audio`] | a [`Waveform`]: mono samples in \[-1, 1\] and their rate |
//! | front end | [`features`] | frames of log-mel energies, normalised, perhaps stacked |
//! | network | [`model`], [`nn`] | for each frame, a logit a class: stacked recurrent layers and a linear one |
//! | decode | [`decode`] | the phones, best hypothesis first, and when each was heard |
//!
//! [`Recognizer`] does all of it in one call, for recordings of any length. What it was built from is a [`Model`]: one
//! file with weights, front end, normalisation and phones. [`Model::load`] reads one, and
//! [`Recognizer::new`](recognize::Recognizer::new) takes it together with a choice of decoder:
//!
//! ```
//! use formant::decode::DecoderConfig;
//! use formant::{Model, Recognizer};
//!
//! # fn main() -> formant::Result<()> {
//! let recognizer = Recognizer::new(Model::embedded()?, &DecoderConfig::Beam { width: 16 })?;
//! assert_eq!(recognizer.model().phones().classes(), 40);
//! # Ok(())
//! # }
//! ```
//!
//! A decoder of one's own implements [`decode::Decoder`] and goes to [`Recognizer::with_decoder`].
//! [`Recognizer::align`] says when known phones were spoken, [`Recognizer::log_probs`] hands out what the network says
//! of every frame.
//!
//! # Training and measuring
//!
//! [`train`] turns a [`Recipe`](train::Recipe) and a folder of labelled recordings ([`corpus`]) into a model, and tells
//! an [`Observer`](train::Observer) what happens. [`mod@evaluate`] measures a recogniser's phone error rate.
//!
//! ```
//! use formant::Device;
//! use formant::train::{Job, Recipe, train};
//!
//! # fn main() -> formant::Result<()> {
//! # let out = tempfile::tempdir().map_err(|e| formant::Error::io("run", e))?;
//! # let (out, data) = (out.path().join("run"), concat!(env!("CARGO_MANIFEST_DIR"), "/data/tiny"));
//! let recipe = Recipe::default().with(&["train.epochs=1".into(), "model.layers=[{hidden=8}]".into()])?;
//! let job = Job { data: vec![data.into()], out, recipe, from: None, resume: false, device: Device::Cpu };
//! let summary = train(&job, &mut ())?;
//! assert!(summary.model.is_file() && summary.best.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # The parts
//!
//! [`nn::recurrent`] and [`ctc`] are operations on candle's tensors that other networks can use, too: a whole recurrent
//! layer over a batch of unequal lengths, and the CTC loss with its gradient. Each has a plain definition in f64, which
//! f64 tensors go through, and a fast path in f32. Batches are packed without padding: see [`lengths`].
//!
//! Everything random is drawn from [`rng`] by seed and purpose, so a run can be repeated bit for bit, whatever the
//! number of threads. Everything that fails says so as one [`Error`], a sentence that names the file or the value.
//!
//! # Features
//!
//! `cli`, on by default, is what only the program needs; a library user writes `default-features = false`. `cuda` computes
//! on NVIDIA GPUs where there are some; building with it needs NVIDIA's compiler, running needs nothing.
#![warn(missing_docs)]

pub mod align;
pub mod annotation;
pub mod audio;
pub mod corpus;
pub mod ctc;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod decode;
pub mod error;
pub mod evaluate;
pub mod features;
pub mod files;
pub mod lengths;
pub mod lexicon;
pub mod lm;
pub mod model;
pub mod nn;
pub mod parallel;
pub mod phones;
pub mod prepare;
pub mod recognize;
pub mod rng;
pub mod score;
mod table;
pub mod train;

#[cfg(feature = "cli")]
pub mod cli;

pub use audio::Waveform;
pub use candle_core::Device;
pub use error::{Error, Result};
pub use model::Model;
pub use recognize::{Recognizer, Transcript};
