// The recurrent layer on clusters of blocks: whole sequences in one launch, states exchanged through shared memory.
//
// What it computes is what recurrent.cu does, for cells whose gates hear the state itself (nothing modulated, no
// projection), of at most BLOCKS * UNITS units a head.
//
// How: a cluster of BLOCKS blocks serves one direction, head and slice of utterances. A block owns up to UNITS units; the
// recurrent weights of their gates are in its threads' registers for the whole sequence. All warps multiply; then
// some of them compute the cells, an utterance a warp or, forward, up to four.
//
// Forward: sixteen threads share a unit, each with 16 numbers of K for every gate. What they made is added up by the cell's
// lanes, which send the new state to every block's copy of h. A block waits for nothing but the bytes that it needs: an
// mbarrier counts them.
//
// Backward: the weights of a block's own gates, [gates of units, K], turn its own gradients into a share of the gradient
// of every h, which is sent to the block that owns the unit, and there added up in the blocks' order. So it is of h's
// size what is exchanged, not of the gates'. Products are made for PER utterances at a time, in PASSES passes: more sums would
// not fit beside the weights, and take more shuffles to add up.
//
// There are two buffers of what is exchanged. A block overwrites one only after it has heard from all blocks of the step
// after, which they told when they had read it.
//
// Operations and time of a step at H = 250, B = 16, both directions, f32. An H100 or H200 runs 15 such clusters at once, so
// that 3 utterances share one (12 clusters, 96 blocks): 98 thousand multiplications a block, 768 cycles at 128 a cycle; as
// many cycles of reading h, beside it; adding up 200, the cell 250; sending and waiting 350, as measured. Expected at
// 1.75 GHz: 0.9 us forward, 1.0 us backward.
//
// Sums run in an order that depends on the layer alone: no bit of an utterance depends on its neighbours.
#include "cluster.cuh"
#include "layer.cuh"

// Blocks of a cluster, units that a block may have, threads of a unit in the forward product, numbers of K that one of them
// holds.
constexpr int BLOCKS = 8;
constexpr int UNITS = 32;
constexpr int LANES = 16;
constexpr int HELD = 16;
constexpr int WIDTH = LANES * HELD;
// From the shares of one unit to those of the next: four numbers more than there are, for the banks.
constexpr int APART = 4 * LANES + 4;
// Threads that share four columns in the backward product.
constexpr int SHARES = 8;
constexpr int THREADS_OF_CLUSTERS = UNITS * LANES;

// Blocks of a cluster that have units. The others must not take part: nobody waits for them, so that they might be late by
// two phases of a barrier, which look the same.
__device__ inline int taking_part(const Layer& p, const Place& at) {
    return (at.head_units + p.units - 1) / p.units;
}

// The rows of a slice that run at a step: the first one, and how many. What is read is made use of only when it is asked
// for, so that nobody waits for it.
struct Rows {
    int begin, end;

    // At a step that there is not, none.
    __device__ Rows(const Buffers& x, const Place& at, int step) : begin(0), end(0) {
        if (step < 0 || step >= at.steps) return;
        const int* from = x.offsets + at.time(step);
        begin = from[0];
        end = from[1];
    }
    __device__ int first(const Place& at) const {
        return begin + at.first_row;
    }
    __device__ int count(const Place& at) const {
        return max(0, min(at.slice_rows, end - first(at)));
    }
};

// What counts the bytes that come to a block: two barriers in turn, behind `numbers` of shared memory. What is sent at a step
// is waited for at the next one.
struct Mailbox {
    u64* barriers;

    // `first` and `second`: bytes that come of steps 0 and 1. One thread calls it.
    __device__ void open(unsigned first, unsigned second) const {
        for (int i = 0; i < 2; ++i) cluster::make(barriers + i);
        expect(0, first);
        expect(1, second);
    }
    // Says what comes of a step. Of nothing there is no phase: it would end at once, and look like the one before.
    __device__ void expect(int step, unsigned bytes) const {
        if (bytes > 0) cluster::expect(barriers + step % 2, bytes);
    }
    __device__ void wait(int step) const {
        cluster::wait(barriers + step % 2, step / 2 % 2);
    }
    __device__ u64* of(int step) const {
        return barriers + step % 2;
    }
};

