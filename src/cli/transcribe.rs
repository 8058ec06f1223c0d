//! `formant transcribe`: recordings to lines of phones, in the order of the files.
//!
//! Short files run side by side, each on one thread. A long one runs alone on all threads, so that the memory of a run
//! is that of its longest file and not of as many as there are threads.
#![forbid(unsafe_code)]

use super::args::{Format, TranscribeArgs};
use super::inputs::{Input, Inputs};
use super::output::{self, Progress};
use super::{Outcome, audio_warnings, device, load_model_on, use_threads};
use crate::audio::{self, ReadOptions, Waveform};
use crate::decode::{DecoderConfig, Hypothesis, Segment};
use crate::parallel;
use crate::phones::Folding;
use crate::recognize::{Recognizer, Transcript};
use serde::Serialize;
use std::ops::ControlFlow;

/// Files from this size on run alone. Speech at 30 kbit/s, about the least there is, lasts 18 minutes then.
const LONG: u64 = 4 << 20;

/// Runs `formant transcribe`.
pub fn run(args: &TranscribeArgs) -> anyhow::Result<Outcome> {
    let decoder = args.decoder.config()?;
    use_threads(args.threads)?;
    let device = device::resolve(args.model.device)?;
    let inputs = Inputs::find(&args.files)?;
    let model = load_model_on(args.model.model.as_deref(), &device)?;
    let recognizer = Recognizer::with_precision(model, &decoder, args.model.device.precision.into())?;
    let folding = Folding::named(&args.fold)?;
    let names = inputs.all.len() > 1 || args.files.len() > 1 || inputs.all.iter().any(|input| input.found);
    let writer = Writer { args, names, recognizer: &recognizer, folding: &folding, decoder: &decoder };
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
    /// Its line, and what is wrong with the recording.
    Line(String, Vec<String>),
    /// Not a recording, and nobody said it was.
    Foreign,
    Failed(anyhow::Error),
}

struct Writer<'a> {
    args: &'a TranscribeArgs,
    /// Whether lines of text begin with the path.
    names: bool,
    recognizer: &'a Recognizer,
    folding: &'a Folding,
    decoder: &'a DecoderConfig,
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
        match self.line(input, &wave, &transcript) {
            Ok(line) => Heard::Line(line, wave.warnings().to_vec()),
            Err(error) => Heard::Failed(error),
        }
    }

    /// Prints what was heard and counts it. Only standard output can fail here.
    fn take(&self, input: &Input, heard: Heard, progress: &Progress, tally: &mut Tally) -> anyhow::Result<()> {
        progress.aside(|| match heard {
            Heard::Line(line, warnings) => {
                tally.done += 1;
                tally.suspect += usize::from(!warnings.is_empty());
                audio_warnings(&input.path, &warnings);
                output::line(line)
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

    fn line(&self, input: &Input, wave: &Waveform, transcript: &Transcript) -> anyhow::Result<String> {
        let model = self.recognizer.model();
        let best = transcript.best();
        let symbols = model.phones().decode(&best.phones);
        let phones = self.folding.fold_text(&symbols).join(" ");
        match self.args.format {
            Format::Text if self.names => Ok(format!("{}\t{phones}", output::path(&input.path))),
            Format::Text => Ok(phones),
            Format::Json => Ok(serde_json::to_string(&Record {
                file: &input.path.to_string_lossy(),
                model: model.name(),
                decoder: self.decoder,
                seconds: output::seconds(transcript.seconds),
                phones: &phones,
                score: best.score,
                segments: self.segments(best, transcript),
                warnings: wave.warnings(),
            })?),
        }
    }

    /// Segments in seconds, without those of phones that the folding drops.
    fn segments<'s>(&'s self, best: &Hypothesis, transcript: &Transcript) -> Vec<SegmentRecord<'s>> {
        let phones = self.recognizer.model().phones();
        let record = |segment: &Segment| {
            let phone = self.folding.fold(phones.symbol(segment.phone))?;
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
    decoder: &'a DecoderConfig,
    seconds: f64,
    phones: &'a str,
    score: f32,
    segments: Vec<SegmentRecord<'a>>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct SegmentRecord<'a> {
    phone: &'a str,
    start: f64,
    end: f64,
    score: f32,
}
