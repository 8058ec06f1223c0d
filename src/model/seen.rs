//! What a forward pass sees of a network's parameters: as they are, or with noise and dropout while it trains.
#![forbid(unsafe_code)]

use super::config::{LayerConfig, ModelConfig};
use super::network::Mode;
use super::parameters::Row;
use crate::error::Result;
use crate::nn::banded::banded;
use crate::nn::dropout::dropout;
use crate::nn::noise::weight_noise;
use crate::nn::params::Params;
use crate::nn::recurrent::{CellKind, Weights};
use candle_core::Tensor;

/// See the module.
pub struct Seen<'a> {
    /// The layers.
    pub config: &'a ModelConfig,
    /// The parameters.
    pub params: &'a Params,
    /// What the pass is for.
    pub mode: Mode<'a>,
}

impl Seen<'_> {
    /// The parameter called `name`.
    pub fn weight(&mut self, name: &str) -> Result<Tensor> {
        let weight = self.params.get(name)?;
        match &mut self.mode {
            // A parameter that could still get a gradient would make every layer keep what its backward pass needs.
            Mode::Infer => Ok(weight.detach()),
            Mode::Train(rng) if self.config.weight_noise > 0.0 => {
                Ok(weight_noise(weight, self.config.weight_noise, rng)?)
            }
            Mode::Train(_) => Ok(weight.clone()),
        }
    }

    /// The weights of a recurrent layer over rows of this kind; of a cell that slides, as matrices for all bins.
    pub fn cell(&mut self, name: &str, layer: &LayerConfig, kind: CellKind, row: Row) -> Result<Weights> {
        let (spec, slides) = (kind.spec(), kind.spec().slides);
        let mut weights = Weights {
            w: self.weight(&format!("{name}.w"))?,
            b: self.weight(&format!("{name}.b"))?,
            r: None,
            aux: None,
        };
        if slides {
            let gates = layer.directions() * spec.gates.len();
            let channels = [row.channels, layer.hidden];
            weights.w = banded(&weights.w.unsqueeze(0)?, channels, layer.kernel, row.bins)?.squeeze(0)?;
            let b = weights.b.reshape((gates, 1, layer.hidden))?.broadcast_as((gates, row.bins, layer.hidden))?;
            weights.b = b.contiguous()?.flatten_all()?;
        }
        if spec.rows_of_r() > 0 {
            let mut r = self.weight(&format!("{name}.r"))?;
            if let Mode::Train(rng) = &mut self.mode {
                r = dropout(&r, layer.weight_dropout, rng)?;
            }
            weights.r = Some(if slides { banded(&r, [layer.hidden; 2], layer.kernel, row.bins)? } else { r });
        }
        if !spec.aux.is_empty() {
            weights.aux = Some(self.weight(&format!("{name}.aux"))?);
        }
        Ok(weights)
    }
}
