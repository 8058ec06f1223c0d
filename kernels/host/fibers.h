// Launches: see fibers.cpp.
#pragma once
#include <functional>
#include <string>

#include "cuda_on_cpu.h"

namespace cpu {

struct Launch {
    uint3_ grid, block;
    size_t shared_bytes;
    // Blocks that are resident at once, so that they may wait for each other: all of a cooperative launch, or a cluster.
    unsigned together;
};

// Runs `body` in every thread. Aborts the program where threads wait for ever.
void launch(const std::string& name, const Launch& shape, const std::function<void()>& body);

}  // namespace cpu
