//! The network: convolutions, recurrent layers and a linear one, from packed features to packed logits.
#![forbid(unsafe_code)]

use super::cell::LayerCell;
use super::config::{ConvolutionConfig, LayerConfig, Merge, ModelConfig, Skip};
use super::parameters::{Parameter, Row, Start};
use super::seen::Seen;
use crate::error::{Error, Result};
use crate::features::FrontEnd;
use crate::lengths::Lengths;
use crate::nn::dropout::{dropout, variational_dropout};
use crate::nn::linear::linear;
use crate::nn::matrix::Precision;
use crate::nn::mlstm::mlstm;
use crate::nn::norm::layer_norm;
use crate::nn::params::Params;
use crate::nn::patches::{patches, subsample};
use crate::nn::recurrent::{Carry, CellKind, Prepared, recurrent};
use crate::nn::relu::relu;
use crate::nn::skip::{highway, residual, sum_directions};
use crate::nn::softmax::softmax;
use crate::rng::Rng;
use candle_core::{Device, Tensor};

/// What a forward pass is for.
pub enum Mode<'a> {
    /// Dropout is drawn from this stream.
    Train(&'a mut Rng),
    /// No dropout, and no gradient: nothing is kept for a backward pass.
    Infer,
}

/// Logits `[N, V]` of a batch, and the layout of their rows.
pub type Logits = (Tensor, Lengths);

/// Layers and their parameters.
#[derive(Clone)]
pub struct Network {
    config: ModelConfig,
    params: Params,
    /// By layer, where its cell is a recurrent one; nothing unless the network is [prepared](Network::prepared).
    prepared: Vec<Option<Prepared>>,
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
        Ok(Self::from_params(config, params))
    }

    /// A network with these parameters, whose names and shapes must be those of [`ModelConfig::parameters`].
    pub fn from_params(config: &ModelConfig, params: Params) -> Self {
        Self { config: config.clone(), params, prepared: Vec::new() }
    }

    /// The network on another device; not prepared any more.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        Ok(Self::from_params(&self.config, self.params.to_device(device)?))
    }

    /// The network for recognition alone: the weights of its recurrent layers are packed once, for as many calls as there
    /// will be, in this precision. Changes of its parameters do not reach them any more. On a GPU there is nothing to
    /// pack, and only f32.
    pub fn prepared(self, inputs: usize, precision: Precision) -> Result<Self> {
        if !self.params.device().is_cpu() {
            return match precision {
                Precision::F32 => Ok(self),
                _ => Err(Error::invalid("narrow precision is for the CPU: leave it out, or say --device cpu")),
            };
        }
        let (config, mut prepared) = (&self.config, Vec::new());
        let mut seen = Seen { config, params: &self.params, mode: Mode::Infer };
        let rows = config.rows(inputs);
        for ((n, layer), row) in config.layers.iter().enumerate().zip(&rows[config.convolutions.len()..]) {
            prepared.push(match layer.cell {
                LayerCell::Recurrent(kind) => {
                    let weights = seen.cell(&layer_name(n), layer, kind, row.subsampled(layer.subsample))?;
                    Some(Prepared::new(kind, layer.directions(), &weights, precision)?)
                }
                LayerCell::Mlstm => None,
            });
        }
        Ok(Self { prepared, ..self })
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
    pub fn forward(&self, x: &Tensor, lengths: &Lengths, mode: Mode<'_>) -> Result<Logits> {
        Ok(self.forward_with_guesses(x, lengths, mode)?.0)
    }

    /// [`Network::forward`], and the same of every layer before the last that guesses.
    pub fn forward_with_guesses(&self, x: &Tensor, lengths: &Lengths, mode: Mode<'_>) -> Result<(Logits, Vec<Logits>)> {
        let (config, mut guesses) = (&self.config, Vec::new());
        let seen = Seen { config, params: &self.params, mode };
        let mut pass = Pass { network: self, seen, x: x.clone(), lengths: lengths.clone() };
        pass.x = pass.dropout(x.clone(), config.input_dropout, false)?;
        let rows = config.rows(x.dim(1)?);
        for ((n, layer), row) in config.convolutions.iter().enumerate().zip(&rows) {
            pass.convolution(&format!("convolutions.{n}"), layer, row.channels)?;
        }
        for ((n, layer), row) in config.layers.iter().enumerate().zip(&rows[config.convolutions.len()..]) {
            pass.recurrent(n, layer, row.subsampled(layer.subsample))?;
            if layer.guess {
                let logits = pass.affine(&pass.x.clone(), "output")?;
                let guess = pass.affine(&softmax(&logits)?, "guess")?;
                pass.x = residual(&pass.x, &guess)?;
                guesses.push((logits, pass.lengths.clone()));
            }
        }
        Ok(((pass.affine(&pass.x.clone(), "output")?, pass.lengths), guesses))
    }
}

/// A forward pass: what it sees of the parameters, and where it has come to.
struct Pass<'a> {
    network: &'a Network,
    seen: Seen<'a>,
    x: Tensor,
    lengths: Lengths,
}

