//! The phone or word error rate of a recogniser on labelled recordings.
#![forbid(unsafe_code)]

use crate::corpus::{Manifest, Utterance};
use crate::decode::Hypothesis;
use crate::error::{Error, Result};
use crate::lexicon::{Lexicon, plain_words};
use crate::model::Model;
use crate::phones::Folding;
use crate::recognize::{Recognizer, StreamOptions};
use crate::score::Report;
use std::borrow::Cow;
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

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub enum Compare<'a> {
    /// Phones with the labels, both sides folded.
    Phones(&'a Folding),
    /// Words with those of the text, in lower case and without punctuation; the decoder looks for words of this dictionary.
    Words(&'a Lexicon),
}

impl Compare<'_> {
    fn reference<'u>(&'u self, utterance: &'u Utterance) -> Vec<Cow<'u, str>> {
        match self {
            Self::Phones(folding) => folding.fold_text(&utterance.phones).into_iter().map(Cow::from).collect(),
            Self::Words(_) => plain_words(&utterance.text).into_iter().map(Cow::from).collect(),
        }
    }

    fn hypothesis(&self, model: &Model, heard: &Hypothesis) -> Vec<String> {
        match self {
            Self::Phones(folding) => {
                let symbols = heard.phones.iter().filter_map(|phone| folding.fold(model.phones().symbol(*phone)));
                symbols.map(str::to_owned).collect()
            }
            Self::Words(lexicon) => heard.words.iter().map(|word| lexicon.word(word.word).to_owned()).collect(),
        }
    }
}

/// What one utterance gave.
struct Heard {
    symbols: Vec<String>,
    seconds: f64,
    computing: f64,
    warnings: Vec<String>,
}

/// Recognises all utterances of `manifest` and compares them with their transcripts. `progress` is told how many are done. With
/// `stream`, each recording is heard as if it arrived just then. The counts do not depend on the number of threads.
///
/// # Errors
/// If the manifest is empty, or an utterance cannot be read: the first such one, and nothing is scored then.
pub fn evaluate(
    recognizer: &Recognizer,
    manifest: &Manifest,
    compare: Compare<'_>,
    stream: Option<StreamOptions>,
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
            add(&mut evaluation, &utterances[n], heard, compare);
            progress(n + 1);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    };
    crate::parallel::in_order(utterances.len(), |n| hear(recognizer, &utterances[n], compare, stream), take)?;
    match failed {
        Some(error) => Err(error),
        None => Ok(evaluation),
    }
}

fn hear(
    recognizer: &Recognizer,
    utterance: &Utterance,
    compare: Compare<'_>,
    stream: Option<StreamOptions>,
) -> Result<Heard> {
    let wave = utterance.load(recognizer.model().front().sample_rate)?;
    let start = Instant::now();
    let heard = match stream {
        Some(options) => recognizer.transcribe_as_stream(&wave, options)?,
        None => recognizer.transcribe(&wave)?.hypotheses.swap_remove(0),
    };
    let computing = start.elapsed().as_secs_f64();
    let warnings = wave.warnings().iter().map(|w| format!("{}: {w}", utterance.audio.display())).collect();
    Ok(Heard { symbols: compare.hypothesis(recognizer.model(), &heard), seconds: wave.seconds(), computing, warnings })
}

fn add(evaluation: &mut Evaluation, utterance: &Utterance, heard: Heard, compare: Compare<'_>) {
    let reference = compare.reference(utterance);
    let reference: Vec<&str> = reference.iter().map(Cow::as_ref).collect();
    let hypothesis: Vec<&str> = heard.symbols.iter().map(String::as_str).collect();
    evaluation.report.add(&utterance.speaker, &reference, &hypothesis);
    evaluation.seconds += heard.seconds;
    evaluation.computing += heard.computing;
    evaluation.warnings.extend(heard.warnings);
}
