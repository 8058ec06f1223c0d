//! `formant compare`: is one system better than another?
#![forbid(unsafe_code)]

use crate::support::{Place, data, tiny_model};

#[test]
fn a_model_that_knows_the_sentences_beats_one_that_does_not() {
    let (place, folder, model) = (Place::new(), data("tiny"), tiny_model());
    let words = ["evaluate", "-d", &folder, "-s", "train", "--results"];
    place.run(&[&words[..], &["a.jsonl"]].concat()).fine();
    place.run(&[&words[..], &["b.jsonl", "-m", &model]].concat()).fine();
    let ran = place.run(&["compare", "a.jsonl", "b.jsonl", "--json"]).fine();
    let found = &ran.json()[0];
    assert_eq!((&found["second"]["rate"], &found["utterances"]), (&0.0.into(), &8.into()), "{}", ran.report());
    assert!(found["first"]["rate"].as_f64().unwrap() > 5.0 && found["matched_pairs_p"].as_f64().unwrap() < 0.05);
    let ran = place.run(&["compare", "a.jsonl", "b.jsonl", "--protocol", "kaldi"]).fine();
    let says = ran.out.contains("verdict           the second is better");
    ran.holds(says, "the verdict in words");
    let ran = place.run(&["compare", "a.jsonl", "a.jsonl"]).fine();
    let says = ran.out.contains("there is no difference at all");
    ran.holds(says, "a system is as good as itself");
}

#[test]
fn results_of_other_sets_are_refused() {
    let (place, folder) = (Place::new(), data("tiny"));
    place.run(&["evaluate", "-d", &folder, "-s", "train", "--results", "a.jsonl"]).fine();
    place.run(&["evaluate", "-d", &folder, "-s", "dev", "--results", "b.jsonl"]).fine();
    let ran = place.run(&["compare", "a.jsonl", "b.jsonl"]).ends(2);
    let hint = "hint: evaluate both models with the same --data, --split and --column\n";
    let expected = format!("formant: error: b.jsonl: 3 utterances where there are 8 in a.jsonl\n{hint}");
    assert_eq!(ran.err, expected, "{}", ran.report());
    place.write("c.jsonl", "x\n");
    let ran = place.run(&["compare", "a.jsonl", "c.jsonl"]).ends(2);
    assert!(ran.err.starts_with("formant: error: c.jsonl:1: not the results of an evaluation"), "{}", ran.report());
}

#[test]
fn sclite_is_given_what_it_reads() {
    let (place, folder) = (Place::new(), data(""));
    place.run(&["evaluate", "-d", &folder, "-s", "samples", "--sclite", "out"]).fine();
    let lines = |name: &str| std::fs::read_to_string(place.path("out").join(name)).unwrap().lines().count();
    assert_eq!((lines("ref.trn"), lines("hyp.trn")), (8, 8));
    assert!(lines("hyp.ctm") > 100);
}
