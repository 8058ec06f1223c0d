//! `formant evaluate`: the phone error rate of a model on a labelled split, with what is needed to trust the number.
#![forbid(unsafe_code)]

use super::args::{By, EvaluateArgs};
use super::decoding::Decoding;
use super::output::{self, Progress, Table};
use super::{Outcome, device, load_model_on, model_file, use_threads};
use crate::corpus::Manifest;
use crate::decode::DecoderConfig;
use crate::evaluate::{Compare, Evaluation, evaluate};
use crate::lexicon::{Lexicon, plain_words};
use crate::model::{Measured, Model};
use crate::phones::{Folding, PhoneSet};
use crate::recognize::Recognizer;
use crate::score::Score;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Seed of the interval's draws, so that a figure can be made again.
const SEED: u64 = 1;
/// Pairs of phones that are listed.
const PAIRS: usize = 20;

/// Runs `formant evaluate`.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<Outcome> {
    let decoding = args.decoder.plan()?;
    use_threads(args.threads)?;
    let device = device::resolve(args.model.device)?;
    let mut manifest = Manifest::open(&args.data, &args.split)?;
    if args.column != "phones" {
        manifest = manifest.with_labels(&args.column)?;
    }
    if let Some(limit) = args.limit {
        manifest.utterances.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let model = load_model_on(args.model.model.as_deref(), &device)?;
    let (decoder, lexicon) = decoding.build(model.phones())?;
    let recognizer = Recognizer::with_precision(model, &DecoderConfig::Greedy, args.model.device.precision.into())?
        .with_decoder(decoder);
    let folding = Folding::named(&args.fold)?;
    let compare = match &lexicon {
        Some(lexicon) => {
            warn_of_unknown(unknown_words(&manifest, lexicon), "words of the texts are not in the dictionary");
            Compare::Words(lexicon)
        }
        None => {
            let unknown = never_written(&manifest, recognizer.model().phones(), &folding);
            warn_of_unknown(unknown, "phones of the labels are never written by the model");
            Compare::Phones(&folding)
        }
    };
    let stream = args.stream.stream.then(|| args.stream.options());
    let progress = Progress::counting(manifest.utterances.len(), "utterances");
    let evaluation = evaluate(&recognizer, &manifest, compare, stream, &|done| progress.set(done))?;
    drop(progress);
    for warning in &evaluation.warnings {
        output::warning(warning);
    }
    let summary = Summary::new(&evaluation, recognizer.model().name(), protocol(args, compare, &decoding), compare);
    if let (Some(set), Some(path)) = (&args.record, &args.model.model) {
        record(path, set, &summary)?;
    }
    if args.json {
        let speakers = args.by.map(|By::Speaker| by_speaker(&evaluation));
        output::json(&WithSpeakers { summary, by_speaker: speakers })?;
    } else {
        output::line(summary.table(evaluation.seconds))?;
        if args.by == Some(By::Speaker) {
            output::line(format!("\n{}", speaker_table(&evaluation)))?;
        }
    }
    Ok(if evaluation.warnings.is_empty() { Outcome::Done } else { Outcome::Suspect })
}

/// Writes the figure into the card of the model in `path`, in the place of an older one for the same set and protocol.
fn record(path: &Path, set: &str, summary: &Summary) -> anyhow::Result<()> {
    let (Some(per), Some(reference_phones)) = (summary.per, summary.reference_phones) else {
        return Err(output::with_hint("a model's card has rates of phones only", "leave --record or --words out"));
    };
    let path = model_file(path);
    let mut model = Model::load(&path)?;
    let measured = Measured {
        set: set.to_owned(),
        protocol: summary.protocol.clone(),
        per: (per * 100.0).round() / 100.0,
        utterances: summary.utterances,
        reference_phones,
    };
    let same = |m: &Measured| (&m.set, &m.protocol) == (&measured.set, &measured.protocol);
    model.card.measured.retain(|m| !same(m));
    model.card.measured.push(measured);
    Ok(model.save(&path)?)
}

/// How the figure came about, in words.
fn protocol(args: &EvaluateArgs, compare: Compare<'_>, decoding: &Decoding) -> String {
    let column = &args.column;
    let compared = match compare {
        Compare::Phones(folding) if folding.name() == "none" => {
            format!("labels from column {column}, symbols compared as they are, silence symbols counted like phones")
        }
        Compare::Phones(folding) => format!(
            "labels from column {column}, both sides folded to {}, silences, closures and glottal stops not scored",
            folding.name()
        ),
        Compare::Words(_) => "words from column text, in lower case, without punctuation".to_owned(),
    };
    let which = args.limit.map(|n| format!(", first {n} utterances")).unwrap_or_default();
    let (split, mut decoder) = (&args.split, decoding.describe());
    if args.stream.stream {
        decoder += &format!(", as a stream heard at most {:.2} s late", args.stream.options().latency());
    }
    format!("split {split}{which}, {compared}, every edit costs one, {decoder}")
}

