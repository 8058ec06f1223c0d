// GENERATED from src/nn/recurrent/cells by scripts/gen-kernels: do not edit.
//
// A cell: its counts, its step and its derivative, for one unit, as src/nn/recurrent/cells/mod.rs explains.
#pragma once
#include "math.cuh"

// lstm
struct Lstm {
    static constexpr int gates = 4, recurrent = 4, modulated = 0, states = 2, saved = 4, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v11 = a[0] + r[0];
        const float v12 = sigmoid(v11);
        const float v13 = a[1] + r[1];
        const float v14 = sigmoid(v13);
        const float v15 = a[2] + r[2];
        const float v16 = tanh_(v15);
        const float v17 = a[3] + r[3];
        const float v18 = sigmoid(v17);
        const float v19 = v14 * prev[1];
        const float v20 = v12 * v16;
        const float v21 = v19 + v20;
        const float v22 = tanh_(v21);
        const float v23 = v18 * v22;
        next[0] = v23;
        next[1] = v21;
        saved[0] = v12;
        saved[1] = v14;
        saved[2] = v16;
        saved[3] = v18;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v9 = saved[1] * prev[1];
        const float v10 = saved[0] * saved[2];
        const float v11 = v9 + v10;
        const float v12 = tanh_(v11);
        const float v13 = next[0] * saved[3];
        const float v15 = v12 * v12;
        const float v16 = 1.0f - v15;
        const float v17 = v13 * v16;
        const float v18 = next[1] + v17;
        const float v19 = v18 * saved[2];
        const float v21 = 1.0f - saved[0];
        const float v22 = saved[0] * v21;
        const float v23 = v19 * v22;
        const float v24 = v18 * prev[1];
        const float v26 = 1.0f - saved[1];
        const float v27 = saved[1] * v26;
        const float v28 = v24 * v27;
        const float v29 = v18 * saved[0];
        const float v31 = saved[2] * saved[2];
        const float v32 = 1.0f - v31;
        const float v33 = v29 * v32;
        const float v34 = next[0] * v12;
        const float v36 = 1.0f - saved[3];
        const float v37 = saved[3] * v36;
        const float v38 = v34 * v37;
        const float v40 = v18 * saved[1];
        d_a[0] = v23;
        d_a[1] = v28;
        d_a[2] = v33;
        d_a[3] = v38;
        d_prev[0] = 0.0f;
        d_prev[1] = v40;
    }
};

// lstm-1997
struct Lstm1997 {
    static constexpr int gates = 3, recurrent = 3, modulated = 0, states = 2, saved = 3, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v9 = a[0] + r[0];
        const float v10 = sigmoid(v9);
        const float v11 = a[1] + r[1];
        const float v12 = tanh_(v11);
        const float v13 = a[2] + r[2];
        const float v14 = sigmoid(v13);
        const float v15 = v10 * v12;
        const float v16 = prev[1] + v15;
        const float v17 = tanh_(v16);
        const float v18 = v14 * v17;
        next[0] = v18;
        next[1] = v16;
        saved[0] = v10;
        saved[1] = v12;
        saved[2] = v14;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v8 = saved[0] * saved[1];
        const float v9 = prev[1] + v8;
        const float v10 = tanh_(v9);
        const float v11 = next[0] * saved[2];
        const float v13 = v10 * v10;
        const float v14 = 1.0f - v13;
        const float v15 = v11 * v14;
        const float v16 = next[1] + v15;
        const float v17 = v16 * saved[1];
        const float v19 = 1.0f - saved[0];
        const float v20 = saved[0] * v19;
        const float v21 = v17 * v20;
        const float v22 = v16 * saved[0];
        const float v24 = saved[1] * saved[1];
        const float v25 = 1.0f - v24;
        const float v26 = v22 * v25;
        const float v27 = next[0] * v10;
        const float v29 = 1.0f - saved[2];
        const float v30 = saved[2] * v29;
        const float v31 = v27 * v30;
        d_a[0] = v21;
        d_a[1] = v26;
        d_a[2] = v31;
        d_prev[0] = 0.0f;
        d_prev[1] = v16;
    }
};

