//! The phone error rate of a recogniser on labelled recordings.
#![forbid(unsafe_code)]

use crate::corpus::{Manifest, Utterance};
use crate::error::{Error, Result};
use crate::phones::Folding;
use crate::recognize::Recognizer;
use crate::score::Report;
use std::ops::ControlFlow;
use std::time::Instant;

/// What an evaluation found.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// Error counts.
    pub report: Report,
    /// Seconds of sound.
    pub seconds: f64,
    /// Seconds that one processor spent on recognition, from samples to phones; reading and decoding of the files are
    /// not in it.
    pub computing: f64,
    /// Sound that files promise and do not have, by utterance.
    pub warnings: Vec<String>,
}

impl Evaluation {
    /// Seconds of one processor's work by seconds of sound; 0 where there was no sound.
    pub fn real_time_factor(&self) -> f64 {
        if self.seconds > 0.0 { self.computing / self.seconds } else { 0.0 }
    }
}

/// What one utterance gave.
struct Heard {
    phones: String,
    seconds: f64,
    computing: f64,
    warnings: Vec<String>,
}

/// Recognises all utterances of `manifest` and compares them with their labels, both sides folded. `progress` is told
/// how many are done. The counts do not depend on the number of threads.
///
/// # Errors
/// If the manifest is empty, or an utterance cannot be read: the first such one, and nothing is scored then.
pub fn evaluate(
    recognizer: &Recognizer,
    manifest: &Manifest,
    folding: &Folding,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Evaluation> {
    let utterances = &manifest.utterances;
    if utterances.is_empty() {
        return Err(Error::invalid(format!("{}: there are no utterances to evaluate", manifest.path.display())));
    }
    let mut evaluation = Evaluation::default();
    let mut failed = None;
    let take = |n: usize, heard: Result<Heard>| match heard {
        Ok(heard) => {
            add(&mut evaluation, &utterances[n], heard, folding);
            progress(n + 1);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    };
    crate::parallel::in_order(utterances.len(), |n| hear(recognizer, &utterances[n]), take)?;
    match failed {
        Some(error) => Err(error),
        None => Ok(evaluation),
    }
}

fn hear(recognizer: &Recognizer, utterance: &Utterance) -> Result<Heard> {
    let wave = utterance.load(recognizer.model().front().sample_rate)?;
    let start = Instant::now();
    let transcript = recognizer.transcribe(&wave)?;
    let computing = start.elapsed().as_secs_f64();
    let warnings = wave.warnings().iter().map(|w| format!("{}: {w}", utterance.audio.display())).collect();
    Ok(Heard {
        phones: recognizer.model().phones().decode(&transcript.best().phones),
        seconds: wave.seconds(),
        computing,
        warnings,
    })
}

fn add(evaluation: &mut Evaluation, utterance: &Utterance, heard: Heard, folding: &Folding) {
    let (reference, hypothesis) = (folding.fold_text(&utterance.phones), folding.fold_text(&heard.phones));
    evaluation.report.add(&utterance.speaker, &reference, &hypothesis);
    evaluation.seconds += heard.seconds;
    evaluation.computing += heard.computing;
    evaluation.warnings.extend(heard.warnings);
}
