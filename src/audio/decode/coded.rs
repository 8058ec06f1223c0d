//! Everything but plain WAV, by symphonia: FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC and more.
#![forbid(unsafe_code)]

use super::{FORMATS, Mono, Source};
use crate::error::{Error, Result};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, TrackType, probe::Hint};
use symphonia::core::io::{MediaSource, MediaSourceStream};

/// Samples a channel that one packet may hold. Decoders set aside room for as many as the header says.
const MOST_PACKET_FRAMES: u64 = 1 << 20;
/// Bytes that the tables of a Vorbis stream may take. Those of real ones take a thousandth of it.
const MOST_TABLES: u64 = 64 << 20;

struct Media(Box<dyn Source>, Option<u64>);

impl Read for Media {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(to)
    }
}
impl Seek for Media {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}
impl MediaSource for Media {
    fn is_seekable(&self) -> bool {
        true
    }
    fn byte_len(&self) -> Option<u64> {
        self.1
    }
}

/// The sound track that is decoded.
struct Sound {
    track: u32,
    decoder: Box<dyn AudioDecoder>,
    /// Samples that the header promises, and those that were there before the first of them.
    promised: Option<u64>,
    before: usize,
    damaged: usize,
    /// Why it ends earlier than it should, if it does.
    broken: Option<String>,
}

impl Sound {
    fn choose(format: &dyn FormatReader, name: &Path, mono: &Mono) -> Result<Self> {
        let no_track = || Error::audio(name, "no sound track that formant can decode");
        let track = format.default_track(TrackType::Audio).ok_or_else(no_track)?;
        let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(no_track)?;
        if let Some(channels) = &parameters.channels {
            mono.check(channels.count(), name)?;
        }
        if let Some(frames) = parameters.max_frames_per_packet.filter(|frames| *frames > MOST_PACKET_FRAMES) {
            return Err(Error::audio(name, format!("packets of {frames} samples cannot be right")));
        }
        if vorbis_tables(parameters.extra_data.as_deref().unwrap_or_default()) > MOST_TABLES {
            return Err(Error::audio(name, "its header asks for tables of a size that cannot be right"));
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(parameters, &AudioDecoderOptions::default())
            .map_err(|_| no_track())?;
        let (track, promised) = (track.id, track.num_frames);
        Ok(Self { track, decoder, promised, before: mono.len(), damaged: 0, broken: None })
    }

    /// Says what is missing.
    fn finish(self, mono: &mut Mono) {
        if self.damaged > 0 {
            mono.warn(format!("{} damaged packets were left out", self.damaged));
        }
        let there = (mono.len() - self.before) as u64;
        match (self.promised, self.broken) {
            (Some(promised), _) if there < promised => {
                mono.warn(format!("incomplete: the header promises {promised} samples, {there} are there"));
            }
            (_, Some(broken)) => mono.warn(broken),
            _ => {}
        }
    }
}

/// Decodes what symphonia knows; `container` is what the first bytes say.
pub fn read(mut source: Box<dyn Source>, container: Option<&str>, name: &Path, mono: &mut Mono) -> Result<()> {
    let io = |e| Error::io(name, e);
    let length = source.seek(SeekFrom::End(0)).map_err(io)?;
    source.rewind().map_err(io)?;
    let stream = MediaSourceStream::new(Box::new(Media(source, Some(length))), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, Default::default(), Default::default())
        .map_err(|error| Error::audio(name, refused(container, &error)))?;
    let mut sound = Sound::choose(&*format, name, mono)?;
    let mut interleaved: Vec<f32> = Vec::new();
    loop {
        match format.next_packet() {
            Ok(Some(packet)) if packet.track_id == sound.track => match sound.decoder.decode(&packet) {
                Ok(buffer) => {
                    let channels = buffer.spec().channels().count();
                    mono.check(channels, name)?;
                    mono.set_rate(buffer.spec().rate(), name)?;
                    buffer.copy_to_vec_interleaved(&mut interleaved);
                    interleaved.chunks_exact(channels).try_for_each(|frame| mono.push(frame, name))?;
                }
                Err(_) => sound.damaged += 1,
            },
            Ok(Some(_)) => {}
            Ok(None) => break,
            // Ogg files put end to end: another stream begins.
            Err(SymphoniaError::ResetRequired) => {
                sound.finish(mono);
                match Sound::choose(&*format, name, mono) {
                    Ok(next) => sound = next,
                    Err(_) => {
                        mono.warn(format!("what follows after {} samples cannot be decoded", mono.len()));
                        return Ok(());
                    }
                }
            }
            Err(SymphoniaError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                // A CAF file need not say how long it is.
                let open_end = container == Some("CAF");
                sound.broken = (!open_end).then(|| "truncated: the file ends in the middle of the sound".to_owned());
                break;
            }
            Err(error) => {
                sound.broken = Some(format!("damaged after {} samples: {error}", mono.len()));
                break;
            }
        }
    }
    sound.finish(mono);
    if container.is_none() && mono.len() == 0 {
        // Something in it looked like a beginning, and was none.
        return Err(Error::audio(name, FORMATS));
    }
    Ok(())
}

/// What the decoder would set aside for the codebooks of a Vorbis stream with this header: a few bytes are enough to ask
/// for many MiB. A codebook begins, at any bit, with a pattern of 24 bits; then come 16 for its dimensions and 24 for its
/// entries, lowest first. Other codecs' headers do not look like that.
fn vorbis_tables(header: &[u8]) -> u64 {
    let codebook = |bits: u128| {
        let field = |from: u32, count: u32| (bits >> from) as u64 & ((1 << count) - 1);
        if field(0, 24) == 0x0056_4342 { 4 * field(24, 16) * field(40, 24) } else { 0 }
    };
    let windows = header.windows(9).map(|bytes| bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u128::from(*byte)));
    windows.flat_map(|bits| (0..8).map(move |shift| codebook(bits >> shift))).sum()
}

/// Why a file cannot even be opened.
fn refused(container: Option<&str>, error: &SymphoniaError) -> String {
    let Some(container) = container else { return FORMATS.to_owned() };
    let why = match error {
        SymphoniaError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            "it ends before the sound begins".to_owned()
        }
        // The search for a beginning came to an end: the one that is there makes no sense.
        SymphoniaError::Unsupported(what) if what.contains("probe") => "its header is damaged".to_owned(),
        error => error.to_string(),
    };
    format!("cannot be read as {container}: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codebooks_are_found_at_any_bit() {
        // Three bits, a codebook of 32 dimensions and 131072 entries, and so on.
        let (mut header, mut at) = (vec![0_u8; 200], 3);
        for _ in 0..20 {
            let codebook = 0x0056_4342_u128 | 32 << 24 | 131_072 << 40;
            (0..64).for_each(|bit| header[(at + bit) / 8] |= ((codebook >> bit & 1) as u8) << ((at + bit) % 8));
            at += 71;
        }
        assert_eq!(vorbis_tables(&header), 20 * 4 * 32 * 131_072);
        assert_eq!(vorbis_tables(b"BCV"), 0);
    }
}