// lstm-peephole
struct LstmPeephole {
    static constexpr int gates = 4, recurrent = 4, modulated = 0, states = 2, saved = 4, aux = 3, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v14 = a[0] + r[0];
        const float v15 = aux[0] * prev[1];
        const float v16 = v14 + v15;
        const float v17 = sigmoid(v16);
        const float v18 = a[1] + r[1];
        const float v19 = aux[1] * prev[1];
        const float v20 = v18 + v19;
        const float v21 = sigmoid(v20);
        const float v22 = a[2] + r[2];
        const float v23 = tanh_(v22);
        const float v24 = v21 * prev[1];
        const float v25 = v17 * v23;
        const float v26 = v24 + v25;
        const float v27 = a[3] + r[3];
        const float v28 = aux[2] * v26;
        const float v29 = v27 + v28;
        const float v30 = sigmoid(v29);
        const float v31 = tanh_(v26);
        const float v32 = v30 * v31;
        next[0] = v32;
        next[1] = v26;
        saved[0] = v17;
        saved[1] = v21;
        saved[2] = v23;
        saved[3] = v30;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v12 = saved[1] * prev[1];
        const float v13 = saved[0] * saved[2];
        const float v14 = v12 + v13;
        const float v15 = tanh_(v14);
        const float v16 = next[0] * v15;
        const float v18 = 1.0f - saved[3];
        const float v19 = saved[3] * v18;
        const float v20 = v16 * v19;
        const float v21 = next[0] * saved[3];
        const float v23 = v15 * v15;
        const float v24 = 1.0f - v23;
        const float v25 = v21 * v24;
        const float v26 = next[1] + v25;
        const float v27 = v20 * aux[2];
        const float v28 = v26 + v27;
        const float v29 = v28 * saved[2];
        const float v31 = 1.0f - saved[0];
        const float v32 = saved[0] * v31;
        const float v33 = v29 * v32;
        const float v34 = v28 * prev[1];
        const float v36 = 1.0f - saved[1];
        const float v37 = saved[1] * v36;
        const float v38 = v34 * v37;
        const float v39 = v28 * saved[0];
        const float v41 = saved[2] * saved[2];
        const float v42 = 1.0f - v41;
        const float v43 = v39 * v42;
        const float v44 = v33 * prev[1];
        const float v45 = v38 * prev[1];
        const float v46 = v20 * v14;
        const float v48 = v28 * saved[1];
        const float v49 = v33 * aux[0];
        const float v50 = v48 + v49;
        const float v51 = v38 * aux[1];
        const float v52 = v50 + v51;
        d_a[0] = v33;
        d_a[1] = v38;
        d_a[2] = v43;
        d_a[3] = v20;
        d_aux[0] = v44;
        d_aux[1] = v45;
        d_aux[2] = v46;
        d_prev[0] = 0.0f;
        d_prev[1] = v52;
    }
};

// lstm-cell-gates
struct LstmCellGates {
    static constexpr int gates = 4, recurrent = 3, modulated = 0, states = 2, saved = 5, aux = 0, output = 1;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v10 = a[0] + r[0];
        const float v11 = sigmoid(v10);
        const float v12 = a[1] + r[1];
        const float v13 = sigmoid(v12);
        const float v14 = a[2] + r[2];
        const float v15 = sigmoid(v14);
        const float v16 = tanh_(a[3]);
        const float v17 = v13 * prev[0];
        const float v18 = v11 * v16;
        const float v19 = v17 + v18;
        const float v20 = tanh_(v19);
        const float v21 = v15 * v20;
        next[0] = v19;
        next[1] = v21;
        saved[0] = v11;
        saved[1] = v13;
        saved[2] = v15;
        saved[3] = v16;
        saved[4] = v20;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v10 = next[1] * saved[2];
        const float v12 = saved[4] * saved[4];
        const float v13 = 1.0f - v12;
        const float v14 = v10 * v13;
        const float v15 = next[0] + v14;
        const float v16 = v15 * saved[3];
        const float v18 = 1.0f - saved[0];
        const float v19 = saved[0] * v18;
        const float v20 = v16 * v19;
        const float v21 = v15 * prev[0];
        const float v23 = 1.0f - saved[1];
        const float v24 = saved[1] * v23;
        const float v25 = v21 * v24;
        const float v26 = next[1] * saved[4];
        const float v28 = 1.0f - saved[2];
        const float v29 = saved[2] * v28;
        const float v30 = v26 * v29;
        const float v31 = v15 * saved[0];
        const float v33 = saved[3] * saved[3];
        const float v34 = 1.0f - v33;
        const float v35 = v31 * v34;
        const float v36 = v15 * saved[1];
        d_a[0] = v20;
        d_a[1] = v25;
        d_a[2] = v30;
        d_a[3] = v35;
        d_prev[0] = v36;
        d_prev[1] = 0.0f;
    }
};

