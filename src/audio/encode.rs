//! Writing recordings: NIST SPHERE, the format of TIMIT's .WAV.
#![forbid(unsafe_code)]

use super::Waveform;

/// Bytes of the header, as nearly all SPHERE files have it.
const HEADER: usize = 1024;

/// A SPHERE file of 16-bit samples, low byte first; `id` is its utterance's name.
pub fn sphere(wave: &Waveform, id: &str) -> Vec<u8> {
    let samples: Vec<i16> =
        wave.samples().iter().map(|x| (x * 32768.0).round().clamp(-32768.0, 32767.0) as i16).collect();
    let integers = [
        ("channel_count", 1),
        ("sample_count", samples.len() as i64),
        ("sample_rate", wave.sample_rate().into()),
        ("sample_min", samples.iter().copied().min().unwrap_or(0).into()),
        ("sample_max", samples.iter().copied().max().unwrap_or(0).into()),
        ("sample_n_bytes", 2),
        ("sample_sig_bits", 16),
    ];
    // Names longer than this would not fit.
    let id: String = id.chars().filter(char::is_ascii_graphic).take(128).collect();
    let mut header = format!("NIST_1A\n{HEADER:7}\nutterance_id -s{} {id}\n", id.len());
    integers.iter().for_each(|(name, value)| header += &format!("{name} -i {value}\n"));
    header += "sample_byte_format -s2 01\nend_head\n";
    let mut bytes = header.into_bytes();
    bytes.resize(HEADER, b' ');
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::ReadOptions;

    #[test]
    fn what_is_written_is_read() -> crate::Result<()> {
        let wave = Waveform::new(vec![0.0, 0.5, -1.0, 1.0, 3.0 / 32768.0], 16000)?;
        let bytes = sphere(&wave, "fcjf0_sx37");
        let read = Waveform::read(bytes, "x", ReadOptions::default())?;
        assert_eq!(read.samples(), [0.0, 0.5, -1.0, 32767.0 / 32768.0, 3.0 / 32768.0]);
        assert!(read.sample_rate() == 16000 && read.warnings().is_empty());
        Ok(())
    }
}
