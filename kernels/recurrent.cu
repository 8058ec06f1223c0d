// The recurrent layer, forward and backward, of every cell of cells.cuh: all steps of a sequence in one launch.
//
// What it computes: src/nn/recurrent/cells/mod.rs and src/nn/recurrent/reference.rs. The input parts of the gates, a = x
// W^T, are made before it by one product, and the gradients of W, R and x after it by others; here is what must wait for
// the step before.
//
// How: blocks are dealt out in groups, one for each direction, head and slice of ROWS utterances. A group's blocks share
// its hidden units; each keeps its columns of the recurrent weights in shared memory for the whole sequence and computes
// its units' step: [ROWS x K] [K x columns], K being the units that R sees. Then the group meets (common.cuh), and the
// states that its blocks wrote are read by all through L2. Groups never wait for each other, and an utterance that has
// ended costs nothing. Where the weights do not fit, or not all blocks are resident at once, the host launches every
// phase of every step by itself: the same code, no meeting.
//
// Bytes and operations of a forward step at H = 250, B = 16, both directions, 4 units a block (126 blocks): weights 16 kB
// a block, in shared memory; states 16 kB a block from L2, 2 MB in all; 128 kFMA a block, 0.35 us at 128 FMA a cycle and
// half of the peak; two L2 latencies and a meeting, some 1.5 us. Expected on an H100: 2 us. Backward reads the gradients
// of all gates, four times as much: 3 us. A cluster with the states in distributed shared memory would save the meeting.
//
// Sums run in an order that depends on the layer alone: no bit of an utterance depends on its neighbours.
#include "layer.cuh"

// Utterances of a slice.
#define ROWS 16
// From one column of a tile to the next: not a multiple of the banks, and one that keeps fours together.
#define TILE_STRIDE 20
#define THREADS 256
// Numbers of K that are laid into shared memory at a time, one a thread.
#define CHUNK THREADS
// Columns that a block may have: THREADS threads make 4 rows by 2 columns each.
#define MOST_COLUMNS 128

