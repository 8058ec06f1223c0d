//! What a network looks like, as recipes and model files write it.
#![forbid(unsafe_code)]

use super::cell::LayerCell;
use super::parameters::Parameter;
use crate::error::{Error, Result};
use crate::features::FrontEnd;
use crate::nn::patches::Axis;
use crate::nn::recurrent::CellKind;
use serde::{Deserialize, Serialize};

/// A convolution over time and mel bins, with a rectifier after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvolutionConfig {
    /// Numbers that come out for each frame and bin.
    pub channels: usize,
    /// Frames and bins that it looks at.
    pub kernel: [usize; 2],
    /// Frames, and bins, of its input for one of its output.
    pub stride: [usize; 2],
    /// Whether each frame of the output is brought to mean zero and variance one.
    pub layer_norm: bool,
    /// Dropout of the output while training.
    pub dropout: f32,
}

impl Default for ConvolutionConfig {
    fn default() -> Self {
        Self { channels: 32, kernel: [3, 3], stride: [1, 1], layer_norm: false, dropout: 0.0 }
    }
}

impl ConvolutionConfig {
    /// How it looks along time.
    pub fn frames(&self) -> Axis {
        Axis { kernel: self.kernel[0], stride: self.stride[0] }
    }

    /// How it looks along the mel axis.
    pub fn bins(&self) -> Axis {
        Axis { kernel: self.kernel[1], stride: self.stride[1] }
    }
}

/// How the two directions of a layer become one output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Merge {
    /// Side by side.
    #[default]
    Concat,
    /// Added.
    Sum,
}

/// What leads around a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Skip {
    /// Nothing.
    #[default]
    None,
    /// The layer's input is added to its output.
    Residual,
    /// A gate mixes the layer's input and its output.
    Highway,
}

/// One recurrent layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayerConfig {
    /// The cell.
    pub cell: LayerCell,
    /// Units of one direction; of a cell that slides over the mel axis, channels.
    pub hidden: usize,
    /// Numbers that the output of each direction is projected to before the next frame and the next layer see it; 0: it
    /// is not projected (LSTMP, Sak et al. 2014).
    pub projection: usize,
    /// Bins that W and R of such a cell look at.
    pub kernel: usize,
    /// Whether a second direction runs backward in time.
    pub bidirectional: bool,
    /// How the directions become one.
    pub merge: Merge,
    /// Groups of units that hear only each other; R is block-diagonal if there are several.
    pub heads: usize,
    /// So many neighbouring frames of the layer's input become one.
    pub subsample: usize,
    /// Whether each frame of the layer's output is brought to mean zero and variance one.
    pub layer_norm: bool,
    /// What leads around the layer; its input must be as wide as its output.
    pub skip: Skip,
    /// Whether the layer guesses phones already, and the next one sees the guess: self-conditioned CTC (Nozaki and
    /// Komatsu 2021). Its loss is part of the training's.
    pub guess: bool,
    /// Dropout of the layer's output while training.
    pub dropout: f32,
    /// Whether all frames of an utterance share one mask of that dropout (Gal and Ghahramani 2016).
    pub variational: bool,
    /// Zoneout while training: probabilities that a value of the output, and of the other states, stays what it was one
    /// frame before (Krueger et al. 2017).
    pub zoneout: [f32; 2],
    /// States other than the output are held within this distance of zero; 0: they are not.
    pub clip: f32,
    /// Dropout of the recurrent weights while training, one mask for all frames (Merity et al. 2018).
    pub weight_dropout: f32,
}

impl Default for LayerConfig {
    fn default() -> Self {
        Self {
            cell: LayerCell::Recurrent(CellKind::Lstm),
            hidden: 250,
            projection: 0,
            kernel: 3,
            bidirectional: true,
            merge: Merge::Concat,
            heads: 1,
            subsample: 1,
            layer_norm: false,
            skip: Skip::None,
            guess: false,
            dropout: 0.0,
            variational: false,
            zoneout: [0.0; 2],
            clip: 0.0,
            weight_dropout: 0.0,
        }
    }
}

impl LayerConfig {
    /// 1 or 2.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }
}

/// The layers, from the features to the classes; a linear layer at the end is understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Convolutions before the recurrent layers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub convolutions: Vec<ConvolutionConfig>,
    /// Recurrent layers.
    pub layers: Vec<LayerConfig>,
    /// Dropout of the features while training.
    pub input_dropout: f32,
    /// Standard deviation of the noise that is added to all weights at each update (Graves 2011).
    pub weight_noise: f32,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            convolutions: Vec::new(),
            layers: vec![LayerConfig::default(); 3],
            input_dropout: 0.0,
            weight_noise: 0.0,
        }
    }
}

/// No network with more numbers is built: some 16 GiB while training.
const MOST_PARAMETERS: usize = 1 << 30;