// lstm-cell-gates-linear
struct LstmCellGatesLinear {
    static constexpr int gates = 4, recurrent = 3, modulated = 0, states = 2, saved = 5, aux = 0, output = 1;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v10 = a[0] + r[0];
        const float v11 = sigmoid(v10);
        const float v12 = a[1] + r[1];
        const float v13 = sigmoid(v12);
        const float v14 = a[2] + r[2];
        const float v15 = sigmoid(v14);
        const float v16 = tanh_(a[3]);
        const float v17 = v13 * prev[0];
        const float v18 = v11 * v16;
        const float v19 = v17 + v18;
        const float v20 = v15 * v19;
        next[0] = v19;
        next[1] = v20;
        saved[0] = v11;
        saved[1] = v13;
        saved[2] = v15;
        saved[3] = v16;
        saved[4] = v19;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v10 = next[1] * saved[2];
        const float v12 = v10 * 1.0f;
        const float v13 = next[0] + v12;
        const float v14 = v13 * saved[3];
        const float v16 = 1.0f - saved[0];
        const float v17 = saved[0] * v16;
        const float v18 = v14 * v17;
        const float v19 = v13 * prev[0];
        const float v21 = 1.0f - saved[1];
        const float v22 = saved[1] * v21;
        const float v23 = v19 * v22;
        const float v24 = next[1] * saved[4];
        const float v26 = 1.0f - saved[2];
        const float v27 = saved[2] * v26;
        const float v28 = v24 * v27;
        const float v29 = v13 * saved[0];
        const float v31 = saved[3] * saved[3];
        const float v32 = 1.0f - v31;
        const float v33 = v29 * v32;
        const float v34 = v13 * saved[1];
        d_a[0] = v18;
        d_a[1] = v23;
        d_a[2] = v28;
        d_a[3] = v33;
        d_prev[0] = v34;
        d_prev[1] = 0.0f;
    }
};

// lstm-coupled
struct LstmCoupled {
    static constexpr int gates = 3, recurrent = 3, modulated = 0, states = 2, saved = 3, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v9 = a[0] + r[0];
        const float v10 = sigmoid(v9);
        const float v11 = a[1] + r[1];
        const float v12 = tanh_(v11);
        const float v13 = a[2] + r[2];
        const float v14 = sigmoid(v13);
        const float v15 = v12 - prev[1];
        const float v16 = v10 * v15;
        const float v17 = prev[1] + v16;
        const float v18 = tanh_(v17);
        const float v19 = v14 * v18;
        next[0] = v19;
        next[1] = v17;
        saved[0] = v10;
        saved[1] = v12;
        saved[2] = v14;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v8 = saved[1] - prev[1];
        const float v9 = saved[0] * v8;
        const float v10 = prev[1] + v9;
        const float v11 = tanh_(v10);
        const float v12 = next[0] * saved[2];
        const float v14 = v11 * v11;
        const float v15 = 1.0f - v14;
        const float v16 = v12 * v15;
        const float v17 = next[1] + v16;
        const float v18 = saved[1] - prev[1];
        const float v19 = v17 * v18;
        const float v21 = 1.0f - saved[0];
        const float v22 = saved[0] * v21;
        const float v23 = v19 * v22;
        const float v24 = v17 * saved[0];
        const float v26 = saved[1] * saved[1];
        const float v27 = 1.0f - v26;
        const float v28 = v24 * v27;
        const float v29 = next[0] * v11;
        const float v31 = 1.0f - saved[2];
        const float v32 = saved[2] * v31;
        const float v33 = v29 * v32;
        const float v35 = v17 * saved[0];
        const float v36 = v17 - v35;
        d_a[0] = v23;
        d_a[1] = v28;
        d_a[2] = v33;
        d_prev[0] = 0.0f;
        d_prev[1] = v36;
    }
};

