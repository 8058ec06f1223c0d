// A CUDA driver, cuBLAS and cuRAND without a GPU: device memory is host memory, a launch runs the kernels of kernels/ as
// fibers, one after the other. So the whole program can be run with `--device cuda`, candle in it, where there is no GPU.
// scripts/host-cuda builds it; only what formant and candle call is here.
//
// Of candle's own kernels it knows the few that a training step uses.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "fibers.h"
#include "kernels.h"

std::map<std::string, cpu::Entry>& cpu::kernels() {
    static std::map<std::string, Entry> all;
    return all;
}

namespace {

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

// FORMANT_HOST_CUDA_MEMORY: bytes of the "GPU".
uint64_t memory() {
    const char* text = getenv("FORMANT_HOST_CUDA_MEMORY");
    return text ? strtoull(text, nullptr, 10) : 1ull << 33;
}

// Buffers that are in use, and their sizes.
std::map<void*, size_t> buffers;
size_t in_use = 0;
std::recursive_mutex lock;

// FORMANT_HOST_CUDA_COUNT=FILE: how often each kernel was launched, and what was copied and allocated, at the end.
struct Counts {
    std::map<std::string, uint64_t> counts;
    ~Counts() {
        const char* path = getenv("FORMANT_HOST_CUDA_COUNT");
        FILE* file = path ? fopen(path, "w") : nullptr;
        if (!file) return;
        for (const auto& [name, count] : counts) fprintf(file, "%s\t%llu\n", name.c_str(), (unsigned long long)count);
        fclose(file);
    }
} counted;

int allocate(void** to, size_t bytes) {
    const std::lock_guard guard(lock);
    ++counted.counts["allocate"];
    if (in_use + bytes > memory()) return OUT_OF_MEMORY;
    *to = aligned_alloc(256, (bytes + 511) / 256 * 256);
    if (!*to) return OUT_OF_MEMORY;
    // NaN, so that nothing is read before it is written.
    memset(*to, 0xff, bytes);
    buffers[*to] = bytes;
    in_use += bytes;
    return SUCCESS;
}

int release(void* at) {
    const std::lock_guard guard(lock);
    const auto found = buffers.find(at);
    if (found == buffers.end()) {
        fprintf(stderr, "freed what was not allocated\n");
        abort();
    }
    in_use -= found->second;
    buffers.erase(found);
    free(at);
    return SUCCESS;
}

// Whether bytes lie within one buffer: else the program is wrong.
void inside(const void* at, size_t bytes, const char* what) {
    const std::lock_guard guard(lock);
    auto found = buffers.upper_bound(const_cast<void*>(at));
    if (found != buffers.begin()) {
        --found;
        const char *start = static_cast<const char*>(found->first), *p = static_cast<const char*>(at);
        if (p >= start && p + bytes <= start + found->second) return;
    }
    fprintf(stderr, "%s: %zu bytes at %p are in no buffer\n", what, bytes, at);
    abort();
}

int count(const std::string& what) {
    const std::lock_guard guard(lock);
    ++counted.counts[what];
    return SUCCESS;
}

// The number at `i` of a tensor that candle describes by its dimensions and strides; nothing: without gaps.
size_t strided(size_t i, size_t dims, const size_t* info, size_t half) {
    if (!info) return i;
    size_t at = 0;
    for (size_t d = dims; d-- > 0;) {
        at += i % info[d] * info[half + d];
        i /= info[d];
    }
    return at;
}

template <class T>
T argument(void** arguments, int n) {
    return *static_cast<T*>(arguments[n]);
}

// candle's kernels, of f32 numbers.
bool candle(const std::string& name, void** p) {
    const auto binary = [&](auto f) {
        const size_t n = argument<size_t>(p, 0), dims = argument<size_t>(p, 1);
        const size_t* info = argument<const size_t*>(p, 2);
        const float *a = argument<const float*>(p, 3), *b = argument<const float*>(p, 4);
        float* out = argument<float*>(p, 5);
        // Dimensions, strides of a, strides of b.
        for (size_t i = 0; i < n; ++i) {
            const size_t at_a = strided(i, dims, info, dims), at_b = strided(i, dims, info, 2 * dims);
            out[i] = f(a[at_a], b[at_b]);
        }
    };
    const auto unary = [&](auto f) {
        const size_t n = argument<size_t>(p, 0), dims = argument<size_t>(p, 1);
        const size_t* info = argument<const size_t*>(p, 2);
        const float* x = argument<const float*>(p, 3);
        float* out = argument<float*>(p, 4);
        for (size_t i = 0; i < n; ++i) out[i] = f((x ? x : out)[strided(i, dims, info, dims)]);
    };
    if (name == "badd_f32") return binary([](float a, float b) { return a + b; }), true;
    if (name == "bsub_f32") return binary([](float a, float b) { return a - b; }), true;
    if (name == "bmul_f32") return binary([](float a, float b) { return a * b; }), true;
    if (name == "bdiv_f32") return binary([](float a, float b) { return a / b; }), true;
    if (name == "ucopy_f32") return unary([](float x) { return x; }), true;
    if (name == "uneg_f32") return unary([](float x) { return -x; }), true;
    if (name == "usqr_f32") return unary([](float x) { return x * x; }), true;
    if (name == "usigmoid_f32") return unary([](float x) { return 1 / (1 + expf(-x)); }), true;
    if (name == "affine_f32") {
        const size_t n = argument<size_t>(p, 0), dims = argument<size_t>(p, 1);
        const size_t* info = argument<const size_t*>(p, 2);
        const float* x = argument<const float*>(p, 3);
        float* out = argument<float*>(p, 4);
        const float mul = argument<float>(p, 5), add = argument<float>(p, 6);
        for (size_t i = 0; i < n; ++i) out[i] = (x ? x : out)[strided(i, dims, info, dims)] * mul + add;
        return true;
    }
    if (name == "fast_sum_f32" || name == "fast_sum_small_f32") {
        // Sums over the last of the dimensions, `per_output` numbers each; counts what goes in, or, if small, what comes out.
        const size_t each = argument<size_t>(p, 1), count = argument<size_t>(p, 0);
        const size_t n = name == "fast_sum_f32" ? count : count * each, per_output = argument<size_t>(p, 1), dims = argument<size_t>(p, 2);
        const size_t* info = argument<const size_t*>(p, 3);
        const float* x = argument<const float*>(p, 4);
        float* out = argument<float*>(p, 5);
        for (size_t o = 0; per_output && o < n / per_output; ++o) {
            float sum = 0;
            for (size_t i = 0; i < per_output; ++i) sum += x[strided(o * per_output + i, dims, info, dims)];
            out[o] = sum;
        }
        return true;
    }
    if (name == "const_set_f32") {
        const size_t n = argument<size_t>(p, 0), dims = argument<size_t>(p, 1);
        const size_t* info = argument<const size_t*>(p, 2);
        const float value = argument<float>(p, 3);
        float* out = argument<float*>(p, 4);
        for (size_t i = 0; i < n; ++i) out[strided(i, dims, info, dims)] = value;
        return true;
    }
    if (name == "copy2d_f32") {
        const float* x = argument<const float*>(p, 0);
        float* out = argument<float*>(p, 1);
        const unsigned rows = argument<unsigned>(p, 2), columns = argument<unsigned>(p, 3);
        const unsigned from = argument<unsigned>(p, 4), to = argument<unsigned>(p, 5);
        for (unsigned r = 0; r < rows; ++r) memcpy(out + r * to, x + r * from, columns * sizeof(float));
        return true;
    }
    return false;
}

struct Function {
    std::string name;
};

int launch(Function* function, cpu::Launch shape, void** arguments) {
    const std::lock_guard guard(lock);
    ++counted.counts["launch " + function->name];
    const auto& all = cpu::kernels();
    if (const auto found = all.find(function->name); found != all.end()) {
        shape.together = std::max(shape.together, found->second.cluster);
        cpu::launch(function->name, shape, [&] { found->second.run(arguments); });
        return SUCCESS;
    }
    if (candle(function->name, arguments)) return SUCCESS;
    fprintf(stderr, "the CUDA driver on the CPU has no kernel %s\n", function->name.c_str());
    abort();
}

// Column-major c = alpha op(a) op(b) + beta c, `batch` times.
template <class T>
int multiply(int ta, int tb, int m, int n, int k, T alpha, const T* a, int lda, long long sa, const T* b, int ldb,
             long long sb, T beta, T* c, int ldc, long long sc, int batch) {
    count("product");
    const auto size = [&](long long rows, long long columns, long long ld, long long step) {
        return sizeof(T) * (rows && columns ? (columns - 1) * ld + rows + (batch - 1) * step : 0);
    };
    if (m > 0 && n > 0 && k > 0) {
        inside(a, ta ? size(k, m, lda, sa) : size(m, k, lda, sa), "cuBLAS: a");
        inside(b, tb ? size(n, k, ldb, sb) : size(k, n, ldb, sb), "cuBLAS: b");
    }
    if (m > 0 && n > 0) inside(c, size(m, n, ldc, sc), "cuBLAS: c");
    for (int i = 0; i < batch; ++i, a += sa, b += sb, c += sc) {
        for (int column = 0; column < n; ++column) {
            for (int row = 0; row < m; ++row) {
                T sum = 0;
                for (int j = 0; j < k; ++j) {
                    const T x = ta ? a[j + (long long)row * lda] : a[row + (long long)j * lda];
                    sum += x * (tb ? b[column + (long long)j * ldb] : b[j + (long long)column * ldb]);
                }
                T& to = c[row + (long long)column * ldc];
                to = alpha * sum + (beta == T(0) ? T(0) : beta * to);
            }
        }
    }
    return SUCCESS;
}

int some_object;

}  // namespace

