//! Random numbers: seeded, in named streams, so that a run can be repeated and resumed bit for bit.
//!
//! Every random decision draws from `Rng::stream(seed, purpose, index)`, a pure function of its arguments: there is
//! no generator state to save, and adding a draw in one place changes nothing in another. The generator is
//! xoshiro256++ seeded through SplitMix64 (Blackman & Vigna 2019, <https://prng.di.unimi.it>). Not for secrets.
#![forbid(unsafe_code)]

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(GOLDEN);
    mixed(*state)
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A stream of random bits whose numbers can be asked for in any order, from many threads, on a GPU too: SplitMix64, the
/// state of which is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Which stream.
    pub key: u64,
}

impl Counter {
    /// Number `n`: 64 random bits.
    #[inline(always)]
    pub fn bits(self, n: u64) -> u64 {
        mixed(self.key.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN)))
    }
}

impl Rng {
    /// A stream of its own for as many numbers as are wanted; takes one draw.
    pub fn counter(&mut self) -> Counter {
        Counter { key: self.next_u64() }
    }

    /// The stream for `purpose` (a name such as `"dropout"`) and `index` (a step, an epoch, an utterance).
    pub fn stream(seed: u64, purpose: &str, index: u64) -> Self {
        // FNV-1a of the name keeps streams of different purposes apart.
        let name =
            purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let mut mix = seed;
        let mut key = split_mix(&mut mix) ^ name;
        key = split_mix(&mut key) ^ index;
        Self { state: std::array::from_fn(|_| split_mix(&mut key)) }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 * (1.0 / (1_u32 << 24) as f32)
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in 0..`n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Standard normal (Box & Muller 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * f64::from(1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.uniform())).cos()) as f32
    }

    /// Puts `items` in random order (Fisher & Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, purpose, index| Rng::stream(seed, purpose, index).next_u64();
        assert_eq!(draw(1, "a", 0), draw(1, "a", 0));
        let all = [draw(1, "a", 0), draw(2, "a", 0), draw(1, "b", 0), draw(1, "a", 1)];
        assert!((0..4).all(|i| (0..i).all(|j| all[i] != all[j])));
    }

    #[test]
    fn a_counter_counts() {
        let counter = Counter { key: 7 };
        let mut state = 7;
        assert!((0..100).all(|n| counter.bits(n) == split_mix(&mut state)));
    }

    #[test]
    fn moments_are_right() {
        let mut rng = Rng::stream(7, "test", 0);
        let n = 100_000;
        let (mut mean, mut square, mut uniform) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = f64::from(rng.normal());
            mean += x / f64::from(n);
            square += x * x / f64::from(n);
            uniform += f64::from(rng.uniform()) / f64::from(n);
        }
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.03 && (uniform - 0.5).abs() < 0.01);
    }

    #[test]
    fn shuffle_keeps_all() {
        let mut items: Vec<usize> = (0..100).collect();
        Rng::stream(3, "test", 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
