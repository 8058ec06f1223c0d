//! NIST SPHERE, the `.WAV` of TIMIT and the `.sph` of other corpora: a header in text, then PCM, mu-law or A-law, as it
//! is or compressed by shorten.
#![forbid(unsafe_code)]

use super::g711::{from_alaw, from_mulaw};
use super::{Mono, Source, shorten};
use crate::error::{Error, Result};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// How a file begins.
pub const MAGIC: &[u8] = b"NIST_1A\n";
/// The magic and the line with the header's size, which is written in so many bytes.
const PREFIX: usize = 16;
/// Headers are 1024 bytes, or a small multiple of that.
const MOST_HEADER: u64 = 1 << 20;
/// Bytes that are read at a time, about.
const AT_ONCE: usize = 1 << 16;

/// How samples are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Pcm,
    MuLaw,
    ALaw,
}

/// What a header says about the sound.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Header {
    coding: Coding,
    shorten: bool,
    rate: u32,
    channels: Option<usize>,
    /// Samples of a channel, if it says so.
    samples: Option<u64>,
    /// Bytes of a sample.
    bytes: usize,
    low_first: bool,
}

/// Decodes a SPHERE file.
pub fn read(mut source: Box<dyn Source>, name: &Path, mono: &mut Mono) -> Result<()> {
    let io = |e| Error::io(name, e);
    let end = source.seek(SeekFrom::End(0)).map_err(io)?;
    source.rewind().map_err(io)?;
    let text = header_text(&mut *source, end, name)?;
    let at = text.len() as u64;
    let mut header = Header::parse(&text).map_err(|reason| Error::audio(name, reason))?;
    mono.check(header.channels.unwrap_or(1), name)?;
    mono.set_rate(header.rate, name)?;
    source.seek(SeekFrom::Start(at)).map_err(io)?;
    if header.block_bytes().saturating_mul(header.samples.unwrap_or(0)) > end - at {
        // Some programs compress, and leave the header as it was.
        let mut first = Vec::new();
        (&mut *source).take(4).read_to_end(&mut first).map_err(io)?;
        header.shorten |= first == shorten::MAGIC;
        source.seek(SeekFrom::Start(at)).map_err(io)?;
    }
    if header.shorten {
        let mut stream = Vec::new();
        source.read_to_end(&mut stream).map_err(io)?;
        let Header { rate, samples, channels, .. } = header;
        let expected = shorten::Expected { rate: Some(rate), samples, channels };
        return shorten::read(&stream, &expected, name, mono);
    }
    header.samples(&mut *source, end - at, name, mono)
}

/// The bytes of the header, all of them.
fn header_text(source: &mut dyn Source, end: u64, name: &Path) -> Result<Vec<u8>> {
    let read = |source: &mut dyn Source, count: u64, text: &mut Vec<u8>| {
        source.take(count).read_to_end(text).map_err(|e| Error::io(name, e))
    };
    let mut text = Vec::new();
    read(source, PREFIX as u64, &mut text)?;
    let digits = String::from_utf8_lossy(text.get(MAGIC.len()..).unwrap_or_default()).into_owned();
    let size = digits.lines().next().and_then(|line| line.trim().parse::<u64>().ok());
    let Some(size) = size.filter(|size| (PREFIX as u64..=MOST_HEADER).contains(size)) else {
        return Err(Error::audio(name, "a SPHERE file whose second line is not the size of its header"));
    };
    if size > end {
        let reason = format!("a SPHERE file whose header is {size} bytes long, but only {end} bytes are there");
        return Err(Error::audio(name, reason));
    }
    read(source, size - PREFIX as u64, &mut text)?;
    Ok(text)
}

