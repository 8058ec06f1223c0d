//! `formant train`: a bar while it runs, a line an epoch, and at the end the model and its curves.
#![forbid(unsafe_code)]

use super::args::TrainArgs;
use super::output::{self, Progress};
use super::plot::{CurvePoint, curves_svg};
use super::{Outcome, device, load_model, use_threads};
use crate::error::Error;
use crate::files::write_atomic;
use crate::model::Model;
use crate::nn::memory::keep_freed_memory;
use crate::train::{EpochRecord, Event, Job, Log, Observer, Recipe, StepRecord, holds_a_run, train};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Utterances that cannot be used and are named one by one; the others are only counted.
const NAMED: usize = 10;

/// Runs the command.
pub fn run(args: &TrainArgs) -> anyhow::Result<Outcome> {
    keep_freed_memory();
    use_threads(args.threads)?;
    let device = device::resolve_real(args.device)?;
    let from = args.from.as_deref().map(origin).transpose()?;
    let recipe = recipe(args, from.as_ref())?;
    let job = Job { data: args.data.clone(), out: args.out.clone(), recipe, from, resume: args.resume, device };
    if args.resume && !holds_a_run(&args.out) {
        output::note(format!("{}: no run to go on with, a new one begins", output::path(&args.out)));
    }
    let mut watcher = Watcher { progress: None, left_out: 0, best: None, interrupts: interrupts()? };
    let summary = train(&job, &mut watcher).map_err(|error| failed(args, error))?;
    watcher.progress = None;
    if summary.interrupted {
        let again = format!("formant train --resume --data {} --out {}", paths(args), output::path(&args.out));
        output::note(format!("interrupted; the run is saved. To go on: {again}"));
        return Ok(Outcome::Interrupted);
    }
    let curves = args.out.join("curves.svg");
    write_atomic(&curves, curves_svg(&points(&Log::epochs(&args.out)?)).as_bytes())?;
    if let Some(best) = &summary.best {
        output::note(format!("best: epoch {}, dev PER {:.2} %", best.epoch, best.dev_per));
    }
    output::line(output::path(&summary.model))?;
    Ok(Outcome::Done)
}

/// The curves' points, from the log.
pub fn points(epochs: &[EpochRecord]) -> Vec<CurvePoint> {
    let point = |e: &EpochRecord| CurvePoint {
        epoch: e.epoch as f64,
        train_loss: e.loss,
        dev_loss: Some(e.dev_loss),
        dev_per: e.dev_per,
        learning_rate: e.learning_rate.into(),
    };
    epochs.iter().map(point).collect()
}

fn paths(args: &TrainArgs) -> String {
    args.data.iter().map(|d| output::path(d)).collect::<Vec<_>>().join(" --data ")
}

/// The model to begin from: a file, a run's folder, or the built-in one by its name.
fn origin(path: &Path) -> crate::Result<Model> {
    let mut model = load_model(if path == Path::new("default") && !path.exists() { None } else { Some(path) })?;
    // All runs' models have the same name; their folders have not.
    if let (true, Some(name)) = (path.is_dir(), path.file_name()) {
        model.name = name.to_string_lossy().into_owned();
    }
    Ok(model)
}

/// What was typed, on top of the recipe, on top of the defaults.
fn recipe(args: &TrainArgs, from: Option<&Model>) -> anyhow::Result<Recipe> {
    let recipe = match (&args.recipe, from) {
        (Some(path), _) => Recipe::read(path)?,
        (None, Some(model)) => Recipe::adapt(model),
        (None, None) => Recipe::standard(),
    };
    let mut recipe = recipe.with(&args.set)?;
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    let begun = args.out.join("recipe.toml");
    if !args.resume || !begun.is_file() {
        return Ok(recipe);
    }
    // A run goes on as it began. The words that began it may be said again.
    let begun = Recipe::read(&begun)?;
    if (args.recipe.is_some() || !args.set.is_empty() || args.seed.is_some()) && recipe != begun {
        return Err(output::with_hint(
            format!("{}: this run began with another recipe", output::path(&args.out)),
            "leave --recipe, --set and --seed out to go on with it; another recipe is another run, in another folder",
        ));
    }
    Ok(begun)
}

