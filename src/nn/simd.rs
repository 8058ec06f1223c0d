//! Instruction sets, chosen at run time, and memory as they like it.

use pulp::{Scalar256b, Simd, WithSimd};
use std::sync::OnceLock;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// AVX-512.
    Avx512,
    /// AVX2 and FMA.
    Avx2,
    /// NEON.
    Neon,
    /// Plain Rust, eight numbers at a time.
    Portable,
}

impl Path {
    /// The name, as `FORMANT_SIMD` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }

    /// Those that this machine has, fastest first.
    pub fn available() -> Vec<Self> {
        let mut paths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            paths.extend(pulp::x86::V4::try_new().map(|_| Self::Avx512));
            paths.extend(pulp::x86::V3::try_new().map(|_| Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        paths.extend(pulp::aarch64::Neon::try_new().map(|_| Self::Neon));
        paths.push(Self::Portable);
        paths
    }

    /// The one in use: the fastest, or what the environment variable `FORMANT_SIMD` names.
    pub fn current() -> Self {
        static CURRENT: OnceLock<Path> = OnceLock::new();
        *CURRENT.get_or_init(|| {
            let paths = Self::available();
            let wanted = std::env::var("FORMANT_SIMD").unwrap_or_default();
            paths.iter().copied().find(|p| p.name() == wanted).unwrap_or(paths[0])
        })
    }

    /// Numbers of a vector.
    pub fn lanes(self) -> usize {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;
            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        self.dispatch(Lanes)
    }

    /// Runs `op` with this instruction set; plain Rust if the machine lacks it.
    pub fn dispatch<Op: WithSimd>(self, op: Op) -> Op::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => match pulp::x86::V4::try_new() {
                Some(simd) => Simd::vectorize(simd, op),
                None => Scalar256b.vectorize(op),
            },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => match pulp::x86::V3::try_new() {
                Some(simd) => Simd::vectorize(simd, op),
                None => Scalar256b.vectorize(op),
            },
            #[cfg(target_arch = "aarch64")]
            Self::Neon => match pulp::aarch64::Neon::try_new() {
                Some(simd) => Simd::vectorize(simd, op),
                None => Scalar256b.vectorize(op),
            },
            _ => Scalar256b.vectorize(op),
        }
    }
}

/// `a b + c`, fused where the machine does that in one instruction. Without one, a fused sum is a call of the
/// mathematical library for each number, and some twenty times slower than the two operations.
#[inline(always)]
pub fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if std::any::TypeId::of::<S>() == std::any::TypeId::of::<Scalar256b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_e_f32s(a, b, c)
    }
}

/// Loads up to a vector of numbers; missing ones are zero.
#[inline(always)]
pub fn load<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    match S::as_simd_f32s(from).0.first() {
        Some(&v) => v,
        None => simd.partial_load_f32s(from),
    }
}

/// Stores as many numbers as `to` holds, a vector at most.
#[inline(always)]
pub fn store<S: Simd>(simd: S, to: &mut [f32], v: S::f32s) {
    match S::as_mut_simd_f32s(to).0.first_mut() {
        Some(to) => *to = v,
        None => simd.partial_store_f32s(to, v),
    }
}

/// A row of memory as wide as the widest vector, so that packed weights start at such a boundary.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([f32; 16]);

/// Packed weights: vectors side by side, 64-byte aligned.
pub struct Packed {
    lines: Vec<Line>,
    len: usize,
}

impl Packed {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self { lines: vec![Line([0.0; 16]); len.div_ceil(16)], len }
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[f32] {
        // SAFETY: a Line is 16 f32 without padding, and `zeros` made enough of them for `len`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    /// The numbers, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_slice`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