impl Header {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(text);
        let mut header = Self {
            coding: Coding::Pcm,
            shorten: false,
            rate: 0,
            channels: None,
            samples: None,
            bytes: 0,
            low_first: true,
        };
        let (mut rate, mut bytes, mut order) = (None, None, String::new());
        let mut lines = text.lines().skip(2).map(str::trim);
        loop {
            let line = lines.next().ok_or("a SPHERE file whose header has no end_head")?;
            let mut words = line.split_whitespace();
            // The type of a value, -i, -r or -s and a length, is clear from its name.
            let (field, _, value) = (words.next().unwrap_or_default(), words.next(), words.next().unwrap_or_default());
            match field {
                "end_head" => break,
                "sample_count" => header.samples = number::<i64>(field, value)?.try_into().ok().filter(|n| *n > 0),
                "sample_rate" => rate = Some(sample_rate(value)?),
                "channel_count" => header.channels = Some(number(field, value)?),
                "sample_n_bytes" => bytes = Some(number(field, value)?),
                "sample_byte_format" => order = value.to_owned(),
                "sample_coding" => (header.coding, header.shorten) = coding(value)?,
                _ => {}
            }
        }
        header.rate = rate.ok_or("a SPHERE file whose header has no sample_rate")?;
        header.bytes = bytes.unwrap_or(if header.coding == Coding::Pcm { 2 } else { 1 });
        let (most, read) = match header.coding {
            Coding::Pcm => (4, "1 to 4 can be read"),
            _ => (1, "in ulaw and alaw they have 1"),
        };
        if !(1..=most).contains(&header.bytes) {
            return Err(format!("a SPHERE file with samples of {} bytes: {read}", header.bytes));
        }
        header.low_first = low_first(&order, header.bytes)?;
        Ok(header)
    }

    /// Bytes of a sample of every channel.
    fn block_bytes(&self) -> u64 {
        (self.bytes as u64).saturating_mul(self.channels.unwrap_or(1) as u64)
    }

    /// Reads samples that are not compressed; `there` bytes follow.
    fn samples(&self, source: &mut dyn Source, there: u64, name: &Path, mono: &mut Mono) -> Result<()> {
        let block = self.block_bytes();
        let promised = self.samples.map(|samples| samples.saturating_mul(block));
        if let Some(promised) = promised.filter(|promised| *promised > there) {
            mono.warn(format!("truncated: the header promises {promised} bytes of sound, {there} are there"));
        }
        let most = promised.unwrap_or(there).min(there);
        let mut left = most - most % block;
        let (mut bytes, mut frame) = (vec![0; AT_ONCE / block as usize * block as usize], Vec::new());
        while left > 0 {
            let count = left.min(bytes.len() as u64);
            let part = &mut bytes[..count as usize];
            source.read_exact(part).map_err(|e| Error::io(name, e))?;
            for samples in part.chunks_exact(block as usize) {
                frame.clear();
                frame.extend(samples.chunks_exact(self.bytes).map(|sample| self.value(sample)));
                mono.push(&frame, name)?;
            }
            left -= count;
        }
        Ok(())
    }

    /// The sample in [-1, 1] of its bytes.
    fn value(&self, bytes: &[u8]) -> f32 {
        let sixteen = |value: i16| f32::from(value) / 32_768.0;
        match self.coding {
            Coding::MuLaw => sixteen(from_mulaw(bytes[0])),
            Coding::ALaw => sixteen(from_alaw(bytes[0])),
            Coding::Pcm => {
                let add = |value: u32, byte: &u8| value << 8 | u32::from(*byte);
                let value = match self.low_first {
                    true => bytes.iter().rev().fold(0, add),
                    false => bytes.iter().fold(0, add),
                };
                // All widths have a sign, one byte too. It moves to the top, and down again.
                let above = 32 - 8 * bytes.len() as u32;
                ((value << above) as i32 >> above) as f32 / (1_u64 << (31 - above)) as f32
            }
        }
    }
}

/// As much of a header's value as a message has room for: a damaged one may be all of the file.
fn shown(value: &str) -> &str {
    const MOST: usize = 40;
    value.char_indices().nth(MOST).map_or(value, |(end, _)| &value[..end])
}

fn number<T: std::str::FromStr>(field: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("a SPHERE file whose {field} is {:?}", shown(value)))
}

