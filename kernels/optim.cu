// The optimiser: the norm of all gradients, clipping, Adam or SGD with momentum, and the running average of the weights,
// for all parameters together in two launches. Nothing is read back: a norm that is not finite changes nothing.
//
// Parameters are cut into chunks, a block each. Bound by memory: Adam reads four numbers of every weight and writes three,
// 28 bytes; 1.5 million weights are 42 MB, 13 us on an H100.
#include "common.cuh"

// A parameter's numbers: weights, gradient (null: it has none this time, and stays as it is), moments (the second one null
// for SGD), average (null: none is kept).
struct Parameter {
    float *w, *g, *m, *v, *average;
};

// Numbers `first` to `first + count` of parameter `parameter`.
struct Chunk {
    int parameter, first, count;
};

// As `Rule` of src/nn/optim/cuda.rs.
struct Rule {
    // Learning rate, over one minus beta1 to the number of the step; one over the root of the same of beta2; what is left
    // of a weight; the largest norm (0: any).
    float rate, root, shrink, limit;
    float beta1, beta2, epsilon;
    // Share of the average that goes over to the new weights.
    float follow;
};

// partial[block] = the sum of squares of a chunk of gradients.
extern "C" __global__ void squares(const Parameter* parameters, const Chunk* chunks, float* partial) {
    SHARED_MEMORY(scratch);
    const Chunk chunk = chunks[blockIdx.x];
    const float* g = parameters[chunk.parameter].g;
    float sum = 0.0f;
    for (int i = threadIdx.x; g && i < chunk.count; i += blockDim.x) sum += g[chunk.first + i] * g[chunk.first + i];
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// The norm of all gradients, in every thread of every block.
__device__ inline float norm_of(int blocks, const float* partial, float* scratch) {
    double* sums = reinterpret_cast<double*>(scratch);
    double sum = 0.0;
    for (int i = threadIdx.x; i < blocks; i += blockDim.x) sum += partial[i];
    return static_cast<float>(sqrt(block_sum(sum, sums)));
}

// Lets `update(parameter, i, gradient)` change every number of the block's chunk; `norm` gets the gradients' norm, for whoever
// asks later. Shared memory: two numbers a thread.
template <class Update>
__device__ inline void update(const Parameter* parameters, const Chunk* chunks, int blocks, const float* partial,
                              const Rule& r, float* norm, float* scratch, Update update) {
    const float length = norm_of(blocks, partial, scratch);
    if (begin() == 0) *norm = length;
    const Chunk chunk = chunks[blockIdx.x];
    const Parameter p = parameters[chunk.parameter];
    if (!isfinite(length) || !p.g) return;
    const float scale = r.limit > 0.0f && length > r.limit ? r.limit / length : 1.0f;
    for (int i = chunk.first + threadIdx.x; i < chunk.first + chunk.count; i += blockDim.x) {
        update(p, i, p.g[i] * scale);
        if (p.average) p.average[i] += r.follow * (p.w[i] - p.average[i]);
    }
}

extern "C" __global__ void adam(const Parameter* parameters, const Chunk* chunks, int blocks, const float* partial, Rule r,
                                float* norm) {
    SHARED_MEMORY(scratch);
    update(parameters, chunks, blocks, partial, r, norm, scratch, [&](const Parameter& p, int i, float g) {
        const float m = p.m[i] = r.beta1 * p.m[i] + (1.0f - r.beta1) * g;
        const float v = p.v[i] = r.beta2 * p.v[i] + (1.0f - r.beta2) * g * g;
        p.w[i] = p.w[i] * r.shrink - r.rate * m / (sqrtf(v) * r.root + r.epsilon);
    });
}

// SGD with classical momentum, which is beta1.
extern "C" __global__ void sgd(const Parameter* parameters, const Chunk* chunks, int blocks, const float* partial, Rule r,
                               float* norm) {
    SHARED_MEMORY(scratch);
    update(parameters, chunks, blocks, partial, r, norm, scratch, [&](const Parameter& p, int i, float g) {
        p.m[i] = r.beta1 * p.m[i] - r.rate * g;
        p.w[i] += p.m[i];
    });
}
