//! `formant evaluate`: the error rate of a model on labelled recordings.
#![forbid(unsafe_code)]

use crate::support::{Place, data, tiny_model};
use formant::phones::Folding;
use serde_json::Value;

fn evaluate(place: &Place, more: &[&str]) -> Value {
    let (folder, words) = (data(""), ["evaluate", "--split", "samples", "--json", "--data"]);
    let ran = place.run(&[&words[..], &[&folder], more].concat()).fine();
    let [line] = ran.json().try_into().unwrap();
    line
}

#[test]
fn json_has_the_promised_keys() {
    let place = Place::new();
    let found = evaluate(&place, &["--by", "speaker"]);
    for key in ["per", "substitutions", "deletions", "insertions", "utterances", "reference_phones", "real_time_factor"]
    {
        assert!(found[key].is_number(), "{key}: {found}");
    }
    assert!(found["protocol"].as_str().is_some_and(|p| p.contains("timit39") && p.contains("greedy")), "{found}");
    assert_eq!((&found["model"], &found["utterances"]), (&"default".into(), &8.into()));
    let count = |of: &Value, key: &str| of[key].as_u64().unwrap();
    let errors =
        |of: &Value| ["substitutions", "deletions", "insertions"].iter().map(|key| count(of, key)).sum::<u64>();
    let reference = count(&found, "reference_phones");
    assert!((found["per"].as_f64().unwrap() - 100.0 * errors(&found) as f64 / reference as f64).abs() < 1e-9);
    let speakers = found["by_speaker"].as_object().unwrap();
    assert_eq!(speakers.len(), 8);
    assert_eq!(speakers.values().map(errors).sum::<u64>(), errors(&found));
    assert_eq!(speakers.values().map(|s| count(s, "reference_phones")).sum::<u64>(), reference);
    let pairs = found["confusions"].as_array().unwrap();
    assert!(
        pairs
            .iter()
            .all(|pair| pair["count"].as_u64().is_some_and(|n| n > 0) && pair["reference"] != pair["hypothesis"])
    );
    let interval: Vec<f64> = found["interval"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert!(interval[0] <= found["per"].as_f64().unwrap() && found["per"].as_f64().unwrap() <= interval[1]);
}

#[test]
fn the_text_says_the_same() {
    let (place, folder) = (Place::new(), data(""));
    let found = evaluate(&place, &[]);
    let ran = place.run(&["evaluate", "-d", &folder, "-s", "samples", "--by", "speaker"]).fine();
    let rate = format!("phone error rate  {:.2} %\n", found["per"].as_f64().unwrap());
    let speakers = ran.out.lines().skip_while(|line| !line.starts_with("speaker ")).count();
    let says = ran.out.starts_with(&rate);
    ran.holds(says, &rate).holds(speakers == 9, "a line a speaker");
}

#[test]
fn options_change_what_they_should() {
    let place = Place::new();
    let counts = |found: &Value| {
        ["substitutions", "deletions", "insertions", "reference_phones"].map(|key| found[key].as_u64().unwrap())
    };
    let plain = counts(&evaluate(&place, &["--threads", "1"]));
    assert_eq!(plain, counts(&evaluate(&place, &["--threads", "2"])), "threads change nothing");
    let unfolded = counts(&evaluate(&place, &["--fold", "none"]));
    assert_eq!(unfolded[3], plain[3], "no label of the samples is dropped by folding");
    assert!(unfolded[..3].iter().sum::<u64>() >= plain[..3].iter().sum(), "folding forgives");
    assert_eq!(evaluate(&place, &["--limit", "2"])["utterances"], 2);
    assert!(evaluate(&place, &["--beam", "8"])["protocol"].as_str().unwrap().contains("beam search of width 8"));
}

#[test]
fn the_samples_are_labelled_as_they_sound() {
    // The protocol of the figure in the README: the same folding that a user gets without an option.
    let found = evaluate(&Place::new(), &[]);
    assert_eq!(found["reference_phones"], reference_phones());
}

fn reference_phones() -> u64 {
    let folding = Folding::named("timit39").unwrap();
    let text = std::fs::read_to_string(data("samples.manifest.tsv")).unwrap();
    text.lines().skip(1).map(|line| folding.fold_text(line.split('\t').nth(4).unwrap()).len() as u64).sum()
}

#[test]
fn a_model_of_ones_own_is_measured() {
    let (place, model, folder) = (Place::new(), tiny_model(), data("tiny"));
    let ran = place.run(&["evaluate", "-d", &folder, "-s", "train", "-m", &model, "--json"]).fine();
    let found = &ran.json()[0];
    assert_eq!((&found["per"], &found["model"]), (&0.0.into(), &"model.safetensors".into()), "{}", ran.report());
}

#[test]
fn kaldi_folders_are_read() {
    let place = Place::new();
    place.write("test/wav.scp", format!("u1 {}\n", data("samples/so0120.wav")));
    place.write("test/text", "u1 dh ah\n");
    place.write("test/utt2spk", "u1 anna\n");
    let ran = place.run(&["evaluate", "-d", ".", "-s", "test", "--by", "speaker", "--json"]).fine();
    let found = &ran.json()[0];
    assert_eq!((&found["reference_phones"], found["by_speaker"]["anna"].is_object()), (&2.into(), true));
}

#[test]
fn sound_that_is_missing_makes_the_rate_suspect() {
    let place = Place::new();
    place.write("cut.wav", &std::fs::read(data("samples/so0120.wav")).unwrap()[..40_000]);
    place.write("x.manifest.tsv", "path\tphones\ncut.wav\tdh ah\n");
    let ran = place.run(&["evaluate", "-d", ".", "-s", "x", "--json"]).ends(3);
    let said = "formant: warning: ./cut.wav: truncated: the header promises 102400 bytes of sound, 39956 are there\n";
    assert_eq!(ran.err, said, "{}", ran.report());
}
