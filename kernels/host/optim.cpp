#include "../optim.cu"

#include "kernels.h"

static const cpu::Register registered({
    ENTRY(squares) ENTRY(adam) ENTRY(sgd) //
});
