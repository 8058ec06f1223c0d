//! How transcripts are read off the network's output: the options as typed, what they mean, and the decoder that they make.
#![forbid(unsafe_code)]

use super::output;
use crate::decode::{Beam, Decoder, Fusion, Greedy, PhoneLmBeam, WordBeam};
use crate::lexicon::Lexicon;
use crate::lm::NGram;
use crate::phones::PhoneSet;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// How phones are read off the network's output.
#[derive(Args, Clone, Debug, Default)]
pub struct DecoderArgs {
    /// How phones are read off the network's output [default: greedy, or beam with any option of the beam's]
    #[arg(long, value_name = "DECODER")]
    pub decoder: Option<DecoderKind>,
    /// Prefixes that beam search keeps in every frame, 1 to 10000 [default: 16, for words 200]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub beam: Option<u16>,
    /// Look for words, those of the built-in dictionary or of --lexicon
    #[arg(long)]
    pub words: bool,
    /// Dictionary of the words to look for; implies --words
    ///
    /// A line a pronunciation, as in CMUdict: the word, then its phones. May be packed with gzip.
    #[arg(long, value_name = "FILE")]
    pub lexicon: Option<PathBuf>,
    /// N-gram language model of phones, or of words with --words: an ARPA file, perhaps packed with gzip
    ///
    /// `default` is the built-in one for English, `none` is none. Without this option the built-in one serves for the words of
    /// the built-in dictionary, and otherwise none. 'formant lm' makes one.
    #[arg(long, value_name = "FILE")]
    pub lm: Option<PathBuf>,
    /// How much the language model counts beside the network [default: 0.4, for words 0.7]
    #[arg(long, value_name = "X", value_parser = finite)]
    pub lm_weight: Option<f32>,
    /// Added to the logarithm of the probability for each phone or word of a language model [default: 0.8, for words 0.5]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = finite)]
    pub bonus: Option<f32>,
    /// Word that is likely here, and perhaps by how much (natural logarithm, default 3); may be given several times
    #[arg(long, value_name = "WORD[=X]", value_parser = hotword)]
    pub hotword: Vec<(String, f32)>,
}

/// In the place of a language model's file: the built-in one, and none.
const DEFAULT: &str = "default";
const NONE: &str = "none";

/// Names of the decoders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DecoderKind {
    /// The best symbol of every frame: fastest
    Greedy,
    /// Prefix beam search: the most probable phones, or words, over all their paths
    Beam,
}

fn finite(text: &str) -> Result<f32, String> {
    text.parse().ok().filter(|x: &f32| x.abs() <= 100.0).ok_or_else(|| "it is a number between -100 and 100".to_owned())
}

fn hotword(text: &str) -> Result<(String, f32), String> {
    let (word, boost) = text.split_once('=').unwrap_or((text, "3"));
    Ok((word.to_owned(), finite(boost)?))
}

/// A decoder, as it is told to the reader of its results.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Decoding {
    /// Best path.
    Greedy,
    /// Prefix beam search.
    Beam {
        /// Prefixes kept.
        width: usize,
        /// What is looked for, if not phones.
        #[serde(skip_serializing_if = "Option::is_none")]
        words: Option<Words>,
        /// The language model.
        #[serde(skip_serializing_if = "Option::is_none")]
        lm: Option<Model>,
        /// For each phone or word.
        #[serde(skip_serializing_if = "is_zero")]
        bonus: f32,
    },
}

/// Which words are looked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Words {
    /// The dictionary; the built-in one if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    lexicon: Option<PathBuf>,
    /// Words and what is added for them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hotwords: Vec<(String, f32)>,
}

/// A language model, and how much it counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    path: PathBuf,
    weight: f32,
}

impl Model {
    fn read(&self, words: bool) -> crate::Result<NGram> {
        match (self.path == Path::new(DEFAULT), words) {
            (true, true) => Ok(NGram::english()),
            (true, false) => Ok(NGram::phones()),
            (false, _) => NGram::read(&self.path),
        }
    }
}

fn is_zero(x: &f32) -> bool {
    *x == 0.0
}

impl DecoderArgs {
    const WIDTH: u16 = 16;
    const WORDS_WIDTH: u16 = 200;
    /// Chosen on the development sets of speechocean762 and AN4: of phones, and of words.
    const LM_WEIGHT: [f32; 2] = [0.4, 0.7];
    const BONUS: [f32; 2] = [0.8, 0.5];

    /// The decoder asked for.
    ///
    /// # Errors
    /// If options are given to a decoder that has none: no option is ignored.
    pub fn plan(&self) -> anyhow::Result<Decoding> {
        let words = self.words || self.lexicon.is_some();
        if !words && !self.hotword.is_empty() {
            return Err(output::with_hint("hotwords are for words", "add --words"));
        }
        let with_lm = match &self.lm {
            Some(path) => path != Path::new(NONE),
            None => words && self.lexicon.is_none(),
        };
        if !with_lm && self.lm_weight.is_some() {
            return Err(output::with_hint("there is no language model to weigh", "--lm names one"));
        }
        if !with_lm && !words && self.bonus.is_some() {
            return Err(output::with_hint("a bonus for phones is for a language model", "--lm names one"));
        }
        let plain = self.beam.is_none() && !words && self.lm.is_none();
        if self.decoder == Some(DecoderKind::Greedy) && !plain {
            let hint = "leave --decoder greedy out, or the options of the beam";
            return Err(output::with_hint("the greedy decoder has no beam, words or language model", hint));
        }
        if plain && self.decoder != Some(DecoderKind::Beam) {
            return Ok(Decoding::Greedy);
        }
        let width = self.beam.unwrap_or(if words { Self::WORDS_WIDTH } else { Self::WIDTH });
        let model = || Model {
            path: self.lm.clone().unwrap_or_else(|| DEFAULT.into()),
            weight: self.lm_weight.unwrap_or(Self::LM_WEIGHT[usize::from(words)]),
        };
        Ok(Decoding::Beam {
            width: width.into(),
            bonus: self.bonus.unwrap_or(if with_lm { Self::BONUS[usize::from(words)] } else { 0.0 }),
            words: words.then(|| Words { lexicon: self.lexicon.clone(), hotwords: self.hotword.clone() }),
            lm: with_lm.then(model),
        })
    }
}