extern "C" {

int cuInit(unsigned) {
    return SUCCESS;
}
int cuDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}
int cuGetErrorString(int code, const char** text) {
    *text = code == OUT_OF_MEMORY ? "out of memory" : code == SUCCESS ? "no error" : "an error of the host's CUDA";
    return SUCCESS;
}
int cuDeviceGetCount(int* n) {
    *n = 1;
    return SUCCESS;
}
int cuDeviceGet(int* device, int number) {
    *device = number;
    return number == 0 ? SUCCESS : 101;
}
int cuDeviceGetName(char* name, int length, int) {
    snprintf(name, length, "CPU in the place of a GPU");
    return SUCCESS;
}
int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = memory();
    return SUCCESS;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        // Multiprocessors: few, since all threads of a cooperative launch are alive at once.
        case 16: *value = getenv("FORMANT_HOST_CUDA_SMALL") ? 1 : 2; break;
        case 75: *value = 9; break;                                            // compute capability
        case 76: *value = 0; break;
        case 97: *value = 227 << 10; break;  // shared memory of a block
        case 115: *value = 1; break;         // memory pools
        case 120: *value = 1; break;         // clusters
        default: *value = 0; break;
    }
    return SUCCESS;
}
int cuDeviceGetDefaultMemPool(void** pool, int) {
    *pool = &some_object;
    return SUCCESS;
}
int cuMemPoolSetAttribute(void*, int, void*) {
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** context, int) {
    *context = &some_object;
    return SUCCESS;
}
int cuDevicePrimaryCtxRelease_v2(int) {
    return SUCCESS;
}
int cuCtxDestroy_v2(void*) {
    return SUCCESS;
}
int cuCtxGetCurrent(void** context) {
    *context = &some_object;
    return SUCCESS;
}
int cuCtxSetCurrent(void*) {
    return SUCCESS;
}
int cuCtxSynchronize() {
    return count("synchronise");
}
int cuStreamCreate(void** stream, unsigned) {
    *stream = &some_object;
    return SUCCESS;
}
int cuStreamDestroy_v2(void*) {
    return SUCCESS;
}
int cuStreamSynchronize(void*) {
    return count("synchronise");
}
int cuStreamWaitEvent(void*, void*, unsigned) {
    return SUCCESS;
}
int cuStreamIsCapturing(void*, int* status) {
    *status = 0;
    return SUCCESS;
}
int cuEventCreate(void** event, unsigned) {
    *event = new std::chrono::steady_clock::time_point;
    return SUCCESS;
}
int cuEventDestroy_v2(void* event) {
    delete static_cast<std::chrono::steady_clock::time_point*>(event);
    return SUCCESS;
}
int cuEventRecord(void* event, void*) {
    *static_cast<std::chrono::steady_clock::time_point*>(event) = std::chrono::steady_clock::now();
    return SUCCESS;
}
int cuEventSynchronize(void*) {
    return SUCCESS;
}
int cuEventElapsedTime_v2(float* milliseconds, void* start, void* end) {
    using Point = std::chrono::steady_clock::time_point;
    const std::chrono::duration<float, std::milli> d = *static_cast<Point*>(end) - *static_cast<Point*>(start);
    *milliseconds = d.count();
    return SUCCESS;
}

