//! TIMIT, and corpora in its layout: the splits that papers use, their labels, and what is wrong with a copy.
//!
//! Train is 462 speakers, dev 50, core test 24, each without the two `sa` sentences that all speakers read: 3696, 400 and
//! 192 utterances; the complete test set has 168 speakers and 1344 utterances, those of dev and core test among them.
#![forbid(unsafe_code)]

pub mod export;
mod speakers;
mod tree;

use super::prepared::{Prepared, Problem, Row, Split};
use crate::annotation::{Mark, parse_timit};
use crate::audio::Waveform;
use crate::error::{Error, Result};
use crate::phones::{Folding, timit61};
use crate::{files, parallel};
use speakers::{CORE_TEST, DEV, Speaker, Usage, speakers};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use tree::{Entry, Tree};

/// Names, utterances and speakers of the splits of the whole corpus.
const SPLITS: [(&str, usize, usize); 4] =
    [("train", 3696, 462), ("dev", 400, 50), ("test", 192, 24), ("test-complete", 1344, 168)];
/// The columns beside those that every manifest has.
const COLUMNS: [&str; 6] = ["dialect", "gender", "age", "kind", "phones61", "ends61"];
/// A label may end so much later than its recording, in seconds: some of the real ones do.
const BEYOND: f64 = 0.1;

/// Which phones the labels are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inventory {
    /// As the corpus has them.
    #[default]
    Sixty,
    /// Those that are usually trained on.
    FortyEight,
    /// Those that are scored.
    ThirtyNine,
}

impl Inventory {
    /// The folding that leads to it.
    fn folding(self) -> Result<Folding> {
        Folding::named(match self {
            Self::Sixty => "none",
            Self::FortyEight => "lee-hon-48",
            Self::ThirtyNine => "lee-hon-39",
        })
    }
}

/// An utterance that was read.
struct Read {
    row: Row,
    problems: Vec<Problem>,
}

