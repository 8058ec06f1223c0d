//! The recordings in `data/`: all there, all decodable, all described.
#![forbid(unsafe_code)]

use formant::audio::Waveform;
use formant::phones::PhoneSet;
use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};

/// How far a recording's length may lie from its manifest's, in seconds: the millisecond it is rounded to, and what MP3
/// adds at its ends where a file does not say how much that is.
const SECONDS: f64 = 0.001;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

/// The names in a folder.
fn names(folder: &Path) -> Result<BTreeSet<String>, std::io::Error> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Checks every line of a manifest; returns the names of its recordings.
fn check(manifest: &str) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let path = data().join(manifest);
    let folder = path.parent().ok_or("a manifest lies in a folder")?;
    let (text, phones) = (std::fs::read_to_string(&path)?, PhoneSet::arpabet39());
    let mut lines = text.lines();
    assert!(lines.next().is_some_and(|header| header.starts_with("path\tspeaker\tseconds\ttext\tphones")));
    let mut found = BTreeSet::new();
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let wave = Waveform::open(folder.join(columns[0])).map_err(|e| format!("{manifest}: {e}"))?;
        assert!(wave.warnings().is_empty(), "{line}: {:?}", wave.warnings());
        assert!((wave.seconds() - columns[2].parse::<f64>()?).abs() <= SECONDS, "{line}: {} s", wave.seconds());
        assert!(wave.samples().iter().any(|s| s.abs() > 0.1), "{line}: hardly any sound");
        assert!(!phones.encode(columns[4])?.as_slice().is_empty(), "{line}: no phones");
        let name = Path::new(columns[0]).file_name().ok_or("no name")?;
        assert!(found.insert(name.to_string_lossy().into_owned()), "{line}: comes twice");
    }
    Ok(found)
}

#[test]
fn samples_are_whole_and_listed() -> Result<(), Box<dyn Error>> {
    let listed = check("samples.manifest.tsv")?;
    assert_eq!(listed, names(&data().join("samples"))?);
    let readme = std::fs::read_to_string(data().join("README.md"))?;
    assert!(listed.iter().all(|name| readme.contains(name)), "data/README.md must say where each recording is from");
    Ok(())
}

#[test]
fn the_tiny_corpus_is_whole_and_listed() -> Result<(), Box<dyn Error>> {
    let train = check("tiny/train.manifest.tsv")?;
    assert_eq!(train, names(&data().join("tiny/audio"))?);
    assert!(check("tiny/dev.manifest.tsv")?.is_subset(&train));
    let readme = std::fs::read_to_string(data().join("README.md"))?;
    assert!(train.iter().all(|name| readme.contains(name.trim_end_matches(".ogg"))));
    Ok(())
}
