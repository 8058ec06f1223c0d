//! CTM, as NIST's sclite reads it: a line an interval: recording, channel, start, duration, word, confidence.
#![forbid(unsafe_code)]

use super::{Annotation, Tier};
use std::fmt::Write;

/// The lines of one tier. What stands in a field has no spaces: they become underscores.
pub fn ctm(annotation: &Annotation, tier: &Tier) -> String {
    let mut text = String::new();
    let field = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("_");
    let recording = field(&annotation.recording);
    for interval in &tier.intervals {
        let (start, duration) = (interval.start, (interval.end - interval.start).max(0.0));
        // Writing to a string cannot fail.
        let _ = write!(text, "{recording} 1 {start:.3} {duration:.3} {}", field(&interval.text));
        if let Some(confidence) = interval.confidence {
            let _ = write!(text, " {confidence:.3}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn as_sclite_reads_it() {
        let example = example();
        assert_eq!(
            ctm(&example, &example.tiers[0]),
            "a_b.wav 1 0.250 0.500 say_\"<hi>\" 0.500\na_b.wav 1 1.500 0.500 yes 0.500\n"
        );
    }
}