/// Some programs write it as a real number.
fn sample_rate(value: &str) -> Result<u32, String> {
    let rate: f64 = number("sample_rate", value)?;
    match rate.round() {
        whole if (0.0..=f64::from(u32::MAX)).contains(&whole) => Ok(whole as u32),
        _ => Err(format!("a sample rate of {} Hz cannot be right", shown(value))),
    }
}

/// What `sample_coding` says: how samples are written, and whether shorten has compressed them.
fn coding(value: &str) -> Result<(Coding, bool), String> {
    let mut parts = value.split(',');
    let coding = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "pcm" | "linear" => Some(Coding::Pcm),
        "ulaw" | "mu-law" | "mulaw" => Some(Coding::MuLaw),
        "alaw" | "a-law" => Some(Coding::ALaw),
        _ => None,
    };
    let shorten = match (parts.next(), parts.next()) {
        (None, _) => Some(false),
        (Some(embedded), None) if embedded.starts_with("embedded-shorten-") => Some(true),
        _ => None,
    };
    coding.zip(shorten).ok_or_else(|| {
        format!(
            "a SPHERE file coded as {:?}: pcm, ulaw and alaw can be read, also with embedded-shorten; \
             NIST's w_decode makes others into those",
            shown(value)
        )
    })
}

/// Whether the lowest byte of a sample comes first: `01`, `012` and `0123`, not `10`, `210` and `3210`.
fn low_first(order: &str, bytes: usize) -> Result<bool, String> {
    let up = &"0123"[..bytes];
    let down = &"3210"[4 - bytes..];
    match order {
        // `1` is written for single bytes; two are enough to tell the order of more.
        "" | "0" | "1" | "01" => Ok(true),
        "10" => Ok(false),
        _ if order == up => Ok(true),
        _ if order == down => Ok(false),
        _ => {
            Err(format!("a SPHERE file whose sample_byte_format is {:?}, with samples of {bytes} bytes", shown(order)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{Channel, ReadOptions, Waveform};
    use proptest::prelude::*;

    /// A file whose header has these lines.
    fn sphere(size: usize, lines: &str, sound: &[u8]) -> Vec<u8> {
        let mut bytes = format!("NIST_1A\n{size:7}\n{lines}\nend_head\n").into_bytes();
        assert!(bytes.len() <= size);
        bytes.resize(size, b' ');
        [&bytes, sound].concat()
    }

    fn channel(bytes: &[u8], channel: usize) -> Result<Waveform> {
        Waveform::read(bytes.to_vec(), "x", ReadOptions { channel: Channel::Only(channel), sample_rate: None })
    }

    /// The samples of a file of one channel, as whole numbers of so many bits.
    fn numbers(lines: &str, sound: &[u8], bits: u32) -> Vec<f64> {
        let wave = channel(&sphere(1024, &format!("sample_rate -i 8000\n{lines}"), sound), 0).expect(lines);
        assert!(wave.warnings().is_empty(), "{lines}: {:?}", wave.warnings());
        wave.samples().iter().map(|s| f64::from(*s) * f64::from(1_u32 << (bits - 1))).collect()
    }

    #[test]
    fn every_width_and_order_is_read() {
        let format = |bytes: usize, order: &str| format!("sample_n_bytes -i {bytes}\nsample_byte_format -s4 {order}");
        let bytes = [1, 2, 3, 0xff, 0x80, 0x7f, 0, 0xfe, 0xff, 0xff, 0xff, 0x80];
        assert_eq!(numbers(&format(1, "1"), &bytes[..5], 8), [1.0, 2.0, 3.0, -1.0, -128.0]);
        for order in ["01", "1"] {
            assert_eq!(numbers(&format(2, order), &bytes[..4], 16), [513.0, -253.0]);
        }
        assert_eq!(numbers(&format(2, "10"), &bytes[..4], 16), [258.0, 1023.0]);
        for (up, down) in [("012", "210"), ("01", "10")] {
            assert_eq!(numbers(&format(3, up), &bytes[..6], 24), [197_121.0, 8_356_095.0]);
            assert_eq!(numbers(&format(3, down), &bytes[..6], 24), [66_051.0, -32_641.0]);
        }
        for (up, down) in [("0123", "3210"), ("01", "10")] {
            assert_eq!(numbers(&format(4, up), &bytes[8..], 32), [-2_130_706_432.0], "to 24 bits");
            assert_eq!(numbers(&format(4, down), &bytes[8..], 32), [-128.0]);
        }
    }

    #[test]
    fn every_coding_is_read() {
        for (name, expected) in [("ulaw", [0.0, -32124.0]), ("mu-law", [0.0, -32124.0]), ("ALAW", [848.0, -5504.0])] {
            assert_eq!(numbers(&format!("sample_coding -s4 {name}"), &[0xff, 0x00], 16), expected, "{name}");
        }
        assert_eq!(numbers("sample_coding -s3 pcm", &[1, 1], 16), [257.0]);
    }

    #[test]
    fn headers_have_many_forms() -> Result<()> {
        let lines = "; a comment, and sample_rate -i 5\nsample_rate -r 16000.0\nsample_count -i 2\r\n\nuser_field -s9 end head!\n  \
                     channel_count  -i  3\nsample_n_bytes -i 1\nsample_count_of_words -i 7\n";
        for size in [512, 1024, 1025, 4096] {
            let bytes = sphere(size, lines, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
            for n in 0..3 {
                let wave = channel(&bytes, n)?;
                assert_eq!((wave.sample_rate(), wave.warnings().len()), (16000, 0));
                assert_eq!(wave.samples(), [(n + 1) as f32 / 128.0, (n + 4) as f32 / 128.0]);
            }
            assert!(channel(&bytes, 3).is_err());
        }
        Ok(())
    }

    #[test]
    fn lying_counts_give_what_is_there() -> Result<()> {
        let lines = |count: i64| format!("sample_rate -i 8000\nchannel_count -i 2\nsample_count -i {count}");
        let warnings = |count: i64, bytes: usize| -> Result<(usize, String)> {
            let wave = channel(&sphere(1024, &lines(count), &vec![1; bytes]), 0)?;
            Ok((wave.samples().len(), wave.warnings().concat()))
        };
        assert_eq!(warnings(10, 40)?, (10, String::new()));
        assert_eq!(warnings(10, 50)?, (10, String::new()));
        let truncated = "truncated: the header promises 40 bytes of sound, 19 are there";
        assert_eq!(warnings(10, 19)?, (4, truncated.to_owned()));
        let (there, said) = warnings(i64::MAX, 16)?;
        assert!(there == 4 && said.starts_with("truncated: the header promises "), "{said}");
        for unknown in [0, -1] {
            assert_eq!(warnings(unknown, 18)?, (4, String::new()));
        }
        Ok(())
    }

    #[test]
    fn a_damaged_value_is_not_told_at_length() {
        let error = channel_error(&sphere(2048, &format!("sample_count -i {}x\n", "\u{e9}".repeat(600)), &[0; 8]));
        assert!(error.len() < 160 && error.contains("sample_count"), "{error}");
    }

    fn channel_error(bytes: &[u8]) -> String {
        channel(bytes, 0).unwrap_err().to_string()
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(flips in prop::collection::vec((0usize..220, any::<u8>()), 1..8), cut in 0usize..300) {
            let lines = "sample_rate -i 8000\nchannel_count -i 2\nsample_count -i 9\nsample_n_bytes -i 2\n\
                         sample_byte_format -s2 10\nsample_coding -s3 pcm";
            let mut bytes = sphere(220, lines, &[7; 80]);
            for (at, value) in flips {
                bytes[at] = value;
            }
            bytes.truncate(cut.max(1));
            let _ = channel(&bytes, 0);
        }

        #[test]
        fn any_header_is_an_answer(lines in "(sample_(count|rate|n_bytes|byte_format|coding)|channel_count|end_head)( -i)?( [0-9]{1,20}| pcm,embedded-shorten-v2| [!-~]*)?(\n|\r\n| )") {
            let _ = channel(&sphere(1024, &format!("sample_rate -i 8000\n{lines}"), &[7; 80]), 0);
        }
    }
}
