// Clusters of blocks: what the kernels know of them. A block writes into another's shared memory, and an mbarrier there
// counts the bytes that have come. (PTX ISA, "Parallel Synchronization and Communication Instructions"; sm_90.)
#pragma once
#include "common.cuh"

#ifndef FORMANT_ON_CPU
namespace cluster {

__device__ inline unsigned address(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// Where block `rank` of this cluster has what this block has at `shared`.
__device__ inline unsigned address_in(unsigned rank, const void* shared) {
    unsigned there;
    asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address(shared)), "r"(rank));
    return there;
}

// Makes a barrier, whose phases each end when expect() was called once and as many bytes have come as it said. Before
// another block may send, all must meet.
__device__ inline void make(u64* barrier) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(address(barrier)) : "memory");
}

__device__ inline void expect(u64* barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address(barrier)), "r"(bytes) : "memory");
}

// Waits for the end of a phase: those with an even number have parity 0. What was sent is then there to be read: its bytes are
// counted only after they have been written. (Asked for at the cluster's scope, the order costs the block its first cache.)
__device__ inline void wait(u64* barrier, unsigned parity) {
    unsigned done;
    do {
        asm volatile(
            "{\n\t.reg .pred p;\n\t"
            "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
            "selp.u32 %0, 1, 0, p;\n\t}"
            : "=r"(done)
            : "r"(address(barrier)), "r"(parity)
            : "memory");
    } while (!done);
}

// Stores at block `rank`'s `to`, and counts four bytes at its `barrier`. (Two numbers at once, `.v2`, were tried on an H200:
// now and then a kernel hung.)
__device__ inline void send(float* to, float value, u64* barrier, unsigned rank) {
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(address_in(rank, to)),
                 "r"(__float_as_int(value)), "r"(address_in(rank, barrier))
                 : "memory");
}

// All threads of all blocks meet. Barriers that were made before are then known to all.
__device__ inline void meet() {
    asm volatile("fence.mbarrier_init.release.cluster;\n\tbarrier.cluster.arrive.release;\n\t"
                 "barrier.cluster.wait.acquire;" ::: "memory");
}

}  // namespace cluster
#endif
