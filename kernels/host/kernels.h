// Every kernel, by name: see kernels.cpp.
#pragma once
#include <functional>
#include <map>
#include <string>

namespace cpu {

struct Entry {
    // Runs the kernel in one thread; the arguments are pointers to their values.
    std::function<void(void** arguments)> run;
    // Blocks of a cluster; 1: it is launched without.
    unsigned cluster;
};

const std::map<std::string, Entry>& kernels();

}  // namespace cpu
