//! Damaged inputs without end for every reader of foreign bytes: none may panic, hang, or take more memory than its input
//! is worth.
//!
//! Each test runs for `FORMANT_FUZZ_SECONDS` (default: one second): `FORMANT_FUZZ_SECONDS=600 cargo test --release fuzz`
//! is ten minutes for each reader. An input that gets an answer nobody has heard yet is damaged further. The input that
//! breaks a rule is kept in a file, whose name the failure tells.
#![deny(unsafe_code)]

/// Recordings in containers of which `data/` has none.
mod containers;
/// What a reader holds at a time.
#[allow(unsafe_code)]
mod memory;
/// Inputs from inputs.
mod mutate;

use crate::support::{Place, data};
use formant::annotation::{Mark, format_timit, parse_timit};
use formant::audio::{Channel, Live, ReadOptions, Waveform, panics_are_contained};
use formant::corpus::Manifest;
use formant::decode::{Decoder, DecoderConfig, Fusion, LogProbs, WordBeam};
use formant::evaluate::{Results, report};
use formant::lexicon::Lexicon;
use formant::lm::{Estimate, NGram};
use formant::model::Model;
use formant::phones::PhoneSet;
use formant::recognize::Recognizer;
use formant::rng::Rng;
use formant::score::Protocol;
use formant::train::{Checkpoint, Recipe};
use std::cell::Cell;
use std::collections::HashSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

/// The most memory for an input: so much in any case, and so many times its size.
const MEMORY: (usize, usize) = (64 << 20, 200);
/// The longest that one input may take.
const MOMENT: Duration = Duration::from_secs(2);
/// An input that takes so long will never end.
const FOR_EVER: Duration = Duration::from_secs(60);
/// Inputs that are kept to be damaged further.
const KEPT: usize = 2000;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static CONTAINED: Cell<usize> = const { Cell::new(0) };
}

/// Keeps panics of the fuzzing threads silent, and counts those that a decoder's caller catches.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if panics_are_contained() {
                CONTAINED.set(CONTAINED.get() + 1);
            } else if !QUIET.get() {
                usual(info);
            }
        }));
    });
}

/// A reader: bytes to what it said about them.
struct Reader<'a> {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    text: bool,
    mend: fn(&mut [u8]),
    read: &'a dyn Fn(&[u8]) -> String,
}

/// What is being read at the moment, and since when.
type Running = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

