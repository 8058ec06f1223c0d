//! The functions of CUDA that candle, cudarc and formant use, by library.

use super::{Library, Symbol};
use std::arch::naked_asm;
use std::ffi::c_void;
use std::sync::atomic::AtomicPtr;

macro_rules! library {
    ($table:ident, $absent:ident, $code:literal, [$($symbol:ident)*]) => {
        /// What is called while the library is not open, whatever the arguments.
        extern "C" fn $absent() -> i32 {
            $code
        }

        static $table: &[Symbol] =
            &[$(Symbol { name: stringify!($symbol), slot: &$symbol::SLOT }),*];

        $(
            #[allow(non_snake_case)]
            mod $symbol {
                use super::*;

                pub static SLOT: AtomicPtr<c_void> = AtomicPtr::new($absent as *mut c_void);

                /// Jumps to where the slot points, all arguments as they are.
                // SAFETY: the name belongs to a library that is not linked otherwise: the empty archives see to that.
                #[unsafe(no_mangle)]
                #[unsafe(naked)]
                extern "C" fn $symbol() {
                    #[cfg(target_arch = "x86_64")]
                    naked_asm!("jmp qword ptr [rip + {slot}]", slot = sym SLOT);
                    #[cfg(target_arch = "aarch64")]
                    naked_asm!(
                        "adrp x16, {slot}",
                        "ldr x16, [x16, :lo12:{slot}]",
                        "br x16",
                        slot = sym SLOT
                    );
                }
            }
        )*
    };
}

// CUDA_ERROR_NO_DEVICE
library!(
    DRIVER,
    no_driver,
    100,
    [
        cuCtxDestroy_v2 cuCtxGetCurrent cuCtxSetCurrent cuCtxSynchronize cuDeviceGet cuDeviceGetAttribute
        cuDeviceGetCount cuDeviceGetDefaultMemPool cuDeviceGetName cuDevicePrimaryCtxRelease_v2
        cuDevicePrimaryCtxRetain cuDeviceTotalMem_v2 cuDriverGetVersion cuEventCreate cuEventDestroy_v2
        cuEventRecord cuEventSynchronize cuFuncSetAttribute cuGetErrorString cuInit cuLaunchCooperativeKernel
        cuLaunchKernel cuMemAllocAsync cuMemAlloc_v2 cuMemFreeAsync cuMemFreeHost cuMemFree_v2 cuMemHostAlloc
        cuMemPoolSetAttribute cuMemcpyDtoDAsync_v2 cuMemcpyDtoHAsync_v2 cuMemcpyHtoDAsync_v2 cuMemcpyPeerAsync
        cuMemsetD8Async cuModuleGetFunction cuModuleLoad cuModuleLoadData cuModuleUnload
        cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cuOccupancyMaxActiveClusters cuStreamCreate cuStreamDestroy_v2 cuStreamIsCapturing cuStreamSynchronize cuStreamWaitEvent
    ]
);

// CUBLAS_STATUS_NOT_INITIALIZED
library!(
    BLAS,
    no_blas,
    1,
    [
        cublasCreate_v2 cublasDestroy_v2 cublasDgemmStridedBatched cublasGemmStridedBatchedEx cublasSetStream_v2
        cublasSgemmStridedBatched
    ]
);

// CURAND_STATUS_INITIALIZATION_FAILED
library!(
    RANDOM,
    no_random,
    203,
    [
        curandCreateGenerator curandDestroyGenerator curandSetPseudoRandomGeneratorSeed curandSetStream
    ]
);

// cudaErrorNoDevice. candle's kernels for quantised weights are linked whether they are used or not, and register
// themselves at start with the runtime library; formant does not use them, so this one is never opened.
library!(
    _RUNTIME,
    no_runtime,
    100,
    [
        __cudaGetKernel __cudaLaunchKernel_ptsz __cudaPopCallConfiguration __cudaPushCallConfiguration
        __cudaRegisterFatBinary __cudaRegisterFatBinaryEnd __cudaRegisterFunction __cudaRegisterVar
        __cudaUnregisterFatBinary cudaDeviceGetAttribute cudaFree cudaFreeAsync_ptsz cudaFuncGetAttributes
        cudaFuncSetAttribute cudaGetDevice cudaGetDeviceCount cudaGetErrorName cudaGetErrorString
        cudaGetLastError cudaMalloc cudaMallocAsync_ptsz cudaMemsetAsync_ptsz
        cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cudaPeekAtLastError cudaSetDevice
        cudaStreamSynchronize_ptsz
    ]
);

/// All libraries, in the order in which they are opened.
pub static LIBRARIES: &[Library] = &[
    Library { name: "the NVIDIA driver", files: &["libcuda.so.1"], symbols: DRIVER },
    Library { name: "cuBLAS", files: &["libcublas.so.13", "libcublas.so.12"], symbols: BLAS },
    Library { name: "cuRAND", files: &["libcurand.so.10"], symbols: RANDOM },
];
