// The CTC loss (Graves et al. 2006) and its gradient to the logits, log-softmax inside. As src/ctc/cpu.rs: probabilities are
// not kept as logarithms but as numbers m 2^e, each with an exponent of its own, so that nothing is ever lost, whatever the
// length.
//
// Three launches a batch, since frames wait for each other in one of them only:
//
// 1. ctc_emissions, a warp a frame: the softmax of the symbols that the utterance has.
// 2. ctc_paths, a block an utterance: two teams of threads go through it at once, from the front (alpha) and from behind
//    (beta; the same recursion over the reversed utterance). A thread has four neighbouring states, and hears of the one
//    before them by a shuffle. Up to 63 labels a team is one warp, and nobody waits for anybody.
// 3. ctc_gradient, a warp a frame: alpha times beta over the total, gathered by label.
//
// Bytes: logits are read twice, their gradient is written once; alpha, beta and emissions, 8 bytes each, are written and read
// once and stay in L2. What takes the time is the second launch: T steps of some 130 cycles, one after the other, 22 us at
// T = 300 and 1.75 GHz, whatever the number of utterances up to that of multiprocessors. The others are bound by latency, some
// 4 us each. Expected on an H100 at (300, 16, 62, 38), launches included: 40 us.
//
// Sums run in a fixed order and without atomics: the same bits every time.
#include "common.cuh"

// m 2^e with m in [1, 2). What is below 2^SMALL is zero: no number that is none gets there, and no sum of exponents leaves
// the integers.
struct alignas(8) Scaled {
    float m;
    int e;
};
constexpr int NOTHING = -(1 << 29), SMALL = -(1 << 28);

__device__ inline Scaled zero() {
    return {1.0f, NOTHING};
}

__device__ inline bool is_zero(Scaled x) {
    return x.e < SMALL;
}

// Brings the mantissa back to [1, 2); it must be normal or zero. Nothing becomes less than zero().
__device__ inline Scaled normal(float m, int e) {
    const int bits = __float_as_int(m);
    return {__int_as_float((bits & 0x007fffff) | 0x3f800000), max(e + (bits >> 23) - 127, NOTHING)};
}

// 2^-d for d >= 0, and 0 where a float would not show it beside 1.
__device__ inline float half_to(int d) {
    return __int_as_float(max(127 - d, 0) << 23);
}

// (a + b) p, (a + b + c) p
__device__ inline Scaled sum_times(Scaled a, Scaled b, Scaled p) {
    const int e = max(a.e, b.e);
    return normal((a.m * half_to(e - a.e) + b.m * half_to(e - b.e)) * p.m, e + p.e);
}
__device__ inline Scaled sum_times(Scaled a, Scaled b, Scaled c, Scaled p) {
    const int e = max(a.e, max(b.e, c.e));
    const float m = a.m * half_to(e - a.e) + b.m * half_to(e - b.e) + c.m * half_to(e - c.e);
    return normal(m * p.m, e + p.e);
}

// e^x, x not NaN.
__device__ inline Scaled exp_scaled(double x) {
    const double y = x * 1.4426950408889634, e = floor(y);
    if (e < -1e8) return zero();
    return normal(exp2f(static_cast<float>(y - e)), static_cast<int>(e));
}

__device__ inline double log_of(Scaled x) {
    return is_zero(x) ? -INFINITY : log(static_cast<double>(x.m)) + x.e * 0.6931471805599453;
}

// Four neighbouring states are a thread's.
constexpr int STATES = 4;

// A batch. `offsets` [T + 1] and `lengths` [B]: the packed layout; `starts` [B + 1]: where an utterance's labels begin in
// `labels`; `order`: the places of its labels, sorted by label, those of one label in their own order; `rooms` [B]: where its
// part of `scratch` begins, counted in pairs.
struct Batch {
    const int *offsets, *lengths, *starts, *labels, *order;
    const u64* rooms;
    const float* logits;
    // [N, 2]: the largest logit of each frame, and the logarithm of the sum of exponentials beside it.
    float* sums;
    Scaled* scratch;
    // [B]: the probability of the labels, NaN where a logit is not finite.
    Scaled* totals;
    float* loss;
};

// An utterance: frames, labels, states, and its part of the scratch.
struct Utterance {
    int frames, count, states, stride;
    const int *labels, *order;
    Scaled *emissions, *paths;

    __device__ Utterance(const Batch& x, int b) {
        frames = x.lengths[b];
        count = x.starts[b + 1] - x.starts[b];
        states = 2 * count + 1;
        stride = (states + STATES - 1) / STATES * STATES;
        labels = x.labels + x.starts[b];
        order = x.order + x.starts[b];
        emissions = x.scratch + 2 * x.rooms[b];
        // Four states lie on a boundary of 16 bytes.
        paths = emissions + (static_cast<u64>(frames) * (count + 1) + 1) / 2 * 2;
    }