impl Reader<'_> {
    fn fuzz(self) {
        watch_panics();
        QUIET.set(true);
        let seconds = std::env::var("FORMANT_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1.0);
        let running = self.watch_time();
        let mut rng = Rng::stream(seed(), self.name, 0);
        let (mut inputs, mut heard) = (self.seeds.clone(), HashSet::new());
        let (start, mut count) = (Instant::now(), 0_u64);
        for seed in &self.seeds {
            heard.insert(self.judge(seed, &running));
        }
        while start.elapsed().as_secs_f64() < seconds {
            // What is broken already leads less deep than what is whole.
            let from = if rng.uniform() < 0.6 { &self.seeds } else { &inputs };
            let mut input = mutate::mutate(&mut rng, from, self.text);
            if rng.uniform() < 0.7 {
                (self.mend)(&mut input);
            }
            count += 1;
            if heard.insert(self.judge(&input, &running)) && inputs.len() < KEPT {
                inputs.push(input);
            }
        }
        QUIET.set(false);
        let contained = CONTAINED.get();
        let said = format!("{}: {count} inputs, {} answers, {contained} panics contained", self.name, heard.len());
        let _ = writeln!(std::io::stderr(), "fuzz: {said}");
    }

    /// Reads one input, holds what happens against the rules, and returns the answer without its numbers and names.
    fn judge(&self, input: &[u8], running: &Running) -> String {
        let attempt = || {
            *running.lock().unwrap() = Some((Instant::now(), input.to_vec()));
            let start = Instant::now();
            let (answer, peak) = memory::peak(|| catch_unwind(AssertUnwindSafe(|| (self.read)(input))));
            let took = start.elapsed();
            *running.lock().unwrap() = None;
            (answer, peak, took)
        };
        let (answer, peak, mut took) = attempt();
        // A machine that is busy with other things is no mistake of ours.
        for _ in 0..2 {
            if took > MOMENT {
                took = took.min(attempt().2);
            }
        }
        let limit = MEMORY.0 + MEMORY.1 * input.len();
        let broken = match &answer {
            Err(panic) => Some(format!("panics: {:?}", message(&**panic))),
            Ok(answer) if took > MOMENT => Some(format!("takes {took:.1?}: {answer}")),
            Ok(answer) if peak > limit => Some(format!("takes {peak} bytes for {}: {answer}", input.len())),
            Ok(_) => None,
        };
        if let Some(broken) = broken {
            QUIET.set(false);
            panic!("{} {broken}; the input is {}", self.name, keep(self.name, input).display());
        }
        // Numbers and quoted names would make every answer a new one.
        let answer = answer.unwrap_or_default();
        let plain: String = answer.split(['"', '`']).step_by(2).collect();
        plain.chars().filter(|c| !c.is_ascii_digit()).collect()
    }

    /// Ends the whole program, telling the input, when one takes for ever.
    fn watch_time(&self) -> Running {
        let (running, name): (Running, _) = (Arc::default(), self.name);
        let watched = Arc::clone(&running);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                if let Some((since, input)) = &*watched.lock().unwrap()
                    && since.elapsed() > FOR_EVER
                {
                    let _ = writeln!(std::io::stderr(), "fuzz: {name} hangs on {}", keep(name, input).display());
                    std::process::exit(1);
                }
            }
        });
        running
    }
}