impl Pass<'_> {
    fn affine(&mut self, x: &Tensor, name: &str) -> Result<Tensor> {
        Ok(linear(x, &self.seen.weight(&format!("{name}.w"))?, &self.seen.weight(&format!("{name}.b"))?)?)
    }

    fn dropout(&mut self, x: Tensor, rate: f32, variational: bool) -> Result<Tensor> {
        Ok(match &mut self.seen.mode {
            Mode::Train(rng) if variational => variational_dropout(&x, &self.lengths, rate, rng)?,
            Mode::Train(rng) => dropout(&x, rate, rng)?,
            Mode::Infer => x,
        })
    }

    fn normalise(&mut self, x: Tensor, name: &str) -> Result<Tensor> {
        Ok(layer_norm(
            &x,
            &self.seen.weight(&format!("{name}.norm.w"))?,
            &self.seen.weight(&format!("{name}.norm.b"))?,
        )?)
    }

    fn convolution(&mut self, name: &str, layer: &ConvolutionConfig, channels: usize) -> Result<()> {
        let (x, lengths) = patches(&self.x, &self.lengths, channels, layer.frames(), layer.bins())?;
        self.lengths = lengths;
        // A row for each frame and bin, so that the convolution is one product.
        let looked_at = layer.kernel[0] * layer.kernel[1] * channels;
        let y = relu(&self.affine(&x.reshape(((), looked_at))?, name)?)?;
        let mut y = y.reshape((self.lengths.rows(), y.elem_count() / self.lengths.rows().max(1)))?;
        if layer.layer_norm {
            y = self.normalise(y, name)?;
        }
        self.x = self.dropout(y, layer.dropout, false)?;
        Ok(())
    }

    fn cell(&mut self, n: usize, layer: &LayerConfig, kind: CellKind, x: &Tensor, row: Row) -> Result<Tensor> {
        let (shape, lengths) = ((layer.directions(), layer.units(row)), &self.lengths);
        if let (Mode::Infer, Some(Some(prepared))) = (&self.seen.mode, self.network.prepared.get(n)) {
            let carry = Carry::new(layer.clip, layer.zoneout, lengths, shape, None);
            return Ok(prepared.recurrent(x, Some(&carry), lengths)?);
        }
        let weights = self.seen.cell(&layer_name(n), layer, kind, row)?;
        let rng = match &mut self.seen.mode {
            Mode::Train(rng) => Some(&mut **rng),
            Mode::Infer => None,
        };
        let carry = Carry::new(layer.clip, layer.zoneout, lengths, shape, rng);
        Ok(recurrent(kind, layer.directions(), x, &weights, Some(&carry), lengths)?)
    }

    /// A layer over rows of this kind, after subsampling.
    fn recurrent(&mut self, n: usize, layer: &LayerConfig, row: Row) -> Result<()> {
        let name = &layer_name(n);
        let (x, lengths) = subsample(&self.x, &self.lengths, layer.subsample)?;
        self.lengths = lengths;
        let mut y = match layer.cell {
            LayerCell::Recurrent(kind) => self.cell(n, layer, kind, &x, row)?,
            LayerCell::Mlstm => {
                let a = self.affine(&x, name)?;
                mlstm(&a, layer.directions(), layer.hidden, layer.heads, &self.lengths)?
            }
        };
        let units = layer.outputs(row);
        if layer.bidirectional && layer.merge == Merge::Sum {
            y = sum_directions(&y)?;
        } else if layer.bidirectional && layer.cell.slides() {
            // `[directions, bins, channels]` to `[bins, directions, channels]`.
            let y4 = y.reshape((self.lengths.rows(), 2, row.bins, layer.hidden))?;
            y = y4.transpose(1, 2)?.contiguous()?.reshape((self.lengths.rows(), 2 * units))?;
        }
        if layer.layer_norm {
            y = self.normalise(y, name)?;
        }
        y = self.dropout(y, layer.dropout, layer.variational)?;
        self.x = match layer.skip {
            Skip::None => y,
            Skip::Residual => residual(&x, &y)?,
            Skip::Highway => {
                let (w, b) =
                    (self.seen.weight(&format!("{name}.skip.w"))?, self.seen.weight(&format!("{name}.skip.b"))?);
                highway(&x, &y, &w, &b)?
            }
        };
        Ok(())
    }
}

fn layer_name(n: usize) -> String {
    format!("layers.{n}")
}

