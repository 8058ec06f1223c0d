//! What every end-to-end test needs: a folder of its own, the built program run in it, and everything printed when
//! something is not as it should be.
#![forbid(unsafe_code)]

use formant::model::Model;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Nothing in these tests takes longer, on the slowest machine.
const LIMIT: Duration = Duration::from_secs(240);

/// A file of the repository's `data/`.
pub fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    path.into_os_string().into_string().expect("the repository's path is text")
}

/// A folder of its own, gone at the end.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folders that its name has.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }

    /// The program with these words, about to be run here.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_formant"));
        command
            .args(words)
            .current_dir(self.0.path())
            .env_remove("FORMANT_SIMD")
            .env_remove("FORMANT_CUDA_PATH")
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        self.finish(self.command(words), b"")
    }

    /// Runs a command to its end, with this on its standard input.
    pub fn finish(&self, mut command: Command, input: &[u8]) -> Ran {
        let streams = tempfile::tempdir().expect("a temporary folder");
        let (out, err) = (streams.path().join("out"), streams.path().join("err"));
        let file = |path| File::create(path).expect("a file");
        command.stdout(file(&out)).stderr(file(&err));
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let start = Instant::now();
        let mut child = command.spawn().expect("it starts");
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not want its input any more is no mistake of the test.
            let _ = stdin.write_all(input);
        }
        let status = wait(&mut child);
        let text = |path| String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned();
        Ran {
            command: format!("{command:?}"),
            folder: self.0.path().to_owned(),
            status,
            out: text(&out),
            err: text(&err),
            seconds: start.elapsed().as_secs_f64(),
        }
    }
}

/// Waits for a child, not for ever. Nothing if a signal ended it.
pub fn wait(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => return status.code(),
            None if start.elapsed() > LIMIT => child.kill().expect("it can be killed"),
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// What a run of the program left.
pub struct Ran {
    command: String,
    folder: PathBuf,
    /// Nothing if a signal ended it.
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
    pub seconds: f64,
}

impl Ran {
    /// Everything there is to know, for a failure.
    pub fn report(&self) -> String {
        let mut names = Vec::new();
        list(&self.folder, &mut names);
        format!(
            "\n== {}\nin {}\nwith {}\nstatus {:?} after {:.2} s\n-- standard output\n{}-- standard error\n{}==",
            self.command,
            self.folder.display(),
            names.join(" "),
            self.status,
            self.seconds,
            self.out,
            self.err
        )
    }

    /// Fails, telling everything, if it did not end with `status`.
    #[track_caller]
    pub fn ends(self, status: i32) -> Self {
        let right = self.status == Some(status);
        self.holds(right, &format!("it should end with status {status}"))
    }

    /// Fails, telling everything, if it did not end well and silently.
    #[track_caller]
    pub fn fine(self) -> Self {
        let silent = self.err.is_empty();
        self.ends(0).holds(silent, "it should be silent")
    }

    /// Fails, telling everything, if `what` does not hold.
    #[track_caller]
    pub fn holds(self, holds: bool, what: &str) -> Self {
        assert!(holds, "{what}{}", self.report());
        self
    }

    /// Standard output as lines of JSON.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON: {e}{}", self.report()));
        self.out.lines().map(parse).collect()
    }
}

/// The files below a folder, and their sizes.
fn list(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(kind) if kind.is_dir() => list(&entry.path(), names),
            Ok(kind) => names.push(format!("{} ({} bytes)", entry.path().display(), kind.len())),
            Err(error) => names.push(format!("{} ({error})", entry.path().display())),
        }
    }
}

/// Says that something was not tested. Straight to standard error: what `println` writes is hidden where a test passes.
pub fn skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}: {why}");
}

/// A recipe that learns the recordings of `data/tiny` by heart in seconds.
pub const TINY_RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/tiny/recipe.toml");

/// Words that train by it, measuring what is trained on.
pub const TINY: [&str; 4] = ["--recipe", TINY_RECIPE, "--set", "data.dev=train"];

/// The folder of a finished run of [`TINY`], made once for all tests.
pub fn tiny_run() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tiny-run");
        let _ = fs::remove_dir_all(&out);
        let (place, data, out_word) = (Place::new(), data("tiny"), out.to_string_lossy().into_owned());
        let words = [&["train", "--data", &data, "--out", &out_word][..], &TINY[..]].concat();
        place.run(&words).ends(0);
        out
    })
}

/// The model of [`tiny_run`].
pub fn tiny_model() -> String {
    tiny_run().join("model.safetensors").to_string_lossy().into_owned()
}

/// The symbols that the built-in model can write.
pub fn symbols() -> Vec<String> {
    Model::embedded().expect("the built-in model").phones().symbols()[1..].to_vec()
}

/// A WAV file from samples, one channel.
pub fn wav(samples: &[f32], rate: u32) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).expect("a writer");
    samples.iter().for_each(|s| writer.write_sample(*s).expect("a sample"));
    writer.finalize().expect("an end");
    bytes.into_inner()
}