/// `FORMANT_FUZZ_SEED`, for other inputs than the last time.
fn seed() -> u64 {
    std::env::var("FORMANT_FUZZ_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

fn keep(name: &str, input: &[u8]) -> PathBuf {
    let sum = input.iter().fold(0_u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}-{sum:08x}"));
    let _ = std::fs::write(&path, input);
    path
}

fn told<T>(result: formant::Result<T>, ok: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|error| error.to_string(), ok)
}

fn listen(bytes: &[u8]) -> String {
    // As the recogniser asks for it: converted on the way.
    let options = ReadOptions { sample_rate: Some(16000), ..ReadOptions::default() };
    told(Waveform::read(bytes.to_vec(), "x", options), |wave| format!("sound {:?}", wave.warnings()))
}

fn audio(name: &'static str, seeds: Vec<Vec<u8>>, mend: fn(&mut [u8])) {
    for seed in &seeds {
        assert!(listen(seed).starts_with("sound"), "{name}: {}", listen(seed));
    }
    Reader { name, seeds, text: false, mend, read: &listen }.fuzz();
}

/// The beginning of a recording in `data/`.
fn sample(name: &str) -> Vec<u8> {
    let mut bytes = std::fs::read(data(&format!("samples/{name}"))).unwrap();
    bytes.truncate(9_000);
    bytes
}

fn made(ending: &str) -> Vec<Vec<u8>> {
    containers::all().into_iter().filter(|(name, _)| name.ends_with(ending)).map(|(_, bytes)| bytes).collect()
}

fn nothing(_: &mut [u8]) {}

#[test]
fn wav() {
    let mut seeds = made(".wav");
    seeds.push(sample("so0120.wav"));
    audio("wav", seeds, nothing);
}

#[test]
fn flac() {
    audio("flac", vec![sample("so2897-8k.flac")], nothing);
}

#[test]
fn ogg() {
    audio("ogg", vec![std::fs::read(data("samples/so2448.ogg")).unwrap()], mutate::mend_ogg);
}

#[test]
fn mp3() {
    audio("mp3", vec![sample("an4-mjgk-44k-stereo.mp3")], nothing);
}

/// Golden files whose name this is true of.
fn golden(wanted: fn(&str) -> bool) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sphere");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sound = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "sph" || ending == "shn");
    let named = |path: &PathBuf| wanted(&path.file_name().unwrap_or_default().to_string_lossy());
    let mut paths: Vec<PathBuf> = paths.filter(|path| sound(path) && named(path)).collect();
    paths.sort();
    assert!(paths.len() >= 8);
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn sphere() {
    // As text: numbers and words of the header are changed, too.
    let seeds = golden(|name| !name.starts_with("shorten"));
    Reader { name: "sphere", seeds, text: true, mend: nothing, read: &listen }.fuzz();
}

#[test]
fn shorten() {
    let whole = golden(|name| name.starts_with("shorten"));
    // Without the most of the header, damage hits the stream.
    let short = |bytes: &Vec<u8>| match bytes.starts_with(b"NIST_1A") {
        true => [b"NIST_1A\n    256\n", &bytes[16..256], &bytes[1024..]].concat(),
        false => bytes.clone(),
    };
    audio("shorten", whole.iter().map(short).collect(), nothing);
}

#[test]
fn mp4() {
    audio("mp4", made(".m4a"), nothing);
}

#[test]
fn other_containers() {
    audio("others", [".aiff", ".caf", ".mka", ".aac"].iter().flat_map(|ending| made(ending)).collect(), nothing);
}

#[test]
fn manifests() {
    let seeds = ["tiny/train.manifest.tsv", "samples.manifest.tsv"].map(|name| std::fs::read(data(name)).unwrap());
    let spans = b"path\tphones\tstart\tend\tseconds\na.wav\tk ae t\t0.5\t2\t1.5\na.wav\t\t2\t3.5\t\n".to_vec();
    let read = |bytes: &[u8]| told(Manifest::parse(bytes, Path::new("x")), |m| format!("{} columns", m.columns.len()));
    let seeds = [&seeds[..], &[spans]].concat();
    Reader { name: "manifests", seeds, text: true, mend: nothing, read: &read }.fuzz();
}

#[test]
fn kaldi() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("t")).unwrap();
    // Four files in one input, put apart at a line of dashes.
    let seed =
        b"r1 a.wav\nr2 /b.wav\n---\nu1 k ae t\nu2 d ao g\n---\nu1 s1\nu2 s2\n---\nu1 r1 0.0 1.0\nu2 r2 1.0 2.5\n";
    let read = |bytes: &[u8]| {
        let mut parts = bytes.split(|b| *b == b'-').filter(|part| !part.is_empty());
        for name in ["wav.scp", "text", "utt2spk", "segments"] {
            std::fs::write(folder.path().join("t").join(name), parts.next().unwrap_or_default()).unwrap();
        }
        let error = told(Manifest::open(folder.path(), "t"), |m| format!("{} utterances", m.utterances.len()));
        error.rsplit('/').next().unwrap_or_default().to_owned()
    };
    let seeds = vec![seed.to_vec()];
    Reader { name: "kaldi", seeds, text: true, mend: nothing, read: &read }.fuzz();
}

/// Sound from a pipe, through the recogniser's front door.
#[test]
fn live_wav() {
    let mut seeds = made(".wav");
    seeds.push(sample("so0120.wav"));
    let read = |bytes: &[u8]| {
        let all = || -> formant::Result<usize> {
            let mut live = Live::wav(bytes, Path::new("x"), Channel::Mix)?;
            let mut count = 0;
            while let Some(samples) = live.next_samples()? {
                count += samples.len();
            }
            Ok(count)
        };
        told(all(), |count| format!("{} samples", count > 0))
    };
    Reader { name: "live-wav", seeds, text: false, mend: nothing, read: &read }.fuzz();
}

