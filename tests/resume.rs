//! A run that is broken off goes on to the very same weights, however and whenever that happens.
#![forbid(unsafe_code)]
#![cfg(unix)]

use crate::support::{Place, data, skipped, wait};
use formant::rng::Rng;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A recipe in which everything is drawn that can be drawn, and checkpoints come often.
const RECIPE: &str = r#"
[model]
convolutions = [{ channels = 4, stride = [2, 2], dropout = 0.1 }]
layers = [{ hidden = 32, dropout = 0.2, weight_dropout = 0.2, layer_norm = true }, { hidden = 32, dropout = 0.2, subsample = 2 }]
input_dropout = 0.1
[augment]
speeds = [0.9, 1.0, 1.1]
gain_db = 6.0
noise = { probability = 0.5 }
spec = { time_masks = 1 }
[train]
epochs = 60
learning_rate = 5e-3
warmup_steps = 10
average_decay = 0.9
checkpoint_steps = 3
storage = "int8"
batch = { utterances = 2 }
schedule = { kind = "cosine" }
"#;

/// Words that begin a run or go on with it.
fn words<'a>(data: &'a str, out: &'a str, threads: &'a str) -> [&'a str; 10] {
    ["train", "--data", data, "--out", out, "--recipe", "recipe.toml", "--resume", "--threads", threads]
}

fn place() -> Place {
    let place = Place::new();
    place.write("recipe.toml", RECIPE);
    place
}

/// Everything that a run is for: the model file's bytes, and the tensors of its checkpoint.
#[derive(PartialEq)]
struct Weights {
    model: Vec<u8>,
    tensors: BTreeMap<String, Vec<u8>>,
}

