//! What there is to know about a manifest and about a recording.
#![forbid(unsafe_code)]

use crate::audio::{self, Waveform};
use crate::cli::output::{self, Table};
use crate::corpus::Manifest;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A manifest in numbers.
#[derive(Debug, Serialize)]
pub struct ManifestInfo {
    path: String,
    utterances: usize,
    /// Of those utterances whose length the manifest gives.
    hours: f64,
    /// Utterances whose length it does not give.
    without_length: usize,
    speakers: usize,
    phones: usize,
    /// How often each symbol comes.
    symbols: BTreeMap<String, usize>,
    columns: Vec<String>,
    /// Recordings that are not there.
    missing_audio: usize,
}

impl ManifestInfo {
    /// Counts.
    pub fn new(manifest: &Manifest) -> Self {
        let mut symbols: BTreeMap<String, usize> = BTreeMap::new();
        let (mut speakers, mut audio) = (BTreeSet::new(), BTreeSet::new());
        for utterance in &manifest.utterances {
            speakers.insert(utterance.speaker.as_str());
            audio.insert(utterance.audio.as_path());
            for symbol in utterance.phones.split_whitespace() {
                *symbols.entry(symbol.to_owned()).or_default() += 1;
            }
        }
        speakers.remove("");
        let lengths: Vec<f64> = manifest.utterances.iter().filter_map(|u| u.seconds).collect();
        Self {
            path: manifest.path.to_string_lossy().into_owned(),
            utterances: manifest.utterances.len(),
            // Not the sum of nothing, which is minus zero.
            hours: output::seconds(lengths.iter().fold(0.0, |sum, length| sum + length) / 3600.0),
            without_length: manifest.utterances.len() - lengths.len(),
            speakers: speakers.len(),
            phones: symbols.values().sum(),
            symbols,
            columns: manifest.columns.clone(),
            missing_audio: audio.iter().filter(|path| !path.is_file()).count(),
        }
    }

    /// Adds lines.
    pub fn describe(&self, table: &mut Table) {
        table.row("manifest", &self.path);
        table.row("utterances", self.utterances);
        let unknown = match self.without_length {
            0 => String::new(),
            n => format!(", {n} utterances of unknown length not counted"),
        };
        table.row("hours", format!("{:.3}{unknown}", self.hours));
        table.row("speakers", self.speakers);
        let mut symbols: Vec<_> = self.symbols.iter().collect();
        symbols.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let symbols: Vec<_> = symbols.iter().map(|(symbol, count)| format!("{symbol} {count}")).collect();
        table.row("phones", format!("{}, {} symbols: {}", self.phones, symbols.len(), symbols.join(", ")));
        table.row("columns", self.columns.join(", "));
        if self.missing_audio > 0 {
            table.row("missing audio", format!("{} files", self.missing_audio));
        }
    }
}

/// A recording in numbers.
#[derive(Debug, Serialize)]
pub struct AudioInfo {
    format: &'static str,
    bytes: u64,
    seconds: f64,
    sample_rate: u32,
    /// Samples a channel.
    frames: usize,
    /// Largest sample of the mixed channels, 1 being full scale.
    peak: f32,
    /// Sound that is missing.
    pub warnings: Vec<String>,
}

impl AudioInfo {
    /// `head` is the file's beginning.
    pub fn new(head: &[u8], bytes: u64, wave: &Waveform) -> Self {
        Self {
            format: audio::container(head).unwrap_or("other"),
            bytes,
            seconds: output::seconds(wave.seconds()),
            sample_rate: wave.sample_rate(),
            frames: wave.samples().len(),
            peak: wave.samples().iter().fold(0.0, |peak, sample| peak.max(sample.abs())),
            warnings: wave.warnings().to_vec(),
        }
    }

    /// Adds lines.
    pub fn describe(&self, table: &mut Table) {
        table.row("recording", format!("{}, {} bytes", self.format, self.bytes));
        table.row("seconds", self.seconds);
        table.row("sample rate", format!("{} Hz", self.sample_rate));
        table.row("frames", format!("{} (samples a channel)", self.frames));
        let peak = if self.peak > 0.0 {
            format!("{:.1} dB below full scale, channels mixed", -20.0 * self.peak.log10())
        } else {
            "silence: every sample is zero".to_owned()
        };
        table.row("peak", peak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn manifests_are_counted() -> crate::Result<()> {
        let text = b"path\tspeaker\tseconds\tphones\na.wav\ts1\t1800\tk ae\nb.wav\ts1\t-\tk\n";
        let mut table = Table::default();
        ManifestInfo::new(&Manifest::parse(text, Path::new("no-folder/x.manifest.tsv"))?).describe(&mut table);
        let expected = "\
manifest       no-folder/x.manifest.tsv
utterances     2
hours          0.500, 1 utterances of unknown length not counted
speakers       1
phones         3, 2 symbols: k 2, ae 1
columns        path, speaker, seconds, phones
missing audio  2 files";
        assert_eq!(table.to_string(), expected);
        Ok(())
    }

    #[test]
    fn recordings_are_described() -> crate::Result<()> {
        let mut table = Table::default();
        let wave = Waveform::new(vec![0.0, -0.1, 0.05, 0.0], 8000)?;
        AudioInfo::new(b"fLaC\0", 100, &wave).describe(&mut table);
        let expected = "\
recording    FLAC, 100 bytes
seconds      0.0005
sample rate  8000 Hz
frames       4 (samples a channel)
peak         20.0 dB below full scale, channels mixed";
        assert_eq!(table.to_string(), expected);
        Ok(())
    }
}
