//! The run: epochs of updates, a measurement after each, checkpoints, the best model.
//!
//! A run is a pure function of recipe, data and seed: every random draw is keyed by epoch, step or utterance, so that a
//! run that was stopped anywhere goes on from its checkpoint to the very same weights.
#![forbid(unsafe_code)]

use super::checkpoint::{Average, Best, Checkpoint};
use super::folder::{Files, open};
use super::metrics::{EpochRecord, Log, Record, StepRecord};
use super::prepare::{Job, Prepared, prepare};
use super::recipe::Criterion;
use super::step::{Learner, update};
use super::validate::validate;
use super::{Event, Observer, Recipe};
use crate::corpus::{Batch, Dataset, epoch, prefetch};
use crate::error::{Error, Result};
use crate::model::{Card, Model, Network};
use crate::nn::optim::OptimizerState;
use crate::nn::params::Params;
use crate::phones::PhoneSet;
use crate::rng::Rng;
use candle_core::Device;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Updates between two lines of the log.
const LOG_STEPS: u64 = 20;
/// So many batches in a row without a finite loss end the run.
const MOST_SKIPPED: u64 = 20;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The best model's file.
    pub model: PathBuf,
    /// The best epoch.
    pub best: Option<Best>,
    /// Whether the observer stopped it before its end.
    pub interrupted: bool,
}

/// Trains a model, or goes on training one.
pub fn train(job: &Job, observer: &mut dyn Observer) -> Result<Summary> {
    let files = Files { out: job.out.clone() };
    let (_lock, begun) = open(&files, job.resume)?;
    let Prepared { checkpoint, phones, train, dev } = prepare(job, &files, begun, observer)?;
    let recipe = checkpoint.recipe.at_stage(checkpoint.state.stage)?;
    let params =
        if job.device.is_cpu() { checkpoint.params.clone() } else { checkpoint.params.to_device(&job.device)? };
    let network = Network::from_params(&recipe.model, params);
    let (optimizer, average) = (checkpoint.optimizer.clone(), checkpoint.average.clone());
    let mut run = Run {
        learner: Learner::new(network, optimizer, average, recipe.train.average_decay > 0.0)?,
        log: Log::open(&files.out, checkpoint.state.log_bytes)?,
        seconds_before: checkpoint.state.seconds,
        started: Instant::now(),
        frames: 0,
        train: Arc::new(train),
        job,
        files,
        recipe,
        phones,
        dev,
        checkpoint,
        observer,
    };
    // From here on a run that is killed can be gone on with.
    run.save_checkpoint()?;
    run.go()
}

struct Run<'a> {
    job: &'a Job,
    files: Files,
    recipe: Recipe,
    phones: PhoneSet,
    train: Arc<Dataset>,
    dev: Dataset,
    learner: Learner,
    checkpoint: Checkpoint,
    log: Log,
    observer: &'a mut dyn Observer,
    /// Frames of sound since `started`.
    frames: usize,
    started: Instant,
    seconds_before: f64,
}

