//! What is taken for what: the most frequent errors, and the confusion matrix as SVG, phones in the order of their classes.
#![forbid(unsafe_code)]

use crate::score::Report;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// Errors that are listed.
const LISTED: usize = 24;
/// Symbols of a matrix that can still be read; the rarest beyond them are left out.
const MOST: usize = 80;
/// Side of a cell, pixels.
const CELL: usize = 22;
/// Where the cells begin: to the left are names of classes and phones, above those of phones.
const LEFT: usize = 112;
const TOP: usize = 28;
/// Between the phones and what is deleted or inserted.
const GAP: usize = 8;

/// Classes of phones, those of ARPAbet and TIMIT, neighbours in sound beside each other.
const CLASSES: [(&str, &[&str]); 7] = [
    (
        "vowels",
        &[
            "iy", "ih", "ix", "ey", "eh", "ae", "aa", "ao", "ah", "ax", "ax-h", "uh", "uw", "ux", "ow", "er", "axr",
            "ay", "aw", "oy",
        ],
    ),
    ("semivowels", &["y", "w", "l", "el", "r"]),
    ("nasals", &["m", "em", "n", "en", "nx", "ng", "eng"]),
    ("stops", &["p", "b", "t", "d", "dx", "k", "g", "q"]),
    ("affricates", &["ch", "jh"]),
    ("fricatives", &["f", "v", "th", "dh", "s", "z", "sh", "zh", "hh", "hv"]),
    ("silence", &["sil", "h#", "pau", "epi", "cl", "vcl", "bcl", "dcl", "gcl", "pcl", "tcl", "kcl"]),
];
const OTHERS: &str = "others";

/// The class of a phone, and its place in the order of all.
fn class(symbol: &str) -> (usize, usize) {
    let place = |(n, (_, phones)): (usize, &(&str, &[&str]))| Some((n, phones.iter().position(|p| *p == symbol)?));
    CLASSES.iter().enumerate().find_map(place).unwrap_or((CLASSES.len(), 0))
}

fn class_name(class: usize) -> &'static str {
    CLASSES.get(class).map_or(OTHERS, |(name, _)| name)
}

/// The whole section.
pub fn section(report: &Report, symbol: &str) -> Markup {
    let counts = Counts::new(report);
    html! {
        (listed(report, &counts))
        @if symbol == "phone" && !counts.symbols.is_empty() { (matrix(&counts)) }
    }
}

/// How often each symbol stands in the reference and was heard, and for what.
struct Counts<'a> {
    /// In the order of the matrix.
    symbols: Vec<&'a str>,
    /// Symbols that do not fit into it.
    left_out: usize,
    pairs: BTreeMap<(Option<&'a str>, Option<&'a str>), usize>,
    reference: BTreeMap<&'a str, usize>,
    heard: BTreeMap<&'a str, usize>,
}

impl<'a> Counts<'a> {
    fn new(report: &'a Report) -> Self {
        let correct = report.correct.iter().map(|(s, n)| ((Some(s.as_str()), Some(s.as_str())), *n));
        let wrong = report.confusions.iter().map(|((r, h), n)| ((r.as_deref(), h.as_deref()), *n));
        let pairs: BTreeMap<_, _> = correct.chain(wrong).collect();
        let (mut reference, mut heard) = (BTreeMap::new(), BTreeMap::new());
        for ((r, h), n) in &pairs {
            r.iter().for_each(|r| *reference.entry(*r).or_default() += n);
            h.iter().for_each(|h| *heard.entry(*h).or_default() += n);
        }
        let all: BTreeSet<&str> = reference.keys().chain(heard.keys()).copied().collect();
        let often = |s: &&str| reference.get(s).copied().unwrap_or(0) + heard.get(s).copied().unwrap_or(0);
        let mut symbols: Vec<&str> = all.into_iter().collect();
        symbols.sort_by_key(|symbol| std::cmp::Reverse(often(symbol)));
        let left_out = symbols.len().saturating_sub(MOST);
        symbols.truncate(MOST);
        symbols.sort_by_key(|symbol| (class(symbol), *symbol));
        Self { symbols, left_out, pairs, reference, heard }
    }

