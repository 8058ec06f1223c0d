//! Words and language models: `formant lm`, `transcribe --lm`, `--words` and what belongs to it.
#![forbid(unsafe_code)]

use crate::support::{Place, data};

#[test]
fn a_language_model_is_made_and_measured() {
    let place = Place::new();
    let tiny = data("tiny");
    let made = place.run(&["lm", "-d", &tiny, "-o", "p.arpa.gz", "--order", "3", "--test", "dev", "--json"]).ends(0);
    let record = &made.json()[0];
    assert_eq!(record["order"], 3);
    let perplexity = |of: usize| record["perplexities"][of]["perplexity"].as_f64().unwrap_or_default();
    assert!(perplexity(0) > 1.0 && perplexity(0) < 10.0 && record["perplexities"][1]["of"] == "dev");
    let again = place.run(&["lm", "--lm", "p.arpa.gz", "-d", &tiny, "-s", "dev", "--json"]).fine();
    let same = again.json()[0]["perplexities"][0]["perplexity"].as_f64().unwrap_or_default();
    assert!((same - perplexity(1)).abs() < 1e-3, "{}", again.report());
    // The text is plain where the name is.
    place.run(&["lm", "-d", &tiny, "-o", "p.arpa"]).ends(0);
    assert!(std::fs::read_to_string(place.path("p.arpa")).expect("text").starts_with("\\data\\\nngram 1="));
    place.write("text", "Hello, there.\nHello you!\n");
    let words = place.run(&["lm", "--text", "text", "--unit", "words", "-o", "w.arpa", "--order", "2"]).ends(0);
    assert!(words.out.contains("perplexity") && words.err.contains("too small"), "{}", words.report());
    assert!(std::fs::read_to_string(place.path("w.arpa")).expect("text").contains("\thello there"));
}

#[test]
fn wrong_models_are_one_line() {
    let place = Place::new();
    let file = data("samples/so1293.wav");
    place.write("bad.arpa", "no model\n");
    place.write("words.arpa", "\\data\\\nngram 1=1\n\\1-grams:\n-1 hello\n\\end\\\n");
    for (words, expected) in [
        (vec!["transcribe", &file, "--lm", "bad.arpa"], "bad.arpa:1: no ARPA file: no line \\data\\"),
        (vec!["transcribe", &file, "--lm", "missing.arpa"], "missing.arpa: "),
        (vec!["transcribe", &file, "--lm", "words.arpa"], "words.arpa: the language model knows none of the phones"),
        (vec!["transcribe", &file, "--lm-weight", "1"], "there is no language model to weigh"),
        (vec!["transcribe", &file, "--decoder", "greedy", "--words"], "the greedy decoder has no beam"),
        (
            vec!["transcribe", &file, "--words", "--hotword", "xyzzyx"],
            "the hotword \"xyzzyx\" is not in the dictionary",
        ),
        (vec!["transcribe", &file, "--nbest", "3"], "--nbest is for JSON and for beam search"),
        (vec!["lm", "--text", "bad.arpa"], "--out"),
    ] {
        let ran = place.run(&words).ends(2);
        assert!(ran.err.contains(expected) && ran.out.is_empty(), "{expected}{}", ran.report());
    }
}

#[test]
fn words_are_heard_with_the_dictionary_inside() {
    let place = Place::new();
    let file = data("samples/an4-fbbh.wav");
    let ran = place.run(&["transcribe", "--words", &file]).fine();
    assert!(ran.out.contains("three six three one two"), "{}", ran.report());
    let record = &place.run(&["transcribe", "--words", &file, "-f", "json", "--nbest", "5"]).fine().json()[0];
    let words = record["words"].as_array().cloned().unwrap_or_default();
    let text: Vec<&str> = words.iter().filter_map(|word| word["word"].as_str()).collect();
    assert_eq!(text.join(" "), ran.out.trim_end());
    assert!(words.windows(2).all(|pair| pair[0]["end"].as_f64() <= pair[1]["start"].as_f64()));
    let hypotheses = record["hypotheses"].as_array().cloned().unwrap_or_default();
    assert!(hypotheses.len() == 5 && hypotheses[0]["words"] == text.join(" "));
    assert!(hypotheses.windows(2).all(|pair| pair[0]["score"].as_f64() >= pair[1]["score"].as_f64()));
    let srt = place.run(&["transcribe", "--words", &file, "-f", "srt"]).fine();
    assert!(srt.out.contains("three six three"), "{}", srt.report());
}

#[test]
fn a_dictionary_of_ones_own_limits_the_words() {
    let place = Place::new();
    place.write("d.dict", "three TH R IY1\nsix s ih k s\nfour f ao r\none w ah n\ntwo t uw\n");
    let ran = place.run(&["transcribe", "--lexicon", "d.dict", &data("samples/an4-fbbh.wav")]).fine();
    assert_eq!(
        ran.out,
        "four four three one six three one two\n".replace("three one six", "three six"),
        "{}",
        ran.report()
    );
}

#[test]
fn word_error_rates_and_language_models_in_evaluate() {
    let place = Place::new();
    let data = data("");
    let record = |more: &[&str]| {
        let words = [&["evaluate", "-d", &data, "-s", "samples", "--json"], more].concat();
        place.run(&words).ends(0).json()[0].clone()
    };
    let words = record(&["--words"]);
    assert!(words["wer"].as_f64() < Some(70.0) && words["per"].is_null() && words["reference_words"].is_number());
    assert!(words["protocol"].as_str().is_some_and(|p| p.contains("CMUdict, language model default weighed 0.7")));
    let (plain, with) = (record(&[]), record(&["--lm", "default"]));
    assert!(with["per"].as_f64() < plain["per"].as_f64(), "{with} {plain}");
}
