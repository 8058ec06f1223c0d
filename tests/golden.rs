//! The front end, the loss and the recurrent layer against numbers that other programs made.
//!
//! `tests/golden/` holds those numbers beside the versions of what made them; `scripts/golden/` makes them anew.
#![forbid(unsafe_code)]

use candle_core::{DType, Device, Tensor, Var};
use formant::audio::Waveform;
use formant::features::{FeatureExtractor, FrontEnd};
use formant::lengths::Lengths;
use formant::nn::linear::linear;
use formant::nn::recurrent::{CellKind, Inputs, recurrent};
use formant::phones::{Labels, PhoneId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How far log-mel energies may lie from Kaldi's.
const FEATURES: f64 = 1e-3;
/// How far results in f32 may lie from PyTorch's in f64.
const SINGLE: f64 = 1e-5;
/// How far results in f64 may lie from PyTorch's: the same sums in another order.
const DOUBLE: f64 = 1e-12;
/// Both paths of an operation: f64 goes through the plain definition, f32 through the fast code.
const PATHS: [(DType, f64); 2] = [(DType::F64, DOUBLE), (DType::F32, SINGLE)];

/// `[time][utterance][column]`, numbers past an utterance's end included.
type Padded = Vec<Vec<Vec<f64>>>;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read_json<T: DeserializeOwned>(name: &str) -> Outcome<T> {
    Ok(serde_json::from_slice(&std::fs::read(golden(name))?)?)
}

/// Numbers of a NumPy file of little-endian f32, row by row.
fn read_npy(path: &Path) -> Outcome<Vec<f32>> {
    let bytes = std::fs::read(path)?;
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"), "{}: not version 1 of NumPy's format", path.display());
    let (header, data) = bytes[10..].split_at(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])));
    let header = std::str::from_utf8(header)?;
    assert!(header.contains("'descr': '<f4'") && header.contains("'fortran_order': False"), "{header}");
    let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    Ok(data.chunks_exact(4).map(number).collect())
}

/// Fails if a number lies farther from its golden one than `tolerance` times the largest golden number, or is none.
fn assert_near(what: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}: how many numbers");
    let scale = theirs.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let far = (a - b).abs();
        assert!(far.is_finite() && far <= tolerance * scale, "{what}: number {at} is {a}, not {b}: {far:e} apart");
    }
}

/// The packed rows of a batch.
fn pack(padded: &Padded, lengths: &Lengths) -> Vec<f64> {
    let row = |t: usize, b: usize| padded[t][lengths.order()[b]].iter().copied();
    (0..lengths.steps()).flat_map(|t| (0..lengths.active(t)).flat_map(move |b| row(t, b))).collect()
}

fn variable(data: Vec<f64>, shape: impl Into<candle_core::Shape>, dtype: DType) -> Outcome<Var> {
    Ok(Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu)?.to_dtype(dtype)?)?)
}

