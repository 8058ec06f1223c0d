//! The network: convolutions, recurrent layers and a linear one, from packed features to packed logits.
#![forbid(unsafe_code)]

use super::config::{ModelConfig, Parameter, Start};
use crate::error::Result;
use crate::features::FrontEnd;
use crate::lengths::Lengths;
use crate::nn::dropout::dropout;
use crate::nn::linear::linear;
use crate::nn::norm::layer_norm;
use crate::nn::params::Params;
use crate::nn::patches::{patches, subsample};
use crate::nn::recurrent::{Inputs, recurrent};
use crate::nn::relu::relu;
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
    /// A network for these features and `classes` classes, its weights drawn from `seed` as
    /// [`ModelConfig::parameters`] says.
    pub fn new(config: &ModelConfig, front: &FrontEnd, classes: usize, seed: u64, device: &Device) -> Result<Self> {
        config.validate(front, classes)?;
        let mut params = Params::default();
        for (n, Parameter { name, shape, start }) in config.parameters(front.dim(), classes).into_iter().enumerate() {
            let values = draw(&start, shape.iter().product(), &mut Rng::stream(seed, "weights", n as u64));
            params.insert_vec(name, values, &shape, device)?;
        }
        Ok(Self { config: config.clone(), params })
    }

    /// A network with these parameters, whose names and shapes must be those of [`ModelConfig::parameters`].
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
        let normalise = |x: Tensor, there: bool, layer: &str| match there {
            true => layer_norm(&x, &param(&format!("{layer}.norm.w"))?, &param(&format!("{layer}.norm.b"))?),
            false => Ok(x),
        };
        let mut x = drop(x.clone(), self.config.input_dropout)?;
        let mut lengths = lengths.clone();
        let mut channels = 1;
        for (n, layer) in self.config.convolutions.iter().enumerate() {
            let name = format!("convolutions.{n}");
            (x, lengths) = patches(&x, &lengths, channels, layer.frames(), layer.bins())?;
            let weights = param(&format!("{name}.w"))?;
            // A row for each frame and bin, so that the convolution is one product.
            let (rows, looked_at) = (lengths.rows(), weights.dim(1)?);
            let y = linear(&x.reshape(((), looked_at))?, &weights, &param(&format!("{name}.b"))?)?;
            x = normalise(relu(&y)?.reshape((rows, ()))?, layer.layer_norm, &name)?;
            x = drop(x, layer.dropout)?;
            channels = layer.channels;
        }
        for (n, layer) in self.config.layers.iter().enumerate() {
            let name = format!("layers.{n}");
            (x, lengths) = subsample(&x, &lengths, layer.subsample)?;
            let gates = linear(&x, &param(&format!("{name}.w"))?, &param(&format!("{name}.b"))?)?;
            let spec = layer.cell.spec();
            let part = |there: bool, part: &str| there.then(|| param(&format!("{name}.{part}"))).transpose();
            let weights = part(spec.rows_of_r() > 0, "r")?.map(|r| drop(r, layer.weight_dropout)).transpose()?;
            let aux = part(!spec.aux.is_empty(), "aux")?;
            let inputs = Inputs { a: &gates, r: weights.as_ref(), aux: aux.as_ref() };
            let y = recurrent(layer.cell, layer.directions(), inputs, &lengths)?;
            x = drop(normalise(y, layer.layer_norm, &name)?, layer.dropout)?;
        }
        let logits = linear(&x, &param("output.w")?, &param("output.b")?)?;
        Ok((logits, lengths))
    }
}

fn draw(start: &Start, count: usize, rng: &mut Rng) -> Vec<f32> {
    let bounds = |n: usize| start.bounds[n / start.block % start.bounds.len()];
    (0..count).map(bounds).map(|(low, high)| rng.range(low, high)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConvolutionConfig, LayerConfig};
    use crate::nn::op;
    use candle_core::DType;

    fn config() -> ModelConfig {
        let convolution = ConvolutionConfig { channels: 2, layer_norm: true, ..ConvolutionConfig::default() };
        let layer = LayerConfig { hidden: 6, dropout: 0.5, weight_dropout: 0.3, ..LayerConfig::default() };
        ModelConfig {
            convolutions: vec![convolution.clone(), ConvolutionConfig { stride: [1, 2], ..convolution }],
            layers: vec![layer.clone(), LayerConfig { subsample: 2, layer_norm: true, ..layer }],
            input_dropout: 0.0,
        }
    }

    fn front() -> FrontEnd {
        FrontEnd { bins: 3, ..FrontEnd::default() }
    }

    #[test]
    fn every_parameter_gets_a_gradient() -> Result<()> {
        let network = Network::new(&config(), &front(), 5, 1, &Device::Cpu)?;
        let lengths = Lengths::new(&[7, 4]);
        let x = Tensor::ones((11, 3), DType::F32, &Device::Cpu)?;
        let (logits, after) = network.forward(&x, &lengths, Mode::Train(&mut Rng::stream(1, "dropout", 0)))?;
        assert_eq!((logits.dims2()?, after.sorted()), ((6, 5), [4, 2].as_slice()));
        let gradients = logits.sqr()?.sum_all()?.backward()?;
        for (name, var) in network.params().iter() {
            let gradient = gradients.get(var).map(op::to_vec::<f32>).transpose()?.unwrap_or_default();
            assert!(gradient.iter().any(|g| *g != 0.0), "{name}");
        }
        let (logits, _) = network.forward(&x, &lengths, Mode::Infer)?;
        assert!(!logits.track_op(), "inference keeps no graph");
        Ok(())
    }

    #[test]
    fn batch_mates_do_not_matter() -> Result<()> {
        let network = Network::new(&config(), &front(), 5, 1, &Device::Cpu)?;
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
