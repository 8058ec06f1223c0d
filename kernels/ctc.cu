// The CTC loss (Graves et al. 2006) and its gradient to the logits, log-softmax inside: a block an utterance, one launch a
// batch. As src/ctc/cpu.rs: probabilities are not kept as logarithms but as numbers m 2^e, each with an exponent of its
// own, so that nothing is ever lost, whatever the length.
//
// Bytes: alpha is written and read once, 8 (2 L + 1) a frame, and stays in L2; logits are read twice and their gradient
// written once. What takes the time are 2 T steps one after the other, each with two barriers: some 0.4 us, 0.25 ms at
// T = 300, whatever the number of utterances up to that of multiprocessors.
//
// Sums run in a fixed order and without atomics: the same bits every time.
#include "common.cuh"

// m 2^e with m in [1, 2), or zero with an exponent below every other.
struct Scaled {
    float m;
    int e;
};

#define NOTHING (-(1 << 29))

__device__ inline Scaled zero() {
    return {0.0f, NOTHING};
}

// Brings the mantissa back to [1, 2). It must be normal, zero, or not finite.
__device__ inline Scaled normal(float m, int e) {
    const int bits = __float_as_int(m), exponent = bits >> 23 & 0xff;
    if (exponent == 0) return zero();
    return {__int_as_float((bits & 0x007fffff) | 0x3f800000), e + exponent - 127};
}

// 2^-d for d >= 0, and 0 where a float would not show it beside 1.
__device__ inline float half_to(int d) {
    return d > 100 ? 0.0f : __int_as_float((127 - d) << 23);
}

// (a + b + c) p
__device__ inline Scaled sum3_times(Scaled a, Scaled b, Scaled c, Scaled p) {
    const int e = max(a.e, max(b.e, c.e));
    const float m = a.m * half_to(e - a.e) + b.m * half_to(e - b.e) + c.m * half_to(e - c.e);
    return normal(m * p.m, e + p.e);
}

// e^x
__device__ inline Scaled exp_scaled(double x) {
    const double y = x * 1.4426950408889634, e = floor(y);
    if (!(e > -1e8)) return zero();
    return normal(exp2f(static_cast<float>(y - e)), static_cast<int>(e));
}

__device__ inline double log_of(Scaled x) {
    return log(static_cast<double>(x.m)) + x.e * 0.6931471805599453;
}

// What an utterance is made of.
struct Utterance {
    int frames, count;
    const int* labels;

    // State s: blanks at even places, labels at odd ones.
    __device__ int symbol(int s) const {
        return s % 2 == 0 ? 0 : labels[s / 2];
    }
    // Whether a path may leap from state s - 2 to s.
    __device__ bool leaps(int s) const {
        return s % 2 == 1 && s >= 3 && labels[s / 2] != labels[s / 2 - 1];
    }
    // The states that a path can be in at frame t and still have started at the start and reach the end.
    __device__ int first(int t) const {
        return max(0, count - 2 * (frames - t));
    }
    __device__ int last(int t) const {
        return min(count, 2 * (t + 1));
    }
};

