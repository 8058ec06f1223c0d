//! ARPA's text format: `\data\` and a count for each order, then for each order the n-grams, a line each: log10 of the
//! probability, the words, log10 of the back-off weight.
#![forbid(unsafe_code)]

use super::{BEGIN, Entries, MOST_WORDS, NEVER, NGram, WordIndex};
use crate::error::{Error, Result};
use crate::table;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

impl NGram {
    /// Reads an ARPA file, perhaps packed with gzip.
    ///
    /// # Errors
    /// If it cannot be read, is no ARPA file, or has another number of n-grams than it says.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&table::read(path)?, path)
    }

    /// Reads an ARPA file from its text; `path` names it in messages.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut lines = table::text_lines(bytes, path).map(|line| line.map(|(number, line)| (number, line.trim())));
        let wrong = |number: usize, reason: &str| Error::table(path, number, format!("no ARPA file: {reason}"));
        // What stands before the data is a comment.
        loop {
            match lines.next().transpose()? {
                Some((_, "\\data\\")) => break,
                Some(_) => {}
                None => return Err(wrong(1, "no line \\data\\")),
            }
        }
        let mut promised: Vec<usize> = Vec::new();
        let mut reader = Reader::default();
        for line in lines {
            let (number, line) = line?;
            if line.is_empty() {
                continue;
            }
            if line == "\\end\\" {
                reader.check(&promised).map_err(|reason| wrong(number, &reason))?;
                return NGram::new(reader.words, reader.entries);
            }
            if let Some(count) = line.strip_prefix("ngram ") {
                let count = count.split_once('=').and_then(|(order, count)| {
                    let order: usize = order.trim().parse().ok()?;
                    Some((order, count.trim().parse::<usize>().ok()?))
                });
                match count {
                    Some((order, count)) if order == promised.len() + 1 && order <= MOST_WORDS => promised.push(count),
                    _ => return Err(wrong(number, "a line ngram ORDER=COUNT that makes no sense")),
                }
            } else if line.starts_with('\\') {
                let order = line.strip_prefix('\\').and_then(|rest| rest.strip_suffix("-grams:")?.parse().ok());
                if order != Some(reader.entries.len() + 1) || reader.entries.len() >= promised.len() {
                    return Err(wrong(number, &format!("{line:?} where the next order is expected")));
                }
                reader.entries.push(Entries::new());
            } else {
                reader.line(line).map_err(|reason| wrong(number, reason))?;
            }
        }
        Err(wrong(table::text_lines(bytes, path).count(), "no line \\end\\: the file is cut off"))
    }

    /// The model as an ARPA file.
    pub fn arpa(&self) -> String {
        let mut text = String::from("\\data\\\n");
        // Writing to a string cannot fail.
        for (below, count) in self.counts().into_iter().enumerate() {
            let _ = writeln!(text, "ngram {}={count}", below + 1);
        }
        let mut before: Vec<String> = vec![String::new()];
        for (below, table) in self.orders.iter().enumerate() {
            let _ = writeln!(text, "\n\\{}-grams:", below + 1);
            let highest = below + 1 == self.order();
            let mut names = Vec::with_capacity(table.words.len());
            let mut context = 0;
            for (place, &word) in table.words.iter().enumerate() {
                if below > 0 {
                    let continuations = &self.orders[below - 1].continuations;
                    while continuations[context + 1] as usize <= place {
                        context += 1;
                    }
                }
                let name = format!("{}{}", before[context], self.words[word as usize]);
                let log10 = |ln: f32| f64::from(ln) / std::f64::consts::LN_10;
                let is_begin = below == 0 && *self.words[word as usize] == *BEGIN;
                let log_prob = if is_begin { 0.0 } else { log10(table.log_probs[place]) };
                let _ = write!(text, "{log_prob:.7}\t{name}");
                if !highest {
                    let _ = write!(text, "\t{:.7}", log10(table.backoffs[place]));
                }
                text.push('\n');
                names.push(name + " ");
            }
            before = names;
        }
        text + "\n\\end\\\n"
    }
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    words: Vec<Box<str>>,
    indices: HashMap<Box<str>, WordIndex>,
    entries: Vec<Entries>,
}

