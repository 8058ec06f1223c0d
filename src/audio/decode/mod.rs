//! Decoding: WAV by hound, NIST SPHERE and shorten here, everything else (and the WAV kinds that hound leaves out) by
//! symphonia.
//!
//! The format is recognised by content, never by the file's name. Memory grows only with the samples that were
//! really decoded, whatever a header promises; where a header promises more than there is, the sound that is there
//! comes back together with a warning.
#![forbid(unsafe_code)]

mod coded;
mod g711;
mod mono;
mod shorten;
mod sphere;
mod wav;

use super::{ReadOptions, Waveform};
use crate::error::{Error, Result};
use mono::Mono;
use std::cell::Cell;
use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The reason given for what is no recording.
pub const FORMATS: &str =
    "not an audio format that formant reads (WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC, NIST SPHERE)";
/// A stream without a length (a pipe, a device) is not followed beyond this.
const MOST_BYTES: u64 = 4 << 30;

/// Bytes that can be sought in.
pub trait Source: Read + Seek + Send + Sync {}
impl<T: Read + Seek + Send + Sync> Source for T {}

/// Reads a stream to its end.
pub fn read_all(stream: impl Read, name: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io(name, e))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::audio(name, "more than 4 GiB from a stream without an end"));
    }
    Ok(bytes)
}

/// What a file is, by its first bytes (12 are enough); nothing if they are those of no recording.
pub fn container(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    let second = head.get(1).copied().filter(|_| head.first() == Some(&0xff));
    match () {
        () if at(0, b"RIFF") && at(8, b"WAVE") => Some("WAV"),
        () if at(0, b"RF64") && at(8, b"WAVE") => Some("WAV (RF64)"),
        () if at(0, b"fLaC") => Some("FLAC"),
        () if at(0, b"OggS") => Some("Ogg"),
        () if at(0, b"FORM") && at(8, b"AIF") => Some("AIFF"),
        () if at(0, b"caff") => Some("CAF"),
        () if at(4, b"ftyp") => Some("MP4"),
        () if at(0, b"\x1aE\xdf\xa3") => Some("Matroska"),
        () if at(0, sphere::MAGIC) => Some("SPHERE"),
        () if at(0, shorten::MAGIC) => Some("shorten"),
        () if at(0, b"ID3") => Some("MP3"),
        // The sync word of a frame; the next bits are the layer. Of 0xff 0xfe, the mark at the start of UTF-16 text, they
        // would make layer I.
        () if second.is_some_and(|b| b & 0xf6 == 0xf0) => Some("AAC"),
        () if second.is_some_and(|b| b & 0xe6 == 0xe2) => Some("MP3"),
        () if second.is_some_and(|b| b & 0xe6 == 0xe4) => Some("MP2"),
        () => None,
    }
}

/// Decodes a whole recording.
pub fn decode(mut source: Box<dyn Source>, name: &Path, options: ReadOptions) -> Result<Waveform> {
    let io = |e| Error::io(name, e);
    let mut head = Vec::new();
    (&mut *source).take(12).read_to_end(&mut head).map_err(io)?;
    if head.is_empty() {
        return Err(Error::audio(name, "an empty file"));
    }
    source.rewind().map_err(io)?;
    let mut mono = Mono::new(options);
    let done = contain(|| match container(&head) {
        Some("WAV") => wav::read(source, false, name, &mut mono),
        Some("WAV (RF64)") => wav::read(source, true, name, &mut mono),
        Some("SPHERE") => sphere::read(source, name, &mut mono),
        Some("shorten") => shorten::read_file(source, name, &mut mono),
        container => coded::read(source, container, name, &mut mono),
    });
    done.unwrap_or_else(|| Err(Error::audio(name, "damaged: the decoder gave up on it")))?;
    mono.finish(name)
}

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread would now be caught and told as an error: decoders that are not ours may panic on a
/// damaged file. A program's panic hook can ask, and keep silent.
pub fn panics_are_contained() -> bool {
    CONTAINED.get()
}

