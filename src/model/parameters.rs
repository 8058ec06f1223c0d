//! Which trainable tensors a network has: their names, shapes, and values before training.
#![forbid(unsafe_code)]

use super::cell::LayerCell;
use super::config::{ConvolutionConfig, LayerConfig, Merge, ModelConfig, Skip};
use crate::nn::mlstm;
use crate::nn::recurrent::cells::Spec;

/// What a parameter is before training: each number drawn uniformly between two bounds. `[.., blocks, block]` has bounds
/// for each block, over and over.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// The bounds.
    pub bounds: Vec<(f32, f32)>,
    /// Numbers of a block.
    pub block: usize,
}

impl Start {
    fn constant(value: f32) -> Self {
        Self { bounds: vec![(value, value)], block: 1 }
    }

    fn uniform(limit: f32) -> Self {
        Self { bounds: vec![(-limit, limit)], block: 1 }
    }
}

/// One trainable tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// What files call it.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values before training.
    pub start: Start,
}

/// What stands in a frame's row between two layers: `[bins, channels]`. Where there is no mel axis any more, one bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Places on the mel axis.
    pub bins: usize,
    /// Numbers of each.
    pub channels: usize,
}

impl Row {
    /// Numbers in all.
    pub fn width(self) -> usize {
        self.bins * self.channels
    }

    /// The row after `factor` neighbouring frames became one.
    pub fn subsampled(self, factor: usize) -> Self {
        if factor == 1 { self } else { Self { bins: 1, channels: self.width() * factor } }
    }
}

impl ConvolutionConfig {
    fn output(&self, input: Row) -> Row {
        Row { bins: self.bins().outputs(input.bins), channels: self.channels }
    }
}

impl LayerConfig {
    /// Units of one direction, all bins together.
    pub fn units(&self, input: Row) -> usize {
        if self.cell.slides() { input.bins * self.hidden } else { self.hidden }
    }

    /// Numbers of one direction of the output.
    pub fn outputs(&self, input: Row) -> usize {
        if self.projection > 0 { self.projection } else { self.units(input) }
    }

    fn output(&self, input: Row) -> Row {
        let parts = if self.merge == Merge::Concat { self.directions() } else { 1 };
        let bins = if self.cell.slides() { input.bins } else { 1 };
        Row { bins, channels: parts * self.outputs(input) / bins }
    }
}

impl ModelConfig {
    /// Rows of the features, and after each convolution and each recurrent layer.
    pub fn rows(&self, inputs: usize) -> Vec<Row> {
        let mut rows = vec![Row { bins: inputs, channels: 1 }];
        for layer in &self.convolutions {
            rows.push(layer.output(rows[rows.len() - 1]));
        }
        for layer in &self.layers {
            rows.push(layer.output(rows[rows.len() - 1].subsampled(layer.subsample)));
        }
        rows
    }

    /// The parameters, given numbers a frame and classes.
    ///
    /// | | |
    /// |---|---|
    /// | `convolutions.N.w`, `.b` | `[channels, frames bins channels]` (the kernel's), `[channels]` |
    /// | `layers.N.w`, `.b` | `[D G H, F]`, `[D G H]` |
    /// | `layers.N.r` | `[D, R H, H / heads]`, of the R gates that have a recurrent part |
    /// | the same with a projection | `[D, (R + 1) H, P]`: its matrix, transposed, below those of the gates |
    /// | `layers.N.aux` | `[D, A, H]`, of a cell with A further parameters a unit |
    /// | `layers.N.w`, `.b` of an mLSTM | `[D (4 H + 2 heads), F]`, `[D (4 H + 2 heads)]` |
    /// | the same of a cell that slides | `[D G C, K F]`, `[D G C]`, `[D, R C, K C]`, `[D, A, bins C]` |
    /// | `.norm.w`, `.norm.b` of either | `[F]` |
    /// | `layers.N.skip.w`, `.b` of a highway | `[F, F]`, `[F]` |
    /// | `guess.w`, `.b` | `[F, V]`, `[F]`: from a guess back to what the next layer sees |
    /// | `output.w`, `.b` | `[V, F]`, `[V]` |
    pub fn parameters(&self, inputs: usize, classes: usize) -> Vec<Parameter> {
        let (rows, mut list) = (self.rows(inputs), List(Vec::new()));
        for ((n, layer), row) in self.convolutions.iter().enumerate().zip(&rows) {
            list.convolution(&format!("convolutions.{n}"), layer, *row);
        }
        for ((n, layer), row) in self.layers.iter().enumerate().zip(&rows[self.convolutions.len()..]) {
            list.recurrent(&format!("layers.{n}"), layer, row.subsampled(layer.subsample));
        }
        let width = rows[rows.len() - 1].width();
        if self.layers.iter().any(|l| l.guess) {
            list.affine("guess", width, classes, 0.0);
        }
        list.affine("output", classes, width, 0.0);
        list.0
    }
}