impl Run<'_> {
    fn go(mut self) -> Result<Summary> {
        while !self.checkpoint.state.finished {
            if self.epoch()?.is_break() {
                self.save_checkpoint()?;
                return Ok(self.summary(true));
            }
            self.measure()?;
            if self.stage_ended() {
                self.next_stage()?;
            }
            self.save_checkpoint()?;
        }
        Ok(self.summary(false))
    }

    fn summary(&self, interrupted: bool) -> Summary {
        Summary { model: self.files.model(), best: self.checkpoint.state.best.clone(), interrupted }
    }

    /// The rest of the running epoch.
    fn epoch(&mut self) -> Result<ControlFlow<()>> {
        let (number, done) = (self.checkpoint.state.epoch, self.checkpoint.state.batch);
        let (seed, cmvn) = (self.recipe.seed, self.checkpoint.cmvn.clone());
        let batches = epoch(self.train.frames(), self.recipe.train.batch, seed, number);
        let augment = self.recipe.augment.clone();
        // The thread that makes batches reads the data set while this one changes everything else.
        let train = Arc::clone(&self.train);
        let make = |i: usize| train.augmented_batch(&batches[done + i], &cmvn, &augment, seed, number);
        prefetch(batches.len() - done, make, |_, batch| self.step(&batch, batches.len()))
    }

    fn step(&mut self, batch: &Batch, batches: usize) -> Result<ControlFlow<()>> {
        let config = &self.recipe.train;
        let state = &mut self.checkpoint.state;
        let epochs = (state.epoch - state.stage_began) as f64 + state.batch as f64 / batches as f64;
        let progress = epochs / config.epochs as f64;
        let share = config.schedule.share(state.step, config.warmup_steps, progress, state.falls);
        let rate = config.learning_rate * share;
        let mut dropout = Rng::stream(self.recipe.seed, "dropout", state.step + state.skipped);
        update(&mut self.learner, batch, rate, config, &mut dropout)?;
        state.batch += 1;
        state.step += 1;
        self.frames += batch.lengths.rows() * self.recipe.features.stack;
        // A GPU is asked now and then only: it would have to wait for the next batch.
        let (step, at_checkpoint) = (state.step, state.step.is_multiple_of(config.checkpoint_steps));
        let mut gradient_norm = None;
        if self.job.device.is_cpu() || step.is_multiple_of(LOG_STEPS) || at_checkpoint {
            gradient_norm = self.account()?;
        }
        let state = &self.checkpoint.state;
        let record = StepRecord {
            epoch: state.epoch + 1,
            batch: state.batch,
            batches,
            step: state.step,
            loss: state.loss / state.utterances.max(1) as f64,
            gradient_norm: gradient_norm.unwrap_or(f64::NAN),
            learning_rate: rate,
            frames_per_second: self.frames as f64 / self.started.elapsed().as_secs_f64().max(1e-9),
        };
        if gradient_norm.is_some() && record.step.is_multiple_of(LOG_STEPS) {
            self.log.write(&Record::Step(record.clone()), wall_seconds())?;
        }
        if gradient_norm.is_some() && at_checkpoint {
            self.save_checkpoint()?;
        }
        self.observer.event(&Event::Step(&record));
        Ok(if self.observer.stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// Takes what the updates did into the books; returns the norm of the last one's gradient, if it was applied.
    fn account(&mut self) -> Result<Option<f64>> {
        let mut norm = None;
        for done in self.learner.finished()? {
            let state = &mut self.checkpoint.state;
            norm = done.applied.then_some(done.gradient_norm);
            if done.applied {
                state.skipped_in_a_row = 0;
                state.loss += done.loss;
                state.utterances += done.utterances;
                continue;
            }
            // It was counted as a step when it began.
            state.step -= 1;
            (state.skipped, state.skipped_in_a_row) = (state.skipped + 1, state.skipped_in_a_row + 1);
            self.observer.event(&Event::Skipped { step: state.step, in_a_row: state.skipped_in_a_row });
            if state.skipped_in_a_row >= MOST_SKIPPED {
                return Err(Error::invalid(format!(
                    "training diverged: {MOST_SKIPPED} batches in a row without a finite loss; a lower train.learning_rate or train.clip_norm may help"
                )));
            }
        }
        Ok(norm)
    }

    /// What follows an epoch: the measurement, the schedule, the best model, the log.
    fn measure(&mut self) -> Result<()> {
        // What is measured is what will be saved, rounded as its file rounds it.
        self.synchronise()?;
        let mut model = self.model()?.as_stored()?;
        let network = if self.job.device.is_cpu() { None } else { Some(model.network.to_device(&self.job.device)?) };
        let seen = validate(network.as_ref().unwrap_or(&model.network), &self.dev, &model.cmvn, &self.phones)?;
        let (config, dev_per) = (&self.recipe.train, seen.score.per());
        let state = &mut self.checkpoint.state;
        let best = state.best.as_ref().is_none_or(|best| match config.criterion {
            Criterion::Per => dev_per < best.dev_per,
            // Without a finite loss it can hardly be worse.
            Criterion::Loss => best.dev_loss.is_none_or(|before| seen.loss < before),
        });
        let share = config.schedule.share(
            state.step,
            config.warmup_steps,
            (state.epoch + 1 - state.stage_began) as f64 / config.epochs as f64,
            state.falls,
        );
        let record = EpochRecord {
            epoch: state.epoch + 1,
            step: state.step,
            loss: state.loss / state.utterances.max(1) as f64,
            dev_loss: seen.loss,
            dev_per,
            blank_fraction: seen.blank_fraction,
            empty_fraction: seen.empty_fraction,
            learning_rate: config.learning_rate * share,
            skipped: state.skipped,
            best,
            seconds: self.seconds_before + self.started.elapsed().as_secs_f64(),
        };
        (state.epoch, state.batch, state.loss, state.utterances) = (record.epoch, 0, 0.0, 0);
        (state.stale, state.plateau) = if best { (0, 0) } else { (state.stale + 1, state.plateau + 1) };
        if config.schedule.falls_after(state.plateau) {
            (state.falls, state.plateau) = (state.falls + 1, 0);
        }
        if best {
            let dev_loss = Some(seen.loss).filter(|loss| loss.is_finite());
            state.best = Some(Best { epoch: record.epoch, dev_per, dev_loss });
        }
        if best {
            model.card = self.card();
            model.save(self.files.model())?;
        }
        self.log.write(&Record::Epoch(record.clone()), wall_seconds())?;
        self.observer.event(&Event::Epoch(&record));
        Ok(())
    }

    /// Whether the running stage has had its epochs, or has run out of patience.
    fn stage_ended(&self) -> bool {
        let (state, config) = (&self.checkpoint.state, &self.recipe.train);
        let epochs = state.epoch - state.stage_began;
        epochs >= config.epochs || (config.patience > 0 && state.stale >= config.patience)
    }

    /// Goes on with the next stage from the best model so far; without one, the run is finished.
    fn next_stage(&mut self) -> Result<()> {
        let state = &mut self.checkpoint.state;
        state.finished = state.stage >= self.checkpoint.recipe.stages.len();
        if state.finished {
            return Ok(());
        }
        state.stage += 1;
        (state.stage_began, state.stale, state.plateau, state.falls) = (state.epoch, 0, 0, 0);
        self.recipe = self.checkpoint.recipe.at_stage(state.stage)?;
        let model = Model::load(self.files.model())?;
        let params = model.network.params().to_device(&self.job.device)?;
        let network = Network::from_params(&self.recipe.model, params);
        let optimizer = OptimizerState::new(self.recipe.train.optimizer.clone());
        let averages = self.recipe.train.average_decay > 0.0;
        self.learner = Learner::new(network, optimizer, Average::default(), averages)?;
        self.observer.event(&Event::Stage { stage: self.checkpoint.state.stage, stages: self.recipe.stages.len() });
        Ok(())
    }

    /// The averaged weights if there are any, the running ones otherwise.
    fn measured_network(&self) -> Result<Network> {
        if self.checkpoint.average.is_empty() {
            return Ok(Network::from_params(&self.recipe.model, self.checkpoint.params.clone()));
        }
        let mut params = Params::default();
        for (name, var) in self.checkpoint.params.iter() {
            params.insert_vec(name, self.checkpoint.average[name].clone(), var.dims(), &Device::Cpu)?;
        }
        Ok(Network::from_params(&self.recipe.model, params))
    }

    /// The model as it stands, its card empty.
    fn model(&self) -> Result<Model> {
        Ok(Model {
            name: "model".to_owned(),
            network: self.measured_network()?,
            front: self.recipe.features.clone(),
            cmvn: self.checkpoint.cmvn.clone(),
            phones: self.phones.clone(),
            card: Card::default(),
            storage: self.recipe.train.storage,
        })
    }

    /// What is to be known of the model as it stands.
    fn card(&self) -> Card {
        let state = &self.checkpoint.state;
        let name = |dir: &PathBuf| {
            let dir = dir.canonicalize().unwrap_or_else(|_| dir.clone());
            dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
        };
        Card {
            created_by: format!("formant {}", env!("CARGO_PKG_VERSION")),
            description: self.recipe.description.clone(),
            licence: self.recipe.licence.clone(),
            begun_from: state.begun_from.clone(),
            trained_on: self.job.data.iter().map(|d| format!("{} {}", name(d), self.recipe.data.train)).collect(),
            utterances: self.train.len(),
            seconds_of_audio: self.train.seconds(),
            recipe: self.checkpoint.recipe.to_toml(),
            seed: self.recipe.seed,
            epochs: state.epoch,
            steps: state.step,
            dev_per: state.best.as_ref().map(|b| b.dev_per),
            measured: Vec::new(),
        }
    }

    /// Brings the checkpoint up to date with the learner.
    fn synchronise(&mut self) -> Result<()> {
        self.account()?;
        self.checkpoint.params = self.learner.synchronise()?;
        self.checkpoint.optimizer.clone_from(&self.learner.optimizer);
        self.checkpoint.average.clone_from(&self.learner.average);
        Ok(())
    }

    fn save_checkpoint(&mut self) -> Result<()> {
        self.synchronise()?;
        self.checkpoint.state.log_bytes = self.log.bytes();
        self.checkpoint.state.seconds = self.seconds_before + self.started.elapsed().as_secs_f64();
        self.checkpoint.save(&self.files.checkpoint())
    }
}

fn wall_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