/// What to say when a run ends with an error. If it is the disk's, the run is not lost.
fn failed(args: &TrainArgs, error: Error) -> anyhow::Error {
    match error {
        Error::Tensor(reason) if reason.to_string().to_lowercase().contains("out of memory") => output::with_hint(
            "the GPU is out of memory: a batch is too large for it",
            "begin anew with a lower train.batch.frames (--set), or go on with --resume where there is more, or with --device cpu",
        ),
        Error::Io { .. } if holds_a_run(&args.out) => {
            output::with_hint(error, "the last checkpoint is whole: --resume goes on from it once this is put right")
        }
        _ => error.into(),
    }
}

/// Counts Ctrl-C: the first asks the run to save and stop, the second ends the program on the spot.
fn interrupts() -> anyhow::Result<Arc<AtomicUsize>> {
    let count = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&count);
    ctrlc::set_handler(move || {
        if own.fetch_add(1, Ordering::SeqCst) > 0 {
            std::process::exit(130);
        }
        output::note("saving; press Ctrl-C again to stop at once");
    })?;
    Ok(count)
}

struct Watcher {
    progress: Option<Progress>,
    left_out: usize,
    best: Option<f64>,
    interrupts: Arc<AtomicUsize>,
}

impl Watcher {
    /// The bar, made anew when it has to count something else.
    fn bar(&mut self, total: usize, unit: &'static str) -> &Progress {
        if self.progress.as_ref().is_none_or(|p| !p.counts(total, unit)) {
            self.progress = Some(Progress::counting(total, unit));
        }
        self.progress.get_or_insert_with(Progress::hidden)
    }

    fn step(&mut self, step: &StepRecord) {
        let best = self.best.map_or("-".to_owned(), |per| format!("{per:.2} %"));
        let StepRecord { epoch, loss, learning_rate, frames_per_second, .. } = step;
        let bar = self.bar(step.batches, "batches");
        bar.set(step.batch);
        bar.say(format!(
            "epoch {epoch}, loss {loss:.2}, best dev PER {best}, rate {learning_rate:.1e}, {frames_per_second:.0} frames/s"
        ));
    }

    fn epoch(&mut self, epoch: &EpochRecord) {
        if epoch.best {
            self.best = Some(epoch.dev_per);
        }
        let line = format!(
            "epoch {}: loss {:.2}, dev loss {:.2}, dev PER {:.2} %, blanks {:.0} %{}",
            epoch.epoch,
            epoch.loss,
            epoch.dev_loss,
            epoch.dev_per,
            100.0 * epoch.blank_fraction,
            if epoch.best { ", best so far" } else { "" }
        );
        self.aside(|| output::note(line));
        if epoch.epoch >= 5 && epoch.empty_fraction > 0.9 {
            self.aside(|| {
                output::warning(
                    "the network writes blanks only; a higher train.learning_rate, more data or more epochs may help",
                );
            });
        }
    }

    fn aside(&self, print: impl FnOnce()) {
        match &self.progress {
            Some(progress) => progress.aside(print),
            None => print(),
        }
    }
}

impl Observer for Watcher {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Survey { done, of } => self.bar(*of, "utterances").set(*done),
            Event::LeftOut(left_out) => {
                self.left_out += 1;
                if self.left_out <= NAMED {
                    self.aside(|| output::warning(format!("left out: {}", left_out.sentence())));
                } else if self.left_out == NAMED + 1 {
                    self.aside(|| output::warning("more are left out; the run's folder lists all in left-out.tsv"));
                }
            }
            Event::Step(step) => self.step(step),
            Event::Skipped { step, in_a_row } => {
                let text = format!("step {step}: loss or gradient not finite, batch left out ({in_a_row} in a row)");
                self.aside(|| output::warning(text));
            }
            Event::Epoch(epoch) => self.epoch(epoch),
            Event::Stage { stage, stages } => {
                let text = format!("stage {} of {} begins with the best model so far", stage + 1, stages + 1);
                self.aside(|| output::note(text));
            }
        }
    }

    fn stop(&self) -> bool {
        self.interrupts.load(Ordering::SeqCst) > 0
    }
}
