//! The page of `formant evaluate --report`: one HTML file with everything in it. This file owns the order of its sections
//! and what they share; each section is a file of its own.
//!
//! Everything is written through maud, which escapes whatever it is given. The page is also well-formed XML, needs no script,
//! and the same evaluation gives the same bytes: no date, no time that anything took.
#![forbid(unsafe_code)]

mod groups;
mod heads;
mod lengths;
mod matrix;
mod media;
mod plot;
mod rates;
mod spectrogram;
mod utterance;

use super::plot::{CurvePoint, curves_svg};
use crate::corpus::{Manifest, Utterance};
use crate::evaluate::{Evaluation, Recognized};
use crate::score::{Protocol, Report, Score};
use maud::{Markup, PreEscaped, html};

/// Seed of the intervals' draws, so that a figure can be made again.
pub const SEED: u64 = 1;

/// Everything that the page is made of.
pub struct Material<'a> {
    /// What was heard.
    pub evaluation: &'a Evaluation,
    /// The utterances, in the same order.
    pub manifest: &'a Manifest,
    /// The column with the labels.
    pub column: &'a str,
    /// How the rate that stands first is counted.
    pub protocol: &'a Protocol,
    /// Those of the table; none if words are counted.
    pub protocols: Vec<Protocol>,
    /// `phones` or `words`.
    pub unit: &'static str,
    /// How the rate came about, in words.
    pub about: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The split's name.
    pub split: &'a str,
    /// The epochs of the model's training, where they are known.
    pub curves: Vec<CurvePoint>,
    /// So many of the worst utterances are shown.
    pub worst: usize,
    /// What was typed.
    pub command: String,
}

/// One utterance, scored.
#[derive(Clone, Copy)]
struct Heard<'a> {
    score: Score,
    recognized: &'a Recognized,
    utterance: &'a Utterance,
}

impl<'a> Heard<'a> {
    fn all(material: &Material<'a>, report: &Report) -> Vec<Self> {
        let scored = report.utterances.iter().zip(&material.evaluation.utterances);
        let with_corpus = scored.zip(&material.manifest.utterances);
        with_corpus.map(|((score, recognized), utterance)| Self { score: *score, recognized, utterance }).collect()
    }
}

impl Material<'_> {
    /// `phone` or `word`.
    fn symbol(&self) -> &'static str {
        self.unit.trim_end_matches('s')
    }

    /// The whole file.
    ///
    /// # Errors
    /// If the sound of one of the worst utterances cannot be read again.
    pub fn page(&self) -> anyhow::Result<Vec<u8>> {
        let report = self.evaluation.report(self.protocol);
        let heard = Heard::all(self, &report);
        let sections = self.sections(&report, &heard)?;
        let title =
            format!("{} on {}: {:.2} % {} error rate", self.model, self.split, report.total.per(), self.symbol());
        let page = html! {
            (PreEscaped(HEAD))
            title { (title) }
            style { (PreEscaped(include_str!("style.css"))) }
            (PreEscaped("</head><body>"))
            header {
                p.kicker { "formant evaluate" }
                h1 { (self.model) " on " (self.split) }
                nav aria-label="Sections" {
                    @for Section { id, title, .. } in &sections { a href={ "#" (id) } { (title) } }
                }
            }
            main {
                @for Section { id, title, body } in &sections {
                    section id=(id) { h2 { (title) } (body) }
                }
            }
            (PreEscaped("</body></html>\n"))
        };
        Ok(clean(&page.into_string()).into_bytes())
    }

    fn sections(&self, report: &Report, heard: &[Heard<'_>]) -> anyhow::Result<Vec<Section>> {
        let section = |id, title: &str, body| Section { id, title: title.to_owned(), body };
        let mut sections = vec![section("rate", "The rate", heads::rate(self, report, heard))];
        if !self.protocols.is_empty() {
            sections.push(section("protocols", "By protocol", heads::protocols(self)));
        }
        let confused = matrix::section(report, self.symbol());
        sections.push(section("confusions", "What is taken for what", confused));
        sections.push(section("speakers", "By speaker", groups::speakers(heard, report, self.symbol())));
        let groups = groups::columns(self, heard, report);
        sections.extend(groups.map(|body| section("groups", "By group", body)));
        sections.push(section("lengths", "Duration and rate of speech", lengths::section(self, heard, report)));
        if self.worst > 0 {
            sections.push(section("worst", "The worst utterances", utterance::section(self, heard)?));
        }
        if !self.curves.is_empty() {
            sections.push(section("training", "Training", training(&self.curves)));
        }
        sections.push(section("again", "How to make this page again", heads::again(&self.command)));
        Ok(sections)
    }
}