// lstm-coupled-peephole
struct LstmCoupledPeephole {
    static constexpr int gates = 3, recurrent = 3, modulated = 0, states = 2, saved = 3, aux = 2, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v11 = a[0] + r[0];
        const float v12 = aux[0] * prev[1];
        const float v13 = v11 + v12;
        const float v14 = sigmoid(v13);
        const float v15 = a[1] + r[1];
        const float v16 = tanh_(v15);
        const float v17 = v16 - prev[1];
        const float v18 = v14 * v17;
        const float v19 = prev[1] + v18;
        const float v20 = a[2] + r[2];
        const float v21 = aux[1] * v19;
        const float v22 = v20 + v21;
        const float v23 = sigmoid(v22);
        const float v24 = tanh_(v19);
        const float v25 = v23 * v24;
        next[0] = v25;
        next[1] = v19;
        saved[0] = v14;
        saved[1] = v16;
        saved[2] = v23;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v10 = saved[1] - prev[1];
        const float v11 = saved[0] * v10;
        const float v12 = prev[1] + v11;
        const float v13 = tanh_(v12);
        const float v14 = next[0] * v13;
        const float v16 = 1.0f - saved[2];
        const float v17 = saved[2] * v16;
        const float v18 = v14 * v17;
        const float v19 = next[0] * saved[2];
        const float v21 = v13 * v13;
        const float v22 = 1.0f - v21;
        const float v23 = v19 * v22;
        const float v24 = next[1] + v23;
        const float v25 = v18 * aux[1];
        const float v26 = v24 + v25;
        const float v27 = saved[1] - prev[1];
        const float v28 = v26 * v27;
        const float v30 = 1.0f - saved[0];
        const float v31 = saved[0] * v30;
        const float v32 = v28 * v31;
        const float v33 = v26 * saved[0];
        const float v35 = saved[1] * saved[1];
        const float v36 = 1.0f - v35;
        const float v37 = v33 * v36;
        const float v38 = v32 * prev[1];
        const float v39 = v18 * v12;
        const float v41 = v26 * saved[0];
        const float v42 = v26 - v41;
        const float v43 = v32 * aux[0];
        const float v44 = v42 + v43;
        d_a[0] = v32;
        d_a[1] = v37;
        d_a[2] = v18;
        d_aux[0] = v38;
        d_aux[1] = v39;
        d_prev[0] = 0.0f;
        d_prev[1] = v44;
    }
};

