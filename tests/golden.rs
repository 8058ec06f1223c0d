//! Decoding, the front end, the loss and the recurrent layer against numbers that other programs made.
//!
//! `tests/golden/` holds those numbers beside the versions of what made them; `scripts/golden/` makes them anew.
#![forbid(unsafe_code)]

use candle_core::{DType, Device, Tensor, Var};
use formant::audio::{Channel, ReadOptions, Waveform};
use formant::features::{FeatureExtractor, FrontEnd};
use formant::lengths::Lengths;
use formant::nn::linear::linear;
use formant::nn::mlstm::mlstm;
use formant::nn::recurrent::{CellKind, Weights, recurrent};
use formant::phones::{Labels, PhoneId};
use formant::score::{Convention, Report};
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
struct SphereFile {
    file: String,
    witness: String,
    samples: String,
}

#[derive(Deserialize)]
struct Sphere {
    files: Vec<SphereFile>,
}

/// Every channel of a file, as [`Waveform`] reads it, is bit by bit what the witness made of it.
fn assert_sphere(entry: &SphereFile) -> Outcome {
    let mut theirs = hound::WavReader::open(golden("sphere").join(&entry.samples))?;
    let spec = theirs.spec();
    let samples = theirs.samples::<i32>().collect::<Result<Vec<_>, _>>()?;
    let scale = (1_u64 << (spec.bits_per_sample - 1)) as f32;
    for channel in 0..usize::from(spec.channels) {
        let options = ReadOptions { channel: Channel::Only(channel), sample_rate: None };
        let ours = Waveform::open_as(golden("sphere").join(&entry.file), options)?;
        let what = format!("{}, channel {channel}, against {}", entry.file, entry.witness);
        assert_eq!((ours.sample_rate(), ours.warnings()), (spec.sample_rate, &[][..]), "{what}");
        let theirs: Vec<f32> =
            samples.iter().skip(channel).step_by(spec.channels.into()).map(|s| *s as f32 / scale).collect();
        assert_eq!(ours.samples().len(), theirs.len(), "{what}");
        let other = ours.samples().iter().zip(&theirs).position(|(a, b)| a.to_bits() != b.to_bits());
        assert_eq!(other, None, "{what}: {:?}", other.map(|at| (ours.samples()[at], theirs[at])));
    }
    let beyond = ReadOptions { channel: Channel::Only(spec.channels.into()), sample_rate: None };
    assert!(Waveform::open_as(golden("sphere").join(&entry.file), beyond).is_err(), "{}", entry.file);
    Ok(())
}

