// Every kernel, by name: see kernels.cpp.
#pragma once
#include <functional>
#include <map>
#include <string>

namespace cpu {

// Runs the kernel in one thread; the arguments are pointers to their values.
using Entry = std::function<void(void** arguments)>;

const std::map<std::string, Entry>& kernels();

}  // namespace cpu