impl Decoding {
    /// The decoder for a model's phones, and the dictionary if it looks for words.
    ///
    /// # Errors
    /// If a file cannot be read, or does not fit the phones.
    pub fn build(&self, phones: &PhoneSet) -> anyhow::Result<(Box<dyn Decoder>, Option<Lexicon>)> {
        let Self::Beam { width, words, lm, bonus } = self else { return Ok((Box::new(Greedy), None)) };
        let (width, fusion) = (*width, Fusion { weight: lm.as_ref().map_or(0.0, |lm| lm.weight), bonus: *bonus });
        let named = |e: crate::Error, lm: &Option<Model>| match lm {
            Some(lm) => anyhow::anyhow!("{}: {e}", output::path(&lm.path)),
            None => e.into(),
        };
        let model = lm.as_ref().map(|lm| lm.read(words.is_some())).transpose()?;
        let Some(Words { lexicon, hotwords }) = words else {
            return Ok(match model {
                Some(model) => {
                    let beam = PhoneLmBeam::new(width, model, phones, fusion);
                    (Box::new(beam.map_err(|e| named(e, lm))?), None)
                }
                None => (Box::new(Beam { width }), None),
            });
        };
        let lexicon = match lexicon {
            Some(path) => Lexicon::read(path, phones)?,
            None => Lexicon::cmudict(phones),
        };
        let beam = WordBeam::new(width, &lexicon, model, fusion, hotwords).map_err(|e| named(e, lm))?;
        Ok((Box::new(beam), Some(lexicon)))
    }

    /// In words.
    pub fn describe(&self) -> String {
        let Self::Beam { width, words, lm, bonus } = self else { return "greedy decoding".to_owned() };
        let mut text = format!("beam search of width {width}");
        if let Some(Words { lexicon, hotwords }) = words {
            text += " for the words of ";
            text += &lexicon.as_ref().map_or("CMUdict".to_owned(), |path| output::path(path));
            if !hotwords.is_empty() {
                text += &format!(" with {} hotwords", hotwords.len());
            }
        }
        if let Some(Model { path, weight }) = lm {
            text += &format!(", language model {} weighed {weight}", output::path(path));
        }
        if *bonus != 0.0 {
            text += &format!(", bonus {bonus}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_decoder_option_is_ignored() {
        let args = |decoder, beam| DecoderArgs { decoder, beam, ..DecoderArgs::default() };
        let beam = |width| Decoding::Beam { width, words: None, lm: None, bonus: 0.0 };
        let plan = |args: DecoderArgs| args.plan().map_err(|e| e.to_string());
        assert_eq!(plan(args(None, None)), Ok(Decoding::Greedy));
        assert_eq!(plan(args(None, Some(4))), Ok(beam(4)));
        assert_eq!(plan(args(Some(DecoderKind::Beam), None)), Ok(beam(16)));
        assert!(plan(args(Some(DecoderKind::Greedy), Some(4))).is_err());
        let greedy = DecoderArgs { words: true, ..args(Some(DecoderKind::Greedy), None) };
        assert!(plan(greedy).is_err());
        assert!(plan(DecoderArgs { lm_weight: Some(1.0), ..DecoderArgs::default() }).is_err());
        assert!(plan(DecoderArgs { bonus: Some(1.0), ..args(None, Some(4)) }).is_err());
        let lm = |args: DecoderArgs| plan(args).map(|d| matches!(d, Decoding::Beam { lm: Some(_), .. }));
        assert_eq!(lm(DecoderArgs { words: true, ..DecoderArgs::default() }), Ok(true));
        assert_eq!(lm(DecoderArgs { words: true, lm: Some(NONE.into()), ..DecoderArgs::default() }), Ok(false));
        assert_eq!(lm(DecoderArgs { lexicon: Some("x".into()), ..DecoderArgs::default() }), Ok(false));
        assert_eq!(lm(DecoderArgs { lm: Some(DEFAULT.into()), ..DecoderArgs::default() }), Ok(true));
        assert!(plan(DecoderArgs { hotword: vec![("x".into(), 1.0)], ..DecoderArgs::default() }).is_err());
        assert_eq!(hotword("x=1.5"), Ok(("x".to_owned(), 1.5)));
        assert!(hotword("x=y").is_err() && finite("inf").is_err());
    }

    #[test]
    fn what_is_not_given_is_not_told() -> anyhow::Result<()> {
        let told = |decoding: &Decoding| serde_json::to_string(decoding);
        assert_eq!(told(&Decoding::Greedy)?, "{\"kind\":\"greedy\"}");
        let beam = Decoding::Beam { width: 4, words: None, lm: None, bonus: 0.0 };
        assert_eq!(told(&beam)?, "{\"kind\":\"beam\",\"width\":4}");
        assert_eq!(beam.describe(), "beam search of width 4");
        Ok(())
    }
}
