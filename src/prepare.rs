//! Labels for corpora that have only texts, and a look at every recording: what stands between a corpus as it is distributed
//! and one that can be trained on.
#![forbid(unsafe_code)]

use crate::audio::Waveform;
use crate::corpus::{Prepared, Problem, Row};
use crate::error::Result;
use crate::lexicon::Lexicon;
use crate::parallel;
use crate::phones::{PhoneId, PhoneSet};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Words that are not in the dictionary, and how often each comes.
pub type Unknown = BTreeMap<String, usize>;

/// Labels every utterance that has none with the first pronunciation of each of its words. An utterance with a word that
/// the dictionary lacks is left out: a label with a gap would teach that the word is silent.
pub fn label(prepared: &mut Prepared, lexicon: &Lexicon, phones: &PhoneSet) -> Unknown {
    let mut unknown = Unknown::new();
    let mut problems = Vec::new();
    for split in &mut prepared.splits {
        split.rows.retain_mut(|row| {
            if !row.phones.is_empty() {
                return true;
            }
            match pronounce(&row.text, lexicon) {
                Ok(label) if label.is_empty() => {
                    problems.push(Problem::left_out(&row.audio, "its text has no words"));
                    false
                }
                Ok(label) => {
                    row.phones = phones.decode(&label);
                    true
                }
                Err(words) => {
                    let what = format!("not in the dictionary: {}", words.join(", "));
                    problems.push(Problem::left_out(&row.audio, what));
                    words.into_iter().for_each(|word| *unknown.entry(word.to_lowercase()).or_default() += 1);
                    false
                }
            }
        });
    }
    prepared.problems.extend(problems);
    unknown
}

/// The phones of a text, or its words that the dictionary lacks.
fn pronounce(text: &str, lexicon: &Lexicon) -> Result<Vec<PhoneId>, Vec<String>> {
    let words = lexicon.words(text);
    let unknown: Vec<String> =
        words.iter().filter(|word| word.pronunciations.is_empty()).map(|word| word.text.clone()).collect();
    if unknown.is_empty() {
        Ok(words.iter().filter_map(|word| word.pronunciations.first()).flatten().copied().collect())
    } else {
        Err(unknown)
    }
}

/// Decodes every recording whose length is not known yet, and writes it down. Damaged recordings are named, those that
/// cannot be read are left out. `progress` is told how many were looked at, and how many there are.
pub fn look_at_recordings(prepared: &mut Prepared, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<()> {
    let count = prepared.splits.iter().map(|split| split.rows.len()).sum();
    let mut rows: Vec<&mut Row> = prepared.splits.iter_mut().flat_map(|split| &mut split.rows).collect();
    let paths: Vec<_> = rows.iter().map(|row| row.seconds.is_none().then(|| row.audio.clone())).collect();
    let mut problems = Vec::new();
    let take = |n: usize, wave: Option<Result<Waveform>>| {
        match wave {
            Some(Ok(wave)) => {
                rows[n].seconds = Some(wave.seconds());
                problems.extend(wave.warnings().iter().map(|what| Problem::noted(&rows[n].audio, what)));
            }
            Some(Err(error)) => {
                // The file's name stands beside it.
                let (what, name) = (error.to_string(), format!("{}: ", rows[n].audio.display()));
                problems.push(Problem::left_out(&rows[n].audio, what.strip_prefix(&name).unwrap_or(&what)));
            }
            None => {}
        }
        progress(n + 1, count);
        ControlFlow::Continue(())
    };
    parallel::in_order(count, |n| paths[n].as_ref().map(Waveform::open), take)?;
    for split in &mut prepared.splits {
        split.rows.retain(|row| row.seconds.is_some());
    }
    prepared.problems.extend(problems);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Split;

    #[test]
    fn words_become_phones_or_the_utterance_goes() {
        let phones = PhoneSet::arpabet39();
        let row = |text: &str| Row { audio: text.into(), text: text.into(), ..Row::default() };
        let rows = vec![row("Call a CAT!"), row("the xqzt"), row("..."), Row { phones: "k".into(), ..row("xqzt") }];
        let split = Split { name: "train".into(), more: Vec::new(), rows };
        let mut prepared = Prepared { splits: vec![split], ..Prepared::default() };
        let unknown = label(&mut prepared, &Lexicon::cmudict(&phones), &phones);
        let labels: Vec<&str> = prepared.splits[0].rows.iter().map(|row| row.phones.as_str()).collect();
        assert_eq!(labels, ["k ao l ah k ae t", "k"]);
        let what: Vec<&str> = prepared.problems.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(what, ["not in the dictionary: xqzt", "its text has no words"]);
        assert_eq!(unknown.into_iter().collect::<Vec<_>>(), [("xqzt".to_owned(), 1)]);
    }
}
