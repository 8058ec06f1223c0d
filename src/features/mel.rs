//! The mel filter bank, as Kaldi defines it (feat/mel-computations.cc): triangles that are straight on the mel scale.
#![forbid(unsafe_code)]

use super::FrontEnd;

/// Hz to mel.
pub fn hz_to_mel(hz: f64) -> f64 {
    1127.0 * (1.0 + hz / 700.0).ln()
}

impl FrontEnd {
    /// Lower edge of the lowest filter and upper edge of the highest, in mel. The centres of the filters lie between
    /// them at even steps: filter `bin` (from 0) of `bins` stands at `low + (high - low) * (bin + 1) / (bins + 1)`.
    pub fn mel_range(&self) -> (f64, f64) {
        let nyquist = f64::from(self.sample_rate) / 2.0;
        let high = if self.high_hz > 0.0 { self.high_hz.into() } else { nyquist + f64::from(self.high_hz) };
        (hz_to_mel(self.low_hz.into()), hz_to_mel(high))
    }
}

/// Hz below which frequencies are stretched evenly; vowels' formants lie there.
const EVEN_HZ: f64 = 4800.0;

/// Where a frequency goes when a vocal tract is `1 / warp` times as long (Jaitly and Hinton 2013, equation 2):
/// `warp` times as high, and from some height on less, so that `nyquist` stays where it is.
fn warped(hz: f64, warp: f64, nyquist: f64) -> f64 {
    let bend = EVEN_HZ.min(nyquist / 2.0) * warp.min(1.0) / warp;
    if hz <= bend { hz * warp } else { nyquist - (nyquist - bend * warp) / (nyquist - bend) * (nyquist - hz) }
}

/// One filter: its weights from a first bin of the spectrum on.
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

/// All filters of a front end.
pub struct MelBank {
    filters: Vec<Filter>,
}

impl MelBank {
    /// Filters over a spectrum of `fft_size / 2 + 1` bins, of a speaker whose frequencies are `warp` times what they
    /// are. As in Kaldi, the bin at half the sample rate is left out.
    pub fn new(front: &FrontEnd, fft_size: usize, warp: f64) -> Self {
        let rate = f64::from(front.sample_rate);
        let mel = |i: usize| hz_to_mel(warped(rate / fft_size as f64 * i as f64, warp, rate / 2.0));
        let mels: Vec<f64> = (0..fft_size / 2).map(mel).collect();
        let (low, high) = front.mel_range();
        let step = (high - low) / (front.bins + 1) as f64;
        let filter = |bin: usize| {
            let (left, centre, right) =
                (low + bin as f64 * step, low + (bin + 1) as f64 * step, low + (bin + 2) as f64 * step);
            let weight = |&m: &f64| {
                let weight = if m <= centre { (m - left) / (centre - left) } else { (right - m) / (right - centre) };
                if m > left && m < right { weight as f32 } else { 0.0 }
            };
            let weights: Vec<f32> = mels.iter().map(weight).collect();
            let first = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
            let end = weights.iter().rposition(|w| *w > 0.0).map_or(first, |last| last + 1);
            Filter { first, weights: weights[first..end].to_vec() }
        };
        Self { filters: (0..front.bins).map(filter).collect() }
    }

    /// Log energies of a power spectrum, never below the logarithm of f32's epsilon.
    pub fn log_energies(&self, power: &[f32], out: &mut [f32]) {
        for (filter, out) in self.filters.iter().zip(out) {
            let energy: f32 = filter.weights.iter().zip(&power[filter.first..]).map(|(w, p)| w * p).sum();
            *out = energy.max(f32::EPSILON).ln();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warping_stretches_formants_and_keeps_the_ends() {
        for warp in [0.8, 0.95, 1.0, 1.1, 1.25] {
            let at = |hz: f64| warped(hz, warp, 8000.0);
            assert!((at(1000.0) - 1000.0 * warp).abs() < 1e-9);
            assert!(at(0.0) == 0.0 && (at(8000.0) - 8000.0).abs() < 1e-9);
            let all: Vec<f64> = (0..=80).map(|i| at(f64::from(i) * 100.0)).collect();
            assert!(all.is_sorted_by(|a, b| a < b), "{warp}: {all:?}");
        }
    }

    #[test]
    fn neighbours_share_every_inner_bin() {
        let bank = MelBank::new(&FrontEnd { bins: 10, ..Default::default() }, 512, 1.0);
        let mut sums = [0.0_f32; 256];
        for filter in &bank.filters {
            for (i, w) in filter.weights.iter().enumerate() {
                sums[filter.first + i] += w;
            }
        }
        // Between the centres of the first and the last filter the triangles add up to one.
        let (first, last) = (bank.filters[1].first, bank.filters[9].first);
        assert!(sums[first..=last].iter().all(|s| (s - 1.0).abs() < 1e-4));
    }
}