/// Runs foreign code; nothing comes back if it panics.
fn contain<T>(work: impl FnOnce() -> T) -> Option<T> {
    CONTAINED.set(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(false);
    done.ok()
}

#[cfg(test)]
mod tests {
    use super::super::Channel;
    use super::*;
    use proptest::prelude::*;

    fn wav_bytes(spec: hound::WavSpec, samples: usize) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a writer");
        for i in 0..samples * usize::from(spec.channels) {
            match spec.sample_format {
                hound::SampleFormat::Int => writer.write_sample((i % 100) as i32).expect("a sample"),
                hound::SampleFormat::Float => writer.write_sample((i % 100) as f32 / 100.0).expect("a sample"),
            }
        }
        writer.finalize().expect("an end");
        bytes.into_inner()
    }

    fn spec(channels: u16, bits: u16, sample_format: hound::SampleFormat) -> hound::WavSpec {
        hound::WavSpec { channels, sample_rate: 8000, bits_per_sample: bits, sample_format }
    }

    fn only(channel: usize) -> ReadOptions {
        ReadOptions { channel: Channel::Only(channel), sample_rate: None }
    }

    #[test]
    fn conversion_along_the_way_is_conversion_afterwards() -> Result<()> {
        let bytes = wav_bytes(spec(2, 16, hound::SampleFormat::Int), 200_000);
        let options = ReadOptions { sample_rate: Some(16000), ..ReadOptions::default() };
        assert_eq!(Waveform::read(bytes.clone(), "x", options)?, read(bytes)?.resampled(16000)?);
        Ok(())
    }

    fn read(bytes: Vec<u8>) -> Result<Waveform> {
        Waveform::read(bytes, "x.wav", ReadOptions::default())
    }

    #[test]
    fn all_wav_widths_are_read() -> Result<()> {
        use hound::SampleFormat::{Float, Int};
        for (bits, format) in [(8, Int), (16, Int), (24, Int), (32, Int), (32, Float)] {
            let wave = read(wav_bytes(spec(2, bits, format), 50))?;
            assert_eq!((wave.samples().len(), wave.sample_rate()), (50, 8000), "{bits}");
            assert!(wave.warnings().is_empty());
        }
        Ok(())
    }

    #[test]
    fn channels_are_chosen() -> Result<()> {
        let bytes = wav_bytes(spec(2, 16, hound::SampleFormat::Int), 10);
        let right = Waveform::read(bytes.clone(), "x", only(1))?;
        assert_eq!(right.samples()[0], 1.0 / 32768.0);
        let error = Waveform::read(bytes, "x", only(2)).unwrap_err().to_string();
        assert_eq!(error, "x: there is no channel 2: it has 2, counted from 0");
        Ok(())
    }

    #[test]
    fn lying_sizes_give_what_is_there() -> Result<()> {
        let whole = wav_bytes(spec(1, 16, hound::SampleFormat::Int), 100);
        let at = whole.windows(4).position(|w| w == b"data").expect("a data chunk") + 4;
        let mut cut = whole.clone();
        cut.truncate(whole.len() - 100);
        let wave = read(cut)?;
        assert_eq!(wave.samples().len(), 50);
        assert_eq!(wave.warnings(), ["truncated: the header promises 200 bytes of sound, 100 are there"]);
        for size in [0_u32, u32::MAX] {
            let mut streamed = whole.clone();
            streamed[at..at + 4].copy_from_slice(&size.to_le_bytes());
            let wave = read(streamed)?;
            assert_eq!((wave.samples().len(), wave.warnings().len()), (100, 0));
        }
        Ok(())
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence() {
        let error = |bytes: &[u8]| read(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(error(b""), "x.wav: an empty file");
        assert_eq!(error(b"<html>hello</html>"), format!("x.wav: {FORMATS}"));
        let header = wav_bytes(spec(1, 16, hound::SampleFormat::Int), 0);
        assert_eq!(error(&header), "x.wav: no sound in it: it has a header but no samples");
        let mut nan = wav_bytes(spec(1, 32, hound::SampleFormat::Float), 4);
        let end = nan.len();
        nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert_eq!(error(&nan), "x.wav: sample 3 is NaN, not a finite number");
    }

    proptest! {
        #[test]
        fn damaged_wavs_never_panic(flips in prop::collection::vec((0usize..144, any::<u8>()), 1..8), cut in 0usize..144) {
            let mut bytes = wav_bytes(spec(1, 16, hound::SampleFormat::Int), 50);
            for (at, value) in flips {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            bytes.truncate(cut.max(1));
            let _ = read(bytes);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(bytes);
        }
    }
}
