//! `formant bench`: how fast the parts that cost time run on this machine.
#![forbid(unsafe_code)]

use super::args::{BenchArgs, BenchPart};
use super::output::{self, Progress};
use super::{Outcome, device, use_threads};
use crate::corpus::Batch;
use crate::ctc;
use crate::features::{FeatureExtractor, FrontEnd};
use crate::lengths::Lengths;
use crate::model::{Mode, ModelConfig, Network, Precision};
use crate::nn::memory::keep_freed_memory;
use crate::nn::optim::{Optimizer, OptimizerState};
use crate::nn::product::{View, product};
use crate::nn::simd::Path as SimdPath;
use crate::phones::{Labels, PhoneId};
use crate::rng::Rng;
use crate::train::{Learner, TrainConfig, update};
use candle_core::{Device, Tensor, Var};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::time::Instant;

/// T, B, C, L of the CTC figures: a usual training batch, long utterances, a large set of symbols.
const CTC_SHAPES: [[usize; 4]; 3] = [[300, 16, 62, 38], [1000, 32, 62, 100], [500, 32, 1000, 60]];

/// Classes of the network that is measured: TIMIT's 61 phones and the blank.
const CLASSES: usize = 62;

/// What is measured when nothing is asked for.
const USUAL: [BenchPart; 7] = [
    BenchPart::Product,
    BenchPart::Train,
    BenchPart::TrainUnequal,
    BenchPart::TrainOne,
    BenchPart::Infer,
    BenchPart::Fbank,
    BenchPart::Ctc,
];

/// Runs `formant bench`.
pub fn run(args: &BenchArgs) -> anyhow::Result<Outcome> {
    keep_freed_memory();
    use_threads(args.threads)?;
    let device = device::resolve_real(args.device)?;
    let threads = rayon::current_num_threads();
    output::note(header(threads, &device));
    let runs = if args.quick { 3 } else { 11 };
    let print = |figure: &Figure| {
        if args.json { output::json(&Record(figure, threads, &device)) } else { output::line(figure.text()) }
    };
    let parts = if args.parts.is_empty() { &USUAL } else { args.parts.as_slice() };
    for job in parts.iter().flat_map(|part| jobs(*part, runs, &device)) {
        let waiting = Progress::waiting("measuring");
        let figure = job()?;
        drop(waiting);
        print(&figure)?;
    }
    if parts.contains(&BenchPart::Scaling) {
        scaling(runs, &device, print)?;
    }
    Ok(Outcome::Done)
}

type Job<'a> = Box<dyn Fn() -> anyhow::Result<Figure> + 'a>;

/// What a part measures, figure by figure.
fn jobs(part: BenchPart, runs: usize, device: &Device) -> Vec<Job<'_>> {
    // From 100 to 300 frames.
    let unequal = || (0..16).map(|b| 100 + b * 200 / 15).collect::<Vec<_>>();
    match part {
        BenchPart::Product => vec![Box::new(move || dense_product(runs))],
        BenchPart::Train => {
            let batches: &[usize] = if device.is_cpu() { &[16] } else { &[16, 64] };
            batches.iter().map(|&batch| Box::new(move || train(&vec![300; batch], runs, device)) as Job<'_>).collect()
        }
        BenchPart::TrainUnequal => vec![Box::new(move || train(&unequal(), runs, device))],
        BenchPart::TrainOne => vec![Box::new(move || train(&[300], runs, device))],
        BenchPart::Infer => {
            // Narrow precision is for the CPU.
            let precisions = if device.is_cpu() { &[Precision::F32, Precision::Int8][..] } else { &[Precision::F32] };
            precisions.iter().map(|p| Box::new(move || infer(*p, runs, device)) as Job<'_>).collect()
        }
        BenchPart::Fbank => vec![Box::new(move || fbank(runs))],
        BenchPart::Ctc => CTC_SHAPES.map(|shape| Box::new(move || ctc_loss(shape, runs, device)) as Job<'_>).into(),
        BenchPart::Scaling => Vec::new(),
    }
}

/// Training steps of ever longer utterances, and of ever more of them.
fn scaling(runs: usize, device: &Device, print: impl Fn(&Figure) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let lengths = [100, 200, 400, 800, 1600, 3200].map(|frames| (frames, vec![frames; 4]));
    let batches = [1, 2, 4, 8, 16, 32, 64].map(|batch| (batch, vec![100; batch]));
    for (over, cases) in [("T", lengths.as_slice()), ("B", batches.as_slice())] {
        let mut points = Vec::new();
        for (size, case) in cases {
            let figure = train(case, runs.min(5), device)?;
            print(&figure)?;
            points.push(((*size as f64).ln(), figure.seconds.ln()));
        }
        let value = slope(&points);
        let shape = vec![("from", cases[0].0), ("to", cases[cases.len() - 1].0)];
        let name = if over == "T" { "train_time_exponent_in_T" } else { "train_time_exponent_in_B" };
        print(&Figure { name, shape, value, unit: "", seconds: 0.0, runs: points.len() })?;
    }
    Ok(())
}

/// Of the straight line through points that lies closest to them.
fn slope(points: &[(f64, f64)]) -> f64 {
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / points.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let sum = |f: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>();
    sum(&|p| (p.0 - x) * (p.1 - y)) / sum(&|p| (p.0 - x) * (p.0 - x))
}

/// The machine, in a line.
fn header(threads: usize, device: &Device) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text).map(str::to_owned));
    let cpu = cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (version, simd) = (env!("CARGO_PKG_VERSION"), SimdPath::current().name());
    let build = if cfg!(debug_assertions) { ", unoptimised build" } else { "" };
    let device = if device.is_cpu() { String::new() } else { format!(", {}", device::name(device)) };
    format!("version {version}{build}, {cpu}, {processors} processors, {threads} threads, {simd}{device}")
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