// conv-lstm
struct ConvLstm {
    static constexpr int gates = 4, recurrent = 4, modulated = 0, states = 2, saved = 4, aux = 3, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v14 = a[0] + r[0];
        const float v15 = aux[0] * prev[1];
        const float v16 = v14 + v15;
        const float v17 = sigmoid(v16);
        const float v18 = a[1] + r[1];
        const float v19 = aux[1] * prev[1];
        const float v20 = v18 + v19;
        const float v21 = sigmoid(v20);
        const float v22 = a[2] + r[2];
        const float v23 = tanh_(v22);
        const float v24 = v21 * prev[1];
        const float v25 = v17 * v23;
        const float v26 = v24 + v25;
        const float v27 = a[3] + r[3];
        const float v28 = aux[2] * v26;
        const float v29 = v27 + v28;
        const float v30 = sigmoid(v29);
        const float v31 = tanh_(v26);
        const float v32 = v30 * v31;
        next[0] = v32;
        next[1] = v26;
        saved[0] = v17;
        saved[1] = v21;
        saved[2] = v23;
        saved[3] = v30;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v12 = saved[1] * prev[1];
        const float v13 = saved[0] * saved[2];
        const float v14 = v12 + v13;
        const float v15 = tanh_(v14);
        const float v16 = next[0] * v15;
        const float v18 = 1.0f - saved[3];
        const float v19 = saved[3] * v18;
        const float v20 = v16 * v19;
        const float v21 = next[0] * saved[3];
        const float v23 = v15 * v15;
        const float v24 = 1.0f - v23;
        const float v25 = v21 * v24;
        const float v26 = next[1] + v25;
        const float v27 = v20 * aux[2];
        const float v28 = v26 + v27;
        const float v29 = v28 * saved[2];
        const float v31 = 1.0f - saved[0];
        const float v32 = saved[0] * v31;
        const float v33 = v29 * v32;
        const float v34 = v28 * prev[1];
        const float v36 = 1.0f - saved[1];
        const float v37 = saved[1] * v36;
        const float v38 = v34 * v37;
        const float v39 = v28 * saved[0];
        const float v41 = saved[2] * saved[2];
        const float v42 = 1.0f - v41;
        const float v43 = v39 * v42;
        const float v44 = v33 * prev[1];
        const float v45 = v38 * prev[1];
        const float v46 = v20 * v14;
        const float v48 = v28 * saved[1];
        const float v49 = v33 * aux[0];
        const float v50 = v48 + v49;
        const float v51 = v38 * aux[1];
        const float v52 = v50 + v51;
        d_a[0] = v33;
        d_a[1] = v38;
        d_a[2] = v43;
        d_a[3] = v20;
        d_aux[0] = v44;
        d_aux[1] = v45;
        d_aux[2] = v46;
        d_prev[0] = 0.0f;
        d_prev[1] = v52;
    }
};

// gru
struct Gru {
    static constexpr int gates = 3, recurrent = 3, modulated = 0, states = 1, saved = 4, aux = 1, output = 0;
    static constexpr bool added = false;
    static __device__ float initial(int state) { return 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v9 = a[0] + r[0];
        const float v10 = sigmoid(v9);
        const float v11 = a[1] + r[1];
        const float v12 = sigmoid(v11);
        const float v13 = r[2] + aux[0];
        const float v14 = v10 * v13;
        const float v15 = a[2] + v14;
        const float v16 = tanh_(v15);
        const float v17 = prev[0] - v16;
        const float v18 = v12 * v17;
        const float v19 = v16 + v18;
        next[0] = v19;
        saved[0] = v10;
        saved[1] = v12;
        saved[2] = v16;
        saved[3] = v13;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v8 = prev[0] - saved[2];
        const float v9 = next[0] * v8;
        const float v11 = 1.0f - saved[1];
        const float v12 = saved[1] * v11;
        const float v13 = v9 * v12;
        const float v14 = next[0] * saved[1];
        const float v15 = next[0] - v14;
        const float v17 = saved[2] * saved[2];
        const float v18 = 1.0f - v17;
        const float v19 = v15 * v18;
        const float v20 = v19 * saved[3];
        const float v22 = 1.0f - saved[0];
        const float v23 = saved[0] * v22;
        const float v24 = v20 * v23;
        const float v25 = v19 * saved[0];
        const float v26 = v19 * saved[0];
        const float v27 = next[0] * saved[1];
        d_a[0] = v24;
        d_a[1] = v13;
        d_a[2] = v19;
        d_r[0] = v24;
        d_r[1] = v13;
        d_r[2] = v25;
        d_aux[0] = v26;
        d_prev[0] = v27;
    }
};

