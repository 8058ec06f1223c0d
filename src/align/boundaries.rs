//! Where phones begin and end: near the middle between their peaks, where the spectrum changes most.
#![forbid(unsafe_code)]

use crate::decode::{Clock, Segment};
use crate::features::Features;
use std::ops::Range;

/// So far a boundary is moved, in seconds, ...
const REACH: f64 = 0.030;
/// ... and what a square of 10 ms costs against the change of the spectrum.
const COST: f64 = 0.3;
/// Frames on each side that the change is measured over.
const SIDE: usize = 2;
/// No phone is shorter, in seconds.
const SHORTEST: f64 = 0.005;

/// When each segment begins and ends, in seconds. Segments that touch do so still. `written` are the frames in which CTC
/// wrote the phones, `segments` the same widened; `features` log-mel energies, natural logarithm, not normalised.
pub fn find(segments: &[Segment], written: &[Range<usize>], features: &Features, clock: Clock) -> Vec<(f64, f64)> {
    let mut times = Vec::with_capacity(segments.len());
    let mut end_before = 0.0;
    // Two guesses that err independently: half way between peaks, and where the phone's own peak begins.
    let guess = |n: usize| (clock.at(segments[n].start) + written[n].start as f64 * clock.frame_shift) / 2.0;
    for (n, segment) in segments.iter().enumerate() {
        let start = match n.checked_sub(1) {
            Some(before) if segments[before].end == segment.start => end_before,
            _ => refined(guess(n), end_before, features, clock).max(end_before),
        };
        let end = match segments.get(n + 1) {
            Some(next) if next.start == segment.end => guess(n + 1),
            _ => clock.at(segment.end),
        };
        let end = refined(end, start + clock.hop, features, clock).max(start + SHORTEST);
        let end = end.min(clock.seconds.max(start));
        times.push((start, end));
        end_before = end;
    }
    times
}

/// The time near `seconds`, but not before `after`, at which the spectrum changes most.
fn refined(seconds: f64, after: f64, features: &Features, clock: Clock) -> f64 {
    // Places between frames are counted as the frame after them.
    let place = |seconds: f64| (seconds - clock.offset()) / clock.hop;
    let (low, high) = (place((seconds - REACH).max(after)).ceil().max(1.0), place(seconds + REACH).floor());
    let last = features.frames.saturating_sub(1) as f64;
    let at = place(seconds);
    let mut best = (f64::NEG_INFINITY, seconds);
    let mut boundary = low;
    while boundary <= high.min(last) {
        let steps = (boundary - at) * clock.hop / 0.010;
        let worth = change(features, boundary as usize) - COST * steps * steps;
        if worth > best.0 {
            best = (worth, boundary * clock.hop + clock.offset());
        }
        boundary += 1.0;
    }
    best.1.min(clock.seconds)
}

/// How much the spectrum changes between frames `at - 1` and `at`: root mean square over the bins of the difference between
/// the means of both sides.
fn change(features: &Features, at: usize) -> f64 {
    let before = at.saturating_sub(SIDE)..at;
    let after = at..(at + SIDE).min(features.frames);
    let mean = |frames: &Range<usize>, bin: usize| {
        frames.clone().map(|t| f64::from(features.data[t * features.dim + bin])).sum::<f64>()
            / frames.len().max(1) as f64
    };
    let squares = (0..features.dim).map(|bin| (mean(&before, bin) - mean(&after, bin)).powi(2)).sum::<f64>();
    (squares / features.dim.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phones::PhoneId;

    const CLOCK: Clock = Clock { begin: 0.0, frame_shift: 0.03, hop: 0.01, window: 0.025, seconds: 1.0 };

    /// Silence up to a frame, and then a sound.
    fn step(frame: usize) -> Features {
        let data = (0..100).flat_map(|t| [if t < frame { 0.0 } else { 5.0 }; 4]).collect();
        Features { data, frames: 100, dim: 4 }
    }

    /// Segments whose phones CTC wrote in their first frames.
    fn found(spans: &[(usize, usize)], features: &Features) -> Vec<(f64, f64)> {
        let segment = |&(start, end): &(usize, usize)| Segment { phone: PhoneId(1), start, end, score: 0.0 };
        let written: Vec<Range<usize>> = spans.iter().map(|(start, _)| *start..start + 1).collect();
        find(&spans.iter().map(segment).collect::<Vec<_>>(), &written, features, CLOCK)
    }

    #[test]
    fn a_boundary_goes_where_the_sound_begins() {
        // Half way between 300 and 300 + 7.5 + 20 ms; frame 33 of the front end begins to count at 337.5 ms.
        let times = found(&[(5, 10), (10, 20)], &step(33));
        assert!((times[0].1 - 0.3375).abs() < 1e-9 && times[1].0 == times[0].1, "{times:?}");
        // Too far away.
        let times = found(&[(5, 10), (10, 20)], &step(40));
        assert!((times[0].1 - 0.31375).abs() < 0.006, "{times:?}");
    }

    #[test]
    fn times_are_in_order_and_inside() {
        let spans = [(0, 1), (1, 2), (2, 3), (30, 33), (33, 34)];
        for features in [step(4), Features { data: Vec::new(), frames: 0, dim: 4 }] {
            let times = found(&spans, &features);
            assert!(times.iter().all(|(start, end)| start <= end && *end <= 1.0), "{times:?}");
            assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{times:?}");
        }
    }
}