impl Reader {
    /// An n-gram of the order begun last.
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let order = self.entries.len();
        if order == 0 {
            return Err("an n-gram before the line \\1-grams:");
        }
        let mut fields = line.split_whitespace();
        let number = |field: Option<&str>| field.and_then(|f| f.parse::<f32>().ok()).filter(|x| !x.is_nan());
        let log10 = number(fields.next()).ok_or("a probability that is no number")?;
        let mut words = Vec::with_capacity(order);
        for _ in 0..order {
            let word = fields.next().ok_or("an n-gram with fewer words than its order")?;
            // The older spelling of KenLM and SRILM.
            let word = if word == "<UNK>" { super::UNKNOWN } else { word };
            words.push(match self.indices.get(word) {
                Some(&index) => index,
                None if order == 1 => {
                    let index = self.words.len() as WordIndex;
                    self.words.push(word.into());
                    self.indices.insert(word.into(), index);
                    index
                }
                None => return Err("a word that is not among the 1-grams"),
            });
        }
        let backoff = match fields.next() {
            None => 0.0,
            field => number(field).ok_or("a back-off weight that is no number, or too many words")?,
        };
        if fields.next().is_some() {
            return Err("an n-gram with more words than its order");
        }
        if log10 > 0.0 || backoff == f32::INFINITY {
            return Err("a probability above one");
        }
        let ln = |log10: f32| (log10 * std::f32::consts::LN_10).max(NEVER);
        if self.entries[order - 1].insert(words.into(), (ln(log10), ln(backoff))).is_some() {
            return Err("an n-gram that comes twice");
        }
        Ok(())
    }

    /// Compares what was read with what was promised.
    fn check(&self, promised: &[usize]) -> Result<(), String> {
        let found: Vec<usize> = self.entries.iter().map(Entries::len).collect();
        if found.is_empty() || found != promised {
            return Err(format!("{found:?} n-grams by order where {promised:?} are promised"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Estimate;
    use super::*;
    use proptest::prelude::*;

    const SMALL: &str = "made by hand\n\n\\data\\\nngram 1=4\nngram 2=2\n\n\\1-grams:\n-0.5\t<unk>\n-99 <s>\t-0.3\n-0.4\ta\t-0.2\n\
                         -0.6\t</s>\n\n\\2-grams:\n-0.1\t<s> a\n-0.2\ta </s>\n\n\\end\\\n";

    fn parse(text: &str) -> Result<NGram> {
        NGram::parse(text.as_bytes(), Path::new("x.arpa"))
    }

    #[test]
    fn reads_and_writes() -> Result<()> {
        let model = parse(SMALL)?;
        let close = |x: f64, log10: f64| (x / std::f64::consts::LN_10 - log10).abs() < 1e-6;
        assert!(close(model.sentence(["a"]).0, -0.1 - 0.2));
        assert!(close(model.sentence(["b"]).0, -0.3 - 0.5 - 0.6));
        assert!(close(model.sentence(["a", "a"]).0, -0.1 + (-0.2 - 0.4) - 0.2));
        let text = "the cat sat\nthe cat ran off\na dog sat\nthe dog ran\na cat\n";
        let sentences: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
        let model = Estimate::new(&sentences, 3)?.model;
        let again = parse(&model.arpa())?;
        assert_eq!(again.counts(), model.counts());
        for sentence in ["the cat sat", "a dog ran off", "zebra the off", ""] {
            let score = |model: &NGram| model.sentence(sentence.split_whitespace()).0;
            assert!((score(&model) - score(&again)).abs() < 1e-4, "{sentence}");
        }
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, expected) in [
            ("\\data\\", "", "x.arpa:1: no ARPA file: no line \\data\\"),
            ("ngram 2=2", "ngram 2=3", "x.arpa:17: no ARPA file: [4, 2] n-grams by order where [4, 3] are promised"),
            ("ngram 2=2", "ngram 3=2", "x.arpa:5: no ARPA file: a line ngram ORDER=COUNT that makes no sense"),
            ("\\2-grams:", "\\3-grams:", "x.arpa:13: no ARPA file: \"\\\\3-grams:\" where the next order is expected"),
            ("<s> a", "<s> b", "x.arpa:14: no ARPA file: a word that is not among the 1-grams"),
            ("<s> a", "<s>", "x.arpa:14: no ARPA file: an n-gram with fewer words than its order"),
            ("-0.1", "0.1", "x.arpa:14: no ARPA file: a probability above one"),
            ("-0.1", "x", "x.arpa:14: no ARPA file: a probability that is no number"),
            ("\\end\\\n", "", "x.arpa:16: no ARPA file: no line \\end\\: the file is cut off"),
        ] {
            assert_eq!(parse(&SMALL.replacen(from, to, 1)).unwrap_err().to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_model_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut text = SMALL.as_bytes().to_vec();
            let _ = NGram::parse(&bytes, Path::new("x"));
            let place = bytes.len() % text.len();
            text.splice(place..place, bytes);
            if let Ok(model) = NGram::parse(&text, Path::new("x")) {
                prop_assert!(!model.sentence(["a", "b"]).0.is_nan());
            }
        }
    }
}
