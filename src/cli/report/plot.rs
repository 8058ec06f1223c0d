//! Small charts as SVG. Places are percent of the width and text is in pixels, so that a chart fills a page of any width and
//! stays readable on a phone. Axes' names stand outside the picture, in margins that the style sheet leaves free.
#![forbid(unsafe_code)]

use super::rates::{percent, round_end};
use maud::{Markup, html};

/// Height of a chart without the names of its axes, pixels.
const HEIGHT: f64 = 200.0;
/// Dots of a chart at most: more would only make the page large.
const DOTS: usize = 2000;

/// What goes from left to right or upwards.
pub struct Axis {
    pub name: String,
    pub end: f64,
    pub steps: usize,
}

impl Axis {
    /// From 0 to a round number that is at least `highest`.
    pub fn to(name: impl Into<String>, highest: f64) -> Self {
        let end = round_end(highest);
        Self { name: name.into(), end, steps: if end == 30.0 || end == 60.0 || end == 150.0 { 3 } else { 4 } }
    }

    fn place(&self, value: f64) -> f64 {
        (value / self.end).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        (0..=self.steps).map(|step| self.end * step as f64 / self.steps as f64)
    }
}

fn across(part: f64) -> String {
    format!("{:.2}%", 100.0 * part)
}

fn up(part: f64) -> String {
    format!("{:.1}", HEIGHT * (1.0 - part))
}

/// A chart's axes with what is drawn between them.
fn chart(x: &Axis, y: &Axis, label: &str, inside: &Markup) -> Markup {
    html! {
        svg.plot role="img" aria-label=(label) height=(HEIGHT) {
            title { (label) }
            @for tick in y.ticks() {
                line.grid x1="0" x2="100%" y1=(up(y.place(tick))) y2=(up(y.place(tick))) {}
                text.quiet x="-8" y=(up(y.place(tick))) dy="4" text-anchor="end" { (round(tick)) }
            }
            @for tick in x.ticks() {
                text.quiet x=(across(x.place(tick))) y=(HEIGHT + 18.0) text-anchor="middle" { (round(tick)) }
            }
            (inside)
            text.quiet x="100%" y=(HEIGHT + 36.0) text-anchor="end" { (x.name) }
            text.quiet x="0" y="-10" text-anchor="start" { (y.name) }
        }
    }
}

/// A number beside a tick.
fn round(tick: f64) -> String {
    ((tick * 100.0).round() / 100.0).to_string()
}

/// A dot an utterance, and the rate of each bin as a line: where the bin lies, and its rate.
pub fn scatter(x: &Axis, label: &str, dots: &[(f64, f64)], bins: &[((f64, f64), f64)]) -> Markup {
    let highest = bins.iter().map(|(_, rate)| *rate).filter(|rate| rate.is_finite()).fold(0.0, f64::max);
    let finite = dots.iter().map(|(_, rate)| *rate).filter(|rate| rate.is_finite());
    // Single utterances, short ones above all, may have rates far beyond the others'.
    let y = Axis::to("error rate, %", finite.fold(highest, f64::max).min((2.0 * highest).max(5.0)));
    let every = dots.len().div_ceil(DOTS).max(1);
    let inside = |(at, rate): &(f64, f64)| *at <= x.end && *rate <= y.end;
    let outside = dots.iter().filter(|dot| !inside(dot)).count();
    let drawn = html! {
        g.dots fill-opacity=(if dots.len() > 400 { "0.3" } else { "0.6" }) {
            @for (at, rate) in dots.iter().filter(|dot| inside(dot)).step_by(every) {
                circle cx=(across(x.place(*at))) cy=(up(y.place(*rate))) r="2.5" {}
            }
        }
        @for ((start, end), rate) in bins.iter().filter(|(_, rate)| rate.is_finite()) {
            line.step x1=(across(x.place(*start))) x2=(across(x.place(*end))) y1=(up(y.place(*rate))) y2=(up(y.place(*rate))) {}
        }
    };
    html! {
        (chart(x, &y, label, &drawn))
        p.note {
            "A dot is an utterance" @if every > 1 { " (one of " (every) " is drawn)" } ", a line the rate of all utterances "
            "of a bin." @if outside > 0 { " Beyond the edges: " (outside) "." }
        }
    }
}

/// How many speakers have which rate, and a line at the rate of all.
pub fn histogram(rates: &[f64], overall: f64) -> Markup {
    let highest = rates.iter().copied().fold(overall, f64::max);
    let width = [1.0, 2.0, 2.5, 5.0, 10.0, 20.0].into_iter().find(|width| highest / width <= 16.0).unwrap_or(50.0);
    let bins = (highest / width).floor() as usize + 1;
    let mut counts = vec![0_usize; bins];
    rates.iter().for_each(|rate| counts[(rate / width) as usize] += 1);
    let x = Axis { name: "error rate of a speaker, %".to_owned(), end: bins as f64 * width, steps: bins };
    let most = counts.iter().copied().max().unwrap_or(1).max(1).next_multiple_of(4);
    let y = Axis { name: "speakers".to_owned(), end: most as f64, steps: 4 };
    let inside = html! {
        @for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            rect.amount x=(across(bin as f64 / bins as f64 + 0.003)) width=(across(1.0 / bins as f64 - 0.006))
                y=(up(y.place(*count as f64))) height=(format!("{:.1}", HEIGHT * y.place(*count as f64))) {
                title { (count) " from " (round(bin as f64 * width)) " to " (round((bin + 1) as f64 * width)) " %" }
            }
        }
        line.overall x1=(across(x.place(overall))) x2=(across(x.place(overall))) y1="0" y2=(HEIGHT) {}
    };
    html! {
        (chart(&x, &y, "Speakers by error rate", &inside))
        p.note { "The dashed line is the rate of the whole set, " (percent(overall)) "." }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_numbers_give_a_chart() {
        for rates in [&[0.0; 12][..], &[12.0, 250.0], &[5.0], &[4000.0]] {
            let svg = histogram(rates, 10.0).into_string();
            assert!(svg.contains("</svg>") && !svg.contains("NaN") && !svg.contains("inf"));
        }
        let dots: Vec<(f64, f64)> =
            (0..5000).map(|n| (f64::from(n) / 1000.0, 20.0)).chain([(1.0, f64::INFINITY)]).collect();
        let svg =
            scatter(&Axis::to("s", 9.0), "x", &dots, &[((0.0, 1.0), 20.0), ((1.0, 2.0), f64::INFINITY)]).into_string();
        assert!(svg.matches("<circle").count() < DOTS && svg.contains("Beyond the edges: 1.") && !svg.contains("inf"));
    }
}
