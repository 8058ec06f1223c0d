//! The figures of an evaluation, for people and as JSON.
#![forbid(unsafe_code)]

use crate::cli::output::{self, Table};
use crate::cli::report::SEED;
use crate::evaluate::Evaluation;
use crate::score::{Protocol, Report, Score};
use serde::Serialize;
use std::collections::BTreeMap;

/// Pairs of phones that are listed.
const PAIRS: usize = 20;
/// Utterances of TIMIT's core test set.
const CORE_TEST: usize = 192;

/// Of what the rates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rates {
    Phones,
    Words,
}

impl Rates {
    /// As files name it.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Phones => "phones",
            Self::Words => "words",
        }
    }
}

/// Everything that is printed.
#[derive(Serialize)]
pub struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wer: Option<f64>,
    substitutions: usize,
    deletions: usize,
    insertions: usize,
    pub utterances: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference_phones: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_words: Option<usize>,
    real_time_factor: f64,
    pub protocol: String,
    pub model: String,
    interval: Option<(f64, f64)>,
    interval_by_utterance: Option<(f64, f64)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    protocols: Vec<ByProtocol>,
    confusions: Vec<Confusion>,
    #[serde(skip)]
    speakers: BTreeMap<String, Score>,
    #[serde(skip)]
    seconds: f64,
}

#[derive(Serialize)]
struct WithSpeakers<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    by_speaker: BTreeMap<&'a str, Counts>,
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

/// The rate of the same hypotheses under another protocol.
#[derive(Serialize)]
struct ByProtocol {
    name: String,
    #[serde(flatten)]
    counts: Counts,
    interval: Option<(f64, f64)>,
    about: String,
    #[serde(skip)]
    core_test_phones: Option<usize>,
}

impl From<&Score> for Counts {
    fn from(score: &Score) -> Self {
        let Score { substitutions, deletions, insertions, reference } = *score;
        Self { per: score.per(), substitutions, deletions, insertions, reference_phones: reference }
    }
}

impl ByProtocol {
    fn new(evaluation: &Evaluation, protocol: &Protocol) -> Self {
        let report = evaluation.report(protocol);
        Self {
            name: protocol.name.clone(),
            counts: (&report.total).into(),
            interval: report.interval(SEED),
            about: protocol.describe(),
            core_test_phones: protocol.core_test_phones,
        }
    }
}

impl Summary {
    /// The figures under `protocol`, and under all others if they are rates of phones; `about` says how they came about.
    pub fn new(
        evaluation: &Evaluation,
        model: &str,
        protocol: &Protocol,
        about: String,
        rates: Rates,
    ) -> crate::Result<Self> {
        let report: Report = evaluation.report(protocol);
        let phones = rates == Rates::Phones;
        let all = if phones { Protocol::all()? } else { Vec::new() };
        let confusion = |(reference, hypothesis, count): (Option<&str>, Option<&str>, usize)| Confusion {
            reference: reference.map(str::to_owned),
            hypothesis: hypothesis.map(str::to_owned),
            count,
        };
        Ok(Self {
            per: phones.then(|| report.total.per()),
            wer: (!phones).then(|| report.total.per()),
            substitutions: report.total.substitutions,
            deletions: report.total.deletions,
            insertions: report.total.insertions,
            utterances: report.utterances.len(),
            reference_phones: phones.then_some(report.total.reference),
            reference_words: (!phones).then_some(report.total.reference),
            real_time_factor: evaluation.real_time_factor(),
            protocol: about,
            model: model.to_owned(),
            interval: report.interval(SEED),
            interval_by_utterance: report.interval_by_utterance(SEED),
            protocols: all.iter().map(|protocol| ByProtocol::new(evaluation, protocol)).collect(),
            confusions: report.most_confused(PAIRS).into_iter().map(confusion).collect(),
            speakers: report.speakers,
            seconds: evaluation.seconds,
        })
    }

    /// A set as large as TIMIT's core test set that is another one, or was read in another way, must not pass for it.
    pub fn warn_of_other_sets(&self) {
        let graves = self.protocols.iter().find_map(|p| Some((p.counts.reference_phones, p.core_test_phones?)));
        if let Some((found, papers)) = graves.filter(|(found, papers)| self.utterances == CORE_TEST && found != papers)
        {
            output::warning(format!(
                "{CORE_TEST} utterances, as TIMIT's core test set has, but {found} phones folded to 39 where papers have \
                 {papers}: the rates are not to be held against theirs"
            ));
        }
    }

    /// Prints it all.
    pub fn print(&self, json: bool, by_speaker: bool) -> anyhow::Result<()> {
        if json && by_speaker {
            let by_speaker = self.speakers.iter().map(|(speaker, score)| (speaker.as_str(), score.into())).collect();
            return output::json(&WithSpeakers { summary: self, by_speaker });
        }
        if json {
            return output::json(self);
        }
        output::line(self.table())?;
        if !self.protocols.is_empty() {
            output::line(format!("\n{}", self.protocol_table()))?;
        }
        if by_speaker {
            output::line(format!("\n{}", self.speaker_table()))?;
        }
        Ok(())
    }

