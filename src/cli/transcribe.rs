//! `formant transcribe`: recordings to lines of phones, in the order of the files.
//!
//! Short files run side by side, each on one thread. A long one runs alone on all threads, so that the memory of a run
//! is that of its longest file and not of as many as there are threads.
#![forbid(unsafe_code)]

use super::annotate;
use super::args::{Format, TranscribeArgs};
use super::decoding::Decoding;
use super::inputs::{Input, Inputs};
use super::listen;
use super::output::{self, Progress};
use super::said::Said;
use super::{Outcome, audio_warnings, device, load_model_on, use_threads};
use crate::annotation::{Annotation, Interval, Tier};
use crate::audio::{self, ActivityOptions, ReadOptions, Waveform};
use crate::decode::{DecoderConfig, HeardWord, Hypothesis, Segment};
use crate::parallel;
use crate::phones::Folding;
use crate::recognize::{Recognizer, Transcript};
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Files from this size on run alone. Speech at 30 kbit/s, about the least there is, lasts 18 minutes then.
const LONG: u64 = 4 << 20;

/// Runs `formant transcribe`.
pub fn run(args: &TranscribeArgs) -> anyhow::Result<Outcome> {
    let decoding = args.decoder.plan()?;
    if args.nbest.is_some() && (args.format != Format::Json || decoding == Decoding::Greedy) {
        let hint = "add --format json and --beam N";
        return Err(output::with_hint("--nbest is for JSON and for beam search", hint));
    }
    use_threads(args.threads)?;
    let device = device::resolve(args.model.device)?;
    let inputs = Inputs::find(&args.files)?;
    let model = load_model_on(args.model.model.as_deref(), &device)?;
    let (decoder, lexicon) = decoding.build(model.phones())?;
    let precision = args.model.device.precision.into();
    let mut recognizer = Recognizer::with_precision(model, &DecoderConfig::Greedy, precision)?
        .with_decoder(decoder)
        .with_hypotheses(args.nbest.unwrap_or(1).into());
    if args.vad {
        recognizer = recognizer.with_activity(ActivityOptions::default());
    }
    let folding = Folding::named(&args.fold)?;
    let paths = inputs.all.len() > 1 || args.files.len() > 1 || inputs.all.iter().any(|input| input.found);
    let phones = recognizer.model().phones();
    let said = Said { phones, lexicon: lexicon.as_ref(), folding: &folding, names: args.phones.into() };
    if args.stream.stream {
        return listen::run(args, &recognizer, &said);
    }
    let targets = targets(args, &inputs.all)?;
    let writer = Writer { args, paths, said, targets, recognizer: &recognizer, decoding: &decoding };
    let mut tally = Tally { failed: inputs.errors.len(), ..Tally::default() };
    for error in inputs.errors {
        output::error(&error.into());
    }
    writer.all(&inputs.all, &mut tally)?;
    if tally.foreign > 0 {
        output::note(format!("{} files in folders are no recordings and were left out", tally.foreign));
    }
    if tally.done + tally.failed == 0 {
        return Err(output::with_hint(
            "no recordings found",
            "files are recognised by content; hidden ones are left out",
        ));
    }
    Ok(tally.outcome())
}

/// The file of each recording, if there is to be one.
fn targets(args: &TranscribeArgs, inputs: &[Input]) -> anyhow::Result<BTreeMap<PathBuf, PathBuf>> {
    let Some(folder) = &args.out else {
        let several = inputs.len() > 1 && !matches!(args.format, Format::Text | Format::Json | Format::Ctm);
        if several {
            return Err(output::with_hint(
                "several recordings do not fit into one file of this format",
                "--out DIR makes a file of each",
            ));
        }
        return Ok(BTreeMap::new());
    };
    fs::create_dir_all(folder).with_context(|| output::path(folder))?;
    let targets = annotate::targets(inputs.iter().map(|input| input.below.as_path()), folder);
    Ok(inputs.iter().map(|input| input.path.clone()).zip(targets).collect())
}

/// How many files had which end.
#[derive(Default)]
struct Tally {
    done: usize,
    failed: usize,
    suspect: usize,
    foreign: usize,
}