// gru-cho
struct GruCho {
    static constexpr int gates = 3, recurrent = 2, modulated = 1, states = 1, saved = 3, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v8 = a[0] + r[0];
        const float v9 = sigmoid(v8);
        const float v10 = a[1] + r[1];
        const float v11 = sigmoid(v10);
        const float v12 = a[2] + r[2];
        const float v13 = tanh_(v12);
        const float v14 = prev[0] - v13;
        const float v15 = v11 * v14;
        const float v16 = v13 + v15;
        next[0] = v16;
        saved[0] = v9;
        saved[1] = v11;
        saved[2] = v13;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v6 = prev[0] - saved[2];
        const float v7 = next[0] * v6;
        const float v9 = 1.0f - saved[1];
        const float v10 = saved[1] * v9;
        const float v11 = v7 * v10;
        const float v12 = next[0] * saved[1];
        const float v13 = next[0] - v12;
        const float v15 = saved[2] * saved[2];
        const float v16 = 1.0f - v15;
        const float v17 = v13 * v16;
        const float v19 = next[0] * saved[1];
        d_a[0] = 0.0f;
        d_a[1] = v11;
        d_a[2] = v17;
        d_prev[0] = v19;
    }
    static __device__ void modulate(const float* a, const float* r, const float* aux, const float* prev, float* modulated) {
        const float v7 = a[0] + r[0];
        const float v8 = sigmoid(v7);
        const float v9 = v8 * prev[0];
        *modulated = v9;
    }
    static __device__ void modulate_grad(const float* next, const float* aux, const float* prev, const float* saved, float d_modulated, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v10 = d_modulated * prev[0];
        const float v12 = 1.0f - saved[0];
        const float v13 = saved[0] * v12;
        const float v14 = v10 * v13;
        const float v15 = d_a[0] + v14;
        const float v16 = d_modulated * saved[0];
        const float v17 = d_prev[0] + v16;
        d_a[0] = v15;
        d_a[1] = d_a[1];
        d_a[2] = d_a[2];
        d_prev[0] = v17;
    }
};

// ligru
struct LiGru {
    static constexpr int gates = 2, recurrent = 2, modulated = 0, states = 1, saved = 2, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v6 = a[0] + r[0];
        const float v7 = sigmoid(v6);
        const float v8 = a[1] + r[1];
        const float v10 = fmaxf(v8, 0.0f);
        const float v11 = prev[0] - v10;
        const float v12 = v7 * v11;
        const float v13 = v10 + v12;
        next[0] = v13;
        saved[0] = v7;
        saved[1] = v10;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v5 = next[0] * saved[0];
        const float v6 = next[0] - v5;
        const float v7 = positive(saved[1]);
        const float v8 = v6 * v7;
        const float v9 = prev[0] - saved[1];
        const float v10 = next[0] * v9;
        const float v12 = 1.0f - saved[0];
        const float v13 = saved[0] * v12;
        const float v14 = v10 * v13;
        const float v15 = next[0] * saved[0];
        d_a[0] = v14;
        d_a[1] = v8;
        d_prev[0] = v15;
    }
};

// mgu
struct Mgu {
    static constexpr int gates = 2, recurrent = 1, modulated = 1, states = 1, saved = 2, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v6 = a[0] + r[0];
        const float v7 = sigmoid(v6);
        const float v8 = a[1] + r[1];
        const float v9 = tanh_(v8);
        const float v10 = v9 - prev[0];
        const float v11 = v7 * v10;
        const float v12 = prev[0] + v11;
        next[0] = v12;
        saved[0] = v7;
        saved[1] = v9;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v5 = saved[1] - prev[0];
        const float v6 = next[0] * v5;
        const float v8 = 1.0f - saved[0];
        const float v9 = saved[0] * v8;
        const float v10 = v6 * v9;
        const float v11 = next[0] * saved[0];
        const float v13 = saved[1] * saved[1];
        const float v14 = 1.0f - v13;
        const float v15 = v11 * v14;
        const float v16 = next[0] * saved[0];
        const float v17 = next[0] - v16;
        d_a[0] = v10;
        d_a[1] = v15;
        d_prev[0] = v17;
    }
    static __device__ void modulate(const float* a, const float* r, const float* aux, const float* prev, float* modulated) {
        const float v5 = a[0] + r[0];
        const float v6 = sigmoid(v5);
        const float v7 = v6 * prev[0];
        *modulated = v7;
    }
    static __device__ void modulate_grad(const float* next, const float* aux, const float* prev, const float* saved, float d_modulated, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v8 = d_modulated * prev[0];
        const float v10 = 1.0f - saved[0];
        const float v11 = saved[0] * v10;
        const float v12 = v8 * v11;
        const float v13 = d_a[0] + v12;
        const float v14 = d_modulated * saved[0];
        const float v15 = d_prev[0] + v14;
        d_a[0] = v13;
        d_a[1] = d_a[1];
        d_prev[0] = v15;
    }
};