impl ModelConfig {
    /// Whether the network of `other` computes the same from the same weights: all but what only training needs is
    /// equal.
    pub fn computes_like(&self, other: &Self) -> bool {
        let bare = |config: &Self| {
            let mut config = config.clone();
            (config.input_dropout, config.weight_noise) = (0.0, 0.0);
            config.convolutions.iter_mut().for_each(|c| c.dropout = 0.0);
            for layer in &mut config.layers {
                (layer.dropout, layer.variational, layer.weight_dropout) = (0.0, false, 0.0);
            }
            config
        };
        bare(self) == bare(other)
    }

    /// Frames in for one frame out.
    pub fn subsampling(&self) -> usize {
        let strides = self.convolutions.iter().map(|c| c.stride[0]);
        strides.chain(self.layers.iter().map(|l| l.subsample)).fold(1, usize::saturating_mul)
    }

    /// Fails, naming the value, if no network can be built like this for these features.
    pub fn validate(&self, front: &FrontEnd, classes: usize) -> Result<()> {
        let rate = |r: f32| (0.0..1.0).contains(&r);
        let (layers, convolutions) = (&self.layers, &self.convolutions);
        let sides = |most: usize, sides: &[usize; 2]| sides.iter().all(|s| (1..=most).contains(s));
        let checks = [
            ((1..=64).contains(&layers.len()), "there must be between 1 and 64 layers"),
            (layers.iter().all(|l| (1..=16384).contains(&l.hidden)), "hidden must lie between 1 and 16384"),
            ((0.0..=1.0).contains(&self.weight_noise), "weight_noise must lie between 0 and 1"),
            (
                layers.iter().all(|l| l.heads >= 1 && l.hidden.is_multiple_of(l.heads)),
                "hidden must be a multiple of heads",
            ),
            (layers.iter().all(|l| l.clip >= 0.0 && l.clip.is_finite()), "clip must not be negative"),
            (layers.iter().all(|l| l.zoneout.iter().all(|z| rate(*z))), "zoneout must lie between 0 and 1, 1 excluded"),
            (
                layers.iter().all(|l| l.zoneout == [0.0; 2] && l.clip == 0.0 || l.cell.carries() && l.projection == 0),
                "zoneout and clip need a cell other than slstm and mlstm, without projection",
            ),
            (layers.iter().all(|l| l.projection <= 16384), "projection must lie between 0 and 16384"),
            (
                layers.iter().all(|l| l.projection == 0 || l.cell.projects() && l.heads == 1),
                "a projection needs an LSTM, sLSTM or Elman cell without heads",
            ),
            (layers.iter().all(|l| (1..=32).contains(&l.kernel)), "the kernel of a layer must lie between 1 and 32"),
            (
                layers.iter().all(|l| !l.cell.slides() || l.subsample == 1 && l.heads == 1),
                "a layer that slides over the mel axis can neither subsample nor have heads",
            ),
            (layers.iter().all(|l| (1..=8).contains(&l.subsample)), "subsample must lie between 1 and 8"),
            (convolutions.len() <= 16, "there must be at most 16 convolutions"),
            (
                front.is_plain() || convolutions.is_empty() && !layers.iter().any(|l| l.cell.slides()),
                "convolutions need features.stack = 1, features.deltas = 0 and features.energy = false",
            ),
            (convolutions.iter().all(|c| (1..=1024).contains(&c.channels)), "channels must lie between 1 and 1024"),
            (
                convolutions.iter().all(|c| sides(32, &c.kernel) && sides(8, &c.stride)),
                "a kernel must lie between 1 and 32, a stride between 1 and 8",
            ),
            (
                rate(self.input_dropout)
                    && layers.iter().all(|l| rate(l.dropout) && rate(l.weight_dropout))
                    && convolutions.iter().all(|c| rate(c.dropout)),
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
        let rows = self.rows(front.dim());
        let (first, last) = (convolutions.len(), rows[rows.len() - 1].width());
        for (n, layer) in layers.iter().enumerate() {
            let (input, output) = (rows[first + n].width() * layer.subsample, rows[first + n + 1].width());
            if layer.skip != Skip::None && input != output {
                return Err(Error::invalid("model: what is led around a layer must be as wide as the layer's output"));
            }
            if layer.guess && (n + 1 == layers.len() || output != last) {
                let reason = "model: a layer that guesses must not be the last and must be as wide as the last";
                return Err(Error::invalid(reason));
            }
        }
        let numbers = |p: &Parameter| p.shape.iter().product::<usize>();
        let count: usize = self.parameters(front.dim(), classes).iter().map(numbers).sum();
        if count > MOST_PARAMETERS {
            return Err(Error::invalid(format!("model: {count} parameters, more than the {MOST_PARAMETERS} allowed")));
        }
        Ok(())
    }
}
