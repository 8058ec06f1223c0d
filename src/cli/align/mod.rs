//! `formant align`: a recording and what is said in it, to the times of words and phones.
#![forbid(unsafe_code)]

pub mod aligner;
mod record;

use super::annotate::{self, FileFormat};
use super::args::AlignArgs;
use super::inputs::Input;
use super::output::{self, Progress};
use super::{Outcome, device, load_model_on, use_threads};
use crate::audio::ReadOptions;
use crate::corpus::{Manifest, Utterance};
use crate::decode::DecoderConfig;
use crate::files;
use crate::parallel;
use crate::recognize::Recognizer;
use aligner::{Aligned, Aligner, lexicon, not_in_dictionary};
use anyhow::Context;
use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

/// Runs `formant align`.
pub fn run(args: &AlignArgs) -> anyhow::Result<Outcome> {
    use_threads(args.threads)?;
    let device = device::resolve(args.model.device)?;
    let model = load_model_on(args.model.model.as_deref(), &device)?;
    let lexicon = if args.phones { None } else { Some(lexicon(args.lexicon.as_deref(), &model)?) };
    let recognizer = Recognizer::with_precision(model, &DecoderConfig::Greedy, args.model.device.precision.into())?;
    let aligner = Aligner { recognizer: &recognizer, lexicon: lexicon.as_ref(), names: args.names.into() };
    match (&args.data, &args.split) {
        (Some(data), Some(split)) => aligner.corpus(args, &Manifest::open(data, split)?),
        _ => aligner.one(args),
    }
}

impl Aligner<'_> {
    fn one(&self, args: &AlignArgs) -> anyhow::Result<Outcome> {
        let audio = args.audio.as_deref().unwrap_or(Path::new("-"));
        let text = match (&args.text, &args.text_file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) => String::from_utf8(files::read(path)?)
                .map_err(|_| anyhow::anyhow!("{}: not UTF-8 text", output::path(path)))?,
            (None, None) => return Err(output::with_hint("no text to align", "it is the word after the recording")),
        };
        let format =
            args.format.or_else(|| args.out.as_deref().and_then(FileFormat::of)).unwrap_or(FileFormat::Textgrid);
        let wave = Input::named(audio).read(ReadOptions { channel: args.channel, sample_rate: None })?;
        let aligned = self.align(&wave, &text).with_context(|| output::path(audio))?;
        self.tell(audio, &aligned);
        let written = self.render(format, audio, &aligned)?;
        match &args.out {
            Some(path) => annotate::write(path, &written)?,
            None => output::data(written[0].1.as_bytes())?,
        }
        Ok(if aligned.is_suspect() { Outcome::Suspect } else { Outcome::Done })
    }

    /// Aligns a split, a file each in the folder `--out`, and prints a line each.
    fn corpus(&self, args: &AlignArgs, manifest: &Manifest) -> anyhow::Result<Outcome> {
        let format = args.format.unwrap_or(FileFormat::Textgrid);
        let folder = args
            .out
            .as_deref()
            .ok_or_else(|| output::with_hint("a corpus is aligned into a folder", "name it with --out"))?;
        fs::create_dir_all(folder).with_context(|| output::path(folder))?;
        let progress = Progress::counting(manifest.utterances.len(), "utterances");
        let targets = annotate::targets(manifest.utterances.iter().map(|u| Path::new(&u.id)), folder);
        let [mut fine, mut suspect, mut failed] = [0; 3];
        let mut unknown = BTreeSet::new();
        let mut stopped = None;
        parallel::in_order(
            manifest.utterances.len(),
            |n| self.utterance(&manifest.utterances[n], &targets[n], format),
            |n, result| {
                progress.set(n + 1);
                let id = output::path(Path::new(&manifest.utterances[n].id));
                let line = match result {
                    Ok(aligned) => {
                        let status = if aligned.is_suspect() { "suspect" } else { "ok" };
                        *(if aligned.is_suspect() { &mut suspect } else { &mut fine }) += 1;
                        unknown.extend(aligned.unknown().into_iter().map(str::to_lowercase));
                        let (words, phones) = (aligned.words.len(), aligned.alignment.phones.len());
                        let doubt = aligned.alignment.doubt();
                        format!("{status}\t{id}\t{words} words\t{phones} phones\tdoubt {doubt:.2}")
                    }
                    Err(error) => {
                        failed += 1;
                        format!("failed\t{id}\t{error:#}")
                    }
                };
                match progress.aside(|| output::line(line)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(error) => {
                        stopped = Some(error);
                        ControlFlow::Break(())
                    }
                }
            },
        )?;
        drop(progress);
        if let Some(error) = stopped {
            return Err(error);
        }
        let all = manifest.utterances.len();
        output::note(format!("{all} utterances: {fine} aligned, {suspect} suspect, {failed} failed"));
        if !unknown.is_empty() {
            output::warning(not_in_dictionary(&unknown.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        Ok(match (failed, suspect) {
            (1.., _) => Outcome::SomeFailed,
            (0, 1..) => Outcome::Suspect,
            _ => Outcome::Done,
        })
    }

    fn utterance(&self, utterance: &Utterance, target: &Path, format: FileFormat) -> anyhow::Result<Aligned> {
        let wave = utterance.load_as(ReadOptions::default())?;
        let text = if self.lexicon.is_some() { &utterance.text } else { &utterance.phones };
        let aligned = self.align(&wave, text)?;
        annotate::write_to(target, &self.render(format, &utterance.audio, &aligned)?)?;
        Ok(aligned)
    }

    /// The files of an alignment: the suffix and the content of each.
    fn render(
        &self,
        format: FileFormat,
        audio: &Path,
        aligned: &Aligned,
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        if format == FileFormat::Json {
            return Ok(vec![("json", serde_json::to_string(&self.record(audio, aligned))? + "\n")]);
        }
        Ok(annotate::render(format, &self.annotation(audio, aligned)))
    }
}