struct List(Vec<Parameter>);

impl List {
    fn add(&mut self, name: String, shape: &[usize], start: Start) {
        self.0.push(Parameter { name, shape: shape.to_vec(), start });
    }

    /// Weights uniform within one over the root of the inputs, all biases the same.
    fn affine(&mut self, name: &str, outputs: usize, inputs: usize, bias: f32) {
        self.add(format!("{name}.w"), &[outputs, inputs], Start::uniform(1.0 / (inputs as f32).sqrt()));
        self.add(format!("{name}.b"), &[outputs], Start::constant(bias));
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.norm.w"), &[width], Start::constant(1.0));
        self.add(format!("{name}.norm.b"), &[width], Start::constant(0.0));
    }

    fn convolution(&mut self, name: &str, layer: &ConvolutionConfig, input: Row) {
        let looked_at = layer.kernel[0] * layer.kernel[1] * input.channels;
        // Variances stay what they are through layers of rectifiers (He et al. 2015).
        let start = Start::uniform((6.0 / looked_at as f32).sqrt());
        self.add(format!("{name}.w"), &[layer.channels, looked_at], start);
        self.add(format!("{name}.b"), &[layer.channels], Start::constant(0.0));
        if layer.layer_norm {
            self.norm(name, layer.output(input).width());
        }
    }

    fn recurrent(&mut self, name: &str, layer: &LayerConfig, input: Row) {
        match layer.cell {
            LayerCell::Recurrent(kind) => self.cell(name, layer, kind.spec(), input),
            LayerCell::Mlstm => self.mlstm(name, layer, input),
        }
        let width = layer.output(input).width();
        if layer.skip == Skip::Highway {
            // Nearly closed at first: the input goes by.
            self.affine(&format!("{name}.skip"), width, input.width(), -1.0);
        }
        if layer.layer_norm {
            self.norm(name, width);
        }
    }

    fn cell(&mut self, name: &str, layer: &LayerConfig, spec: &Spec, input: Row) {
        let (directions, hidden) = (layer.directions(), layer.hidden);
        // Numbers that a unit sees of the frame, and of the other units.
        let (seen, heard) = match spec.slides {
            true => (layer.kernel * input.channels, layer.kernel * hidden),
            false => (input.width(), layer.outputs(input) / layer.heads),
        };
        let (limit, rows) = (1.0 / (hidden as f32).sqrt(), directions * spec.gates.len() * hidden);
        let biases = spec.bias[..spec.gates.len()].iter().map(|b| (b - limit, b + limit)).collect();
        self.add(format!("{name}.w"), &[rows, seen], Start::uniform(limit));
        self.add(format!("{name}.b"), &[rows], Start { bounds: biases, block: hidden });
        if spec.rows_of_r() > 0 {
            let groups = spec.rows_of_r() + usize::from(layer.projection > 0);
            self.add(format!("{name}.r"), &[directions, groups * hidden, heard], Start::uniform(limit));
        }
        if !spec.aux.is_empty() {
            let (bounds, block) = (spec.aux.iter().map(|aux| (aux.low, aux.high)).collect(), layer.units(input));
            self.add(format!("{name}.aux"), &[directions, spec.aux.len(), block], Start { bounds, block });
        }
    }

    /// Forget gates begin nearly open, as the paper's do.
    fn mlstm(&mut self, name: &str, layer: &LayerConfig, input: Row) {
        let (limit, heads) = (1.0 / (layer.hidden as f32).sqrt(), layer.heads);
        let rows = layer.directions() * mlstm::columns(layer.hidden, heads);
        let blocks = [((-limit, limit), 4 * layer.hidden), ((-0.1, 0.1), heads), ((3.0, 6.0), heads)];
        let bounds = blocks.into_iter().flat_map(|(bounds, count)| std::iter::repeat_n(bounds, count)).collect();
        self.add(format!("{name}.w"), &[rows, input.width()], Start::uniform(limit));
        self.add(format!("{name}.b"), &[rows], Start { bounds, block: 1 });
    }
}
