//! What a network looks like, as recipes and model files write it.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::nn::recurrent::CellKind;
use serde::{Deserialize, Serialize};

/// One recurrent layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerConfig {
    /// The cell.
    pub cell: CellKind,
    /// Units of one direction.
    pub hidden: usize,
    /// Whether a second direction runs backward in time.
    pub bidirectional: bool,
    /// So many neighbouring frames of the layer's input become one.
    pub subsample: usize,
    /// Dropout of the layer's output while training.
    pub dropout: f32,
}

impl Default for LayerConfig {
    fn default() -> Self {
        Self { cell: CellKind::Lstm, hidden: 250, bidirectional: true, subsample: 1, dropout: 0.0 }
    }
}

impl LayerConfig {
    /// 1 or 2.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// Numbers a frame of the layer's output.
    pub fn output_dim(&self) -> usize {
        self.hidden * self.directions()
    }
}

/// The layers, from the features to the classes; a linear layer at the end is understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Recurrent layers.
    pub layers: Vec<LayerConfig>,
    /// Dropout of the features while training.
    pub input_dropout: f32,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { layers: vec![LayerConfig::default(); 3], input_dropout: 0.0 }
    }
}

/// No network with more numbers is built: some 16 GiB while training.
const MOST_PARAMETERS: usize = 1 << 30;

impl ModelConfig {
    /// Frames in for one frame out.
    pub fn subsampling(&self) -> usize {
        self.layers.iter().fold(1, |all, layer| all.saturating_mul(layer.subsample))
    }

    /// Names and shapes of the parameters, given numbers a frame and classes.
    ///
    /// `layers.N.w` `[D G H, F]`, `layers.N.b` `[D G H]`, `layers.N.r` `[D, G H, H]`, `output.w` `[V, D H]`, `output.b` `[V]`.
    pub fn shapes(&self, inputs: usize, classes: usize) -> Vec<(String, Vec<usize>)> {
        let mut shapes = Vec::new();
        let mut width = inputs;
        for (n, layer) in self.layers.iter().enumerate() {
            let (directions, gates) = (layer.directions(), layer.cell.spec().gates.len());
            shapes.push((format!("layers.{n}.w"), vec![directions * gates * layer.hidden, width * layer.subsample]));
            shapes.push((format!("layers.{n}.b"), vec![directions * gates * layer.hidden]));
            shapes.push((format!("layers.{n}.r"), vec![directions, gates * layer.hidden, layer.hidden]));
            width = layer.output_dim();
        }
        shapes.push(("output.w".to_owned(), vec![classes, width]));
        shapes.push(("output.b".to_owned(), vec![classes]));
        shapes
    }

    /// Fails, naming the value, if no network can be built like this.
    pub fn validate(&self, inputs: usize, classes: usize) -> Result<()> {
        let rate = |r: f32| (0.0..1.0).contains(&r);
        let layers = &self.layers;
        let checks = [
            ((1..=64).contains(&layers.len()), "there must be between 1 and 64 layers"),
            (layers.iter().all(|l| (1..=16384).contains(&l.hidden)), "hidden must lie between 1 and 16384"),
            (layers.iter().all(|l| (1..=8).contains(&l.subsample)), "subsample must lie between 1 and 8"),
            (
                rate(self.input_dropout) && layers.iter().all(|l| rate(l.dropout)),
                "dropout must lie between 0 and 1, 1 excluded",
            ),
        ];
        if let Some((_, reason)) = checks.iter().find(|(fine, _)| !fine) {
            return Err(Error::invalid(format!("model: {reason}")));
        }
        // Checked one by one, each bounded: shapes cannot overflow, but the whole may still be absurd.
        if self.subsampling() > 64 {
            return Err(Error::invalid("model: more than 64 frames would become one"));
        }
        let numbers = |(_, shape): &(String, Vec<usize>)| shape.iter().product::<usize>();
        let count: usize = self.shapes(inputs, classes).iter().map(numbers).sum();
        if count > MOST_PARAMETERS {
            return Err(Error::invalid(format!("model: {count} parameters, more than the {MOST_PARAMETERS} allowed")));
        }
        Ok(())
    }
}
