// What stands between recurrent layers: biases, the rectifier, layer normalisation, softmax, dropout, neighbourhoods for
// convolutions, and sums down columns for gradients. All are bound by memory: each reads and writes every number once.
// On an H100 (3.35 TB/s) a layer of 4,800 rows by 500 numbers is 19 MB to read and write, 6 us; a launch takes some 3 us.
//
// Matrices are row-major. Every kernel covers its numbers whatever the grid; those that say "a block a row" want as many
// blocks as rows and a power of two of threads.
#include "common.cuh"

// y[row, c] += b[c]
extern "C" __global__ void add_bias(u64 n, int columns, const float* b, float* y) {
    for (u64 i = begin(); i < n; i += stride()) y[i] += b[i % columns];
}

// y = a + b
extern "C" __global__ void add(u64 n, const float* a, const float* b, float* y) {
    for (u64 i = begin(); i < n; i += stride()) y[i] = a[i] + b[i];
}

// y[row, c] = x[row, c] + x[row, columns + c]: the directions of a layer added up. Its gradient: dx is dy twice.
extern "C" __global__ void add_halves(u64 n, int columns, const float* x, float* y) {
    for (u64 i = begin(); i < n; i += stride()) {
        const u64 at = i / columns * 2 * columns + i % columns;
        y[i] = x[at] + x[at + columns];
    }
}
extern "C" __global__ void repeat_halves(u64 n, int columns, const float* dy, float* dx) {
    for (u64 i = begin(); i < n; i += stride()) dx[i] = dy[i / (2 * columns) * columns + i % columns];
}

extern "C" __global__ void relu_forward(u64 n, const float* x, float* y) {
    for (u64 i = begin(); i < n; i += stride()) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}
extern "C" __global__ void relu_backward(u64 n, const float* y, const float* dy, float* dx) {
    for (u64 i = begin(); i < n; i += stride()) dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
}

// Mean, and one over the standard deviation, of a row; a block a row.
__device__ inline void moments(int width, const float* x, float* scratch, float* mean, float* scale) {
    float sum = 0.0f;
    for (int c = threadIdx.x; c < width; c += blockDim.x) sum += x[c];
    *mean = block_sum(sum, scratch) / width;
    float squares = 0.0f;
    for (int c = threadIdx.x; c < width; c += blockDim.x) squares += (x[c] - *mean) * (x[c] - *mean);
    *scale = 1.0f / sqrtf(block_sum(squares, scratch) / width + 1e-5f);
}

// y = (x - mean) / sqrt(variance + 1e-5) w + b; a block a row, shared memory: a number a thread.
extern "C" __global__ void layer_norm_forward(int width, const float* x, const float* w, const float* b, float* y) {
    SHARED_MEMORY(scratch);
    const u64 row = static_cast<u64>(blockIdx.x) * width;
    float mean, scale;
    moments(width, x + row, scratch, &mean, &scale);
    for (int c = threadIdx.x; c < width; c += blockDim.x) y[row + c] = (x[row + c] - mean) * scale * w[c] + b[c];
}

// dx, and dy times the normalised x, whose column sums are the gradient of w; a block a row.
extern "C" __global__ void layer_norm_backward(int width, const float* x, const float* w, const float* dy, float* dx,
                                               float* dw_rows) {
    SHARED_MEMORY(scratch);
    const u64 row = static_cast<u64>(blockIdx.x) * width;
    float mean, scale;
    moments(width, x + row, scratch, &mean, &scale);
    float sum = 0.0f, product = 0.0f;
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        const float d = dy[row + c] * w[c];
        sum += d;
        product += d * (x[row + c] - mean) * scale;
    }
    sum = block_sum(sum, scratch) / width;
    product = block_sum(product, scratch) / width;
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        const float normal = (x[row + c] - mean) * scale;
        dx[row + c] = (dy[row + c] * w[c] - sum - normal * product) * scale;
        dw_rows[row + c] = dy[row + c] * normal;
    }
}

