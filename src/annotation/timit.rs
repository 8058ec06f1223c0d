//! TIMIT's .PHN and .WRD: a line an interval: first sample, one past the last, label.
#![forbid(unsafe_code)]

use super::{Annotation, Tier};
use std::fmt::Write;

/// The lines of one tier. With `silences`, as in .PHN, they cover the recording: `h#` at its ends, `pau` between.
pub fn timit(annotation: &Annotation, tier: &Tier, silences: bool) -> String {
    let sample = |seconds: f64| (seconds * f64::from(annotation.sample_rate)).round() as u64;
    let tiles = tier.tiles(annotation.seconds);
    let mut text = String::new();
    for (n, (start, end, label)) in tiles.iter().enumerate() {
        let label = match *label {
            "" if !silences => continue,
            "" if n == 0 || n + 1 == tiles.len() => "h#",
            "" => "pau",
            label => label,
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {} {label}", sample(*start), sample(*end));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn as_timit_has_it() {
        let example = example();
        let phones = "0 2000 h#\n2000 4000 s\n4000 6000 ey\n6000 12000 pau\n12000 16000 ɛ\n";
        assert_eq!(timit(&example, &example.tiers[1], true), phones);
        assert_eq!(timit(&example, &example.tiers[0], false), "2000 6000 say \"<hi>\"\n12000 16000 yes\n");
    }
}
