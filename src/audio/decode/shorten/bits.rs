//! The bits of a shorten stream, highest first, and the numbers that are written in them.
#![forbid(unsafe_code)]

/// Why a stream does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The bytes are used up.
    Ends,
    /// What no encoder writes.
    Damaged(&'static str),
}

/// Reads numbers.
pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits that have been taken from `bytes`, the next one highest, and how many.
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// From the first bit of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, held: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 56
            && let Some(byte) = self.bytes.get(self.at)
        {
            self.held |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
            self.at += 1;
        }
    }

    fn skip(&mut self, count: u32) {
        self.held = self.held.checked_shl(count).unwrap_or(0);
        self.count -= count;
    }

    /// Zeros before the next one, which is skipped.
    fn zeros(&mut self) -> Result<u32, Broken> {
        let mut zeros: u32 = 0;
        loop {
            self.fill();
            let more = self.held.leading_zeros();
            if more < self.count {
                self.skip(more + 1);
                return Ok(zeros.saturating_add(more));
            }
            if self.count == 0 {
                return Err(Broken::Ends);
            }
            zeros = zeros.saturating_add(self.count);
            self.skip(self.count);
        }
    }

    /// A number without a sign in Rice's code: so many bits are its lower part.
    pub fn rice(&mut self, low: u32) -> Result<u32, Broken> {
        const LARGE: Broken = Broken::Damaged("a number in it is too large");
        let high = self.zeros()?;
        if low > 32 {
            return Err(LARGE);
        }
        self.fill();
        if self.count < low {
            return Err(Broken::Ends);
        }
        let rest = if low == 0 { 0 } else { self.held >> (64 - low) };
        self.skip(low);
        u32::try_from(u64::from(high) << low | rest).map_err(|_| LARGE)
    }

    /// A number with a sign, by its lowest bit.
    pub fn signed(&mut self, low: u32) -> Result<i32, Broken> {
        let number = self.rice(low)?;
        let size = (number >> 1) as i32;
        Ok(if number & 1 == 0 { size } else { !size })
    }

    /// A number that says itself how many bits its lower part has.
    pub fn number(&mut self) -> Result<u32, Broken> {
        let low = self.rice(2)?;
        self.rice(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        // 1 00, 0001 1, 01 101 as signed with three bits, 1 01 01 1.
        let mut bits = Bits::new(&[0b1000_0011, 0b0110_1101, 0b0110_0000]);
        assert_eq!(bits.rice(2), Ok(0));
        assert_eq!(bits.rice(1), Ok(7));
        assert_eq!(bits.signed(3), Ok(!6));
        assert_eq!(bits.number(), Ok(3));
        assert_eq!(bits.rice(0), Err(Broken::Ends));
    }

    #[test]
    fn long_runs_and_large_numbers_end() {
        let mut bytes = vec![0; 1000];
        bytes.extend([0b0000_0001, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(Bits::new(&bytes).rice(0), Ok(8007));
        assert_eq!(Bits::new(&bytes).rice(8), Ok(8007 << 8 | 255));
        assert!(matches!(Bits::new(&bytes).rice(32), Err(Broken::Damaged(_))));
        assert!(matches!(Bits::new(&bytes).rice(33), Err(Broken::Damaged(_))));
        assert_eq!(Bits::new(&[0; 100]).rice(3), Err(Broken::Ends));
        assert_eq!(Bits::new(&[0xff; 5]).rice(32), Ok(u32::MAX));
        assert_eq!(Bits::new(&[0xff; 4]).rice(32), Err(Broken::Ends));
    }
}
