#include "../cluster.cu"

#include "kernels.h"

#define OF_CLUSTER(name) {#name, cpu::entry(name, BLOCKS)},
#define SLICE(name, rows) OF_CLUSTER(cluster_forward_##name##_##rows) OF_CLUSTER(cluster_backward_##name##_##rows)
#define CELL(name) SLICE(name, 1) SLICE(name, 3) SLICE(name, 6) SLICE(name, 10)
static const cpu::Register registered({FOR_EACH_CELL_OF_CLUSTERS(CELL)});
