//! `formant lm`: transcripts to a language model, and how well one foresees others.
#![forbid(unsafe_code)]

use super::Outcome;
use super::args::{LmArgs, Unit};
use super::output::{self, Table};
use crate::corpus::Manifest;
use crate::files;
use crate::lexicon::plain_words;
use crate::lm::{Estimate, NGram, Perplexity};
use crate::table;
use serde::Serialize;
use std::path::Path;

/// Sentences, each a list of words or phones.
type Sentences = Vec<Vec<String>>;

/// Runs `formant lm`.
pub fn run(args: &LmArgs) -> anyhow::Result<Outcome> {
    let splits = if args.split.is_empty() { vec!["train".to_owned()] } else { args.split.clone() };
    let mut sentences = Sentences::new();
    for data in &args.data {
        for split in &splits {
            sentences.extend(from_manifest(data, split, args.unit)?);
        }
    }
    for path in &args.text {
        sentences.extend(from_text(path, args.unit)?);
    }
    let (model, discounts, fallback) = match &args.lm {
        Some(path) => (NGram::read(path)?, Vec::new(), false),
        None => {
            let Estimate { model, discounts } = Estimate::new(&sentences, args.order.into())?;
            let fallback = discounts.iter().any(|d| d.fallback);
            (model, discounts.iter().map(|d| d.by_count).collect(), fallback)
        }
    };
    let mut perplexities = vec![Measured::new("the text learnt from", &model, &sentences)];
    if args.lm.is_some() {
        perplexities[0].of = "the text".to_owned();
    }
    for split in &args.test {
        // As in training, one of the folders must have it.
        let mut having = Vec::new();
        for data in &args.data {
            having.extend(Manifest::splits(data)?.contains(split).then_some(data));
        }
        let data = if having.is_empty() { args.data.iter().take(1).collect() } else { having };
        let mut sentences = Sentences::new();
        for data in data {
            sentences.extend(from_manifest(data, split, args.unit)?);
        }
        perplexities.push(Measured::new(split, &model, &sentences));
    }
    if let Some(path) = &args.out {
        files::write_packed(path, model.arpa().as_bytes())?;
    }
    if fallback {
        output::note(
            "the text is too small or too even to say what to take off some counts: the usual values are taken",
        );
    }
    let summary = Summary { order: model.order(), ngrams: model.counts(), discounts, perplexities };
    if args.json {
        output::json(&summary)?;
    } else {
        output::line(summary.table())?;
    }
    Ok(Outcome::Done)
}

/// The transcripts of a split. An utterance without any is no sentence.
fn from_manifest(data: &Path, split: &str, unit: Unit) -> anyhow::Result<Sentences> {
    let manifest = Manifest::open(data, split)?;
    let sentences = manifest.utterances.iter().map(|utterance| match unit {
        Unit::Phones => utterance.phones.split_whitespace().map(str::to_owned).collect(),
        Unit::Words => plain_words(&utterance.text),
    });
    let sentences: Sentences = sentences.filter(|sentence: &Vec<String>| !sentence.is_empty()).collect();
    anyhow::ensure!(!sentences.is_empty(), "{}: no {unit:?} in any transcript", output::path(&manifest.path));
    Ok(sentences)
}

/// The lines of a text.
fn from_text(path: &Path, unit: Unit) -> anyhow::Result<Sentences> {
    let bytes = table::read(path)?;
    let mut sentences = Sentences::new();
    for line in table::text_lines(&bytes, path) {
        let words = match (unit, line?.1) {
            (Unit::Phones, line) => line.split_whitespace().map(str::to_owned).collect(),
            (Unit::Words, line) => plain_words(line),
        };
        if !words.is_empty() {
            sentences.push(words);
        }
    }
    Ok(sentences)
}

/// How well a model foresees a text.
#[derive(Serialize)]
struct Measured {
    of: String,
    sentences: usize,
    words: usize,
    unknown: usize,
    perplexity: f64,
}

impl Measured {
    fn new(of: &str, model: &NGram, sentences: &Sentences) -> Self {
        let mut perplexity = Perplexity::default();
        for sentence in sentences {
            perplexity.add(model, &sentence.iter().map(String::as_str).collect::<Vec<_>>());
        }
        let Perplexity { sentences, words, unknown, .. } = perplexity;
        Self { of: of.to_owned(), sentences, words, unknown, perplexity: perplexity.value() }
    }
}

#[derive(Serialize)]
struct Summary {
    order: usize,
    ngrams: Vec<usize>,
    discounts: Vec<[f64; 3]>,
    perplexities: Vec<Measured>,
}

impl Summary {
    fn table(&self) -> Table {
        let mut table = Table::default();
        for (n, count) in self.ngrams.iter().enumerate() {
            let discounts = self.discounts.get(n);
            let discounts = discounts.map(|[a, b, c]| format!(", discounts {a:.3} {b:.3} {c:.3}")).unwrap_or_default();
            table.row(format!("{}-grams", n + 1), format!("{count}{discounts}"));
        }
        for Measured { of, sentences, words, unknown, perplexity } in &self.perplexities {
            let value = format!("{perplexity:.2} ({sentences} sentences, {words} words, {unknown} of them unknown)");
            table.row(format!("perplexity of {of}"), value);
        }
        table
    }
}
