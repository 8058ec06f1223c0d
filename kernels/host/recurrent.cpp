#include "../recurrent.cu"

#include "kernels.h"

#define CELL(name) ENTRY(forward_##name) ENTRY(backward_##name)
static const cpu::Register registered({FOR_EACH_CELL(CELL)});
