// Every kernel, by name. The files here that are called like those of kernels/ each register what is in theirs.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace cpu {

struct Entry {
    // Runs the kernel in one thread; the arguments are pointers to their values.
    std::function<void(void** arguments)> run;
    // Blocks of a cluster; 1: it is launched without.
    unsigned cluster;
};

std::map<std::string, Entry>& kernels();

// Adds to them what a file has, before the program begins.
struct Register {
    Register(std::map<std::string, Entry> own) {
        kernels().merge(own);
    }
};

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<A*>(arguments[I])...);
}

// Takes a kernel's arguments out of the array that a launch hands over.
template <class... A>
Entry entry(void (*kernel)(A...), unsigned cluster = 1) {
    return {[kernel](void** arguments) { call(kernel, arguments, std::index_sequence_for<A...>()); }, cluster};
}

}  // namespace cpu

#define ENTRY(name) {#name, cpu::entry(name)},
