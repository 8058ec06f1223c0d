//! `formant align`: known words and phones to times, in the formats of the programs that people open them with.
#![forbid(unsafe_code)]

use crate::support::{Place, data};

const TEXT: &str = "Fans need to have a little faith.";
const PHONES: &str = "f ae n z n iy d t uw hh ae v ah l ih t l f ey th";

#[test]
fn words_and_phones_have_times_and_scores() {
    let ran = Place::new().run(&["align", &data("samples/so1293.wav"), TEXT, "-f", "json"]).fine();
    let record = &ran.json()[0];
    let list = |key: &str| record[key].as_array().cloned().unwrap_or_default();
    let (words, phones) = (list("words"), list("phones"));
    let said: Vec<_> = words.iter().map(|w| w["word"].as_str().unwrap_or_default()).collect();
    assert_eq!(said, ["Fans", "need", "to", "have", "a", "little", "faith"], "{}", ran.report());
    let spans = |list: &[serde_json::Value]| -> Vec<(f64, f64)> {
        list.iter().map(|x| (x["start"].as_f64().unwrap_or(-1.0), x["end"].as_f64().unwrap_or(-1.0))).collect()
    };
    let seconds = record["seconds"].as_f64().unwrap_or_default();
    for spans in [spans(&words), spans(&phones)] {
        assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{spans:?}");
        assert!(spans.iter().all(|(start, end)| 0.0 <= *start && start < end && *end <= seconds), "{spans:?}");
    }
    let good = phones.iter().filter(|phone| phone["score"].as_f64() > Some(80.0)).count();
    assert!(good * 4 > phones.len() * 3, "most of it was said{}", ran.report());
    assert_eq!(record["suspect"], false);
}

#[test]
fn formats_follow_the_name_of_the_file() {
    let place = Place::new();
    let file = data("samples/so1293.wav");
    for name in ["a.TextGrid", "a.eaf", "a.ctm", "a.phn", "a.srt", "a.vtt", "a.json"] {
        place.run(&["align", &file, TEXT, "-o", name]).fine();
    }
    let read = |name: &str| std::fs::read_to_string(place.path(name)).expect("it was written");
    assert!(read("a.TextGrid").contains("name = \"words\"") && read("a.TextGrid").contains("text = \"th\""));
    assert!(read("a.eaf").contains("TIER_ID=\"phones\""));
    assert!(read("a.ctm").lines().all(|line| line.starts_with("so1293.wav 1 ")) && read("a.ctm").lines().count() == 7);
    assert!(read("a.srt").contains("Fans need to have a little faith"));
    assert!(read("a.vtt").starts_with("WEBVTT\n"));
    // TIMIT's: samples, without a gap, silences named; the words beside.
    let lines: Vec<Vec<String>> =
        read("a.phn").lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    assert!(lines[0][0] == "0" && lines.windows(2).all(|pair| pair[0][1] == pair[1][0]));
    assert!(lines.first().is_some_and(|l| l[2] == "h#") && read("a.WRD").lines().count() == 7);
    let ipa = place.run(&["align", &file, PHONES, "--phones", "--names", "ipa", "-f", "ctm"]).fine();
    assert!(ipa.out.contains(" θ ") && ipa.out.lines().count() == 20, "{}", ipa.report());
}

#[test]
fn words_that_no_dictionary_has() {
    let place = Place::new();
    let file = data("samples/so1293.wav");
    let ran = place.run(&["align", &file, "Fans need to have a lyttel faith", "-f", "json"]).ends(0);
    assert!(ran.err.contains("not in the dictionary") && ran.err.contains("lyttel"), "{}", ran.report());
    assert_eq!(ran.json()[0]["words"][5]["known"], false);
    place.write("own.dict", "lyttel L IH1 T AH0 L\nlyttel(2) l ih d l\n");
    let ran = place.run(&["align", &file, "Fans need to have a lyttel faith", "-f", "json", "--lexicon", "own.dict"]);
    assert_eq!(ran.fine().json()[0]["words"][5]["known"], true);
    place.write("bad.dict", "lyttel\n");
    let ran = place.run(&["align", &file, "x", "--lexicon", "bad.dict"]).ends(2);
    assert_eq!(ran.err, "formant: error: bad.dict:1: the word \"lyttel\" has no phones\n");
}

#[test]
fn a_text_that_was_never_spoken_is_suspect() {
    let text = "Completely different sentences bring other quantities of consonants";
    let ran = Place::new().run(&["align", &data("samples/so1293.wav"), text, "-f", "ctm"]).ends(3);
    assert!(ran.err.contains("this is hardly what is said there"), "{}", ran.report());
}

#[test]
fn what_cannot_be_aligned_is_one_line() {
    let place = Place::new();
    let file = data("samples/so1293.wav");
    for (words, expected) in [
        (vec!["align", &file], "no text to align"),
        (vec!["align", &file, " .. "], "there is no word to align"),
        (vec!["align", &file, "f qq", "--phones"], "unknown phone \"qq\""),
        (vec!["align", "missing.wav", "x"], "missing.wav: "),
        (vec!["align"], "required"),
    ] {
        let ran = place.run(&words).ends(2);
        assert!(ran.err.contains(expected) && ran.out.is_empty(), "{expected}{}", ran.report());
    }
    let long = "word ".repeat(200);
    let ran = place.run(&["align", &file, &long]).ends(2);
    assert!(ran.err.contains("labels need") && ran.err.lines().count() == 1, "{}", ran.report());
}

#[test]
fn a_corpus_is_aligned_into_a_folder() {
    let place = Place::new();
    let tiny = data("tiny");
    let ran = place.run(&["align", "-d", &tiny, "-s", "dev", "--phones", "-o", "out"]).ends(0);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.starts_with("ok\taudio/")), "{}", ran.report());
    assert_eq!(ran.err, "formant: 3 utterances: 3 aligned, 0 suspect, 0 failed\n");
    for line in lines {
        let name = line.split('\t').nth(1).expect("a name").replace(".ogg", ".TextGrid");
        assert!(place.path("out").join(name).is_file());
    }
    place.write("x.manifest.tsv", format!("path\tphones\ttext\n{tiny}/audio/none.ogg\tk\tx\n"));
    let ran = place.run(&["align", "-d", ".", "-s", "x", "-o", "out"]).ends(1);
    assert!(ran.out.starts_with("failed\t") && ran.err.contains("0 aligned, 0 suspect, 1 failed"), "{}", ran.report());
}