/// A dictionary that is read must also work: as words of a text, and to look for them.
#[test]
fn dictionaries() {
    let phones = PhoneSet::arpabet39();
    let log_probs = LogProbs::from_logits((0..40 * 10).map(|i| (i as f32 * 0.7).sin() * 3.0).collect(), 40).unwrap();
    let read = |bytes: &[u8]| {
        let works = |lexicon: Lexicon| {
            let known =
                lexicon.words("Cat, do-g (read)!").iter().filter(|word| !word.pronunciations.is_empty()).count();
            let beam = WordBeam::new(4, &lexicon, None, Fusion { weight: 0.0, bonus: 0.0 }, &[])?;
            Ok((known, beam.decode(&log_probs).len()))
        };
        let read = Lexicon::parse(bytes, Path::new("x"), &phones);
        told(read.and_then(works), |(known, found)| format!("works: {} {}", known > 0, found > 0))
    };
    let seed =
        b";;; a comment\ncat K AE1 T\ndog  D AO1 G # a pet\nread(2) r iy d\nread r eh d\ndo D UW\ng JH IY\n".to_vec();
    assert_eq!(read(&seed), "works: true true");
    Reader { name: "dictionaries", seeds: vec![seed], text: true, mend: nothing, read: &read }.fuzz();
}

/// A .PHN that is read is written as it was, but for white space.
#[test]
fn phn() {
    let read = |bytes: &[u8]| {
        let marks = parse_timit(bytes, Path::new("x"));
        let again = |marks: &[Mark]| parse_timit(format_timit(marks).as_bytes(), Path::new("x"));
        told(marks, |marks| {
            format!("{} the same: {}", marks.len().min(4), again(&marks).is_ok_and(|again| again == marks))
        })
    };
    let seed = b"0 2260 h#\n2260 4070 sh\n4070 5265 iy\n".to_vec();
    assert_eq!(read(&seed), "3 the same: true");
    Reader { name: "phn", seeds: vec![seed], text: true, mend: nothing, read: &read }.fuzz();
}

/// Results that are read can be scored.
#[test]
fn results() {
    let protocols = Protocol::all().unwrap();
    let read = |bytes: &[u8]| {
        let results = Results::parse(bytes, Path::new("x"));
        told(results, |results| {
            let errors = protocols.iter().map(|protocol| report(&results.utterances, protocol).total.errors());
            format!("{} utterances, errors: {}", results.utterances.len().min(4), errors.max() > Some(0))
        })
    };
    let seed = br#"{"formant_results":1,"model":"m","about":"","unit":"phones"}
{"id":"a","speaker":"s","seconds":1.5,"reference":"h# k ae t","hypothesis":"k ah","times":[[0.0,0.5],[0.5,1.0]]}
{"id":"b","speaker":"","seconds":0.5,"reference":"","hypothesis":"","times":[]}
"#;
    assert_eq!(read(seed), "2 utterances, errors: true");
    Reader { name: "results", seeds: vec![seed.to_vec()], text: true, mend: nothing, read: &read }.fuzz();
}

/// A language model that is read gives every sentence a probability, and can be written and read again.
#[test]
fn language_models() {
    let text = [vec!["a", "b"], vec!["a", "b", "a"], vec!["b", "c", "a", "b"], vec!["c"]];
    let seed = Estimate::new(&text, 3).unwrap().model.arpa().into_bytes();
    let read = |bytes: &[u8]| {
        told(NGram::parse(bytes, Path::new("x")), |model| {
            let score = |model: &NGram| model.sentence(["a", "b", "zz", "c"]).0;
            let again = NGram::parse(model.arpa().as_bytes(), Path::new("x")).map(|again| score(&again));
            format!("{} {}", score(&model).is_nan(), again.is_ok())
        })
    };
    assert_eq!(read(&seed), "false true");
    Reader { name: "language-models", seeds: vec![seed], text: true, mend: nothing, read: &read }.fuzz();
}

/// Settings for features that are more than a frame's mel bins, and for such that are not.
const STACKED: [&str; 3] = ["features.stack=2", "features.deltas=1", "model.convolutions=[]"];
const PLAIN: &str = "features.stack=1";