#[test]
fn sphere_and_shorten_are_soxs_and_ffmpegs() -> Outcome {
    let sphere: Sphere = read_json("sphere/golden.json")?;
    assert!(sphere.files.len() >= 25);
    sphere.files.iter().try_for_each(assert_sphere)
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

/// A stack of bidirectional layers.
#[derive(Deserialize)]
struct Stack {
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

/// A layer's parameters as ours are cut, PyTorch's gates standing in the order of ours: `w`, `b`, `r`, `aux`.
struct Parameters<T> {
    w: T,
    b: T,
    r: T,
    aux: Option<T>,
}

impl Stack {
    /// PyTorch's `kind` of a layer, the backward direction's below the forward one's; nothing if it has none.
    fn take(&self, from: &BTreeMap<String, Weight>, kind: &str, layer: usize) -> Option<Vec<f64>> {
        let one = |suffix: &str| from.get(&format!("{kind}_l{layer}{suffix}")).map(Weight::flat);
        Some([one("")?, one("_reverse")?].concat())
    }

    /// A projection's matrix `[P, H]` lies below R `[G H, P]`, transposed, in each direction.
    fn recurrent_weights(&self, from: &BTreeMap<String, Weight>, layer: usize) -> Outcome<Vec<f64>> {
        let r = self.take(from, "weight_hh", layer).ok_or("no r")?;
        let Some(projection) = self.take(from, "weight_hr", layer) else { return Ok(r) };
        let mut both = Vec::new();
        for (r, p) in r.chunks(r.len() / 2).zip(projection.chunks(projection.len() / 2)) {
            both.extend(r);
            both.extend((0..self.hidden_size).flat_map(|unit| p.iter().skip(unit).step_by(self.hidden_size)));
        }
        Ok(both)
    }

    /// Numbers of one direction of the output.
    fn outputs(&self) -> usize {
        self.output[0][0].len() / 2
    }

    /// PyTorch has two biases. They are added, but for the GRU's last gate, whose second one is reset with the recurrent
    /// part: a parameter beside the matrices. Its gradient stands where the value does, and that of a sum in the first.
    fn parameters(&self, kind: CellKind, layer: usize, gradients: bool) -> Outcome<Parameters<Vec<f64>>> {
        let from = if gradients { &self.gradients } else { &self.weights };
        let take = |kind: &str| self.take(from, kind, layer);
        let mut b = take("bias_ih").ok_or("no bias")?;
        let second = take("bias_hh").unwrap_or_else(|| vec![0.0; b.len()]);
        let apart = |row: usize| kind == CellKind::Gru && row / self.hidden_size % 3 == 2;
        let aux = (0..b.len()).filter(|row| apart(*row)).map(|row| second[row]).collect::<Vec<_>>();
        for (row, (b, second)) in b.iter_mut().zip(&second).enumerate() {
            *b += if gradients || apart(row) { 0.0 } else { *second };
        }
        let aux = (!aux.is_empty()).then_some(aux);
        Ok(Parameters { w: take("weight_ih").ok_or("no w")?, b, r: self.recurrent_weights(from, layer)?, aux })
    }

    fn variables(&self, kind: CellKind, layer: usize, dtype: DType) -> Outcome<Parameters<Var>> {
        let (hidden, gates) = (self.hidden_size, kind.spec().gates.len());
        let columns = if layer == 0 { self.input_size } else { 2 * self.outputs() };
        let Parameters { w, b, r, aux } = self.parameters(kind, layer, false)?;
        Ok(Parameters {
            w: variable(w, (2 * gates * hidden, columns), dtype)?,
            b: variable(b, 2 * gates * hidden, dtype)?,
            r: variable(r.clone(), (2, r.len() / 2 / self.outputs(), self.outputs()), dtype)?,
            aux: aux.map(|aux| variable(aux, (2, 1, hidden), dtype)).transpose()?,
        })
    }
}

fn stack_is(kind: CellKind, file: &str) -> Outcome {
    let stack: Stack = read_json(file)?;
    let lengths = Lengths::new(&stack.lengths);
    let columns = 2 * stack.outputs();
    for (dtype, tolerance) in PATHS {
        let what = |part: &str| format!("{kind:?}, {dtype:?}, {part}");
        let input = variable(pack(&stack.input, &lengths), (lengths.rows(), stack.input_size), dtype)?;
        let layers = (0..stack.layers).map(|l| stack.variables(kind, l, dtype)).collect::<Outcome<Vec<_>>>()?;
        let mut output = input.as_tensor().clone();
        for Parameters { w, b, r, aux } in &layers {
            let tensor = |var: &Var| var.as_tensor().clone();
            let weights = Weights { w: tensor(w), b: tensor(b), r: Some(tensor(r)), aux: aux.as_ref().map(tensor) };
            output = recurrent(kind, 2, &output, &weights, None, &lengths)?;
        }
        assert_near(&what("output"), &numbers(&output)?, &pack(&stack.output, &lengths), tolerance);

        let weighting = variable(pack(&stack.weighting, &lengths), (lengths.rows(), columns), dtype)?;
        let gradients = (output * weighting.as_tensor())?.sum_all()?.backward()?;
        let check = |part: &str, variable: &Var, theirs: &[f64]| -> Outcome {
            let gradient = gradients.get(variable).ok_or("no gradient")?;
            assert_near(&what(part), &numbers(gradient)?, theirs, tolerance);
            Ok(())
        };
        check("gradient of the input", &input, &pack(&stack.input_gradient, &lengths))?;
        for (n, ours) in layers.iter().enumerate() {
            let theirs = stack.parameters(kind, n, true)?;
            let pairs = [("w", &ours.w, &theirs.w), ("b", &ours.b, &theirs.b), ("r", &ours.r, &theirs.r)];
            for (part, ours, theirs) in
                pairs.into_iter().chain(ours.aux.iter().zip(&theirs.aux).map(|(o, t)| ("aux", o, t)))
            {
                check(&format!("gradient of {part}, layer {n}"), ours, theirs)?;
            }
        }
    }
    Ok(())
}

/// The mLSTM has no recurrent weights, and an operation of its own.
#[test]
fn mlstm_is_its_equations() -> Outcome {
    let stack: Stack = read_json("mlstm.json")?;
    let (lengths, heads, hidden) = (Lengths::new(&stack.lengths), 2, stack.hidden_size);
    for (dtype, tolerance) in PATHS {
        let input = variable(pack(&stack.input, &lengths), (lengths.rows(), stack.input_size), dtype)?;
        let (mut output, mut parameters) = (input.as_tensor().clone(), Vec::new());
        for layer in 0..stack.layers {
            let take = |kind: &str| stack.take(&stack.weights, kind, layer).ok_or("no weights");
            let (w, b) = (take("weight_ih")?, take("bias_ih")?);
            let w = variable(w.clone(), (b.len(), w.len() / b.len()), dtype)?;
            let b = variable(b.clone(), b.len(), dtype)?;
            output = mlstm(&linear(&output, &w, &b)?, 2, hidden, heads, &lengths)?;
            parameters.push([("weight_ih", w), ("bias_ih", b)]);
        }
        let what = |part: &str| format!("mLSTM, {dtype:?}, {part}");
        assert_near(&what("output"), &numbers(&output)?, &pack(&stack.output, &lengths), tolerance);
        let weighting = variable(pack(&stack.weighting, &lengths), (lengths.rows(), 2 * hidden), dtype)?;
        let gradients = (output * weighting.as_tensor())?.sum_all()?.backward()?;
        let gradient = |of: &Var| numbers(gradients.get(of).ok_or("no gradient")?);
        assert_near(&what("dx"), &gradient(&input)?, &pack(&stack.input_gradient, &lengths), tolerance);
        for (layer, parameters) in parameters.iter().enumerate() {
            for (kind, variable) in parameters {
                let theirs = stack.take(&stack.gradients, kind, layer).ok_or("no gradient")?;
                assert_near(&what(&format!("{kind}, layer {layer}")), &gradient(variable)?, &theirs, tolerance);
            }
        }
    }
    Ok(())
}

#[test]
fn lstm_is_pytorchs() -> Outcome {
    stack_is(CellKind::Lstm, "lstm.json")
}

#[test]
fn projected_lstm_is_pytorchs() -> Outcome {
    stack_is(CellKind::Lstm, "lstmp.json")
}

#[test]
fn gru_is_pytorchs() -> Outcome {
    stack_is(CellKind::Gru, "gru.json")
}

#[test]
fn elman_tanh_is_pytorchs_rnn() -> Outcome {
    stack_is(CellKind::ElmanTanh, "elman.json")
}

#[test]
fn slstm_is_its_equations() -> Outcome {
    stack_is(CellKind::Slstm, "slstm.json")
}

/// Tabs between the columns: reference, hypothesis, then substitutions, deletions and insertions of either scorer.
#[test]
fn errors_are_counted_as_jiwer_and_sclite_count_them() -> Outcome {
    let table = std::fs::read_to_string(golden("scoring.tsv"))?;
    let mut lines = 0;
    for line in table.lines().skip(1) {
        let [reference, hypothesis, jiwer, sclite] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("four columns: {line}").into());
        };
        let (reference, hypothesis): (Vec<_>, Vec<_>) =
            (reference.split(' ').collect(), hypothesis.split(' ').collect());
        for (convention, expected) in [(Convention::Levenshtein, jiwer), (Convention::Sclite, sclite)] {
            let score = Report::new(convention).add("", &reference, &hypothesis);
            let found = format!("{} {} {}", score.substitutions, score.deletions, score.insertions);
            assert_eq!(found, expected, "{convention:?}: {line}");
        }
        lines += 1;
    }
    assert_eq!(lines, 2000);
    Ok(())
}