/// Words of the texts that the decoder can never find.
fn unknown_words(manifest: &Manifest, lexicon: &Lexicon) -> Vec<String> {
    let words: BTreeSet<String> = manifest.utterances.iter().flat_map(|u| plain_words(&u.text)).collect();
    words.into_iter().filter(|word| lexicon.find(word).is_none()).collect()
}

/// Names what can only be an error, as far as it fits into a line.
fn warn_of_unknown<S: AsRef<str>>(unknown: Vec<S>, what: &str) {
    if !unknown.is_empty() {
        let named: Vec<&str> = unknown.iter().take(PAIRS).map(AsRef::as_ref).collect();
        let more = if unknown.len() > PAIRS { ", ..." } else { "" };
        output::warning(format!("{} {what}: {}{more}", unknown.len(), named.join(" ")));
    }
}

/// Symbols of the folded labels that are no phone of the model, folded: each one is an error for sure.
fn never_written<'m>(manifest: &'m Manifest, phones: &PhoneSet, folding: &'m Folding) -> Vec<&'m str> {
    let written: BTreeSet<&str> = phones.symbols().iter().filter_map(|symbol| folding.fold(symbol)).collect();
    let labels: BTreeSet<&str> = manifest.utterances.iter().flat_map(|u| folding.fold_text(&u.phones)).collect();
    labels.into_iter().filter(|label| !written.contains(label)).collect()
}

#[derive(Serialize)]
struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    per: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wer: Option<f64>,
    substitutions: usize,
    deletions: usize,
    insertions: usize,
    utterances: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_phones: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_words: Option<usize>,
    real_time_factor: f64,
    protocol: String,
    model: String,
    interval: Option<(f64, f64)>,
    confusions: Vec<Confusion>,
}

#[derive(Serialize)]
struct WithSpeakers {
    #[serde(flatten)]
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_speaker: Option<BTreeMap<String, Counts>>,
}

/// `None` stands for nothing: a phone left out or put in.
#[derive(Serialize)]
struct Confusion {
    reference: Option<String>,
    hypothesis: Option<String>,
    count: usize,
}

#[derive(Serialize)]
struct Counts {
    per: f64,
    substitutions: usize,
    deletions: usize,
    insertions: usize,
    reference_phones: usize,
}

impl From<&Score> for Counts {
    fn from(score: &Score) -> Self {
        let Score { substitutions, deletions, insertions, reference } = *score;
        Self { per: score.per(), substitutions, deletions, insertions, reference_phones: reference }
    }
}

impl Summary {
    fn new(evaluation: &Evaluation, model: &str, protocol: String, compare: Compare<'_>) -> Self {
        let words = matches!(compare, Compare::Words(_));
        let report = &evaluation.report;
        let confusion = |(reference, hypothesis, count): (Option<&str>, Option<&str>, usize)| Confusion {
            reference: reference.map(str::to_owned),
            hypothesis: hypothesis.map(str::to_owned),
            count,
        };
        Self {
            per: (!words).then(|| report.total.per()),
            wer: words.then(|| report.total.per()),
            substitutions: report.total.substitutions,
            deletions: report.total.deletions,
            insertions: report.total.insertions,
            utterances: report.utterances,
            reference_phones: (!words).then_some(report.total.reference),
            reference_words: words.then_some(report.total.reference),
            real_time_factor: evaluation.real_time_factor(),
            protocol,
            model: model.to_owned(),
            interval: report.interval(SEED),
            confusions: report.most_confused(PAIRS).into_iter().map(confusion).collect(),
        }
    }