/// Reads the corpus in `root`; `progress` is told how many recordings were looked at, and how many there are.
///
/// Every recording is decoded: damaged ones are named, those that cannot be read are left out.
///
/// # Errors
/// If a folder cannot be read, if there is no utterance at all, or if of none it is known whether it is for training.
pub fn prepare(root: &Path, inventory: Inventory, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Prepared> {
    let mut tree = Tree::walk(root)?;
    let table = match &tree.speaker_table {
        Some(path) => speakers(&files::read(path)?, path)?,
        None => HashMap::new(),
    };
    if tree.entries.is_empty() {
        let why = tree.problems.first().map_or_else(
            || "no .PHN files anywhere in it".to_owned(),
            |problem| format!("no utterance in it: {}: {}", problem.path.display(), problem.what),
        );
        return Err(Error::invalid(format!("{}: {why}", root.display())));
    }
    find_usage(&mut tree, &table);
    if tree.entries.is_empty() {
        let reason = "nothing in it says who is for training: there are neither folders TRAIN and TEST next to the \
                      speakers' or dialects', nor SPKRINFO.TXT";
        return Err(Error::invalid(format!("{}: {reason}", root.display())));
    }
    let folding = inventory.folding()?;
    let mut rows = Vec::new();
    let mut problems = std::mem::take(&mut tree.problems);
    let entries = &tree.entries;
    let take = |n: usize, read: Result<Read, Problem>| {
        progress(n + 1, entries.len());
        match read {
            Ok(read) => {
                problems.extend(read.problems);
                rows.push((n, read.row));
            }
            Err(problem) => problems.push(problem),
        }
        ControlFlow::Continue(())
    };
    parallel::in_order(entries.len(), |n| read(&entries[n], &table, &folding), take)?;
    let mut prepared = Prepared { splits: splits(entries, &rows), problems, notes: Vec::new() };
    unknown_labels(&mut prepared);
    prepared.notes = notes(entries, &prepared.splits)?;
    prepared.problems.sort();
    Ok(prepared)
}

/// The table of speakers says who is for training, or the lists of test speakers, or else the folders do.
fn find_usage(tree: &mut Tree, table: &HashMap<String, Speaker>) {
    let mut unknown = BTreeSet::new();
    tree.entries.retain_mut(|entry| {
        let speaker = entry.speaker.as_str();
        let listed = CORE_TEST.contains(&speaker) || DEV.contains(&speaker);
        let by_name = table.get(speaker).map(|speaker| speaker.usage).or(listed.then_some(Usage::Test));
        entry.usage = by_name.or(entry.usage);
        if entry.usage.is_none() {
            unknown.extend(entry.phn.parent().map(Path::to_owned));
        }
        entry.usage.is_some()
    });
    let what = "nothing says whether this speaker is for training or for the test";
    tree.problems.extend(unknown.iter().map(|folder| Problem::left_out(folder, what)));
}

/// Reads an utterance, or says why it is left out.
fn read(entry: &Entry, table: &HashMap<String, Speaker>, folding: &Folding) -> Result<Read, Problem> {
    let left_out = |path: &Path| {
        let path = path.to_owned();
        move |e: Error| Problem::left_out(&path, without_path(&e, &path))
    };
    let bytes = files::read(&entry.phn).map_err(left_out(&entry.phn))?;
    let marks = parse_timit(&bytes, &entry.phn).map_err(left_out(&entry.phn))?;
    if marks.is_empty() {
        return Err(Problem::left_out(&entry.phn, "an empty file"));
    }
    let wave = Waveform::open(&entry.audio).map_err(left_out(&entry.audio))?;
    let mut problems: Vec<Problem> =
        wave.warnings().iter().map(|warning| Problem::noted(&entry.audio, warning)).collect();
    problems.extend(flaws(&marks, &wave).into_iter().map(|what| Problem::noted(&entry.phn, what)));
    if let Some(wrd) = &entry.wrd {
        let words = files::read(wrd).and_then(|bytes| parse_timit(&bytes, wrd));
        problems.extend(words.err().map(|e| Problem::noted(wrd, without_path(&e, wrd))));
    }
    let text = match &entry.txt {
        Some(txt) => text_of(&files::read(txt).map_err(left_out(txt))?),
        None => String::new(),
    };
    let labels: Vec<String> = marks.iter().map(|mark| mark.label.to_lowercase()).collect();
    let labels = labels.join(" ");
    let ends: Vec<String> = marks.iter().map(|mark| mark.end.to_string()).collect();
    let age = table.get(&entry.speaker).and_then(|speaker| speaker.age);
    let gender = entry.speaker.chars().next().filter(|sex| matches!(sex, 'f' | 'm'));
    let more = [
        entry.dialect.clone(),
        gender.map(String::from).unwrap_or_default(),
        age.map(|age| age.to_string()).unwrap_or_default(),
        entry.sentence.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(),
        labels.clone(),
        ends.join(" "),
    ];
    let row = Row {
        audio: entry.audio.clone(),
        speaker: entry.speaker.clone(),
        seconds: Some(wave.seconds()),
        text,
        phones: folding.fold_text(&labels).join(" "),
        more: more.into(),
    };
    Ok(Read { row, problems })
}

/// What is wrong with the times of a label.
fn flaws(marks: &[Mark], wave: &Waveform) -> Vec<String> {
    let mut flaws = Vec::new();
    for pair in marks.windows(2) {
        let (before, next) = (&pair[0], &pair[1]);
        match next.start.cmp(&before.end) {
            std::cmp::Ordering::Less => {
                flaws.push(format!("{} and {} overlap at {}", before.label, next.label, next.start))
            }
            std::cmp::Ordering::Greater => {
                flaws.push(format!("a gap between {} and {} at {}", before.label, next.label, before.end));
            }
            std::cmp::Ordering::Equal => {}
        }
    }
    let end = marks.iter().map(|mark| mark.end).max().unwrap_or(0);
    let samples = wave.samples().len() as u64;
    if end as f64 > samples as f64 + BEYOND * f64::from(wave.sample_rate()) {
        flaws.push(format!("it ends at sample {end}, but its recording has {samples}"));
    }
    flaws
}

/// What stands behind the two numbers of a .TXT file.
fn text_of(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let number = |c: char| c.is_ascii_digit() || c.is_whitespace();
    text.trim().trim_start_matches(number).trim().to_owned()
}

/// An error's sentence without the file's name, which the problem has beside it.
fn without_path(error: &Error, path: &Path) -> String {
    let text = error.to_string();
    let rest = text.strip_prefix(&path.display().to_string()).unwrap_or(&text);
    rest.trim_start_matches([':', ' ']).to_owned()
}

/// Whether a speaker of the test part belongs to dev.
fn in_dev(entries: &[Entry]) -> impl Fn(&Entry) -> bool {
    let speakers: BTreeSet<String> =
        entries.iter().filter(|e| e.usage == Some(Usage::Test)).map(|e| e.speaker.clone()).collect();
    let is_timit = is_timit(entries);
    let has_dev = entries.iter().any(|e| e.usage == Some(Usage::Dev));
    // In another corpus that has no dev set every second speaker of the test part makes one.
    let every_second: HashSet<String> = speakers.into_iter().step_by(2).collect();
    move |entry| match entry.usage {
        Some(Usage::Dev) => true,
        Some(Usage::Test) if is_timit => DEV.contains(&entry.speaker.as_str()),
        Some(Usage::Test) => !has_dev && every_second.contains(&entry.speaker),
        _ => false,
    }
}

/// Whether speakers of TIMIT's own core test set are there.
fn is_timit(entries: &[Entry]) -> bool {
    entries.iter().any(|e| CORE_TEST.contains(&e.speaker.as_str()))
}

fn splits(entries: &[Entry], rows: &[(usize, Row)]) -> Vec<Split> {
    let (is_timit, in_dev) = (is_timit(entries), in_dev(entries));
    let belongs = |split: &str, entry: &Entry| match split {
        _ if entry.sentence.starts_with("sa") => false,
        "train" => entry.usage == Some(Usage::Train),
        "dev" => in_dev(entry),
        "test" if is_timit => CORE_TEST.contains(&entry.speaker.as_str()) && entry.usage == Some(Usage::Test),
        "test" => entry.usage == Some(Usage::Test) && !in_dev(entry),
        _ => entry.usage == Some(Usage::Test),
    };
    let rows_of = |split: &str| -> Vec<Row> {
        rows.iter().filter(|(n, _)| belongs(split, &entries[*n])).map(|(_, row)| row.clone()).collect()
    };
    SPLITS
        .iter()
        .map(|(name, ..)| Split { name: (*name).to_owned(), more: COLUMNS.to_vec(), rows: rows_of(name) })
        .filter(|split| !split.rows.is_empty())
        .collect()
}

/// Names each label that is none of TIMIT's once, with the first utterance that has it.
fn unknown_labels(prepared: &mut Prepared) {
    let known: HashSet<&str> = timit61().into_iter().collect();
    let mut seen = HashSet::new();
    let labels = COLUMNS.iter().position(|name| *name == "phones61").unwrap_or_default();
    for row in prepared.splits.iter().flat_map(|split| &split.rows) {
        for label in row.more[labels].split(' ').filter(|label| !known.contains(label)) {
            if seen.insert(label.to_owned()) {
                let what = format!("its label {label:?} is none of TIMIT's 61, here for the first time");
                prepared.problems.push(Problem::noted(&row.audio, what));
            }
        }
    }
}

/// How what was found compares with the corpus as it is published.
fn notes(entries: &[Entry], splits: &[Split]) -> Result<Vec<String>> {
    if !is_timit(entries) {
        let what = "no speaker of TIMIT's core test set is there: it is taken for another corpus in TIMIT's layout";
        return Ok(vec![what.to_owned()]);
    }
    let of = |name: &str| splits.iter().find(|split| split.name == name);
    let mut notes = Vec::new();
    for (name, utterances, people) in SPLITS {
        let rows = of(name).map(|split| split.rows.as_slice()).unwrap_or_default();
        let found: HashSet<&str> = rows.iter().map(|row| row.speaker.as_str()).collect();
        if (rows.len(), found.len()) != (utterances, people) {
            let (rows, found) = (rows.len(), found.len());
            notes.push(format!(
                "{name} has {rows} utterances of {found} speakers, TIMIT's {utterances} of {people}: rates on it are not \
                 to be held against those of papers"
            ));
        }
    }
    let (whole, folding) = (notes.is_empty(), Folding::named("lee-hon-39")?);
    let labels = COLUMNS.iter().position(|name| *name == "phones61").unwrap_or_default();
    for (name, published) in [("dev", 15057), ("test", 7215)] {
        let count = of(name).map(|split| split.rows.iter().map(|row| folding.fold_text(&row.more[labels]).len()).sum());
        if let Some(count) = count.filter(|count: &usize| whole && *count != published) {
            notes.push(format!("{name} has {count} phones folded to 39 where papers have {published}"));
        }
    }
    Ok(notes)
}
