//! Model files that are none, or damaged, or lie.
#![forbid(unsafe_code)]

use super::{Case, check};
use crate::support::{Place, data, tiny_model, tiny_run};
use serde_json::{Map, Value, json};

/// A model file in its parts.
#[derive(Clone)]
struct Parts {
    /// Tensors by name.
    header: Map<String, Value>,
    /// What the file says of itself.
    formant: Value,
    numbers: Vec<u8>,
}

impl Parts {
    fn read(bytes: &[u8]) -> Self {
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let mut header: Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let metadata = header.remove("__metadata__").unwrap();
        let formant = serde_json::from_str(metadata["formant"].as_str().unwrap()).unwrap();
        Self { header, formant, numbers: bytes[8 + length..].to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        file(&self.header, &self.formant.to_string(), &self.numbers)
    }

    /// The file with something changed.
    fn with(&self, change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut parts = self.clone();
        change(&mut parts);
        parts.bytes()
    }

    /// The file with its first layer changed and repeated.
    fn with_layers(&self, count: usize, key: &str, value: Value) -> Vec<u8> {
        self.with(|parts| {
            let mut layer = parts.formant["model"]["layers"][0].clone();
            layer[key] = value;
            parts.formant["model"]["layers"] = vec![layer; count].into();
            parts.formant["gates"] = vec![parts.formant["gates"][0].clone(); count].into();
        })
    }
}

fn file(header: &Map<String, Value>, formant: &str, numbers: &[u8]) -> Vec<u8> {
    let mut header = header.clone();
    header.insert("__metadata__".to_owned(), json!({ "formant": formant }));
    let header = Value::from(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), numbers].concat()
}

fn files(place: &Place) {
    let good = std::fs::read(tiny_model()).unwrap();
    let parts = Parts::read(&good);
    let header = |length: u64| [&length.to_le_bytes()[..], &good[8..]].concat();
    place.write("whole", parts.bytes());
    place.write("empty", "");
    place.write("cut-header", &good[..100]);
    place.write("cut-numbers", &good[..good.len() - 10]);
    place.write("more-numbers", [&good[..], &[0; 10]].concat());
    place.write("header-0", header(0));
    place.write("header-short", header(50));
    place.write("header-long", header(good.len() as u64));
    place.write("header-max", header(u64::MAX));
    place.write("deep", [&600_000_u64.to_le_bytes()[..], "{\"a\":".repeat(120_000).as_bytes()].concat());
    place.write("foreign", {
        let header = Value::from(parts.header.clone()).to_string();
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &parts.numbers].concat()
    });
    place.write("no-json", file(&parts.header, "hello", &parts.numbers));
    place.write("lacking", file(&parts.header, "{\"format\":1}", &parts.numbers));
    place.write("nested", file(&parts.header, &format!("{{\"format\":{}", "[".repeat(100_000)), &parts.numbers));
    place.write("format-9", parts.with(|p| p.formant["format"] = 9.into()));
    place.write("format-0", parts.with(|p| p.formant["format"] = 0.into()));
    place.write("shape", parts.with(|p| p.header["layers.0.w"]["shape"] = json!([120, 512])));
    place.write("overflow", parts.with(|p| p.header["layers.0.b"]["shape"] = json!([1_u64 << 62, 8])));
    place.write("overlap", parts.with(|p| p.header["layers.0.b"]["data_offsets"][0] = 0.into()));
    place.write("type", parts.with(|p| p.header["layers.0.b"]["dtype"] = "I32".into()));
    place.write("missing", parts.with(|p| rename(p, "layers.0.r", "layers.0.x")));
    place.write("no-normalisation", parts.with(|p| rename(p, "cmvn.mean", "cmvn.median")));
    place.write("nan", parts.with(|p| fill(p, "output.b", f32::NAN)));
    place.write("infinite", parts.with(|p| fill(p, "output.b", f32::INFINITY)));
    place.write("large", parts.with(|p| fill(p, "output.w", f32::MAX)));
    place.write("hidden-0", parts.with_layers(1, "hidden", 0.into()));
    place.write("hidden-huge", parts.with_layers(1, "hidden", 10_u64.pow(18).into()));
    place.write("hidden-other", parts.with_layers(1, "hidden", 65.into()));
    place.write("layers-0", parts.with_layers(0, "hidden", 64.into()));
    place.write("layers-many", parts.with_layers(100_000, "hidden", 64.into()));
    place.write("layers-large", parts.with_layers(64, "hidden", 16_384.into()));
    place.write("subsample", parts.with_layers(22, "subsample", 8.into()));
    place.write(
        "convolution",
        parts.with(|p| {
            p.formant["front_end"]["stack"] = 1.into();
            p.formant["model"]["convolutions"] = json!([{ "channels": 2 }]);
        }),
    );
    place.write("gates", parts.with(|p| p.formant["gates"][0] = json!(["i", "g", "f", "o"])));
    place.write("phones-twice", parts.with(|p| p.formant["phones"]["symbols"][1] = "b".into()));
    place.write("phones-none", parts.with(|p| p.formant["phones"]["symbols"] = json!([])));
    place
        .write("phones-more", parts.with(|p| p.formant["phones"]["symbols"].as_array_mut().unwrap().push("xx".into())));
    place.write("bins", parts.with(|p| p.formant["front_end"]["bins"] = 0.into()));
    place.write("shift", parts.with(|p| p.formant["front_end"]["frame_shift_ms"] = 1e-4.into()));
    place.write("window", parts.with(|p| p.formant["front_end"]["frame_length_ms"] = 1e9.into()));
    place.write("stack", parts.with(|p| p.formant["front_end"]["stack"] = 1_000_000_000_u64.into()));
    std::fs::copy(data("samples/so0120.wav"), place.path("sound")).unwrap();
    std::fs::copy(tiny_run().join("checkpoint.safetensors"), place.path("checkpoint")).unwrap();
    place.write("archive", [&b"PK\x03\x04"[..], &[0; 100]].concat());
    std::fs::create_dir(place.path("folder")).unwrap();
}

