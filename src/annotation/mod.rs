//! Labelled stretches of a recording, and the files that other programs read them from: Praat's TextGrid, ELAN's .eaf, CTM,
//! TIMIT's .PHN and .WRD, subtitles.
#![forbid(unsafe_code)]

mod ctm;
mod eaf;
mod subtitles;
mod textgrid;
mod timit;

pub use ctm::ctm;
pub use eaf::eaf;
pub use subtitles::{Cue, cues, srt, webvtt};
pub use textgrid::textgrid;
pub use timit::{Mark, format_timit, parse_timit, timit};

/// A stretch of a recording, and what is said in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// Where it begins, in seconds.
    pub start: f64,
    /// Where it ends, in seconds.
    pub end: f64,
    /// A phone or a word.
    pub text: String,
    /// How sure that is, from 0 to 1.
    pub confidence: Option<f64>,
}

/// Intervals of one kind, in the order of time; none begins before the one before it ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tier {
    /// `phones`, `words`, ...
    pub name: String,
    /// The intervals.
    pub intervals: Vec<Interval>,
}

/// What is said in a recording, and when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Annotation {
    /// The recording, as other files should call it.
    pub recording: String,
    /// Its length in seconds.
    pub seconds: f64,
    /// Its samples in a second.
    pub sample_rate: u32,
    /// The tiers, coarsest first.
    pub tiers: Vec<Tier>,
}

impl Tier {
    /// Intervals that cover `0..seconds` without a gap: those of the tier, cut to the recording, and between them some
    /// without a text. Those without a length are left out.
    fn tiles(&self, seconds: f64) -> Vec<(f64, f64, &str)> {
        let mut tiles = Vec::new();
        let mut at = 0.0;
        for interval in &self.intervals {
            let (start, end) = (interval.start.clamp(at, seconds.max(at)), interval.end.min(seconds));
            if end <= start {
                continue;
            }
            if start > at {
                tiles.push((at, start, ""));
            }
            tiles.push((start, end, interval.text.as_str()));
            at = end;
        }
        if at < seconds || tiles.is_empty() {
            tiles.push((at, seconds, ""));
        }
        tiles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn example() -> Annotation {
        let interval = |start, end, text: &str| Interval { start, end, text: text.into(), confidence: Some(0.5) };
        let words = vec![interval(0.25, 0.75, "say \"<hi>\""), interval(1.5, 2.0, "yes")];
        let phones = vec![interval(0.25, 0.5, "s"), interval(0.5, 0.75, "ey"), interval(1.5, 2.0, "ɛ")];
        let tier = |name: &str, intervals| Tier { name: name.into(), intervals };
        Annotation {
            recording: "a b.wav".into(),
            seconds: 2.0,
            sample_rate: 8000,
            tiers: vec![tier("words", words), tier("phones", phones)],
        }
    }

    #[test]
    fn tiles_cover_everything() {
        let interval = |start, end| Interval { start, end, text: "x".into(), confidence: None };
        let tier = |intervals| Tier { name: "t".into(), intervals };
        let spans = |tier: &Tier, seconds| tier.tiles(seconds).iter().map(|t| (t.0, t.1)).collect::<Vec<_>>();
        assert_eq!(spans(&tier(vec![]), 1.0), [(0.0, 1.0)]);
        let overlapping = tier(vec![interval(0.5, 1.0), interval(0.75, 0.75), interval(0.75, 3.0), interval(4.0, 5.0)]);
        assert_eq!(spans(&overlapping, 2.0), [(0.0, 0.5), (0.5, 1.0), (1.0, 2.0)]);
    }
}