    // Of the blank, and of label l behind it.
    __device__ Scaled* emission(int t) const {
        return emissions + static_cast<u64>(t) * (count + 1);
    }
    // What a team knows after its step n: alpha of frame n, or beta of frame T - 1 - n, whose states are counted from behind.
    // Either has the emission of its own frame in it.
    __device__ Scaled* path(int team, int n) const {
        return paths + (static_cast<u64>(team) * frames + n) * stride;
    }
};

// The sum, or the largest, of a warp's numbers; every lane gets it.
template <class F>
__device__ inline float of_warp(float v, F f) {
#pragma unroll
    for (int bit = WARP / 2; bit > 0; bit /= 2) v = f(v, __shfl_xor_sync(~0u, v, bit));
    return v;
}
__device__ inline float warp_sum(float v) {
    return of_warp(v, [](float a, float b) { return a + b; });
}

// This warp's utterance and frame: blocks hold blockDim / WARP neighbouring frames of one utterance.
struct Frame {
    int b, t, lane;

    __device__ Frame(int batch) {
        const int warp = threadIdx.x / WARP;
        b = blockIdx.x % batch;
        t = blockIdx.x / batch * (blockDim.x / WARP) + warp;
        lane = threadIdx.x % WARP;
    }
};

extern "C" __global__ void __launch_bounds__(256) ctc_emissions(int batch, int classes, Batch x) {
    const Frame at(batch);
    const Utterance u(x, at.b);
    if (at.t >= u.frames) return;
    const u64 row = x.offsets[at.t] + at.b;
    const float* logits = x.logits + row * classes;
    float high = -INFINITY, sum = 0.0f;
    for (int k = at.lane; k < classes; k += WARP) high = fmaxf(high, logits[k]);
    high = of_warp(high, [](float a, float b) { return fmaxf(a, b); });
    for (int k = at.lane; k < classes; k += WARP) sum += expf(logits[k] - high);
    sum = warp_sum(sum);
    const float log_sum = logf(sum);
    if (at.lane == 0) {
        x.sums[2 * row] = high;
        x.sums[2 * row + 1] = log_sum;
    }
    // fmaxf passes over NaN, the sum does not.
    const bool finite = isfinite(sum) && isfinite(high);
    Scaled* emission = u.emission(at.t);
    for (int l = at.lane; l <= u.count; l += WARP) {
        const int symbol = l == 0 ? 0 : u.labels[l - 1];
        emission[l] = finite ? exp_scaled(static_cast<double>(logits[symbol] - high) - log_sum) : Scaled{NAN, 0};
    }
}

// A lane's neighbour's.
__device__ inline Scaled from_lane_before(Scaled v) {
    return {__shfl_up_sync(~0u, v.m, 1), __shfl_up_sync(~0u, v.e, 1)};
}

