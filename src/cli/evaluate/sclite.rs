//! References and hypotheses as NIST's sclite reads them, so that another scorer can check.
#![forbid(unsafe_code)]

use crate::evaluate::Recognized;
use crate::files;
use crate::score::Protocol;
use anyhow::Context;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Writes `ref.trn` and `hyp.trn`, folded by the protocol, and `hyp.ctm`, not folded, with times.
pub fn write(folder: &Path, utterances: &[Recognized], protocol: &Protocol) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let (mut reference, mut hypothesis, mut ctm) = (String::new(), String::new(), String::new());
    for (n, utterance) in utterances.iter().enumerate() {
        let id = identifier(&utterance.speaker, n);
        // Writing to a string cannot fail.
        for (text, symbols) in [(&mut reference, &utterance.reference), (&mut hypothesis, &utterance.hypothesis)] {
            let _ = writeln!(text, "{} ({id})", protocol.symbols(symbols).join(" "));
        }
        for (symbol, (start, end)) in utterance.hypothesis.split_whitespace().zip(&utterance.times) {
            let _ = writeln!(ctm, "{id} 1 {start:.3} {:.3} {symbol}", end - start);
        }
    }
    for (name, text) in [("ref.trn", reference), ("hyp.trn", hypothesis), ("hyp.ctm", ctm)] {
        files::write_atomic(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// What sclite knows an utterance by: the speaker before the hyphen, the number of the utterance behind it.
fn identifier(speaker: &str, n: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let speaker: String = speaker.chars().map(plain).collect();
    format!("{}-{:05}", if speaker.is_empty() { "unnamed" } else { &speaker }, n + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_utterance() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let utterance = Recognized {
            speaker: "dr1-x y".into(),
            reference: "h# k ao h#".into(),
            hypothesis: "k aa".into(),
            times: vec![(0.25, 0.5), (0.5, 0.75)],
            ..Recognized::default()
        };
        write(folder.path(), &[utterance], &Protocol::named("graves")?)?;
        let read = |name: &str| fs::read_to_string(folder.path().join(name));
        assert_eq!(read("ref.trn")?, "sil k aa sil (dr1_x_y-00001)\n");
        assert_eq!(read("hyp.trn")?, "k aa (dr1_x_y-00001)\n");
        assert_eq!(read("hyp.ctm")?, "dr1_x_y-00001 1 0.250 0.250 k\ndr1_x_y-00001 1 0.500 0.250 aa\n");
        Ok(())
    }
}