// Numbers that are read at once.
template <int COUNT>
struct alignas(4 * COUNT) Numbers {
    float of[COUNT];
};

// What lane `from` of this one's group of SPLIT neighbours has.
template <int SPLIT>
__device__ inline float from_lane_of(float v, int from) {
    return SPLIT == 1 ? v : __shfl_sync(~0u, v, threadIdx.x % WARP / SPLIT * SPLIT + from);
}

template <class C, int ROWS>
__device__ void forward(const Layer& p, float clip, const Buffers& x) {
    // Lanes that share the cell of a unit and utterance: the fewer numbers each adds up, the sooner it is done; and the gates
    // that each of them adds up.
    constexpr int SPLIT = ROWS <= 4 ? 4 : ROWS <= 8 ? 2 : 1, OWN = 4 / SPLIT;
    SHARED_MEMORY(shared);
    // [2, ROWS, WIDTH]: h after steps; [ROWS, UNITS, APART]: shares of what gates hear, [LANES, 4].
    float *const h = shared, *const parts = h + 2 * ROWS * WIDTH;
    const Mailbox box = {reinterpret_cast<u64*>(parts + ROWS * UNITS * APART)};
    const Place at(p, x);
    const int seen = at.head_units, warp = threadIdx.x / WARP;

    // In the product: unit j, and a share of K, four in a row of every 64.
    const int j = threadIdx.x / LANES, part = threadIdx.x % LANES;
    const bool multiplies = warp * WARP / LANES < at.units;
    float w[C::recurrent][HELD];
    for (int g = 0; g < C::recurrent; ++g) {
        const float* row = x.r + (static_cast<size_t>(at.direction * C::recurrent + g) * p.hidden + at.unit(j)) * seen;
#pragma unroll
        for (int i = 0; i < HELD; ++i) {
            const int k = i / 4 * 4 * LANES + 4 * part + i % 4;
            w[g][i] = j < at.units && k < seen ? row[k] : 0.0f;
        }
    }
    // In the cell: utterance b of the slice, which a warp has in common, a unit, and which of its lanes this is.
    const int b = threadIdx.x / SPLIT / UNITS, i = threadIdx.x / SPLIT % UNITS, sub = threadIdx.x % SPLIT;
    const int unit = at.unit(min(i, max(at.units - 1, 0)));
    const bool has_cell = b < ROWS, owns = has_cell && i < at.units;
    // The unit's numbers in the first row, and from one row to the next.
    const int block = C::gates * p.hidden, kept_count = C::states + C::saved + (clip > 0.0f ? C::states : 0);
    const float* const a_at = x.a + at.direction * block + unit;
    float* const y_at = x.y + at.direction * p.hidden + unit;
    float* const kept_at = x.kept + static_cast<size_t>(at.direction) * p.rows * kept_count * p.hidden + unit;
    const unsigned a_stride = p.directions * block, y_stride = p.directions * p.hidden, kept_stride = kept_count * p.hidden;
    Seen<C> s;
    float bias[C::gates], a[C::gates];
    for (int g = 0; g < C::gates; ++g) {
        bias[g] = owns ? x.b[at.direction * block + unit + g * p.hidden] : 0.0f;
        a[g] = 0.0f;
    }
    for (int n = 0; n < C::aux; ++n) s.aux[n] = owns ? x.aux[(at.direction * C::aux + n) * p.hidden + unit] : 0.0f;
    for (int n = 0; n < C::states; ++n) s.prev[n] = C::initial(n);
    for (int n = threadIdx.x; n < 2 * ROWS * WIDTH; n += blockDim.x) h[n] = C::initial(0);

    Rows now(x, at, 0), next(x, at, 1), later(x, at, 2);
    // What a step sends to each block: what the step after it sees.
    const auto bytes = [&](const Rows& rows, const Rows& after) {
        return 4u * seen * min(rows.count(at), after.count(at));
    };
    if (threadIdx.x == 0) box.open(bytes(now, next), bytes(next, later));
    cluster::meet();
    if (at.units == 0 || !(multiplies || has_cell)) return;
    const int blocks = taking_part(p, at);

    // Input parts of the gates are read for the step after, once a step has used its own.
    const auto read = [&](const Rows& rows) {
        if (!owns || b >= rows.count(at)) return;
        const float* from = a_at + static_cast<u64>(rows.first(at) + b) * a_stride;
        for (int g = 0; g < C::gates; ++g) a[g] = from[g * p.hidden];
    };
    read(now);
    for (int step = 0; step < at.steps; ++step) {
        if (multiplies) {
            if (step > 0) {
                box.wait(step - 1);
                if (threadIdx.x == 0) box.expect(step + 1, bytes(next, later));
            }
            const float* of = h + (step + 1) % 2 * ROWS * WIDTH + 4 * part;
#pragma unroll
            for (int row = 0; row < ROWS; ++row) {
                float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
                for (int n = 0; n < HELD; n += 4) {
                    const float4 v = *reinterpret_cast<const float4*>(of + row * WIDTH + n * LANES);
#pragma unroll
                    for (int g = 0; g < C::recurrent; ++g) {
                        sums[g] += v.x * w[g][n];
                        sums[g] += v.y * w[g][n + 1];
                        sums[g] += v.z * w[g][n + 2];
                        sums[g] += v.w * w[g][n + 3];
                    }
                }
                // A row that has ended may still be read.
                if (row < now.count(at)) {
                    float* to = parts + (row * UNITS + j) * APART + 4 * part;
                    *reinterpret_cast<float4*>(to) = {sums[0], sums[1], sums[2], sums[3]};
                }
            }
        }
        __syncthreads();
        if (has_cell && b < now.count(at)) {
            float heard[OWN];
            for (int g = 0; g < OWN; ++g) heard[g] = 0.0f;
            const float* from = parts + (b * UNITS + i) * APART + sub * OWN;
            // Of four gates, more at a time do not fit beside the weights.
#pragma unroll(SPLIT == 1 ? 4 : LANES)
            for (int n = 0; n < LANES; ++n) {
                const auto v = *reinterpret_cast<const Numbers<OWN>*>(from + 4 * n);
#pragma unroll
                for (int g = 0; g < OWN; ++g) heard[g] += v.of[g];
            }
            for (int g = 0; g < C::recurrent; ++g) s.r[g] = from_lane_of<SPLIT>(heard[g % OWN], g / OWN);
            for (int g = 0; g < C::gates; ++g) s.a[g] = a[g] + bias[g];
            float after[C::states], saved[AT_LEAST_1(C::saved)];
            C::step(s.a, s.r, s.aux, s.prev, after, saved);
            const unsigned row = now.first(at) + b;
            for (int n = 0; n < C::states && clip > 0.0f; ++n) {
                if (n != C::output) after[n] = fmaxf(-clip, fminf(clip, after[n]));
            }
            if (p.shares) {
                const float* shares = x.shares + static_cast<u64>(row * p.directions + at.direction) * 2 * p.hidden + unit;
                for (int n = 0; n < C::states; ++n) {
                    const float share = shares[n == C::output ? 0 : p.hidden];
                    after[n] = share * after[n] + (1.0f - share) * s.prev[n];
                }
            }
            if (owns && b < next.count(at)) {
                float* const to = h + (step % 2 * ROWS + b) * WIDTH + at.first_unit + i;
                const auto send = [&](int rank) { cluster::send(to, after[0], box.of(step), rank); };
                if (blocks == BLOCKS) {
#pragma unroll
                    for (int rank = 0; rank < BLOCKS; rank += SPLIT) send(rank + sub);
                } else {
                    for (int rank = sub; rank < blocks; rank += SPLIT) send(rank);
                }
            }
            if (owns && sub == 0) {
                y_at[static_cast<u64>(row) * y_stride] = after[C::output];
                if (p.keep) {
                    float* kept = kept_at + static_cast<u64>(row) * kept_stride;
                    for (int n = 0; n < C::states; ++n) kept[n * p.hidden] = s.prev[n];
                    for (int n = 0; n < C::saved; ++n) kept[(C::states + n) * p.hidden] = saved[n];
                    for (int n = 0; n < C::states && clip > 0.0f; ++n) {
                        kept[(C::states + C::saved + n) * p.hidden] = after[n];
                    }
                }
            }
            for (int n = 0; n < C::states; ++n) s.prev[n] = after[n];
        }
        read(next);
        now = next;
        next = later;
        later = Rows(x, at, step + 3);
    }
}

