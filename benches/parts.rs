//! The parts that cost time, one by one: the front end, a recurrent layer, the CTC loss, the decoders.
//!
//! cargo bench --bench parts [-- PART]
//!
//! The shapes are those of `formant bench`, which measures whole steps; here a change to one part shows by itself.

use candle_core::{Device, Tensor, Var};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use formant::ctc;
use formant::decode::{Beam, Decoder, Greedy, LogProbs};
use formant::features::{FeatureExtractor, FrontEnd};
use formant::lengths::Lengths;
use formant::nn::recurrent::{CellKind, Weights, recurrent};
use formant::phones::{Labels, PhoneId};
use formant::rng::Rng;
use std::hint::black_box;

/// Nothing here depends on a file or on user input: a failure is a mistake in this file.
const FINE: &str = "shapes that fit";

fn noise(count: usize, scale: f32, purpose: &str) -> Vec<f32> {
    let mut rng = Rng::stream(1, purpose, 0);
    (0..count).map(|_| scale * rng.normal()).collect()
}

/// Log-mel energies of ten seconds.
fn fbank(c: &mut Criterion) {
    let extractor = FeatureExtractor::new(&FrontEnd::default()).expect(FINE);
    let samples = noise(10 * 16000, 0.1, "samples");
    let mut group = c.benchmark_group("fbank");
    group.throughput(Throughput::Elements(samples.len() as u64));
    group.bench_function("10 s at 16 kHz", |b| b.iter(|| extractor.fbank(black_box(&samples))));
    group.finish();
}

/// One bidirectional layer of every cell at B = 16, T = 300, F = 500, H = 250; elements are frames.
fn layer(c: &mut Criterion) {
    let (batch, frames, hidden, directions) = (16, 300, 250, 2);
    let lengths = Lengths::new(&vec![frames; batch]);
    let mut group = c.benchmark_group("recurrent");
    group.sample_size(10).throughput(Throughput::Elements(lengths.rows() as u64));
    for &kind in CellKind::ALL {
        let spec = kind.spec();
        let tensor = |shape: &[usize], scale: f32, purpose: &str| {
            let data = noise(shape.iter().product(), scale, purpose);
            Tensor::from_vec(data, shape, &Device::Cpu).expect(FINE)
        };
        let rows = directions * spec.gates.len() * hidden;
        let x = tensor(&[lengths.rows(), 2 * hidden], 1.0, "input");
        let (w, b) = (tensor(&[rows, 2 * hidden], 0.04, "input weights"), tensor(&[rows], 0.06, "biases"));
        let r = tensor(&[directions, spec.rows_of_r() * hidden, hidden], 0.06, "weights");
        let aux = tensor(&[directions, spec.aux.len(), hidden], 0.06, "further parameters");
        let run = |[x, w, b, r, aux]: [&Tensor; 5]| {
            let some = |t: &Tensor| (t.elem_count() > 0).then(|| t.clone());
            let weights = Weights { w: w.clone(), b: b.clone(), r: some(r), aux: some(aux) };
            recurrent(kind, directions, x, &weights, None, &lengths)
        };
        let fixed = [&x, &w, &b, &r, &aux];
        group.bench_function(BenchmarkId::new("infer", spec.name), |b| b.iter(|| run(fixed).expect(FINE)));
        let trained = [&x, &w, &b, &r, &aux].map(|t| Var::from_tensor(t).expect(FINE));
        let trained = trained.each_ref().map(Var::as_tensor);
        group.bench_function(BenchmarkId::new("forward", spec.name), |b| b.iter(|| run(trained).expect(FINE)));
        group.bench_function(BenchmarkId::new("forward and backward", spec.name), |b| {
            b.iter(|| run(trained).and_then(|y| y.sum_all()?.backward()).expect(FINE));
        });
    }
    group.finish();
}

/// T, B, C, L: a usual training batch, long utterances, a large set of symbols.
const CTC_SHAPES: [[usize; 4]; 3] = [[300, 16, 62, 38], [1000, 32, 62, 100], [500, 32, 1000, 60]];

/// The loss and its gradient.
fn ctc_loss(c: &mut Criterion) {
    let mut group = c.benchmark_group("ctc");
    group.sample_size(10);
    for [frames, batch, classes, count] in CTC_SHAPES {
        let lengths = Lengths::new(&vec![frames; batch]);
        let logits = noise(lengths.rows() * classes, 1.0, "logits");
        let logits = Tensor::from_vec(logits, (lengths.rows(), classes), &Device::Cpu).expect(FINE);
        let logits = Var::from_tensor(&logits).expect(FINE);
        let mut rng = Rng::stream(1, "labels", 0);
        let mut label = || PhoneId(1 + rng.below(classes - 1) as u16);
        let mut labels = || Labels::new((0..count).map(|_| label()).collect()).expect(FINE);
        let labels: Vec<Labels> = (0..batch).map(|_| labels()).collect();
        let shape = format!("T={frames} B={batch} C={classes} L={count}");
        group.bench_function(BenchmarkId::new("loss and gradient", shape), |b| {
            b.iter(|| ctc::loss(&logits, &labels, &lengths).expect(FINE).sum_all()?.backward());
        });
    }
    group.finish();
}

/// Ten seconds in frames of 30 ms over 40 classes: blanks, and a phone in every third frame, as a trained network has it.
fn decoders(c: &mut Criterion) {
    let (frames, classes) = (333, 40);
    let mut logits = noise(frames * classes, 2.0, "logits");
    let mut rng = Rng::stream(1, "peaks", 0);
    for (t, row) in logits.chunks_exact_mut(classes).enumerate() {
        row[if t % 3 == 0 { 1 + rng.below(classes - 1) } else { 0 }] += 10.0;
    }
    let log_probs = LogProbs::from_logits(logits, classes).expect(FINE);
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(frames as u64));
    group.bench_function("greedy", |b| b.iter(|| Greedy.decode(black_box(&log_probs))));
    for width in [4, 16, 64] {
        group.bench_with_input(BenchmarkId::new("beam", width), &width, |b, &width| {
            b.iter(|| Beam { width }.decode(black_box(&log_probs)));
        });
    }
    group.finish();
}

criterion_group!(parts, fbank, layer, ctc_loss, decoders);
criterion_main!(parts);
