//! The model file: safetensors with one metadata key, `formant`, whose JSON says everything that is not a number.
//!
//! Tensors are named as [`super::ModelConfig::parameters`] says, and `cmvn.mean`, `cmvn.inv_std` `[frame_dim]`. A weight
//! may be stored as f32, as f16, or as 8-bit integers with one f32 scale a row, `NAME.scale`. Reading trusts
//! nothing: every name, type and shape is compared with what the configuration asks for before a number is used.
#![forbid(unsafe_code)]

use super::Model;
use super::card::Card;
use super::config::ModelConfig;
use super::network::Network;
use super::parameters::Parameter;
use crate::error::{Error, Result};
use crate::features::{Cmvn, FrontEnd};
use crate::nn::op;
use crate::nn::params::Params;
use crate::phones::PhoneSet;
use candle_core::Device;
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The format that this version writes, and the newest that it reads.
const FORMAT: u64 = 1;
const KEY: &str = "formant";

/// How weights are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// As they are, four bytes each.
    #[default]
    F32,
    /// Two bytes each.
    F16,
    /// One byte each, and a scale a row; biases stay f32.
    Int8,
}

#[derive(Serialize, Deserialize)]
struct Phones {
    name: String,
    symbols: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u64,
    phones: Phones,
    front_end: FrontEnd,
    model: ModelConfig,
    /// The gates of each layer's cell, in order: compared, so that nobody has to guess.
    gates: Vec<Vec<String>>,
    card: Card,
}

fn gates(config: &ModelConfig) -> Vec<Vec<String>> {
    config.layers.iter().map(|l| l.cell.gates().iter().map(|g| (*g).to_owned()).collect()).collect()
}

/// A tensor about to be written.
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Entry {
    fn f32(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
    }

    fn f16(shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        Self { dtype: Dtype::F16, shape: shape.to_vec(), bytes }
    }
}

/// Rows to 8-bit integers, and one scale a row.
fn quantize(values: &[f32], columns: usize) -> (Vec<u8>, Vec<f32>) {
    let mut scales = Vec::new();
    let mut bytes = Vec::with_capacity(values.len());
    for row in values.chunks_exact(columns) {
        let scale = row.iter().fold(0.0_f32, |m, v| m.max(v.abs())) / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        bytes.extend(row.iter().map(|v| (v * inverse).round().clamp(-127.0, 127.0) as i8 as u8));
        scales.push(scale);
    }
    (bytes, scales)
}

/// The bytes of the file.
pub fn bytes(model: &Model) -> Result<Vec<u8>> {
    let header = Header {
        format: FORMAT,
        phones: Phones { name: model.phones.name().to_owned(), symbols: model.phones.symbols().to_vec() },
        front_end: model.front.clone(),
        model: model.config().clone(),
        gates: gates(model.config()),
        card: model.card.clone(),
    };
    let failed = |e: &dyn std::fmt::Display| Error::model(&model.name, format!("cannot be written: {e}"));
    let mut entries = BTreeMap::new();
    for (name, var) in model.network.params().iter() {
        let (shape, values) = (var.dims(), op::to_vec::<f32>(var)?);
        match model.storage {
            Storage::Int8 if shape.len() > 1 => {
                let (bytes, scales) = quantize(&values, shape[shape.len() - 1]);
                entries.insert(name.to_owned(), Entry { dtype: Dtype::I8, shape: shape.to_vec(), bytes });
                entries.insert(format!("{name}.scale"), Entry::f32(&[scales.len()], &scales));
            }
            Storage::F16 => drop(entries.insert(name.to_owned(), Entry::f16(shape, &values))),
            _ => drop(entries.insert(name.to_owned(), Entry::f32(shape, &values))),
        }
    }
    for (name, values) in [("cmvn.mean", &model.cmvn.mean), ("cmvn.inv_std", &model.cmvn.inv_std)] {
        entries.insert(name.to_owned(), Entry::f32(&[values.len()], values));
    }
    let views = entries
        .iter()
        .map(|(name, e)| Ok((name, TensorView::new(e.dtype, e.shape.clone(), &e.bytes).map_err(|e| failed(&e))?)))
        .collect::<Result<Vec<_>>>()?;
    let header = serde_json::to_string(&header).map_err(|e| failed(&e))?;
    safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), header)]))).map_err(|e| failed(&e))
}

