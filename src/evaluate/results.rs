//! The file of an evaluation: what was heard in each utterance, as JSON lines, from which rates can be made later, and two
//! systems compared.
#![forbid(unsafe_code)]

use super::Recognized;
use crate::error::{Error, Result};
use crate::table::text_lines;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What was heard, and by what. In the file, the first line is all but the utterances, which follow, one a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Version of this format: 1.
    #[serde(rename = "formant_results")]
    pub version: u32,
    /// The model.
    pub model: String,
    /// How it was decoded, and what the references are, in words.
    pub about: String,
    /// `phones` or `words`.
    pub unit: String,
    /// In the order of the corpus.
    #[serde(skip)]
    pub utterances: Vec<Recognized>,
}

impl Results {
    /// The bytes of the file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let line = |json: serde_json::Result<String>| json.map_err(|e| Error::invalid(e.to_string()));
        let mut text = line(serde_json::to_string(self))?;
        for utterance in &self.utterances {
            text.push('\n');
            text += &line(serde_json::to_string(utterance))?;
        }
        text.push('\n');
        Ok(text.into_bytes())
    }

    /// Reads such a file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&crate::files::read(path)?, path)
    }

    /// Reads such a file's bytes; `path` names it in messages.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut results: Option<Self> = None;
        for line in text_lines(bytes, path) {
            let (number, line) = line?;
            let error = |reason: &str| Error::table(path, number, reason);
            match &mut results {
                None => {
                    let first: Self = serde_json::from_str(line).map_err(|_| {
                        error("not the results of an evaluation ('formant evaluate --results FILE' writes them)")
                    })?;
                    if first.version != 1 {
                        return Err(error(&format!("version {} of the format is not known", first.version)));
                    }
                    results = Some(first);
                }
                Some(results) => {
                    let utterance: Recognized = serde_json::from_str(line)
                        .map_err(|e| error(&format!("not an utterance of an evaluation: {e}")))?;
                    results.utterances.push(utterance);
                }
            }
        }
        results.ok_or_else(|| Error::table(path, 1, "an empty file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn results() -> Results {
        let utterance = Recognized {
            id: "a b.wav".into(),
            speaker: "s\"1".into(),
            seconds: 1.5,
            reference: "k ae t".into(),
            hypothesis: "k ae".into(),
            times: vec![(0.0, 0.5), (0.5, 1.0)],
        };
        let utterances = vec![utterance, Recognized::default()];
        Results { version: 1, model: "m".into(), about: "greedy".into(), unit: "phones".into(), utterances }
    }

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        let bytes = results().to_bytes()?;
        assert_eq!(bytes.iter().filter(|b| **b == b'\n').count(), 3);
        assert_eq!(Results::parse(&bytes, Path::new("x"))?, results());
        Ok(())
    }

    #[test]
    fn other_files_are_refused_by_line() {
        let error = |text: &str| Results::parse(text.as_bytes(), Path::new("x")).unwrap_err().to_string();
        assert_eq!(error(""), "x:1: an empty file");
        assert!(error("{}").starts_with("x:1: not the results of an evaluation"));
        let first = r#"{"formant_results":1,"model":"m","about":"","unit":"phones"}"#;
        assert!(
            error(&format!("{first}\n{{}}\n")).starts_with("x:2: not an utterance of an evaluation: missing field")
        );
        assert_eq!(error(&first.replace(":1", ":2")), "x:1: version 2 of the format is not known");
    }

    proptest! {
        #[test]
        fn any_bytes_give_results_or_an_error(at in 0usize..300, value in any::<u8>()) {
            let mut bytes = results().to_bytes().expect("it can be written");
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = Results::parse(&bytes, Path::new("x"));
        }
    }
}