// y = exp(x) / sum exp(x) in every row; a block a row.
extern "C" __global__ void softmax_forward(int width, const float* x, float* y) {
    SHARED_MEMORY(scratch);
    const u64 row = static_cast<u64>(blockIdx.x) * width;
    float high = x[row];
    for (int c = 1; c < width; ++c) high = fmaxf(high, x[row + c]);
    float sum = 0.0f;
    for (int c = threadIdx.x; c < width; c += blockDim.x) sum += expf(x[row + c] - high);
    sum = block_sum(sum, scratch);
    for (int c = threadIdx.x; c < width; c += blockDim.x) y[row + c] = expf(x[row + c] - high) / sum;
}
extern "C" __global__ void softmax_backward(int width, const float* y, const float* dy, float* dx) {
    SHARED_MEMORY(scratch);
    const u64 row = static_cast<u64>(blockIdx.x) * width;
    float sum = 0.0f;
    for (int c = threadIdx.x; c < width; c += blockDim.x) sum += y[row + c] * dy[row + c];
    sum = block_sum(sum, scratch);
    for (int c = threadIdx.x; c < width; c += blockDim.x) dx[row + c] = y[row + c] * (dy[row + c] - sum);
}

// out[c] = sum over rows of x[row, c]. A block of 32 x 32 threads makes 32 columns, every 32nd row a thread: the order depends
// on the number of rows alone. Bound by memory: 4 bytes a number.
extern "C" __global__ void __launch_bounds__(1024) column_sums(int rows, int columns, const float* x, float* out) {
    SHARED_MEMORY(partial);
    const int lane = threadIdx.x % 32, share = threadIdx.x / 32, c = blockIdx.x * 32 + lane;
    float sum = 0.0f;
    if (c < columns) {
#pragma unroll 8
        for (int row = share; row < rows; row += 32) sum += x[static_cast<size_t>(row) * columns + c];
    }
    partial[threadIdx.x] = sum;
    __syncthreads();
    if (share == 0 && c < columns) {
        for (int s = 1; s < 32; ++s) sum += partial[s * 32 + lane];
        out[c] = sum;
    }
}