/// A model from the bytes of its file.
pub fn read(bytes: &[u8], path: &Path) -> Result<Model> {
    let bad = |reason: String| Error::model(path, reason);
    let not_a_model = |e: &dyn std::fmt::Display| bad(format!("not a model file, or a damaged one: {e}"));
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| not_a_model(&e))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| not_a_model(&e))?;
    let entries = metadata.metadata().clone().unwrap_or_default();
    let header = parse_header(entries.get(KEY).ok_or_else(|| bad(foreign(&entries)))?).map_err(bad)?;
    let inside = |e: Error| bad(e.to_string());
    header.front_end.validate().map_err(inside)?;
    let phones = PhoneSet::from_symbols(&header.phones.name, &header.phones.symbols).map_err(inside)?;
    let classes = phones.classes();
    header.model.validate(&header.front_end, classes).map_err(inside)?;
    if header.gates != gates(&header.model) {
        return Err(bad("its cells have other gates than this version's".to_owned()));
    }
    let storage = match tensors.tensor("output.w").map(|t| t.dtype()) {
        Ok(Dtype::I8) => Storage::Int8,
        Ok(Dtype::F16) => Storage::F16,
        _ => Storage::F32,
    };
    let mut params = Params::default();
    for Parameter { name, shape, .. } in header.model.parameters(header.front_end.dim(), classes) {
        let values = weight(&tensors, &name, &shape).map_err(bad)?;
        params.insert_vec(name, values, &shape, &Device::Cpu)?;
    }
    let vector = |name: &str| weight(&tensors, name, &[header.front_end.frame_dim()]).map_err(bad);
    let cmvn = Cmvn { mean: vector("cmvn.mean")?, inv_std: vector("cmvn.inv_std")? };
    Ok(Model {
        name: path.display().to_string(),
        network: Network::from_params(&header.model, params),
        front: header.front_end,
        cmvn,
        phones,
        card: header.card,
        storage,
    })
}

/// Why a file of tensors is no model.
fn foreign(entries: &HashMap<String, String>) -> String {
    match entries.contains_key("formant-checkpoint") {
        true => "the checkpoint of a training run; its model is model.safetensors beside it".to_owned(),
        false => format!("tensors, but not formant's: it has no {KEY:?} entry in its header"),
    }
}

fn parse_header(text: &str) -> Result<Header, String> {
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    let damaged = |e: serde_json::Error| format!("a damaged header: {e}");
    let version: Version = serde_json::from_str(text).map_err(damaged)?;
    match version.format {
        0 => return Err("a damaged header: there is no format 0".to_owned()),
        format if format > FORMAT => {
            return Err(format!("written by a newer formant (format {format}; this version reads up to {FORMAT})"));
        }
        _ => {}
    }
    serde_json::from_str(text).map_err(damaged)
}