/// One measured number with what it was measured on.
struct Figure {
    name: &'static str,
    shape: Vec<(&'static str, usize)>,
    value: f64,
    unit: &'static str,
    /// Median, of one run.
    seconds: f64,
    runs: usize,
}

/// A figure as a line of JSON, its name first.
struct Record<'a>(&'a Figure, usize, &'a Device);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(figure, threads, device) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("figure", figure.name)?;
        for (name, size) in &figure.shape {
            map.serialize_entry(name, size)?;
        }
        map.serialize_entry("value", &figure.value)?;
        map.serialize_entry("unit", figure.unit)?;
        map.serialize_entry("seconds", &figure.seconds)?;
        map.serialize_entry("runs", &figure.runs)?;
        map.serialize_entry("threads", threads)?;
        if !device.is_cpu() {
            map.serialize_entry("device", &device::name(device))?;
        }
        map.end()
    }
}

impl Figure {
    fn text(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(|(name, size)| format!("{name}={size}")).collect();
        let value =
            if self.value >= 100.0 { format!("{:.0}", self.value) } else { format!("{}", significant(self.value)) };
        format!("{:20}{:>12} {:10}{}", self.name, value, self.unit, shape.join(" "))
    }
}

/// Four digits that mean something.
fn significant(value: f64) -> f64 {
    let scale = 10_f64.powf(3.0 - value.abs().max(1e-300).log10().floor());
    (value * scale).round() / scale
}

/// The median duration of `runs` runs after one that warms up.
fn median(runs: usize, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    work()?;
    let mut seconds = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[runs / 2])
}

fn noise(count: usize, purpose: &str) -> Vec<f32> {
    let mut rng = Rng::stream(1, purpose, 0);
    (0..count).map(|_| rng.normal()).collect()
}

/// `each` labels for every one of `count` utterances.
fn labels(count: usize, each: usize, classes: usize) -> crate::Result<Vec<Labels>> {
    let mut rng = Rng::stream(1, "labels", 0);
    let mut label = || PhoneId(1 + rng.below(classes - 1) as u16);
    (0..count).map(|_| Labels::new((0..each).map(|_| label()).collect())).collect()
}

/// The network of the figures: 3 layers, 250 units in each direction, over 41 mel bins and their first and second
/// differences.
fn network(device: &Device) -> crate::Result<(Network, usize)> {
    let front = FrontEnd { bins: 41, deltas: 2, ..FrontEnd::default() };
    Ok((Network::new(&ModelConfig::default(), &front, CLASSES, 1, device)?, front.dim()))
}

/// A step of training, clipping and Adam included, of utterances of so many frames.
fn train(frames: &[usize], runs: usize, device: &Device) -> anyhow::Result<Figure> {
    let (network, inputs) = network(device)?;
    let lengths = Lengths::new(frames);
    let (batch, shortest) = (frames.len(), frames.iter().copied().min().unwrap_or(0));
    let labels = labels(batch, (shortest / 7).min(38), CLASSES)?;
    let features = noise(lengths.rows() * inputs, "features");
    let work = Batch { features, dim: inputs, lengths, labels, indices: (0..batch).collect() };
    let lengths = &work.lengths;
    let mut learner = Learner::new(network, OptimizerState::new(Optimizer::default()), Default::default(), false)?;
    let config = TrainConfig::default();
    let seconds = median(runs, || {
        update(&mut learner, &work, 1e-3, &config, &mut Rng::stream(1, "dropout", 0))?;
        learner.finished()?;
        Ok(())
    })?;
    let mut shape = vec![("layers", 3), ("hidden", 250), ("batch", batch), ("frames", lengths.steps())];
    if shortest < lengths.steps() {
        shape.push(("shortest", shortest));
    }
    let value = lengths.rows() as f64 / seconds;
    Ok(Figure { name: "train_frames_per_s", shape, value, unit: "frames/s", seconds, runs })
}

