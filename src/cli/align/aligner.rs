//! A recording and its text, aligned, and what that is as an annotation.
#![forbid(unsafe_code)]

use super::super::audio_warnings;
use super::super::output;
use crate::align::Alignment;
use crate::annotation::{Annotation, Interval, Tier};
use crate::audio::Waveform;
use crate::lexicon::{Lexicon, Word};
use crate::model::Model;
use crate::phones::{Names, PhoneId};
use crate::recognize::Recognizer;
use std::path::Path;

/// Above this doubt (see [`Alignment::doubt`]) the text is hardly what was said. On development sets the texts of other
/// recordings of the set had 3.6 and more, the right ones 3.9 at most.
const DOUBTFUL: f32 = 4.0;
/// Words without pronunciation that are named.
const NAMED: usize = 8;

/// The dictionary given, with the built-in one behind it.
pub fn lexicon(path: Option<&Path>, model: &Model) -> anyhow::Result<Lexicon> {
    let built_in = Lexicon::cmudict(model.phones());
    let lexicon = match path {
        Some(path) => Lexicon::read(path, model.phones())?.or(&built_in),
        None => built_in,
    };
    if lexicon.is_empty() {
        let hint = "give one with --lexicon, or phones with --phones";
        return Err(output::with_hint(format!("no dictionary fits the phones of {:?}", model.name()), hint));
    }
    Ok(lexicon)
}

/// Aligns recordings of a corpus, or one.
pub struct Aligner<'a> {
    pub recognizer: &'a Recognizer,
    /// None where texts are phones.
    pub lexicon: Option<&'a Lexicon>,
    pub names: Names,
}

/// A recording and its text, aligned.
pub struct Aligned {
    pub words: Vec<Word>,
    pub alignment: Alignment,
    pub seconds: f64,
    pub sample_rate: u32,
    pub warnings: Vec<String>,
}

impl Aligned {
    /// Words that no dictionary has.
    pub fn unknown(&self) -> Vec<&str> {
        let unknown = self.words.iter().filter(|word| word.pronunciations.is_empty());
        unknown.map(|word| word.text.as_str()).collect()
    }

    pub fn is_suspect(&self) -> bool {
        self.alignment.doubt() > DOUBTFUL || !self.warnings.is_empty()
    }
}

impl Aligner<'_> {
    /// Aligns words, or phones where there is no dictionary.
    pub fn align(&self, wave: &Waveform, text: &str) -> anyhow::Result<Aligned> {
        let phones = self.recognizer.model().phones();
        let (words, alignment) = match self.lexicon {
            Some(lexicon) => {
                let words = lexicon.words(text);
                let alignment = self.recognizer.align_words(wave, &words)?;
                (words, alignment)
            }
            None => (Vec::new(), self.recognizer.align(wave, &phones.encode(text)?)?),
        };
        anyhow::ensure!(!alignment.words.is_empty(), "there is no word to align");
        let warnings = wave.warnings().to_vec();
        Ok(Aligned { words, alignment, seconds: wave.seconds(), sample_rate: wave.sample_rate(), warnings })
    }

    /// Says what the user should know of an alignment.
    pub fn tell(&self, audio: &Path, aligned: &Aligned) {
        audio_warnings(audio, &aligned.warnings);
        let unknown = aligned.unknown();
        if !unknown.is_empty() {
            output::warning(not_in_dictionary(&unknown));
        }
        if aligned.alignment.doubt() > DOUBTFUL {
            output::warning(format!("{}: this is hardly what is said there", output::path(audio)));
        }
    }

    /// The name of a phone; `spn` for any phones of an unknown word.
    pub fn symbol(&self, phone: PhoneId) -> String {
        match phone {
            PhoneId::BLANK => "spn".to_owned(),
            phone => self.names.name(self.recognizer.model().phones().symbol(phone)),
        }
    }

    /// Tiers of words, if there are any, and phones.
    pub fn annotation(
        &self,
        audio: &Path,
        Aligned { words, alignment, seconds, sample_rate, .. }: &Aligned,
    ) -> Annotation {
        let word = |(n, word): (usize, &Word)| {
            let (start, end) = alignment.word_times(n)?;
            let confidence = alignment.word_score(n).map(|score| score / 100.0);
            Some(Interval { start, end, text: word.text.clone(), confidence })
        };
        let phones = alignment.phones.iter().map(|phone| Interval {
            start: phone.start,
            end: phone.end,
            text: self.symbol(phone.phone),
            confidence: Some(phone.pronunciation.score() / 100.0),
        });
        let tier = |name: &str, intervals| Tier { name: name.to_owned(), intervals };
        let mut tiers = vec![tier("phones", phones.collect())];
        if self.lexicon.is_some() {
            tiers.insert(0, tier("words", words.iter().enumerate().filter_map(word).collect()));
        }
        let recording =
            audio.file_name().map_or_else(|| "stdin".to_owned(), |name| name.to_string_lossy().into_owned());
        Annotation { recording, seconds: *seconds, sample_rate: *sample_rate, tiers }
    }
}

/// Words that no dictionary has, in a sentence.
pub fn not_in_dictionary(words: &[&str]) -> String {
    let named = words.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if words.len() > NAMED { format!(" and {} more", words.len() - NAMED) } else { String::new() };
    format!("not in the dictionary, so said with any phones: {named}{more}; --lexicon can add them")
}
