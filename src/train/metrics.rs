//! The log of a run: one JSON object a line in `metrics.jsonl`, and the same numbers for TensorBoard.
#![forbid(unsafe_code)]

use super::events::EventWriter;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Where training stands within an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The running epoch, from 1.
    pub epoch: u64,
    /// Batches of it that are done, and that it has.
    pub batch: usize,
    /// See `batch`.
    pub batches: usize,
    /// Updates made in all.
    pub step: u64,
    /// Mean loss of the epoch's utterances so far, in nats.
    pub loss: f64,
    /// Norm of the last gradient, before clipping.
    pub gradient_norm: f64,
    /// Learning rate.
    pub learning_rate: f32,
    /// Frames of sound a second since the start of this process, before stacking.
    pub frames_per_second: f64,
}

/// What an epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Which one, from 1.
    pub epoch: u64,
    /// Updates made in all.
    pub step: u64,
    /// Mean loss of an utterance while training, in nats.
    pub loss: f64,
    /// Mean loss of a dev utterance.
    pub dev_loss: f64,
    /// PER on the dev split, percent.
    pub dev_per: f64,
    /// Share of the dev frames whose best class is the blank.
    pub blank_fraction: f64,
    /// Share of the dev utterances for which no phone at all was written.
    pub empty_fraction: f64,
    /// Learning rate at the end of the epoch.
    pub learning_rate: f32,
    /// Batches left out so far because their loss or gradient was not finite.
    pub skipped: u64,
    /// Whether this is the best epoch so far.
    pub best: bool,
    /// Seconds since the run was started, pauses left out.
    pub seconds: f64,
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Record {
    /// Every so many updates.
    Step(StepRecord),
    /// After every epoch.
    Epoch(EpochRecord),
}

/// Writes the log.
pub struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    events: EventWriter,
}

impl Log {
    /// Opens the log in `folder` and cuts it to the `bytes` that belong to the state that the run goes on from.
    pub fn open(folder: &Path, bytes: u64) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let io = |e| Error::io(&path, e);
        let mut file = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(io)?;
        let bytes = bytes.min(file.metadata().map_err(io)?.len());
        file.set_len(bytes).map_err(io)?;
        file.seek(SeekFrom::Start(bytes)).map_err(io)?;
        let events = EventWriter::create(&folder.join("tensorboard"))?;
        Ok(Self { path, file, bytes, events })
    }

    /// Length so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a line.
    pub fn write(&mut self, record: &Record, wall_seconds: f64) -> Result<()> {
        let io = |e| Error::io(&self.path, e);
        let mut line = serde_json::to_string(record).map_err(|e| Error::invalid(e.to_string()))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(io)?;
        self.bytes += line.len() as u64;
        match record {
            Record::Step(r) => self.events.scalars(
                r.step,
                wall_seconds,
                &[
                    ("train/loss", r.loss as f32),
                    ("train/gradient_norm", r.gradient_norm as f32),
                    ("train/learning_rate", r.learning_rate),
                ],
            ),
            Record::Epoch(r) => {
                self.events.scalars(
                    r.step,
                    wall_seconds,
                    &[
                        ("dev/loss", r.dev_loss as f32),
                        ("dev/per", r.dev_per as f32),
                        ("dev/blank_fraction", r.blank_fraction as f32),
                    ],
                )?;
                // Whoever watches sees the epoch now, and a run that is killed later keeps it.
                self.events.flush()
            }
        }
    }

    /// All epochs in the log of the run in `folder`.
    pub fn epochs(folder: &Path) -> Result<Vec<EpochRecord>> {
        let path = folder.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let mut epochs = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let record = serde_json::from_str(line).map_err(|e| Error::table(&path, n + 1, e.to_string()))?;
            if let Record::Epoch(epoch) = record {
                epochs.push(epoch);
            }
        }
        Ok(epochs)
    }
}
