//! `formant export`: a corpus with its labels and their times in the layout that other programs read.
#![forbid(unsafe_code)]

use super::align::aligner::{Aligned, Aligner, lexicon};
use super::args::{ExportArgs, Layout};
use super::output::{self, Progress};
use super::{Outcome, device, load_model_on, use_threads};
use crate::annotation::{Annotation, Mark, parse_timit, timit};
use crate::audio::{ReadOptions, Waveform};
use crate::corpus::timit::export::{places, write};
use crate::corpus::{Manifest, Utterance};
use crate::decode::DecoderConfig;
use crate::phones::Names;
use crate::recognize::Recognizer;
use crate::{files, parallel};
use anyhow::{Context, ensure};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Sound is written at this rate, TIMIT's.
const RATE: u32 = 16000;

/// Runs `formant export`.
pub fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let Layout::Timit = args.layout;
    use_threads(args.threads)?;
    let device = device::resolve(args.model.device)?;
    let manifest = Manifest::open(&args.data, &args.split)?;
    ensure!(!manifest.utterances.is_empty(), "{}: there are no utterances to export", output::path(&manifest.path));
    let labelled = Labelled::find(&manifest);
    let model = load_model_on(args.model.model.as_deref(), &device)?;
    let lexicon = if args.phones { None } else { Some(lexicon(args.lexicon.as_deref(), &model)?) };
    let recognizer = Recognizer::with_precision(model, &DecoderConfig::Greedy, args.model.device.precision.into())?;
    let aligner = Aligner { recognizer: &recognizer, lexicon: lexicon.as_ref(), names: Names::Own };
    let places = places(&manifest, &args.split);
    let progress = Progress::counting(manifest.utterances.len(), "utterances");
    let (mut index, mut failed, mut suspect) = ("file\tutterance\tspeaker\n".to_owned(), 0, 0);
    let export = |n: usize| {
        let (utterance, place) = (&manifest.utterances[n], args.out.join(&places[n]));
        match labelled.as_ref().filter(|_| !args.realign) {
            Some(labelled) => labelled.export(utterance, &place).map(|()| false),
            None => align(&aligner, utterance, &place).map(|aligned| aligned.is_suspect()),
        }
        .with_context(|| output::path(Path::new(&utterance.id)))
    };
    parallel::in_order(manifest.utterances.len(), export, |n, result| {
        progress.set(n + 1);
        match result {
            Ok(doubtful) => {
                suspect += usize::from(doubtful);
                let Utterance { id, speaker, .. } = &manifest.utterances[n];
                index += &format!("{}.WAV\t{id}\t{speaker}\n", places[n].display());
            }
            Err(error) => {
                failed += 1;
                progress.aside(|| output::warning(format!("{error:#}: left out")));
            }
        }
        ControlFlow::Continue(())
    })?;
    drop(progress);
    let all = manifest.utterances.len();
    ensure!(failed < all, "{}: no utterance of it could be exported", output::path(&manifest.path));
    files::write_atomic(&args.out.join(format!("FILES-{}.tsv", args.split)), index.as_bytes())?;
    output::note(format!("{all} utterances: {} written, {suspect} of them suspect, {failed} left out", all - failed));
    Ok(match (failed, suspect) {
        (1.., _) => Outcome::SomeFailed,
        (0, 1..) => Outcome::Suspect,
        _ => Outcome::Done,
    })
}

/// The columns that hold labels with times, of a manifest that has them: as 'formant prepare timit' writes them.
struct Labelled {
    phones: usize,
    ends: usize,
}

impl Labelled {
    fn find(manifest: &Manifest) -> Option<Self> {
        let column = |name: &str| manifest.columns.iter().position(|column| column == name);
        Some(Self { phones: column("phones61")?, ends: column("ends61")? })
    }

    fn export(&self, utterance: &Utterance, place: &Path) -> anyhow::Result<()> {
        // The ends are samples of the recording as it is.
        let wave = utterance.load_as(ReadOptions::default())?;
        let (labels, ends) = (&utterance.fields[self.phones], &utterance.fields[self.ends]);
        let (labels, ends): (Vec<_>, Vec<_>) = (labels.split_whitespace().collect(), ends.split_whitespace().collect());
        ensure!(labels.len() == ends.len(), "{} labels, but {} ends", labels.len(), ends.len());
        let mut start = 0;
        let mark = |(label, end): (&&str, &&str)| {
            let end = end.parse().with_context(|| format!("{end:?} is no number of a sample"))?;
            let mark = Mark { start, end, label: (*label).to_owned() };
            start = end;
            anyhow::Ok(mark)
        };
        let phones = labels.iter().zip(&ends).map(mark).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(write(place, &wave, &phones, &[], &utterance.text)?)
    }
}

/// Finds out when the words and phones of an utterance are spoken, and writes it.
fn align(aligner: &Aligner<'_>, utterance: &Utterance, place: &Path) -> anyhow::Result<Aligned> {
    let wave: Waveform = utterance.load(RATE)?;
    let text = if aligner.lexicon.is_some() { &utterance.text } else { &utterance.phones };
    let aligned = aligner.align(&wave, text)?;
    let annotation: Annotation = aligner.annotation(&utterance.audio, &aligned);
    let marks = |tier: usize, silences: bool| {
        let name: PathBuf = place.with_extension("PHN");
        parse_timit(timit(&annotation, &annotation.tiers[tier], silences).as_bytes(), &name)
    };
    let phones = marks(annotation.tiers.len() - 1, true)?;
    let words = if annotation.tiers.len() > 1 { marks(0, false)? } else { Vec::new() };
    write(place, &wave, &phones, &words, &utterance.text)?;
    Ok(aligned)
}