// out[c * ROWS + b] = sum over k of state(b, k) weight(k, c), for `count` rows and `columns` columns.
//
// A thread makes 4 rows by 2 columns for a share of K; shares are added in order.
template <class State, class Weight>
__device__ void product(int k_count, int columns, int count, State state, Weight weight, float* scratch, float* out) {
    float* tile = scratch;
    float* partial = scratch + CHUNK * TILE_STRIDE;
    const int pairs = (columns + 1) / 2, tiles = pairs * (ROWS / 4), shares = tiles > 0 ? THREADS / tiles : 0;
    const int share = tiles > 0 ? threadIdx.x / tiles : 0, mine = tiles > 0 ? threadIdx.x % tiles : 0;
    const int row = 4 * (mine / pairs), column = 2 * (mine % pairs), other = min(column + 1, columns - 1);
    float sums[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    for (int first = 0; first < k_count; first += CHUNK) {
        const int n = min(CHUNK, k_count - first);
        if (static_cast<int>(threadIdx.x) < n) {
            // Eight rows of one k: as many loads are under way at once.
#pragma unroll 1
            for (int top = 0; top < ROWS; top += 8) {
                float v[8];
#pragma unroll
                for (int b = 0; b < 8; ++b) {
                    v[b] = top + b < count ? state(top + b, first + static_cast<int>(threadIdx.x)) : 0.0f;
                }
                float4* to = reinterpret_cast<float4*>(tile + threadIdx.x * TILE_STRIDE + top);
                to[0] = {v[0], v[1], v[2], v[3]};
                to[1] = {v[4], v[5], v[6], v[7]};
            }
        }
        __syncthreads();
        if (share < shares && row < count) {
            for (int k = share; k < n; k += shares) {
                const float4 h = *reinterpret_cast<const float4*>(tile + k * TILE_STRIDE + row);
                const float w = weight(first + k, column), v = weight(first + k, other);
                sums[0] += h.x * w;
                sums[1] += h.y * w;
                sums[2] += h.z * w;
                sums[3] += h.w * w;
                sums[4] += h.x * v;
                sums[5] += h.y * v;
                sums[6] += h.z * v;
                sums[7] += h.w * v;
            }
        }
        __syncthreads();
    }
    if (share < shares) {
        for (int i = 0; i < 8; ++i) partial[threadIdx.x * 8 + i] = sums[i];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < columns * ROWS; i += THREADS) {
        const int c = i / ROWS, b = i % ROWS, from = b / 4 * pairs + c / 2;
        float sum = 0.0f;
        for (int s = 0; s < shares; ++s) sum += partial[(s * tiles + from) * 8 + c % 2 * 4 + b % 4];
        out[c * ROWS + b] = sum;
    }
    __syncthreads();
}

// Numbers of shared memory that `product` and its result take.
#define SCRATCH (CHUNK * TILE_STRIDE + THREADS * 8 + MOST_COLUMNS * ROWS)

// A matrix that a block multiplies with, [K, columns]: `from(k, c)` says where it is in memory, and it is copied behind
// `*end` if weights are resident.
template <class From>
struct Matrix {
    From from;
    int columns;
    const float* copy;

    __device__ Matrix(From from, int k_count, int columns, bool resident, float** end)
        : from(from), columns(columns), copy(nullptr) {
        if (!resident) return;
        for (int i = threadIdx.x; i < k_count * columns; i += THREADS) (*end)[i] = from(i / columns, i % columns);
        copy = *end;
        *end += k_count * columns;
    }

    __device__ float operator()(int k, int c) const {
        return copy ? copy[k * columns + c] : from(k, c);
    }
};

template <class From>
__device__ Matrix<From> matrix(From from, int k_count, int columns, bool resident, float** end) {
    return Matrix<From>(from, k_count, columns, resident, end);
}

template <class C>
__device__ void forward(const Layer& p, float clip, const Buffers& x) {
    constexpr int heard = C::recurrent + C::modulated;
    SHARED_MEMORY(shared);
    const Place at(p, x);
    const int seen = (p.projection > 0 ? p.projection : p.hidden) / p.heads, width = seen * p.heads;
    const int groups_of_r = heard + (p.projection > 0 ? 1 : 0);
    const float* r = x.r + static_cast<size_t>(at.direction) * groups_of_r * p.hidden * seen;
    // What the units hear through R: [heard, units, ROWS].
    float* parts = shared + SCRATCH;
    float* end = parts + heard * p.units * ROWS;
    const auto row_of_r = [&](int gate, int j) { return static_cast<size_t>(gate * p.hidden + at.unit(j)) * seen; };
    const auto first = matrix([&](int k, int c) { return r[row_of_r(c / at.units, c % at.units) + k]; }, seen,
                              C::recurrent * at.units, p.resident, &end);
    const auto second = matrix(
        [&](int k, int c) { return r[row_of_r(C::recurrent + c / at.units, c % at.units) + k]; }, seen,
        C::modulated * at.units, p.resident, &end);
    const auto projection = matrix(
        [&](int k, int c) { return r[static_cast<size_t>(heard * p.hidden + k) * seen + at.first_column + c]; },
        p.hidden, at.columns, p.resident, &end);
    __syncthreads();

    const size_t slots = static_cast<size_t>(p.directions) * p.batch;
    // A number of utterance b (within the slice) of this direction, in scratch of `width` numbers an utterance.
    const auto slot = [&](int b, int width) {
        return (static_cast<size_t>(at.direction) * p.batch + at.first_row + b) * width;
    };
    unsigned turn = 0;
    for (int step = p.first_step; step < min(p.last_step, at.steps); ++step) {
        const int t = at.time(step), count = running(x, at, t);
        // Those that ran a step ago; the others begin.
        const int old = min(count, running(x, at, at.direction == 0 ? t - 1 : t + 1));
        const int first_row = x.offsets[t] + at.first_row;
        float* const before = x.exchange + (step % 2) * slots * width;
        float* const after = x.exchange + (step + 1) % 2 * slots * width;
        const auto h = [&](int b, int k) {
            return b < old ? fresh(before + slot(b, width) + at.head * seen + k) : C::initial(0);
        };
        // Loads what unit j of utterance b sees.
        const auto load = [&](int b, int j) {
            Seen<C> s;
            const int unit = at.unit(j);
            const size_t row = first_row + b, block = static_cast<size_t>(C::gates) * p.hidden;
            for (int g = 0; g < C::gates; ++g) {
                const size_t column = at.direction * block + g * p.hidden + unit;
                s.a[g] = x.a[row * p.directions * block + column] + x.b[column];
            }
            for (int g = 0; g < heard; ++g) s.r[g] = parts[(g * at.units + j) * ROWS + b];
            for (int n = 0; n < C::aux; ++n) s.aux[n] = x.aux[(at.direction * C::aux + n) * p.hidden + unit];
            s.prev[0] = p.projection > 0 ? 0.0f : h(b, at.first_unit + j);
            for (int n = 1; n < C::states; ++n) {
                s.prev[n] = b < old ? x.states[n * slots * p.hidden + slot(b, p.hidden) + unit] : C::initial(n);
            }
            return s;
        };
        for (int phase = p.first_phase; phase < p.last_phase; ++phase) {
            // 0: what the gates hear, and the modulated state of a cell that has one.
            if (phase == 0) {
                if (C::recurrent > 0) {
                    product(seen, C::recurrent * at.units, count, h, first, shared, parts);
                    if (p.keep && p.projection > 0) {
                        for (int i = threadIdx.x; i < count * at.columns; i += THREADS) {
                            const int b = i / at.columns, k = at.first_column + i % at.columns;
                            x.before[(static_cast<size_t>(at.direction) * p.rows + first_row + b) * width + k] = h(b, k);
                        }
                    }
                }
                if constexpr (C::modulated > 0) {
                    for (int i = threadIdx.x; i < count * at.units; i += THREADS) {
                        const int b = i / at.units, j = i % at.units;
                        const Seen<C> s = load(b, j);
                        float q;
                        C::modulate(s.a, s.r, s.aux, s.prev, &q);
                        x.modulated[(static_cast<size_t>(at.direction) * p.rows + first_row + b) * p.hidden + at.unit(j)] =
                            q;
                    }
                }
            }
            // 1: the step. Launched by itself it finds nothing in shared memory.
            if (phase == 1) {
                if constexpr (C::modulated > 0) {
                    if (p.first_phase > 0) product(seen, C::recurrent * at.units, count, h, first, shared, parts);
                    const auto q = [&](int b, int k) {
                        const size_t row = static_cast<size_t>(at.direction) * p.rows + first_row + b;
                        return fresh(x.modulated + row * p.hidden + at.head * seen + k);
                    };
                    product(seen, C::modulated * at.units, count, q, second, shared,
                            parts + C::recurrent * at.units * ROWS);
                }
                for (int i = threadIdx.x; i < count * at.units; i += THREADS) {
                    const int b = i / at.units, j = i % at.units, unit = at.unit(j);
                    const Seen<C> s = load(b, j);
                    float next[C::states], saved[AT_LEAST_1(C::saved)];
                    C::step(s.a, s.r, s.aux, s.prev, next, saved);
                    const size_t row = first_row + b, own = static_cast<size_t>(at.direction) * p.rows + row;
                    for (int n = 0; n < C::states; ++n) {
                        if (clip > 0.0f && n != C::output) next[n] = fmaxf(-clip, fminf(clip, next[n]));
                        if (p.shares) {
                            const size_t block = (row * p.directions + at.direction) * 2 + (n != C::output);
                            const float share = x.shares[block * p.hidden + unit];
                            next[n] = share * next[n] + (1.0f - share) * s.prev[n];
                        }
                    }
                    if (p.projection > 0) {
                        x.full[own * p.hidden + unit] = next[0];
                    } else {
                        after[slot(b, width) + unit] = next[0];
                        x.y[(row * p.directions + at.direction) * p.hidden + unit] = next[C::output];
                    }
                    for (int n = 1; n < C::states; ++n) x.states[n * slots * p.hidden + slot(b, p.hidden) + unit] = next[n];
                    if (p.keep) {
                        const int clipped = clip > 0.0f ? C::states : 0;
                        float* kept = x.kept + own * (C::states + C::saved + clipped) * p.hidden + unit;
                        for (int n = 0; n < C::states; ++n) kept[n * p.hidden] = s.prev[n];
                        for (int n = 0; n < C::saved; ++n) kept[(C::states + n) * p.hidden] = saved[n];
                        for (int n = 0; n < clipped; ++n) kept[(C::states + C::saved + n) * p.hidden] = next[n];
                    }
                }
            }
            // 2: the projection of a layer that has one.
            if (phase == 2 && p.projection > 0) {
                const auto full = [&](int b, int k) {
                    return fresh(x.full + (static_cast<size_t>(at.direction) * p.rows + first_row + b) * p.hidden + k);
                };
                float* projected = shared + CHUNK * TILE_STRIDE + THREADS * 8;
                product(p.hidden, at.columns, count, full, projection, shared, projected);
                for (int i = threadIdx.x; i < count * at.columns; i += THREADS) {
                    const int b = i / at.columns, c = i % at.columns, k = at.first_column + c;
                    const float v = projected[c * ROWS + b];
                    after[slot(b, width) + k] = v;
                    x.y[(static_cast<size_t>(first_row + b) * p.directions + at.direction) * width + k] = v;
                }
            }
            const bool meets = (phase == 0 && C::modulated > 0) || (phase == 1 && (heard > 0 || p.projection > 0)) ||
                               (phase == 2 && p.projection > 0);
            if (p.resident && meets) {
                meet(x.arrived + at.group, p.blocks, ++turn);
            } else {
                __syncthreads();
            }
        }
    }
}

template <class C>
__device__ void backward(const Layer& p, float clip, const Buffers& x) {
    constexpr int heard = C::recurrent + C::modulated;
    SHARED_MEMORY(shared);
    const Place at(p, x);
    const int seen = (p.projection > 0 ? p.projection : p.hidden) / p.heads, width = seen * p.heads;
    const int groups_of_r = heard + (p.projection > 0 ? 1 : 0);
    const float* r = x.r + static_cast<size_t>(at.direction) * groups_of_r * p.hidden * seen;
    // The gradients that come to the units, or to the columns of the projection: [MOST_COLUMNS, ROWS].
    float* found = shared + CHUNK * TILE_STRIDE + THREADS * 8;
    float* end = shared + SCRATCH;
    // Row k of the gates that hear state 0: gate k / head_units.
    const auto row_of_r = [&](int k) {
        return static_cast<size_t>(k / at.head_units * p.hidden + at.head * at.head_units + k % at.head_units) * seen;
    };
    const int columns = p.projection > 0 ? at.columns : at.units;
    const int first_column = p.projection > 0 ? at.first_column : at.first_unit;
    const auto first = matrix([&](int k, int c) { return r[row_of_r(k) + first_column + c]; },
                              C::recurrent * at.head_units, columns, p.resident, &end);
    const auto second = matrix(
        [&](int k, int c) { return r[row_of_r(C::recurrent * at.head_units + k) + at.first_unit + c]; },
        C::modulated * at.head_units, at.units, p.resident, &end);
    const auto projection = matrix(
        [&](int k, int c) { return r[static_cast<size_t>(heard * p.hidden + at.unit(c)) * seen + k]; }, p.projection,
        at.units, p.resident, &end);
    __syncthreads();

    // Gradients of what the gates heard: `dr`, or the first of `da`.
    const float* const dr = x.dr ? x.dr : x.da;
    const int dr_gates = x.dr ? heard : C::gates;
    const size_t slots = static_cast<size_t>(p.directions) * p.batch;
    const auto slot = [&](int b) { return (static_cast<size_t>(at.direction) * p.batch + at.first_row + b) * p.hidden; };
    // Gradient k of what the gates from `gate` on heard, in a row.
    const auto heard_at = [&](size_t row, int gate, int k) {
        const int g = gate + k / at.head_units, unit = at.head * at.head_units + k % at.head_units;
        return fresh(dr + ((row * p.directions + at.direction) * dr_gates + g) * p.hidden + unit);
    };
    unsigned turn = 0;
    for (int step = p.first_step; step < min(p.last_step, at.steps); ++step) {
        // Backwards through what `forward` did.
        const int t = at.time(at.steps - 1 - step), count = running(x, at, t);
        const int later = at.direction == 0 ? t + 1 : t - 1;
        // Those for which there is a later step; they are the first ones.
        const int carried = min(count, running(x, at, later));
        const int first_row = x.offsets[t] + at.first_row;
        const int later_row = carried > 0 ? x.offsets[later] + at.first_row : 0;
        const auto back = [&](int b, int k) { return b < carried ? heard_at(later_row + b, 0, k) : 0.0f; };
        const auto dy_at = [&](int b, int k) {
            return x.dy[(static_cast<size_t>(first_row + b) * p.directions + at.direction) * width + k];
        };
        const int kept_width = C::states + C::saved + (clip > 0.0f ? C::states : 0);
        const auto kept_at = [&](int b, int unit) {
            return x.kept + (static_cast<size_t>(at.direction) * p.rows + first_row + b) * kept_width * p.hidden + unit;
        };
        for (int phase = p.first_phase; phase < p.last_phase; ++phase) {
            // 0: gradients of the projection.
            if (phase == 0 && p.projection > 0) {
                product(C::recurrent * at.head_units, at.columns, count, back, first, shared, found);
                for (int i = threadIdx.x; i < count * at.columns; i += THREADS) {
                    const int b = i / at.columns, c = i % at.columns, k = at.first_column + c;
                    x.dseen[(static_cast<size_t>(at.direction) * p.rows + first_row + b) * width + k] =
                        found[c * ROWS + b] + dy_at(b, k);
                }
            }
            // 1: the derivative of the step.
            if (phase == 1) {
                if (p.projection > 0) {
                    const auto dseen = [&](int b, int k) {
                        return fresh(x.dseen + (static_cast<size_t>(at.direction) * p.rows + first_row + b) * width + k);
                    };
                    product(p.projection, at.units, count, dseen, projection, shared, found);
                } else if (C::recurrent > 0) {
                    product(C::recurrent * at.head_units, at.units, count, back, first, shared, found);
                }
                for (int i = threadIdx.x; i < count * at.units; i += THREADS) {
                    const int b = i / at.units, j = i % at.units, unit = at.unit(j);
                    const size_t row = first_row + b;
                    const float* kept = kept_at(b, unit);
                    float next[C::states], prev[C::states], saved[AT_LEAST_1(C::saved)], aux[AT_LEAST_1(C::aux)];
                    float stays[C::states];
                    for (int n = 0; n < C::states; ++n) {
                        next[n] = b < carried ? x.states[n * slots * p.hidden + slot(b) + unit] : 0.0f;
                        prev[n] = kept[n * p.hidden];
                    }
                    for (int n = 0; n < C::saved; ++n) saved[n] = kept[(C::states + n) * p.hidden];
                    for (int n = 0; n < C::aux; ++n) aux[n] = x.aux[(at.direction * C::aux + n) * p.hidden + unit];
                    if (C::recurrent > 0 || p.projection > 0) next[0] += found[j * ROWS + b];
                    if (p.projection == 0) next[C::output] += dy_at(b, unit);
                    for (int n = 0; n < C::states; ++n) {
                        stays[n] = 0.0f;
                        if (p.shares) {
                            const size_t block = (row * p.directions + at.direction) * 2 + (n != C::output);
                            const float share = x.shares[block * p.hidden + unit];
                            stays[n] = next[n] - share * next[n];
                            next[n] *= share;
                        }
                        if (clip > 0.0f && n != C::output) {
                            next[n] *= positive(clip - fabsf(kept[(C::states + C::saved + n) * p.hidden]));
                        }
                    }
                    float d_a[C::gates], d_r[AT_LEAST_1(heard)], d_aux[AT_LEAST_1(C::aux)], d_prev[C::states];
                    C::step_grad(next, aux, prev, saved, d_a, d_r, d_aux, d_prev);
                    for (int g = 0; g < C::gates; ++g) {
                        x.da[((row * p.directions + at.direction) * C::gates + g) * p.hidden + unit] = d_a[g];
                    }
                    if constexpr (!C::added) {
                        for (int g = 0; g < heard; ++g) {
                            x.dr[((row * p.directions + at.direction) * heard + g) * p.hidden + unit] = d_r[g];
                        }
                    }
                    for (int n = 0; n < C::aux; ++n) x.daux[n * slots * p.hidden + slot(b) + unit] += d_aux[n];
                    for (int n = 0; n < C::states; ++n) {
                        x.states[n * slots * p.hidden + slot(b) + unit] = stays[n] + d_prev[n];
                        if (C::modulated > 0) x.next[n * slots * p.hidden + slot(b) + unit] = next[n];
                    }
                }
            }
            // 2: what comes through the modulated state of a cell that has one; its gates' gradients are added ones.
            if constexpr (C::modulated > 0) {
                if (phase == 2) {
                    const auto now = [&](int b, int k) { return heard_at(first_row + b, C::recurrent, k); };
                    product(C::modulated * at.head_units, at.units, count, now, second, shared, found);
                    for (int i = threadIdx.x; i < count * at.units; i += THREADS) {
                        const int b = i / at.units, j = i % at.units, unit = at.unit(j);
                        const float* kept = kept_at(b, unit);
                        float* da = x.da + (static_cast<size_t>(first_row + b) * p.directions + at.direction) * C::gates *
                                               p.hidden + unit;
                        float next[C::states], prev[C::states], saved[AT_LEAST_1(C::saved)], aux[AT_LEAST_1(C::aux)];
                        float d_a[C::gates], d_r[AT_LEAST_1(heard)], d_aux[AT_LEAST_1(C::aux)], d_prev[C::states];
                        for (int n = 0; n < C::states; ++n) {
                            next[n] = x.next[n * slots * p.hidden + slot(b) + unit];
                            prev[n] = kept[n * p.hidden];
                            d_prev[n] = x.states[n * slots * p.hidden + slot(b) + unit];
                        }
                        for (int n = 0; n < C::saved; ++n) saved[n] = kept[(C::states + n) * p.hidden];
                        for (int n = 0; n < C::aux; ++n) {
                            aux[n] = x.aux[(at.direction * C::aux + n) * p.hidden + unit];
                            d_aux[n] = x.daux[n * slots * p.hidden + slot(b) + unit];
                        }
                        for (int g = 0; g < C::gates; ++g) d_a[g] = da[g * p.hidden];
                        for (int g = 0; g < heard; ++g) d_r[g] = 0.0f;
                        C::modulate_grad(next, aux, prev, saved, found[j * ROWS + b], d_a, d_r, d_aux, d_prev);
                        for (int g = 0; g < C::recurrent; ++g) da[g * p.hidden] = d_a[g];
                        for (int g = heard; g < C::gates; ++g) da[g * p.hidden] = d_a[g];
                        for (int n = 0; n < C::aux; ++n) x.daux[n * slots * p.hidden + slot(b) + unit] = d_aux[n];
                        for (int n = 0; n < C::states; ++n) x.states[n * slots * p.hidden + slot(b) + unit] = d_prev[n];
                    }
                }
            }
            const bool meets = (phase == 0 && p.projection > 0) || (phase == 1 && heard > 0) ||
                               (phase == 2 && C::modulated > 0);
            if (p.resident && meets) {
                meet(x.arrived + at.group, p.blocks, ++turn);
            } else {
                __syncthreads();
            }
        }
    }
}

// A unit's states are held within `clip` of zero, but for the output; 0: they are not.
#define KERNELS(name)                                                                             \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) forward_##name(Layer p, float clip, Buffers x) {  \
        forward<name>(p, clip, x);                                                                            \
    }                                                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS, 2) backward_##name(Layer p, float clip, Buffers x) { \
        backward<name>(p, clip, x);                                                                           \
    }
FOR_EACH_CELL(KERNELS)
