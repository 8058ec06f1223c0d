//! What comes before the first step: the data are read and looked through, and a run begins.
#![forbid(unsafe_code)]

use super::checkpoint::Checkpoint;
use super::folder::{Files, write_left_out};
use super::start::begin;
use super::{Event, Observer, Recipe};
use crate::corpus::{Dataset, Manifest, Utterance};
use crate::error::{Error, Result};
use crate::features::CmvnAccumulator;
use crate::model::Model;
use crate::phones::PhoneSet;
use candle_core::Device;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What a run works on.
#[derive(Clone, Debug)]
pub struct Job {
    /// Folders of corpora. Each must have the recipe's train split, at least one its dev split.
    pub data: Vec<PathBuf>,
    /// Where everything is written.
    pub out: PathBuf,
    /// What to do; a run that is resumed does what it began with.
    pub recipe: Recipe,
    /// The model to begin from; none: weights are drawn. A run that is resumed has begun already.
    pub from: Option<Model>,
    /// Go on from the checkpoint in `out`, if there is one.
    pub resume: bool,
    /// What computes.
    pub device: Device,
}

/// A run that is ready for its next step.
pub struct Prepared {
    /// Where the run is.
    pub checkpoint: Checkpoint,
    /// What the network's classes mean.
    pub phones: PhoneSet,
    /// What is trained on.
    pub train: Dataset,
    /// What chooses the best epoch.
    pub dev: Dataset,
}

/// Reads what the job names, and begins a run, or goes on with the one that was `begun`.
pub fn prepare(job: &Job, files: &Files, begun: Option<Checkpoint>, observer: &mut dyn Observer) -> Result<Prepared> {
    if begun.is_none() {
        crate::files::write_atomic(&files.recipe(), job.recipe.to_toml().as_bytes())?;
    }
    let recipe = begun.as_ref().map_or(&job.recipe, |c| &c.recipe).clone();
    let train = utterances(&job.data, &recipe.data.train, true)?;
    let dev = utterances(&job.data, &recipe.data.dev, false)?;
    let phones = match &begun {
        Some(checkpoint) => PhoneSet::from_symbols(&recipe.data.phones, &checkpoint.symbols)?,
        None => recipe.phones()?.map_or_else(|| phones_of(&train), Ok)?,
    };
    let (train, sums) = survey(train, &recipe, &phones, observer)?;
    let (dev, _) = survey(dev, &recipe, &phones, observer)?;
    write_left_out(files, &[&train, &dev])?;
    let data = fingerprint(&train, &dev);
    let checkpoint = match begun {
        Some(checkpoint) if checkpoint.state.data != data => {
            let reason = "the data are not those that this run began with: it cannot go on with others";
            return Err(Error::model(files.checkpoint(), reason));
        }
        Some(checkpoint) => checkpoint,
        None => begin(&recipe, &phones, job.from.as_ref(), sums.finish(), data)?,
    };
    Ok(Prepared { checkpoint, phones, train, dev })
}

/// The utterances of a split in all folders that have it. All must, if `everywhere`.
fn utterances(data: &[PathBuf], split: &str, everywhere: bool) -> Result<Vec<Utterance>> {
    let mut all = Vec::new();
    for dir in data {
        if everywhere || Manifest::splits(dir)?.iter().any(|s| s == split) {
            all.extend(Manifest::open(dir, split)?.utterances);
        }
    }
    match (all.is_empty(), data.first()) {
        (true, Some(dir)) => Manifest::open(dir, split)
            .and_then(|m| Err(Error::invalid(format!("{}: no utterance in split {split:?}", m.path.display())))),
        (true, None) => Err(Error::invalid("no folder with data was given")),
        _ => Ok(all),
    }
}

/// All symbols of the labels, sorted.
fn phones_of(utterances: &[Utterance]) -> Result<PhoneSet> {
    let symbols: BTreeSet<&str> = utterances.iter().flat_map(|u| u.phones.split_whitespace()).collect();
    PhoneSet::new("data", &symbols.into_iter().collect::<Vec<_>>())
}

fn survey(
    utterances: Vec<Utterance>,
    recipe: &Recipe,
    phones: &PhoneSet,
    observer: &mut dyn Observer,
) -> Result<(Dataset, CmvnAccumulator)> {
    let of = utterances.len();
    let reduction = recipe.features.stack * recipe.model.subsampling();
    let mut progress = |done| observer.event(&Event::Survey { done, of });
    let cache = recipe.data.cache_mib.saturating_mul(1 << 20);
    let (set, sums) = Dataset::survey(utterances, phones, &recipe.features, reduction, cache, &mut progress)?;
    for left_out in set.left_out() {
        observer.event(&Event::LeftOut(left_out));
    }
    Ok((set, sums))
}

/// A number that changes when utterances, labels or lengths do (FNV-1a).
fn fingerprint(train: &Dataset, dev: &Dataset) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add =
        |bytes: &[u8]| bytes.iter().for_each(|b| hash = (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    for set in [train, dev] {
        for (utterance, frames) in set.utterances().iter().zip(set.frames()) {
            add(utterance.phones.as_bytes());
            add(&(*frames as u64).to_le_bytes());
        }
    }
    hash
}
