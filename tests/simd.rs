//! Every instruction set gives the same phones, and the same scores but for rounding.
#![forbid(unsafe_code)]

use crate::support::{Place, data, tiny_model};
use formant::nn::simd::Path as SimdPath;
use formant::score::{Convention, Edit, align};
use serde_json::Value;

/// How far scores may lie apart: relative to the frames that a score sums up, or absolute for a mean over frames.
const TOLERANCE: f64 = 1e-4;

#[test]
fn phones_are_equal_and_scores_nearly() {
    let place = Place::new();
    let (samples, tiny, model) = (data("samples"), data("tiny"), tiny_model());
    for model in [&[][..], &["--model", &model]] {
        for decoder in ["greedy", "beam"] {
            let words = [&["transcribe", "-f", "json", "--decoder", decoder, &samples, &tiny], model].concat();
            let run = |path: SimdPath| {
                let mut command = place.command(&words);
                command.env("FORMANT_SIMD", path.name());
                place.finish(command, b"").ends(0).json()
            };
            let all: Vec<(SimdPath, Vec<Value>)> = SimdPath::available().into_iter().map(|p| (p, run(p))).collect();
            assert!(all.iter().all(|(_, lines)| lines.len() == 16));
            for (path, lines) in &all[1..] {
                for (line, other) in lines.iter().zip(&all[0].1) {
                    compare(line, other, &format!("{path:?} and {:?}", all[0].0));
                }
            }
        }
    }
}

/// Weights of 8 bits, on every instruction set, say nearly what those of 32 bits do.
#[test]
fn eight_bits_are_nearly_as_good() {
    let place = Place::new();
    let samples = data("samples");
    let run = |path: SimdPath, precision: &str| {
        let mut command = place.command(&["transcribe", "-f", "json", "--precision", precision, &samples]);
        command.env("FORMANT_SIMD", path.name());
        let lines = place.finish(command, b"").ends(0).json();
        lines.iter().map(|line| line["phones"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let exact = run(SimdPath::current(), "f32");
    for path in SimdPath::available() {
        let (mut edits, mut phones) = (0, 0);
        for (exact, rounded) in exact.iter().zip(run(path, "int8")) {
            let [exact, rounded] = [exact, &rounded].map(|phones| phones.split(' ').collect::<Vec<_>>());
            edits += align(&exact, &rounded, Convention::Levenshtein)
                .iter()
                .filter(|edit| !matches!(edit, Edit::Match(_)))
                .count();
            phones += exact.len();
        }
        assert!(phones > 100 && edits * 20 < phones, "{path:?}: {edits} edits of {phones} phones");
    }
}

#[track_caller]
fn compare(line: &Value, other: &Value, which: &str) {
    let file = &line["file"];
    assert_eq!(line["phones"], other["phones"], "{which}: {file}");
    let near = |a: &Value, b: &Value| {
        let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
        assert!((a - b).abs() <= TOLERANCE * a.abs().max(1.0), "{which}: {file}: {a} and {b}");
    };
    near(&line["score"], &other["score"]);
    let (ours, theirs) = (line["segments"].as_array().unwrap(), other["segments"].as_array().unwrap());
    assert_eq!(ours.len(), theirs.len());
    for (a, b) in ours.iter().zip(theirs) {
        assert_eq!((&a["phone"], &a["start"], &a["end"]), (&b["phone"], &b["start"], &b["end"]), "{which}: {file}");
        near(&a["score"], &b["score"]);
    }
}
