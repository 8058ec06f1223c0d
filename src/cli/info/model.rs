//! What there is to know about a model.
#![forbid(unsafe_code)]

use crate::cli::output::Table;
use crate::features::{FrontEnd, Normalize};
use crate::model::{Card, ConvolutionConfig, LayerConfig, Merge, Model, ModelConfig, Skip};
use serde::Serialize;

/// A model without its weights.
#[derive(Serialize)]
pub struct ModelInfo {
    name: String,
    parameters: usize,
    /// Seconds from one frame of its output to the next.
    frame_shift: f64,
    model: ModelConfig,
    front_end: FrontEnd,
    phone_set: String,
    phones: Vec<String>,
    card: Card,
}

impl ModelInfo {
    /// Takes from a model what can be told.
    pub fn new(model: &Model) -> Self {
        Self {
            name: model.name().to_owned(),
            parameters: model.parameters(),
            frame_shift: model.frame_shift(),
            model: model.config().clone(),
            front_end: model.front().clone(),
            phone_set: model.phones().name().to_owned(),
            phones: model.phones().symbols()[1..].to_vec(),
            card: model.card().clone(),
        }
    }

    /// Adds lines.
    pub fn describe(&self, table: &mut Table) {
        let card = &self.card;
        table.row("model", &self.name);
        let or_unknown = |text: &str| if text.is_empty() { "not said".to_owned() } else { text.to_owned() };
        if !card.description.is_empty() {
            table.row("description", &card.description);
        }
        for (n, layer) in self.model.convolutions.iter().enumerate() {
            table.row(format!("convolution {}", n + 1), describe_convolution(layer));
        }
        for (n, layer) in self.model.layers.iter().enumerate() {
            table.row(format!("layer {}", n + 1), describe_layer(layer));
        }
        table.row("parameters", self.parameters);
        table.row("front end", describe_front(&self.front_end));
        table.row("output", format!("a frame every {:.0} ms", self.frame_shift * 1000.0));
        table.row("phones", format!("{} of {}: {}", self.phones.len(), self.phone_set, self.phones.join(" ")));
        if let Some(origin) = &card.begun_from {
            table.row("begun from", format!("{}, trained on {}", origin.name, origin.trained_on.join(", ")));
        }
        for set in &card.trained_on {
            table.row("trained on", set);
        }
        let hours = card.seconds_of_audio / 3600.0;
        table.row("amount", format!("{} utterances, {hours:.2} hours of sound", card.utterances));
        table.row("training", format!("{} epochs, {} steps, seed {}", card.epochs, card.steps, card.seed));
        if let Some(per) = card.dev_per {
            table.row("dev error rate", format!("{per:.2} %"));
        }
        for m in &card.measured {
            let counts = format!("{} utterances, {} phones", m.utterances, m.reference_phones);
            table.row("measured", format!("{:.2} % on {} ({counts}; {})", m.per, m.set, m.protocol));
        }
        table.row("licence", or_unknown(&card.licence));
        table.row("made by", or_unknown(&card.created_by));
    }
}

fn describe_layer(layer: &LayerConfig) -> String {
    let direction = match (layer.bidirectional, layer.merge) {
        (true, Merge::Concat) => "both directions",
        (true, Merge::Sum) => "both directions added",
        (false, _) => "forward",
    };
    let units = match layer.cell.slides() {
        true => format!("{} channels, {} bins at a time", layer.hidden, layer.kernel),
        false => format!("{} units", layer.hidden),
    };
    let mut text = format!("{}, {units}, {direction}", layer.cell.name());
    if layer.projection > 0 {
        text.push_str(&format!(", projected to {}", layer.projection));
    }
    if layer.heads > 1 {
        text.push_str(&format!(", {} heads", layer.heads));
    }
    if layer.subsample > 1 {
        text.push_str(&format!(", {} frames become one", layer.subsample));
    }
    if layer.layer_norm {
        text.push_str(", normalised");
    }
    match layer.skip {
        Skip::None => {}
        Skip::Residual => text.push_str(", its input added"),
        Skip::Highway => text.push_str(", a highway around it"),
    }
    if layer.guess {
        text.push_str(", guesses phones");
    }
    text
}

fn describe_convolution(layer: &ConvolutionConfig) -> String {
    let ([frames, bins], [frame_stride, bin_stride]) = (layer.kernel, layer.stride);
    let mut text = format!("{} channels, {frames} frames by {bins} bins", layer.channels);
    if layer.stride != [1, 1] {
        text.push_str(&format!(" every {frame_stride} by {bin_stride}"));
    }
    if layer.layer_norm {
        text.push_str(", normalised");
    }
    text
}

fn describe_front(front: &FrontEnd) -> String {
    let mut text = format!(
        "{} log-mel bins of {} ms every {} ms at {} Hz",
        front.bins, front.frame_length_ms, front.frame_shift_ms, front.sample_rate
    );
    if front.energy {
        text.push_str(", energy");
    }
    if front.deltas > 0 {
        text.push_str(&format!(", deltas of order {}", front.deltas));
    }
    text.push_str(match front.normalize {
        Normalize::Global => ", normalised over the training set",
        Normalize::Utterance => ", normalised by utterance",
        Normalize::None => ", not normalised",
    });
    if front.stack > 1 {
        text.push_str(&format!(", {} frames side by side", front.stack));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Measured;

    #[test]
    fn a_model_is_told_in_words() {
        let measured = Measured {
            set: "x test".to_owned(),
            protocol: "folded".to_owned(),
            per: 12.5,
            utterances: 3,
            reference_phones: 40,
        };
        let card = Card { trained_on: vec!["x train".to_owned()], measured: vec![measured], ..Card::default() };
        let convolution = ConvolutionConfig { stride: [3, 2], layer_norm: true, ..ConvolutionConfig::default() };
        let layer = LayerConfig { subsample: 2, ..LayerConfig::default() };
        let info = ModelInfo {
            name: "m".to_owned(),
            parameters: 7,
            frame_shift: 0.04,
            model: ModelConfig { convolutions: vec![convolution], layers: vec![layer], ..ModelConfig::default() },
            front_end: FrontEnd { deltas: 1, stack: 2, ..FrontEnd::default() },
            phone_set: "p".to_owned(),
            phones: vec!["a".to_owned(), "b".to_owned()],
            card,
        };
        let mut table = Table::default();
        info.describe(&mut table);
        let expected = "\
model          m
convolution 1  32 channels, 3 frames by 3 bins every 3 by 2, normalised
layer 1        lstm, 250 units, both directions, 2 frames become one
parameters     7
front end      40 log-mel bins of 25 ms every 10 ms at 16000 Hz, deltas of order 1, normalised over the training set, \
2 frames side by side
output         a frame every 40 ms
phones         2 of p: a b
trained on     x train
amount         0 utterances, 0.00 hours of sound
training       0 epochs, 0 steps, seed 0
measured       12.50 % on x test (3 utterances, 40 phones; folded)
licence        not said
made by        not said";
        assert_eq!(table.to_string(), expected);
    }
}