int cuMemAlloc_v2(void** at, size_t bytes) {
    return allocate(at, bytes);
}
int cuMemFree_v2(void* at) {
    return release(at);
}
int cuMemAllocAsync(void** at, size_t bytes, void*) {
    return allocate(at, bytes);
}
int cuMemFreeAsync(void* at, void*) {
    return release(at);
}
int cuMemHostAlloc(void** at, size_t bytes, unsigned) {
    *at = aligned_alloc(256, (bytes + 255) / 256 * 256);
    return *at ? SUCCESS : OUT_OF_MEMORY;
}
int cuMemFreeHost(void* at) {
    free(at);
    return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(void* to, const void* from, size_t bytes, void*) {
    inside(to, bytes, "copy to the device");
    memcpy(to, from, bytes);
    return count("copy to the device");
}
int cuMemcpyDtoHAsync_v2(void* to, const void* from, size_t bytes, void*) {
    inside(from, bytes, "copy from the device");
    memcpy(to, from, bytes);
    return count("copy from the device");
}
int cuMemcpyDtoDAsync_v2(void* to, const void* from, size_t bytes, void*) {
    inside(to, bytes, "copy on the device");
    inside(from, bytes, "copy on the device");
    memmove(to, from, bytes);
    return count("copy on the device");
}
int cuMemcpyPeerAsync(void*, void*, const void*, void*, size_t, void*) {
    return INVALID_VALUE;
}
int cuMemsetD8Async(void* at, unsigned char value, size_t bytes, void*) {
    inside(at, bytes, "fill");
    memset(at, value, bytes);
    return count("fill");
}

int cuModuleLoad(void** module, const char*) {
    *module = &some_object;
    return SUCCESS;
}
int cuModuleLoadData(void** module, const void*) {
    *module = &some_object;
    return SUCCESS;
}
int cuModuleUnload(void*) {
    return SUCCESS;
}
int cuModuleGetFunction(void** function, void*, const char* name) {
    static std::map<std::string, Function> functions;
    const std::lock_guard guard(lock);
    *function = &functions.try_emplace(name, Function{name}).first->second;
    return SUCCESS;
}
int cuFuncSetAttribute(void*, int, int) {
    return SUCCESS;
}
int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void*, int threads, size_t shared, unsigned) {
    const int by_shared = (228 << 10) / (shared + 1024), by_threads = 2048 / threads;
    *blocks = by_shared < by_threads ? by_shared : by_threads;
    return SUCCESS;
}
int cuOccupancyMaxActiveClusters(int* clusters, void*, const void*) {
    *clusters = 4;
    return SUCCESS;
}
int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void*, void** arguments, void**) {
    return launch(static_cast<Function*>(function), {{gx, gy, gz}, {bx, by, bz}, shared, 1}, arguments);
}
int cuLaunchCooperativeKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                              unsigned shared, void*, void** arguments) {
    return launch(static_cast<Function*>(function), {{gx, gy, gz}, {bx, by, bz}, shared, gx * gy * gz}, arguments);
}

