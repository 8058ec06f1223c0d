//! The library's layers, held by reading its source: which module may import which, and where `unsafe` may stand.
#![forbid(unsafe_code)]

#[path = "layering/imports.rs"]
mod imports;

use imports::{Import, imports, reexports, tokens};
use std::collections::BTreeMap;
use std::path::Path;

/// One layer: modules that may import each other.
struct Layer {
    name: &'static str,
    /// Paths below the crate's root. The longest one that a path starts with decides which layer it belongs to.
    modules: &'static [&'static str],
    /// Names of other layers.
    may_import: &'static [&'static str],
}

/// All layers, lowest first: each may import only from those before it.
const LAYERS: &[Layer] = &[
    // Words everybody shares.
    Layer {
        name: "base",
        modules: &["error", "rng", "lengths", "phones", "files", "table", "parallel"],
        may_import: &[],
    },
    // From the bytes of a recording to samples.
    Layer { name: "audio", modules: &["audio"], may_import: &["base"] },
    // How words are said.
    Layer { name: "lexicon", modules: &["lexicon"], may_import: &["base"] },
    // How probable a word is after others.
    Layer { name: "lm", modules: &["lm"], may_import: &["base"] },
    // Labelled stretches of a recording, as other programs read them.
    Layer { name: "annotation", modules: &["annotation"], may_import: &["base"] },
    // From samples to frames.
    Layer { name: "features", modules: &["features"], may_import: &["base", "audio"] },
    // Which utterances, in which order, as which batches.
    Layer { name: "corpus", modules: &["corpus"], may_import: &["base", "audio", "annotation", "features"] },
    // How an operation of ours reaches into candle's tensors. Knows nothing of networks.
    Layer { name: "op", modules: &["nn::op"], may_import: &[] },
    // The GPU: which there are, and launches. Knows nothing of what is computed.
    Layer { name: "cuda", modules: &["cuda"], may_import: &[] },
    // Trainable parts. Knows nothing of speech.
    Layer { name: "nn", modules: &["nn"], may_import: &["base", "op", "cuda"] },
    // The loss. Knows nothing of the network before it.
    Layer { name: "ctc", modules: &["ctc"], may_import: &["base", "op", "cuda"] },
    // From log probabilities to phones; no tensors.
    Layer { name: "decode", modules: &["decode"], may_import: &["base", "lexicon", "lm"] },
    // Forced alignment: when known words and phones are spoken, and how well.
    Layer { name: "align", modules: &["align"], may_import: &["base", "lexicon", "features", "ctc", "decode"] },
    // Edit distance and error rates.
    Layer { name: "score", modules: &["score"], may_import: &["base"] },
    // Parts put together, and their file.
    Layer { name: "model", modules: &["model"], may_import: &["base", "features", "op", "cuda", "nn"] },
    // Corpora as they are distributed, made ready for training.
    Layer { name: "prepare", modules: &["prepare"], may_import: &["base", "lexicon", "audio", "corpus"] },
    // The pipeline, for one recording or a batch of a corpus.
    Layer {
        name: "recognize",
        modules: &["recognize"],
        may_import: &["base", "lexicon", "audio", "features", "corpus", "op", "ctc", "decode", "align", "model"],
    },
    // A corpus recognised and scored.
    Layer {
        name: "evaluate",
        modules: &["evaluate"],
        may_import: &["base", "lexicon", "audio", "corpus", "decode", "score", "model", "recognize"],
    },
    // Recipe, loop, checkpoints.
    Layer {
        name: "train",
        modules: &["train"],
        may_import: &[
            "base",
            "audio",
            "features",
            "corpus",
            "op",
            "nn",
            "ctc",
            "decode",
            "score",
            "model",
            "recognize",
            "evaluate",
        ],
    },
    // From words to calls, from results to text.
    Layer {
        name: "cli",
        modules: &["cli"],
        may_import: &[
            "base",
            "lexicon",
            "lm",
            "annotation",
            "audio",
            "features",
            "corpus",
            "prepare",
            "op",
            "cuda",
            "nn",
            "ctc",
            "decode",
            "align",
            "score",
            "model",
            "recognize",
            "evaluate",
            "train",
        ],
    },
    Layer { name: "program", modules: &["main"], may_import: &["cli"] },
];

