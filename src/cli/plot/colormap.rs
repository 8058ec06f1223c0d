//! The colours of a spectrogram: magma, whose lightness rises evenly, so that it reads the same in print and for eyes
//! that tell few colours apart.
#![forbid(unsafe_code)]

/// Every eighth colour of matplotlib's magma (`_cm_listed.py`; by Smith, van der Walt and Firing, given to the public
/// domain as CC0). Straight lines between them stay within 1.3 of 255 of the original.
const MAGMA: [u32; 33] = [
    0x000004, 0x030311, 0x0a0822, 0x130d33, 0x1d1146, 0x28115a, 0x36106a, 0x430f76, 0x50127c, 0x5d177f, 0x691c81,
    0x762181, 0x822681, 0x8f2a81, 0x9c2e7f, 0xa9327d, 0xb63779, 0xc33b75, 0xcf4170, 0xdb486a, 0xe65163, 0xee5c5e,
    0xf5695c, 0xf9785d, 0xfb8761, 0xfd9668, 0xfea571, 0xfeb47b, 0xfec387, 0xfed194, 0xfde0a2, 0xfceeb0, 0xfcfdbf,
];

/// Red, green and blue of each of 256 levels, dark to light.
pub fn palette() -> [[u8; 3]; 256] {
    std::array::from_fn(|level| {
        let place = level as f64 / 255.0 * (MAGMA.len() - 1) as f64;
        let below = (place as usize).min(MAGMA.len() - 2);
        let part = place - below as f64;
        std::array::from_fn(|channel| {
            let at = |index: usize| f64::from(MAGMA[index].to_be_bytes()[channel + 1]);
            (at(below) * (1.0 - part) + at(below + 1) * part).round() as u8
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lightness_rises_from_end_to_end() {
        let palette = palette();
        assert_eq!((palette[0], palette[255]), ([0, 0, 4], [0xfc, 0xfd, 0xbf]));
        // Luminance (Rec. 709) of gamma-coded colours; rounding to whole levels costs a little.
        let linear = |channel: u8| (f64::from(channel) / 255.0).powf(2.2);
        let luminance = palette.map(|[r, g, b]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b));
        assert!(luminance.windows(2).all(|pair| pair[1] > pair[0] - 1e-4));
    }
}
