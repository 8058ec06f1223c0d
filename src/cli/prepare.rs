//! `formant prepare`: from a corpus as it is distributed to manifests, and what is wrong with it.
#![forbid(unsafe_code)]

use super::align::aligner::Aligner;
use super::args::{CorpusKind, Phones, PrepareArgs};
use super::output::{self, Progress, Table};
use super::{Outcome, device, load_model_on, use_threads};
use crate::audio::Waveform;
use crate::corpus::timit::Inventory;
use crate::corpus::{Prepared, Problem, Row, Split, common_voice, kaldi, librispeech, ljspeech, timit};
use crate::decode::DecoderConfig;
use crate::lexicon::Lexicon;
use crate::phones::{Names, PhoneSet};
use crate::prepare::{label, look_at_recordings};
use crate::recognize::Recognizer;
use crate::{files, parallel};
use anyhow::Context;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

/// Problems that are told one by one; all are in the file.
const TOLD: usize = 20;
/// Unknown words that are named.
const NAMED: usize = 20;

/// Runs `formant prepare`.
pub fn run(args: &PrepareArgs) -> anyhow::Result<Outcome> {
    use_threads(args.threads)?;
    if args.corpus == CorpusKind::Timit && (args.lexicon.is_some() || args.align) {
        let what = "timit has phones: no dictionary is needed, and nothing is chosen";
        return Err(output::with_hint(what, "leave --lexicon and --align out"));
    }
    let dir = fs::canonicalize(&args.dir).with_context(|| output::path(&args.dir))?;
    fs::create_dir_all(&args.out).with_context(|| output::path(&args.out))?;
    let out = fs::canonicalize(&args.out).with_context(|| output::path(&args.out))?;
    let mut prepared = read(args, &dir)?;
    prepared.splits.retain(|split| !split.rows.is_empty());
    prepared.problems.sort();
    for split in &prepared.splits {
        let path = out.join(format!("{}.manifest.tsv", split.name));
        files::write_atomic(&path, split.manifest(&out)?.as_bytes())?;
    }
    tell_problems(&out, &prepared.problems)?;
    prepared.notes.iter().for_each(output::warning);
    if prepared.splits.is_empty() {
        return Err(anyhow::anyhow!("{}: no utterance of it can be used", output::path(&args.dir)));
    }
    let summaries: Vec<Summary> = prepared.splits.iter().map(Summary::new).collect();
    if args.json {
        let left_out = prepared.problems.iter().filter(|problem| problem.left_out).count();
        output::json(&All { splits: &summaries, problems: prepared.problems.len(), left_out, notes: &prepared.notes })?;
    } else {
        output::line(table(&summaries))?;
    }
    Ok(if prepared.problems.is_empty() { Outcome::Done } else { Outcome::Suspect })
}

fn read(args: &PrepareArgs, dir: &Path) -> anyhow::Result<Prepared> {
    let bar = OnceLock::new();
    let progress = |done: usize, all: usize| bar.get_or_init(|| Progress::counting(all, "recordings")).set(done);
    if args.corpus == CorpusKind::Timit {
        let inventory = match args.phones {
            Phones::Sixty => Inventory::Sixty,
            Phones::FortyEight => Inventory::FortyEight,
            Phones::ThirtyNine => Inventory::ThirtyNine,
        };
        return Ok(timit::prepare(dir, inventory, &progress)?);
    }
    let mut prepared = match args.corpus {
        CorpusKind::Librispeech => librispeech::prepare(dir)?,
        CorpusKind::Commonvoice => common_voice::prepare(dir)?,
        CorpusKind::Ljspeech => ljspeech::prepare(dir)?,
        CorpusKind::Kaldi | CorpusKind::Timit => kaldi::prepare(dir)?,
    };
    let phones = PhoneSet::arpabet39();
    let built_in = Lexicon::cmudict(&phones);
    let lexicon = match &args.lexicon {
        Some(path) => Lexicon::read(path, &phones)?.or(&built_in),
        None => built_in,
    };
    let unknown = label(&mut prepared, &lexicon, &phones);
    if !unknown.is_empty() {
        let mut words: Vec<_> = unknown.iter().collect();
        words.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let named: Vec<String> = words.iter().take(NAMED).map(|(word, count)| format!("{word} ({count})")).collect();
        let more = if words.len() > NAMED { ", ..." } else { "" };
        let (count, named) = (words.len(), named.join(", "));
        prepared.notes.push(format!("{count} words are not in the dictionary (--lexicon adds some): {named}{more}"));
    }
    if !args.no_check {
        look_at_recordings(&mut prepared, &progress)?;
    }
    if args.align {
        drop(bar);
        choose_pronunciations(args, &mut prepared, &lexicon)?;
    }
    Ok(prepared)
}

