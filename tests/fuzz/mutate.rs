//! Inputs from inputs: damaged at random, but in the ways that files are damaged and that attackers damage them.
#![forbid(unsafe_code)]

use formant::rng::Rng;

/// Numbers at which programs break.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    7,
    8,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    u64::MAX,
];

/// The same for numbers written in text, and what else breaks readers of text.
const WORDS: [&str; 24] = [
    "0",
    "-1",
    "1",
    "65536",
    "4294967296",
    "9223372036854775807",
    "18446744073709551616",
    "1e999",
    "-1e-999",
    "nan",
    "inf",
    "null",
    "true",
    "\"\"",
    "[",
    "]",
    "{",
    "}",
    "\t",
    "\n",
    "\0",
    "\u{feff}",
    "é",
    "=",
];

/// An input made from one or two others.
pub fn mutate(rng: &mut Rng, inputs: &[Vec<u8>], text: bool) -> Vec<u8> {
    let mut bytes = inputs[rng.below(inputs.len())].clone();
    let mut again = true;
    while again {
        change(rng, &mut bytes, inputs, text);
        again = rng.uniform() < 0.6;
    }
    bytes
}

/// A place: more often near the start, where headers are.
fn place(rng: &mut Rng, length: usize) -> usize {
    let most = if rng.uniform() < 0.5 { length.min(256) } else { length };
    rng.below(most)
}

fn change(rng: &mut Rng, bytes: &mut Vec<u8>, inputs: &[Vec<u8>], text: bool) {
    let length = bytes.len();
    let at = place(rng, length);
    let most = 1 << rng.below(10);
    let span = at..(at + 1 + rng.below(most)).min(length);
    match rng.below(if text { 13 } else { 10 }) {
        _ if length == 0 => bytes.push(rng.below(256) as u8),
        0 | 1 => bytes[at] ^= 1 << rng.below(8),
        2 => bytes[at] = NUMBERS[rng.below(8)] as u8,
        3 | 4 => number(rng, bytes, at),
        5 => bytes.truncate(rng.below(length)),
        6 => drop(bytes.drain(span)),
        7 => {
            let copy = bytes[span.clone()].repeat(1 + rng.below(4));
            drop(bytes.splice(span.start..span.start, copy));
        }
        8 => {
            let other = &inputs[rng.below(inputs.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[rng.below(other.len() + 1).min(other.len())..]);
        }
        9 => bytes[span].iter_mut().for_each(|b| *b = rng.below(256) as u8),
        10 => {
            let word = WORDS[rng.below(WORDS.len())].bytes();
            drop(bytes.splice(at..at, word));
        }
        _ => {
            // A number written in digits becomes another one.
            let Some(start) = (at..length).find(|i| bytes[*i].is_ascii_digit()) else { return };
            let end = (start..length).find(|i| !bytes[*i].is_ascii_digit()).unwrap_or(length);
            drop(bytes.splice(start..end, WORDS[rng.below(11)].bytes()));
        }
    }
}

/// Writes a number over one, two, four or eight bytes, as either end comes first.
fn number(rng: &mut Rng, bytes: &mut [u8], at: usize) {
    let size = (1 << rng.below(4)).min(bytes.len() - at);
    let near = [bytes.len() as u64, (bytes.len() - at) as u64];
    let value = match rng.below(4) {
        0 => near[rng.below(2)].wrapping_add(rng.below(17) as u64).wrapping_sub(8),
        _ => NUMBERS[rng.below(NUMBERS.len())].wrapping_sub(rng.below(2) as u64),
    };
    let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
    let written = if rng.uniform() < 0.5 { &little[..size] } else { &big[8 - size..] };
    bytes[at..at + size].copy_from_slice(written);
}

/// Makes the checksums of Ogg pages right again: else everything behind them would never be reached.
pub fn mend_ogg(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.windows(4).position(|w| w == b"OggS")) {
        let start = at + found;
        at = start + 4;
        let Some(segments) = bytes.get(start + 26).map(|n| usize::from(*n)) else { return };
        let Some(table) = bytes.get(start + 27..start + 27 + segments) else { return };
        let end = start + 27 + segments + table.iter().map(|n| usize::from(*n)).sum::<usize>();
        if end <= bytes.len() {
            bytes[start + 22..start + 26].fill(0);
            let sum = checksum(&bytes[start..end]);
            bytes[start + 22..start + 26].copy_from_slice(&sum.to_le_bytes());
            at = end;
        }
    }
}

/// Ogg's: the polynomial of Ethernet's, highest bit first, no inversion.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| {
        let step = |sum: u32, _| if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 };
        (0..8).fold(sum ^ u32::from(*byte) << 24, step)
    })
}

/// Makes the length of a safetensors file's header right again: it ends with its last brace and the spaces behind it.
pub fn mend_header(bytes: &mut [u8]) {
    let mut depth = 0_i32;
    let mut quoted = false;
    for i in 8..bytes.len() {
        match bytes[i] {
            b'"' if bytes[i - 1] != b'\\' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let spaces = bytes[i + 1..].iter().take_while(|b| **b == b' ').count();
            return bytes[..8].copy_from_slice(&((i + spaces) as u64 - 7).to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mending_changes_nothing_that_is_whole() {
        let file = std::fs::read(crate::support::data("samples/so2448.ogg")).unwrap();
        let mut mended = file.clone();
        mend_ogg(&mut mended);
        assert!(file == mended);
        let file = std::fs::read(crate::support::tiny_model()).unwrap();
        let mut mended = file.clone();
        mend_header(&mut mended);
        assert!(file == mended);
    }
}
