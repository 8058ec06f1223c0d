//! A corpus in TIMIT's layout: where each utterance goes, and its four files.
#![forbid(unsafe_code)]

use crate::annotation::{Mark, format_timit};
use crate::audio::{Waveform, sphere};
use crate::corpus::Manifest;
use crate::error::{Error, Result};
use crate::files;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The folder of a split: `TRAIN`, `DEV`, or `TEST` for everything else.
pub fn part(split: &str) -> &'static str {
    match split {
        "train" => "TRAIN",
        "dev" => "DEV",
        _ => "TEST",
    }
}

/// Where the utterances of a split go, relative to the corpus and without a suffix: `TRAIN/DR1/FCJF0/SX1`. Speakers are
/// called by their sex, if a column `gender` says it, and their name; dialects by a column `dialect` of the form `dr1`, or all
/// `DR1`. Sentences are numbered by speaker; those of a column `kind` with `sa` or `si` keep that.
pub fn places(manifest: &Manifest, split: &str) -> Vec<PathBuf> {
    let column = |name: &str| manifest.columns.iter().position(|column| column == name);
    let (gender, dialect, kind) = (column("gender"), column("dialect"), column("kind"));
    let names = speaker_names(manifest, gender);
    let mut counts = BTreeMap::<&str, usize>::new();
    let of = |fields: &[String], place: Option<usize>| place.map(|n| fields[n].to_lowercase()).unwrap_or_default();
    manifest
        .utterances
        .iter()
        .map(|utterance| {
            let dialect = of(&utterance.fields, dialect);
            let is_dialect =
                dialect.strip_prefix("dr").is_some_and(|n| n.len() == 1 && n.as_bytes()[0].is_ascii_digit());
            let kind = of(&utterance.fields, kind);
            let kind = if ["sa", "si"].contains(&kind.as_str()) { &kind } else { "sx" };
            let speaker = &names[utterance.speaker.as_str()];
            let count = counts.entry(speaker).or_default();
            *count += 1;
            let sentence = format!("{kind}{count}").to_uppercase();
            let dialect = if is_dialect { dialect.to_uppercase() } else { "DR1".to_owned() };
            [part(split), &dialect, speaker, &sentence].iter().collect()
        })
        .collect()
}

/// A folder's name for each speaker: letters and digits in capitals, the sex first, and no two the same.
fn speaker_names(manifest: &Manifest, gender: Option<usize>) -> BTreeMap<&str, String> {
    let mut taken = BTreeSet::new();
    let mut names = BTreeMap::new();
    for utterance in &manifest.utterances {
        let speaker = utterance.speaker.as_str();
        if names.contains_key(speaker) {
            continue;
        }
        let sex = gender.and_then(|n| utterance.fields[n].chars().next()).map(|sex| sex.to_ascii_uppercase());
        let sex = sex.filter(|sex| matches!(sex, 'F' | 'M')).unwrap_or('X');
        let plain: String = speaker.chars().filter(char::is_ascii_alphanumeric).collect();
        let plain = plain.to_uppercase();
        // A name that TIMIT gave has its sex already.
        let timit = speaker.len() == 5 && plain.starts_with(sex) && plain.ends_with(|c: char| c.is_ascii_digit());
        let name = if timit { plain } else { format!("{sex}{plain}") };
        let numbered = (2..).map(|n| format!("{name}X{n}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name);
        taken.insert(free.clone());
        names.insert(speaker, free);
    }
    names
}

/// Writes .WAV (SPHERE, 16 bits), .PHN, .TXT, and .WRD if there are words, beside each other at `place`.
///
/// # Errors
/// If a file cannot be written.
pub fn write(place: &Path, wave: &Waveform, phones: &[Mark], words: &[Mark], text: &str) -> Result<()> {
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    let name: Vec<_> = place.iter().rev().take(2).map(|part| part.to_string_lossy().to_lowercase()).collect();
    let id = format!("{}_{}", name.get(1).map_or("", String::as_str), name.first().map_or("", String::as_str));
    let text = format!("0 {} {text}\n", wave.samples().len());
    let mut contents = vec![("PHN", format_timit(phones).into_bytes()), ("TXT", text.into_bytes())];
    if !words.is_empty() {
        contents.push(("WRD", format_timit(words).into_bytes()));
    }
    // The recording last: where it is, the rest is, too.
    contents.push(("WAV", sphere(wave, &id)));
    contents.iter().try_for_each(|(suffix, bytes)| files::write_atomic(&place.with_extension(suffix), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speakers_and_sentences_get_names_of_timits_form() -> Result<()> {
        let text = "path\tphones\tspeaker\tgender\tdialect\tkind\na\tk\ts-1\tf\tdr3\tsi\nb\tk\ts1\tfemale\t\t\nc\tk\ts-1\tf\tdr3\t\nd\tk\tmabc0\tm\tNew England\tsx\ne\tk\t\t\t\t\n";
        let manifest = Manifest::parse(text.as_bytes(), Path::new("m"))?;
        let found = places(&manifest, "train");
        let expected =
            ["TRAIN/DR3/FS1/SI1", "TRAIN/DR1/FS1X2/SX1", "TRAIN/DR3/FS1/SX2", "TRAIN/DR1/MABC0/SX1", "TRAIN/DR1/X/SX1"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!((part("dev"), part("test-complete")), ("DEV", "TEST"));
        Ok(())
    }
}
