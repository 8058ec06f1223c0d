#include "../layers.cu"

#include "kernels.h"

static const cpu::Register registered({
    ENTRY(add_bias) ENTRY(add) ENTRY(add_halves) ENTRY(repeat_halves)                                //
    ENTRY(relu_forward) ENTRY(relu_backward) ENTRY(layer_norm_forward) ENTRY(layer_norm_backward)     //
    ENTRY(softmax_forward) ENTRY(softmax_backward) ENTRY(column_sums) ENTRY(dropout) ENTRY(add_noise) //
    ENTRY(patches_forward) ENTRY(patches_backward) ENTRY(banded_forward) ENTRY(banded_backward)       //
    ENTRY(sum_utterances)                                                                             //
});
