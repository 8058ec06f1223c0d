//! A program that was built with CUDA: it starts anywhere, says why it uses no GPU, and computes the same on one.
//!
//! What needs a GPU takes the machine's, or the libraries that FORMANT_CUDA_PATH names: those of `scripts/host-cuda`
//! compute on the CPU.
#![forbid(unsafe_code)]

use crate::support::{Place, Ran, data, skipped};
use serde_json::Value;
use std::process::Command;

/// The program with these words and the libraries that the tests were given.
fn command(place: &Place, words: &[&str]) -> Command {
    let mut command = place.command(words);
    if let Some(path) = std::env::var_os("FORMANT_CUDA_PATH") {
        command.env("FORMANT_CUDA_PATH", path);
    }
    command
}

fn run(place: &Place, words: &[&str]) -> Ran {
    place.finish(command(place, words), b"")
}

/// Whether there is a GPU, or something in its place.
fn there_is_a_gpu() -> bool {
    let place = Place::new();
    run(&place, &["doctor", "--json"]).fine().json()[0]["device"] == "cuda:0"
}

#[test]
fn starts_without_any_library_of_cudas() {
    let listed = Command::new("ldd").arg(env!("CARGO_BIN_EXE_formant")).output();
    let Ok(listed) = listed else { return skipped("cuda", "no ldd here") };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let cuda = ["libcu", "libnv", "stdc++"].iter().any(|name| listed.contains(name));
    assert!(listed.contains("libc.so") && !cuda, "{listed}");
}

#[test]
fn a_gpu_that_is_named_and_missing_is_an_error_of_one_line() {
    let place = Place::new();
    // A folder without libraries comes first; the machine's own driver would still be found.
    if place.run(&["doctor", "--json"]).fine().json()[0]["device"] != "cpu" {
        return skipped("cuda", "this machine has a GPU");
    }
    let ran = place.run(&["transcribe", "--device", "cuda", &data("samples/an4-fbbh.wav")]).ends(2);
    let first = ran.err.lines().next().unwrap_or_default().to_owned();
    let says = first
        .starts_with("formant: error: device cuda:0 cannot be used: the NVIDIA driver is missing: no libcuda.so.1 in");
    let ran = ran.holds(says, "it names the library");
    let silent = ran.out.is_empty() && ran.err.lines().count() == 2;
    ran.holds(silent, "one line and a hint");
    let doctor = place.run(&["doctor"]).fine();
    let says = doctor.out.contains("gpu used  none: the NVIDIA driver is missing");
    doctor.holds(says, "the doctor says the same");
    place.run(&["transcribe", &data("samples/an4-fbbh.wav")]).fine();
}

#[test]
fn a_gpu_that_is_not_there_is_counted() {
    if !there_is_a_gpu() {
        return skipped("cuda", "no GPU");
    }
    let place = Place::new();
    let ran = run(&place, &["transcribe", "--device", "cuda:99", &data("samples/an4-fbbh.wav")]).ends(2);
    let says = ran.err.starts_with("formant: error: device cuda:99 cannot be used: there is no GPU 99, only GPU 0");
    ran.holds(says, "it says which there are");
}

#[test]
fn transcribes_the_same() {
    if !there_is_a_gpu() {
        return skipped("cuda", "no GPU");
    }
    let place = Place::new();
    let words = ["--format", "json", "--threads", "2", &data("samples/an4-fbbh.wav"), &data("samples/an4-ffmm.wav")];
    let [gpu, cpu] = ["cuda", "cpu"].map(|device| {
        let ran = run(&place, &[&["transcribe", "--device", device], &words[..]].concat()).fine();
        ran.json().iter().map(|line| (line["phones"].clone(), line["score"].as_f64())).collect::<Vec<_>>()
    });
    assert_eq!(gpu.len(), 2);
    for ((phones, score), (expected, expected_score)) in gpu.iter().zip(&cpu) {
        assert_eq!(phones, expected);
        assert!(score.zip(*expected_score).is_some_and(|(a, b)| (a - b).abs() < 1e-3), "{score:?} {expected_score:?}");
    }
}

/// A network with all that the standard recipe has, for the sentences of `data/tiny`.
const RECIPE: &str = r#"
[features]
bins = 20
[model]
convolutions = [{ channels = 4, kernel = [5, 5], stride = [3, 2] }, { channels = 4, kernel = [3, 3], stride = [1, 2], layer_norm = true, dropout = 0.1 }]
layers = [
    { hidden = 16, merge = "sum", layer_norm = true, dropout = 0.15, weight_dropout = 0.1 },
    { hidden = 16, merge = "sum", layer_norm = true, skip = "residual", guess = true },
    { cell = "gru", hidden = 8, zoneout = [0.1, 0.1] },
]
weight_noise = 0.01
[train]
epochs = 3
learning_rate = 5e-3
clip_norm = 5.0
average_decay = 0.9
batch = { utterances = 4 }
"#;

