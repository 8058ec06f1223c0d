//! What the numbers of a shorten stream stand for: linear samples, or bytes of mu-law or A-law.
#![forbid(unsafe_code)]

use super::super::g711::{from_alaw, from_mulaw, to_alaw, to_mulaw};
use std::ops::RangeInclusive;
use std::sync::LazyLock;

/// The kinds of samples, by the numbers that streams have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// So many bits, with a sign.
    Signed(u32),
    /// So many bits; silence is the middle.
    Unsigned(u32),
    /// Bytes of mu-law, put in order of size; true for the order of version 2, in which the negative zero has a place of
    /// its own.
    MuLaw(bool),
    /// Bytes of A-law, put in order of size.
    ALaw,
    /// Mu-law as linear samples of 13 bits: what was written has lost something.
    LinearMuLaw,
    /// The same for A-law.
    LinearALaw,
}

impl Kind {
    /// Nothing for a number that no version knows.
    pub fn new(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::MuLaw(false),
            1 => Self::Signed(8),
            2 => Self::Unsigned(8),
            // High byte first, and low byte first: the order in the file that the encoder read.
            3 | 5 => Self::Signed(16),
            4 | 6 => Self::Unsigned(16),
            7 => Self::LinearMuLaw,
            8 => Self::MuLaw(true),
            9 => Self::ALaw,
            10 => Self::LinearALaw,
            _ => return None,
        })
    }

    /// What the mean is before there are samples.
    pub fn silence(self) -> i64 {
        match self {
            Self::Unsigned(bits) => 1 << (bits - 1),
            _ => 0,
        }
    }

    /// The most bits that a stream can have shifted out.
    pub fn most_shift(self) -> u32 {
        if matches!(self, Self::MuLaw(_)) { ORDERS - 1 } else { 32 }
    }

    /// The sample in [-1, 1] of a number from which `shift` bits have been shifted out.
    pub fn sample(self, number: i32, shift: u32) -> f32 {
        let linear = || i64::from(number) << shift;
        let clamped = |low: i64, high: i64| linear().clamp(low, high) as i32;
        let sixteen = |sample: i16| f32::from(sample) / 32_768.0;
        match self {
            Self::Signed(bits) | Self::Unsigned(bits) => {
                let full = 1_i64 << (bits - 1);
                let middle = self.silence();
                (clamped(middle - full, middle + full - 1) - middle as i32) as f32 / full as f32
            }
            Self::MuLaw(two_zeros) => sixteen(from_mulaw(mulaw(number, shift, two_zeros))),
            Self::ALaw => sixteen(from_alaw(match clamped(-128, 127) {
                byte @ ..0 => (127 - byte) as u8 ^ 0xd5,
                byte => (byte + 128) as u8 ^ 0x55,
            })),
            Self::LinearMuLaw => sixteen(from_mulaw(to_mulaw(clamped(-4096, 4095) << 3))),
            Self::LinearALaw => sixteen(from_alaw(to_alaw(clamped(-4096, 4095) << 3))),
        }
    }
}

const NEGATIVE_ZERO: u8 = 0x7f;

fn mulaw(number: i32, shift: u32, two_zeros: bool) -> u8 {
    let order = &MULAW[shift.min(ORDERS - 1) as usize];
    match number {
        -1 if two_zeros => NEGATIVE_ZERO,
        // The negative zero has been taken out of the order.
        ..0 if two_zeros => order[(number.max(-129) + 129) as usize],
        _ => order[(number.clamp(-128, 127) + 128) as usize],
    }
}

const ORDERS: u32 = 13;
/// For every shift, the bytes of mu-law from the most negative to the most positive.
static MULAW: LazyLock<[[u8; 256]; ORDERS as usize]> = LazyLock::new(|| {
    let zero_bits = zero_bits();
    std::array::from_fn(|shift| order(&zero_bits, shift))
});

/// For every byte, how many of the lowest bits can be zero in a sample of 13 bits that it stands for.
fn zero_bits() -> [usize; 256] {
    let mut bits = [0; 256];
    for shift in 0..ORDERS as usize {
        for sample in (-32_768..32_768).step_by(1 << (shift + 3)) {
            bits[usize::from(to_mulaw(sample))] = shift;
        }
    }
    bits
}

/// Sounds like a shift, and is none: bytes that stand for samples with so many zero bits come first, in order of their
/// size, then those that do not. So a block that has only the former is written with small numbers.
fn order(zero_bits: &[usize; 256], shift: usize) -> [u8; 256] {
    let chosen = |bytes: RangeInclusive<u8>, wanted: bool| {
        bytes.rev().filter(move |byte| (zero_bits[usize::from(*byte)] >= shift) == wanted)
    };
    let mut order = [0; 256];
    // From silence upwards; 255 is the positive zero.
    let positive = chosen(128..=255, true).chain(chosen(128..=255, false));
    positive.zip(128..).for_each(|(byte, at): (u8, usize)| order[at] = byte);
    // From silence downwards. The negative zero stands between the two groups.
    let negative = chosen(0..=126, true).chain([NEGATIVE_ZERO]).chain(chosen(0..=126, false));
    negative.zip((0..128).rev()).for_each(|(byte, at): (u8, usize)| order[at] = byte);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mulaw_is_put_in_order() {
        let plain: Vec<u8> = [127].into_iter().chain(0..127).chain((128..=255).rev()).collect();
        assert_eq!(MULAW[0].as_slice(), plain);
        // As the tables of the original program begin and end.
        assert_eq!(MULAW[1][..10], [112, 114, 116, 118, 120, 122, 124, 126, 127, 0]);
        assert_eq!(
            MULAW[1][120..136],
            [111, 113, 115, 117, 119, 121, 123, 125, 255, 253, 251, 249, 247, 245, 243, 241]
        );
        assert_eq!(MULAW[2][..12], [96, 98, 100, 102, 104, 106, 108, 110, 112, 113, 114, 116]);
        assert_eq!(MULAW[2][248..], [238, 236, 234, 232, 230, 228, 226, 224]);
        for order in MULAW.iter() {
            let mut sorted = *order;
            sorted.sort_unstable();
            assert!((0..=255).eq(sorted));
        }
    }

    #[test]
    fn any_number_is_a_sample() {
        for kind in (0..11).filter_map(Kind::new) {
            for number in [i32::MIN, -65536, -130, -129, -128, -1, 0, 1, 127, 128, 40_000, i32::MAX] {
                for shift in 0..=kind.most_shift() {
                    assert!(kind.sample(number, shift).abs() <= 1.0, "{kind:?} {number} {shift}");
                }
            }
        }
        assert_eq!(Kind::new(11), None);
    }
}
