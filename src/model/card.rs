//! A model's card: where it comes from, what it was trained on, what was measured. Written into its file.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};

/// An error rate that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Corpus and split.
    pub set: String,
    /// How it was scored.
    pub protocol: String,
    /// Percent.
    pub per: f64,
    /// How many utterances.
    pub utterances: usize,
    /// How many phones their references have.
    pub reference_phones: usize,
}

/// The model that a run began from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// What it was called.
    pub name: String,
    /// What it, and what it began from, was trained on.
    pub trained_on: Vec<String>,
}

/// Where a model comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Card {
    /// Program and version that made it.
    pub created_by: String,
    /// What it is, in a sentence.
    pub description: String,
    /// Terms under which it may be used.
    pub licence: String,
    /// The model whose weights it began with, if they were not drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begun_from: Option<Origin>,
    /// Corpora and their splits.
    pub trained_on: Vec<String>,
    /// Utterances trained on.
    pub utterances: usize,
    /// Their sound, in seconds.
    pub seconds_of_audio: f64,
    /// The recipe, as TOML.
    pub recipe: String,
    /// Seed of the run.
    pub seed: u64,
    /// Epochs up to these weights.
    pub epochs: u64,
    /// Updates up to these weights.
    pub steps: u64,
    /// PER on the recipe's dev split, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev_per: Option<f64>,
    /// Error rates on test sets.
    pub measured: Vec<Measured>,
}
