//! `formant train`: from labelled recordings to a model, and what a run leaves behind.
#![forbid(unsafe_code)]

use crate::support::{Place, TINY, data, tiny_model, tiny_run};
use formant::model::LayerCell;
use serde_json::Value;

fn words<'a>(data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "--data", data, "--out", out], &TINY[..], more].concat()
}

#[test]
fn a_small_network_learns_eight_sentences_by_heart() {
    let (place, data) = (Place::new(), data("tiny"));
    let ran = place.run(&words(&data, "run", &["--threads", "2"])).ends(0);
    assert_eq!(ran.out, "run/model.safetensors\n", "{}", ran.report());
    if !cfg!(debug_assertions) {
        assert!(ran.seconds < 60.0, "{}", ran.report());
    }
    let ran = place.run(&["evaluate", "--data", &data, "--split", "train", "--model", "run", "--json"]).fine();
    assert_eq!((&ran.json()[0]["per"], &ran.json()[0]["utterances"]), (&0.0.into(), &8.into()), "{}", ran.report());

    // What it has learnt can be used: every sentence comes out as its label.
    let manifest = std::fs::read_to_string(format!("{data}/train.manifest.tsv")).unwrap();
    for line in manifest.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let file = format!("{data}/{}", columns[0]);
        let said = place.run(&["transcribe", "--model", "run", &file, "--fold", "timit39"]).fine().out;
        assert_eq!(said.trim_end(), columns[4].replace("ao", "aa"), "{}", columns[3]);
    }
}