/// Labels each utterance with those of its words' pronunciations that fit its sound best; the model's phones are ARPAbet's.
/// An utterance whose text is hardly what is said is left out.
fn choose_pronunciations(args: &PrepareArgs, prepared: &mut Prepared, lexicon: &Lexicon) -> anyhow::Result<()> {
    let device = device::resolve(args.model.device)?;
    let model = load_model_on(args.model.model.as_deref(), &device)?;
    if model.phones().symbols() != PhoneSet::arpabet39().symbols() {
        return Err(output::with_hint("--align needs a model of ARPAbet's 39 phones", "leave --model out"));
    }
    let recognizer = Recognizer::with_precision(model, &DecoderConfig::Greedy, args.model.device.precision.into())?;
    let aligner = Aligner { recognizer: &recognizer, lexicon: Some(lexicon), names: Names::Own };
    let rows: Vec<(usize, usize)> =
        prepared.splits.iter().enumerate().flat_map(|(s, split)| (0..split.rows.len()).map(move |r| (s, r))).collect();
    let progress = Progress::counting(rows.len(), "utterances aligned");
    let mut labels = Vec::with_capacity(rows.len());
    let align = |n: usize| {
        let split = &prepared.splits[rows[n].0];
        let row = &split.rows[rows[n].1];
        let aligned = aligner.align(&sound(split, row)?, &row.text)?;
        let phones: Vec<_> = aligned.alignment.phones.iter().map(|phone| phone.phone).collect();
        anyhow::ensure!(!aligned.is_suspect(), "its text is hardly what is said");
        anyhow::Ok(recognizer.model().phones().decode(&phones))
    };
    parallel::in_order(rows.len(), align, |n, label| {
        progress.set(n + 1);
        labels.push(label);
        ControlFlow::Continue(())
    })?;
    let mut labels = labels.into_iter();
    for split in &mut prepared.splits {
        let problems = &mut prepared.problems;
        split.rows.retain_mut(|row| match labels.next() {
            Some(Ok(label)) => {
                row.phones = label;
                true
            }
            Some(Err(error)) => {
                problems.push(Problem::left_out(&row.audio, format!("{error:#}")));
                false
            }
            None => false,
        });
    }
    Ok(())
}

/// The sound of an utterance: its recording, or the part between the columns `start` and `end`.
fn sound(split: &Split, row: &Row) -> anyhow::Result<Waveform> {
    let wave = Waveform::open(&row.audio)?;
    let seconds = |name: &str| {
        let place = split.more.iter().position(|column| *column == name)?;
        row.more[place].parse::<f64>().ok()
    };
    Ok(match seconds("start").zip(seconds("end")) {
        Some((start, end)) => wave.cut(start, end),
        None => wave,
    })
}

/// Names what is wrong: the first on standard error, all in `problems.tsv`, which an earlier run may have left.
fn tell_problems(out: &Path, problems: &[Problem]) -> anyhow::Result<()> {
    let path = out.join("problems.tsv");
    if problems.is_empty() {
        let removed = fs::remove_file(&path);
        return removed
            .or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
            .context(output::path(&path));
    }
    let effect = |problem: &Problem| if problem.left_out { "left out" } else { "kept" };
    let mut text = "effect\tfile\tproblem\n".to_owned();
    for problem in problems {
        text += &format!(
            "{}\t{}\t{}\n",
            effect(problem),
            output::path(&problem.path),
            output::path(Path::new(&problem.what))
        );
    }
    files::write_atomic(&path, text.as_bytes())?;
    for problem in problems.iter().take(TOLD) {
        output::warning(format!("{}: {} ({})", problem.path.display(), problem.what, effect(problem)));
    }
    if problems.len() > TOLD {
        output::warning(format!("{} problems in all: {} has them", problems.len(), output::path(&path)));
    }
    Ok(())
}

/// A group of utterances in numbers.
#[derive(Default, Serialize)]
struct Group {
    utterances: usize,
    speakers: usize,
    /// None if lengths are not known.
    hours: Option<f64>,
}

impl Group {
    fn new<'a>(rows: impl Iterator<Item = &'a Row> + Clone) -> Self {
        let seconds: Option<f64> = rows.clone().map(|row| row.seconds).sum();
        Self {
            utterances: rows.clone().count(),
            speakers: rows.map(|row| &row.speaker).collect::<BTreeSet<_>>().len(),
            hours: seconds.map(|seconds| output::seconds(seconds / 3600.0)),
        }
    }

    fn describe(&self) -> String {
        let hours = self.hours.map_or_else(|| "-".to_owned(), |hours| format!("{hours:.2}"));
        format!("{:10} {:9} {hours:>7}", self.utterances, self.speakers)
    }
}

#[derive(Serialize)]
struct Summary {
    split: String,
    #[serde(flatten)]
    all: Group,
    phones: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by_dialect: BTreeMap<String, Group>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by_gender: BTreeMap<String, Group>,
}

#[derive(Serialize)]
struct All<'a> {
    splits: &'a [Summary],
    problems: usize,
    left_out: usize,
    notes: &'a [String],
}

impl Summary {
    fn new(split: &Split) -> Self {
        Self {
            split: split.name.clone(),
            all: Group::new(split.rows.iter()),
            phones: split.rows.iter().map(|row| row.phones.split_whitespace().count()).sum(),
            by_dialect: groups(split, "dialect"),
            by_gender: groups(split, "gender"),
        }
    }
}

/// The utterances of a split by the values of a column; none if it has no such column, or nothing in it.
fn groups(split: &Split, column: &str) -> BTreeMap<String, Group> {
    let Some(place) = split.more.iter().position(|name| *name == column) else { return BTreeMap::new() };
    let values: BTreeSet<&String> = split.rows.iter().map(|row| &row.more[place]).filter(|v| !v.is_empty()).collect();
    let of = |value: &String| Group::new(split.rows.iter().filter(|row| row.more[place] == *value));
    values.into_iter().map(|value| (value.clone(), of(value))).collect()
}

fn table(summaries: &[Summary]) -> Table {
    let mut table = Table::default();
    table.row("split", "utterances  speakers   hours  phones");
    for summary in summaries {
        table.row(&summary.split, format!("{} {:7}", summary.all.describe(), summary.phones));
        for (value, group) in summary.by_dialect.iter().chain(&summary.by_gender) {
            table.row(format!("  {value}"), group.describe());
        }
    }
    table
}
