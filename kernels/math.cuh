// The functions that a cell's step may use: `Lane` of src/nn/recurrent/lane.rs on a GPU. Errors stay below 1e-6.
#pragma once
#include "common.cuh"

__device__ inline float exp_(float x) {
    return __expf(x);
}

__device__ inline float sigmoid(float x) {
    return __fdividef(1.0f, 1.0f + __expf(-x));
}

__device__ inline float tanh_(float x) {
    // At either end the exponential is zero or infinite, and the result exact.
    return 1.0f - __fdividef(2.0f, 1.0f + __expf(2.0f * fminf(x, 15.0f)));
}

__device__ inline float log_sigmoid(float x) {
    return fminf(x, 0.0f) - log1pf(__expf(-fabsf(x)));
}

__device__ inline float positive(float x) {
    return x > 0.0f ? 1.0f : 0.0f;
}
