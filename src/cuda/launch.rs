//! Launches: our kernels, and products of matrices by cuBLAS, on the stream of a device.
//!
//! The functions here are safe to call as an operation of candle's is: shapes are checked before, by whoever calls, and a
//! kernel stays within the numbers that it is told. Buffers are freed in the stream's order, so one that is dropped after
//! the call still lives while the kernel runs.

use candle_core::cuda_backend::cudarc::cublas::result;
use candle_core::cuda_backend::cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType,
};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaModule, CudaSlice, CudaView, CudaViewMut, DevicePtr, DeviceRepr, LaunchArgs, LaunchConfig,
    PushKernelArg, ValidAsZeroBits, sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::cuda_backend::{DeviceId, WrapErr};
use candle_core::{CudaDevice, Result, bail};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A kernel: its file in `kernels/`, and its name there.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a>(pub &'static str, pub &'a str);

/// Compiled by build.rs: machine code for the architectures that matter most, and text for the others.
const IMAGES: &[(&str, &[u8])] = &[
    ("layers", include_bytes!(concat!(env!("OUT_DIR"), "/layers.fatbin"))),
    ("recurrent", include_bytes!(concat!(env!("OUT_DIR"), "/recurrent.fatbin"))),
    ("cluster", include_bytes!(concat!(env!("OUT_DIR"), "/cluster.fatbin"))),
    ("ctc", include_bytes!(concat!(env!("OUT_DIR"), "/ctc.fatbin"))),
    ("optim", include_bytes!(concat!(env!("OUT_DIR"), "/optim.fatbin"))),
];

/// How many threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Blocks.
    pub blocks: usize,
    /// Threads of each.
    pub threads: usize,
    /// f32 numbers of shared memory of each.
    pub shared: usize,
    /// Whether blocks wait for each other, so that all must be resident at once.
    pub cooperative: bool,
}

impl Grid {
    /// A thread for each of `n` numbers, within reason: kernels take several each.
    pub fn over(n: usize) -> Self {
        Self { blocks: n.div_ceil(256).clamp(1, 4096), threads: 256, shared: 0, cooperative: false }
    }

    /// A block for each of `n` rows, with a number of shared memory for each thread.
    pub fn rows(n: usize, width: usize) -> Self {
        let threads = width.next_power_of_two().clamp(32, 256);
        Self { blocks: n, threads, shared: threads, cooperative: false }
    }
}

impl Grid {
    fn config(self) -> LaunchConfig {
        LaunchConfig {
            grid_dim: (self.blocks as u32, 1, 1),
            block_dim: (self.threads as u32, 1, 1),
            shared_mem_bytes: 4 * self.shared as u32,
        }
    }
}

/// An argument of a kernel. Its type must be what the kernel declares: nobody checks.
pub trait Argument {
    /// Hands it over.
    fn push<'a>(&'a self, to: &mut LaunchArgs<'a>);
}

macro_rules! arguments {
    ($($type:ty $(, $count:ident)?);*) => {$(
        impl $(<const $count: usize>)? Argument for $type {
            fn push<'a>(&'a self, to: &mut LaunchArgs<'a>) {
                to.arg(self);
            }
        }
    )*};
}

arguments!(i32; u32; u64; f32; [i32; N], N; [u64; N], N; [f32; N], N);

impl<T> Argument for CudaSlice<T> {
    fn push<'a>(&'a self, to: &mut LaunchArgs<'a>) {
        to.arg(self);
    }
}

impl<T> Argument for CudaView<'_, T> {
    fn push<'a>(&'a self, to: &mut LaunchArgs<'a>) {
        to.arg(self);
    }
}

/// What a device can do at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Multiprocessors.
    pub multiprocessors: usize,
    /// f32 numbers of shared memory that a block may have.
    pub shared: usize,
    /// Whether blocks can form clusters.
    pub clusters: bool,
}

/// A matrix in row-major order, or `batch` of them.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// Where it begins.
    pub at: u64,
    /// From one row to the next.
    pub stride: usize,
    /// From one matrix to the next.
    pub batch_stride: usize,
    /// Whether its transpose is meant.
    pub transposed: bool,
}

impl Matrix {
    /// One matrix.
    pub fn new(at: u64, stride: usize) -> Self {
        Self { at, stride, batch_stride: 0, transposed: false }
    }

    /// Its transpose.
    pub fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }
}

/// How exact products of matrices are. Sums are in f32 always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Products {
    /// Of 32-bit numbers.
    #[default]
    F32,
    /// Of numbers rounded to 11 significant bits: some eight times as fast.
    Tf32,
    /// Of numbers rounded to 8 significant bits.
    Bf16,
}

static PRODUCTS: AtomicU8 = AtomicU8::new(Products::F32 as u8);

/// How exact products are from now on, in this process.
pub fn set_products(products: Products) {
    PRODUCTS.store(products as u8, Ordering::Relaxed);
}

/// How exact they are.
pub fn products() -> Products {
    let set = PRODUCTS.load(Ordering::Relaxed);
    [Products::Tf32, Products::Bf16].into_iter().find(|p| *p as u8 == set).unwrap_or_default()
}

/// Calls on a device.
#[derive(Clone, Copy)]
pub struct Call<'a>(pub &'a CudaDevice);

