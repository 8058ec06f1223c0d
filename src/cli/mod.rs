//! The command line: words to calls, results to text.
//!
//! [`args`] is what was typed; each command is a file of its own with one `run`. Data goes to standard output, talk to
//! standard error, an error is one line with perhaps a hint below it, and the exit status is an [`Outcome`].
#![forbid(unsafe_code)]

mod align;
pub mod annotate;
pub mod args;
mod bench;
mod compare;
pub mod decoding;
mod device;
mod doctor;
mod evaluate;
mod examples;
mod export;
mod features;
mod generate;
mod info;
mod inputs;
mod listen;
mod lm;
pub mod options;
mod output;
mod plot;
mod prepare;
mod report;
mod said;
mod train;
mod transcribe;

use crate::audio;
use crate::model::Model;
use args::{Cli, Command};
use candle_core::Device;
use clap::{CommandFactory, Parser};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a command ended that did end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All done.
    Done,
    /// Some inputs failed, or a check did not pass.
    SomeFailed,
    /// Done, but the result may not be all: sound is missing.
    Suspect,
    /// The user broke it off, and it can be taken up again.
    Interrupted,
}

impl Outcome {
    fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::SomeFailed => 1,
            Self::Suspect => 3,
            Self::Interrupted => 130,
        }
    }
}

/// Exit status for wrong usage and for input that cannot be used.
const UNUSABLE: u8 = 2;

/// Runs the program.
pub fn main() -> ExitCode {
    // A decoder that panics on a damaged recording is told as that recording's error, once.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !audio::panics_are_contained() {
            usual(info);
        }
    }));
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return usage(&error),
    };
    match run(&command) {
        Ok(outcome) => ExitCode::from(outcome.status()),
        // Whoever reads our output has had enough, as `head` does.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::from(UNUSABLE)
        }
    }
}

fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Transcribe(args) => transcribe::run(args),
        Command::Align(args) => align::run(args),
        Command::Lm(args) => lm::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Info(args) => info::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Features(args) => features::run(args),
        Command::Prepare(args) => prepare::run(args),
        Command::Export(args) => export::run(args),
        Command::Train(args) => train::run(args),
        Command::Generate(args) => generate::run(args),
    }
}

/// Help and version as clap prints them; a mistake as one line and a hint, like any other error.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(UNUSABLE)
        }
        _ => {
            let known = |word: &String| Cli::command().find_subcommand(word).is_some();
            let command = std::env::args_os().nth(1).and_then(|word| word.into_string().ok()).filter(known);
            let command = command.map_or_else(|| "formant".to_owned(), |word| format!("formant {word}"));
            let (what, hint) = output::usage_lines(&error.to_string(), &command);
            output::error(&output::with_hint(what, hint));
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Sets the number of threads that everything computes with; without one, a thread a processor.
fn use_threads(threads: options::ThreadArgs) -> anyhow::Result<()> {
    if let Some(threads) = threads.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global()?;
    }
    Ok(())
}

/// The model asked for: a file, the folder of a training run, or the built-in one.
fn load_model(path: Option<&Path>) -> crate::Result<Model> {
    match path {
        None => Model::embedded(),
        Some(path) => Model::load(model_file(path)),
    }
}

/// [`load_model`], its network on a device.
fn load_model_on(path: Option<&Path>, device: &Device) -> crate::Result<Model> {
    let mut model = load_model(path)?;
    if !device.is_cpu() {
        model.network = model.network.to_device(device)?;
    }
    Ok(model)
}

/// A model's file, given it or the folder of the run that wrote it.
fn model_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("model.safetensors") } else { path.to_owned() }
}

/// Tells of sound that is missing, which makes the result suspect.
fn audio_warnings(path: &Path, warnings: &[String]) -> Outcome {
    for warning in warnings {
        output::warning(format!("{}: {warning}", path.display()));
    }
    if warnings.is_empty() { Outcome::Done } else { Outcome::Suspect }
}