    /// How often `reference` was heard as `heard`, and as a share of all times that it could have been: of its references,
    /// or, if it was put in, of all times that it was heard.
    fn cell(&self, reference: Option<&str>, heard: Option<&str>) -> Option<(usize, f64)> {
        let count = *self.pairs.get(&(reference, heard))?;
        let all = match (reference, heard) {
            (Some(r), _) => self.reference.get(r),
            (None, h) => self.heard.get(h?),
        };
        Some((count, count as f64 / (*all? as f64).max(1.0)))
    }
}

/// The most frequent errors, in words.
fn listed(report: &Report, counts: &Counts<'_>) -> Markup {
    let confused = report.most_confused(LISTED);
    html! {
        @if confused.is_empty() { p { "Nothing is taken for anything else." } } @else {
            p { "The most frequent errors, and their share of the times that the symbol stands in the reference (of an "
                "insertion: was heard)." }
            ol.confused {
                @for (reference, heard, count) in confused {
                    li {
                        span.what { (kind(reference, heard)) }
                        span.quiet.count {
                            (count)
                            @if let Some((_, share)) = counts.cell(reference, heard) {
                                (format!(", {:.1} %", 100.0 * share))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn kind(reference: Option<&str>, heard: Option<&str>) -> Markup {
    html! {
        @match (reference, heard) {
            (Some(r), Some(h)) => { b { (r) } " heard as " b { (h) } }
            (Some(r), None) => { b { (r) } " " span.deleted { "− deleted" } }
            (None, h) => { b { (h.unwrap_or_default()) } " " span.inserted { "+ inserted" } }
        }
    }
}

fn matrix(counts: &Counts<'_>) -> Markup {
    let n = counts.symbols.len();
    let (width, height) = (LEFT + (n + 1) * CELL + GAP + 56, TOP + (n + 1) * CELL + GAP + 4);
    let (end, beyond) = (LEFT + n * CELL, TOP + n * CELL);
    let middle = |place: usize| place + CELL / 2;
    let columns = counts.symbols.iter().enumerate().map(|(column, symbol)| (LEFT + column * CELL, Some(*symbol)));
    let columns: Vec<_> = columns.chain([(end + GAP, None)]).collect();
    let rows = counts.symbols.iter().enumerate().map(|(row, symbol)| (TOP + row * CELL, Some(*symbol)));
    let rows: Vec<_> = rows.chain([(beyond + GAP, None)]).collect();
    html! {
        h3 { "Confusion matrix" }
        p { "Rows are phones of the reference, columns what was heard. Numbers are percent of the row; in the last row, of "
            "all times that the phone was heard. Only shares of 5 % and more have numbers."
            @if counts.left_out > 0 { " The " (counts.left_out) " rarest symbols are left out." } }
        div.scroll {
            svg.matrix role="img" aria-label="Confusion matrix" width=(width) height=(height)
                viewBox={ "0 0 " (width) " " (height) } {
                title { "Confusion matrix: rows are phones of the reference, columns what was heard" }
                (frame(counts))
                @for (x, symbol) in &columns {
                    @let name = symbol.unwrap_or("−");
                    text.symbol.long[name.chars().count() > 3] x=(middle(*x)) y=(TOP - 8) text-anchor="middle" { (name) }
                }
                text.quiet x=(LEFT + (n + 1) * CELL + GAP + 50) y=(TOP - 8) text-anchor="end" { "count" }
                @for (y, reference) in &rows {
                    text.symbol x=(LEFT - 8) y=(middle(*y) + 4) text-anchor="end" { (reference.unwrap_or("+")) }
                    @for (x, heard) in &columns { (cell(counts, (*x, *y), *reference, *heard)) }
                    @if let Some(count) = reference.and_then(|r| counts.reference.get(r)) {
                        text.quiet x=(LEFT + (n + 1) * CELL + GAP + 50) y=(middle(*y) + 4) text-anchor="end" { (count) }
                    }
                }
            }
        }
    }
}

/// Lines between the classes, and their names.
fn frame(counts: &Counts<'_>) -> Markup {
    let n = counts.symbols.len();
    let classes: Vec<usize> = counts.symbols.iter().map(|symbol| class(symbol).0).collect();
    let starts: Vec<usize> = (0..n).filter(|at| *at == 0 || classes[*at] != classes[*at - 1]).collect();
    let ends = starts.iter().skip(1).copied().chain([n]);
    let spans: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
    html! {
        rect.field x=(LEFT) y=(TOP) width=(n * CELL) height=(n * CELL) {}
        rect.field x=(LEFT + n * CELL + GAP) y=(TOP) width=(CELL) height=(n * CELL) {}
        rect.field x=(LEFT) y=(TOP + n * CELL + GAP) width=(n * CELL) height=(CELL) {}
        @for (start, end) in &spans {
            text.quiet x="0" y=(TOP + (start + end) * CELL / 2 + 4) { (class_name(classes[*start])) }
            @if *start > 0 {
                line x1="0" x2=(LEFT + (n + 1) * CELL + GAP) y1=(TOP + start * CELL) y2=(TOP + start * CELL) {}
                line x1=(LEFT + start * CELL) x2=(LEFT + start * CELL) y1=(TOP) y2=(TOP + (n + 1) * CELL + GAP) {}
            }
        }
        text.quiet x="0" y=(TOP + n * CELL + GAP + CELL / 2 + 4) { "inserted" }
    }
}

fn cell(counts: &Counts<'_>, (x, y): (usize, usize), reference: Option<&str>, heard: Option<&str>) -> Markup {
    let Some((count, share)) = counts.cell(reference, heard) else { return html! {} };
    let (class, what) = match (reference, heard) {
        (Some(r), Some(h)) if r == h => ("correct", format!("{r} heard as it is")),
        (Some(r), Some(h)) => ("substituted", format!("{r} heard as {h}")),
        (Some(r), None) => ("deleted", format!("{r} deleted")),
        (None, h) => ("inserted", format!("{} inserted", h.unwrap_or_default())),
    };
    let percent = 100.0 * share;
    // The root shows the rare ones; the limit keeps the number readable on what is frequent.
    let opacity = format!("{:.2}", (share.sqrt() * 0.85).min(0.75));
    html! {
        rect class=(class) x=(x + 1) y=(y + 1) width=(CELL - 2) height=(CELL - 2) fill-opacity=(opacity) {
            title { (what) ": " (count) " (" (format!("{percent:.1}")) " %)" }
        }
        @if percent >= 5.0 {
            text.share x=(x + CELL / 2) y=(y + CELL / 2 + 4) text-anchor="middle" { (format!("{percent:.0}")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::{ARPABET39, timit61};

    #[test]
    fn every_phone_has_a_class() {
        for symbol in ARPABET39.into_iter().chain(timit61()) {
            assert!(class(symbol).0 < CLASSES.len(), "{symbol}");
        }
        assert_eq!(class_name(class("ʔ").0), OTHERS);
    }

    #[test]
    fn shares_are_of_the_row() {
        let mut report = Report::default();
        report.add("a", &["k", "ae", "ae", "t"], &["k", "eh", "ae", "t", "s"]);
        let counts = Counts::new(&report);
        assert_eq!(counts.symbols, ["eh", "ae", "t", "k", "s"]);
        assert_eq!(counts.cell(Some("ae"), Some("eh")), Some((1, 0.5)));
        assert_eq!(counts.cell(None, Some("s")), Some((1, 1.0)));
        assert_eq!(counts.cell(Some("t"), None), None);
        let svg = section(&report, "phone").into_string();
        assert!(svg.contains("ae heard as eh: 1 (50.0 %)") && svg.contains("s inserted: 1 (100.0 %)"));
        assert!(!section(&report, "word").into_string().contains("<svg"));
    }

    #[test]
    fn large_sets_are_cut_to_the_most_frequent() {
        let symbols: Vec<String> = (0..MOST + 3).map(|n| format!("p{n}")).collect();
        let mut report = Report::default();
        report.add("a", &symbols.iter().map(String::as_str).collect::<Vec<_>>(), &["p1"]);
        let counts = Counts::new(&report);
        assert_eq!((counts.symbols.len(), counts.left_out), (MOST, 3));
    }
}
