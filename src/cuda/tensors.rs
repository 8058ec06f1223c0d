//! Between candle's tensors and the numbers on a GPU.
#![forbid(unsafe_code)]

use super::launch::Call;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, CudaView};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Layout, Result, Shape, Storage, Tensor, bail};

/// What a forward pass on a GPU returns to candle.
pub type Output = Result<(CudaStorage, Shape)>;

/// The numbers behind a storage, which must lie in row-major order without gaps.
pub fn view<'a>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, f32>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<f32>()?.slice(start..end)),
        None => bail!("the tensor is not contiguous"),
    }
}

/// Calls `f` with the numbers of contiguous tensors on a GPU.
pub fn with<R, const K: usize>(
    tensors: [&Tensor; K],
    f: impl FnOnce(Call<'_>, [CudaView<'_, f32>; K]) -> Result<R>,
) -> Result<R> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut views = Vec::with_capacity(K);
    let mut device = None;
    for (storage, layout) in &held {
        let Storage::Cuda(storage) = &**storage else { bail!("the tensor is not on the GPU") };
        views.push(view(storage, layout)?);
        device = Some(&storage.device);
    }
    match (device, views.try_into()) {
        (Some(device), Ok(views)) => f(Call(device), views),
        _ => bail!("no tensors"),
    }
}

/// A tensor without history, as a backward pass returns it.
pub fn tensor(call: Call<'_>, numbers: CudaSlice<f32>, shape: impl Into<Shape>) -> Tensor {
    let storage = CudaStorage::wrap_cuda_slice(numbers, call.0.clone());
    Tensor::from_storage(Storage::Cuda(storage), shape.into(), BackpropOp::none(), false)
}

/// What a forward pass returns: these numbers, in that shape.
pub fn output(call: Call<'_>, numbers: CudaSlice<f32>, shape: impl Into<Shape>) -> Output {
    Ok((CudaStorage::wrap_cuda_slice(numbers, call.0.clone()), shape.into()))
}

/// What has no kernel: the numbers go to the host, `f` works on them there, and its result comes back.
pub fn on_host(x: &CudaStorage, layout: &Layout, to: impl Into<Shape>, f: impl FnOnce(&[f32]) -> Vec<f32>) -> Output {
    let call = Call(&x.device);
    let result = f(&call.0.clone_dtoh(&view(x, layout)?)?);
    output(call, call.upload(&result)?, to)
}
