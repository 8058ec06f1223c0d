//! Decoding: WAV by hound, everything else (and the WAV kinds that hound leaves out) by symphonia.
//!
//! The format is recognised by content, never by the file's name. Memory grows only with the samples that were
//! really decoded, whatever a header promises; where a header promises more than there is, the sound that is there
//! comes back together with a warning.
#![forbid(unsafe_code)]

use super::{Channel, Waveform, resample::RATES};
use crate::error::{Error, Result};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{TrackType, probe::Hint};
use symphonia::core::io::{MediaSource, MediaSourceStream};

const FORMATS: &str = "not an audio format that formant reads (WAV, FLAC, Ogg Vorbis, MP3, AIFF, CAF, MP4/AAC)";
const MOST_CHANNELS: usize = 64;
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

/// Decodes a whole recording.
pub fn decode(mut source: Box<dyn Source>, name: &Path, channel: Channel) -> Result<Waveform> {
    let io = |e| Error::io(name, e);
    let mut magic = [0; 12];
    let mut got = 0;
    while got < magic.len() {
        match source.read(&mut magic[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(io(e)),
        }
    }
    if got == 0 {
        return Err(Error::audio(name, "an empty file"));
    }
    source.rewind().map_err(io)?;
    let mut mono = Mono::new(channel);
    let is_wav = &magic[..4] == b"RIFF" && &magic[8..] == b"WAVE";
    let done = catch_unwind(AssertUnwindSafe(|| {
        if is_wav { wav(source, name, &mut mono) } else { by_symphonia(source, name, &mut mono) }
    }));
    match done {
        Ok(result) => result?,
        Err(_) => return Err(Error::audio(name, "damaged: the decoder gave up on it")),
    }
    mono.finish(name)
}

/// Mixes channels down while samples arrive.
struct Mono {
    channel: Channel,
    samples: Vec<f32>,
    rate: u32,
    warnings: Vec<String>,
}

impl Mono {
    fn new(channel: Channel) -> Self {
        Self { channel, samples: Vec::new(), rate: 0, warnings: Vec::new() }
    }

    fn check(&self, channels: usize, name: &Path) -> Result<()> {
        if channels == 0 || channels > MOST_CHANNELS {
            return Err(Error::audio(name, format!("{channels} channels: between 1 and {MOST_CHANNELS} can be read")));
        }
        match self.channel {
            Channel::Only(n) if n >= channels => {
                Err(Error::audio(name, format!("there is no channel {n}: it has {channels}, counted from 0")))
            }
            _ => Ok(()),
        }
    }

    fn push(&mut self, frame: &[f32]) {
        self.samples.push(match self.channel {
            Channel::Mix => frame.iter().sum::<f32>() / frame.len() as f32,
            Channel::Only(n) => frame[n],
        });
    }

    fn finish(self, name: &Path) -> Result<Waveform> {
        if self.samples.is_empty() {
            return Err(Error::audio(name, "no sound in it: it has a header but no samples"));
        }
        if !RATES.contains(&self.rate) {
            return Err(Error::audio(name, format!("a sample rate of {} Hz cannot be right", self.rate)));
        }
        let wave = Waveform::new(self.samples, self.rate).map_err(|e| Error::audio(name, e.to_string()))?;
        Ok(Waveform { warnings: self.warnings, ..wave })
    }
}

/// Where a WAV file's sound lies, and how much its header says and the file has, in bytes.
struct Data {
    header_at: u64,
    promised: u64,
    there: u64,
}

fn find_data(source: &mut dyn Source) -> std::io::Result<Option<Data>> {
    let end = source.seek(SeekFrom::End(0))?;
    let mut at = 12;
    while at + 8 <= end {
        source.seek(SeekFrom::Start(at))?;
        let mut header = [0; 8];
        source.read_exact(&mut header)?;
        let size = u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
        if &header[..4] == b"data" {
            return Ok(Some(Data { header_at: at, promised: size, there: end - at - 8 }));
        }
        at += 8 + size + size % 2;
    }
    Ok(None)
}

fn wav(mut source: Box<dyn Source>, name: &Path, mono: &mut Mono) -> Result<()> {
    let io = |e| Error::io(name, e);
    let Some(data) = find_data(&mut *source).map_err(io)? else {
        return Err(Error::audio(name, "a WAV file without a data chunk: the recording was cut off or never written"));
    };
    source.rewind().map_err(io)?;
    let unfinished = data.promised == 0 && data.there > 0;
    if data.promised <= data.there && !unfinished {
        return wav_samples(source, name, mono);
    }
    // A program that streams, or that died, left a size that is not true: what is there is read.
    let mut bytes = Vec::new();
    source.read_to_end(&mut bytes).map_err(io)?;
    let (size_at, most) = (data.header_at as usize + 4, data.there.min(u64::from(u32::MAX - 64)) as u32);
    let block = bytes.get(32..34).map_or(1, |b| u32::from(u16::from_le_bytes([b[0], b[1]])).max(1));
    bytes[size_at..size_at + 4].copy_from_slice(&(most - most % block).to_le_bytes());
    if !unfinished && data.promised < u64::from(u32::MAX) - 0xff {
        let (there, promised) = (data.there, data.promised);
        mono.warnings.push(format!("truncated: the header promises {promised} bytes of sound, {there} are there"));
    }
    wav_samples(Box::new(std::io::Cursor::new(bytes)), name, mono)
}

fn wav_samples(mut source: Box<dyn Source>, name: &Path, mono: &mut Mono) -> Result<()> {
    let reader = match hound::WavReader::new(&mut *source) {
        Ok(reader) => reader,
        Err(hound::Error::IoError(e)) if e.kind() != ErrorKind::UnexpectedEof => return Err(Error::io(name, e)),
        Err(error) => {
            // Mu-law, A-law and the like: symphonia knows them.
            source.rewind().map_err(|e| Error::io(name, e))?;
            return by_symphonia(source, name, mono)
                .map_err(|_| Error::audio(name, format!("a WAV file that cannot be read: {error}")));
        }
    };
    let spec = reader.spec();
    mono.check(spec.channels.into(), name)?;
    mono.rate = spec.sample_rate;
    let scale = 1.0 / (1_u64 << (spec.bits_per_sample - 1)) as f32;
    match spec.sample_format {
        hound::SampleFormat::Int => frames(reader.into_samples::<i32>(), spec.channels, |s| s as f32 * scale, mono),
        hound::SampleFormat::Float => frames(reader.into_samples::<f32>(), spec.channels, |s| s, mono),
    }
    Ok(())
}

fn frames<T>(
    samples: impl Iterator<Item = hound::Result<T>>,
    channels: u16,
    value: impl Fn(T) -> f32,
    mono: &mut Mono,
) {
    let mut frame = Vec::with_capacity(channels.into());
    for sample in samples {
        match sample {
            Ok(sample) => frame.push(value(sample)),
            Err(error) => {
                mono.warnings.push(format!("damaged after {} samples: {error}", mono.samples.len()));
                return;
            }
        }
        if frame.len() == usize::from(channels) {
            mono.push(&frame);
            frame.clear();
        }
    }
}

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

fn by_symphonia(mut source: Box<dyn Source>, name: &Path, mono: &mut Mono) -> Result<()> {
    let io = |e| Error::io(name, e);
    let length = source.seek(SeekFrom::End(0)).map_err(io)?;
    source.rewind().map_err(io)?;
    let stream = MediaSourceStream::new(Box::new(Media(source, Some(length))), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, Default::default(), Default::default())
        .map_err(|_| Error::audio(name, FORMATS))?;
    let no_track = || Error::audio(name, "no sound track that formant can decode");
    let track = format.default_track(TrackType::Audio).ok_or_else(no_track)?;
    let (track_id, promised) = (track.id, track.num_frames);
    let parameters = track.codec_params.as_ref().and_then(|p| p.audio()).ok_or_else(no_track)?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(|_| no_track())?;
    let mut interleaved: Vec<f32> = Vec::new();
    let mut damaged = 0_usize;
    loop {
        let packet = match format.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(SymphoniaError::IoError(e)) if e.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => {
                mono.warnings.push(format!("damaged after {} samples: {error}", mono.samples.len()));
                break;
            }
        };
        if packet.track_id != track_id {
            continue;
        }
        let Ok(buffer) = decoder.decode(&packet) else {
            damaged += 1;
            continue;
        };
        let channels = buffer.spec().channels().count();
        mono.check(channels, name)?;
        let rate = buffer.spec().rate();
        if mono.rate != 0 && mono.rate != rate {
            return Err(Error::audio(
                name,
                format!("the sample rate changes from {} to {rate} Hz on the way", mono.rate),
            ));
        }
        mono.rate = rate;
        buffer.copy_to_vec_interleaved(&mut interleaved);
        interleaved.chunks_exact(channels).for_each(|frame| mono.push(frame));
    }
    if damaged > 0 {
        mono.warnings.push(format!("{damaged} damaged packets were left out"));
    }
    let there = mono.samples.len() as u64;
    if let Some(promised) = promised.filter(|p| there < *p) {
        mono.warnings.push(format!("truncated: the header promises {promised} samples, {there} are there"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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

    fn read(bytes: Vec<u8>) -> Result<Waveform> {
        Waveform::read(bytes, "x.wav", Channel::Mix)
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
        let right = Waveform::read(bytes.clone(), "x", Channel::Only(1))?;
        assert_eq!(right.samples()[0], 1.0 / 32768.0);
        let error = Waveform::read(bytes, "x", Channel::Only(2)).unwrap_err().to_string();
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
