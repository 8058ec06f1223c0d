//! `formant features`: numbers for NumPy, pictures for people.
#![forbid(unsafe_code)]

use crate::support::{Place, data, tiny_model, wait};
use formant::audio::Waveform;
use formant::features::{FeatureExtractor, FrontEnd};
use formant::model::Model;
use std::fs::File;
use std::process::Stdio;

/// The header and the numbers of a NumPy file of f32.
fn numpy(bytes: &[u8]) -> (String, Vec<f32>) {
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8(bytes[10..10 + length].to_vec()).unwrap();
    assert!((10 + length).is_multiple_of(64) && header.ends_with('\n'), "{header:?}");
    (header, bytes[10 + length..].as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

#[test]
fn numbers_are_the_librarys() {
    let (place, file) = (Place::new(), data("samples/so2897-8k.flac"));
    let ran = place.run(&["features", &file, "--out", "a.npy"]).ends(0);
    let expected = FeatureExtractor::new(&FrontEnd::default()).unwrap().raw(Waveform::open(&file).unwrap()).unwrap();
    let said = format!("formant: {file}: {} frames x 40, {:.2} s of sound\n", expected.frames, 4.35);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", said.as_str()));
    let (header, values) = numpy(&std::fs::read(place.path("a.npy")).unwrap());
    let shape = format!("'descr': '<f4', 'fortran_order': False, 'shape': ({}, 40)", expected.frames);
    assert!(header.contains(&shape), "{header}");
    assert_eq!(values, expected.data);
}

#[test]
fn standard_output_and_input_are_files_too() {
    let (place, file) = (Place::new(), data("samples/so0120.wav"));
    place.run(&["features", &file, "--out", "a.npy", "--bins", "23", "--deltas", "1"]).ends(0);
    let mut command = place.command(&["features", "-", "--out", "-", "--bins", "23", "--deltas", "1"]);
    command.stdin(File::open(&file).unwrap()).stdout(File::create(place.path("out")).unwrap()).stderr(Stdio::null());
    assert_eq!(wait(&mut command.spawn().unwrap()), Some(0));
    assert_eq!(std::fs::read(place.path("out")).unwrap(), std::fs::read(place.path("a.npy")).unwrap());
}

#[test]
fn a_models_own_features_are_normalised_and_stacked() {
    let (place, model) = (Place::new(), tiny_model());
    place.run(&["features", &data("samples/so0120.wav"), "--out", "a.npy", "--model", &model]).ends(0);
    let (header, values) = numpy(&std::fs::read(place.path("a.npy")).unwrap());
    let model = Model::load(model).unwrap();
    assert!(header.contains(&format!(", {})", model.front().dim())), "{header}");
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
    assert!(mean.abs() < 1.0, "{mean}");
}

#[test]
fn pictures_are_pictures() {
    let (place, file) = (Place::new(), data("samples/so0120.wav"));
    place.run(&["features", &file, "--plot", "a.svg"]).ends(0);
    place.run(&["features", &file, "--plot", "a.png", "--out", "a.npy"]).ends(0);
    let svg = std::fs::read_to_string(place.path("a.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("so0120.wav"));
    let png = std::fs::read(place.path("a.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"));
}

#[test]
fn nothing_is_written_when_something_is_wrong() {
    let place = Place::new();
    let ran = place.run(&["features", &data("samples/so0120.wav"), "--out", "a.npy", "--plot", "a.gif"]).ends(2);
    assert!(!place.path("a.npy").exists(), "{}", ran.report());
}
