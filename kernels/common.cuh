// What all kernels share: how a block is made up, how blocks meet, sums in a fixed order.
//
// The same sources are compiled for a GPU by nvcc and for a CPU by any C++20 compiler, with host/cuda_on_cpu.h in the
// place of CUDA: so they keep to what that header knows, and take dynamic shared memory through SHARED_MEMORY.
#pragma once

#ifdef FORMANT_ON_CPU
#include "host/cuda_on_cpu.h"
#else
typedef unsigned long long u64;
#define SHARED_MEMORY(name)              \
    extern __shared__ float4 name##_4[]; \
    float* name = reinterpret_cast<float*>(name##_4)
// What a thread does while it waits for another block.
#define WAIT_A_LITTLE()
__device__ inline unsigned arrivals(const unsigned* arrived) {
    return *static_cast<const volatile unsigned*>(arrived);
}
#endif

constexpr int WARP = 32;

// A number that another block wrote in this launch: it must not come from this multiprocessor's own cache.
__device__ inline float fresh(const float* x) {
    return __ldcg(x);
}

// All `blocks` of a group meet: none goes on before each has come, and each then sees what the others wrote. `arrived`
// counts arrivals from zero; `turn` numbers the meetings from 1. All blocks must be resident at once.
__device__ inline void meet(unsigned* arrived, unsigned blocks, unsigned turn) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(arrived, 1u);
        while (arrivals(arrived) < turn * blocks) WAIT_A_LITTLE();
        __threadfence();
    }
    __syncthreads();
}

// The sum of `value` over a block, in an order that depends on nothing but the block's size, a power of two of at most
// 1024; every thread gets it. `scratch` holds one number a thread.
template <class T>
__device__ inline T block_sum(T value, T* scratch) {
    const unsigned i = threadIdx.x;
    scratch[i] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (i < half) scratch[i] += scratch[i + half];
        __syncthreads();
    }
    const T sum = scratch[0];
    __syncthreads();
    return sum;
}

// This thread's place in the grid, and the number of threads: `for (u64 i = begin(); i < n; i += stride())`.
__device__ inline u64 begin() {
    return static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline u64 stride() {
    return static_cast<u64>(gridDim.x) * blockDim.x;
}
