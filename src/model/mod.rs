//! Layers put together, and the file that holds them: weights, front end, normalisation, phones, and where all that
//! comes from. A model file is enough to transcribe.
#![forbid(unsafe_code)]

mod card;
mod cell;
mod config;
mod file;
mod network;
mod parameters;
mod seen;

pub use crate::nn::matrix::Precision;
pub use card::{Card, Measured, Origin};
pub use cell::LayerCell;
pub use config::{ConvolutionConfig, LayerConfig, Merge, ModelConfig, Skip};
pub use file::Storage;
pub use network::{Logits, Mode, Network};

use crate::error::Result;
use crate::features::{Cmvn, FrontEnd};
use crate::phones::PhoneSet;
use std::path::Path;

/// A network with everything it takes to use it on a recording.
#[derive(Clone)]
pub struct Model {
    /// What messages and results call it.
    pub name: String,
    /// The network.
    pub network: Network,
    /// How features are made.
    pub front: FrontEnd,
    /// How they are normalised: `[front.frame_dim()]`.
    pub cmvn: Cmvn,
    /// What its classes mean.
    pub phones: PhoneSet,
    /// Where it comes from and how good it is.
    pub card: Card,
    /// How its file holds the weights.
    pub storage: Storage,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) for a file that is damaged, lies about itself, or is not a model;
    /// [`Error::Io`](crate::Error::Io).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut model = file::read(&crate::files::read(path)?, path)?;
        if let Some(name) = path.file_name() {
            model.name = name.to_string_lossy().into_owned();
        }
        Ok(model)
    }

    /// Reads a model from the bytes of its file; `name` is what messages call it.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self> {
        file::read(bytes, Path::new(name))
    }

    /// The model inside the library.
    pub fn embedded() -> Result<Self> {
        let bytes: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/model/default.safetensors"));
        Self::read(bytes, "default")
    }

    /// Writes the model file, whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::files::write_atomic(path.as_ref(), &file::bytes(self)?)
    }

    /// The model that its file will give back: the same one, with weights rounded as [`Model::storage`] says.
    pub fn as_stored(&self) -> Result<Self> {
        Self::read(&file::bytes(self)?, &self.name)
    }

    /// The network's layers.
    pub fn config(&self) -> &ModelConfig {
        self.network.config()
    }

    /// How features are made.
    pub fn front(&self) -> &FrontEnd {
        &self.front
    }

    /// What its classes mean.
    pub fn phones(&self) -> &PhoneSet {
        &self.phones
    }

    /// Where it comes from.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// What messages and results call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Trainable numbers.
    pub fn parameters(&self) -> usize {
        self.network.params().count()
    }

    /// Frames of the front end, before stacking, for one frame of the network's output.
    pub fn reduction(&self) -> usize {
        self.front.stack * self.config().subsampling()
    }

    /// Seconds from one frame of the network's output to the next.
    pub fn frame_shift(&self) -> f64 {
        self.front.frame_shift() * self.config().subsampling() as f64
    }
}