// elman-tanh
struct ElmanTanh {
    static constexpr int gates = 1, recurrent = 1, modulated = 0, states = 1, saved = 1, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v4 = a[0] + r[0];
        const float v5 = tanh_(v4);
        next[0] = v5;
        saved[0] = v5;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v5 = saved[0] * saved[0];
        const float v6 = 1.0f - v5;
        const float v7 = next[0] * v6;
        d_a[0] = v7;
        d_prev[0] = 0.0f;
    }
};

// elman-relu
struct ElmanRelu {
    static constexpr int gates = 1, recurrent = 1, modulated = 0, states = 1, saved = 1, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v4 = a[0] + r[0];
        const float v6 = fmaxf(v4, 0.0f);
        next[0] = v6;
        saved[0] = v6;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v4 = positive(saved[0]);
        const float v5 = next[0] * v4;
        d_a[0] = v5;
        d_prev[0] = 0.0f;
    }
};

// indrnn
struct IndRnn {
    static constexpr int gates = 1, recurrent = 0, modulated = 0, states = 1, saved = 1, aux = 1, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v4 = aux[0] * prev[0];
        const float v5 = a[0] + v4;
        const float v7 = fmaxf(v5, 0.0f);
        next[0] = v7;
        saved[0] = v7;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v5 = positive(saved[0]);
        const float v6 = next[0] * v5;
        const float v7 = v6 * prev[0];
        const float v8 = v6 * aux[0];
        d_a[0] = v6;
        d_aux[0] = v7;
        d_prev[0] = v8;
    }
};

// sru
struct Sru {
    static constexpr int gates = 4, recurrent = 0, modulated = 0, states = 2, saved = 5, aux = 2, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : 0.0f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v9 = aux[0] * prev[1];
        const float v10 = a[0] + v9;
        const float v11 = sigmoid(v10);
        const float v12 = aux[1] * prev[1];
        const float v13 = a[1] + v12;
        const float v14 = sigmoid(v13);
        const float v15 = prev[1] - a[2];
        const float v16 = v11 * v15;
        const float v17 = a[2] + v16;
        const float v18 = v17 - a[3];
        const float v19 = v14 * v18;
        const float v20 = a[3] + v19;
        next[0] = v20;
        next[1] = v17;
        saved[0] = v11;
        saved[1] = v14;
        saved[2] = a[2];
        saved[3] = v17;
        saved[4] = a[3];
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v12 = next[0] * saved[1];
        const float v13 = next[1] + v12;
        const float v14 = saved[3] - saved[4];
        const float v15 = next[0] * v14;
        const float v17 = 1.0f - saved[1];
        const float v18 = saved[1] * v17;
        const float v19 = v15 * v18;
        const float v20 = prev[1] - saved[2];
        const float v21 = v13 * v20;
        const float v23 = 1.0f - saved[0];
        const float v24 = saved[0] * v23;
        const float v25 = v21 * v24;
        const float v26 = v13 * saved[0];
        const float v27 = v13 - v26;
        const float v28 = next[0] * saved[1];
        const float v29 = next[0] - v28;
        const float v30 = v25 * prev[1];
        const float v31 = v19 * prev[1];
        const float v33 = v13 * saved[0];
        const float v34 = v25 * aux[0];
        const float v35 = v33 + v34;
        const float v36 = v19 * aux[1];
        const float v37 = v35 + v36;
        d_a[0] = v25;
        d_a[1] = v19;
        d_a[2] = v27;
        d_a[3] = v29;
        d_aux[0] = v30;
        d_aux[1] = v31;
        d_prev[0] = 0.0f;
        d_prev[1] = v37;
    }
};

