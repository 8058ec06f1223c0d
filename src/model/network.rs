//! The network: recurrent layers and a linear one, from packed features to packed logits.
#![forbid(unsafe_code)]

use super::config::{LayerConfig, ModelConfig};
use crate::error::Result;
use crate::lengths::Lengths;
use crate::nn::dropout::dropout;
use crate::nn::linear::linear;
use crate::nn::params::Params;
use crate::nn::recurrent::recurrent;
use crate::nn::subsample::subsample;
use crate::rng::Rng;
use candle_core::{Device, Tensor};

/// What a forward pass is for.
pub enum Mode<'a> {
    /// Dropout is drawn from this stream.
    Train(&'a mut Rng),
    /// No dropout, and no gradient: nothing is kept for a backward pass.
    Infer,
}

/// Layers and their parameters.
#[derive(Clone)]
pub struct Network {
    config: ModelConfig,
    params: Params,
}

impl Network {
    /// A network for `inputs` numbers a frame and `classes` classes, its weights drawn from `seed`: uniform within one
    /// over the root of the layer's units, biases as the cell asks.
    pub fn new(config: &ModelConfig, inputs: usize, classes: usize, seed: u64, device: &Device) -> Result<Self> {
        config.validate(inputs, classes)?;
        let mut params = Params::default();
        for (n, (name, shape)) in config.shapes(inputs, classes).into_iter().enumerate() {
            let mut rng = Rng::stream(seed, "weights", n as u64);
            let layer = name
                .strip_prefix("layers.")
                .and_then(|rest| config.layers.get(rest.split('.').next()?.parse::<usize>().ok()?));
            let units = layer.map_or(shape[shape.len() - 1], |l| l.hidden);
            let limit = 1.0 / (units as f32).sqrt();
            let mut values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.range(-limit, limit)).collect();
            if name == "output.b" {
                values.fill(0.0);
            } else if let Some(layer) = layer.filter(|_| name.ends_with(".b")) {
                add_cell_bias(layer, &mut values);
            }
            params.insert_vec(name, values, &shape, device)?;
        }
        Ok(Self { config: config.clone(), params })
    }

    /// A network with these parameters, whose names and shapes must be [`ModelConfig::shapes`].
    pub fn from_params(config: &ModelConfig, params: Params) -> Self {
        Self { config: config.clone(), params }
    }

    /// The layers.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The parameters.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Numbers a frame of the features.
    pub fn inputs(&self) -> usize {
        let width = self.params.get("layers.0.w").and_then(|w| w.dim(1));
        width.map_or(0, |w| w / self.config.layers[0].subsample)
    }

    /// Features `[N, F]`, packed as `lengths` says, to logits `[N', V]` and their layout, shorter if layers subsample.
    /// Class 0 is the blank.
    pub fn forward(&self, x: &Tensor, lengths: &Lengths, mut mode: Mode<'_>) -> Result<(Tensor, Lengths)> {
        // A parameter that could still get a gradient would make every layer keep what its backward pass needs.
        let infer = matches!(mode, Mode::Infer);
        let param = |name: &str| self.params.get(name).map(|p| if infer { p.detach() } else { p.clone() });
        let mut drop = |x: Tensor, rate: f32| match &mut mode {
            Mode::Train(rng) => dropout(&x, rate, rng),
            Mode::Infer => Ok(x),
        };
        let mut x = drop(x.clone(), self.config.input_dropout)?;
        let mut lengths = lengths.clone();
        for (n, layer) in self.config.layers.iter().enumerate() {
            let layer_param = |part: &str| param(&format!("layers.{n}.{part}"));
            (x, lengths) = subsample(&x, &lengths, layer.subsample)?;
            let gates = linear(&x, &layer_param("w")?, &layer_param("b")?)?;
            x = drop(recurrent(layer.cell, &gates, &layer_param("r")?, &lengths)?, layer.dropout)?;
        }
        let logits = linear(&x, &param("output.w")?, &param("output.b")?)?;
        Ok((logits, lengths))
    }
}

/// `[D, G, H]` biases get the cell's own added.
fn add_cell_bias(layer: &LayerConfig, values: &mut [f32]) {
    let bias = layer.cell.spec().bias;
    for (block, values) in values.chunks_exact_mut(layer.hidden).enumerate() {
        values.iter_mut().for_each(|v| *v += bias[block % bias.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op;
    use candle_core::DType;

    fn config() -> ModelConfig {
        let layer = LayerConfig { hidden: 6, dropout: 0.5, ..LayerConfig::default() };
        ModelConfig { layers: vec![layer.clone(), LayerConfig { subsample: 2, ..layer }], input_dropout: 0.0 }
    }

    #[test]
    fn every_parameter_gets_a_gradient() -> Result<()> {
        let network = Network::new(&config(), 3, 5, 1, &Device::Cpu)?;
        let lengths = Lengths::new(&[7, 4]);
        let x = Tensor::ones((11, 3), DType::F32, &Device::Cpu)?;
        let (logits, after) = network.forward(&x, &lengths, Mode::Train(&mut Rng::stream(1, "dropout", 0)))?;
        assert_eq!((logits.dims2()?, after.sorted()), ((6, 5), [4, 2].as_slice()));
        let gradients = logits.sqr()?.sum_all()?.backward()?;
        for (name, var) in network.params().iter() {
            let gradient = gradients.get(var).map(op::to_vec::<f32>).transpose()?.unwrap_or_default();
            assert!(gradient.iter().any(|g| *g != 0.0), "{name}");
        }
        assert_eq!(network.inputs(), 3);
        let (logits, _) = network.forward(&x, &lengths, Mode::Infer)?;
        assert!(!logits.track_op(), "inference keeps no graph");
        Ok(())
    }

    #[test]
    fn batch_mates_do_not_matter() -> Result<()> {
        let network = Network::new(&config(), 3, 5, 1, &Device::Cpu)?;
        let rows = |n: usize| (0..n * 3).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
        let alone = Tensor::from_vec(rows(7), (7, 3), &Device::Cpu)?;
        let (expected, _) = network.forward(&alone, &Lengths::new(&[7]), Mode::Infer)?;
        let both = Lengths::new(&[7, 7]);
        let twice = Tensor::from_vec(rows(7).chunks(3).flat_map(|r| [r, r].concat()).collect(), (14, 3), &Device::Cpu)?;
        let (logits, after) = network.forward(&twice, &both, Mode::Infer)?;
        let (expected, logits) = (op::to_vec::<f32>(&expected)?, op::to_vec::<f32>(&logits)?);
        for t in 0..after.steps() {
            let row = &logits[after.row(t, 1) * 5..][..5];
            assert!(row.iter().zip(&expected[t * 5..]).all(|(a, b)| (a - b).abs() < 1e-6));
        }
        Ok(())
    }
}
