//! `formant evaluate --report`: a page that needs nothing but itself.
#![forbid(unsafe_code)]

use crate::support::{Place, data, tiny_run, wav};
use quick_xml::events::Event;

/// The page of an evaluation of the samples, and what else was asked for.
fn report(place: &Place, more: &[&str]) -> String {
    let samples = data("");
    place.run(&[&["evaluate", "-d", &samples, "-s", "samples", "--report", "r.html"], more].concat()).ends(0);
    std::fs::read_to_string(place.path("r.html")).unwrap()
}

/// Elements and attributes of the page, which must be well-formed: `name` and `name=value`.
fn parts(page: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = quick_xml::Reader::from_str(page);
    let mut parts = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) | Event::Empty(tag) => {
                let attribute = |a: quick_xml::events::attributes::Attribute<'_>| {
                    (a.key.as_ref().to_owned(), String::from_utf8_lossy(a.value.as_bytes()).into_owned())
                };
                let attributes = tag.attributes().map(|a| attribute(a.unwrap())).collect();
                parts.push((tag.name().as_ref().to_owned(), attributes));
            }
            Event::Eof => return parts,
            _ => {}
        }
    }
}

/// The names of the page's sections.
fn sections(page: &str) -> Vec<String> {
    let sections = parts(page).into_iter().filter(|(name, _)| name == "section");
    sections.map(|(_, attributes)| attributes[0].1.clone()).collect()
}

#[test]
fn the_page_has_everything_and_nothing_from_elsewhere() {
    let place = Place::new();
    let page = report(&place, &[]);
    assert_eq!(sections(&page), ["rate", "protocols", "confusions", "speakers", "lengths", "worst", "again"]);
    let count = |name: &str| parts(&page).iter().filter(|(element, _)| element == name).count();
    assert_eq!((count("article"), count("audio"), count("image"), count("script")), (8, 8, 8, 0));
    for (name, attributes) in parts(&page) {
        for (key, value) in
            attributes.iter().filter(|(key, _)| ["src", "href", "action", "data"].contains(&key.as_str()))
        {
            assert!(value.starts_with('#') || value.starts_with("data:"), "{name} {key}={value}");
        }
        assert!(attributes.iter().all(|(key, _)| !key.starts_with("on")), "{name}");
    }
    assert!(page.contains("default-src 'none'") && !page.contains("url(") && !page.contains("@import"));
    for word in ["22.22", "speechbrain", "so0120", "Confusion matrix", "formant evaluate -d", "fricatives"] {
        assert!(page.contains(word), "{word}");
    }
    assert_eq!(report(&place, &[]), page, "the same words give the same bytes");
}

#[test]
fn columns_of_the_corpus_make_groups() {
    let place = Place::new();
    let manifest = std::fs::read_to_string(data("samples.manifest.tsv")).unwrap();
    let folder = data("");
    let more = |(n, line): (usize, &str)| match n {
        0 => format!("{line}\tgender\tage\n"),
        n => format!("{folder}/{line}\t{}\t{}\n", ["f", "<m>"][n % 2], 5 * n),
    };
    place.write("x.manifest.tsv", manifest.lines().enumerate().map(more).collect::<String>());
    place.run(&["evaluate", "-d", ".", "-s", "x", "--report", "r.html", "--worst", "1"]).fine();
    let page = std::fs::read_to_string(place.path("r.html")).unwrap();
    assert!(sections(&page).contains(&"groups".to_owned()));
    for word in ["&lt;m&gt;", "under 8", "8 to 11", "16 to 29"] {
        assert!(page.contains(word), "{word}");
    }
    assert_eq!(page.matches("<article>").count(), 1);
}

#[test]
fn a_run_brings_its_curves() {
    let (place, folder, run) = (Place::new(), data("tiny"), tiny_run().to_string_lossy().into_owned());
    place.run(&["evaluate", "-d", &folder, "-s", "train", "-m", &run, "--report", "r.html"]).fine();
    let page = std::fs::read_to_string(place.path("r.html")).unwrap();
    assert!(sections(&page).contains(&"training".to_owned()) && page.contains("best dev PER"));
    assert!(page.contains("No utterance has an error."), "it has learnt them by heart");
}

#[test]
fn words_have_a_page_too() {
    let page = report(&Place::new(), &["--words", "--worst", "3"]);
    assert_eq!(sections(&page), ["rate", "confusions", "speakers", "lengths", "worst", "again"]);
    assert!(page.contains("word error rate") && !page.contains("Confusion matrix"));
}

#[test]
fn long_utterances_are_cut() {
    let place = Place::new();
    place.write("long.wav", wav(&[0.0; 8000 * 25], 8000));
    place.write("x.manifest.tsv", "path\tphones\nlong.wav\tk ae t s aw\n");
    place.run(&["evaluate", "-d", ".", "-s", "x", "--report", "r.html"]).fine();
    let page = std::fs::read_to_string(place.path("r.html")).unwrap();
    assert!(page.contains("Only the first 20 seconds") && page.contains("The corpus does not say who speaks."));
    // 20 seconds at 16 kHz and 16 bits, as base64.
    assert!((850_000..1_000_000).contains(&page.len()), "{}", page.len());
}

#[test]
fn a_number_without_a_page_is_a_mistake() {
    let ran = Place::new().run(&["evaluate", "-d", ".", "-s", "x", "--worst", "3"]).ends(2);
    let says = ran.err.contains("--report");
    ran.holds(says, "it names what is missing");
}
