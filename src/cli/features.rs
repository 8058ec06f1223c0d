//! `formant features`: the log-mel features of a recording, as numbers and as a picture.
#![forbid(unsafe_code)]

use super::args::FeaturesArgs;
use super::inputs::Input;
use super::plot::Spectrogram;
use super::{Outcome, audio_warnings, load_model, output};
use crate::audio::ReadOptions;
use crate::error::Error;
use crate::features::{Cmvn, FeatureExtractor, Features, FrontEnd, Normalize, write_npy};
use crate::files::write_atomic;
use anyhow::{Result, bail};
use std::io::{self, Write};
use std::path::Path;

/// Runs `formant features`: makes everything first, then writes it, each file whole or not at all.
pub fn run(args: &FeaturesArgs) -> Result<Outcome> {
    let picture = args.plot.as_deref().map(Picture::named).transpose()?;
    let (front, cmvn) = front_end(args)?;
    let extractor = FeatureExtractor::new(&front)?;
    let wave =
        Input::named(&args.file).read(ReadOptions { channel: args.channel, sample_rate: Some(front.sample_rate) })?;
    let (seconds, warnings) = (wave.seconds(), wave.warnings().to_vec());
    audio_warnings(&args.file, &warnings);
    let mut features = extractor.raw(wave)?;
    extractor.normalize(&mut features, &cmvn);
    let picture = picture.map(|picture| picture.draw(&features, &front, &args.file)).transpose()?;
    let features = features.stacked(front.stack);
    if let Some(out) = &args.out {
        write(out, &features)?;
    }
    if let (Some(path), Some(picture)) = (&args.plot, picture) {
        write_atomic(path, &picture)?;
    }
    let (name, Features { frames, dim, .. }) = (output::path(&args.file), features);
    output::note(format!("{name}: {frames} frames x {dim}, {seconds:.2} s of sound"));
    Ok(if warnings.is_empty() { Outcome::Done } else { Outcome::Suspect })
}

/// How features are made and normalised.
fn front_end(args: &FeaturesArgs) -> Result<(FrontEnd, Cmvn)> {
    if args.model.is_some() {
        let model = load_model(args.model.as_deref())?;
        return Ok((model.front, model.cmvn));
    }
    let plain = FrontEnd::default();
    let front = FrontEnd {
        bins: args.bins.map_or(plain.bins, usize::from),
        deltas: args.deltas.map_or(plain.deltas, usize::from),
        normalize: Normalize::None,
        ..plain
    };
    let cmvn = Cmvn::identity(front.frame_dim());
    Ok((front, cmvn))
}

/// Writes the numbers to a file, or to standard output for `-`.
fn write(path: &Path, features: &Features) -> Result<()> {
    let mut bytes = Vec::new();
    write_npy(&mut bytes, features).map_err(|e| Error::io(path, e))?;
    if path == Path::new("-") {
        // As it comes: a reader that has gone is told by the kind of this error.
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        return Ok(out.flush()?);
    }
    Ok(write_atomic(path, &bytes)?)
}

/// Kinds of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picture {
    Svg,
    Png,
}

impl Picture {
    /// The kind that a file's name asks for.
    fn named(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => bail!("{}: pictures are written as .svg or .png, and the name says neither", path.display()),
        }
    }

    /// The file's bytes. `features` are not stacked yet.
    fn draw(self, features: &Features, front: &FrontEnd, file: &Path) -> Result<Vec<u8>> {
        let title = match file.file_name() {
            Some(name) if name != "-" => name.to_string_lossy(),
            _ => "standard input".into(),
        };
        let quantity = match front.normalize {
            Normalize::None => "log energy",
            Normalize::Global | Normalize::Utterance => "log energy, normalised",
        };
        let picture = Spectrogram { features, front, title: &title, quantity };
        match self {
            Self::Svg => Ok(picture.svg()?.into_bytes()),
            Self::Png => picture.png(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::Channel;
    use clap::Parser;
    use std::fs;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: FeaturesArgs,
    }

    fn parse(words: &[&str]) -> Result<FeaturesArgs, clap::Error> {
        Line::try_parse_from(["features"].iter().chain(words)).map(|line| line.args)
    }

    /// Half a second of a tone at 8 kHz, as a WAV file.
    fn tone(path: &Path) {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for i in 0..4000 {
            writer.write_sample(((i as f32 * 0.5).sin() * 8000.0) as i16).unwrap();
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn what_is_typed_is_checked() {
        for wrong in [
            &["a.wav"][..],
            &["a.wav", "--out", "a.npy", "--bins", "0"],
            &["a.wav", "--out", "a.npy", "--deltas", "3"],
            &["a.wav", "--out", "a.npy", "--channel", "left"],
            &["a.wav", "--out", "a.npy", "--model", "m", "--bins", "20"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        let args = parse(&["-", "--plot", "a.svg", "--channel", "1"]).unwrap();
        assert_eq!((args.channel, args.out), (Channel::Only(1), None));
    }

    #[test]
    fn numbers_and_both_pictures_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let [wav, npy, svg, png] = ["a.wav", "a.npy", "a.SVG", "a.png"].map(|name| folder.path().join(name));
        tone(&wav);
        let words = |path: &Path| path.to_str().unwrap().to_owned();
        for picture in [&svg, &png] {
            let line =
                [words(&wav), "-o".into(), words(&npy), "-p".into(), words(picture), "--deltas".into(), "1".into()];
            run(&parse(&line.each_ref().map(String::as_str)).unwrap()).unwrap();
        }
        assert_eq!(fs::read(&npy).unwrap().len(), 128 + 48 * 80 * 4);
        assert!(fs::read_to_string(&svg).unwrap().contains("a.wav"));
        assert!(fs::read(&png).unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn unknown_pictures_are_refused_before_anything_is_read() {
        let error = run(&parse(&["missing.wav", "--plot", "a.jpg"]).unwrap()).unwrap_err().to_string();
        assert_eq!(error, "a.jpg: pictures are written as .svg or .png, and the name says neither");
        let error = run(&parse(&["missing.wav", "--plot", "a.svg"]).unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("missing.wav: "), "{error}");
    }
}
