//! Trains a toy on data/tiny, watches it, and lets it write down one of the sentences that it learnt by heart.
//!
//! cargo run --release --example train_tiny [FOLDER]

use formant::decode::DecoderConfig;
use formant::train::{Event, Job, Observer, Recipe, train};
use formant::{Device, Model, Recognizer, Result, Waveform};
use std::path::{Path, PathBuf};

/// Prints every fifth epoch.
struct Watcher;

impl Observer for Watcher {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::LeftOut(left_out) => println!("{} is left out: {}", left_out.utterance, left_out.reason),
            Event::Epoch(e) if e.epoch % 5 == 0 => {
                println!("epoch {:2}: loss {:6.2}, error rate {:6.2} %", e.epoch, e.loss, e.dev_per);
            }
            _ => {}
        }
    }
}

fn main() -> Result<()> {
    let new = || std::env::temp_dir().join(format!("formant-tiny-{}", std::process::id()));
    let out = std::env::args_os().nth(1).map_or_else(new, PathBuf::from);
    let recipe = Recipe::read(Path::new("recipes/tiny/recipe.toml"))?;
    let job = Job { data: vec!["data/tiny".into()], out, recipe, from: None, resume: false, device: Device::Cpu };
    let summary = train(&job, &mut Watcher)?;

    let recognizer = Recognizer::new(Model::load(&summary.model)?, &DecoderConfig::Greedy)?;
    // "This is a good step."
    let transcript = recognizer.transcribe(&Waveform::open("data/tiny/audio/004820045.ogg")?)?;
    println!("{}: {}", summary.model.display(), recognizer.model().phones().decode(&transcript.best().phones));
    Ok(())
}
