// What the kernels know of CUDA, on a CPU: so that their arithmetic and their meetings can be tested where there is no
// GPU. A CUDA thread is a fiber; threads of a block, and of all blocks of a cooperative launch, take turns at every
// barrier (fibers.cpp). Fresh memory is full of NaN. What it cannot show is the hardware's memory model, and speed.
#pragma once
#include <math.h>

#include <cmath>
#include <cstddef>
#include <cstring>

#define __global__
#define __device__
#define __launch_bounds__(...)

struct uint3_ {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

namespace cpu {

// The fiber that runs.
struct Thread {
    uint3_ thread, block, block_size, grid_size;
    float* shared;
};
Thread& self();
// Lets the others run.
void yield();
// Waits for the threads of the block.
void meet_block();

}  // namespace cpu

#define threadIdx (cpu::self().thread)
#define blockIdx (cpu::self().block)
#define blockDim (cpu::self().block_size)
#define gridDim (cpu::self().grid_size)
#define SHARED_MEMORY(name) float* const name = cpu::self().shared
#define WAIT_A_LITTLE() cpu::yield()

inline void __syncthreads() {
    cpu::meet_block();
}
inline void __threadfence() {}
inline unsigned atomicAdd(unsigned* at, unsigned value) {
    return __atomic_fetch_add(at, value, __ATOMIC_ACQ_REL);
}
inline unsigned arrivals(const unsigned* arrived) {
    return __atomic_load_n(arrived, __ATOMIC_ACQUIRE);
}
inline float __ldcg(const float* x) {
    return *x;
}

inline int min(int a, int b) {
    return a < b ? a : b;
}
inline int max(int a, int b) {
    return a > b ? a : b;
}
inline float __expf(float x) {
    return expf(x);
}
inline float __fdividef(float a, float b) {
    return a / b;
}
inline int __float_as_int(float x) {
    int bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __int_as_float(int bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}
using std::isfinite;