    fn table(&self) -> Table {
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
            match (self.interval, self.interval_by_utterance) {
                (Some((low, high)), _) => format!("{low:.2} to {high:.2} %, by speaker"),
                (None, Some((low, high))) => format!("{low:.2} to {high:.2} %, by utterance: fewer than five speakers"),
                (None, None) => "none: fewer than five speakers, and utterances".to_owned(),
            },
        );
        table.row("substitutions", share(self.substitutions));
        table.row("deletions", share(self.deletions));
        table.row("insertions", share(self.insertions));
        let references = [("reference phones", self.reference_phones), ("reference words", self.reference_words)];
        for (name, count) in references.into_iter().filter_map(|(name, count)| Some((name, count?))) {
            table.row(name, count);
        }
        table.row("utterances", format!("{}, {:.1} minutes", self.utterances, self.seconds / 60.0));
        table.row("real-time factor", format!("{:.4} on one processor", self.real_time_factor));
        table.row("model", &self.model);
        table.row("protocol", &self.protocol);
        let named = |phone: &Option<String>| phone.clone().unwrap_or_else(|| "-".to_owned());
        let pair = |c: &Confusion| format!("{} > {} {}", named(&c.reference), named(&c.hypothesis), c.count);
        let pairs: Vec<String> = self.confusions.iter().map(pair).collect();
        table.row("most confused", if pairs.is_empty() { "nothing".to_owned() } else { pairs.join(", ") });
        table
    }

    /// The same hypotheses under every protocol: what the choice is worth.
    fn protocol_table(&self) -> Table {
        let mut table = Table::default();
        table.row("by protocol", "   PER   sub   del   ins  phones  95 % interval");
        for ByProtocol { name, counts, interval, .. } in &self.protocols {
            let interval = interval.map_or_else(|| "-".to_owned(), |(low, high)| format!("{low:.2} to {high:.2}"));
            table.row(name, format!("{}  {interval}", columns(counts)));
        }
        table
    }

    fn speaker_table(&self) -> Table {
        let mut table = Table::default();
        table.row("speaker", "   PER   sub   del   ins  phones");
        for (speaker, score) in &self.speakers {
            table.row(if speaker.is_empty() { "(not named)" } else { speaker }, columns(&score.into()));
        }
        table
    }
}

fn columns(counts: &Counts) -> String {
    let Counts { per, substitutions, deletions, insertions, reference_phones } = counts;
    format!("{per:6.2} {substitutions:5} {deletions:5} {insertions:5} {reference_phones:7}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Recognized;

    fn summary() -> crate::Result<Summary> {
        let utterance = |speaker: &str, reference: &str, hypothesis: &str| Recognized {
            speaker: speaker.into(),
            reference: reference.into(),
            hypothesis: hypothesis.into(),
            ..Recognized::default()
        };
        let evaluation = Evaluation {
            utterances: vec![utterance("a", "k ae h# t", "k eh t s"), utterance("b", "t uw", "uw")],
            seconds: 90.0,
            computing: 0.9,
            warnings: Vec::new(),
        };
        Summary::new(&evaluation, "m", &Protocol::named("arpabet")?, "p".to_owned(), Rates::Phones)
    }

    #[test]
    fn the_summary_is_readable() -> anyhow::Result<()> {
        let expected = "\
phone error rate  60.00 %
95 % interval     none: fewer than five speakers, and utterances
substitutions     1 (20.00 %)
deletions         1 (20.00 %)
insertions        1 (20.00 %)
reference phones  5
utterances        2, 1.5 minutes
real-time factor  0.0100 on one processor
model             m
protocol          p
most confused     - > s 1, ae > eh 1, t > - 1";
        assert_eq!(summary()?.table().to_string(), expected);
        let table = summary()?.speaker_table().to_string();
        assert_eq!(table.lines().nth(2), Some("b         50.00     0     1     0       2"));
        let table = summary()?.protocol_table().to_string();
        assert_eq!(table.lines().nth(2), Some("graves        66.67     3     1     0       6  -"));
        assert_eq!(table.lines().nth(5), Some("no-silence    60.00     1     1     1       5  -"));
        Ok(())
    }

    #[test]
    fn json_has_the_promised_keys() -> anyhow::Result<()> {
        let value = serde_json::to_value(summary()?)?;
        for key in ["per", "substitutions", "deletions", "insertions", "utterances", "reference_phones"] {
            assert!(value[key].is_number(), "{key}");
        }
        assert!(value["real_time_factor"].is_number() && value["protocol"] == "p" && value["model"] == "m");
        assert!(value["interval"].is_null() && value["confusions"][0]["reference"].is_null());
        let graves = &value["protocols"][1];
        assert!(graves["name"] == "graves" && graves["reference_phones"] == 6 && graves["interval"].is_null());
        Ok(())
    }
}
