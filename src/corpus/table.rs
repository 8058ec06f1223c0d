//! What all text tables share: lines with numbers, and seconds.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use std::path::Path;

/// A finite number of seconds that is not negative.
pub fn seconds_in(text: &str) -> Option<f64> {
    text.parse().ok().filter(|s: &f64| s.is_finite() && *s >= 0.0)
}

/// Lines and their numbers from 1, without line ends and byte order mark.
pub fn text_lines<'a>(bytes: &'a [u8], path: &'a Path) -> impl Iterator<Item = Result<(usize, &'a str)>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let lines = if bytes.is_empty() { None } else { Some(bytes.split(|b| *b == b'\n')) };
    lines.into_iter().flatten().enumerate().map(move |(n, line)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = std::str::from_utf8(line).map_err(|_| Error::table(path, n + 1, "not UTF-8 text"))?;
        Ok((n + 1, text))
    })
}