impl Tally {
    fn outcome(&self) -> Outcome {
        match self {
            Self { failed: 1.., .. } => Outcome::SomeFailed,
            Self { suspect: 1.., .. } => Outcome::Suspect,
            _ => Outcome::Done,
        }
    }
}

/// What became of one file.
enum Heard {
    /// What is to be written, a file or several with their suffixes, and what is wrong with the recording.
    Written(Vec<(&'static str, String)>, Vec<String>),
    /// Not a recording, and nobody said it was.
    Foreign,
    Failed(anyhow::Error),
}

struct Writer<'a> {
    args: &'a TranscribeArgs,
    /// Whether lines of text begin with the path.
    paths: bool,
    said: Said<'a>,
    /// By recording, the file to write, without a suffix; empty if all goes to standard output.
    targets: BTreeMap<PathBuf, PathBuf>,
    recognizer: &'a Recognizer,
    decoding: &'a Decoding,
}

impl Writer<'_> {
    fn all(&self, inputs: &[Input], tally: &mut Tally) -> anyhow::Result<()> {
        let progress = match inputs {
            [] => Progress::hidden(),
            [one] if one.bytes < LONG => Progress::hidden(),
            [one] => Progress::waiting(&format!("listening to {}", output::path(&one.path))),
            _ => Progress::counting(inputs.len(), "files"),
        };
        let mut first = 0;
        for group in inputs.chunk_by(|a, b| !alone(a) && !alone(b)) {
            if let [one] = group {
                self.take(one, self.hear(one), &progress, tally)?;
            } else {
                self.side_by_side(group, first, &progress, tally)?;
            }
            first += group.len();
            progress.set(first);
        }
        Ok(())
    }