impl Weights {
    fn of(place: &Place, out: &str) -> Self {
        let bytes = fs::read(place.path(out).join("checkpoint.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect();
        Self { model: fs::read(place.path(out).join("model.safetensors")).unwrap(), tensors }
    }

    #[track_caller]
    fn assert_same(&self, other: &Self, what: &str) {
        assert!(self.model == other.model, "{what}: the model files differ");
        assert!(self.tensors.keys().eq(other.tensors.keys()), "{what}: other tensors");
        for (name, tensor) in &self.tensors {
            assert!(*tensor == other.tensors[name], "{what}: {name} differs");
        }
        assert!(self.tensors.keys().any(|name| name.starts_with("average/")));
    }
}

/// Waits until a run has written a checkpoint anew.
fn wait_for_checkpoint(place: &Place, out: &str, child: &mut Child) {
    let path = place.path(out).join("checkpoint.safetensors");
    let start = Instant::now();
    while fs::metadata(&path).map_or(0, |kind| kind.len()) < 100_000 {
        assert!(child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(100), "no checkpoint");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn silent(mut command: Command) -> Command {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let (place, data) = (place(), data("tiny"));
    let mut rng = Rng::stream(1, "kill", 0);
    let mut first: Option<Weights> = None;
    for threads in ["1", "2"] {
        let [whole, broken] = ["whole", "broken"].map(|name| format!("{name}-{threads}"));
        let seconds = place.run(&words(&data, &whole, threads)).ends(0).seconds;
        let mut hits = 0;
        for _ in 0..3 {
            let mut child = silent(place.command(&words(&data, &broken, threads))).spawn().unwrap();
            std::thread::sleep(Duration::from_secs_f64(seconds * f64::from(rng.range(0.02, 0.5))));
            child.kill().unwrap();
            // A signal leaves no status: the run was not over yet.
            hits += usize::from(wait(&mut child).is_none());
        }
        assert!(hits > 0, "every run was over before it was killed");
        place.run(&words(&data, &broken, threads)).ends(0);
        let (whole, broken) = (Weights::of(&place, &whole), Weights::of(&place, &broken));
        whole.assert_same(&broken, &format!("killed, {threads} threads"));
        first.get_or_insert(whole).assert_same(&broken, "another number of threads");
    }
}

#[test]
fn control_c_saves_and_says_how_to_go_on() {
    let (place, data) = (place(), data("tiny"));
    place.run(&words(&data, "whole", "2")).ends(0);
    let mut command = place.command(&words(&data, "run", "2"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_checkpoint(&place, "run", &mut child);
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap().success());
    assert_eq!(wait(&mut child), Some(130));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(said.contains("formant: saving; press Ctrl-C again to stop at once\n"), "{said}");
    let again = format!("formant train --resume --data {data} --out run");
    assert_eq!(
        said.lines().last(),
        Some(format!("formant: interrupted; the run is saved. To go on: {again}").as_str())
    );
    place.run(&again.split(' ').skip(1).collect::<Vec<_>>()).ends(0);
    Weights::of(&place, "whole").assert_same(&Weights::of(&place, "run"), "interrupted");
}

#[test]
fn a_run_keeps_its_recipe_and_its_folder_to_itself() {
    let (place, data) = (place(), data("tiny"));
    let mut child = silent(place.command(&words(&data, "run", "1"))).spawn().unwrap();
    wait_for_checkpoint(&place, "run", &mut child);
    let ran = place.run(&words(&data, "run", "1")).ends(2);
    assert_eq!(ran.err, "formant: error: run: another process is training in this folder\n", "{}", ran.report());
    child.kill().unwrap();
    wait(&mut child);
    let other = [&words(&data, "run", "1")[..], &["--set", "train.epochs=70"]].concat();
    let ran = place.run(&other).ends(2);
    assert!(ran.err.starts_with("formant: error: run: this run began with another recipe\nhint: "), "{}", ran.report());
    let ran = place.run(&["train", "--data", &data, "--out", "run"]).ends(2);
    assert!(ran.err.contains("run/checkpoint.safetensors: this folder holds a run already: "), "{}", ran.report());
    place.write("x/train.manifest.tsv", format!("path\tphones\n{data}/audio/024270313.ogg\tb ah t\n"));
    place.write("x/dev.manifest.tsv", format!("path\tphones\n{data}/audio/024270313.ogg\tb ah t\n"));
    let ran = place.run(&words("x", "run", "1")).ends(2);
    let reason = "the data are not those that this run began with: it cannot go on with others";
    assert_eq!(ran.err, format!("formant: error: run/checkpoint.safetensors: {reason}\n"), "{}", ran.report());
}

/// A command whose folders' permissions hold: root passes by them unless it is nobody's root.
fn without_privileges(place: &Place, words: &[&str]) -> Option<Command> {
    place.write("locked/x", "");
    fs::set_permissions(place.path("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    let enforced = fs::write(place.path("locked/y"), "").is_err();
    fs::set_permissions(place.path("locked"), fs::Permissions::from_mode(0o755)).unwrap();
    let plain = place.command(words);
    if enforced {
        return Some(plain);
    }
    let able = silent(Command::new("unshare")).args(["--user", "true"]).status().is_ok_and(|status| status.success());
    let mut command = Command::new("unshare");
    command.arg("--user").arg(plain.get_program()).args(plain.get_args()).current_dir(place.path(""));
    able.then_some(command)
}

#[test]
fn a_folder_that_turns_read_only_costs_no_checkpoint() {
    let (place, data) = (place(), data("tiny"));
    let Some(mut command) = without_privileges(&place, &words(&data, "run", "1")) else {
        return skipped("a read-only folder during a checkpoint", "root may write everywhere, and there is no unshare");
    };
    place.run(&words(&data, "whole", "1")).ends(0);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_checkpoint(&place, "run", &mut child);
    fs::set_permissions(place.path("run"), fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(wait(&mut child), Some(2));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    let said: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("formant: error: ")).collect();
    assert!(
        said[0].starts_with("formant: error: run/") && said[0].ends_with(": Permission denied (os error 13)"),
        "{said:?}"
    );
    assert_eq!(said[1..], ["hint: the last checkpoint is whole: --resume goes on from it once this is put right"]);
    fs::set_permissions(place.path("run"), fs::Permissions::from_mode(0o755)).unwrap();
    place.run(&words(&data, "run", "1")).ends(0);
    Weights::of(&place, "whole").assert_same(&Weights::of(&place, "run"), "a read-only folder");
}

#[test]
fn a_full_disk_costs_no_checkpoint() {
    let mounts = ["--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"];
    if !silent(Command::new("unshare")).args(mounts).status().is_ok_and(|status| status.success()) {
        return skipped("a full disk during a checkpoint", "this machine lets nobody mount a small one");
    }
    let place = Place::new();
    let mut command = Command::new("bash");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/full-disk")).current_dir(place.path(""));
    command.env("FORMANT", env!("CARGO_BIN_EXE_formant"));
    place.finish(command, b"").ends(0);
}