    fn table(&self, seconds: f64) -> Table {
        let share = |count: usize| {
            let reference = self.reference_phones.or(self.reference_words).unwrap_or_default();
            let percent = 100.0 * count as f64 / reference.max(1) as f64;
            format!("{count} ({percent:.2} %)")
        };
        let mut table = Table::default();
        let rates = [("phone error rate", self.per), ("word error rate", self.wer)];
        for (name, rate) in rates.into_iter().filter_map(|(name, rate)| Some((name, rate?))) {
            table.row(name, format!("{rate:.2} %"));
        }
        table.row(
            "95 % interval",
            match self.interval {
                Some((low, high)) => format!("{low:.2} to {high:.2} %, by speaker"),
                None => "none: fewer than five speakers".to_owned(),
            },
        );
        table.row("substitutions", share(self.substitutions));
        table.row("deletions", share(self.deletions));
        table.row("insertions", share(self.insertions));
        let references = [("reference phones", self.reference_phones), ("reference words", self.reference_words)];
        for (name, count) in references.into_iter().filter_map(|(name, count)| Some((name, count?))) {
            table.row(name, count);
        }
        table.row("utterances", format!("{}, {:.1} minutes", self.utterances, seconds / 60.0));
        table.row("real-time factor", format!("{:.4} on one processor", self.real_time_factor));
        table.row("model", &self.model);
        table.row("protocol", &self.protocol);
        let named = |phone: &Option<String>| phone.clone().unwrap_or_else(|| "-".to_owned());
        let pair = |c: &Confusion| format!("{} > {} {}", named(&c.reference), named(&c.hypothesis), c.count);
        let pairs: Vec<String> = self.confusions.iter().map(pair).collect();
        table.row("most confused", if pairs.is_empty() { "nothing".to_owned() } else { pairs.join(", ") });
        table
    }
}

fn by_speaker(evaluation: &Evaluation) -> BTreeMap<String, Counts> {
    evaluation.report.speakers.iter().map(|(speaker, score)| (speaker.clone(), score.into())).collect()
}

fn speaker_table(evaluation: &Evaluation) -> Table {
    let mut table = Table::default();
    table.row("speaker", "   PER   sub   del   ins  phones");
    for (speaker, score) in &evaluation.report.speakers {
        let name = if speaker.is_empty() { "(not named)" } else { speaker };
        let Score { substitutions, deletions, insertions, reference } = score;
        let per = score.per();
        table.row(name, format!("{per:6.2} {substitutions:5} {deletions:5} {insertions:5} {reference:7}"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Report;

    fn evaluation() -> Evaluation {
        let mut report = Report::default();
        report.add("a", &["k", "ae", "t"], &["k", "eh", "t", "s"]);
        report.add("b", &["t", "uw"], &["uw"]);
        Evaluation { report, seconds: 90.0, computing: 0.9, warnings: Vec::new() }
    }

    #[test]
    fn the_summary_is_readable() -> anyhow::Result<()> {
        let folding = Folding::named("none")?;
        let table = Summary::new(&evaluation(), "m", "p".to_owned(), Compare::Phones(&folding)).table(90.0).to_string();
        let expected = "\
phone error rate  60.00 %
95 % interval     none: fewer than five speakers
substitutions     1 (20.00 %)
deletions         1 (20.00 %)
insertions        1 (20.00 %)
reference phones  5
utterances        2, 1.5 minutes
real-time factor  0.0100 on one processor
model             m
protocol          p
most confused     - > s 1, ae > eh 1, t > - 1";
        assert_eq!(table, expected);
        let table = speaker_table(&evaluation()).to_string();
        assert_eq!(table.lines().nth(2), Some("b         50.00     0     1     0       2"));
        Ok(())
    }

    #[test]
    fn json_has_the_promised_keys() -> anyhow::Result<()> {
        let folding = Folding::named("none")?;
        let summary = Summary::new(&evaluation(), "m", "p".to_owned(), Compare::Phones(&folding));
        let all = WithSpeakers { summary, by_speaker: Some(by_speaker(&evaluation())) };
        let value = serde_json::to_value(&all)?;
        for key in ["per", "substitutions", "deletions", "insertions", "utterances", "reference_phones"] {
            assert!(value[key].is_number(), "{key}");
        }
        assert!(value["real_time_factor"].is_number() && value["protocol"] == "p" && value["model"] == "m");
        assert!(value["interval"].is_null() && value["confusions"][0]["reference"].is_null());
        assert_eq!(value["by_speaker"]["b"]["per"], 50.0);
        Ok(())
    }

    #[test]
    fn labels_that_the_model_cannot_write_are_named() -> anyhow::Result<()> {
        let manifest = Manifest::parse(b"path\tphones\na\tao h# xx k\n", std::path::Path::new("m"))?;
        let phones = PhoneSet::arpabet39();
        assert_eq!(never_written(&manifest, &phones, &Folding::named("timit39")?), ["xx"]);
        assert_eq!(never_written(&manifest, &phones, &Folding::named("none")?), ["h#", "xx"]);
        Ok(())
    }
}
