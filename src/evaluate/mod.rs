//! A labelled corpus recognised, and the phone or word error rates that follow.
#![forbid(unsafe_code)]

mod results;

pub use results::Results;

use crate::corpus::{Manifest, Utterance};
use crate::decode::Hypothesis;
use crate::error::{Error, Result};
use crate::lexicon::{Lexicon, plain_words};
use crate::recognize::{Recognizer, StreamOptions, Transcript};
use crate::score::{Protocol, Report};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::Instant;

/// What an evaluation heard, and how fast. Rates are made of it by [`Evaluation::report`], under as many protocols as one
/// likes.
#[derive(Clone, Debug, Default)]
pub struct Evaluation {
    /// In the order of the manifest.
    pub utterances: Vec<Recognized>,
    /// Seconds of sound.
    pub seconds: f64,
    /// Seconds that one processor spent on recognition, from samples to phones; reading and decoding of the files are
    /// not in it.
    pub computing: f64,
    /// Sound that files promise and do not have, by utterance.
    pub warnings: Vec<String>,
}

/// One utterance: what should have been heard and what was, neither of them folded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recognized {
    /// The utterance's name in its corpus.
    pub id: String,
    /// Who speaks; empty if the corpus does not say.
    pub speaker: String,
    /// Its length.
    pub seconds: f64,
    /// Phones or words, separated by spaces.
    pub reference: String,
    /// The same.
    pub hypothesis: String,
    /// Start and end in seconds of each symbol of the hypothesis.
    pub times: Vec<(f64, f64)>,
}

impl Evaluation {
    /// Seconds of one processor's work by seconds of sound; 0 where there was no sound.
    pub fn real_time_factor(&self) -> f64 {
        if self.seconds > 0.0 { self.computing / self.seconds } else { 0.0 }
    }

    /// The errors under a protocol.
    pub fn report(&self, protocol: &Protocol) -> Report {
        report(&self.utterances, protocol)
    }
}

/// The errors in some utterances under a protocol.
pub fn report(utterances: &[Recognized], protocol: &Protocol) -> Report {
    let mut report = Report::new(protocol.convention);
    for utterance in utterances {
        let (reference, hypothesis) = (protocol.symbols(&utterance.reference), protocol.symbols(&utterance.hypothesis));
        report.add(&utterance.speaker, &reference, &hypothesis);
    }
    report
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub enum Compare<'a> {
    /// Phones with the labels.
    Phones,
    /// Words with those of the text, in lower case and without punctuation; the decoder looks for words of this dictionary.
    Words(&'a Lexicon),
}

impl Compare<'_> {
    fn reference(&self, utterance: &Utterance) -> String {
        match self {
            Self::Phones => utterance.phones.clone(),
            Self::Words(_) => plain_words(&utterance.text).join(" "),
        }
    }

    /// The symbols that were heard, and when.
    fn heard(&self, recognizer: &Recognizer, transcript: &Transcript) -> (String, Vec<(f64, f64)>) {
        let Hypothesis { phones, segments, words, .. } = transcript.best();
        match self {
            Self::Phones => {
                let times = segments.iter().map(|segment| transcript.times(segment)).collect();
                (recognizer.model().phones().decode(phones), times)
            }
            Self::Words(lexicon) => {
                let text: Vec<&str> = words.iter().map(|word| lexicon.word(word.word)).collect();
                let times = words.iter().map(|word| match &segments[word.phones.clone()] {
                    [first, .., last] => (transcript.times(first).0, transcript.times(last).1),
                    [only] => transcript.times(only),
                    [] => (0.0, 0.0),
                });
                (text.join(" "), times.collect())
            }
        }
    }
}

/// What one utterance gave.
struct Heard {
    utterance: Recognized,
    computing: f64,
    warnings: Vec<String>,
}

/// Recognises all utterances of `manifest`. `progress` is told how many are done. With `stream`, each recording is heard as
/// if it arrived just then. The result does not depend on the number of threads.
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
            evaluation.seconds += heard.utterance.seconds;
            evaluation.computing += heard.computing;
            evaluation.warnings.extend(heard.warnings);
            evaluation.utterances.push(heard.utterance);
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
    let transcript = match stream {
        Some(options) => recognizer.transcribe_as_stream(&wave, options)?,
        None => recognizer.transcribe(&wave)?,
    };
    let computing = start.elapsed().as_secs_f64();
    let warnings = wave.warnings().iter().map(|w| format!("{}: {w}", utterance.audio.display())).collect();
    let (hypothesis, times) = compare.heard(recognizer, &transcript);
    let utterance = Recognized {
        id: utterance.id.clone(),
        speaker: utterance.speaker.clone(),
        seconds: wave.seconds(),
        reference: compare.reference(utterance),
        hypothesis,
        times,
    };
    Ok(Heard { utterance, computing, warnings })
}
