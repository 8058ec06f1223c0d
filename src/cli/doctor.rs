//! `formant doctor`: what formant finds on this machine, which of it is used, and why the rest is not.
#![forbid(unsafe_code)]

use super::args::DoctorArgs;
use super::options::{DeviceArgs, DeviceChoice, PrecisionChoice};
use super::output::{self, Table};
use super::{Outcome, device, use_threads};
use crate::audio::Waveform;
use crate::decode::DecoderConfig;
use crate::model::Model;
use crate::nn::simd::Path as SimdPath;
use crate::recognize::Recognizer;
use candle_core::Device;
use serde::Serialize;
use std::fs;
use std::time::Instant;

/// Runs `formant doctor`. Fails, with status 1, where something is wrong.
pub fn run(args: &DoctorArgs) -> anyhow::Result<Outcome> {
    use_threads(args.threads)?;
    let report = Report::new();
    if args.json {
        output::json(&report)?;
    } else {
        output::line(report.table())?;
    }
    for problem in &report.problems {
        output::warning(problem);
    }
    Ok(if report.problems.is_empty() { Outcome::Done } else { Outcome::SomeFailed })
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    system: String,
    processors: usize,
    threads: usize,
    simd: Simd,
    /// What `--device auto` takes.
    device: &'static str,
    gpus: Vec<String>,
    /// Why no GPU is used, if none is.
    gpu_unused: Option<String>,
    model: ModelCheck,
    /// The same on the GPU, if one is used.
    on_gpu: Option<ModelCheck>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Simd {
    used: &'static str,
    available: Vec<&'static str>,
}

/// The built-in model at work.
#[derive(Default, Serialize)]
struct ModelCheck {
    name: String,
    parameters: usize,
    load_ms: f64,
    /// To recognise one second of a tone; on a GPU the first time, kernels being loaded.
    transcribe_ms: f64,
    /// What it made of it.
    score: f64,
}

impl Report {
    fn new() -> Self {
        let mut problems = Vec::new();
        let available: Vec<_> = SimdPath::available().into_iter().map(SimdPath::name).collect();
        if let Some(wanted) = std::env::var_os("FORMANT_SIMD").filter(|w| !available.iter().any(|name| w == name)) {
            let (wanted, there) = (wanted.to_string_lossy(), available.join(", "));
            problems.push(format!("FORMANT_SIMD={wanted} is not heeded: this machine has {there}"));
        }
        let model = check_model(&Device::Cpu).unwrap_or_else(|error| {
            problems.push(format!("the built-in model does not work: {error}"));
            ModelCheck::default()
        });
        let (gpus, gpu_unused) = match device::gpus() {
            Ok(gpus) => (gpus.into_iter().map(|gpu| gpu.description).collect(), None),
            Err(reason) => match nvidia_gpus() {
                gpus if gpus.is_empty() => (gpus, Some(format!("{reason}, and no NVIDIA GPU is seen"))),
                gpus => (gpus, Some(reason)),
            },
        };
        let on_gpu = gpu_unused.is_none().then(|| {
            let checked =
                device::resolve(DeviceArgs { device: DeviceChoice::Cuda(0), precision: PrecisionChoice::F32 })
                    .and_then(|device| Ok(check_model(&device)?));
            checked.unwrap_or_else(|error| {
                problems.push(format!("the built-in model does not work on the GPU: {error}"));
                ModelCheck::default()
            })
        });
        if on_gpu.as_ref().is_some_and(|gpu| (gpu.score - model.score).abs() > 1e-3 * model.score.abs().max(1.0)) {
            problems.push("the built-in model says another thing on the GPU than on the CPU".to_owned());
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            threads: rayon::current_num_threads(),
            simd: Simd { used: SimdPath::current().name(), available },
            device: if gpu_unused.is_none() { "cuda:0" } else { "cpu" },
            gpus,
            gpu_unused,
            model,
            on_gpu,
            problems,
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::default();
        table.row("formant", format!("{}, {}", self.version, self.system));
        table.row("device", self.device);
        for gpu in &self.gpus {
            table.row("gpu seen", gpu);
        }
        if let Some(reason) = &self.gpu_unused {
            table.row("gpu used", format!("none: {reason}"));
        }
        table.row("threads", format!("{} on {} processors", self.threads, self.processors));
        table.row("simd", format!("{} (available: {})", self.simd.used, self.simd.available.join(", ")));
        let model = &self.model;
        if model.parameters > 0 {
            let (name, parameters) = (&model.name, model.parameters);
            table.row("model", format!("{name}, {parameters} parameters, loads in {:.0} ms", model.load_ms));
            table.row("check", format!("a second of a tone transcribed in {:.0} ms", model.transcribe_ms));
        }
        if let Some(on_gpu) = &self.on_gpu {
            table.row("on the gpu", format!("the same in {:.0} ms, kernels being loaded", on_gpu.transcribe_ms));
        }
        table.row("result", if self.problems.is_empty() { "all fine" } else { "something is wrong, see below" });
        table
    }
}

/// Loads the built-in model and lets it listen to a second of a tone.
fn check_model(device: &Device) -> crate::Result<ModelCheck> {
    let milliseconds = |since: Instant| (since.elapsed().as_secs_f64() * 1e5).round() / 1e2;
    let start = Instant::now();
    let mut model = Model::embedded()?;
    if !device.is_cpu() {
        model.network = model.network.to_device(device)?;
    }
    let load_ms = milliseconds(start);
    let (name, parameters) = (model.name().to_owned(), model.parameters());
    let recognizer = Recognizer::new(model, &DecoderConfig::Greedy)?;
    let tone = (0..16000).map(|i| 0.3 * (i as f32 * 440.0 * std::f32::consts::TAU / 16000.0).sin()).collect();
    let start = Instant::now();
    let transcript = recognizer.transcribe(&Waveform::new(tone, 16000)?)?;
    let transcribe_ms = milliseconds(start);
    match transcript.hypotheses.first() {
        Some(best) if best.score.is_finite() => {
            Ok(ModelCheck { name, parameters, load_ms, transcribe_ms, score: best.score.into() })
        }
        _ => Err(crate::Error::invalid("a tone gives no finite score")),
    }
}

/// NVIDIA GPUs that the Linux driver lists; elsewhere none are seen.
fn nvidia_gpus() -> Vec<String> {
    let entries = fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let mut gpus: Vec<String> = entries
        .filter_map(|entry| fs::read_to_string(entry.path().join("information")).ok())
        .map(|text| gpu_name(&text).unwrap_or("NVIDIA GPU").to_owned())
        .collect();
    gpus.sort();
    gpus
}

/// The model line of the driver's `information` file.
fn gpu_name(information: &str) -> Option<&str> {
    information.lines().find_map(|line| line.strip_prefix("Model:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_driver_s_list() {
        assert_eq!(gpu_name("Model: \t\t NVIDIA H100\nIRQ:   \t 18\n"), Some("NVIDIA H100"));
        assert_eq!(gpu_name(""), None);
    }

    #[test]
    fn problems_are_part_of_the_table() {
        let report = Report {
            version: "1.2.3",
            system: "linux x86_64".to_owned(),
            processors: 4,
            threads: 2,
            simd: Simd { used: "avx2", available: vec!["avx2", "portable"] },
            device: "cpu",
            gpus: vec!["NVIDIA H100".to_owned()],
            gpu_unused: Some("built without CUDA".to_owned()),
            model: ModelCheck::default(),
            on_gpu: None,
            problems: vec!["x".to_owned()],
        };
        let expected = "\
formant   1.2.3, linux x86_64
device    cpu
gpu seen  NVIDIA H100
gpu used  none: built without CUDA
threads   2 on 4 processors
simd      avx2 (available: avx2, portable)
result    something is wrong, see below";
        assert_eq!(report.table().to_string(), expected);
    }
}