/// A part of the page.
struct Section {
    id: &'static str,
    title: String,
    body: Markup,
}

/// Before the title. Nothing from elsewhere may be loaded, and no script may run: a corpus is not to be trusted.
const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta name="generator" content="formant"/>
"#;

/// The page without characters that HTML and XML forbid. Only strings from a corpus can have them.
fn clean(page: &str) -> String {
    let forbidden = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{fffe}' | '\u{ffff}');
    page.chars().map(|c| if forbidden(c) { '\u{fffd}' } else { c }).collect()
}

fn training(curves: &[CurvePoint]) -> Markup {
    html! {
        p { "Loss, error rate on the dev split and learning rate of the run that made this model, by epoch." }
        div.scroll.curves role="img" aria-label="Curves of the training run" { (PreEscaped(curves_svg(curves))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use quick_xml::events::Event;

    /// The page of one utterance with these strings in all places where a corpus can put them. Its sound is silence.
    fn page(id: &str, speaker: &str, symbols: &str, text: &str, field: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let audio = folder.path().join("a.wav");
        std::fs::write(&audio, media::wav(&[0.0; 8000]).unwrap()).unwrap();
        let utterance = Utterance {
            id: id.to_owned(),
            audio,
            speaker: speaker.to_owned(),
            text: text.to_owned(),
            fields: vec![field.to_owned()],
            ..Utterance::default()
        };
        let other = Utterance { fields: vec!["other".to_owned()], ..utterance.clone() };
        let recognized = Recognized {
            id: id.to_owned(),
            speaker: speaker.to_owned(),
            seconds: 0.5,
            reference: format!("k ae t s aw {symbols}"),
            hypothesis: format!("{symbols} {symbols} ae"),
            times: vec![(0.0, 0.25), (0.25, 0.5)],
        };
        let evaluation = Evaluation { utterances: vec![recognized.clone(), recognized], ..Evaluation::default() };
        let manifest =
            Manifest { columns: vec![field.to_owned()], utterances: vec![utterance, other], ..Manifest::default() };
        let protocol = Protocol::named("arpabet").unwrap();
        let material = Material {
            evaluation: &evaluation,
            manifest: &manifest,
            column: "phones",
            protocol: &protocol,
            protocols: Protocol::all().unwrap(),
            unit: "phones",
            about: text,
            model: id,
            split: speaker,
            curves: vec![],
            worst: 2,
            command: text.to_owned(),
        };
        String::from_utf8(material.page().unwrap()).unwrap()
    }

    /// Elements of the page in their order. Fails if it is not well-formed.
    fn elements(page: &str) -> Vec<String> {
        let mut reader = quick_xml::Reader::from_str(page);
        let mut found = Vec::new();
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) | Event::Empty(tag) => {
                    assert!(tag.attributes().all(|a| a.is_ok()));
                    found.push(tag.name().as_ref().to_owned());
                }
                Event::Eof => return found,
                _ => {}
            }
        }
    }

    #[test]
    fn the_page_is_the_same_each_time() {
        assert_eq!(page("a", "s", "x", "t", "f"), page("a", "s", "x", "t", "f"));
    }

    #[test]
    fn a_corpus_cannot_write_html() {
        let evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\u{1}";
        let page = page(evil, evil, &evil.replace(' ', ""), evil, evil);
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{1}'));
        assert!(page.contains("&lt;script&gt;") && page.contains('\u{fffd}'));
        assert!(elements(&page).iter().all(|name| name != "script"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_strings_leave_the_page_as_it_is(strings in prop::array::uniform4("\\PC{0,12}|[<>&\"'/= \u{0}-\u{1f}a-z]{1,24}")) {
            let [a, b, c, d] = strings.each_ref().map(String::as_str);
            let symbols = format!("x{}", c.split_whitespace().collect::<String>());
            // The same elements as with a harmless text, but for those that only an empty one leaves out.
            let harmless = |text: &str| if text.trim().is_empty() { text.to_owned() } else { "harmless".to_owned() };
            let plain = page(&harmless(a), &harmless(b), "xy", &harmless(d), &harmless(a));
            prop_assert_eq!(elements(&page(a, b, &symbols, d, a)), elements(&plain));
        }
    }
}