/// A file of the run of a very small network.
fn small_run(storage: &str, more: &[&str], file: &str) -> Vec<u8> {
    let (place, data, storage) = (Place::new(), data("tiny"), format!("train.storage={storage}"));
    let layers = "model.layers=[{hidden=3,subsample=2},{hidden=2,bidirectional=false}]";
    let sets = [&[layers, &storage, "train.epochs=1", "features.bins=8"], more].concat();
    let words = ["train", "--data", &data, "--out", "run"].into_iter().chain(sets.iter().flat_map(|s| ["--set", s]));
    place.run(&words.collect::<Vec<_>>()).ends(0);
    std::fs::read(place.path("run").join(file)).unwrap()
}

#[test]
fn models() {
    let sound = Waveform::new((0..4000).map(|i| (i as f32 * 0.1).sin() * 0.5).collect(), 16000).unwrap();
    // A model that is read must also work.
    let read = |bytes: &[u8]| {
        let works = |model| Recognizer::new(model, &DecoderConfig::Beam { width: 3 })?.transcribe(&sound);
        told(Model::read(bytes, "x").and_then(works), |t| format!("works: {}", t.best().score.is_finite()))
    };
    let convolution = "model.convolutions=[{channels=2,stride=[2,2],layer_norm=true}]";
    let runs: [(&str, &[&str]); 3] = [("f32", &STACKED), ("f16", &STACKED), ("int8", &[PLAIN, convolution])];
    let seeds = runs.map(|(storage, more)| small_run(storage, more, "model.safetensors")).to_vec();
    assert!(seeds.iter().all(|seed| read(seed) == "works: true"));
    Reader { name: "models", seeds, text: true, mend: mutate::mend_header, read: &read }.fuzz();
}

#[test]
fn checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        told(Checkpoint::load(&path), |c| format!("{} layers", c.recipe.model.layers.len()))
    };
    let seeds = vec![small_run("f32", &STACKED, "checkpoint.safetensors")];
    assert_eq!(read(&seeds[0]), "2 layers");
    Reader { name: "checkpoints", seeds, text: true, mend: mutate::mend_header, read: &read }.fuzz();
}

fn recipes_in_the_repository() -> Vec<Vec<u8>> {
    let folders = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes")).unwrap();
    let mut paths: Vec<PathBuf> = folders.map(|folder| folder.unwrap().path().join("recipe.toml")).collect();
    paths.sort();
    let whole = |path: &PathBuf| {
        let bytes = std::fs::read(path).ok()?;
        // A recipe that extends another is not one by itself.
        let alone = !String::from_utf8_lossy(&bytes).contains("\nextends = ");
        Some(if alone { bytes } else { Recipe::read(path).unwrap().to_toml().into_bytes() })
    };
    let mut seeds: Vec<Vec<u8>> = paths.iter().filter_map(whole).collect();
    assert!(seeds.len() >= 3);
    seeds.push(Recipe::default().to_toml().into_bytes());
    seeds
}

#[test]
fn recipes() {
    let read = |bytes: &[u8]| {
        let recipe = Recipe::parse(&String::from_utf8_lossy(bytes), Path::new("x"));
        // What is accepted can be written and read again.
        told(recipe, |r| format!("same: {}", Recipe::parse(&r.to_toml(), Path::new("x")).is_ok_and(|again| again == r)))
    };
    let seeds = recipes_in_the_repository();
    assert!(seeds.iter().all(|seed| read(seed) == "same: true"));
    Reader { name: "recipes", seeds, text: true, mend: nothing, read: &read }.fuzz();
}

#[test]
fn settings() {
    let read = |bytes: &[u8]| {
        let change = String::from_utf8_lossy(bytes).into_owned();
        let error = told(Recipe::default().with(&[change]), |_| "a recipe".to_owned());
        error.rsplit(": ").next().unwrap_or_default().to_owned()
    };
    let seeds = [
        "train.learning_rate=5e-4",
        "model.layers.1.hidden=30",
        "augment.speeds=[0.9, 1.0]",
        "train.optimizer={kind=\"sgd\",momentum=0.9}",
        "augment.noise.probability=0.5",
        "description=a \"b\" c",
    ];
    let seeds = seeds.map(|s| s.as_bytes().to_vec()).to_vec();
    Reader { name: "settings", seeds, text: true, mend: nothing, read: &read }.fuzz();
}
