//! What every custom operation on candle tensors needs: slices out of tensors and tensors out of vectors.
#![forbid(unsafe_code)]

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, WithDType, bail};

/// The numbers behind a storage, which must lie in row-major order without gaps.
pub fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => bail!("the tensor is not contiguous"),
    }
}

/// Calls `f` with the numbers of a contiguous tensor on the CPU.
pub fn with_slice<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> R) -> Result<R> {
    with_slices([tensor], |[slice]| f(slice))
}

/// [`with_slice`] for several tensors.
pub fn with_slices<T: WithDType, R, const K: usize>(
    tensors: [&Tensor; K],
    f: impl FnOnce([&[T]; K]) -> R,
) -> Result<R> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut slices: [&[T]; K] = [&[]; K];
    for (to, (storage, layout)) in slices.iter_mut().zip(&held) {
        match &**storage {
            Storage::Cpu(storage) => *to = slice(storage, layout)?,
            _ => bail!("the tensor is not on the CPU"),
        }
    }
    Ok(f(slices))
}

/// A copy of the numbers of a tensor, wherever it is.
pub fn to_vec<T: WithDType>(tensor: &Tensor) -> Result<Vec<T>> {
    match tensor.device() {
        Device::Cpu => with_slice(&tensor.contiguous()?, <[T]>::to_vec),
        _ => tensor.flatten_all()?.to_vec1(),
    }
}

/// A tensor on the CPU without history, as a backward pass returns it.
pub fn from_vec<T: WithDType>(data: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    Tensor::from_vec(data, shape, &Device::Cpu)
}