/// What the machine can do: a product of square matrices, in f32.
fn dense_product(runs: usize) -> anyhow::Result<Figure> {
    let side = 1536;
    let (a, b) = (noise(side * side, "left"), noise(side * side, "right"));
    let seconds = median(runs, || {
        std::hint::black_box(product(View::new(&a, side, side), View::new(&b, side, side)));
        Ok(())
    })?;
    let value = 2.0 * (side as f64).powi(3) / seconds / 1e9;
    let shape = vec![("rows", side), ("depth", side), ("columns", side)];
    Ok(Figure { name: "product_gflop_per_s", shape, value, unit: "GFLOP/s", seconds, runs })
}

fn infer(precision: Precision, runs: usize, device: &Device) -> anyhow::Result<Figure> {
    let frames = 1000;
    let (network, inputs) = network(device)?;
    let network = network.prepared(inputs, precision)?;
    let lengths = Lengths::new(&[frames]);
    let x = Tensor::from_vec(noise(frames * inputs, "features"), (frames, inputs), device)?;
    let seconds = median(runs, || {
        network.forward(&x, &lengths, Mode::Infer)?;
        Ok(device.synchronize()?)
    })?;
    let bits = if precision == Precision::Int8 { 8 } else { 32 };
    let shape = vec![("layers", 3), ("hidden", 250), ("batch", 1), ("frames", frames), ("weight_bits", bits)];
    Ok(Figure { name: "infer_frames_per_s", shape, value: frames as f64 / seconds, unit: "frames/s", seconds, runs })
}

fn ctc_loss([t, b, c, l]: [usize; 4], runs: usize, device: &Device) -> anyhow::Result<Figure> {
    let lengths = Lengths::new(&vec![t; b]);
    let logits = Var::from_tensor(&Tensor::from_vec(noise(t * b * c, "logits"), (t * b, c), device)?)?;
    let labels = labels(b, l, c)?;
    let seconds = median(runs, || {
        ctc::loss(&logits, &labels, &lengths)?.sum_all()?.backward()?;
        Ok(device.synchronize()?)
    })?;
    let shape = vec![("T", t), ("B", b), ("C", c), ("L", l)];
    Ok(Figure { name: "ctc_loss_fwd_bwd", shape, value: seconds, unit: "s", seconds, runs })
}

fn fbank(runs: usize) -> anyhow::Result<Figure> {
    let front = FrontEnd::default();
    let extractor = FeatureExtractor::new(&front)?;
    let sound = 10;
    let samples: Vec<f32> = noise(sound * front.sample_rate as usize, "samples").iter().map(|x| 0.1 * x).collect();
    let seconds = median(runs, || {
        extractor.fbank(&samples);
        Ok(())
    })?;
    let shape = vec![("seconds_of_sound", sound), ("bins", front.bins)];
    Ok(Figure { name: "fbank_x_realtime", shape, value: sound as f64 / seconds, unit: "x", seconds, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_promised_keys() -> anyhow::Result<()> {
        let shape = vec![("T", 3), ("B", 2)];
        let figure = Figure { name: "ctc_loss_fwd_bwd", shape, value: 0.25, unit: "s", seconds: 0.25, runs: 5 };
        let rest = r#""value":0.25,"unit":"s","seconds":0.25,"runs":5,"threads":4}"#;
        let expected = format!(r#"{{"figure":"ctc_loss_fwd_bwd","T":3,"B":2,{rest}"#);
        assert_eq!(serde_json::to_string(&Record(&figure, 4, &Device::Cpu))?, expected);
        assert_eq!(figure.text(), "ctc_loss_fwd_bwd            0.25 s         T=3 B=2");
        Ok(())
    }

    #[test]
    fn medians_and_digits() -> anyhow::Result<()> {
        assert_eq!((significant(0.012_345_6), significant(12.345_6)), (0.012_35, 12.35));
        let mut calls = 0;
        assert!(
            median(3, || {
                calls += 1;
                Ok(())
            })? < 1.0
        );
        assert_eq!(calls, 4);
        let powers = [1.0_f64, 2.0, 4.0].map(|x| (x.ln(), (3.0 * x * x).ln()));
        assert!((slope(&powers) - 2.0).abs() < 1e-12);
        assert_eq!(cpu_model("processor : 0\nmodel name\t: Fast One\n"), Some("Fast One"));
        Ok(())
    }
}
