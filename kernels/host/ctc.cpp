#include "../ctc.cu"

#include "kernels.h"

static const cpu::Register registered({
    ENTRY(ctc_emissions) ENTRY(ctc_paths) ENTRY(ctc_gradient) //
});
