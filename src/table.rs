//! What all text tables (manifests, dictionaries, language models) share: their bytes, lines with numbers, seconds.
#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::files;
use flate2::read::MultiGzDecoder;
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

/// A table is not unpacked beyond this.
const MOST_UNPACKED: u64 = 8 << 30;

/// A table's bytes, unpacked if they are gzip's.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = files::read(path)?;
    match unpacked(&bytes, path)? {
        Cow::Borrowed(_) => Ok(bytes),
        Cow::Owned(unpacked) => Ok(unpacked),
    }
}

/// Bytes as they are, or unpacked if they are gzip's; `path` names them in messages.
pub fn unpacked<'a>(bytes: &'a [u8], path: &Path) -> Result<Cow<'a, [u8]>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.into());
    }
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(MOST_UNPACKED + 1).read_to_end(&mut unpacked);
    read.map_err(|e| Error::table(path, 1, format!("damaged gzip data: {e}")))?;
    if unpacked.len() as u64 > MOST_UNPACKED {
        return Err(Error::table(path, 1, "more than 8 GiB of text in gzip data"));
    }
    Ok(unpacked.into())
}

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
