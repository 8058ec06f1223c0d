//! TIMIT's .PHN and .WRD: a line an interval: first sample, one past the last, label.
#![forbid(unsafe_code)]

use super::{Annotation, Tier};
use crate::error::{Error, Result};
use crate::table::text_lines;
use std::fmt::Write;
use std::path::Path;

/// One line of a .PHN or .WRD file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// First sample.
    pub start: u64,
    /// One past the last sample.
    pub end: u64,
    /// What is said there.
    pub label: String,
}

/// Reads the lines of a .PHN or .WRD file; `path` names it in messages. Whether they touch, overlap or leave gaps is not
/// looked at.
///
/// # Errors
/// For the first line that is not two numbers and a label.
pub fn parse_timit(bytes: &[u8], path: &Path) -> Result<Vec<Mark>> {
    let mut marks = Vec::new();
    for line in text_lines(bytes, path) {
        let (number, line) = line?;
        if line.trim().is_empty() {
            continue;
        }
        let fields: Vec<&str> = line.split_whitespace().collect();
        let mark = match fields[..] {
            [start, end, label] => start.parse().ok().zip(end.parse().ok()).map(|(start, end)| (start, end, label)),
            _ => None,
        };
        let (start, end, label) = mark
            .filter(|(start, end, _): &(u64, u64, _)| start <= end)
            .ok_or_else(|| Error::table(path, number, "not `first-sample end-sample label`"))?;
        marks.push(Mark { start, end, label: label.to_owned() });
    }
    Ok(marks)
}

/// The lines of a .PHN or .WRD file.
pub fn format_timit(marks: &[Mark]) -> String {
    let mut text = String::new();
    for Mark { start, end, label } in marks {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{start} {end} {label}");
    }
    text
}

/// The lines of one tier. With `silences`, as in .PHN, they cover the recording: `h#` at its ends, `pau` between.
pub fn timit(annotation: &Annotation, tier: &Tier, silences: bool) -> String {
    let sample = |seconds: f64| (seconds * f64::from(annotation.sample_rate)).round() as u64;
    let tiles = tier.tiles(annotation.seconds);
    let mut marks = Vec::new();
    for (n, (start, end, label)) in tiles.iter().enumerate() {
        let label = match *label {
            "" if !silences => continue,
            "" if n == 0 || n + 1 == tiles.len() => "h#",
            "" => "pau",
            label => label,
        };
        marks.push(Mark { start: sample(*start), end: sample(*end), label: label.to_owned() });
    }
    format_timit(&marks)
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_timit_has_it() {
        let example = example();
        let phones = "0 2000 h#\n2000 4000 s\n4000 6000 ey\n6000 12000 pau\n12000 16000 ɛ\n";
        assert_eq!(timit(&example, &example.tiers[1], true), phones);
        assert_eq!(timit(&example, &example.tiers[0], false), "2000 6000 say \"<hi>\"\n12000 16000 yes\n");
    }

    #[test]
    fn what_is_read_is_written() -> Result<()> {
        let text = "0 2000 h#\n2000 4000 s\n4000 6000 ey\n";
        assert_eq!(format_timit(&parse_timit(text.as_bytes(), Path::new("x"))?), text);
        for (text, line) in [("0 1\n", 1), ("0 1 s\n1 x s\n", 2), ("\n2 1 s", 2), ("0 1 s t", 1), ("-1 1 s", 1)] {
            let error = parse_timit(text.as_bytes(), Path::new("x")).unwrap_err().to_string();
            assert_eq!(error, format!("x:{line}: not `first-sample end-sample label`"));
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn any_bytes_give_lines_or_an_error(text in "[0-9a-z# \r\n\u{ff}]{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for bytes in [text.as_bytes(), &bytes] {
                if let Ok(marks) = parse_timit(bytes, Path::new("x")) {
                    prop_assert_eq!(&parse_timit(format_timit(&marks).as_bytes(), Path::new("x")).ok(), &Some(marks));
                }
            }
        }
    }
}
