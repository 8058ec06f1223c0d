//! Praat's TextGrid, in the long text format (Praat manual, "TextGrid file formats").
#![forbid(unsafe_code)]

use super::Annotation;
use std::fmt::Write;

/// A TextGrid with an interval tier for each tier.
pub fn textgrid(annotation: &Annotation) -> String {
    let end = annotation.seconds;
    let mut text = format!(
        "File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = 0\nxmax = {end}\ntiers? <exists>\nsize = {}\nitem []:\n",
        annotation.tiers.len()
    );
    for (n, tier) in annotation.tiers.iter().enumerate() {
        let tiles = tier.tiles(end);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "    item [{}]:\n        class = \"IntervalTier\"\n        name = {}\n        xmin = 0\n        xmax = {end}\n        intervals: size = {}\n",
            n + 1,
            quoted(&tier.name),
            tiles.len()
        );
        for (k, (start, end, label)) in tiles.into_iter().enumerate() {
            let _ = write!(
                text,
                "        intervals [{}]:\n            xmin = {start}\n            xmax = {end}\n            text = {}\n",
                k + 1,
                quoted(label)
            );
        }
    }
    text
}

/// A string of Praat's: quotes in it are doubled.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn as_praat_writes_it() {
        let text = textgrid(&example());
        assert!(text.starts_with("File type = \"ooTextFile\"\nObject class = \"TextGrid\"\n\nxmin = 0\nxmax = 2\n"));
        assert!(text.contains("        intervals: size = 4\n        intervals [1]:\n            xmin = 0\n"));
        assert!(text.contains("            text = \"say \"\"<hi>\"\"\"\n"));
    }
}
