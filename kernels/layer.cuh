// What the kernels of the recurrent layer share: its sizes, its buffers, and where a block is. How the sequence is run is
// in recurrent.cu, for any device and cell, and in cluster.cu, for clusters of blocks.
#pragma once
#include "cells.cuh"

// As src/nn/recurrent/cuda.rs fills it in, and `Buffers`.
struct Layer {
    int directions, hidden, heads, projection;
    int rows, batch, slices;
    // Utterances of a slice, blocks of a group, units of a block, and columns of the projection of a block.
    int slice_rows, blocks, units, columns;
    // Whether weights are kept in shared memory.
    int resident;
    // Steps and phases of this launch, the last ones excluded.
    int first_step, last_step, first_phase, last_phase;
    // Whether zoneout's shares are given, and whether anything is kept for a backward pass.
    int shares, keep;
};

// The pointers of a pass; what a cell does not have is null.
struct Buffers {
    // [T + 1]: the first row of each time; [B]: lengths, longest first.
    const int *offsets, *lengths;
    // [N, D G H]: input parts of the gates; [D G H]; [D, (R + M + P?) H, seen]; [D, A, H]; [N, D, 2, H].
    const float *a, *b, *r, *aux, *shares;
    // [N, D out]: the output.
    float* y;
    // [D, N, S + saved (+ S with clipping), H]: states before the step, what the step saves, states after it.
    float* kept;
    // [D, N, H]: modulated states; states before the projection. [D, N, P]: what R saw, if that is projected.
    float *modulated, *full, *before;
    // Scratch: [2, D, B, seen heads]: what R sees, of two steps; [S, D, B, H]: states, or the gradients carried back.
    float *exchange, *states;
    // [groups]: arrivals, zero at the start.
    unsigned* arrived;
    // Backward. [N, D out]; [N, D G H]; [N, D (R + M) H], null if it is da's beginning; [D, N, P];
    // [A, D, B, H]: sums over time; [S, D, B, H]: scratch.
    const float* dy;
    float *da, *dr, *dseen, *daux, *next;
};

// Where this block is: groups are numbered by direction, head and slice.
struct Place {
    int direction, head, slice, block;
    // First row of the slice, how many there are at most, steps of the longest.
    int first_row, slice_rows, steps;
    // Units of a head; this block's: the first one within the head and how many; its columns of the projection likewise.
    int head_units, first_unit, units, first_column, columns;
    int group;

    __device__ Place(const Layer& p, const Buffers& x) {
        block = blockIdx.x % p.blocks;
        group = blockIdx.x / p.blocks;
        slice = group % p.slices;
        head = group / p.slices % p.heads;
        direction = group / p.slices / p.heads;
        slice_rows = p.slice_rows;
        first_row = slice * slice_rows;
        steps = x.lengths[first_row];
        head_units = p.hidden / p.heads;
        first_unit = block * p.units;
        units = max(0, min(p.units, head_units - first_unit));
        first_column = block * p.columns;
        columns = max(0, min(p.columns, p.projection - first_column));
    }

    // The time of a step of this direction.
    __device__ int time(int step) const {
        return direction == 0 ? step : steps - 1 - step;
    }

    // The unit within the layer.
    __device__ int unit(int j) const {
        return head * head_units + first_unit + j;
    }
};

// Rows of the slice that run at time t; none outside of the sequence.
__device__ inline int running(const Buffers& x, const Place& at, int t) {
    if (t < 0 || t >= at.steps) return 0;
    return max(0, min(at.slice_rows, x.offsets[t + 1] - x.offsets[t] - at.first_row));
}

#define AT_LEAST_1(n) ((n) > 0 ? (n) : 1)

// What a unit's step reads.
template <class C>
struct Seen {
    float a[C::gates], r[AT_LEAST_1(C::recurrent + C::modulated)], aux[AT_LEAST_1(C::aux)], prev[C::states];
};