#[test]
fn a_run_leaves_everything_that_was_promised() {
    let run = tiny_run();
    let text = |name: &str| std::fs::read_to_string(run.join(name)).unwrap();
    let records: Vec<Value> = text("metrics.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let epochs: Vec<&Value> = records.iter().filter(|r| r["event"] == "epoch").collect();
    assert_eq!(epochs.len(), 60);
    for (n, epoch) in epochs.iter().enumerate() {
        assert_eq!(epoch["epoch"], n + 1);
        let keys = ["loss", "dev_loss", "dev_per", "blank_fraction", "empty_fraction", "learning_rate", "seconds"];
        assert!(keys.iter().all(|key| epoch[*key].is_number()), "{epoch}");
    }
    assert!(epochs[59]["loss"].as_f64() < epochs[0]["loss"].as_f64());
    assert!(records.iter().any(|r| r["event"] == "step" && r["gradient_norm"].is_number()));
    let curves = text("curves.svg");
    assert!(curves.starts_with("<svg") && curves.trim_end().ends_with("</svg>"));
    assert!(text("recipe.toml").contains("learning_rate = 0.01\n"));
    assert_eq!(text("left-out.tsv"), "utterance\treason\n");
    let events: Vec<_> = std::fs::read_dir(run.join("tensorboard")).unwrap().map(|e| e.unwrap()).collect();
    assert!(events.len() == 1 && events[0].file_name().to_string_lossy().starts_with("events.out.tfevents."));
    assert!(events[0].metadata().unwrap().len() > 60 * 50);
    let hidden = |name: &str| name.starts_with('.') && name != ".lock";
    assert!(std::fs::read_dir(run).unwrap().all(|e| !hidden(&e.unwrap().file_name().to_string_lossy())));
}

#[test]
fn the_same_words_give_the_same_bytes_and_another_seed_others() {
    let (place, data) = (Place::new(), data("tiny"));
    let model = |out: &str| std::fs::read(place.path(out).join("model.safetensors")).unwrap();
    let few = ["--set", "train.epochs=3"];
    place.run(&words(&data, "one", &[&few[..], &["--threads", "1"]].concat())).ends(0);
    place.run(&words(&data, "two", &[&few[..], &["--threads", "2"]].concat())).ends(0);
    place.run(&words(&data, "other", &[&few[..], &["--seed", "2"]].concat())).ends(0);
    assert!(model("one") == model("two"), "threads change nothing");
    assert!(model("one") != model("other"), "the seed matters");
    place.run(&["train", "--data", &data, "--out", "again", "--recipe", "one/recipe.toml"]).ends(0);
    assert!(model("one") == model("again"), "the recipe that a run writes down is the recipe it ran");
}

#[test]
fn every_cell_trains_and_its_model_works() {
    let (place, data) = (Place::new(), data("tiny"));
    for cell in LayerCell::all() {
        let name = cell.name();
        // A cell that slides over the mel axis needs it, and hands on to one that does not.
        let first = format!("cell=\"{name}\",hidden={}", if cell.slides() { 3 } else { 32 });
        let first = if cell.projects() { format!("{first},projection=12") } else { first };
        let (second, stack) = match cell.slides() {
            true => ("hidden=32,heads=2,subsample=3".to_owned(), "features.stack=1"),
            false => (format!("cell=\"{name}\",hidden=32,heads=2"), "features.stack=3"),
        };
        let layers = format!("[{{{first}}},{{{second}}}]");
        let layers = format!("model.layers={layers}");
        let sets = ["--set", &layers, "--set", stack, "--set", "train.epochs=8", "--set", "train.learning_rate=3e-3"];
        place.run(&words(&data, name, &sets)).ends(0);
        let log = std::fs::read_to_string(place.path(name).join("metrics.jsonl")).unwrap();
        let epochs = log.lines().filter(|line| line.contains("\"event\":\"epoch\""));
        let loss = |line| serde_json::from_str::<Value>(line).unwrap()["dev_loss"].as_f64().unwrap();
        let losses: Vec<f64> = epochs.map(loss).collect();
        // The best epoch's model is what a run gives; the mLSTM's loss leaps on so few sentences.
        let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(losses.len() == 8 && best < 0.8 * losses[0], "{name}: {losses:?}");
        let ran = place.run(&["info", name]).fine();
        assert!(ran.out.contains(&format!("layer 1         {name}, ")), "{}", ran.report());
        assert!(ran.out.contains(" 32 units, both directions, 2 heads"), "{}", ran.report());
        place.run(&["transcribe", "--model", name, &format!("{data}/audio/024270313.ogg")]).fine();
    }
}

#[test]
fn a_model_learns_further() {
    let (place, data) = (Place::new(), data("tiny"));
    let gently = ["--set", "train.epochs=1", "--set", "train.learning_rate=1e-6"];
    let model = tiny_model();
    let words = ["train", "--data", &data, "--from", &model];
    place.run(&[&words[..], &["--out", "further"], &gently[..]].concat()).ends(0);
    let ran = place.run(&["evaluate", "--data", &data, "--split", "train", "--model", "further", "--json"]).fine();
    assert_eq!(ran.json()[0]["per"], 0.0, "it knows what it knew: {}", ran.report());
    let ran = place.run(&["info", "further"]).fine();
    assert!(ran.out.contains("begun from      model.safetensors, trained on tiny train\n"), "{}", ran.report());

    // With other phones, all layers but the last are the model's.
    let few = ["--set", "data.phones=data", "--out", "few"];
    place.run(&[&words[..], &few[..], &gently[..]].concat()).ends(0);
    // The built-in model has a name instead of a file.
    place.run(&[&["train", "--data", &data, "--from", "default", "--out", "own"], &gently[..]].concat()).ends(0);
    let ran = place.run(&["info", "own"]).fine();
    assert!(ran.out.contains("begun from      default, trained on "), "{}", ran.report());
    let other = ["--set", "features.bins=20", "--out", "other"];
    let ran = place.run(&[&words[..], &other[..]].concat()).ends(2);
    let reason = "its features are not the recipe's: leave [features] and [model] to the model";
    assert!(ran.err.ends_with(&format!("error: model.safetensors: {reason}\n")), "{}", ran.report());
}

#[test]
fn what_cannot_be_trained_on_is_named_and_left_out() {
    let place = Place::new();
    let audio = data("tiny/audio/024270313.ogg");
    let header = "path\tphones\n";
    let good = format!("{audio}\tb ah t dh ey\n");
    let long = format!("{audio}\t{}\n", "b ah ".repeat(200));
    place.write("train.manifest.tsv", format!("{header}{good}{long}gone.ogg\tb\n"));
    place.write("dev.manifest.tsv", format!("{header}{good}"));
    let ran = place.run(&words(".", "run", &["--set", "train.epochs=1", "--set", "data.dev=dev"])).ends(0);
    let warnings: Vec<&str> = ran.err.lines().filter(|line| line.contains("warning")).collect();
    let expected = [
        format!("formant: warning: left out: {audio}: 400 labels need 400 frames, but there are only 64"),
        "formant: warning: left out: ./gone.ogg: No such file or directory (os error 2)".to_owned(),
    ];
    assert_eq!(warnings, expected, "{}", ran.report());
    let table = std::fs::read_to_string(place.path("run/left-out.tsv")).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
}
