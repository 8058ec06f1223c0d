//! `formant transcribe --stream`: what is heard while sound arrives, a line at a time.
#![forbid(unsafe_code)]

use super::Outcome;
use super::args::{Format, TranscribeArgs};
use super::output;
use super::said::Said;
use crate::audio::Live;
use crate::decode::Segment;
use crate::error::Error;
use crate::recognize::{Event, Recognizer, Utterance};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Listens to the one recording that is named.
pub fn run(args: &TranscribeArgs, recognizer: &Recognizer, said: &Said) -> anyhow::Result<Outcome> {
    let [path] = &args.files[..] else {
        return Err(output::with_hint("one stream can be heard at a time", "name one file, or - for standard input"));
    };
    if !matches!(args.format, Format::Text | Format::Json) || args.out.is_some() || args.nbest.is_some() {
        let hint = "leave --out and --nbest out, and --format but for text and json";
        return Err(output::with_hint("a stream is told as text or JSON on standard output", hint));
    }
    let standard = path == Path::new("-");
    let reader: Box<dyn Read> = if standard {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|e| Error::io(path, e))?)
    };
    let name = if standard { Path::new("<stdin>") } else { path };
    let mut live = match args.raw {
        Some(rate) => Live::raw(reader, name, rate),
        None => Live::wav(reader, name, args.channel)?,
    };
    let mut stream = recognizer.stream(live.sample_rate(), args.stream.options())?;
    let mut heard: u64 = 0;
    while let Some(samples) = live.next_samples()? {
        heard += samples.len() as u64;
        let seconds = heard as f64 / f64::from(live.sample_rate());
        for event in stream.push(&samples)? {
            tell(args.format, said, &event, seconds)?;
        }
    }
    let seconds = heard as f64 / f64::from(live.sample_rate());
    for event in stream.finish()? {
        tell(args.format, said, &event, seconds)?;
    }
    Ok(Outcome::Done)
}

/// Prints an event. `heard` is how much sound has arrived, in seconds.
fn tell(format: Format, said: &Said, event: &Event, heard: f64) -> anyhow::Result<()> {
    let (kind, utterance) = match event {
        Event::Partial(utterance) => ("partial", utterance),
        Event::Final(utterance) => ("final", utterance),
    };
    let Utterance { hypothesis, clock, end } = utterance;
    if format == Format::Text {
        return if kind == "final" { output::line(said.text(hypothesis)) } else { Ok(()) };
    }
    let at = |frame: usize| output::seconds(clock.at(frame));
    let segment = |segment: &Segment| {
        let (start, end, score) = (at(segment.start), at(segment.end), segment.score);
        Some(Heard { phone: said.phone(segment.phone)?, start, end, score })
    };
    output::json(&Record {
        kind,
        start: hypothesis.segments.first().map(|segment| at(segment.start)),
        end: hypothesis.segments.last().map(|segment| at(segment.end)),
        heard: output::seconds(heard),
        recognized: output::seconds(*end),
        phones: said.phones(hypothesis),
        words: said.lexicon.map(|_| said.text(hypothesis)),
        segments: (kind == "final").then(|| hypothesis.segments.iter().filter_map(segment).collect()),
    })
}

/// One line of `--format json`.
#[derive(Serialize)]
struct Record {
    #[serde(rename = "type")]
    kind: &'static str,
    start: Option<f64>,
    end: Option<f64>,
    /// How much sound had arrived.
    heard: f64,
    /// Up to where it is in the line.
    recognized: f64,
    phones: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
    /// Of an utterance that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<Heard>>,
}

#[derive(Serialize)]
struct Heard {
    phone: String,
    start: f64,
    end: f64,
    score: f32,
}
