//! `formant align`: a recording and what is said in it, to the times of words and phones.
#![forbid(unsafe_code)]

use super::annotate::{self, FileFormat};
use super::args::AlignArgs;
use super::inputs::Input;
use super::output::{self, Progress};
use super::{Outcome, audio_warnings, device, load_model_on, use_threads};
use crate::align::{AlignedPhone, Alignment, Heard};
use crate::annotation::{Annotation, Interval, Tier};
use crate::audio::{ReadOptions, Waveform};
use crate::corpus::{Manifest, Utterance};
use crate::decode::DecoderConfig;
use crate::files;
use crate::lexicon::{Lexicon, Word};
use crate::model::Model;
use crate::parallel;
use crate::phones::{Names, PhoneId};
use crate::recognize::Recognizer;
use anyhow::Context;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

/// Above this doubt (see [`Alignment::doubt`]) the text is hardly what was said. On development sets the texts of other
/// recordings of the set had 3.6 and more, the right ones 3.9 at most.
const DOUBTFUL: f32 = 4.0;
/// Words without pronunciation that are named.
const NAMED: usize = 8;

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

/// The dictionary given, with the built-in one behind it.
fn lexicon(path: Option<&Path>, model: &Model) -> anyhow::Result<Lexicon> {
    let built_in = Lexicon::cmudict(model.phones());
    let lexicon = match path {
        Some(path) => Lexicon::read(path, model.phones())?.or(&built_in),
        None => built_in,
    };
    if lexicon.is_empty() {
        let hint = "give one with --lexicon, or phones with --phones";
        return Err(output::with_hint(format!("no dictionary fits the phones of {:?}", model.name()), hint));
    }
    Ok(lexicon)
}

struct Aligner<'a> {
    recognizer: &'a Recognizer,
    /// None where texts are phones.
    lexicon: Option<&'a Lexicon>,
    names: Names,
}

/// A recording and its text, aligned.
struct Aligned {
    words: Vec<Word>,
    alignment: Alignment,
    seconds: f64,
    sample_rate: u32,
    warnings: Vec<String>,
}

impl Aligned {
    /// Words that no dictionary has.
    fn unknown(&self) -> Vec<&str> {
        let unknown = self.words.iter().filter(|word| word.pronunciations.is_empty());
        unknown.map(|word| word.text.as_str()).collect()
    }

