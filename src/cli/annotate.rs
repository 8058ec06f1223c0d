//! Annotations as files: which formats there are, and how they are written.
#![forbid(unsafe_code)]

use crate::annotation::{Annotation, ctm, cues, eaf, srt, textgrid, timit, webvtt};
use crate::error::Error;
use crate::files;
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Formats of annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// Praat's TextGrid, a tier for words and one for phones
    Textgrid,
    /// ELAN's .eaf, the same tiers
    Eaf,
    /// CTM as sclite reads it: words, or phones where there are no words
    Ctm,
    /// TIMIT's .PHN, with the words in a .WRD beside it
    Phn,
    /// SubRip subtitles
    Srt,
    /// WebVTT subtitles
    Vtt,
    /// One JSON object a line and recording, with times and scores
    Json,
}

impl FileFormat {
    /// By the name of a file.
    pub fn of(path: &Path) -> Option<Self> {
        let suffix = path.extension()?.to_str()?.to_ascii_lowercase();
        match suffix.as_str() {
            "textgrid" => Some(Self::Textgrid),
            "eaf" => Some(Self::Eaf),
            "ctm" => Some(Self::Ctm),
            "phn" | "wrd" => Some(Self::Phn),
            "srt" => Some(Self::Srt),
            "vtt" => Some(Self::Vtt),
            "json" | "jsonl" => Some(Self::Json),
            _ => None,
        }
    }

    /// What a file's name ends with.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Textgrid => "TextGrid",
            Self::Eaf => "eaf",
            Self::Ctm => "ctm",
            Self::Phn => "PHN",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Json => "json",
        }
    }
}

/// The files of an annotation: the suffix and the content of each, the main one first. JSON is the commands' own.
pub fn render(format: FileFormat, annotation: &Annotation) -> Vec<(&'static str, String)> {
    let words = annotation.tiers.first();
    let phones = annotation.tiers.last();
    match format {
        FileFormat::Textgrid | FileFormat::Json => vec![("TextGrid", textgrid(annotation))],
        FileFormat::Eaf => vec![("eaf", eaf(annotation))],
        FileFormat::Ctm => words.map(|tier| ("ctm", ctm(annotation, tier))).into_iter().collect(),
        FileFormat::Srt => words.map(|tier| ("srt", srt(&cues(tier)))).into_iter().collect(),
        FileFormat::Vtt => words.map(|tier| ("vtt", webvtt(&cues(tier)))).into_iter().collect(),
        FileFormat::Phn => {
            let phones = phones.map(|tier| ("PHN", timit(annotation, tier, true)));
            let words =
                words.filter(|_| annotation.tiers.len() > 1).map(|tier| ("WRD", timit(annotation, tier, false)));
            phones.into_iter().chain(words).collect()
        }
    }
}

/// Where each of these goes in a folder, without a suffix: its own path below it. What would lead out of the folder is left
/// out; the suffix of a recording stays where two would have the same name.
pub fn targets<'a>(paths: impl Iterator<Item = &'a Path>, folder: &Path) -> Vec<PathBuf> {
    let inside =
        |path: &Path| -> PathBuf { path.components().filter(|part| matches!(part, Component::Normal(_))).collect() };
    let paths: Vec<PathBuf> = paths.map(inside).collect();
    let bare = |path: &PathBuf| path.with_extension("");
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<PathBuf> = paths.iter().map(bare).filter(|path| !seen.insert(path.clone())).collect();
    paths.iter().map(|path| folder.join(if twice.contains(&bare(path)) { path.clone() } else { bare(path) })).collect()
}

/// Writes the files of an annotation to a target, which gets their suffixes.
pub fn write_to(target: &Path, rendered: &[(&'static str, String)]) -> anyhow::Result<()> {
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    for (suffix, content) in rendered {
        let mut path = target.as_os_str().to_owned();
        path.push(".");
        path.push(suffix);
        files::write_atomic(Path::new(&path), content.as_bytes())?;
    }
    Ok(())
}

/// Writes the files of an annotation: the first one to `path`, others beside it.
pub fn write(path: &Path, rendered: &[(&'static str, String)]) -> anyhow::Result<()> {
    for (n, (suffix, content)) in rendered.iter().enumerate() {
        let path = if n == 0 { path.to_owned() } else { path.with_extension(suffix) };
        files::write_atomic(&path, content.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_in_the_folder_and_apart() {
        let ids = ["a/b.wav", "../x.wav", "/etc/passwd", "c.wav", "c.flac", "d.wav:1-2"];
        let found = targets(ids.iter().map(Path::new), Path::new("out"));
        let expected = ["out/a/b", "out/x", "out/etc/passwd", "out/c.wav", "out/c.flac", "out/d"].map(PathBuf::from);
        assert_eq!(found, expected);
    }

    #[test]
    fn formats_are_known_by_their_suffix() {
        for format in FileFormat::value_variants() {
            assert_eq!(FileFormat::of(&Path::new("x").with_extension(format.suffix())), Some(*format));
        }
        assert!(FileFormat::of(Path::new("x.txt")).is_none());
    }
}
