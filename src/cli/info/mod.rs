//! `formant info`: what a file is, told by its content, and what there is to know about it.
#![forbid(unsafe_code)]

mod data;
mod model;

use super::args::InfoArgs;
use super::output::{self, Table};
use super::{Outcome, audio_warnings};
use crate::audio;
use crate::corpus::Manifest;
use crate::error::Error;
use crate::model::Model;
use crate::train::Recipe;
use data::{AudioInfo, ManifestInfo};
use model::ModelInfo;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Runs `formant info`.
pub fn run(args: &InfoArgs) -> anyhow::Result<Outcome> {
    let description = match &args.file {
        None => Description::Model(Box::new(ModelInfo::new(&Model::embedded()?))),
        Some(path) => describe(path)?,
    };
    if args.json {
        output::json(&description)?
    } else {
        description.print()?
    }
    if let Description::Audio(info) = &description {
        let path = args.file.as_deref().unwrap_or(Path::new("-"));
        return Ok(audio_warnings(path, &info.warnings));
    }
    Ok(Outcome::Done)
}

/// What a file turned out to be.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Description {
    Model(Box<ModelInfo>),
    Recipe { recipe: Box<Recipe> },
    Manifest(ManifestInfo),
    Corpus { splits: BTreeMap<String, ManifestInfo> },
    Audio(AudioInfo),
}

impl Description {
    fn print(&self) -> anyhow::Result<()> {
        let mut table = Table::default();
        match self {
            Self::Model(info) => info.describe(&mut table),
            // A recipe is shown as what it is: the text that gives the same run when it is read again.
            Self::Recipe { recipe } => return output::line(recipe.to_toml().trim_end()),
            Self::Manifest(info) => info.describe(&mut table),
            Self::Corpus { splits } => {
                for (split, info) in splits {
                    table.row("split", split);
                    info.describe(&mut table);
                }
            }
            Self::Audio(info) => info.describe(&mut table),
        }
        output::line(table)
    }
}

/// What the first bytes say.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Recipe,
    Manifest,
    /// Anything else: a recording, if it is anything that formant reads.
    Audio,
}

/// Bytes that are looked at.
const HEAD: u64 = 1 << 16;

fn kind(head: &[u8]) -> Kind {
    // safetensors: the length of the JSON that follows, in eight bytes of which the upper ones are zero.
    if head.get(8) == Some(&b'{') && head[4..8] == [0; 4] {
        return Kind::Model;
    }
    // The last character may be cut in two.
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() + 4 > head.len() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Kind::Audio,
    };
    if text.contains('\0') {
        return Kind::Audio;
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.lines().next().is_some_and(|line| line.split('\t').any(|column| column.trim() == "path")) {
        return Kind::Manifest;
    }
    let statement = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    match statement {
        Some(line) if line.starts_with('[') || line.contains('=') => Kind::Recipe,
        _ => Kind::Audio,
    }
}

fn describe(path: &Path) -> anyhow::Result<Description> {
    let metadata = fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if metadata.is_dir() {
        return describe_folder(path);
    }
    let mut head = Vec::new();
    if metadata.is_file() {
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        file.take(HEAD).read_to_end(&mut head).map_err(|e| Error::io(path, e))?;
    }
    match kind(&head) {
        Kind::Model => Ok(Description::Model(Box::new(ModelInfo::new(&Model::load(path)?)))),
        Kind::Recipe => Ok(Description::Recipe { recipe: Box::new(Recipe::read(path)?) }),
        Kind::Manifest => Ok(Description::Manifest(ManifestInfo::new(&Manifest::read(path)?))),
        Kind::Audio => match audio::Waveform::open(path) {
            Ok(wave) => Ok(Description::Audio(AudioInfo::new(&head, metadata.len(), &wave))),
            Err(error) if audio::is_foreign(&error) => Err(output::with_hint(
                format!("{}: neither a model, a recipe or a manifest, nor a recording", path.display()),
                "a manifest is a table with tabs whose first line names a column path; a recipe is TOML",
            )),
            Err(error) => Err(error.into()),
        },
    }
}

/// A run's folder stands for its model, a corpus for its splits.
fn describe_folder(path: &Path) -> anyhow::Result<Description> {
    let model = path.join("model.safetensors");
    if model.is_file() {
        return Ok(Description::Model(Box::new(ModelInfo::new(&Model::load(model)?))));
    }
    let mut splits = BTreeMap::new();
    for split in Manifest::splits(path)? {
        let info = ManifestInfo::new(&Manifest::open(path, &split)?);
        splits.insert(split, info);
    }
    if !splits.is_empty() {
        return Ok(Description::Corpus { splits });
    }
    if let (true, Some(folder), Some(name)) = (path.join("wav.scp").is_file(), path.parent(), path.file_name()) {
        return Ok(Description::Manifest(ManifestInfo::new(&Manifest::open(folder, &name.to_string_lossy())?)));
    }
    let what = format!("{}: a folder with neither a model nor a manifest in it", path.display());
    Err(output::with_hint(what, "a run's folder has model.safetensors, a corpus SPLIT.manifest.tsv"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_content() {
        for (head, expected) in [
            (&b"\x40\0\0\0\0\0\0\0{\"__metadata__\""[..], Kind::Model),
            (b"path\tspeaker\nx\ty\n", Kind::Manifest),
            ("\u{feff}speaker\tpath\r\n".as_bytes(), Kind::Manifest),
            (b"# my recipe\n\nrecipe = 1\n", Kind::Recipe),
            (b"[data]\n", Kind::Recipe),
            (b"RIFF\x24\0\0\0WAVEfmt ", Kind::Audio),
            (b"fLaC\0\0\0\x22", Kind::Audio),
            (b"", Kind::Audio),
            (b"<html>", Kind::Audio),
            (b"ID3\x04\xff\xfe=x", Kind::Audio),
        ] {
            assert_eq!(kind(head), expected, "{}", String::from_utf8_lossy(head));
        }
        // A character cut in two by the limit is no reason to call a text binary.
        let mut cut = "a = 'ö".as_bytes().to_vec();
        cut.pop();
        assert_eq!(kind(&cut), Kind::Recipe);
    }
}
