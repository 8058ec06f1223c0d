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
#define __cluster_dims__(...)

struct uint3_ {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

typedef unsigned long long u64;

namespace cpu {

// The fiber that runs.
struct Thread {
    uint3_ thread, block, block_size, grid_size;
    float* shared;
};
Thread& self();
// Lets the others run.
void yield();
// Waits for the threads of the block, of the warp, of the cluster.
void meet_block();
void meet_warp();
void meet_cluster();
// What another thread of the warp gives at its same call.
float exchange(float value, unsigned with);
// The place in the shared memory of a block of this cluster that `own` is in this block's.
void* in_block(unsigned rank, void* own);
// An mbarrier: phases are counted, and end when it was told of what to expect and that has come.
void barrier_make(u64* barrier);
void barrier_expect(u64* barrier, unsigned bytes);
void barrier_came(u64* barrier, unsigned bytes);
void barrier_wait(u64* barrier, unsigned parity);

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
inline float __shfl_xor_sync(unsigned, float value, int bit) {
    return cpu::exchange(value, threadIdx.x ^ bit);
}
inline float __shfl_sync(unsigned, float value, int lane) {
    return cpu::exchange(value, lane);
}
inline float __shfl_up_sync(unsigned, float value, unsigned by) {
    const unsigned lane = threadIdx.x % 32;
    return cpu::exchange(value, lane < by ? lane : lane - by);
}
inline int __shfl_up_sync(unsigned, int value, unsigned by) {
    float bits;
    std::memcpy(&bits, &value, sizeof bits);
    bits = __shfl_up_sync(0, bits, by);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline void __syncwarp() {
    cpu::meet_warp();
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
inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz(x);
}
using std::isfinite;

namespace cluster {

inline void make(u64* barrier) {
    cpu::barrier_make(barrier);
}
inline void expect(u64* barrier, unsigned bytes) {
    cpu::barrier_expect(barrier, bytes);
}
inline void wait(u64* barrier, unsigned parity) {
    cpu::barrier_wait(barrier, parity);
}
inline void send(float* to, float value, u64* barrier, unsigned rank) {
    *static_cast<float*>(cpu::in_block(rank, to)) = value;
    cpu::barrier_came(static_cast<u64*>(cpu::in_block(rank, barrier)), sizeof value);
}
inline void meet() {
    cpu::meet_cluster();
}

}  // namespace cluster
