// The recurrent layer on clusters of blocks: whole sequences in one launch, states exchanged through shared memory.
//
// What it computes is what recurrent.cu does, for cells whose gates hear the state itself (nothing modulated, no
// projection), of at most BLOCKS * UNITS units a head.
//
// How: a cluster of BLOCKS blocks serves one direction, head and slice of utterances. A block owns up to UNITS units; the
// recurrent weights of their gates are in its threads' registers for the whole sequence. Products are made for PER
// utterances at a time, in PASSES passes: more sums do not fit beside the weights.
//
// Forward: sixteen lanes share a unit, each with 16 numbers of K for every gate. They add up what they made by a
// butterfly, every lane computes the step of one utterance (several the same one), and sends the new state to every
// block's copy of h. A block waits for nothing but the bytes that it needs: an mbarrier counts them.
//
// Backward: the weights of a block's own gates, [gates of units, K], turn its own gradients into a share of the gradient
// of every h, which is sent to the block that owns the unit, and there added up in the blocks' order. So it is of h's
// size what is exchanged, not of the gates'.
//
// There are two buffers of what is exchanged. A block overwrites one only after it has heard from all blocks of the step
// after, which they told when they had read it.
//
// Operations and time of a step at H = 250, B = 16, both directions, f32. An H100 or H200 runs 15 such clusters at once, so
// that 3 utterances share one (12 clusters, 96 blocks): 98 thousand multiplications a block, 768 cycles at 128 a cycle; as
// many cycles of reading h, beside it; the butterfly 130; the cell 150; sending and waiting 350, as measured. Expected at
// 1.75 GHz: 0.8 us forward, 0.9 us backward.
//
// Sums run in an order that depends on the layer alone: no bit of an utterance depends on its neighbours.
#include "cluster.cuh"
#include "layer.cuh"

// Blocks of a cluster, units that a block may have, lanes of a unit, numbers of K that one of them holds.
constexpr int BLOCKS = 8;
constexpr int UNITS = 32;
constexpr int LANES = 16;
constexpr int HELD = 16;
constexpr int WIDTH = LANES * HELD;
// Lanes that share four columns in the backward product.
constexpr int SHARES = 8;

// Blocks of a cluster that have units. The others, and warps of a forward pass without one, must not take part: nobody
// waits for them, so that they might be late by two phases of a barrier, which look the same.
__device__ inline int taking_part(const Layer& p, const Place& at) {
    return (at.head_units + p.units - 1) / p.units;
}

// The rows of a slice that run at a step: the first one, and how many.
struct Rows {
    int first, count;

    // At a step that there is not, none.
    __device__ Rows(const Buffers& x, const Place& at, int step) : first(0), count(0) {
        if (step < 0 || step >= at.steps) return;
        const int t = at.time(step), begin = x.offsets[t];
        first = begin + at.first_row;
        count = max(0, min(at.slice_rows, x.offsets[t + 1] - first));
    }
};

// Lanes add up COUNT numbers, over those that differ in BIT and lower bits. As long as there are more than LEAST, each
// keeps a half: the upper one if its bit is set.
template <int COUNT, int BIT, int LEAST, int N>
__device__ inline void add_up(float (&v)[N]) {
    if constexpr (BIT > 0) {
        constexpr bool halves = COUNT > LEAST;
        constexpr int left = halves ? COUNT / 2 : COUNT;
        const bool upper = threadIdx.x & BIT;
#pragma unroll
        for (int i = 0; i < left; ++i) {
            const float give = halves && !upper ? v[i + COUNT - left] : v[i];
            const float keep = halves && upper ? v[i + COUNT - left] : v[i];
            v[i] = keep + __shfl_xor_sync(~0u, give, BIT);
        }
        add_up<left, BIT / 2, LEAST>(v);
    }
}

// The least power of two that is not less.
__device__ constexpr int up_to_power(int n) {
    return n <= 1 ? 1 : 2 * up_to_power((n + 1) / 2);
}

