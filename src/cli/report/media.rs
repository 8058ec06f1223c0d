//! Sound and pictures as part of a page: WAV files and spectrograms as `data:` addresses.
#![forbid(unsafe_code)]

use crate::audio::Waveform;
use crate::cli::plot::Spectrogram;
use crate::features::{FeatureExtractor, FrontEnd, Normalize, hz_to_mel};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hound::{SampleFormat, WavSpec, WavWriter};
use std::io::Cursor;

/// Sample rate of sound in a page.
pub const RATE: u32 = 16_000;

/// The front end of the pictures: finer than what most models see, and the same for all of them.
fn front() -> FrontEnd {
    FrontEnd { bins: 80, normalize: Normalize::None, sample_rate: RATE, ..FrontEnd::default() }
}

/// A WAV file of 16 bits, one channel.
pub fn wav(samples: &[f32]) -> anyhow::Result<Vec<u8>> {
    let spec = WavSpec { channels: 1, sample_rate: RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut bytes, spec)?;
    for sample in samples {
        writer.write_sample((sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16)?;
    }
    writer.finalize()?;
    Ok(bytes.into_inner())
}

/// Sound as an address.
pub fn sound(wave: &Waveform) -> anyhow::Result<String> {
    Ok(format!("data:audio/wav;base64,{}", STANDARD.encode(wav(wave.samples())?)))
}

/// A spectrogram as an address, a pixel a frame and a filter; from when to when it shows the sound, in seconds.
pub fn spectrogram(wave: Waveform) -> anyhow::Result<(String, f64, f64)> {
    let front = front();
    let features = FeatureExtractor::new(&front)?.raw(wave)?;
    let picture = Spectrogram { features: &features, front: &front, title: "", quantity: "" };
    let (start, end) = picture.covers();
    Ok((format!("data:image/png;base64,{}", STANDARD.encode(picture.bare()?)), start, end))
}

/// How far up the picture a frequency lies, from 0 to 1.
pub fn height(hz: f64) -> f64 {
    let (low, high) = front().mel_range();
    let step = (high - low) / (front().bins + 1) as f64;
    (hz_to_mel(hz) - low - step / 2.0) / (high - low - step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_comes_back() -> anyhow::Result<()> {
        let bytes = wav(&[0.0, 0.5, -1.0, 2.0])?;
        let mut reader = hound::WavReader::new(&bytes[..])?;
        let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>()?;
        assert_eq!((reader.spec().sample_rate, samples), (RATE, vec![0, 16384, -32768, 32767]));
        Ok(())
    }

    #[test]
    fn frequencies_rise_from_the_lowest_filter_to_the_highest() {
        assert!(height(100.0) < 0.15 && (0.4..0.6).contains(&height(2000.0)) && height(7000.0) > 0.9);
    }

    #[test]
    fn pictures_cover_the_sound() -> anyhow::Result<()> {
        assert!(spectrogram(Waveform::new(Vec::new(), RATE)?)?.0.starts_with("data:image/png"));
        let (address, start, end) = spectrogram(Waveform::new(vec![0.1; 16_000], RATE)?)?;
        assert!(address.starts_with("data:image/png;base64,iVBOR") && start < 0.02 && end > 0.97 && end <= 1.0);
        Ok(())
    }
}