fn numbers(tensor: &Tensor) -> Outcome<Vec<f64>> {
    Ok(tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

#[derive(Deserialize)]
struct FbankFile {
    file: String,
    samples: usize,
    features: String,
    frames: usize,
    bins: usize,
}

#[derive(Deserialize)]
struct Fbank {
    files: Vec<FbankFile>,
}

#[test]
fn log_mel_energies_are_kaldis() -> Outcome {
    let extractor = FeatureExtractor::new(&FrontEnd::default())?;
    let fbank: Fbank = read_json("fbank/golden.json")?;
    assert!(fbank.files.len() >= 5);
    for entry in &fbank.files {
        let wave = Waveform::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(&entry.file))?;
        assert_eq!((wave.sample_rate(), wave.samples().len()), (16000, entry.samples), "{}", entry.file);
        let ours = extractor.fbank(wave.samples());
        assert_eq!((ours.frames, ours.dim), (entry.frames, entry.bins), "{}", entry.file);
        let theirs = read_npy(&golden("fbank").join(&entry.features))?;
        assert_eq!(ours.data.len(), theirs.len(), "{}", entry.file);
        for (at, (a, b)) in ours.data.iter().zip(&theirs).enumerate() {
            let far = f64::from((a - b).abs());
            let (frame, bin) = (at / entry.bins, at % entry.bins);
            assert!(far.is_finite() && far <= FEATURES, "{}: frame {frame}, bin {bin}: {a}, not {b}", entry.file);
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct CtcCase {
    name: String,
    classes: usize,
    lengths: Vec<usize>,
    labels: Vec<Vec<u16>>,
    logits: Padded,
    losses: Vec<f64>,
    gradient: Padded,
}

#[derive(Deserialize)]
struct Ctc {
    cases: Vec<CtcCase>,
}

#[test]
fn ctc_loss_and_gradient_are_pytorchs() -> Outcome {
    let ctc: Ctc = read_json("ctc.json")?;
    assert!(ctc.cases.len() >= 5);
    for case in &ctc.cases {
        let lengths = Lengths::new(&case.lengths);
        let label = |&b: &usize| Labels::new(case.labels[b].iter().copied().map(PhoneId).collect());
        let labels = lengths.order().iter().map(label).collect::<formant::Result<Vec<_>>>()?;
        let losses: Vec<f64> = lengths.order().iter().map(|&b| case.losses[b]).collect();
        for (dtype, tolerance) in PATHS {
            let what = |part: &str| format!("{}, {dtype:?}, {part}", case.name);
            let logits = variable(pack(&case.logits, &lengths), (lengths.rows(), case.classes), dtype)?;
            let ours = formant::ctc::loss(&logits, &labels, &lengths)?;
            // One by one: a small loss beside a large one must be as good.
            for (b, (ours, theirs)) in numbers(&ours)?.into_iter().zip(&losses).enumerate() {
                assert_near(&what(&format!("loss {b}")), &[ours], &[*theirs], tolerance);
            }
            let gradients = ours.sum_all()?.backward()?;
            let gradient = gradients.get(&logits).ok_or("no gradient")?;
            assert_near(&what("gradient"), &numbers(gradient)?, &pack(&case.gradient, &lengths), tolerance);
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Weight {
    Vector(Vec<f64>),
    Matrix(Vec<Vec<f64>>),
}

impl Weight {
    fn flat(&self) -> Vec<f64> {
        match self {
            Self::Vector(vector) => vector.clone(),
            Self::Matrix(rows) => rows.concat(),
        }
    }
}

#[derive(Deserialize)]
struct Lstm {
    input_size: usize,
    hidden_size: usize,
    layers: usize,
    lengths: Vec<usize>,
    input: Padded,
    weights: BTreeMap<String, Weight>,
    output: Padded,
    weighting: Padded,
    input_gradient: Padded,
    gradients: BTreeMap<String, Weight>,
}

/// PyTorch's `kind` of a layer, the backward direction's below the forward one's.
fn both_directions(weights: &BTreeMap<String, Weight>, kind: &str, layer: usize) -> Outcome<Vec<f64>> {
    let one = |suffix: &str| weights.get(&format!("{kind}_l{layer}{suffix}")).ok_or("a weight is missing");
    Ok([one("")?.flat(), one("_reverse")?.flat()].concat())
}

/// A layer's `w`, `b` and `r`. PyTorch has two biases, which are added; its gates stand in the order of ours.
fn layer_variables(lstm: &Lstm, layer: usize, dtype: DType) -> Outcome<[Var; 3]> {
    let rows = 4 * lstm.hidden_size;
    let columns = if layer == 0 { lstm.input_size } else { 2 * lstm.hidden_size };
    let take = |kind| both_directions(&lstm.weights, kind, layer);
    let bias = take("bias_ih")?.iter().zip(take("bias_hh")?).map(|(a, b)| a + b).collect();
    Ok([
        variable(take("weight_ih")?, (2 * rows, columns), dtype)?,
        variable(bias, 2 * rows, dtype)?,
        variable(take("weight_hh")?, (2, rows, lstm.hidden_size), dtype)?,
    ])
}

#[test]
fn lstm_stack_is_pytorchs() -> Outcome {
    let lstm: Lstm = read_json("lstm.json")?;
    let lengths = Lengths::new(&lstm.lengths);
    let columns = 2 * lstm.hidden_size;
    for (dtype, tolerance) in PATHS {
        let what = |part: &str| format!("{dtype:?}, {part}");
        let input = variable(pack(&lstm.input, &lengths), (lengths.rows(), lstm.input_size), dtype)?;
        let layers = (0..lstm.layers).map(|l| layer_variables(&lstm, l, dtype)).collect::<Outcome<Vec<_>>>()?;
        let mut output = input.as_tensor().clone();
        for [w, b, r] in &layers {
            let inputs = Inputs { a: &linear(&output, w, b)?, r: Some(r), aux: None };
            output = recurrent(CellKind::Lstm, 2, inputs, &lengths)?;
        }
        assert_near(&what("output"), &numbers(&output)?, &pack(&lstm.output, &lengths), tolerance);

        let weighting = variable(pack(&lstm.weighting, &lengths), (lengths.rows(), columns), dtype)?;
        let gradients = (output * weighting.as_tensor())?.sum_all()?.backward()?;
        let check = |part: &str, variable: &Var, theirs: &[f64]| -> Outcome {
            let gradient = gradients.get(variable).ok_or("no gradient")?;
            assert_near(&what(part), &numbers(gradient)?, theirs, tolerance);
            Ok(())
        };
        check("gradient of the input", &input, &pack(&lstm.input_gradient, &lengths))?;
        for (layer, variables) in layers.iter().enumerate() {
            for (variable, kind) in variables.iter().zip(["weight_ih", "bias_ih", "weight_hh"]) {
                let theirs = both_directions(&lstm.gradients, kind, layer)?;
                check(&format!("gradient of {kind}, layer {layer}"), variable, &theirs)?;
            }
        }
    }
    Ok(())
}
