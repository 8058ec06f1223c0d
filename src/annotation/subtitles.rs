//! Subtitles: SubRip (.srt) and WebVTT (.vtt).
#![forbid(unsafe_code)]

use super::{Interval, Tier};
use std::fmt::Write;

/// A new cue begins after a pause of so many seconds, ...
const PAUSE: f64 = 0.6;
/// ... and before a cue gets longer than this many seconds ...
const LONGEST: f64 = 6.0;
/// ... or than two lines of 42 characters.
const WIDEST: usize = 84;

/// What is shown at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    /// When it appears, in seconds.
    pub start: f64,
    /// When it goes, in seconds.
    pub end: f64,
    /// What is shown.
    pub text: String,
}

/// The intervals of a tier as cues.
pub fn cues(tier: &Tier) -> Vec<Cue> {
    let mut cues: Vec<Cue> = Vec::new();
    for Interval { start, end, text, .. } in &tier.intervals {
        match cues.last_mut() {
            Some(cue)
                if start - cue.end < PAUSE
                    && end - cue.start <= LONGEST
                    && cue.text.chars().count() + 1 + text.chars().count() <= WIDEST =>
            {
                cue.end = *end;
                cue.text.push(' ');
                cue.text.push_str(text);
            }
            _ => cues.push(Cue { start: *start, end: *end, text: text.clone() }),
        }
    }
    cues
}

/// Cues as a SubRip file.
pub fn srt(cues: &[Cue]) -> String {
    let mut text = String::new();
    for (n, cue) in cues.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\n{} --> {}\n{}\n", n + 1, time(cue.start, ','), time(cue.end, ','), cue.text);
    }
    text
}

/// Cues as a WebVTT file.
pub fn webvtt(cues: &[Cue]) -> String {
    let mut text = String::from("WEBVTT\n\n");
    for cue in cues {
        let shown = cue.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let _ = writeln!(text, "{} --> {}\n{shown}\n", time(cue.start, '.'), time(cue.end, '.'));
    }
    text
}

/// Hours, minutes, seconds and milliseconds.
fn time(seconds: f64, mark: char) -> String {
    let millis = (seconds.max(0.0) * 1000.0).round() as u64;
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}{mark}{:03}", millis % 1000)
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn cues_end_at_pauses_and_in_time() {
        let tiers = example().tiers;
        let found = cues(&tiers[1]);
        assert_eq!(srt(&found), "1\n00:00:00,250 --> 00:00:00,750\ns ey\n\n2\n00:00:01,500 --> 00:00:02,000\nɛ\n\n");
        let words = cues(&tiers[0]);
        assert!(webvtt(&words).starts_with("WEBVTT\n\n00:00:00.250 --> 00:00:00.750\nsay \"&lt;hi&gt;\"\n"));
        let many = |n: usize| Interval { start: n as f64, end: n as f64 + 0.9, text: "x".into(), confidence: None };
        let long = Tier { name: "t".into(), intervals: (0..20).map(many).collect() };
        assert!(cues(&long).len() == 4 && cues(&long).iter().all(|cue| cue.end - cue.start <= LONGEST));
        assert_eq!(time(3661.0005, '.'), "01:01:01.001");
    }
}