/// What may contain `unsafe`: these files.
fn may_be_unsafe(file: &str) -> bool {
    let files =
        ["nn/panels", "nn/panels8", "nn/simd", "nn/product", "nn/memory", "cuda/device", "cuda/launch", "cuda/staging"];
    files.iter().any(|name| file == format!("src/{name}.rs"))
}

/// The layer of a path below the crate's root.
fn layer(path: &[String]) -> Option<&'static Layer> {
    let starts = |module: &str| module.split("::").zip(path).all(|(a, b)| a == b) && depth(module) <= path.len();
    let longest = |l: &&Layer| l.modules.iter().filter(|m| starts(m)).map(|m| depth(m)).max();
    LAYERS.iter().filter(|l| longest(l).is_some()).max_by_key(longest)
}

fn depth(module: &str) -> usize {
    module.split("::").count()
}

/// Every `.rs` file under `src/`: its path from the package's root, and its text.
fn sources() -> std::io::Result<BTreeMap<String, String>> {
    fn walk(folder: &Path, name: &str, found: &mut BTreeMap<String, String>) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            if path.is_dir() {
                walk(&path, &name, found)?;
            } else if name.ends_with(".rs") {
                found.insert(name, std::fs::read_to_string(&path)?);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "src", &mut found)?;
    assert!(found.contains_key("src/lib.rs"));
    Ok(found)
}

/// `src/ctc/op.rs` to `[ctc, op]`; the crate's root is empty.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').filter(|part| !["mod", "lib"].contains(part)).map(str::to_owned).collect()
}

/// What is wrong with one file's imports, a line each. `names` are what the crate's root re-exports.
fn upward_imports(file: &str, source: &str, names: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let home = module(file);
    // The root declares and re-exports every layer.
    if home.is_empty() {
        return Vec::new();
    }
    let Some(own) = layer(&home) else {
        return vec![format!("{file}: `{}` has no layer: add it to the table in tests/layering.rs", home.join("::"))];
    };
    let complaint = |Import { line, path }: Import| {
        let full = path.first().and_then(|first| names.get(first)).unwrap_or(&path);
        let written = format!("`crate::{}`", path.join("::"));
        match layer(full) {
            None => Some(format!("{file}:{line}: {written} belongs to no layer in the table in tests/layering.rs")),
            Some(other) if other.name == own.name || own.may_import.contains(&other.name) => None,
            Some(other) => Some(format!(
                "{file}:{line}: layer `{}` may not import layer `{}` ({written}); it may import: {}",
                own.name,
                other.name,
                own.may_import.join(", ")
            )),
        }
    };
    imports(&tokens(source), &home).into_iter().filter_map(complaint).collect()
}

/// What is wrong with one file's use of `unsafe`. `files` are all of them.
fn unsafe_complaints(file: &str, source: &str, files: &[&String]) -> Vec<String> {
    if may_be_unsafe(file) {
        return Vec::new();
    }
    let mut complaints: Vec<String> = tokens(source)
        .iter()
        .filter(|token| token.text == "unsafe")
        .map(|token| format!("{file}:{}: `unsafe` is not allowed here", token.line))
        .collect();
    // `forbid` holds for a module's children too, so the ancestors of the exceptions must do without.
    let folder = file.strip_suffix("mod.rs").or(file.strip_suffix("lib.rs")).unwrap_or("no folder");
    let has_unsafe_children = files.iter().any(|f| f.starts_with(folder) && may_be_unsafe(f));
    if !has_unsafe_children && !source.contains("\n#![forbid(unsafe_code)]\n") {
        complaints.push(format!("{file}: `#![forbid(unsafe_code)]` is missing"));
    }
    complaints
}

#[test]
fn the_table_points_down() {
    for (at, layer) in LAYERS.iter().enumerate() {
        for name in layer.may_import {
            assert!(LAYERS[..at].iter().any(|below| below.name == *name), "{} imports {name}", layer.name);
        }
    }
}

