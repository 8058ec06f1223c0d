//! An alignment as JSON.
#![forbid(unsafe_code)]

use super::super::output;
use super::aligner::{Aligned, Aligner};
use crate::align::{AlignedPhone, Heard};
use crate::lexicon::Word;
use serde::Serialize;
use std::path::Path;

/// `--format json`.
#[derive(Serialize)]
pub struct Record<'a> {
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

impl Aligner<'_> {
    /// The object of a recording.
    pub fn record<'a>(&'a self, audio: &Path, aligned: &'a Aligned) -> Record<'a> {
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
