//! A convolution along one axis as a matrix: the weights of a cell that slides over the mel axis.
//!
//! Every band of the matrix holds the same kernel, and a step of such a cell is that of any other. The zeros beside the
//! bands cost products: some `bins / kernel` times the convolution's own, for layers whose rows are short.
#![forbid(unsafe_code)]

#[cfg(feature = "cuda")]
use super::gpu;
use super::op;
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};

/// `u` `[D, G C', kernel C]` to `[D, G bins C', bins C]`: `out[d, (g, b, c'), (b + k - (kernel - 1) / 2, c)] = u[d, (g,
/// c'), (k, c)]`, zero elsewhere. `channels` are C, those that the kernel sees, and C', those that it makes.
pub fn banded(u: &Tensor, channels: [usize; 2], kernel: usize, bins: usize) -> Result<Tensor> {
    let (directions, rows, columns) = u.dims3()?;
    let [seen, made] = channels;
    if seen * kernel != columns || made == 0 || !rows.is_multiple_of(made) {
        bail!("banded: {:?} is no kernel of {kernel} bins for channels {channels:?}", u.dims())
    }
    u.contiguous()?.apply_op1(Banded { directions, gates: rows / made, seen, made, kernel, bins })
}

struct Banded {
    directions: usize,
    gates: usize,
    seen: usize,
    made: usize,
    kernel: usize,
    bins: usize,
}

impl Banded {
    /// Calls `f(where it stands in u, where in the matrix)` for every run of as many numbers as the kernel sees channels.
    fn for_each(&self, mut f: impl FnMut(usize, usize)) {
        let Self { directions, gates, seen, made, kernel, bins } = *self;
        for gate in 0..directions * gates {
            for bin in 0..bins {
                for channel in 0..made {
                    for k in 0..kernel {
                        let other = (bin + k).wrapping_sub((kernel - 1) / 2);
                        if other < bins {
                            let from = ((gate * made + channel) * kernel + k) * seen;
                            f(from, (((gate * bins + bin) * made + channel) * bins + other) * seen);
                        }
                    }
                }
            }
        }
    }

    /// As `Banded` of kernels/layers.cu.
    #[cfg(feature = "cuda")]
    fn shape(&self) -> [i32; 5] {
        [self.directions * self.gates, self.seen, self.made, self.kernel, self.bins].map(|n| n as i32)
    }

    fn spread<T: WithDType>(&self, u: &[T]) -> Vec<T> {
        let [rows, columns] = [self.gates * self.bins * self.made, self.bins * self.seen];
        let mut matrix = vec![T::zero(); self.directions * rows * columns];
        self.for_each(|from, to| matrix[to..to + self.seen].copy_from_slice(&u[from..from + self.seen]));
        matrix
    }

    fn gather<T: WithDType>(&self, d: &[T]) -> Vec<T> {
        let mut du = vec![T::zero(); self.directions * self.gates * self.made * self.kernel * self.seen];
        self.for_each(|to, from| {
            du[to..to + self.seen].iter_mut().zip(&d[from..]).for_each(|(du, d)| *du += *d);
        });
        du
    }
}

impl CustomOp1 for Banded {
    fn name(&self) -> &'static str {
        "banded"
    }

    fn cpu_fwd(&self, u: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let matrix = match u {
            CpuStorage::F32(_) => CpuStorage::F32(self.spread(op::slice(u, layout)?)),
            CpuStorage::F64(_) => CpuStorage::F64(self.spread(op::slice(u, layout)?)),
            _ => bail!("banded: only f32 and f64"),
        };
        let shape = (self.directions, self.gates * self.bins * self.made, self.bins * self.seen);
        Ok((matrix, shape.into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, u: &CudaStorage, layout: &Layout) -> gpu::Output {
        let shape = (self.directions, self.gates * self.bins * self.made, self.bins * self.seen);
        gpu::reshaped("banded_forward", &[&self.shape()], u, layout, shape)
    }

    fn bwd(&self, u: &Tensor, _matrix: &Tensor, d: &Tensor) -> Result<Option<Tensor>> {
        let d = d.contiguous()?;
        #[cfg(feature = "cuda")]
        if u.device().is_cuda() {
            return Ok(Some(gpu::reshaped_tensor("banded_backward", &[&self.shape()], &d, u.shape())?));
        }
        Ok(Some(match u.dtype() {
            DType::F64 => op::from_vec(op::with_slice::<f64, _>(&d, |d| self.gather(d))?, u.shape())?,
            _ => op::from_vec(op::with_slice::<f32, _>(&d, |d| self.gather(d))?, u.shape())?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lengths::Lengths;
    use crate::nn::patches::{Axis, patches};
    use candle_core::{Device, Var};

    /// A product with the matrix is the convolution that patches and a product with the kernel make.
    #[test]
    fn is_the_convolution() -> Result<()> {
        let (bins, [channels, made], gates) = (5, [2, 3], 3);
        for kernel in [1, 2, 3, 4] {
            let numbers = |n: usize, k: f64| (0..n).map(|i| (i as f64 * k).sin()).collect::<Vec<_>>();
            let shape = (1, gates * made, kernel * channels);
            let u = Tensor::from_vec(numbers(gates * made * kernel * channels, 0.7), shape, &Device::Cpu)?;
            let h = Tensor::from_vec(numbers(bins * channels, 1.3), (1, bins * channels), &Device::Cpu)?;
            let ours = h.matmul(&banded(&u, [channels, made], kernel, bins)?.squeeze(0)?.t()?)?;
            let axis = |kernel| Axis { kernel, stride: 1 };
            let (x, _) = patches(&h, &Lengths::new(&[1]), channels, axis(1), axis(kernel))?;
            let theirs = x.reshape((bins, kernel * channels))?.matmul(&u.squeeze(0)?.t()?)?;
            // `[bins, gates, made]` to `[gates, bins, made]`.
            let theirs = theirs.reshape((bins, gates, made))?.transpose(0, 1)?.contiguous()?.reshape(((), 1))?;
            let difference = (ours.reshape(((), 1))? - theirs)?.abs()?.max(0)?.to_vec1::<f64>()?;
            assert!(difference[0] < 1e-12, "{kernel}: {difference:?}");
        }
        Ok(())
    }

    #[test]
    fn gradients_of_all_places_are_added() -> Result<()> {
        let u = Var::from_tensor(&Tensor::ones((1, 1, 3), DType::F64, &Device::Cpu)?)?;
        let gradients = banded(&u, [1, 1], 3, 4)?.sum_all()?.backward()?;
        // The middle of the kernel stands in all four rows, each side in three.
        let gradient = gradients.get(&u).map(|g| g.flatten_all()?.to_vec1::<f64>()).transpose()?;
        assert_eq!(gradient, Some(vec![3.0, 4.0, 3.0]));
        Ok(())
    }
}
