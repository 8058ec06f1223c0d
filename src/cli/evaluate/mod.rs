//! `formant evaluate`: the phone error rate of a model on a labelled split, with what is needed to trust the number.
#![forbid(unsafe_code)]

mod sclite;
mod summary;

use super::args::{By, EvaluateArgs};
use super::decoding::Decoding;
use super::output::{self, Progress};
use super::plot::CurvePoint;
use super::report::Material;
use super::train::points;
use super::{Outcome, device, load_model_on, model_file, use_threads};
use crate::audio::ActivityOptions;
use crate::corpus::Manifest;
use crate::decode::DecoderConfig;
use crate::evaluate::{Compare, Results, evaluate};
use crate::files;
use crate::lexicon::{Lexicon, plain_words};
use crate::model::{Measured, Model};
use crate::phones::{Folding, PhoneSet};
use crate::recognize::Recognizer;
use crate::score::Protocol;
use crate::train::Log;
use std::collections::BTreeSet;
use std::path::Path;
use summary::{Rates, Summary};

/// Unknown symbols that are named.
const NAMED: usize = 20;

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
    let mut recognizer = Recognizer::with_precision(model, &DecoderConfig::Greedy, args.model.device.precision.into())?
        .with_decoder(decoder)
        .with_hypotheses(1);
    if args.vad {
        recognizer = recognizer.with_activity(ActivityOptions::default());
    }
    let (compare, protocol) = match &lexicon {
        Some(lexicon) => {
            warn_of_unknown(unknown_words(&manifest, lexicon), "words of the texts are not in the dictionary");
            (Compare::Words(lexicon), Protocol::folded(Folding::named("none")?))
        }
        None => {
            let protocol = phone_protocol(args)?;
            let unknown = never_written(&manifest, recognizer.model().phones(), &protocol);
            warn_of_unknown(unknown, "phones of the labels are never written by the model");
            (Compare::Phones, protocol)
        }
    };
    let stream = args.stream.stream.then(|| args.stream.options());
    let progress = Progress::counting(manifest.utterances.len(), "utterances");
    let evaluation = evaluate(&recognizer, &manifest, compare, stream, &|done| progress.set(done))?;
    drop(progress);
    for warning in &evaluation.warnings {
        output::warning(warning);
    }
    let (rates, about) = match compare {
        Compare::Phones => (Rates::Phones, about(args, &protocol.describe(), &decoding)),
        Compare::Words(_) => {
            (Rates::Words, about(args, "in lower case, without punctuation, every edit costs one", &decoding))
        }
    };
    let summary = Summary::new(&evaluation, recognizer.model().name(), &protocol, about, rates)?;
    summary.warn_of_other_sets();
    if let Some(path) = &args.report {
        let _waiting = Progress::waiting("report");
        let material = Material {
            evaluation: &evaluation,
            manifest: &manifest,
            column: &args.column,
            protocol: &protocol,
            protocols: if rates == Rates::Phones { Protocol::all()? } else { Vec::new() },
            unit: rates.unit(),
            about: &summary.protocol,
            model: &summary.model,
            split: &args.split,
            curves: curves(args.model.model.as_deref())?,
            worst: args.worst,
            command: typed(),
        };
        files::write_atomic(path, &material.page()?)?;
    }
    if let (Some(set), Some(path)) = (&args.record, &args.model.model) {
        record(path, set, &summary)?;
    }
    let results = Results {
        version: 1,
        model: summary.model.clone(),
        about: summary.protocol.clone(),
        unit: rates.unit().to_owned(),
        utterances: evaluation.utterances,
    };
    if let Some(path) = &args.results {
        files::write_atomic(path, &results.to_bytes()?)?;
    }
    if let Some(folder) = &args.sclite {
        sclite::write(folder, &results.utterances, &protocol)?;
    }
    summary.print(args.json, args.by == Some(By::Speaker))?;
    Ok(if evaluation.warnings.is_empty() { Outcome::Done } else { Outcome::Suspect })
}