// What the sixteen lanes of a unit do for the utterances of a slice: each computes the step of one.
template <int PER, int PASSES>
struct Lane {
    // Lanes that end up with an utterance's sums in a pass; those of different passes divide them up.
    static constexpr int laid = up_to_power(PER), same = LANES / laid, copies = same / PASSES;
    // The unit, the lane's number, the pass that it keeps, the utterance, and which of its copies this is. Without an
    // utterance, `b` is more than there are.
    int j, part, pass, b, copy;

    __device__ Lane() {
        j = threadIdx.x / LANES;
        part = threadIdx.x % LANES;
        pass = part % same / copies;
        b = part / same < PER ? pass * PER + part / same : LANES;
        copy = part % copies;
    }
};

template <class C, int PER, int PASSES>
__device__ void forward(const Layer& p, float clip, const Buffers& x) {
    constexpr int ROWS = PER * PASSES;
    using Own = Lane<PER, PASSES>;
    SHARED_MEMORY(shared);
    // [2, ROWS, WIDTH]: h after steps, and what counts its bytes.
    float* const h = shared;
    u64* const arrived = reinterpret_cast<u64*>(h + 2 * ROWS * WIDTH);
    const Place at(p, x);
    const Own own;
    const int j = own.j, b = own.b;
    // A thread without a unit computes another's, and tells nobody.
    const int unit = at.head * at.head_units + min(at.first_unit + j, at.head_units - 1), seen = at.head_units;

    float w[C::recurrent][HELD];
    for (int g = 0; g < C::recurrent; ++g) {
        const float* row = x.r + (static_cast<size_t>(at.direction * C::recurrent + g) * p.hidden + unit) * seen;
#pragma unroll
        for (int i = 0; i < HELD; ++i) {
            const int k = i / 4 * 4 * LANES + 4 * own.part + i % 4;
            w[g][i] = k < seen ? row[k] : 0.0f;
        }
    }
    const size_t block = static_cast<size_t>(C::gates) * p.hidden, column = at.direction * block + unit;
    Seen<C> s;
    float bias[C::gates], a[C::gates];
    for (int g = 0; g < C::gates; ++g) bias[g] = x.b[column + g * p.hidden];
    for (int n = 0; n < C::aux; ++n) s.aux[n] = x.aux[(at.direction * C::aux + n) * p.hidden + unit];
    for (int n = 0; n < C::states; ++n) s.prev[n] = C::initial(n);
    for (int i = threadIdx.x; i < 2 * ROWS * WIDTH; i += blockDim.x) h[i] = C::initial(0);

    Rows now(x, at, 0), next(x, at, 1), later(x, at, 2);
    // What a step sends to each block: what the step after it sees.
    const auto bytes = [&](const Rows& rows, const Rows& after) { return 4u * seen * min(rows.count, after.count); };
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; ++i) cluster::make(arrived + i);
        if (next.count > 0) cluster::expect(arrived, bytes(now, next));
        if (later.count > 0) cluster::expect(arrived + 1, bytes(next, later));
    }
    cluster::meet();
    if (static_cast<int>(threadIdx.x) / 32 * 32 / LANES >= at.units) return;
    const int blocks = taking_part(p, at);

    // Input parts of the gates are read a step ahead.
    const auto read = [&](const Rows& rows) {
        for (int g = 0; g < C::gates; ++g) {
            if (b < rows.count) a[g] = x.a[(rows.first + b) * (p.directions * block) + column + g * p.hidden];
        }
    };
    for (int g = 0; g < C::gates; ++g) a[g] = 0.0f;
    read(now);
    for (int step = 0; step < at.steps; ++step) {
        for (int g = 0; g < C::gates; ++g) s.a[g] = a[g] + bias[g];
        read(next);
        if (step > 0) {
            u64* const before = arrived + (step - 1) % 2;
            cluster::wait(before, (step - 1) / 2 % 2);
            if (threadIdx.x == 0 && later.count > 0) cluster::expect(before, bytes(next, later));
        }
        // What the gates hear.
        for (int g = 0; g < C::recurrent; ++g) s.r[g] = 0.0f;
        const float* of = h + (step + 1) % 2 * ROWS * WIDTH + 4 * own.part;
#pragma unroll
        for (int pass = 0; pass < PASSES; ++pass, of += PER * WIDTH) {
            float sums[Own::laid * C::recurrent];
#pragma unroll
            for (int i = 0; i < Own::laid * C::recurrent; ++i) sums[i] = 0.0f;
#pragma unroll
            for (int i = 0; i < HELD; i += 4) {
                if (i * LANES >= seen) continue;
#pragma unroll
                for (int row = 0; row < PER; ++row) {
                    const float4 v = *reinterpret_cast<const float4*>(of + row * WIDTH + i * LANES);
#pragma unroll
                    for (int g = 0; g < C::recurrent; ++g) {
                        float& sum = sums[row * C::recurrent + g];
                        sum += v.x * w[g][i];
                        sum += v.y * w[g][i + 1];
                        sum += v.z * w[g][i + 2];
                        sum += v.w * w[g][i + 3];
                    }
                }
            }
            add_up<Own::laid * C::recurrent, LANES / 2, C::recurrent>(sums);
            for (int g = 0; g < C::recurrent; ++g) s.r[g] = own.pass == pass ? sums[g] : s.r[g];
        }

        float after[C::states], saved[AT_LEAST_1(C::saved)];
        C::step(s.a, s.r, s.aux, s.prev, after, saved);
        const bool runs = j < at.units && b < now.count;
        const size_t row = now.first + b;
        for (int n = 0; n < C::states; ++n) {
            if (clip > 0.0f && n != C::output) after[n] = fmaxf(-clip, fminf(clip, after[n]));
            if (p.shares && runs) {
                const size_t of = (row * p.directions + at.direction) * 2 + (n != C::output);
                const float share = x.shares[of * p.hidden + unit];
                after[n] = share * after[n] + (1.0f - share) * s.prev[n];
            }
        }
        if (runs && b < next.count) {
            float* const to = h + (step % 2 * ROWS + b) * WIDTH + at.first_unit + j;
            for (int rank = own.copy; rank < blocks; rank += Own::copies) {
                cluster::send(to, after[0], arrived + step % 2, rank);
            }
        }
        if (runs && own.copy == 0) {
            x.y[(row * p.directions + at.direction) * p.hidden + unit] = after[C::output];
            if (p.keep) {
                const int clipped = clip > 0.0f ? C::states : 0;
                float* kept = x.kept + (static_cast<size_t>(at.direction) * p.rows + row) *
                                           (C::states + C::saved + clipped) * p.hidden + unit;
                for (int n = 0; n < C::states; ++n) kept[n * p.hidden] = s.prev[n];
                for (int n = 0; n < C::saved; ++n) kept[(C::states + n) * p.hidden] = saved[n];
                for (int n = 0; n < clipped; ++n) kept[(C::states + C::saved + n) * p.hidden] = after[n];
            }
        }
        if (b < now.count) {
            for (int n = 0; n < C::states; ++n) s.prev[n] = after[n];
        }
        now = next;
        next = later;
        later = Rows(x, at, step + 3);
    }
}