// Lanes add up COUNT numbers, over those that differ in BIT and lower bits. As long as there are several, each keeps a half:
// the upper one if its bit is set.
template <int COUNT, int BIT, int N>
__device__ inline void add_up(float (&v)[N]) {
    if constexpr (BIT > 0) {
        constexpr bool halves = COUNT > 1;
        constexpr int left = halves ? COUNT / 2 : COUNT;
        const bool upper = threadIdx.x & BIT;
#pragma unroll
        for (int i = 0; i < left; ++i) {
            const float give = halves && !upper ? v[i + COUNT - left] : v[i];
            const float keep = halves && upper ? v[i + COUNT - left] : v[i];
            v[i] = keep + __shfl_xor_sync(~0u, give, BIT);
        }
        add_up<left, BIT / 2>(v);
    }
}

template <class C, int PER, int PASSES>
__device__ void backward(const Layer& p, float clip, const Buffers& x) {
    constexpr int ROWS = PER * PASSES, most = C::recurrent * UNITS;
    SHARED_MEMORY(shared);
    // [2, ROWS, gates of units]: gradients of what this block's gates heard; [2, BLOCKS, ROWS, UNITS]: shares of those of
    // its states.
    float *const d = shared, *const found = d + 2 * ROWS * most;
    const Mailbox box = {reinterpret_cast<u64*>(found + 2 * BLOCKS * ROWS * UNITS)};
    const Place at(p, x);
    const int seen = at.head_units, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;

    // In the product: a share of the rows of the block's weights, four in a row of every 32; and four columns.
    const int share = threadIdx.x % SHARES, k = threadIdx.x / SHARES * 4;
    // Whose they are, and where they stand there: a block's units are a power of two.
    const int bits = 31 - __clz(p.units), rank = k >> bits, place = k & (p.units - 1);
    float w[4 * C::recurrent][4];
#pragma unroll
    for (int i = 0; i < 4 * C::recurrent; ++i) {
        const int n = i / 4 * 4 * SHARES + 4 * share + i % 4, g = n / UNITS, of = n % UNITS;
        const float* row = x.r + (static_cast<size_t>(at.direction * C::recurrent + g) * p.hidden + at.unit(of)) * seen;
#pragma unroll
        for (int c = 0; c < 4; ++c) w[i][c] = of < at.units && k + c < seen ? row[k + c] : 0.0f;
    }
    // In the cell: utterance b of the slice, and a unit.
    const int b = warp, unit = at.unit(lane);
    const bool owns = b < ROWS && lane < at.units;
    float aux_sums[AT_LEAST_1(C::aux)], back[C::states];
    for (int n = 0; n < C::aux; ++n) aux_sums[n] = 0.0f;
    for (int n = 0; n < C::states; ++n) back[n] = 0.0f;
    for (int i = threadIdx.x; i < 2 * ROWS * most; i += blockDim.x) d[i] = 0.0f;

    // Backwards through what `forward` did.
    const auto rows_at = [&](int step) { return Rows(x, at, at.steps - 1 - step); };
    Rows now = rows_at(0), next = rows_at(1), later = rows_at(2);
    // Rows that the step before sent something for.
    int sent = 0;
    const int blocks = taking_part(p, at);
    const auto bytes = [&](const Rows& rows, const Rows& after) {
        return 4u * blocks * ((at.units + 3) / 4 * 4) * min(rows.count(at), after.count(at));
    };
    if (threadIdx.x == 0) box.open(bytes(now, next), bytes(next, later));
    cluster::meet();
    if (at.units == 0) return;

    // What the forward pass kept, and the gradient of the output, are read for the step after, once a step has used its own;
    // the rest, for clipping, when needed.
    constexpr int read_ahead = C::states + C::saved;
    const int block = C::gates * p.hidden, kept_count = C::states + C::saved + (clip > 0.0f ? C::states : 0);
    const float* const kept_at = x.kept + static_cast<size_t>(at.direction) * p.rows * kept_count * p.hidden + unit;
    const unsigned dy_column = at.direction * p.hidden + unit, da_column = at.direction * block + unit;
    const unsigned kept_stride = kept_count * p.hidden, y_stride = p.directions * p.hidden, a_stride = p.directions * block;
    float kept[read_ahead], dy = 0.0f;
    for (int n = 0; n < read_ahead; ++n) kept[n] = 0.0f;
    const auto read = [&](const Rows& rows) {
        if (!owns || b >= rows.count(at)) return;
        const unsigned row = rows.first(at) + b;
        const float* from = kept_at + static_cast<u64>(row) * kept_stride;
        for (int n = 0; n < read_ahead; ++n) kept[n] = from[n * p.hidden];
        dy = x.dy[static_cast<u64>(row) * y_stride + dy_column];
    };
    read(now);
    for (int step = 0; step < at.steps; ++step) {
        if (owns && b < now.count(at)) {
            // Not held: registers are few.
            float aux[AT_LEAST_1(C::aux)];
            for (int n = 0; n < C::aux; ++n) aux[n] = x.aux[(at.direction * C::aux + n) * p.hidden + unit];
            float after[C::states], stays[C::states];
            for (int n = 0; n < C::states; ++n) after[n] = back[n];
            if (step > 0) {
                box.wait(step - 1);
                if (threadIdx.x == 0) box.expect(step + 1, bytes(next, later));
                if (b < sent) {
                    const float* mine = found + ((step - 1) % 2 * BLOCKS * ROWS + b) * UNITS + lane;
#pragma unroll
                    for (int rank = 0; rank < BLOCKS; ++rank) {
                        if (rank < blocks) after[0] += mine[rank * ROWS * UNITS];
                    }
                }
            }
            // The derivative of the step.
            after[C::output] += dy;
            const unsigned row = now.first(at) + b;
            for (int n = 0; n < C::states; ++n) stays[n] = 0.0f;
            if (p.shares) {
                const float* shares = x.shares + static_cast<u64>(row * p.directions + at.direction) * 2 * p.hidden + unit;
                for (int n = 0; n < C::states; ++n) {
                    const float share = shares[n == C::output ? 0 : p.hidden];
                    stays[n] = after[n] - share * after[n];
                    after[n] *= share;
                }
            }
            for (int n = 0; n < C::states && clip > 0.0f; ++n) {
                const float next = kept_at[static_cast<u64>(row) * kept_stride + (read_ahead + n) * p.hidden];
                if (n != C::output) after[n] *= positive(clip - fabsf(next));
            }
            float d_a[C::gates], d_r[C::recurrent], d_aux[AT_LEAST_1(C::aux)], d_prev[C::states];
            C::step_grad(after, aux, kept, kept + C::states, d_a, d_r, d_aux, d_prev);
            const float* heard = C::added ? d_a : d_r;
            for (int g = 0; g < C::recurrent; ++g) d[(step % 2 * ROWS + b) * most + g * UNITS + lane] = heard[g];
            for (int n = 0; n < C::states; ++n) back[n] = stays[n] + d_prev[n];
            for (int n = 0; n < C::aux; ++n) aux_sums[n] += d_aux[n];
            float* da = x.da + static_cast<u64>(row) * a_stride + da_column;
            for (int g = 0; g < C::gates; ++g) da[g * p.hidden] = d_a[g];
            if constexpr (!C::added) {
                float* dr = x.dr + static_cast<u64>(row * p.directions + at.direction) * C::recurrent * p.hidden + unit;
                for (int g = 0; g < C::recurrent; ++g) dr[g * p.hidden] = d_r[g];
            }
        }
        read(next);
        __syncthreads();
        // Shares of the gradients of all states.
#pragma unroll 1
        for (int pass = 0; pass < PASSES; ++pass) {
            constexpr int count = 4 * PER;
            static_assert(count <= SHARES, "a lane sends one number a pass");
            float sums[count];
#pragma unroll
            for (int i = 0; i < count; ++i) sums[i] = 0.0f;
            const float* of = d + (step % 2 * ROWS + pass * PER) * most + 4 * share;
#pragma unroll
            for (int i = 0; i < C::recurrent; ++i) {
#pragma unroll
                for (int r = 0; r < PER; ++r) {
                    const float4 v = *reinterpret_cast<const float4*>(of + r * most + i * 4 * SHARES);
#pragma unroll
                    for (int c = 0; c < 4; ++c) {
                        float& sum = sums[4 * r + c];
                        sum += v.x * w[4 * i][c];
                        sum += v.y * w[4 * i + 1][c];
                        sum += v.z * w[4 * i + 2][c];
                        sum += v.w * w[4 * i + 3][c];
                    }
                }
            }
            add_up<count, SHARES / 2>(sums);
            // A lane has one of the columns of an utterance; of a single utterance, two lanes have the same.
            constexpr int twins = SHARES / count;
            const int first = share / twins, row = pass * PER + first / 4;
            if (k < seen && row < min(now.count(at), next.count(at)) && share % twins == 0) {
                float* to = found + ((step % 2 * BLOCKS + at.block) * ROWS + row) * UNITS + place + first % 4;
                cluster::send(to, sums[0], box.of(step), rank);
            }
        }
        sent = min(now.count(at), next.count(at));
        now = next;
        next = later;
        later = rows_at(step + 3);
    }
    const bool exists = owns && b < min(at.slice_rows, p.batch - at.first_row);
    for (int n = 0; exists && n < C::aux; ++n) {
        const size_t slots = static_cast<size_t>(p.directions) * p.batch;
        x.daux[(n * slots + static_cast<size_t>(at.direction) * p.batch + at.first_row + b) * p.hidden + unit] = aux_sums[n];
    }
}