/// The protocol of the rate that stands first.
fn phone_protocol(args: &EvaluateArgs) -> anyhow::Result<Protocol> {
    Ok(match &args.fold {
        // What --fold timit39 says, and always has, is the protocol that is the default.
        Some(fold) if fold != "timit39" => Protocol::folded(Folding::named(fold)?),
        _ => Protocol::named(&args.protocol)?,
    })
}

/// The epochs of the run that made a model, if its log still lies beside it.
fn curves(model: Option<&Path>) -> crate::Result<Vec<CurvePoint>> {
    let folder = model.map(model_file).and_then(|file| file.parent().map(Path::to_owned));
    match folder.filter(|folder| folder.join("metrics.jsonl").exists()) {
        Some(folder) => Ok(points(&Log::epochs(&folder)?)),
        None => Ok(Vec::new()),
    }
}

/// The words of this command, as a shell would take them.
fn typed() -> String {
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./=,:+%@".contains(c));
    let quoted = |word: String| if plain(&word) { word } else { format!("'{}'", word.replace('\'', r"'\''")) };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    ["formant".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
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

/// How the figure came about, in words; `compared` says what is compared and how.
fn about(args: &EvaluateArgs, compared: &str, decoding: &Decoding) -> String {
    let words = compared.starts_with("in lower");
    let source =
        if words { "words from column text".to_owned() } else { format!("labels from column {}", args.column) };
    let which = args.limit.map(|n| format!(", first {n} utterances")).unwrap_or_default();
    let (split, mut decoder) = (&args.split, decoding.describe());
    if args.stream.stream {
        decoder += &format!(", as a stream heard at most {:.2} s late", args.stream.options().latency());
    }
    if args.vad {
        decoder += ", silence left out";
    }
    format!("split {split}{which}, {source}, {compared}, {decoder}")
}

/// Words of the texts that the decoder can never find.
fn unknown_words(manifest: &Manifest, lexicon: &Lexicon) -> Vec<String> {
    let words: BTreeSet<String> = manifest.utterances.iter().flat_map(|u| plain_words(&u.text)).collect();
    words.into_iter().filter(|word| lexicon.find(word).is_none()).collect()
}

/// Names what can only be an error, as far as it fits into a line.
fn warn_of_unknown<S: AsRef<str>>(unknown: Vec<S>, what: &str) {
    if !unknown.is_empty() {
        let named: Vec<&str> = unknown.iter().take(NAMED).map(AsRef::as_ref).collect();
        let more = if unknown.len() > NAMED { ", ..." } else { "" };
        output::warning(format!("{} {what}: {}{more}", unknown.len(), named.join(" ")));
    }
}

/// Symbols of the references, folded, that are no phone of the model, folded: each one is an error for sure.
fn never_written<'m>(manifest: &'m Manifest, phones: &PhoneSet, protocol: &'m Protocol) -> Vec<&'m str> {
    let written: BTreeSet<&str> = phones.symbols().iter().filter_map(|symbol| protocol.folding.fold(symbol)).collect();
    let labels: BTreeSet<&str> = manifest.utterances.iter().flat_map(|u| protocol.symbols(&u.phones)).collect();
    labels.into_iter().filter(|label| !written.contains(label)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_the_model_cannot_write_are_named() -> anyhow::Result<()> {
        let manifest = Manifest::parse(b"path\tphones\na\tao h# xx k\n", Path::new("m"))?;
        let phones = PhoneSet::arpabet39();
        assert_eq!(never_written(&manifest, &phones, &Protocol::named("arpabet")?), ["xx"]);
        assert_eq!(never_written(&manifest, &phones, &Protocol::named("graves")?), ["sil", "xx"]);
        assert_eq!(never_written(&manifest, &phones, &Protocol::folded(Folding::named("none")?)), ["h#", "xx"]);
        Ok(())
    }
}
