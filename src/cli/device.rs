//! Which device a run computes on, and why not another one. A device that was named and cannot be used is an error,
//! never a silent step back to the CPU.
#![forbid(unsafe_code)]

use super::options::DeviceChoice;
use super::output;
use candle_core::Device;

/// Why this program uses no GPU.
pub const NO_CUDA: &str = "built without CUDA";

/// The device for a choice.
pub fn resolve(choice: DeviceChoice) -> anyhow::Result<Device> {
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) => Err(output::with_hint(
            format!("device cuda:{number} cannot be used: formant was {NO_CUDA}"),
            "leave --device out to compute on the CPU",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_gpu_is_never_replaced_silently() {
        assert!(resolve(DeviceChoice::Auto).is_ok_and(|d| d.is_cpu()));
        let error = resolve(DeviceChoice::Cuda(1)).err().map(|e| e.to_string());
        assert_eq!(error.as_deref(), Some("device cuda:1 cannot be used: formant was built without CUDA"));
    }
}