#[test]
fn no_module_imports_upwards() -> std::io::Result<()> {
    let sources = sources()?;
    let names = reexports(&tokens(&sources["src/lib.rs"]));
    let complaints: Vec<String> =
        sources.iter().flat_map(|(file, source)| upward_imports(file, source, &names)).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    Ok(())
}

#[test]
fn unsafe_stays_where_it_belongs() -> std::io::Result<()> {
    let sources = sources()?;
    let files: Vec<&String> = sources.keys().collect();
    let complaints: Vec<String> =
        sources.iter().flat_map(|(file, source)| unsafe_complaints(file, source, &files)).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    Ok(())
}

#[test]
fn breaches_are_named() {
    let root = "pub use error::{Error, Result};\npub use train::Trainer;";
    let complain = |file: &str, source: &str| upward_imports(file, source, &reexports(&tokens(root))).join("\n");
    let group = "//! Text.\nuse crate::{\n    error::Result,\n    decode::{LogProbs, widen as w},\n};";
    let expected = "src/ctc/op.rs:4: layer `ctc` may not import layer `decode` (`crate::decode::LogProbs`); it may \
                    import: base, op, cuda\nsrc/ctc/op.rs:4: layer `ctc` may not import layer `decode` \
                    (`crate::decode::widen`); it may import: base, op, cuda";
    assert_eq!(complain("src/ctc/op.rs", group), expected);
    assert_eq!(complain("src/align/mod.rs", group), "");
    for (file, source, upward) in [
        ("src/nn/linear.rs", "fn f() -> crate::Result<()> { let _ = \"crate::cli\"; Ok(()) } // crate::cli", false),
        ("src/nn/linear.rs", "fn f(x: &'static str, y: char) { g('\"', crate::cli::h(), '\"') }", true),
        ("src/nn/linear.rs", "fn f(trainer: crate::Trainer) {}", true),
        ("src/ctc/mod.rs", "use super::decode::LogProbs;", true),
        ("src/ctc/op.rs", "use super::decode::LogProbs;", false),
        ("src/ctc/op.rs", "mod tests { use super::super::super::decode::LogProbs; }", true),
        ("src/ctc/op.rs", "mod tests { use super::super::reference; } fn f() { super::g() }", false),
        (
            "src/ctc/op.rs",
            "pub(crate) fn f<'a>(x: &'a str) { r#\"\"crate::cli::x\"#; /* /* */ crate::cli::x */ }",
            false,
        ),
        ("src/ctc/op.rs", "use crate::unheard_of::Thing;", true),
        ("src/ctc/op.rs", "use crate::nn::{op, linear::linear};", true),
        ("src/unheard_of.rs", "", true),
        ("src/cli/mod.rs", "use crate::{train::*, nn, Result};", false),
        ("src/main.rs", "fn main() { formant::cli::main() }", false),
        ("src/main.rs", "fn main() { formant::train::run() }", true),
    ] {
        assert_eq!(!complain(file, source).is_empty(), upward, "{file}: {source}: {}", complain(file, source));
    }
    let forbids = "//! Text.\n#![forbid(unsafe_code)]\n";
    for (file, source, bad) in [
        ("src/ctc/op.rs", forbids.to_owned(), false),
        ("src/ctc/op.rs", "//! Text.\n".to_owned(), true),
        ("src/ctc/op.rs", forbids.to_owned() + "fn f() { unsafe { g() } }", true),
        ("src/nn/product.rs", "fn f() { unsafe { g() } }".to_owned(), false),
        ("src/nn/mod.rs", "pub mod product;".to_owned(), false),
        ("src/nn/mod.rs", "unsafe fn f() {}".to_owned(), true),
    ] {
        let files = ["src/nn/mod.rs".to_owned(), "src/nn/product.rs".to_owned()];
        let complaints = unsafe_complaints(file, &source, &files.iter().collect::<Vec<_>>());
        assert_eq!(!complaints.is_empty(), bad, "{file}: {source}: {complaints:?}");
    }
}
