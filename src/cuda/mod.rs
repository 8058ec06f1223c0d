//! The GPU: which there are and why one cannot be used, our kernels, and how they are launched. Knows nothing of what
//! they compute.
//!
//! Everything runs on the one stream of candle's device, in the order in which it was asked for.

mod device;
mod launch;
mod staging;
pub mod tensors;

pub use device::{Gpu, Unusable, gpus, open};
pub use launch::{Argument, Call, Grid, Kernel, Limits, Matrix, Products, set_products};
pub use staging::Staging;

/// A device for tests: the one that there is. Without one they have nothing to test and say so, unless FORMANT_CUDA_PATH
/// names libraries (those of scripts/host-cuda, say): then there must be one.
#[cfg(test)]
pub fn for_tests() -> Option<candle_core::Device> {
    match open(0) {
        Ok(device) => Some(device),
        Err(reason) if std::env::var_os(cuda_delayload::PATH_VARIABLE).is_some() => panic!("{reason}"),
        Err(reason) => {
            eprintln!("skipped: {reason}");
            None
        }
    }
}
