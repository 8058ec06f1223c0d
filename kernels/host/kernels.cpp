// Every kernel, by name: its arguments are taken out of the array that a launch hands over.
#include "kernels.h"

#include <utility>

#include "../cluster.cu"
#undef KERNELS
#include "../ctc.cu"
#include "../layers.cu"
#include "../optim.cu"
#include "../recurrent.cu"

namespace cpu {
namespace {

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}

template <class... A>
Entry entry(void (*kernel)(A...), unsigned cluster = 1) {
    return {[kernel](void** arguments) { call(kernel, arguments, std::index_sequence_for<A...>()); }, cluster};
}

}  // namespace

const std::map<std::string, Entry>& kernels() {
#define ENTRY(name) {#name, entry(name)},
#define CELL(name) ENTRY(forward_##name) ENTRY(backward_##name)
#define OF_CLUSTER(name) {#name, entry(name, BLOCKS)},
#define SLICE(name, rows) OF_CLUSTER(cluster_forward_##name##_##rows) OF_CLUSTER(cluster_backward_##name##_##rows)
#define CELL_OF_CLUSTER(name) SLICE(name, 1) SLICE(name, 3) SLICE(name, 6) SLICE(name, 10)
    static const std::map<std::string, Entry> all = {
        FOR_EACH_CELL(CELL) FOR_EACH_CELL_OF_CLUSTERS(CELL_OF_CLUSTER)                                     //
        ENTRY(add_bias) ENTRY(add) ENTRY(add_halves) ENTRY(repeat_halves)                                 //
        ENTRY(relu_forward) ENTRY(relu_backward) ENTRY(layer_norm_forward) ENTRY(layer_norm_backward)     //
        ENTRY(softmax_forward) ENTRY(softmax_backward) ENTRY(column_sums) ENTRY(dropout) ENTRY(add_noise) //
        ENTRY(patches_forward) ENTRY(patches_backward) ENTRY(banded_forward) ENTRY(banded_backward)       //
        ENTRY(sum_utterances) ENTRY(ctc_emissions) ENTRY(ctc_paths) ENTRY(ctc_gradient) ENTRY(squares) ENTRY(adam) ENTRY(sgd)    //
    };
    return all;
}

}  // namespace cpu