int cublasCreate_v2(void** handle) {
    *handle = &some_object;
    return SUCCESS;
}
int cublasDestroy_v2(void*) {
    return SUCCESS;
}
int cublasSetStream_v2(void*, void*) {
    return SUCCESS;
}
int cublasSgemmStridedBatched(void*, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda,
                              long long sa, const float* b, int ldb, long long sb, const float* beta, float* c, int ldc,
                              long long sc, int batch) {
    return multiply(ta, tb, m, n, k, *alpha, a, lda, sa, b, ldb, sb, *beta, c, ldc, sc, batch);
}
int cublasDgemmStridedBatched(void*, int ta, int tb, int m, int n, int k, const double* alpha, const double* a, int lda,
                              long long sa, const double* b, int ldb, long long sb, const double* beta, double* c,
                              int ldc, long long sc, int batch) {
    return multiply(ta, tb, m, n, k, *alpha, a, lda, sa, b, ldb, sb, *beta, c, ldc, sc, batch);
}
int cublasGemmStridedBatchedEx(void*, int ta, int tb, int m, int n, int k, const float* alpha, const void* a, int, int lda,
                               long long sa, const void* b, int, int ldb, long long sb, const float* beta, void* c, int,
                               int ldc, long long sc, int batch, int, int) {
    const auto f = [](const void* p) { return static_cast<const float*>(p); };
    return multiply(ta, tb, m, n, k, *alpha, f(a), lda, sa, f(b), ldb, sb, *beta, static_cast<float*>(c), ldc, sc, batch);
}

int curandCreateGenerator(void** generator, int) {
    *generator = &some_object;
    return SUCCESS;
}
int curandDestroyGenerator(void*) {
    return SUCCESS;
}
int curandSetPseudoRandomGeneratorSeed(void*, unsigned long long) {
    return SUCCESS;
}
int curandSetStream(void*, void*) {
    return SUCCESS;
}
}