/// Replaces all numbers of a tensor of f32.
fn fill(parts: &mut Parts, name: &str, value: f32) {
    let place = |n: usize| parts.header[name]["data_offsets"][n].as_u64().unwrap() as usize;
    let place = place(0)..place(1);
    parts.numbers[place].as_chunks_mut().0.iter_mut().for_each(|bytes| *bytes = value.to_le_bytes());
}

fn rename(parts: &mut Parts, from: &str, to: &str) {
    let tensor = parts.header.remove(from).unwrap();
    parts.header.insert(to.to_owned(), tensor);
}

const CASES: &[Case] = &[
    ("transcribe sound -m whole", 0, ""),
    ("transcribe sound -m empty", 2, "error: empty: not a model file, or a damaged one: header too small"),
    (
        "transcribe sound -m cut-header",
        2,
        "error: cut-header: not a model file, or a damaged one: invalid header length",
    ),
    (
        "transcribe sound -m cut-numbers",
        2,
        "error: cut-numbers: not a model file, or a damaged one: incomplete metadata, file not fully covered",
    ),
    (
        "transcribe sound -m more-numbers",
        2,
        "error: more-numbers: not a model file, or a damaged one: incomplete metadata, file not fully covered",
    ),
    (
        "transcribe sound -m header-0",
        2,
        "error: header-0: not a model file, or a damaged one: invalid JSON in header: EOF while parsing a value at line 1 column 0",
    ),
    (
        "transcribe sound -m header-short",
        2,
        "error: header-short: not a model file, or a damaged one: invalid JSON in header: EOF while parsing a string at \
         line 1 column 50",
    ),
    (
        "transcribe sound -m header-long",
        2,
        "error: header-long: not a model file, or a damaged one: invalid header length",
    ),
    ("transcribe sound -m header-max", 2, "error: header-max: not a model file, or a damaged one: header too large"),
    (
        "transcribe sound -m deep",
        2,
        "error: deep: not a model file, or a damaged one: invalid JSON in header: recursion limit exceeded at line 1 column 636",
    ),
    (
        "transcribe sound -m foreign",
        2,
        "error: foreign: tensors, but not formant's: it has no \"formant\" entry in its header",
    ),
    ("transcribe sound -m no-json", 2, "error: no-json: a damaged header: expected value at line 1 column 1"),
    ("transcribe sound -m lacking", 2, "error: lacking: a damaged header: missing field `phones` at line 1 column 12"),
    (
        "transcribe sound -m nested",
        2,
        "error: nested: a damaged header: invalid type: sequence, expected u64 at line 1 column 10",
    ),
    (
        "transcribe sound -m format-9",
        2,
        "error: format-9: written by a newer formant (format 9; this version reads up to 1)",
    ),
    ("transcribe sound -m format-0", 2, "error: format-0: a damaged header: there is no format 0"),
    (
        "transcribe sound -m shape",
        2,
        "error: shape: tensor \"layers.0.w\" has shape [120, 512], its configuration asks for [512, 120]",
    ),
    (
        "transcribe sound -m overflow",
        2,
        "error: overflow: not a model file, or a damaged one: overflow computing buffer size from shape and/or element type",
    ),
    (
        "transcribe sound -m overlap",
        2,
        "error: overlap: not a model file, or a damaged one: invalid offset for tensor `layers.0.b`",
    ),
    ("transcribe sound -m type", 2, "error: type: tensor \"layers.0.b\" is I32, which is none of F32, F16, I8"),
    ("transcribe sound -m missing", 2, "error: missing: no tensor \"layers.0.r\""),
    ("transcribe sound -m no-normalisation", 2, "error: no-normalisation: no tensor \"cmvn.mean\""),
    ("transcribe sound -m nan", 2, "error: nan: tensor \"output.b\" holds NaN"),
    ("transcribe sound -m infinite", 2, "error: infinite: tensor \"output.b\" holds inf"),
    (
        "transcribe sound -m large",
        1,
        "error: sound: the model's scores are no finite numbers: it is damaged or diverged",
    ),
    ("transcribe sound -m hidden-0", 2, "error: hidden-0: model: hidden must lie between 1 and 16384"),
    ("transcribe sound -m hidden-huge", 2, "error: hidden-huge: model: hidden must lie between 1 and 16384"),
    (
        "transcribe sound -m hidden-other",
        2,
        "error: hidden-other: tensor \"layers.0.w\" has shape [512, 120], its configuration asks for [520, 120]",
    ),
    ("transcribe sound -m layers-0", 2, "error: layers-0: model: there must be between 1 and 64 layers"),
    ("transcribe sound -m layers-many", 2, "error: layers-many: model: there must be between 1 and 64 layers"),
    (
        "transcribe sound -m layers-large",
        2,
        "error: layers-large: model: 408047321128 parameters, more than the 1073741824 allowed",
    ),
    ("transcribe sound -m convolution", 2, "error: convolution: no tensor \"convolutions.0.w\""),
    ("transcribe sound -m subsample", 2, "error: subsample: model: more than 64 frames would become one"),
    ("transcribe sound -m gates", 2, "error: gates: its cells have other gates than this version's"),
    ("transcribe sound -m phones-twice", 2, "error: phones-twice: phone set \"arpabet39\": \"b\" comes twice"),
    (
        "transcribe sound -m phones-none",
        2,
        "error: phones-none: phone set \"arpabet39\": its first symbol is not \"<blank>\"",
    ),
    (
        "transcribe sound -m phones-more",
        2,
        "error: phones-more: tensor \"output.w\" has shape [40, 128], its configuration asks for [41, 128]",
    ),
    ("transcribe sound -m bins", 2, "error: bins: features: bins must lie between 1 and 512"),
    (
        "transcribe sound -m shift",
        2,
        "error: shift: features: frame_shift_ms must lie between 1 ms and frame_length_ms",
    ),
    (
        "transcribe sound -m window",
        2,
        "error: window: features: frame_length_ms must lie between two samples and 1000 ms",
    ),
    ("transcribe sound -m stack", 2, "error: stack: features: stack must lie between 1 and 16"),
    ("transcribe sound -m sound", 2, "error: sound: not a model file, or a damaged one: header too large"),
    ("transcribe sound -m archive", 2, "error: archive: not a model file, or a damaged one: invalid header length"),
    (
        "transcribe sound -m checkpoint",
        2,
        "error: checkpoint: the checkpoint of a training run; its model is model.safetensors beside it",
    ),
    ("transcribe sound -m folder", 2, "error: folder/model.safetensors: No such file or directory (os error 2)"),
    ("transcribe sound -m nowhere", 2, "error: nowhere: No such file or directory (os error 2)"),
    ("transcribe sound -m /dev/zero", 2, "error: /dev/zero: more than 256 MiB from a stream without an end"),
    ("info nan", 2, "error: nan: tensor \"output.b\" holds NaN"),
    (
        "info folder",
        2,
        "error: folder: a folder with neither a model nor a manifest in it\n\
         hint: a run's folder has model.safetensors, a corpus SPLIT.manifest.tsv",
    ),
    ("features sound --out a.npy --model nan", 2, "error: nan: tensor \"output.b\" holds NaN"),
];

#[test]
fn model_files() {
    let place = Place::new();
    files(&place);
    check(&place, CASES);
}
