//! WAV, by hound; the kinds that hound leaves out go to symphonia.
#![forbid(unsafe_code)]

use super::{Mono, Source, coded};
use crate::error::{Error, Result};
use std::io::{Cursor, ErrorKind, Seek, SeekFrom};
use std::path::Path;

/// Chunks that are looked at in search of the sound: in a file of empty ones the search would not end.
const MOST_CHUNKS: usize = 1000;
/// Programs that cannot know the size yet write this one, or a little less.
const UNKNOWN: u64 = u32::MAX as u64 - 0xff;

/// Where a WAV file's sound lies, and how much of it the header promises and the file has, in bytes.
struct Layout {
    data_at: u64,
    /// Bytes of a frame; 1 if the header has not said so before the sound begins.
    block: u64,
    promised: Option<u64>,
    there: u64,
}

impl Layout {
    fn find(source: &mut dyn Source) -> std::io::Result<Option<Self>> {
        let end = source.seek(SeekFrom::End(0))?;
        let (mut at, mut block, mut long) = (12, 1, None);
        for _ in 0..MOST_CHUNKS {
            if at + 8 > end {
                break;
            }
            source.seek(SeekFrom::Start(at))?;
            // A chunk's name and size, and as much of it as matters: `fmt ` is 16 bytes, `ds64` is 24.
            let mut bytes = [0; 32];
            let most = bytes.len().min((end - at) as usize);
            source.read_exact(&mut bytes[..most])?;
            let size = u64::from(u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
            match &bytes[..4] {
                b"data" => {
                    let there = end - at - 8;
                    let known = (1..UNKNOWN).contains(&size) || there == 0;
                    return Ok(Some(Self {
                        data_at: at,
                        block,
                        promised: if known { Some(size) } else { long },
                        there,
                    }));
                }
                b"fmt " => block = u64::from(u16::from_le_bytes([bytes[20], bytes[21]])).max(1),
                // RF64: the size of the sound where four bytes are too few for it.
                b"ds64" => long = Some(u64::from_le_bytes(std::array::from_fn(|i| bytes[16 + i]))),
                _ => {}
            }
            at += 8 + size + size % 2;
        }
        Ok(None)
    }
}

/// Decodes a WAV file, RF64 or not.
pub fn read(mut source: Box<dyn Source>, rf64: bool, name: &Path, mono: &mut Mono) -> Result<()> {
    let io = |e| Error::io(name, e);
    let Some(layout) = Layout::find(&mut *source).map_err(io)? else {
        return Err(Error::audio(name, "a WAV file without a data chunk: the recording was cut off or never written"));
    };
    source.rewind().map_err(io)?;
    let whole = layout.promised.is_some_and(|promised| promised <= layout.there);
    if whole && !rf64 {
        return samples(source, name, mono);
    }
    // A program that streams, or that died, left a size that is not true: what is there is read.
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).map_err(io)?;
    let (there, size_at) = (layout.there, layout.data_at as usize + 4);
    let most = layout.promised.unwrap_or(there).min(there).min(UNKNOWN);
    bytes[size_at..size_at + 4].copy_from_slice(&((most - most % layout.block) as u32).to_le_bytes());
    bytes[..4].copy_from_slice(b"RIFF");
    if let Some(promised) = layout.promised.filter(|promised| *promised > there) {
        mono.warn(format!("truncated: the header promises {promised} bytes of sound, {there} are there"));
    } else if there.min(layout.promised.unwrap_or(there)) > UNKNOWN {
        mono.warn(format!("only the first {UNKNOWN} bytes of sound were read"));
    }
    samples(Box::new(Cursor::new(bytes)), name, mono)
}

fn samples(mut source: Box<dyn Source>, name: &Path, mono: &mut Mono) -> Result<()> {
    let refused = match hound::WavReader::new(&mut *source) {
        Ok(reader) if reader.spec().bits_per_sample <= 32 => {
            let spec = reader.spec();
            mono.check(spec.channels.into(), name)?;
            mono.set_rate(spec.sample_rate, name)?;
            let scale = 1.0 / (1_u64 << (spec.bits_per_sample - 1)) as f32;
            return match spec.sample_format {
                hound::SampleFormat::Int => {
                    frames(reader.into_samples::<i32>(), spec.channels, |s| s as f32 * scale, name, mono)
                }
                hound::SampleFormat::Float => frames(reader.into_samples::<f32>(), spec.channels, |s| s, name, mono),
            };
        }
        Ok(reader) => format!("samples of {} bits", reader.spec().bits_per_sample),
        Err(hound::Error::IoError(e)) if e.kind() != ErrorKind::UnexpectedEof => return Err(Error::io(name, e)),
        Err(error) => error.to_string(),
    };
    // Mu-law, A-law, 64-bit floats and the like: symphonia knows them.
    source.rewind().map_err(|e| Error::io(name, e))?;
    coded::read(source, Some("WAV"), name, mono)
        .map_err(|_| Error::audio(name, format!("a WAV file that cannot be read: {refused}")))
}

fn frames<T>(
    samples: impl Iterator<Item = hound::Result<T>>,
    channels: u16,
    value: impl Fn(T) -> f32,
    name: &Path,
    mono: &mut Mono,
) -> Result<()> {
    let mut frame = Vec::with_capacity(channels.into());
    for sample in samples {
        match sample {
            Ok(sample) => frame.push(value(sample)),
            Err(error) => {
                mono.warn(format!("damaged after {} samples: {error}", mono.len()));
                break;
            }
        }
        if frame.len() == usize::from(channels) {
            mono.push(&frame, name)?;
            frame.clear();
        }
    }
    Ok(())
}
