//! What stands at the page's beginning and end: the rate and how it came about, the rates of all protocols, the command.
#![forbid(unsafe_code)]

use super::rates::span;
use super::{Heard, Material, SEED};
use crate::score::{Report, Score};
use maud::{Markup, html};

/// The rate itself, in large.
pub fn rate(material: &Material<'_>, report: &Report, heard: &[Heard<'_>]) -> Markup {
    let (by_speaker, by_utterance) = (report.interval(SEED), report.interval_by_utterance(SEED));
    let seconds: f64 = heard.iter().map(|one| one.recognized.seconds).sum();
    let speakers = report.speakers.keys().filter(|name| !name.is_empty()).count();
    let facts = [
        ("utterances", report.utterances.len().to_string()),
        ("speakers", if speakers == 0 { "not named".to_owned() } else { speakers.to_string() }),
        ("minutes of sound", format!("{:.1}", seconds / 60.0)),
        (material.unit, report.total.reference.to_string()),
    ];
    html! {
        div.headline {
            div {
                p.figure { (format!("{:.2}", report.total.per())) span.unit { " %" } }
                p.quiet { (material.symbol()) " error rate" }
            }
            div.intervals {
                (interval("95 % interval, speakers drawn", by_speaker))
                (interval("95 % interval, utterances drawn", by_utterance))
            }
        }
        (composition(&report.total, material.symbol()))
        dl.facts {
            @for (name, value) in facts { div { dt { (name) } dd { (value) } } }
        }
        p.about { "How it came about: " (material.about) "." }
    }
}

fn interval(name: &str, interval: Option<(f64, f64)>) -> Markup {
    html! {
        p {
            @match interval {
                Some((low, high)) => strong { (format!("{low:.2} to {high:.2} %")) },
                None => strong { "none: fewer than five" },
            }
            span.quiet { (name) }
        }
    }
}

/// What became of the reference, as a bar from end to end, and what was put in beside it.
fn composition(total: &Score, symbol: &str) -> Markup {
    let Score { substitutions, deletions, insertions, reference } = *total;
    let correct = reference.saturating_sub(substitutions + deletions);
    let all = (reference + insertions).max(1) as f64;
    let parts = [
        ("correct", "", correct),
        ("substituted", "≠", substitutions),
        ("deleted", "−", deletions),
        ("inserted", "+", insertions),
    ];
    let share = |count: usize| format!("{:.2} %", 100.0 * count as f64 / reference.max(1) as f64);
    let mut left = 0.0;
    let places = parts.map(|(name, _, count)| {
        let width = 100.0 * count as f64 / all;
        left += width;
        (name, format!("{:.3}%", left - width), format!("{width:.3}%"))
    });
    html! {
        svg.composition role="img" width="100%" height="22" aria-label={ "What became of the " (symbol) "s" } {
            @for (name, x, width) in places { rect class=(name) x=(x) y="0" width=(width) height="22" {} }
        }
        ul.key {
            @for (name, mark, count) in parts {
                li {
                    span class={ "swatch " (name) } { (mark) }
                    (name) " " strong { (count) } span.quiet { " " (share(count)) }
                }
            }
        }
    }
}

/// The same hypotheses under every protocol.
pub fn protocols(material: &Material<'_>) -> Markup {
    let reports = material.protocols.iter().map(|protocol| (protocol, material.evaluation.report(protocol)));
    let interval = |interval: Option<(f64, f64)>| interval.map_or_else(|| "too few".to_owned(), span);
    html! {
        p {
            "The same hypotheses, compared and counted as others do: figures are to be held against each other only under "
            "the same protocol."
        }
        div.scroll {
            table {
                thead {
                    tr {
                        th scope="col" { "protocol" }
                        th.number scope="col" { "error rate" }
                        th.number scope="col" { "interval, speakers drawn" }
                        th.number scope="col" { "utterances drawn" }
                        th.number scope="col" { "sub" }
                        th.number scope="col" { "del" }
                        th.number scope="col" { "ins" }
                        th.number scope="col" { "reference" }
                        th.wide scope="col" { "how" }
                    }
                }
                tbody {
                    @for (protocol, report) in reports {
                        tr.chosen[protocol.name == material.protocol.name] {
                            th scope="row" { (protocol.name) }
                            td.number { (format!("{:.2} %", report.total.per())) }
                            td.number { (interval(report.interval(SEED))) }
                            td.number { (interval(report.interval_by_utterance(SEED))) }
                            td.number { (report.total.substitutions) }
                            td.number { (report.total.deletions) }
                            td.number { (report.total.insertions) }
                            td.number { (report.total.reference) }
                            td.wide.quiet.how { (protocol.describe()) }
                        }
                    }
                }
            }
        }
    }
}

/// How to make the page again.
pub fn again(command: &str) -> Markup {
    html! {
        p { "The same model, recordings and words give the same page, byte for byte:" }
        pre { code { (command) } }
        p.note {
            "Made by formant " (env!("CARGO_PKG_VERSION")) ". Everything is in this file: nothing is loaded from elsewhere, "
            "and no script runs."
        }
    }
}