    fn side_by_side(
        &self,
        group: &[Input],
        first: usize,
        progress: &Progress,
        tally: &mut Tally,
    ) -> anyhow::Result<()> {
        let mut stopped = None;
        parallel::in_order(
            group.len(),
            |n| self.hear(&group[n]),
            |n, heard| {
                progress.set(first + n + 1);
                match self.take(&group[n], heard, progress, tally) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        stopped = Some(error);
                        ControlFlow::Break(())
                    }
                }
            },
        )?;
        stopped.map_or(Ok(()), Err)
    }

    /// Sound is read at the model's own rate: a long recording then takes no more memory than it must.
    fn options(&self) -> ReadOptions {
        let sample_rate = Some(self.recognizer.model().front().sample_rate);
        ReadOptions { channel: self.args.channel, sample_rate }
    }

    /// Recognises one file. A failure is this file's own.
    fn hear(&self, input: &Input) -> Heard {
        let wave = match input.read(self.options()) {
            Ok(wave) => wave,
            Err(error) if input.found && audio::is_foreign(&error) => return Heard::Foreign,
            Err(error) => return Heard::Failed(error.into()),
        };
        let transcript = match self.recognizer.transcribe(&wave) {
            Ok(transcript) => transcript,
            Err(error) => {
                return Heard::Failed(anyhow::Error::from(error).context(output::path(&input.path)));
            }
        };
        match self.written(input, &wave, &transcript) {
            Ok(written) => Heard::Written(written, wave.warnings().to_vec()),
            Err(error) => Heard::Failed(error),
        }
    }

    /// Prints what was heard and counts it. Only standard output can fail here.
    fn take(&self, input: &Input, heard: Heard, progress: &Progress, tally: &mut Tally) -> anyhow::Result<()> {
        progress.aside(|| match heard {
            Heard::Written(written, warnings) => {
                tally.done += 1;
                tally.suspect += usize::from(!warnings.is_empty());
                audio_warnings(&input.path, &warnings);
                match self.targets.get(&input.path) {
                    Some(target) => annotate::write_to(target, &written),
                    None => written.iter().try_for_each(|(_, content)| output::data(content.as_bytes())),
                }
            }
            Heard::Foreign => {
                tally.foreign += 1;
                Ok(())
            }
            Heard::Failed(error) => {
                tally.failed += 1;
                output::error(&error);
                Ok(())
            }
        })
    }

    /// The file or files of one recording: the suffix and the content of each.
    fn written(
        &self,
        input: &Input,
        wave: &Waveform,
        transcript: &Transcript,
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        let model = self.recognizer.model();
        let best = transcript.best();
        let words = self.said.lexicon.map(|_| self.words(best, transcript));
        let said = self.said.text(best);
        let with_path = self.paths && self.args.out.is_none();
        Ok(match (self.args.format, self.args.format.file()) {
            (_, Some(format)) => annotate::render(format, &self.annotation(input, wave, transcript)),
            (Format::Json, _) => {
                let record = Record {
                    file: &input.path.to_string_lossy(),
                    model: model.name(),
                    decoder: self.decoding,
                    seconds: output::seconds(transcript.clock.seconds),
                    phones: &self.said.phones(best),
                    score: best.score,
                    words,
                    segments: self.segments(best, transcript),
                    hypotheses: self.args.nbest.map(|n| self.nbest(transcript, n.into())),
                    warnings: wave.warnings(),
                };
                vec![("json", serde_json::to_string(&record)? + "\n")]
            }
            _ if with_path => vec![("txt", format!("{}\t{said}\n", output::path(&input.path)))],
            _ => vec![("txt", format!("{said}\n"))],
        })
    }

    /// The words of a hypothesis and their times; none where no words are looked for.
    fn words(&self, hypothesis: &Hypothesis, transcript: &Transcript) -> Vec<WordRecord> {
        let record = |word: &HeardWord| {
            let segments = &hypothesis.segments[word.phones.clone()];
            let (start, _) = transcript.times(segments.first()?);
            let (_, end) = transcript.times(segments.last()?);
            let word = self.said.word(word.word).to_owned();
            Some(WordRecord { word, start: output::seconds(start), end: output::seconds(end) })
        };
        hypothesis.words.iter().filter_map(record).collect()
    }

    fn nbest(&self, transcript: &Transcript, most: usize) -> Vec<HypothesisRecord> {
        let record = |hypothesis: &Hypothesis| HypothesisRecord {
            score: hypothesis.score,
            phones: self.said.phones(hypothesis),
            words: self.said.lexicon.map(|_| self.said.text(hypothesis)),
        };
        transcript.hypotheses.iter().take(most).map(record).collect()
    }

    fn annotation(&self, input: &Input, wave: &Waveform, transcript: &Transcript) -> Annotation {
        let interval = |segment: SegmentRecord| Interval {
            start: segment.start,
            end: segment.end,
            text: segment.phone,
            confidence: Some(f64::from(segment.score).exp()),
        };
        let tier = |name: &str, intervals| Tier { name: name.to_owned(), intervals };
        let mut tiers =
            vec![tier("phones", self.segments(transcript.best(), transcript).into_iter().map(interval).collect())];
        if self.said.lexicon.is_some() {
            let interval = |WordRecord { word, start, end }| Interval { start, end, text: word, confidence: None };
            let words = self.words(transcript.best(), transcript).into_iter().map(interval).collect();
            tiers.insert(0, tier("words", words));
        }
        Annotation {
            recording: input.below.to_string_lossy().into_owned(),
            seconds: wave.seconds(),
            sample_rate: wave.sample_rate(),
            tiers,
        }
    }

    /// Segments in seconds, without those of phones that the folding drops.
    fn segments(&self, best: &Hypothesis, transcript: &Transcript) -> Vec<SegmentRecord> {
        let record = |segment: &Segment| {
            let phone = self.said.phone(segment.phone)?;
            let (start, end) = transcript.times(segment);
            let (start, end) = (output::seconds(start), output::seconds(end));
            Some(SegmentRecord { phone, start, end, score: segment.score })
        };
        best.segments.iter().filter_map(record).collect()
    }
}

/// Whether a file runs alone: a long one, or one whose length cannot be known.
fn alone(input: &Input) -> bool {
    input.bytes >= LONG || input.is_standard()
}

/// One line of `--format json`.
#[derive(Serialize)]
struct Record<'a> {
    file: &'a str,
    model: &'a str,
    decoder: &'a Decoding,
    seconds: f64,
    phones: &'a str,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<WordRecord>>,
    segments: Vec<SegmentRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hypotheses: Option<Vec<HypothesisRecord>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct WordRecord {
    word: String,
    start: f64,
    end: f64,
}

#[derive(Serialize)]
struct HypothesisRecord {
    score: f32,
    phones: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

#[derive(Serialize)]
struct SegmentRecord {
    phone: String,
    start: f64,
    end: f64,
    score: f32,
}