// A unit's states are held within `clip` of zero, but for the output; 0: they are not. For so many utterances a slice, and in
// so many passes of the backward product.
#define KERNELS_OF_SLICE(name, rows, passes)                                                            \
    extern "C" __global__ void __cluster_dims__(BLOCKS, 1, 1) __launch_bounds__(THREADS_OF_CLUSTERS, 1) \
        cluster_forward_##name##_##rows(Layer p, float clip, Buffers x) {                               \
        forward<name, rows>(p, clip, x);                                                                \
    }                                                                                                   \
    extern "C" __global__ void __cluster_dims__(BLOCKS, 1, 1) __launch_bounds__(THREADS_OF_CLUSTERS, 1) \
        cluster_backward_##name##_##rows(Layer p, float clip, Buffers x) {                              \
        backward<name, rows / passes, passes>(p, clip, x);                                              \
    }
#define KERNELS(name)            \
    KERNELS_OF_SLICE(name, 1, 1) \
    KERNELS_OF_SLICE(name, 3, 3) \
    KERNELS_OF_SLICE(name, 6, 3) \
    KERNELS_OF_SLICE(name, 10, 5)
#ifdef ONLY
KERNELS(ONLY)
#else
FOR_EACH_CELL_OF_CLUSTERS(KERNELS)
#endif