// `teams`: 2, or only alpha's, and nothing of it is kept. Shared memory: 4 numbers a warp, and 4.
extern "C" __global__ void __launch_bounds__(512) ctc_paths(int teams, Batch x) {
    // Emissions are read so many steps ahead: the latency of L2.
    constexpr int AHEAD = 8;
    SHARED_MEMORY(shared);
    const Utterance u(x, blockIdx.x);
    if (u.frames == 0) {
        if (threadIdx.x == 0) x.loss[blockIdx.x] = 0.0f;
        return;
    }
    const int size = blockDim.x / teams, team = threadIdx.x / size, i = threadIdx.x % size;
    const int warps = blockDim.x / WARP, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    // [2, warps]: the last states of warps after a step, for the warps behind; then the two last states of all.
    Scaled* const edges = reinterpret_cast<Scaled*>(shared);
    Scaled* const ends = edges + 2 * warps;
    const bool waits = size > WARP;

    // Labels of states 4 i + 1 and 4 i + 3, as this team counts them. Behind the last state there is no end: what is found
    // there goes nowhere.
    const auto place = [&](int l) { return max(0, team == 0 ? l : u.count - 1 - l); };
    const int first = min(2 * i, u.count - 1), second = min(2 * i + 1, u.count - 1);
    // To leap costs nothing, or everything.
    const auto cost = [&](int from, int to) {
        return from >= 0 && from < to && u.labels[place(from)] != u.labels[place(to)] ? 0 : NOTHING;
    };
    const int to_first = cost(first - 1, first), to_second = cost(first, second);

    // Emissions, from this team's first frame on.
    struct Emission {
        Scaled blank, first, second;
    };
    const Scaled* row = u.emission(team == 0 ? 0 : u.frames - 1);
    const int stride = team == 0 ? u.count + 1 : -(u.count + 1), at_first = u.count > 0 ? 1 + place(first) : 0;
    const int at_second = u.count > 0 ? 1 + place(second) : 0;
    int left = u.frames;
    // The next frame's; at the end the last one's again.
    const auto read = [&]() {
        const Emission e = {row[0], row[at_first], row[at_second]};
        if (--left > 0) row += stride;
        return e;
    };
    Emission ahead[AHEAD];
#pragma unroll
    for (int n = 0; n < AHEAD; ++n) ahead[n] = read();
    const bool keeps = teams == 2 && STATES * i < u.stride;
    float4* to = reinterpret_cast<float4*>(u.path(team, 0) + STATES * i);
    // A path begins in one of the first two states: as if it came from one before them, which leads to both of them once.
    Scaled v[STATES] = {zero(), zero(), zero(), zero()}, edge = i == 0 ? Scaled{1.0f, 0} : zero();
    int leap = i == 0 ? 0 : to_first;
    // Not finite if an emission is not.
    float check = 0.0f;
    const auto take = [&](int n, const Emission& p) {
        check += p.blank.m;
        Scaled before = from_lane_before(v[3]);
        if (waits && n > 0 && i >= WARP) edge = edges[(n + 1) % 2 * warps + warp - 1];
        before.m = lane == 0 ? edge.m : before.m;
        before.e = lane == 0 ? edge.e : before.e;
        v[3] = sum_times(v[3], v[2], {v[1].m, v[1].e + to_second}, p.second);
        v[2] = sum_times(v[2], v[1], p.blank);
        v[1] = sum_times(v[1], v[0], {before.m, before.e + leap}, p.first);
        v[0] = sum_times(v[0], before, p.blank);
        edge = zero();
        leap = to_first;
        if (keeps) {
            to[0] = {v[0].m, __int_as_float(v[0].e), v[1].m, __int_as_float(v[1].e)};
            to[1] = {v[2].m, __int_as_float(v[2].e), v[3].m, __int_as_float(v[3].e)};
            to += u.stride / 2;
        }
        if (waits) {
            if (lane == WARP - 1) edges[n % 2 * warps + warp] = v[3];
            __syncthreads();
        }
    };
    int n = 0;
    for (; n + AHEAD <= u.frames; n += AHEAD) {
#pragma unroll
        for (int slot = 0; slot < AHEAD; ++slot) {
            const Emission p = ahead[slot];
            ahead[slot] = read();
            take(n + slot, p);
        }
    }
#pragma unroll
    for (int slot = 0; slot < AHEAD - 1; ++slot) {
        if (n + slot < u.frames) take(n + slot, ahead[slot]);
    }
    // It ends in one of the last two.
#pragma unroll
    for (int s = 0; s < STATES; ++s) {
        const int behind = u.states - 1 - (STATES * i + s);
        if (team == 0 && (behind == 0 || behind == 1)) ends[behind] = v[s];
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        const Scaled total = sum_times(ends[0], u.count > 0 ? ends[1] : zero(), {1.0f, 0});
        const bool finite = isfinite(check);
        x.totals[blockIdx.x] = finite ? total : Scaled{NAN, 0};
        x.loss[blockIdx.x] = finite ? static_cast<float>(-log_of(total)) : NAN;
    }
}

// `gradient` [N, V]: the loss's, times the utterance's `upstream`. Shared memory: `most` numbers a warp, the largest number of
// states.
extern "C" __global__ void __launch_bounds__(256) ctc_gradient(int batch, int classes, int most, Batch x,
                                                               const float* upstream, float* gradient) {
    SHARED_MEMORY(shared);
    const Frame at(batch);
    const Utterance u(x, at.b);
    if (at.t >= u.frames) return;
    const Scaled total = x.totals[at.b];
    const u64 row = x.offsets[at.t] + at.b;
    float* g = gradient + row * classes;
    if (!isfinite(total.m)) {
        for (int k = at.lane; k < classes; k += WARP) g[k] = NAN;
        return;
    }
    // The probability of being in a state.
    float* posterior = shared + threadIdx.x / WARP * most;
    const Scaled *alpha = u.path(0, at.t), *beta = u.path(1, u.frames - 1 - at.t), *emission = u.emission(at.t);
    float blank = 0.0f;
    for (int s = at.lane; s < u.states; s += WARP) {
        const Scaled a = alpha[s], b = beta[u.states - 1 - s], p = emission[s % 2 == 0 ? 0 : 1 + s / 2];
        const int e = a.e + b.e - p.e - total.e;
        const bool nothing = is_zero(a) || is_zero(b) || e < -100;
        const float there = nothing ? 0.0f : a.m * b.m / (p.m * total.m) * exp2f(static_cast<float>(e));
        posterior[s] = there;
        if (s % 2 == 0) blank += there;
    }
    blank = warp_sum(blank);
    const float *logits = x.logits + row * classes, high = x.sums[2 * row], log_sum = x.sums[2 * row + 1];
    const float times = upstream[at.b];
    for (int k = at.lane; k < classes; k += WARP) {
        g[k] = times * (expf(logits[k] - high - log_sum) - (k == 0 ? blank : 0.0f));
    }
    __syncwarp();
    // The first place of each label takes what all of them have.
    for (int i = at.lane; i < u.count; i += WARP) {
        const int label = u.labels[u.order[i]];
        if (i > 0 && u.labels[u.order[i - 1]] == label) continue;
        float sum = 0.0f;
        for (int j = i; j < u.count && u.labels[u.order[j]] == label; ++j) sum += posterior[2 * u.order[j] + 1];
        g[label] -= times * sum;
    }
}
