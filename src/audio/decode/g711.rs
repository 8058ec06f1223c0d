//! G.711: the bytes of mu-law and A-law, and the 16-bit samples that they stand for.
#![forbid(unsafe_code)]

/// What is added to a sample's size, so that every segment of mu-law begins at a power of two.
const BIAS: i32 = 0x84;
/// The largest size that mu-law can tell.
const MULAW_MOST: i32 = 0x7fff - BIAS;

/// The sample of a mu-law byte.
pub fn from_mulaw(byte: u8) -> i16 {
    let byte = !byte;
    let (segment, step) = (byte >> 4 & 7, i16::from(byte & 15));
    let size = (((step << 3) + BIAS as i16) << segment) - BIAS as i16;
    if byte & 0x80 == 0 { size } else { -size }
}

/// The sample of an A-law byte.
pub fn from_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let (segment, step) = (byte >> 4 & 7, i16::from(byte & 15));
    let size = match segment {
        0 => (step << 4) + 8,
        _ => ((step << 4) + 0x108) << (segment - 1),
    };
    if byte & 0x80 == 0 { -size } else { size }
}

/// The mu-law byte of a sample; what is louder than the loudest becomes that one.
pub fn to_mulaw(sample: i32) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let size = sample.unsigned_abs().min(MULAW_MOST as u32) as i32 + BIAS;
    let segment = size.ilog2() as i32 - 7;
    !(sign | (segment as u8) << 4 | (size >> (segment + 3) & 15) as u8)
}

/// The A-law byte of a sample; what is louder than the loudest becomes that one.
pub fn to_alaw(sample: i32) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    // Of a negative number, the one's complement.
    let size = ((sample ^ sample >> 31) >> 3).min(0xfff);
    let segment = (size.max(1).ilog2() as i32 - 4).max(0);
    (sign | (segment as u8) << 4 | (size >> segment.max(1) & 15) as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_recommendation() {
        for (byte, sample) in [(0xff, 0), (0x7f, 0), (0x80, 32124), (0x00, -32124), (0xfe, 8), (0x8f, 16764)] {
            assert_eq!(from_mulaw(byte), sample, "{byte:#x}");
        }
        for (byte, sample) in [(0xd5, 8), (0x55, -8), (0xaa, 32256), (0x2a, -32256)] {
            assert_eq!(from_alaw(byte), sample, "{byte:#x}");
        }
    }

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=255 {
            // There are two zeros; the positive one is written.
            assert_eq!(to_mulaw(from_mulaw(byte).into()), if byte == 0x7f { 0xff } else { byte });
            assert_eq!(to_alaw(from_alaw(byte).into()), byte);
        }
        assert_eq!([i32::MAX, i32::MIN].map(to_mulaw), [0x80, 0x00]);
        assert_eq!([i32::MAX, i32::MIN].map(to_alaw), [0xaa, 0x2a]);
    }
}