// Number `n` of a stream of random bits: SplitMix64 (src/rng.rs), whose state is a counter.
__device__ inline u64 random_bits(u64 key, u64 n) {
    u64 z = key + (n + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// y = x mask; a number is zeroed where its 16 random bits lie below `threshold`, and scaled otherwise. With `mask_rows`
// (the utterance of every row) the mask is that of the utterance.
extern "C" __global__ void dropout(u64 n, u64 key, unsigned threshold, float scale, int columns, const int* mask_rows,
                                   const float* x, float* y) {
    for (u64 i = begin(); i < n; i += stride()) {
        const u64 at = mask_rows ? static_cast<u64>(mask_rows[i / columns]) * columns + i % columns : i;
        const unsigned bits = random_bits(key, at / 4) >> (16 * (at % 4)) & 0xffff;
        y[i] = bits < threshold ? x[i] * 0.0f : x[i] * scale;
    }
}

// y = x + noise, the sum of four uniform numbers of 16 bits.
extern "C" __global__ void add_noise(u64 n, u64 key, float scale, const float* x, float* y) {
    for (u64 i = begin(); i < n; i += stride()) {
        const u64 bits = random_bits(key, i);
        const unsigned sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        y[i] = x[i] + (static_cast<float>(sum) - 2.0f * 65535.0f) * scale;
    }
}

// A kernel and its stride along one axis, as `Axis` of src/nn/patches.rs; `over`: what hangs over on the left.
struct Axis {
    int kernel, stride, over, inputs;
};

struct Patches {
    Axis frames, bins;
    int channels, outputs;
};

// The input that place k of output o looks at; outside of 0..inputs there is none.
__device__ inline int looks_at(const Axis& axis, int o, int k) {
    return o * axis.stride + k - axis.over;
}

// y[row, (o, time, k, c)] = x[the frame and bin there, c], zero outside. `frame` and `utterance` of every row of y;
// `offsets` and `lengths` of x.
extern "C" __global__ void patches_forward(u64 n, Patches p, const int* frame, const int* utterance, const int* offsets,
                                           const int* lengths, const float* x, float* y) {
    const int in_frame = p.bins.kernel * p.channels, patch = p.frames.kernel * in_frame;
    const u64 width = static_cast<u64>(p.outputs) * patch;
    for (u64 i = begin(); i < n; i += stride()) {
        const u64 row = i / width;
        const int o = i % width / patch, time = i % patch / in_frame, k = i % in_frame / p.channels;
        const int b = utterance[row], t = looks_at(p.frames, frame[row], time), bin = looks_at(p.bins, o, k);
        const bool inside = t >= 0 && t < lengths[b] && bin >= 0 && bin < p.bins.inputs;
        const u64 from = inside ? static_cast<u64>(offsets[t] + b) * p.bins.inputs + bin : 0;
        y[i] = inside ? x[from * p.channels + i % p.channels] : 0.0f;
    }
}

// dx: what every output that looks at a number hands back to it, in a fixed order. `frame` and `utterance` of every row
// of x; `offsets` and `lengths` of y.
extern "C" __global__ void patches_backward(u64 n, Patches p, const int* frame, const int* utterance, const int* offsets,
                                            const int* lengths, const float* dy, float* dx) {
    const int in_frame = p.bins.kernel * p.channels, patch = p.frames.kernel * in_frame;
    const u64 width = static_cast<u64>(p.bins.inputs) * p.channels, y_width = static_cast<u64>(p.outputs) * patch;
    for (u64 i = begin(); i < n; i += stride()) {
        const u64 row = i / width;
        const int b = utterance[row], t = frame[row], bin = i % width / p.channels, c = i % p.channels;
        float sum = 0.0f;
        for (int time = 0; time < p.frames.kernel; ++time) {
            const int from = t + p.frames.over - time, to = from / p.frames.stride;
            if (from < 0 || from % p.frames.stride != 0 || to >= lengths[b]) continue;
            for (int k = 0; k < p.bins.kernel; ++k) {
                const int from_bin = bin + p.bins.over - k, o = from_bin / p.bins.stride;
                if (from_bin < 0 || from_bin % p.bins.stride != 0 || o >= p.outputs) continue;
                sum += dy[static_cast<u64>(offsets[to] + b) * y_width + o * patch + time * in_frame + k * p.channels + c];
            }
        }
        dx[i] = sum;
    }
}

// A convolution's kernel along the mel axis as a banded matrix, as src/nn/banded.rs explains.
struct Banded {
    int gates, seen, made, kernel, bins;
};

extern "C" __global__ void banded_forward(u64 n, Banded p, const float* u, float* matrix) {
    for (u64 i = begin(); i < n; i += stride()) {
        const int c = i % p.seen, other = i / p.seen % p.bins;
        const u64 row = i / (static_cast<u64>(p.seen) * p.bins);
        const int channel = row % p.made, bin = row / p.made % p.bins, gate = row / p.made / p.bins;
        const int k = other - bin + (p.kernel - 1) / 2;
        const bool inside = k >= 0 && k < p.kernel;
        matrix[i] = inside ? u[((static_cast<u64>(gate) * p.made + channel) * p.kernel + k) * p.seen + c] : 0.0f;
    }
}

extern "C" __global__ void banded_backward(u64 n, Banded p, const float* d, float* du) {
    for (u64 i = begin(); i < n; i += stride()) {
        const int c = i % p.seen, k = i / p.seen % p.kernel;
        const u64 row = i / (static_cast<u64>(p.seen) * p.kernel);
        const int channel = row % p.made, gate = row / p.made;
        float sum = 0.0f;
        for (int bin = 0; bin < p.bins; ++bin) {
            const int other = bin + k - (p.kernel - 1) / 2;
            if (other < 0 || other >= p.bins) continue;
            const u64 to = (static_cast<u64>(gate) * p.bins + bin) * p.made + channel;
            sum += d[(to * p.bins + other) * p.seen + c];
        }
        du[i] = sum;
    }
}

// out[d, n, unit] = sum over utterances of x[n, d, b, unit]: the gradient of the units' further parameters.
extern "C" __global__ void sum_utterances(int directions, int parameters, int batch, int hidden, const float* x,
                                          float* out) {
    const u64 count = static_cast<u64>(directions) * parameters * hidden;
    for (u64 i = begin(); i < count; i += stride()) {
        const int unit = i % hidden, n = i / hidden % parameters, d = i / hidden / parameters;
        float sum = 0.0f;
        for (int b = 0; b < batch; ++b) sum += x[((static_cast<u64>(n) * directions + d) * batch + b) * hidden + unit];
        out[i] = sum;
    }
}
