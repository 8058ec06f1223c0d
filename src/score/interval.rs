//! How far an error rate would be another one with other speakers or utterances: the bootstrap (Efron 1979; for speech
//! recognition Bisani & Ney 2004).
#![forbid(unsafe_code)]

use super::report::Score;
use crate::rng::Rng;

/// With fewer speakers or utterances an interval would mean little, and there is none.
pub const FEWEST: usize = 5;
/// Sets that are drawn.
const DRAWS: usize = 2000;

/// A 95 % interval of the error rate, by drawing as many of `scores` as there are, anew with replacement.
///
/// Plain percentiles of the draws are too narrow for few scores: variances come out small by (n-1)/n, and the normal
/// distribution stands in for Student's. So the percentiles lie further out, where the expanded percentile interval has
/// them (Hesterberg 2015, "What teachers should know about the bootstrap", section 4).
pub fn interval(scores: &[Score], seed: u64) -> Option<(f64, f64)> {
    if scores.len() < FEWEST {
        return None;
    }
    let mut rng = Rng::stream(seed, "bootstrap", 0);
    let draw = |_| {
        let mut sum = Score::default();
        scores.iter().for_each(|_| sum += scores[rng.below(scores.len())]);
        sum.per()
    };
    let mut rates: Vec<f64> = (0..DRAWS).map(draw).collect();
    rates.sort_by(f64::total_cmp);
    Some(middle(&rates, scores.len()))
}

/// What lies between the expanded percentiles of sorted draws from `n` things.
pub(super) fn middle(sorted: &[f64], n: usize) -> (f64, f64) {
    let n = n as f64;
    let outside = normal_below(-student(n - 1.0) * (n / (n - 1.0)).sqrt());
    let last = sorted.len() - 1;
    let rank = (outside * last as f64).floor() as usize;
    (sorted[rank], sorted[last - rank])
}

/// What 97.5 % of Student's distribution lie below, by the expansion of Cornish & Fisher (Abramowitz & Stegun 26.7.5).
fn student(freedom: f64) -> f64 {
    let x = 1.959_964_f64;
    let powers: [f64; 4] = std::array::from_fn(|k| x.powi(2 * k as i32 + 3));
    let [x3, x5, x7, x9] = powers;
    x + (x3 + x) / (4.0 * freedom)
        + (5.0 * x5 + 16.0 * x3 + 3.0 * x) / (96.0 * freedom.powi(2))
        + (3.0 * x7 + 19.0 * x5 + 17.0 * x3 - 15.0 * x) / (384.0 * freedom.powi(3))
        + (79.0 * x9 + 776.0 * x7 + 1482.0 * x5 - 1920.0 * x3 - 945.0 * x) / (92160.0 * freedom.powi(4))
}

/// The share of the normal distribution below `x`, within 1.5e-7 (Abramowitz & Stegun 7.1.26).
pub(super) fn normal_below(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let coefficients = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let polynomial = coefficients.into_iter().fold(0.0, |sum, c| (sum + c) * t);
    let above = 0.5 * polynomial * (-z * z).exp();
    if x < 0.0 { above } else { 1.0 - above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, expected) in [(4.0, 2.776), (9.0, 2.262), (23.0, 2.069), (1000.0, 1.962)] {
            assert!((student(freedom) - expected).abs() < 3e-3, "{freedom}: {}", student(freedom));
        }
        for (x, expected) in [(-1.96, 0.0250), (0.0, 0.5), (1.0, 0.8413)] {
            assert!((normal_below(x) - expected).abs() < 1e-4, "{x}");
        }
    }

    #[test]
    fn alike_speakers_have_a_narrow_interval() {
        let score = |errors| Score { substitutions: errors, reference: 100, ..Score::default() };
        assert_eq!(interval(&[score(20); 4], 1), None);
        assert_eq!(interval(&[score(20); 5], 1), Some((20.0, 20.0)));
        let (low, high) = interval(&[10, 20, 30, 40, 50].map(score), 1).expect("five are enough");
        assert!((10.0..20.0).contains(&low) && (40.0..=50.0).contains(&high), "{low} {high}");
    }

    /// A set of speakers whose true rates, and numbers of phones, differ as those of real ones do.
    fn speakers(rng: &mut Rng, n: usize) -> Vec<Score> {
        let mut speaker = || {
            let rate = (0.25 + 0.08 * rng.normal()).clamp(0.02, 0.9);
            let reference = 150 + rng.below(300);
            let substitutions = (0..reference).filter(|_| rng.uniform() < rate).count();
            Score { substitutions, reference, ..Score::default() }
        };
        (0..n).map(|_| speaker()).collect()
    }

    #[test]
    fn nineteen_of_twenty_intervals_hold_the_true_rate() {
        // As many as TIMIT's core test set has, half of that, and as many as a large set has. So many simulations are needed
        // to tell 94 % from 95 %.
        const SIMULATIONS: usize = 4000;
        for n in [12, 24, 63] {
            let mut rng = Rng::stream(7, "coverage", n as u64);
            let truth = {
                let mut sum = Score::default();
                speakers(&mut rng, 20_000).into_iter().for_each(|score| sum += score);
                sum.per()
            };
            let holds = |k: u64, rng: &mut Rng| {
                let (low, high) = interval(&speakers(rng, n), k).expect("speakers enough");
                low <= truth && truth <= high
            };
            let covered = (0..SIMULATIONS).filter(|k| holds(*k as u64, &mut rng)).count();
            let percent = 100.0 * covered as f64 / SIMULATIONS as f64;
            assert!((94.0..=96.0).contains(&percent), "{n} speakers: {percent} %");
            println!("{n} speakers: {percent} % of the intervals hold the true rate");
        }
    }
}