// `loss` [B]; `gradient` [N, V] for an upstream gradient of one, or null. `offsets` [T + 1] and `lengths` [B]: the packed
// layout; `starts` [B + 1]: where an utterance's labels begin in `labels`; `order`: the places of its labels, sorted by
// label, those of one label in their own order; `alpha_starts` [B]: where its part of the scratch `alpha` begins; `sums`:
// scratch, [N, 2].
//
// Shared memory: 4 (S + 2) + S + threads numbers, where S is the largest number of states.
extern "C" __global__ void __launch_bounds__(128) ctc(int classes, const int* offsets, const int* lengths,
                                                      const int* starts, const int* labels, const int* order,
                                                      const u64* alpha_starts, const float* logits, float* sums,
                                                      Scaled* alpha, float* loss, float* gradient) {
    SHARED_MEMORY(shared);
    const int b = blockIdx.x, thread = threadIdx.x, threads = blockDim.x;
    const Utterance u = {lengths[b], 2 * (starts[b + 1] - starts[b]) + 1, labels + starts[b]};
    order += starts[b];
    if (u.frames == 0) {
        if (thread == 0) loss[b] = 0.0f;
        return;
    }
    Scaled* own = alpha + alpha_starts[b];
    Scaled* row = reinterpret_cast<Scaled*>(shared);  // two rows of S + 2
    float* posterior = shared + 4 * (u.count + 2);
    float* scratch = posterior + u.count;
    const auto logits_at = [&](int t) { return logits + static_cast<u64>(offsets[t] + b) * classes; };

    // The largest logit of each frame, and the logarithm of the sum of exponentials beside it.
    float bad = 0.0f;
    for (int t = thread; t < u.frames; t += threads) {
        const float* x = logits_at(t);
        float high = x[0], sum = 0.0f;
        for (int k = 1; k < classes; ++k) high = fmaxf(high, x[k]);
        for (int k = 0; k < classes; ++k) sum += expf(x[k] - high);
        const u64 at = static_cast<u64>(offsets[t] + b) * 2;
        sums[at] = high;
        sums[at + 1] = logf(sum);
        // fmaxf passes over NaN, the sum does not.
        if (!isfinite(sum) || !isfinite(high)) bad = 1.0f;
    }
    if (block_sum(bad, scratch) > 0.0f) {
        if (thread == 0) loss[b] = nanf("");
        for (int t = 0; gradient && t < u.frames; ++t) {
            float* g = gradient + static_cast<u64>(offsets[t] + b) * classes;
            for (int k = thread; k < classes; k += threads) g[k] = nanf("");
        }
        return;
    }
    const auto emission = [&](int t, int s) {
        const u64 at = static_cast<u64>(offsets[t] + b) * 2;
        return exp_scaled(static_cast<double>(logits_at(t)[u.symbol(s)] - sums[at]) - sums[at + 1]);
    };

    // Alpha: all ways to be in a state at a frame, that frame included. Two states of nothing stand before the first.
    const int width = u.count + 2;
    for (int i = thread; i < 2 * width; i += threads) row[i] = zero();
    __syncthreads();
    for (int t = 0; t < u.frames; ++t) {
        const Scaled* before = row + (t + 1) % 2 * width;
        Scaled* now = row + t % 2 * width;
        for (int s = thread; s < u.count; s += threads) {
            Scaled a = zero();
            if (s >= u.first(t) && s < u.last(t)) {
                const Scaled p = emission(t, s);
                a = t == 0 ? p : sum3_times(before[s + 2], before[s + 1], u.leaps(s) ? before[s] : zero(), p);
            }
            now[s + 2] = a;
            own[static_cast<u64>(t) * u.count + s] = a;
        }
        __syncthreads();
    }
    const Scaled* end = row + (u.frames - 1) % 2 * width;
    const Scaled one = {1.0f, 0};
    const Scaled total = sum3_times(end[u.count + 1], u.count > 1 ? end[u.count] : zero(), zero(), one);
    if (thread == 0) loss[b] = static_cast<float>(-log_of(total));
    if (!gradient) return;

    // Beta, times the emission of its own frame; two states of nothing stand behind the last.
    __syncthreads();
    for (int i = thread; i < 2 * width; i += threads) row[i] = zero();
    __syncthreads();
    for (int t = u.frames - 1; t >= 0; --t) {
        const Scaled* next = row + (t + 1) % 2 * width;
        Scaled* now = row + t % 2 * width;
        float blank = 0.0f;
        for (int s = thread; s < u.count; s += threads) {
            Scaled n = zero();
            float p = 0.0f;
            if (s >= u.first(t) && s < u.last(t)) {
                const Scaled two = s + 2 < u.count && u.leaps(s + 2) ? next[s + 2] : zero();
                const Scaled beta = t == u.frames - 1 ? one : sum3_times(next[s], next[s + 1], two, one);
                const Scaled a = own[static_cast<u64>(t) * u.count + s], q = emission(t, s);
                const int e = a.e + beta.e - total.e;
                p = e < -100 ? 0.0f : a.m * beta.m / total.m * exp2f(static_cast<float>(e));
                n = normal(beta.m * q.m, beta.e + q.e);
            }
            now[s] = n;
            posterior[s] = p;
            if (s % 2 == 0) blank += p;
        }
        blank = block_sum(blank, scratch);
        const u64 at = static_cast<u64>(offsets[t] + b);
        const float *x = logits_at(t), high = sums[at * 2], log_sum = sums[at * 2 + 1];
        float* g = gradient + at * classes;
        for (int k = thread; k < classes; k += threads) g[k] = expf(x[k] - high - log_sum) - (k == 0 ? blank : 0.0f);
        __syncthreads();
        // The first place of each label takes what all of them have.
        for (int i = thread; i < u.count / 2; i += threads) {
            const int label = u.labels[order[i]];
            if (i > 0 && u.labels[order[i - 1]] == label) continue;
            float sum = 0.0f;
            for (int j = i; j < u.count / 2 && u.labels[order[j]] == label; ++j) sum += posterior[2 * order[j] + 1];
            g[label] -= sum;
        }
        __syncthreads();
    }
}

// out[row, k] = g[row, k] upstream[utterance of row]
extern "C" __global__ void scale_utterances(u64 n, int classes, const int* utterance, const float* upstream, const float* g,
                                            float* out) {
    for (u64 i = begin(); i < n; i += stride()) out[i] = g[i] * upstream[utterance[i / classes]];
}
