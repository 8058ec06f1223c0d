//! Which device a run computes on, and why not another one. A device that was named and cannot be used is an error,
//! never a silent step back to the CPU.
#![forbid(unsafe_code)]

use super::options::{DeviceArgs, DeviceChoice, PrecisionChoice};
use super::output;
use candle_core::{Device, DeviceLocation};

/// The device for a choice, which from now on computes with the precision that was chosen.
pub fn resolve(args: DeviceArgs) -> anyhow::Result<Device> {
    let device = match (args.device, args.precision) {
        // What only the CPU has settles it.
        (DeviceChoice::Auto, PrecisionChoice::Int8) => Device::Cpu,
        (choice, _) => choose(choice)?,
    };
    let (name, of) = match args.precision {
        PrecisionChoice::Tf32 if device.is_cpu() => ("tf32", "a GPU"),
        PrecisionChoice::Bf16 if device.is_cpu() => ("bf16", "a GPU"),
        PrecisionChoice::Int8 if !device.is_cpu() => ("int8", "the CPU"),
        _ => {
            #[cfg(feature = "cuda")]
            crate::cuda::set_products(match args.precision {
                PrecisionChoice::Tf32 => crate::cuda::Products::Tf32,
                PrecisionChoice::Bf16 => crate::cuda::Products::Bf16,
                PrecisionChoice::F32 | PrecisionChoice::Int8 => crate::cuda::Products::F32,
            });
            return Ok(device);
        }
    };
    let here = if device.is_cpu() { "the CPU" } else { "a GPU" };
    let hint = "--device says where, `formant doctor` what there is";
    Err(output::with_hint(format!("precision {name} is for {of}, and this would run on {here}"), hint))
}

/// The same for commands that have no use for weights of 8 bits.
pub fn resolve_real(args: DeviceArgs) -> anyhow::Result<Device> {
    if args.precision == PrecisionChoice::Int8 {
        let hint = "transcribe and evaluate take it; bench measures it beside f32 by itself";
        return Err(output::with_hint("precision int8 is not for this command", hint));
    }
    resolve(args)
}

fn choose(choice: DeviceChoice) -> anyhow::Result<Device> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Auto => Ok(open(0).unwrap_or(Device::Cpu)),
        DeviceChoice::Cuda(number) => open(number).map_err(|reason| {
            output::with_hint(
                format!("device cuda:{number} cannot be used: {reason}"),
                "leave --device out to compute on the CPU; `formant doctor` says more",
            )
        }),
    }
}

/// What people call a device.
pub fn name(device: &Device) -> String {
    match device.location() {
        DeviceLocation::Cuda { gpu_id } => gpus()
            .ok()
            .and_then(|gpus| gpus.into_iter().nth(gpu_id))
            .map_or_else(|| format!("cuda:{gpu_id}"), |gpu| gpu.description),
        _ => "cpu".to_owned(),
    }
}

/// A GPU that a program built with CUDA sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpu {
    /// Its name, memory and architecture.
    pub description: String,
}

/// GPU `number`, or why it cannot be used.
#[cfg(feature = "cuda")]
fn open(number: usize) -> Result<Device, String> {
    crate::cuda::open(number).map_err(|reason| reason.to_string())
}

/// GPU `number`, or why it cannot be used.
#[cfg(not(feature = "cuda"))]
fn open(_number: usize) -> Result<Device, String> {
    Err("formant was built without CUDA".to_owned())
}

/// The GPUs that can be used, or why none can.
#[cfg(feature = "cuda")]
pub fn gpus() -> Result<Vec<Gpu>, String> {
    let describe = |gpu: crate::cuda::Gpu| {
        let (major, minor) = gpu.architecture;
        let memory = gpu.memory as f64 / f64::from(1 << 30);
        Gpu { description: format!("{}, {memory:.0} GiB, compute capability {major}.{minor}", gpu.name) }
    };
    let gpus = crate::cuda::gpus().map_err(|reason| reason.to_string())?;
    // What fails only when it is opened is said here, too.
    crate::cuda::open(0).map_err(|reason| reason.to_string())?;
    Ok(gpus.into_iter().map(describe).collect())
}

/// The GPUs that can be used, or why none can.
#[cfg(not(feature = "cuda"))]
pub fn gpus() -> Result<Vec<Gpu>, String> {
    Err("built without CUDA".to_owned())
}

#[cfg(all(test, not(feature = "cuda")))]
mod tests {
    use super::*;

    #[test]
    fn a_named_gpu_is_never_replaced_silently() {
        let args = |device, precision| DeviceArgs { device, precision };
        let f32 = |device| args(device, PrecisionChoice::F32);
        assert!(resolve(f32(DeviceChoice::Auto)).is_ok_and(|d| d.is_cpu()));
        let error = resolve(args(DeviceChoice::Auto, PrecisionChoice::Bf16)).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("precision bf16 is for a GPU, and this would run on the CPU"));
        assert!(resolve_real(args(DeviceChoice::Cpu, PrecisionChoice::Int8)).is_err());
        assert!(resolve(args(DeviceChoice::Auto, PrecisionChoice::Int8)).is_ok_and(|d| d.is_cpu()));
        let error = resolve(f32(DeviceChoice::Cuda(1))).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("device cuda:1 cannot be used: formant was built without CUDA"));
    }
}
