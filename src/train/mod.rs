//! Training: the recipe, the loop, checkpoints, the log.
#![forbid(unsafe_code)]

mod checkpoint;
mod events;
mod expected;
mod folder;
mod metrics;
mod prepare;
mod recipe;
mod run;
mod schedule;
mod start;
mod step;
mod validate;

pub use checkpoint::{Average, Best, Checkpoint, State};
pub use events::EventWriter;
pub use expected::expected_errors;
pub use folder::holds_a_run;
pub use metrics::{EpochRecord, Log, Record, StepRecord};
pub use prepare::Job;
pub use recipe::{Criterion, DataConfig, ExpectedErrors, Recipe, Stage, TrainConfig};
pub use run::{Summary, train};
pub use schedule::Schedule;
pub use step::{Learner, Update, update};
pub use validate::{Validation, validate};

use crate::corpus::LeftOut;

/// What happens in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A split is being looked through.
    Survey {
        /// Utterances looked at.
        done: usize,
        /// Utterances it has.
        of: usize,
    },
    /// An utterance will not be used.
    LeftOut(&'a LeftOut),
    /// A batch is done.
    Step(&'a StepRecord),
    /// A batch was left out because its loss or gradient was not finite.
    Skipped {
        /// Updates made so far.
        step: u64,
        /// Batches left out one after the other just now.
        in_a_row: u64,
    },
    /// An epoch is done and measured.
    Epoch(&'a EpochRecord),
    /// A further stage begins, from the best model so far.
    Stage {
        /// Which one, counted from 0, the run's beginning.
        stage: usize,
        /// How many follow the beginning.
        stages: usize,
    },
}

/// Somebody who watches a run.
pub trait Observer {
    /// Is told what happens.
    fn event(&mut self, event: &Event<'_>);

    /// Asked after every batch: whether to save and stop.
    fn stop(&self) -> bool {
        false
    }
}

/// Watches nothing.
impl Observer for () {
    fn event(&mut self, _: &Event<'_>) {}
}
