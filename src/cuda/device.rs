//! Finding and opening a GPU.

use candle_core::Device;
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result, sys};
use std::fmt;

/// The oldest architecture that there are kernels for: bf16 and asynchronous copies begin with it.
const OLDEST: (i32, i32) = (8, 0);
/// The oldest version of CUDA whose drivers take our kernels.
const OLDEST_DRIVER: i32 = 13000;

/// A GPU that the driver knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// Its number: `cuda:N`.
    pub number: usize,
    /// Its name.
    pub name: String,
    /// Its memory in bytes.
    pub memory: usize,
    /// Its architecture: compute capability, major and minor.
    pub architecture: (i32, i32),
    /// The CUDA version that the driver serves: 1000 major + 10 minor.
    pub driver: i32,
}

/// Why no GPU can be used.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Unusable {
    /// A library, or a function in it, is missing.
    Library(&'static cuda_delayload::Missing),
    /// The driver is older than the kernels.
    OldDriver {
        /// What it serves.
        version: i32,
    },
    /// The driver knows no GPU, or too few.
    NoDevice {
        /// Which one was asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// There are no kernels for so old a GPU.
    OldDevice(Gpu),
    /// CUDA answered with an error.
    Failed(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = |v: i32| format!("{}.{}", v / 1000, v % 1000 / 10);
        match self {
            Self::Library(missing) => write!(f, "{missing}"),
            Self::OldDriver { version: found } => {
                write!(f, "the NVIDIA driver is too old: it serves CUDA {}, ", version(*found))?;
                write!(f, "this program needs {}", version(OLDEST_DRIVER))
            }
            Self::NoDevice { count: 0, .. } => write!(f, "the NVIDIA driver sees no GPU"),
            Self::NoDevice { number, count: 1 } => write!(f, "there is no GPU {number}, only GPU 0"),
            Self::NoDevice { number, count } => write!(f, "there is no GPU {number}, only 0 to {}", count - 1),
            Self::OldDevice(Gpu { name, architecture: (major, minor), .. }) => {
                write!(f, "{name} is too old: its compute capability is {major}.{minor}, ")?;
                write!(f, "this program needs {}.{}", OLDEST.0, OLDEST.1)
            }
            Self::Failed(reason) => write!(f, "CUDA failed: {reason}"),
        }
    }
}

impl std::error::Error for Unusable {}

impl From<DriverError> for Unusable {
    fn from(error: DriverError) -> Self {
        let name = error.error_string().ok().and_then(|text| text.to_str().ok().map(str::to_owned));
        Self::Failed(name.unwrap_or_else(|| format!("{:?}", error.0)))
    }
}

/// The GPUs that the driver knows.
///
/// # Errors
/// If the driver or another library is missing or too old.
pub fn gpus() -> Result<Vec<Gpu>, Unusable> {
    cuda_delayload::load().map_err(Unusable::Library)?;
    match result::init() {
        // What the driver says where there is no device for it.
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(Vec::new()),
        other => other?,
    }
    let mut driver = 0;
    // SAFETY: the driver writes one number to where it is told.
    unsafe { sys::cuDriverGetVersion(&mut driver) }.result()?;
    if driver < OLDEST_DRIVER {
        return Err(Unusable::OldDriver { version: driver });
    }
    let gpu = |number: i32| {
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
        };
        let device = result::device::get(number)?;
        // SAFETY: `device` is one that the driver gave.
        let (memory, architecture) = unsafe {
            let attribute = |which| result::device::get_attribute(device, which);
            (result::device::total_mem(device)?, (attribute(MAJOR)?, attribute(MINOR)?))
        };
        let name = result::device::get_name(device)?;
        Ok(Gpu { number: number as usize, name, memory, architecture, driver })
    };
    (0..result::device::get_count()?).map(gpu).collect()
}

/// candle's device for GPU `number`.
///
/// # Errors
/// Says why it cannot be used.
pub fn open(number: usize) -> Result<Device, Unusable> {
    let gpus = gpus()?;
    let count = gpus.len();
    let gpu = gpus.into_iter().nth(number).ok_or(Unusable::NoDevice { number, count })?;
    if gpu.architecture < OLDEST {
        return Err(Unusable::OldDevice(gpu));
    }
    // A stream of its own: on the default one, cudarc does not order what threads do.
    let device = Device::new_cuda_with_stream(number).map_err(|e| Unusable::Failed(e.to_string()))?;
    let cuda = device.as_cuda_device().map_err(|e| Unusable::Failed(e.to_string()))?;
    // SAFETY: there is one stream, so nothing is freed before a use on another one has ended.
    unsafe { cuda.disable_event_tracking() };
    keep_freed_memory(cuda.cuda_stream().context())?;
    Ok(device)
}

/// Memory that is freed stays with this program: by default it goes back to the system at every synchronisation.
fn keep_freed_memory(context: &CudaContext) -> Result<(), Unusable> {
    let (mut pool, mut all) = (std::ptr::null_mut(), u64::MAX);
    let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the device's own, and the attribute is a 64-bit number, which is read before the call returns.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&mut pool, context.cu_device()).result()?;
        sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast()).result()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_sentences() {
        let gpu = Gpu { number: 0, name: "Tesla V100".into(), memory: 1 << 34, architecture: (7, 0), driver: 13000 };
        let texts = [
            (
                Unusable::OldDriver { version: 12040 },
                "the NVIDIA driver is too old: it serves CUDA 12.4, this program needs 13.0",
            ),
            (Unusable::NoDevice { number: 0, count: 0 }, "the NVIDIA driver sees no GPU"),
            (Unusable::NoDevice { number: 3, count: 2 }, "there is no GPU 3, only 0 to 1"),
            (Unusable::OldDevice(gpu), "Tesla V100 is too old: its compute capability is 7.0, this program needs 8.0"),
        ];
        for (reason, text) in texts {
            assert_eq!(reason.to_string(), text);
        }
    }
}