fn draw(start: &Start, count: usize, rng: &mut Rng) -> Vec<f32> {
    let bounds = |n: usize| start.bounds[n / start.block % start.bounds.len()];
    (0..count).map(bounds).map(|(low, high)| rng.range(low, high)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::op;
    use candle_core::DType;

    fn config() -> ModelConfig {
        let convolution = ConvolutionConfig { channels: 2, layer_norm: true, ..ConvolutionConfig::default() };
        let layer = LayerConfig { hidden: 6, dropout: 0.5, weight_dropout: 0.3, ..LayerConfig::default() };
        ModelConfig {
            convolutions: vec![convolution.clone(), ConvolutionConfig { stride: [1, 2], ..convolution }],
            layers: vec![
                LayerConfig { guess: true, variational: true, zoneout: [0.1, 0.2], clip: 3.0, ..layer.clone() },
                LayerConfig { skip: Skip::Residual, merge: Merge::Sum, hidden: 12, ..layer.clone() },
                LayerConfig { skip: Skip::Highway, ..layer.clone() },
                LayerConfig { subsample: 2, layer_norm: true, ..layer },
            ],
            input_dropout: 0.0,
            weight_noise: 0.01,
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
    fn batch_mates_change_no_bit() -> Result<()> {
        let network = Network::new(&config(), &front(), 5, 1, &Device::Cpu)?;
        let frame =
            |utterance: usize, t: usize| (0..3).map(move |i| ((utterance * 100 + t * 3 + i) as f32 * 0.7).sin());
        let all = Lengths::new(&[19, 7, 7, 3, 1]);
        let rows = (0..all.steps()).flat_map(|t| (0..all.active(t)).map(move |b| (b, t)));
        let x: Vec<f32> = rows.flat_map(|(b, t)| frame(b, t)).collect();
        let (together, after) =
            network.forward(&Tensor::from_vec(x, (all.rows(), 3), &Device::Cpu)?, &all, Mode::Infer)?;
        let together = op::to_vec::<f32>(&together)?;
        for (b, len) in all.sorted().iter().enumerate() {
            let x: Vec<f32> = (0..*len).flat_map(|t| frame(b, t)).collect();
            let x = Tensor::from_vec(x, (*len, 3), &Device::Cpu)?;
            let alone = op::to_vec::<f32>(&network.forward(&x, &Lengths::new(&[*len]), Mode::Infer)?.0)?;
            for (t, alone) in alone.chunks(5).enumerate() {
                assert_eq!(together[after.row(t, b) * 5..][..5], *alone, "frame {t} of utterance {b}");
            }
        }
        Ok(())
    }

    /// A training pass with everything that a network can have, and one for recognition, on a GPU and on the CPU.
    #[cfg(feature = "cuda")]
    #[test]
    fn a_gpu_does_what_the_cpu_does() -> Result<()> {
        let Some(device) = crate::cuda::for_tests() else { return Ok(()) };
        let slides = LayerConfig {
            cell: LayerCell::Recurrent(CellKind::ConvLstm),
            hidden: 2,
            kernel: 3,
            ..LayerConfig::default()
        };
        let mut configs = vec![config(), config()];
        let matrix = LayerConfig { cell: LayerCell::Mlstm, hidden: 4, heads: 2, ..LayerConfig::default() };
        configs[1].layers = vec![slides, LayerConfig { hidden: 5, dropout: 0.2, ..LayerConfig::default() }, matrix];
        configs[1].convolutions[0].stride = [2, 1];
        for config in configs {
            let network = Network::new(&config, &front(), 5, 1, &Device::Cpu)?;
            let there = network.to_device(&device)?;
            let lengths = Lengths::new(&[19, 7, 7, 3, 1]);
            let x: Vec<f32> = (0..lengths.rows() * 3).map(|i| (i as f32 * 0.7).sin()).collect();
            let run = |network: &Network| -> Result<(Vec<Vec<f32>>, Vec<f32>)> {
                let x = Tensor::from_slice(&x, (lengths.rows(), 3), &network.params().device())?;
                let ((logits, _), guesses) =
                    network.forward_with_guesses(&x, &lengths, Mode::Train(&mut Rng::stream(1, "dropout", 0)))?;
                let mut total = logits.sqr()?.mean_all()?;
                for (guess, _) in &guesses {
                    total = (total + guess.sqr()?.mean_all()?)?;
                }
                let store = total.backward()?;
                let mut found = vec![op::to_vec::<f32>(&logits)?];
                for (name, var) in network.params().iter() {
                    let Some(gradient) = store.get(var) else { panic!("{name} has no gradient") };
                    found.push(op::to_vec::<f32>(gradient)?);
                }
                Ok((found, op::to_vec(&network.forward(&x, &lengths, Mode::Infer)?.0)?))
            };
            let ((ours, ours_inferred), (theirs, theirs_inferred)) = (run(&there)?, run(&network)?);
            let names: Vec<&str> =
                std::iter::once("logits").chain(network.params().iter().map(|(name, _)| name)).collect();
            let close = |a: &[f32], b: &[f32], what: &str| {
                let scale = b.iter().fold(0.1_f32, |scale, v| scale.max(v.abs()));
                let worst = a.iter().zip(b).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
                assert!(a.len() == b.len() && worst < 2e-5 * scale, "{what}: {worst} beside {scale}");
            };
            ours.iter().zip(&theirs).zip(names).for_each(|((a, b), name)| close(a, b, name));
            close(&ours_inferred, &theirs_inferred, "inference");
        }
        Ok(())
    }
}
