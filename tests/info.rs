//! `formant info`: what a file is.
#![forbid(unsafe_code)]

use crate::support::{Place, data, tiny_run};
use formant::train::Recipe;
use serde_json::Value;
use std::path::Path;

fn json(file: &[&str]) -> Value {
    let ran = Place::new().run(&[&["info", "--json"], file].concat()).fine();
    let [line] = ran.json().try_into().unwrap();
    line
}

fn text(file: &str) -> String {
    Place::new().run(&["info", file]).fine().out
}

#[test]
fn the_built_in_model_tells_where_it_comes_from() {
    let found = json(&[]);
    assert_eq!((&found["kind"], &found["name"]), (&"model".into(), &"default".into()));
    assert!(found["parameters"].as_u64().is_some_and(|n| n > 1000));
    assert_eq!(found["phones"].as_array().map(Vec::len), Some(39));
    let card = &found["card"];
    assert!(card["trained_on"].as_array().is_some_and(|sets| !sets.is_empty()), "{card}");
    assert!(Recipe::parse(card["recipe"].as_str().unwrap(), Path::new("card")).is_ok());
    let said = Place::new().run(&["info"]).fine().out;
    for line in ["model ", "layer 1 ", "front end ", "phones ", "trained on ", "licence "] {
        assert!(said.lines().any(|l| l.starts_with(line)), "{line:?} in\n{said}");
    }
}

#[test]
fn a_run_and_its_files_are_told_apart() {
    let run = tiny_run();
    let word = |name: &str| run.join(name).to_string_lossy().into_owned();
    let model = json(&[&word("model.safetensors")]);
    assert_eq!(json(&[&run.to_string_lossy()]), model, "a run's folder stands for its model");
    assert_eq!((&model["kind"], &model["card"]["dev_per"]), (&"model".into(), &0.0.into()));
    assert_eq!(model["card"]["utterances"], 8);
    let recipe = text(&word("recipe.toml"));
    assert_eq!(recipe, std::fs::read_to_string(run.join("recipe.toml")).unwrap(), "a recipe as run is complete");
    let found = json(&[&word("recipe.toml")]);
    assert_eq!((&found["kind"], &found["recipe"]["train"]["epochs"]), (&"recipe".into(), &60.into()));
}

#[test]
fn the_committed_recipes_are_recipes() {
    for name in ["plain", "default", "standard", "tiny", "graves2013-ctc-3l-250h", "graves2013-ctc-5l-250h"] {
        let path = format!("{}/recipes/{name}/recipe.toml", env!("CARGO_MANIFEST_DIR"));
        let shown = Recipe::parse(&text(&path), Path::new(name)).unwrap();
        assert_eq!(shown, Recipe::read(Path::new(&path)).unwrap(), "what is shown gives the same run");
    }
}

#[test]
fn manifests_and_folders_of_them_are_counted() {
    let found = json(&[&data("tiny/train.manifest.tsv")]);
    let of = |key: &str| found[key].as_u64().unwrap();
    assert_eq!((&found["kind"], of("utterances"), of("speakers")), (&"manifest".into(), 8, 8));
    assert_eq!((of("missing_audio"), of("without_length")), (0, 0));
    assert_eq!(of("phones"), found["symbols"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>());
    let corpus = json(&[&data("tiny")]);
    assert_eq!(corpus["kind"], "corpus");
    assert_eq!(
        (&corpus["splits"]["train"]["utterances"], &corpus["splits"]["dev"]["utterances"]),
        (&8.into(), &3.into())
    );
    let said = text(&data("tiny"));
    assert!(said.lines().any(|l| l.starts_with("split ") && l.ends_with(" train")), "{said}");
}

#[test]
fn recordings_are_described() {
    for (name, format, rate, frames) in [
        ("so0120.wav", "WAV", 16000, 51200),
        ("so2448.ogg", "Ogg", 16000, 49280),
        ("so2897-8k.flac", "FLAC", 8000, 34800),
        ("an4-mjgk-44k-stereo.mp3", "MP3", 44100, 185_220),
    ] {
        let found = json(&[&data(&format!("samples/{name}"))]);
        assert_eq!((&found["kind"], &found["format"]), (&"audio".into(), &format.into()), "{name}");
        assert_eq!((&found["sample_rate"], &found["frames"]), (&rate.into(), &frames.into()), "{name}");
        assert!(found["peak"].as_f64().is_some_and(|peak| peak > 0.1 && peak <= 1.5), "{name}");
    }
}