    fn is_suspect(&self) -> bool {
        self.alignment.doubt() > DOUBTFUL || !self.warnings.is_empty()
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

    fn align(&self, wave: &Waveform, text: &str) -> anyhow::Result<Aligned> {
        let phones = self.recognizer.model().phones();
        let (words, alignment) = match self.lexicon {
            Some(lexicon) => {
                let words = lexicon.words(text);
                let alignment = self.recognizer.align_words(wave, &words)?;
                (words, alignment)
            }
            None => (Vec::new(), self.recognizer.align(wave, &phones.encode(text)?)?),
        };
        anyhow::ensure!(!alignment.words.is_empty(), "there is no word to align");
        let warnings = wave.warnings().to_vec();
        Ok(Aligned { words, alignment, seconds: wave.seconds(), sample_rate: wave.sample_rate(), warnings })
    }

    /// Says what the user should know of an alignment.
    fn tell(&self, audio: &Path, aligned: &Aligned) {
        audio_warnings(audio, &aligned.warnings);
        let unknown = aligned.unknown();
        if !unknown.is_empty() {
            output::warning(not_in_dictionary(&unknown));
        }
        if aligned.alignment.doubt() > DOUBTFUL {
            output::warning(format!("{}: this is hardly what is said there", output::path(audio)));
        }
    }

    fn symbol(&self, phone: PhoneId) -> String {
        match phone {
            PhoneId::BLANK => "spn".to_owned(),
            phone => self.names.name(self.recognizer.model().phones().symbol(phone)),
        }
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

    fn annotation(&self, audio: &Path, Aligned { words, alignment, seconds, sample_rate, .. }: &Aligned) -> Annotation {
        let word = |(n, word): (usize, &Word)| {
            let (start, end) = alignment.word_times(n)?;
            let confidence = alignment.word_score(n).map(|score| score / 100.0);
            Some(Interval { start, end, text: word.text.clone(), confidence })
        };
        let phones = alignment.phones.iter().map(|phone| Interval {
            start: phone.start,
            end: phone.end,
            text: self.symbol(phone.phone),
            confidence: Some(phone.pronunciation.score() / 100.0),
        });
        let tier = |name: &str, intervals| Tier { name: name.to_owned(), intervals };
        let mut tiers = vec![tier("phones", phones.collect())];
        if self.lexicon.is_some() {
            tiers.insert(0, tier("words", words.iter().enumerate().filter_map(word).collect()));
        }
        let recording =
            audio.file_name().map_or_else(|| "stdin".to_owned(), |name| name.to_string_lossy().into_owned());
        Annotation { recording, seconds: *seconds, sample_rate: *sample_rate, tiers }
    }

    fn record<'a>(&'a self, audio: &Path, aligned: &'a Aligned) -> Record<'a> {
        let Aligned { words, alignment, seconds, warnings, .. } = aligned;
        let word = |(n, word): (usize, &'a Word)| {
            let (start, end) = alignment.word_times(n)?;
            Some(WordRecord {
                word: &word.text,
                start: output::seconds(start),
                end: output::seconds(end),
                score: tenth(alignment.word_score(n)?),
                known: !word.pronunciations.is_empty(),
                phones: [alignment.words[n].start, alignment.words[n].end],
            })
        };
        let shift = self.recognizer.model().frame_shift();
        let phone = |phone: &AlignedPhone| PhoneRecord {
            phone: self.symbol(phone.phone),
            start: output::seconds(phone.start),
            end: output::seconds(phone.end),
            written: [phone.frames.start, phone.frames.end].map(|frame| output::seconds(frame as f64 * shift)),
            score: tenth(phone.pronunciation.score()),
            heard: match phone.pronunciation.heard {
                Heard::Same => self.symbol(phone.phone),
                Heard::Other(other) => self.symbol(other),
                Heard::Nothing => String::new(),
            },
            inserted: phone.pronunciation.inserted.map(|phone| self.symbol(phone)),
        };
        Record {
            file: audio.to_string_lossy().into_owned(),
            model: self.recognizer.model().name(),
            seconds: output::seconds(*seconds),
            doubt: f64::from((alignment.doubt() * 1000.0).round()) / 1000.0,
            suspect: aligned.is_suspect(),
            words: self.lexicon.map(|_| words.iter().enumerate().filter_map(word).collect()),
            phones: alignment.phones.iter().map(phone).collect(),
            warnings,
        }
    }
}

fn tenth(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}

fn not_in_dictionary(words: &[&str]) -> String {
    let named = words.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if words.len() > NAMED { format!(" and {} more", words.len() - NAMED) } else { String::new() };
    format!("not in the dictionary, so said with any phones: {named}{more}; --lexicon can add them")
}

/// `--format json`.
#[derive(Serialize)]
struct Record<'a> {
    file: String,
    model: &'a str,
    seconds: f64,
    doubt: f64,
    suspect: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<WordRecord<'a>>>,
    phones: Vec<PhoneRecord>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct WordRecord<'a> {
    word: &'a str,
    start: f64,
    end: f64,
    score: f64,
    known: bool,
    /// First, and one past the last, of its phones.
    phones: [usize; 2],
}

#[derive(Serialize)]
struct PhoneRecord {
    phone: String,
    start: f64,
    end: f64,
    /// Where CTC wrote it: begin and end of its frames.
    written: [f64; 2],
    score: f64,
    /// What was said; empty if it was left out.
    heard: String,
    /// What was said before it without belonging there.
    #[serde(skip_serializing_if = "Option::is_none")]
    inserted: Option<String>,
}