fn losses(place: &Place, out: &str) -> Vec<f64> {
    let log = std::fs::read_to_string(place.path(out).join("metrics.jsonl")).unwrap();
    let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .filter(|r| r["event"] == "epoch")
        .flat_map(|r| [r["loss"].as_f64(), r["dev_loss"].as_f64()])
        .flatten()
        .collect()
}

#[test]
fn trains_to_the_same_losses_and_goes_on_anywhere() {
    if !there_is_a_gpu() {
        return skipped("cuda", "no GPU");
    }
    let (place, tiny) = (Place::new(), data("tiny"));
    place.write("recipe.toml", RECIPE);
    let words = |out: &'static str, device: &'static str| {
        ["train", "--data", &tiny, "--out", out, "--recipe", "recipe.toml", "--resume", "--device", device]
            .map(str::to_owned)
    };
    let train = |out, device, more: &[&str]| {
        let own = words(out, device);
        let words: Vec<&str> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
        run(&place, &words).ends(0)
    };
    train("on-gpu", "cuda", &[]);
    train("on-cpu", "cpu", &[]);
    let (gpu, cpu) = (losses(&place, "on-gpu"), losses(&place, "on-cpu"));
    assert_eq!(gpu.len(), 6);
    assert!(gpu.iter().zip(&cpu).all(|(a, b)| (a - b).abs() < 1e-4 * b), "{gpu:?} {cpu:?}");
    // The same again, to the bit.
    train("again", "cuda", &[]);
    let model = |out: &str| std::fs::read(place.path(out).join("model.safetensors")).unwrap();
    assert!(model("again") == model("on-gpu"), "two runs end at the same bits");
}

#[test]
fn memory_that_runs_out_is_an_error_and_leaves_a_run_to_go_on_with() {
    // Only the CPU in the place of a GPU can be made small.
    if std::env::var_os("FORMANT_CUDA_PATH").is_none() {
        return skipped("cuda", "FORMANT_CUDA_PATH is not set");
    }
    let (place, tiny) = (Place::new(), data("tiny"));
    place.write("recipe.toml", RECIPE);
    let words = ["train", "--data", &tiny, "--out", "run", "--recipe", "recipe.toml", "--resume"];
    let mut command = command(&place, &[&words[..], &["--device", "cuda"]].concat());
    command.env("FORMANT_HOST_CUDA_MEMORY", "600000");
    let ran = place.finish(command, b"").ends(2);
    let line = ran.err.lines().find(|line| line.starts_with("formant: error: ")).unwrap_or_default().to_owned();
    let says = line.contains("the GPU is out of memory") && ran.err.contains("train.batch.frames");
    let ran = ran.holds(says, "it says what to do");
    ran.holds(place.path("run/checkpoint.safetensors").is_file(), "the run can be gone on with");
    let ran = place.run(&words).ends(0);
    assert_eq!(ran.out, "run/model.safetensors\n");
}

/// What a run did on the device, as the CPU in the place of a GPU counted it.
fn counted(place: &Place, utterances: &str) -> Vec<(String, u64)> {
    let tiny = data("tiny");
    let batch = format!("train.batch.utterances={utterances}");
    let layers = "model.layers=[{hidden=20},{hidden=20},{hidden=20}]";
    let words =
        ["train", "--data", &tiny, "--out", utterances, "--device", "cuda", "--recipe", crate::support::TINY_RECIPE];
    let more = ["--set", "train.epochs=1", "--set", &batch, "--set", layers];
    let mut command = command(place, &[&words[..], &more[..]].concat());
    command.env("FORMANT_HOST_CUDA_COUNT", place.path("counts"));
    place.finish(command, b"").ends(0);
    let counts = std::fs::read_to_string(place.path("counts")).unwrap();
    counts
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, n)| (name.to_owned(), n.parse().unwrap()))
        .collect()
}

#[test]
fn a_step_takes_few_launches_and_waits_for_nothing() {
    if std::env::var_os("FORMANT_CUDA_PATH").is_none() {
        return skipped("cuda", "FORMANT_CUDA_PATH is not set");
    }
    // Eight batches of one utterance, and four of two: four steps lie between them.
    let place = Place::new();
    let (more, fewer) = (counted(&place, "1"), counted(&place, "2"));
    if more.is_empty() {
        return skipped("cuda", "a GPU that does not count");
    }
    let per_step = |wanted: &dyn Fn(&str) -> bool| {
        let sum =
            |counts: &[(String, u64)]| counts.iter().filter(|(name, _)| wanted(name)).map(|(_, n)| n).sum::<u64>();
        (sum(&more) - sum(&fewer)) / 4
    };
    let works = |name: &str| name.starts_with("launch ") || ["product", "fill", "copy on the device"].contains(&name);
    let operations = per_step(&works);
    assert!((30..=80).contains(&operations), "{operations}");
    assert_eq!(per_step(&|name| name == "synchronise"), 0);
    // Losses and norms, which are read when the epoch ends.
    assert_eq!(per_step(&|name| name == "copy from the device"), 2);
}