template <class C, int PER, int PASSES>
__device__ void backward(const Layer& p, float clip, const Buffers& x) {
    constexpr int ROWS = PER * PASSES, most = C::recurrent * UNITS;
    using Own = Lane<PER, PASSES>;
    SHARED_MEMORY(shared);
    // [2, ROWS, gates of units]: gradients of what this block's gates heard; [2, BLOCKS, ROWS, UNITS]: shares of those of
    // its states, and what counts their bytes.
    float *const d = shared, *const found = d + 2 * ROWS * most;
    u64* const arrived = reinterpret_cast<u64*>(found + 2 * BLOCKS * ROWS * UNITS);
    const Place at(p, x);
    const Own own;
    const int j = own.j, b = own.b;
    const int unit = at.head * at.head_units + min(at.first_unit + j, at.head_units - 1), seen = at.head_units;

    // In the product: a share of the rows of the block's weights, four in a row of every 32; and four columns.
    const int share = threadIdx.x % SHARES, k = threadIdx.x / SHARES * 4;
    float w[4 * C::recurrent][4];
#pragma unroll
    for (int i = 0; i < 4 * C::recurrent; ++i) {
        const int n = i / 4 * 4 * SHARES + 4 * share + i % 4, g = n / p.units, of = n % p.units;
        const float* row = x.r + (static_cast<size_t>(at.direction * C::recurrent + g) * p.hidden + at.unit(of)) * seen;
#pragma unroll
        for (int c = 0; c < 4; ++c) {
            w[i][c] = g < C::recurrent && of < at.units && k + c < seen ? row[k + c] : 0.0f;
        }
    }
    float aux[AT_LEAST_1(C::aux)], aux_sums[AT_LEAST_1(C::aux)], back[C::states];
    for (int n = 0; n < C::aux; ++n) {
        aux[n] = x.aux[(at.direction * C::aux + n) * p.hidden + unit];
        aux_sums[n] = 0.0f;
    }
    for (int n = 0; n < C::states; ++n) back[n] = 0.0f;
    for (int i = threadIdx.x; i < 2 * ROWS * most; i += blockDim.x) d[i] = 0.0f;

    // Backwards through what `forward` did.
    const auto rows_at = [&](int step) { return Rows(x, at, at.steps - 1 - step); };
    Rows before = rows_at(-1), now = rows_at(0), next = rows_at(1), later = rows_at(2);
    const int blocks = taking_part(p, at);
    const auto bytes = [&](const Rows& rows, const Rows& after) {
        return 4u * blocks * ((at.units + 3) / 4 * 4) * min(rows.count, after.count);
    };
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; ++i) cluster::make(arrived + i);
        if (next.count > 0) cluster::expect(arrived, bytes(now, next));
        if (later.count > 0) cluster::expect(arrived + 1, bytes(next, later));
    }
    cluster::meet();
    if (at.units == 0) return;

    // What the forward pass kept, and the gradient of the output, are read a step ahead.
    constexpr int most_kept = 2 * C::states + C::saved;
    const int kept_count = C::states + C::saved + (clip > 0.0f ? C::states : 0);
    float ahead[most_kept], dy_ahead = 0.0f;
    for (int n = 0; n < most_kept; ++n) ahead[n] = 0.0f;
    const auto read = [&](const Rows& rows) {
        if (b >= rows.count) return;
        const size_t row = rows.first + b;
        const float* kept = x.kept + (static_cast<size_t>(at.direction) * p.rows + row) * kept_count * p.hidden + unit;
#pragma unroll
        for (int n = 0; n < most_kept; ++n) {
            if (n < kept_count) ahead[n] = kept[n * p.hidden];
        }
        dy_ahead = x.dy[(row * p.directions + at.direction) * p.hidden + unit];
    };
    read(now);
    for (int step = 0; step < at.steps; ++step) {
        float kept[most_kept];
        for (int n = 0; n < most_kept; ++n) kept[n] = ahead[n];
        const float dy = dy_ahead;
        read(next);
        float after[C::states], stays[C::states];
        for (int n = 0; n < C::states; ++n) after[n] = back[n];
        if (step > 0) {
            u64* const of = arrived + (step - 1) % 2;
            cluster::wait(of, (step - 1) / 2 % 2);
            if (threadIdx.x == 0 && later.count > 0) cluster::expect(of, bytes(next, later));
            if (b < min(before.count, now.count)) {
                const float* mine = found + ((step - 1) % 2 * BLOCKS * ROWS + b) * UNITS + j;
                for (int rank = 0; rank < blocks; ++rank) after[0] += mine[rank * ROWS * UNITS];
            }
        }
        // The derivative of the step.
        after[C::output] += dy;
        const bool runs = j < at.units && b < now.count;
        const size_t row = now.first + b;
        for (int n = 0; n < C::states; ++n) {
            stays[n] = 0.0f;
            if (p.shares && runs) {
                const size_t of = (row * p.directions + at.direction) * 2 + (n != C::output);
                const float share = x.shares[of * p.hidden + unit];
                stays[n] = after[n] - share * after[n];
                after[n] *= share;
            }
            if (clip > 0.0f && n != C::output) after[n] *= positive(clip - fabsf(kept[C::states + C::saved + n]));
        }
        float d_a[C::gates], d_r[C::recurrent], d_aux[AT_LEAST_1(C::aux)], d_prev[C::states];
        C::step_grad(after, aux, kept, kept + C::states, d_a, d_r, d_aux, d_prev);
        const float* heard = C::added ? d_a : d_r;
        if (runs) {
            for (int n = 0; n < C::states; ++n) back[n] = stays[n] + d_prev[n];
            for (int n = 0; n < C::aux; ++n) aux_sums[n] += d_aux[n];
        }
        if (runs && own.copy == 0) {
            for (int g = 0; g < C::recurrent; ++g) d[(step % 2 * ROWS + b) * most + g * p.units + j] = heard[g];
            float* da = x.da + (row * p.directions + at.direction) * C::gates * p.hidden + unit;
            for (int g = 0; g < C::gates; ++g) da[g * p.hidden] = d_a[g];
            if constexpr (!C::added) {
                float* dr = x.dr + (row * p.directions + at.direction) * C::recurrent * p.hidden + unit;
                for (int g = 0; g < C::recurrent; ++g) dr[g * p.hidden] = d_r[g];
            }
        }
        __syncthreads();
        // Shares of the gradients of all states.
        for (int pass = 0; pass < PASSES; ++pass) {
            constexpr int count = 4 * Own::laid;
            float sums[count];
#pragma unroll
            for (int i = 0; i < count; ++i) sums[i] = 0.0f;
#pragma unroll
            for (int i = 0; i < C::recurrent; ++i) {
                if (i * 4 * SHARES >= C::recurrent * p.units) continue;
#pragma unroll
                for (int r = 0; r < PER; ++r) {
                    const float* of = d + (step % 2 * ROWS + pass * PER + r) * most + (i * SHARES + share) * 4;
                    const float4 v = *reinterpret_cast<const float4*>(of);
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
            add_up<count, SHARES / 2, 1>(sums);
            // A lane has some of one utterance's four columns; of a single utterance, two lanes have the same.
            constexpr int left = count > SHARES ? count / SHARES : 1, twins = count < SHARES ? SHARES / count : 1;
            const int first = share / twins * left, row = pass * PER + first / 4, rank = k / p.units;
            if (k < seen && first < 4 * PER && row < min(now.count, next.count) && share % twins == 0) {
                float* to = found + ((step % 2 * BLOCKS + at.block) * ROWS + row) * UNITS + k % p.units + first % 4;
#pragma unroll
                for (int i = 0; i < left; ++i) cluster::send(to + i, sums[i], arrived + step % 2, rank);
            }
        }
        before = now;
        now = next;
        next = later;
        later = rows_at(step + 3);
    }
    const bool exists = j < at.units && own.copy == 0 && b < min(at.slice_rows, p.batch - at.first_row);
    for (int n = 0; exists && n < C::aux; ++n) {
        const size_t slots = static_cast<size_t>(p.directions) * p.batch;
        x.daux[(n * slots + static_cast<size_t>(at.direction) * p.batch + at.first_row + b) * p.hidden + unit] = aux_sums[n];
    }
}

// A unit's states are held within `clip` of zero, but for the output; 0: they are not. For so many utterances a slice: those
// of a pass, and passes.
#define KERNEL(direction, name, rows, per, passes)                                               \
    extern "C" __global__ void __cluster_dims__(BLOCKS, 1, 1) __launch_bounds__(UNITS* LANES, 1) \
        cluster_##direction##_##name##_##rows(Layer p, float clip, Buffers x) {                  \
        direction<name, per, passes>(p, clip, x);                                                \
    }
#define KERNELS(name)                \
    KERNEL(forward, name, 1, 1, 1)   \
    KERNEL(forward, name, 3, 3, 1)   \
    KERNEL(forward, name, 5, 5, 1)   \
    KERNEL(forward, name, 10, 5, 2)  \
    KERNEL(backward, name, 1, 1, 1)  \
    KERNEL(backward, name, 3, 3, 1)  \
    KERNEL(backward, name, 5, 5, 1)  \
    KERNEL(backward, name, 10, 5, 2)
#ifdef ONLY
KERNELS(ONLY)
#else
FOR_EACH_CELL_OF_CLUSTERS(KERNELS)
#endif