// slstm
struct Slstm {
    static constexpr int gates = 4, recurrent = 4, modulated = 0, states = 4, saved = 7, aux = 0, output = 0;
    static constexpr bool added = true;
    static __device__ float initial(int state) { return state == 0 ? 0.0f : state == 1 ? 0.0f : state == 2 ? 0.0f : -1e30f; }
    static __device__ void step(const float* a, const float* r, const float* aux, const float* prev, float* next, float* saved) {
        const float v13 = a[0] + r[0];
        const float v14 = a[1] + r[1];
        const float v15 = a[2] + r[2];
        const float v16 = tanh_(v15);
        const float v17 = a[3] + r[3];
        const float v18 = sigmoid(v17);
        const float v19 = log_sigmoid(v14);
        const float v20 = v19 + prev[3];
        const float v21 = fmaxf(v20, v13);
        const float v22 = v13 - v21;
        const float v23 = exp_(v22);
        const float v24 = v20 - v21;
        const float v25 = exp_(v24);
        const float v26 = v25 * prev[1];
        const float v27 = v23 * v16;
        const float v28 = v26 + v27;
        const float v29 = v25 * prev[2];
        const float v30 = v29 + v23;
        const float v32 = 1.0f / v30;
        const float v33 = v18 * v28;
        const float v34 = v33 * v32;
        const float v35 = -v14;
        const float v36 = sigmoid(v35);
        next[0] = v34;
        next[1] = v28;
        next[2] = v30;
        next[3] = v21;
        saved[0] = v23;
        saved[1] = v25;
        saved[2] = v36;
        saved[3] = v16;
        saved[4] = v18;
        saved[5] = v28;
        saved[6] = v32;
    }
    static __device__ void step_grad(const float* next, const float* aux, const float* prev, const float* saved, float* d_a, float* d_r, float* d_aux, float* d_prev) {
        const float v16 = next[0] * saved[4];
        const float v17 = v16 * saved[6];
        const float v18 = next[1] + v17;
        const float v19 = next[0] * saved[4];
        const float v20 = v19 * saved[5];
        const float v21 = v20 * saved[6];
        const float v22 = v21 * saved[6];
        const float v23 = next[2] - v22;
        const float v24 = v18 * saved[3];
        const float v25 = v24 + v23;
        const float v26 = v25 * saved[0];
        const float v27 = v18 * prev[1];
        const float v28 = v23 * prev[2];
        const float v29 = v27 + v28;
        const float v30 = v29 * saved[1];
        const float v31 = v30 * saved[2];
        const float v32 = v18 * saved[0];
        const float v34 = saved[3] * saved[3];
        const float v35 = 1.0f - v34;
        const float v36 = v32 * v35;
        const float v37 = next[0] * saved[5];
        const float v38 = v37 * saved[6];
        const float v40 = 1.0f - saved[4];
        const float v41 = saved[4] * v40;
        const float v42 = v38 * v41;
        const float v44 = v18 * saved[1];
        const float v45 = v23 * saved[1];
        d_a[0] = v26;
        d_a[1] = v31;
        d_a[2] = v36;
        d_a[3] = v42;
        d_prev[0] = 0.0f;
        d_prev[1] = v44;
        d_prev[2] = v45;
        d_prev[3] = 0.0f;
    }
};

// X(name) for every cell.
#define FOR_EACH_CELL(X) X(Lstm) X(Lstm1997) X(LstmPeephole) X(LstmCellGates) X(LstmCellGatesLinear) X(LstmCoupled) X(LstmCoupledPeephole) X(ConvLstm) X(Gru) X(GruCho) X(LiGru) X(Mgu) X(ElmanTanh) X(ElmanRelu) X(IndRnn) X(Sru) X(Slstm)

// X(name) for every cell of cluster.cu.
#define FOR_EACH_CELL_OF_CLUSTERS(X) X(Lstm) X(Lstm1997) X(LstmPeephole) X(LstmCellGates) X(LstmCellGatesLinear) X(LstmCoupled) X(LstmCoupledPeephole) X(ConvLstm) X(Gru) X(LiGru) X(ElmanTanh) X(ElmanRelu) X(Slstm)
