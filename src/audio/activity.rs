//! Where in a recording there is anything to hear: voice activity by energy alone, without a model.
#![forbid(unsafe_code)]

use super::Waveform;

/// How stretches of sound are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivityOptions {
    /// Silence of at least so many seconds parts two stretches.
    pub pause: f64,
    /// Seconds before and after a stretch that are kept with it.
    pub margin: f64,
    /// Sound lies at least so many decibels above the noise around it.
    pub above_noise: f32,
}

impl Default for ActivityOptions {
    fn default() -> Self {
        Self { pause: 0.6, margin: 0.25, above_noise: 7.0 }
    }
}

/// Length of a block whose level is measured, in seconds.
const BLOCK: f64 = 0.01;
/// The noise is measured over so many seconds on either side, so that it may change in a long recording.
const AROUND: f64 = 15.0;
/// It is measured anew every so many blocks.
const STEP: usize = 100;
/// The share of blocks that are quieter than what passes for the noise's level.
const QUIET: f64 = 0.1;
/// Sound is shorter than this only if it is a click, in blocks.
const CLICK: usize = 3;
/// No sound, however quiet the noise, is below this level, in decibels of full scale.
const INAUDIBLE: f32 = -65.0;
/// A recording whose loudest blocks lie no further above its quietest, in decibels, is all sound: nothing in it can be told
/// from anything else.
const STEADY: f32 = 6.0;
/// The share of blocks that are louder than what passes for the loudest.
const LOUD: f64 = 0.005;

/// Stretches with sound: start and end in seconds, in order, apart from each other.
pub fn activity(wave: &Waveform, options: &ActivityOptions) -> Vec<(f64, f64)> {
    let levels = levels(wave);
    let steady = quantile(&levels, 1.0 - LOUD) - quantile(&levels, QUIET) < STEADY;
    let mut active = Vec::with_capacity(levels.len());
    for start in (0..levels.len()).step_by(STEP) {
        let reach = (AROUND / BLOCK) as usize;
        let around = &levels[start.saturating_sub(reach)..levels.len().min(start + STEP + reach)];
        let threshold = if steady { INAUDIBLE } else { quantile(around, QUIET) + options.above_noise };
        let threshold = threshold.max(INAUDIBLE);
        active.extend(levels[start..levels.len().min(start + STEP)].iter().map(|level| *level > threshold));
    }
    let mut stretches: Vec<(f64, f64)> = Vec::new();
    for (first, end) in runs(&active).filter(|(first, end)| end - first >= CLICK) {
        let start = (first as f64 * BLOCK - options.margin).max(0.0);
        let end = (end as f64 * BLOCK + options.margin).min(wave.seconds());
        match stretches.last_mut() {
            // What lies between the margins is shorter than the pause by both of them.
            Some(last) if start - last.1 < options.pause - 2.0 * options.margin => last.1 = end,
            _ => stretches.push((start, end)),
        }
    }
    stretches
}

/// The level of each block in decibels of full scale, low frequencies weighed down as speech is when its features are made:
/// hum and rumble are no sound.
fn levels(wave: &Waveform) -> Vec<f32> {
    let size = ((f64::from(wave.sample_rate()) * BLOCK) as usize).max(1);
    let mut before = 0.0;
    wave.samples()
        .chunks(size)
        .map(|block| {
            let mut power = 0.0;
            for sample in block {
                power += (sample - 0.97 * before).powi(2);
                before = *sample;
            }
            10.0 * (power / block.len() as f32 + 1e-12).log10()
        })
        .collect()
}

/// The level that this share of the levels lie below; nothing is quieter than nothing.
fn quantile(levels: &[f32], share: f64) -> f32 {
    if levels.is_empty() {
        return f32::NEG_INFINITY;
    }
    let mut sorted = levels.to_vec();
    let at = ((sorted.len() - 1) as f64 * share) as usize;
    *sorted.select_nth_unstable_by(at, f32::total_cmp).1
}

/// First and one past the last of each run of what is active.
fn runs(active: &[bool]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = at + active[at..].iter().position(|active| *active)?;
        let end = active[first..].iter().position(|active| !active).map_or(active.len(), |length| first + length);
        at = end;
        Some((first, end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// Noise of a level, with louder stretches in it.
    fn wave(seconds: f64, noise: f32, loud: &[(f64, f64)]) -> Waveform {
        let mut rng = Rng::stream(1, "activity", 0);
        let is_loud = |t: f64| loud.iter().any(|(start, end)| (*start..*end).contains(&t));
        let sample = |n: usize| rng.normal() * if is_loud(n as f64 / 8000.0) { 0.1 } else { noise };
        Waveform::new((0..(seconds * 8000.0) as usize).map(sample).collect(), 8000).expect("finite")
    }

    #[test]
    fn stretches_are_found_with_their_margins() {
        let options = ActivityOptions::default();
        let loud = [(1.0, 2.0), (2.3, 3.0), (5.0, 5.5), (6.5, 6.51)];
        for noise in [0.0, 1e-4, 0.01] {
            let found = activity(&wave(8.0, noise, &loud), &options);
            // The second is too near to the first to be one of its own, the last a click.
            let expected = [(0.75, 3.25), (4.75, 5.75)];
            assert_eq!(found.len(), 2, "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!((found.0 - expected.0).abs() < 0.03 && (found.1 - expected.1).abs() < 0.03, "{found:?}");
            }
        }
    }

    #[test]
    fn without_pauses_all_is_sound_and_silence_is_none() {
        let options = ActivityOptions::default();
        assert_eq!(activity(&wave(3.0, 0.1, &[]), &options), [(0.0, 3.0)]);
        assert_eq!(activity(&wave(3.0, 0.0, &[]), &options), []);
        assert_eq!(activity(&wave(0.0005, 0.1, &[]), &options), []);
    }

    #[test]
    fn noise_may_change_in_a_long_recording() {
        let (quiet, noisy) = (wave(60.0, 1e-4, &[(30.0, 31.0)]), wave(60.0, 0.02, &[(30.0, 31.0)]));
        let both = Waveform::new([quiet.samples(), noisy.samples()].concat(), 8000).expect("finite");
        let found = activity(&both, &ActivityOptions::default());
        let inside = |t: f64| found.iter().any(|(start, end)| *start < t && t < *end);
        assert!(inside(30.5) && inside(90.5) && !inside(10.0) && !inside(115.0), "{found:?}");
    }
}
