//! What was heard over the spectrogram of its sound, as SVG around an embedded picture.
#![forbid(unsafe_code)]

use super::media;
use super::utterance::Fate;
use crate::audio::Waveform;
use crate::evaluate::Recognized;
use maud::{Markup, html};

/// Size of the picture: a second's width, and its parts' heights from top to bottom, pixels.
const SECOND: f64 = 200.0;
const LANE: f64 = 17.0;
const LANES: usize = 3;
const SOUND: f64 = 150.0;
const AXIS: f64 = 22.0;
/// To the left are frequencies.
const LEFT: f64 = 44.0;

/// A symbol over the spectrogram.
struct Label<'a> {
    symbol: &'a str,
    fate: Option<Fate>,
    times: (f64, f64),
}

impl Label<'_> {
    fn class(&self) -> &'static str {
        self.fate.map_or("uncounted", Fate::class)
    }

    /// Its width in seconds, about: letters are some 8 pixels wide.
    fn width(&self) -> f64 {
        let letters = self.symbol.chars().count() + self.fate.map_or(0, |fate| fate.sign().chars().count());
        (8.0 * letters as f64 + 5.0) / SECOND
    }
}

/// A lane for each label so that none covers another: the first that is free, else the one that will be free first.
fn lanes(labels: &[Label<'_>]) -> Vec<usize> {
    let mut free = [0.0_f64; LANES];
    let place = |label: &Label<'_>| {
        let soonest = (0..LANES).min_by(|a, b| free[*a].total_cmp(&free[*b])).unwrap_or(0);
        let lane = free.iter().position(|free| *free <= label.times.0).unwrap_or(soonest);
        free[lane] = label.times.0 + label.width();
        lane
    };
    labels.iter().map(place).collect()
}

/// The spectrogram with what was heard over it.
pub fn with_labels(fates: &[Option<Fate>], recognized: &Recognized, wave: Waveform) -> anyhow::Result<Markup> {
    let seconds = wave.seconds();
    let (image, start, end) = media::spectrogram(wave)?;
    let heard = recognized.hypothesis.split_whitespace().zip(&recognized.times).zip(fates);
    let labels = heard.map(|((symbol, times), fate)| Label { symbol, fate: *fate, times: *times });
    let labels: Vec<Label<'_>> = labels.filter(|label| label.times.0 < seconds).collect();
    let x = |time: f64| format!("{:.1}", LEFT + time * SECOND);
    let lanes = lanes(&labels);
    // Where the picture begins: below the lanes that are needed.
    let top = LANE * (1 + lanes.iter().copied().max().unwrap_or(0)) as f64;
    let (width, height) = (LEFT + seconds * SECOND + 16.0, top + SOUND + AXIS);
    let y = |hz: f64| format!("{:.1}", top + SOUND - media::height(hz) * SOUND + 4.0);
    let halves = (0..=(seconds * 2.0) as usize).map(|half| half as f64 / 2.0);
    Ok(html! {
        svg.spectrogram role="img" aria-label={ "Spectrogram of " (recognized.id) " with what was heard" }
            width=(format!("{width:.0}")) height=(height) viewBox=(format!("0 0 {width:.0} {height}")) {
            image href=(image) x=(x(start)) y=(top) width=(format!("{:.1}", (end - start) * SECOND))
                height=(SOUND) preserveAspectRatio="none" {}
            @for (hz, name) in [(500.0, "500 Hz"), (1000.0, "1 kHz"), (2000.0, "2 kHz"), (4000.0, "4 kHz")] {
                text.quiet x=(LEFT - 6.0) y=(y(hz)) text-anchor="end" { (name) }
            }
            @for second in halves {
                text.quiet x=(x(second)) y=(height - 6.0) text-anchor="middle" { (second) " s" }
            }
            @for (label, lane) in labels.iter().zip(lanes) { (over(label, lane, top)) }
        }
    })
}

/// A label, a line from it to the picture, and one through the picture, where the symbol begins.
fn over(label: &Label<'_>, lane: usize, top: f64) -> Markup {
    let Label { symbol, fate, times: (from, to) } = *label;
    let x = format!("{:.1}", LEFT + from * SECOND);
    let y = LANE * (lane + 1) as f64;
    html! {
        line.lead x1=(x) x2=(x) y1=(y - 12.0) y2=(top) {}
        line.start x1=(x) x2=(x) y1=(top) y2=(top + SOUND) {}
        text class=(label.class()) x=(format!("{:.1}", LEFT + from * SECOND + 3.0)) y=(y - 3.0) {
            (symbol) (fate.map_or("", Fate::sign))
            title { (format!("{from:.2} to {to:.2} s")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_cover_each_other() {
        let label = |from: f64| Label { symbol: "ae", fate: None, times: (from, from + 0.02) };
        assert_eq!(lanes(&[0.0, 0.02, 0.04, 0.06, 0.5, 0.51].map(label)), [0, 1, 2, 0, 0, 1]);
    }
}