impl Call<'_> {
    /// Room for `n` numbers, which have no value yet.
    pub fn room(&self, n: usize) -> Result<CudaSlice<f32>> {
        // SAFETY: whoever asks lets a kernel write every number before one reads it; on the host they are only read after
        // that.
        unsafe { self.0.alloc(n.max(1)) }
    }

    /// Zeros.
    pub fn zeros<T: DeviceRepr + ValidAsZeroBits>(&self, n: usize) -> Result<CudaSlice<T>> {
        self.0.alloc_zeros(n.max(1))
    }

    /// A copy of the host's numbers.
    pub fn upload<T: DeviceRepr + 'static>(&self, numbers: &[T]) -> Result<CudaSlice<T>> {
        self.0.clone_htod(numbers)
    }

    /// The address of numbers on the device.
    pub fn address<T>(&self, numbers: &impl DevicePtr<T>) -> u64 {
        numbers.device_ptr(&self.0.cuda_stream()).0
    }

    /// Copies numbers on the device.
    pub fn copy(&self, from: &CudaView<'_, f32>, to: &mut CudaViewMut<'_, f32>) -> Result<()> {
        self.0.memcpy_dtod(from, to)
    }

    /// What the device can do.
    pub fn limits(&self) -> Result<Limits> {
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_CLUSTER_LAUNCH as CLUSTERS,
            CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN as BLOCK,
            CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as COUNT,
        };
        let stream = self.0.cuda_stream();
        let attribute = |which| Ok::<_, candle_core::Error>(stream.context().attribute(which).w()? as usize);
        Ok(Limits {
            multiprocessors: attribute(COUNT)?,
            shared: attribute(BLOCK)? / 4,
            clusters: attribute(CLUSTERS)? > 0,
        })
    }

    /// How many blocks a multiprocessor runs at once: shared memory counts, threads, and the kernel's registers.
    pub fn blocks_at_once(&self, kernel: Kernel<'_>, grid: Grid) -> Result<usize> {
        let (function, bytes) = (function(self.0, kernel)?, 4 * grid.shared);
        Ok(function.occupancy_max_active_blocks_per_multiprocessor(grid.threads as u32, bytes, None).w()? as usize)
    }

    /// How many clusters the device runs at once, of a kernel that says itself how large they are.
    pub fn clusters_at_once(&self, kernel: Kernel<'_>, grid: Grid) -> Result<usize> {
        let (function, stream) = (function(self.0, kernel)?, self.0.cuda_stream());
        Ok(function.occupancy_max_active_clusters(grid.config(), &stream).w()? as usize)
    }

    /// Launches a kernel.
    pub fn launch(&self, kernel: Kernel<'_>, grid: Grid, arguments: &[&dyn Argument]) -> Result<()> {
        let function = function(self.0, kernel)?;
        let stream = self.0.cuda_stream();
        let mut launch = stream.launch_builder(&function);
        arguments.iter().for_each(|argument| argument.push(&mut launch));
        // SAFETY: the kernel is ours, its arguments are as many and of the types that it declares, and it stays within the
        // numbers that they describe: the tests run each kernel on shapes that are not round.
        let launched = unsafe {
            if grid.cooperative { launch.launch_cooperative(grid.config()) } else { launch.launch(grid.config()) }
        };
        match launched {
            Ok(_) => Ok(()),
            Err(error) => bail!("kernel {}: {error}", kernel.1),
        }
    }

    /// `c[m, n] = a[m, k] b[k, n]`, or `batch` such products.
    pub fn product(&self, [m, n, k]: [usize; 3], a: Matrix, b: Matrix, c: Matrix, batch: usize) -> Result<()> {
        if m * n * batch == 0 {
            return Ok(());
        }
        let transpose = |x: Matrix| match x.transposed {
            true => cublasOperation_t::CUBLAS_OP_T,
            false => cublasOperation_t::CUBLAS_OP_N,
        };
        let compute = match products() {
            Products::F32 => cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Products::Tf32 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            Products::Bf16 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_16BF,
        };
        let (blas, real) = (self.0.cublas_handle(), cudaDataType::CUDA_R_32F);
        let (one, zero): (f32, f32) = (1.0, 0.0);
        // cuBLAS counts in columns: what it sees are the transposes, and those in the other order.
        // SAFETY: the matrices lie within buffers of the device, as whoever calls says; the factors are read at once.
        let done = unsafe {
            result::gemm_strided_batched_ex(
                *blas.handle(),
                transpose(b),
                transpose(a),
                n as i32,
                m as i32,
                k as i32,
                (&raw const one).cast(),
                b.at as *const _,
                real,
                b.stride as i32,
                b.batch_stride as i64,
                a.at as *const _,
                real,
                a.stride as i32,
                a.batch_stride as i64,
                (&raw const zero).cast(),
                c.at as *mut _,
                real,
                c.stride as i32,
                c.batch_stride as i64,
                batch as i32,
                compute,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        done.map_err(candle_core::Error::wrap)
    }
}

/// The function of a kernel, loaded once for a device.
fn function(device: &CudaDevice, Kernel(module, name): Kernel<'_>) -> Result<CudaFunction> {
    type Modules = HashMap<(DeviceId, &'static str), (Arc<CudaModule>, HashMap<String, CudaFunction>)>;
    static LOADED: Mutex<Option<Modules>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let modules = loaded.get_or_insert_default();
    let (image, functions) = match modules.entry((device.id(), module)) {
        Entry::Occupied(loaded) => loaded.into_mut(),
        Entry::Vacant(place) => {
            let Some((_, image)) = IMAGES.iter().find(|(name, _)| *name == module) else {
                bail!("no kernels {module}")
            };
            let image = device.cuda_stream().context().load_module(Ptx::from_binary(image.to_vec())).w()?;
            place.insert((image, HashMap::new()))
        }
    };
    if let Some(function) = functions.get(name) {
        return Ok(function.clone());
    }
    let function = image.load_function(name).w()?;
    // All that a block may have, instead of the 48 KiB that it gets unasked.
    let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    function.set_attribute(attribute, 4 * Call(device).limits()?.shared as i32).w()?;
    functions.insert(name.to_owned(), function.clone());
    Ok(function)
}
