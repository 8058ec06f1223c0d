//! Copies to a GPU that nobody waits for: what is pageable the driver takes only once the GPU has come so far.

use super::launch::Call;
use candle_core::Result;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaSlice, DevicePtrMut, PinnedHostSlice, result};

/// Two buffers of memory that the GPU can read by itself, in turn: while it copies from one, the other is filled.
#[derive(Default)]
pub struct Staging {
    slots: [Option<Slot>; 2],
    turn: usize,
}

struct Slot {
    room: PinnedHostSlice<f32>,
    /// Happens when the last copy from here has ended.
    free: Option<CudaEvent>,
}

impl Drop for Slot {
    /// The memory must not go while it is copied from. If that cannot be known, neither can it be told here.
    fn drop(&mut self) {
        let _ = self.free.take().map(|free| free.synchronize());
    }
}

impl Staging {
    /// A copy of the host's numbers, which may change as soon as this returns.
    pub fn upload(&mut self, call: Call<'_>, numbers: &[f32]) -> Result<CudaSlice<f32>> {
        let (stream, mut copy) = (call.0.cuda_stream(), call.room(numbers.len())?);
        let slot = &mut self.slots[self.turn];
        self.turn = 1 - self.turn;
        if let Some(free) = slot.as_mut().and_then(|slot| slot.free.take()) {
            free.synchronize().w()?;
        }
        if slot.as_ref().is_none_or(|slot| slot.room.len() < numbers.len()) {
            // SAFETY: what is read of it was written before.
            let room = unsafe { stream.context().alloc_pinned(numbers.len().next_power_of_two()) }.w()?;
            *slot = Some(Slot { room, free: None });
        }
        let Some(slot) = slot else { candle_core::bail!("no room to copy from") };
        let room = &mut slot.room.as_mut_slice().w()?[..numbers.len()];
        room.copy_from_slice(numbers);
        {
            let (to, _guard) = copy.device_ptr_mut(&stream);
            // SAFETY: `copy` has room for as many numbers, and `room` stays as it is until `free` has happened.
            unsafe { result::memcpy_htod_async(to, room, stream.cu_stream()) }.w()?;
        }
        slot.free = Some(stream.record_event(None).w()?);
        Ok(copy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_what_it_is_given_each_time() -> Result<()> {
        let Some(device) = crate::cuda::for_tests() else { return Ok(()) };
        let (call, mut staging) = (Call(device.as_cuda_device()?), Staging::default());
        let given: Vec<Vec<f32>> = (1..6).map(|n| (0..7 * n * n).map(|i| (i + n) as f32).collect()).collect();
        let copies = given.iter().map(|numbers| staging.upload(call, numbers)).collect::<Result<Vec<_>>>()?;
        for (copy, numbers) in copies.iter().zip(&given) {
            assert_eq!(&call.0.clone_dtoh(copy)?[..numbers.len()], numbers);
        }
        Ok(())
    }
}