/// The numbers of a tensor, whatever it is stored as.
fn weight(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
    let find = |name: &str, shape: &[usize]| {
        let tensor = tensors.tensor(name).map_err(|_| format!("no tensor {name:?}"))?;
        if tensor.shape() != shape {
            return Err(format!(
                "tensor {name:?} has shape {:?}, its configuration asks for {shape:?}",
                tensor.shape()
            ));
        }
        Ok(tensor)
    };
    let tensor = find(name, shape)?;
    let values: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => floats(tensor.data()),
        Dtype::F16 => tensor.data().as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::I8 if shape.len() > 1 => {
            let columns = shape[shape.len() - 1];
            let scales = find(&format!("{name}.scale"), &[shape.iter().product::<usize>() / columns])?;
            if scales.dtype() != Dtype::F32 {
                return Err(format!("tensor \"{name}.scale\" is {:?}, not F32", scales.dtype()));
            }
            let rows = tensor.data().chunks_exact(columns).zip(floats(scales.data()));
            rows.flat_map(|(row, scale)| row.iter().map(move |b| f32::from(*b as i8) * scale)).collect()
        }
        other => return Err(format!("tensor {name:?} is {other:?}, which is none of F32, F16, I8")),
    };
    match values.iter().find(|v| !v.is_finite()) {
        Some(v) => Err(format!("tensor {name:?} holds {v}")),
        None => Ok(values),
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LayerConfig;
    use proptest::prelude::*;

    fn model(storage: Storage) -> Model {
        let front = FrontEnd { bins: 4, ..FrontEnd::default() };
        let config =
            ModelConfig { layers: vec![LayerConfig { hidden: 3, ..Default::default() }; 2], ..Default::default() };
        let phones = PhoneSet::arpabet39();
        let network = Network::new(&config, &front, phones.classes(), 1, &Device::Cpu).expect("a network");
        let card = Card { description: "small".to_owned(), dev_per: Some(12.5), ..Card::default() };
        Model { name: "x".to_owned(), network, cmvn: Cmvn::identity(4), front, phones, card, storage }
    }

    fn values(model: &Model) -> Vec<f32> {
        model.network.params().iter().flat_map(|(_, v)| op::to_vec::<f32>(v).expect("numbers")).collect()
    }

    #[test]
    fn comes_back_as_it_was() -> Result<()> {
        for (storage, bound) in [(Storage::F32, 0.0), (Storage::F16, 1e-3), (Storage::Int8, 5e-3)] {
            let model = model(storage);
            let bytes = bytes(&model)?;
            let back = read(&bytes, Path::new("x"))?;
            assert_eq!((&back.front, &back.card, &back.phones), (&model.front, &model.card, &model.phones));
            assert_eq!(back.storage, storage);
            assert!(values(&back).iter().zip(values(&model)).all(|(a, b)| (a - b).abs() <= bound));
            assert_eq!(bytes, super::bytes(&back)?, "written again, the same bytes");
        }
        Ok(())
    }

    #[test]
    fn files_that_lie_are_refused_with_a_sentence() -> Result<()> {
        let good = bytes(&model(Storage::F32))?;
        // Same length, so that the safetensors header stays true.
        let changed = |from: &str, to: &str| {
            let at = good.windows(from.len()).position(|w| w == from.as_bytes()).expect("there");
            let mut bytes = good.clone();
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            read(&bytes, Path::new("m")).err().map(|e| e.to_string()).unwrap_or_default()
        };
        let error = changed(r#"\"format\":1"#, r#"\"format\":7"#);
        assert_eq!(error, "m: written by a newer formant (format 7; this version reads up to 1)");
        let error = changed(r#"\"hidden\":3"#, r#"\"hidden\":4"#);
        assert_eq!(error, "m: tensor \"layers.0.w\" has shape [24, 4], its configuration asks for [32, 4]");
        assert!(changed(r#"layers.0.r"#, r#"layers.0.x"#).contains("no tensor \"layers.0.r\""));
        assert!(changed(r#"\"i\""#, r#"\"q\""#).contains("other gates"));
        let error = read(b"RIFF....WAVE", Path::new("m")).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.starts_with("m: not a model file, or a damaged one: "), "{error}");
        assert!(read(&good[..good.len() - 1], Path::new("m")).is_err());
        Ok(())
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(at in 0usize..20_000, value: u8, cut in 0usize..20_000) {
            let mut bytes = bytes(&model(Storage::Int8)).expect("bytes");
            let len = bytes.len();
            bytes[at % len] = value;
            let _ = read(&bytes, Path::new("m"));
            let _ = read(&bytes[..cut % len], Path::new("m"));
        }
    }
}
