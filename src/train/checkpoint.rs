//! The checkpoint: everything that a run needs to go on to the very same weights, in one file, so that it is always
//! whole. A safetensors file with one metadata key, `formant-checkpoint`, whose JSON is [`State`].
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::features::Cmvn;
use crate::model::Origin;
use crate::nn::op;
use crate::nn::optim::OptimizerState;
use crate::nn::params::Params;
use crate::train::Recipe;
use candle_core::Device;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const KEY: &str = "formant-checkpoint";

/// The best epoch so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Which one, from 1.
    pub epoch: u64,
    /// Its PER on the dev split, percent.
    pub dev_per: f64,
    /// Its mean loss on the dev split, in nats, if that is finite.
    #[serde(default)]
    pub dev_loss: Option<f64>,
}

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// A number that changes when the data do.
    pub data: u64,
    /// Epochs that are done.
    pub epoch: u64,
    /// Batches of the running epoch that are done.
    pub batch: usize,
    /// Updates made.
    pub step: u64,
    /// Sum of the losses of the running epoch's utterances so far.
    pub loss: f64,
    /// Those utterances.
    pub utterances: usize,
    /// Batches left out because their loss or gradient was not finite.
    pub skipped: u64,
    /// Those of them that came one after the other just now.
    pub skipped_in_a_row: u64,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Epochs since the best one.
    pub stale: u64,
    /// Epochs since the best one or the last fall of the learning rate.
    pub plateau: u64,
    /// Falls of the learning rate.
    pub falls: u64,
    /// Length of the log that belongs to this state, in bytes.
    pub log_bytes: u64,
    /// Seconds spent so far.
    pub seconds: f64,
    /// The running stage, counted from 0.
    #[serde(default)]
    pub stage: usize,
    /// Epochs that were done when it began.
    #[serde(default)]
    pub stage_began: u64,
    /// Whether the run has reached its end.
    pub finished: bool,
    /// The model that it began from.
    #[serde(default)]
    pub begun_from: Option<Origin>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u64,
    recipe: String,
    optimizer_step: u64,
    symbols: Vec<String>,
    state: State,
}

/// The running average of the weights, by parameter; empty if none is kept.
pub type Average = BTreeMap<String, Vec<f32>>;

/// What a run carries from step to step.
pub struct Checkpoint {
    /// The recipe.
    pub recipe: Recipe,
    /// The phones' symbols, the blank first.
    pub symbols: Vec<String>,
    /// Where the run is.
    pub state: State,
    /// The weights.
    pub params: Params,
    /// The optimiser.
    pub optimizer: OptimizerState,
    /// The averaged weights.
    pub average: Average,
    /// Normalisation of the features.
    pub cmvn: Cmvn,
}

impl Checkpoint {
    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = BTreeMap::new();
        let shapes: HashMap<&str, &[usize]> = self.params.iter().map(|(name, var)| (name, var.dims())).collect();
        for (name, var) in self.params.iter() {
            tensors.insert(format!("weight/{name}"), (var.dims().to_vec(), op::to_vec(var)?));
        }
        let maps = [("first", &self.optimizer.first), ("second", &self.optimizer.second), ("average", &self.average)];
        for (part, map) in maps {
            for (name, values) in map {
                let shape = shapes.get(name.as_str()).map_or(vec![values.len()], |s| s.to_vec());
                tensors.insert(format!("{part}/{name}"), (shape, values.clone()));
            }
        }
        for (name, values) in [("cmvn/mean", &self.cmvn.mean), ("cmvn/inv_std", &self.cmvn.inv_std)] {
            tensors.insert(name.to_owned(), (vec![values.len()], values.clone()));
        }
        let failed = |e: &dyn std::fmt::Display| Error::model(path, format!("cannot be written: {e}"));
        let header = Header {
            format: 1,
            recipe: self.recipe.to_toml(),
            optimizer_step: self.optimizer.step,
            symbols: self.symbols.clone(),
            state: self.state.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|e| failed(&e))?;
        let bytes: BTreeMap<&str, (&[usize], Vec<u8>)> = tensors
            .iter()
            .map(|(name, (shape, values))| {
                (name.as_str(), (shape.as_slice(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            })
            .collect();
        let views = bytes
            .iter()
            .map(|(name, (shape, bytes))| {
                Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(|e| failed(&e))?))
            })
            .collect::<Result<Vec<_>>>()?;
        let metadata = Some(HashMap::from([(KEY.to_owned(), header)]));
        let file = safetensors::serialize(views, metadata).map_err(|e| failed(&e))?;
        crate::files::write_atomic(path, &file)
    }

    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = crate::files::read(path)?;
        let bad = |reason: String| Error::model(path, reason);
        let damaged = |e: &dyn std::fmt::Display| bad(format!("not a checkpoint: {e}"));
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
        let header = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let header = header.ok_or_else(|| bad("not a checkpoint of formant's".to_owned()))?;
        let header: Header = serde_json::from_str(header).map_err(|e| damaged(&e))?;
        if header.format != 1 {
            return Err(bad(format!("written by another formant (format {}; this one reads 1)", header.format)));
        }
        let recipe = Recipe::parse(&header.recipe, path)?;
        let mut maps: BTreeMap<&str, BTreeMap<String, Vec<f32>>> = BTreeMap::new();
        let mut params = Params::default();
        let parameters = recipe.model.parameters(recipe.features.dim(), header.symbols.len());
        let shapes: HashMap<_, _> = parameters.into_iter().map(|p| (p.name, p.shape)).collect();
        for (name, tensor) in tensors.iter() {
            let (part, name) = name.split_once('/').ok_or_else(|| bad(format!("an unknown tensor {name:?}")))?;
            if tensor.dtype() != Dtype::F32 {
                return Err(bad(format!("tensor {name:?} is {:?}, not F32", tensor.dtype())));
            }
            let fits = part == "cmvn" || shapes.get(name).is_some_and(|s| s == tensor.shape());
            if !fits {
                return Err(bad(format!("tensor {name:?} does not fit the recipe: {:?}", tensor.shape())));
            }
            let values: Vec<f32> = tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            match part {
                "weight" => params.insert_vec(name, values, tensor.shape(), &Device::Cpu)?,
                _ => drop(maps.entry(part).or_default().insert(name.to_owned(), values)),
            }
        }
        if params.iter().count() != shapes.len() {
            return Err(bad("some weights are missing".to_owned()));
        }
        let mut take = |part: &str| maps.remove(part).unwrap_or_default();
        let mut cmvn = take("cmvn");
        let dim = recipe.features.frame_dim();
        let mut vector = |name: &str| cmvn.remove(name).filter(|v| v.len() == dim);
        let (Some(mean), Some(inv_std)) = (vector("mean"), vector("inv_std")) else {
            return Err(bad("the normalisation is missing".to_owned()));
        };
        let optimizer = OptimizerState {
            rule: recipe.train.optimizer.clone(),
            step: header.optimizer_step,
            first: take("first"),
            second: take("second"),
        };
        let average = take("average");
        let cmvn = Cmvn { mean, inv_std };
        Ok(Self { recipe, symbols: header.symbols, state: header.state, params, optimizer, average, cmvn })
    }
}
