// CUDA threads as fibers of one operating system thread.
//
// Blocks run one after the other, or, in a cooperative launch, side by side. Fibers are resumed in turn, forwards in one
// round and backwards in the next, so that code that relies on an order shows itself. Under ThreadSanitizer every fiber is
// a thread of its own, and only barriers and atomics order them: a missing barrier is reported as a race, every time.
#include "fibers.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

// Defined where the kernels are compiled for ThreadSanitizer; this file never is: its own variables are no race.
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifdef __x86_64__
// Saves what a function must keep on the own stack, the stack's place in *from, and goes on where `to` was saved. The C
// library's own way, below, asks the kernel for the signal mask each time, which takes ten times as long.
extern "C" void cpu_switch(void** from, void* to);
asm(R"(
.text
.globl cpu_switch
.hidden cpu_switch
.type cpu_switch, @function
cpu_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
)");

struct Context {
    void* at = nullptr;

    void start(char* stack, size_t size, void (*entry)()) {
        // As a function finds it that was called: its return address on an aligned stack, six registers above.
        auto* top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(stack + size) / 16 * 16 - 16);
        *top = reinterpret_cast<void*>(entry);
        at = top - 6;
    }
    void go(Context& to) {
        cpu_switch(&at, to.at);
    }
};
#else
#include <ucontext.h>

struct Context {
    ucontext_t own;

    void start(char* stack, size_t size, void (*entry)()) {
        getcontext(&own);
        own.uc_stack.ss_sp = stack;
        own.uc_stack.ss_size = size;
        own.uc_link = nullptr;
        makecontext(&own, entry, 0);
    }
    void go(Context& to) {
        swapcontext(&own, &to.own);
    }
};
#endif

namespace cpu {
namespace {

constexpr size_t STACK = 128 << 10;
// Rounds in which no fiber ends and no barrier opens before it is called a deadlock.
constexpr int PATIENCE = 100000;

// What happened before `before(at)` happened before what comes after `after(at)`: told to ThreadSanitizer.
void before([[maybe_unused]] char* at) {
#ifdef WITH_TSAN
    __tsan_release(at);
#endif
}
void after([[maybe_unused]] char* at) {
#ifdef WITH_TSAN
    __tsan_acquire(at);
#endif
}

// Threads that meet, again and again: those that are still alive.
struct Meeting {
    // Where meetings in turn are ordered: a thread may be at the next one before another has left this one, and that orders
    // nothing between them.
    char marks[2] = {};
    unsigned alive = 0, waiting = 0;
    uint64_t opened = 0;

    char* mark() {
        return &marks[opened % 2];
    }
    void open_if_all_came();
    void meet();
    void leave();
};

// Threads of a warp.
constexpr unsigned WARP = 32;

struct Warp : Meeting {
    // What its threads give at a call, and at the next one.
    float given[2][WARP];
};

struct Block : Meeting {
    // Where the launch and the end are ordered.
    char start = 0, end = 0;
    std::unique_ptr<float[]> room;
    float* shared = nullptr;
    std::vector<Warp> warps;
    // Those that are resident with it, and its place among them.
    std::vector<Block>* together = nullptr;
    Meeting* cluster = nullptr;
};

// An mbarrier in shared memory.
struct Counted {
    int32_t missing;
    bool told;
    // The phase's parity is the number's lowest bit.
    uint8_t phase;
};
static_assert(sizeof(Counted) == sizeof(u64));

struct Fiber {
    Context context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    Thread thread;
    Block* block = nullptr;
    bool done = false;
#ifdef WITH_TSAN
    void* tsan = nullptr;
#endif
};

// Fibers that are kept for the next launch: their stacks are what costs time.
std::vector<std::unique_ptr<Fiber>> kept;
Context scheduler;
Fiber* running = nullptr;
const std::function<void()>* body_now = nullptr;
bool progress = false;
#ifdef WITH_TSAN
void* scheduler_tsan = nullptr;
#endif

void to_scheduler() {
    Fiber* own = running;
#ifdef WITH_TSAN
    __tsan_switch_to_fiber(scheduler_tsan, __tsan_switch_to_fiber_no_sync);
#endif
    own->context.go(scheduler);
}

void Meeting::open_if_all_came() {
    if (alive == 0 || waiting < alive) return;
    waiting = 0;
    ++opened;
    progress = true;
}

void Meeting::meet() {
    char* const here = mark();
    before(here);
    ++waiting;
    const uint64_t closed = opened;
    open_if_all_came();
    while (opened == closed) to_scheduler();
    after(here);
}

void Meeting::leave() {
    before(mark());
    --alive;
    open_if_all_came();
}

Warp& own_warp() {
    return running->block->warps[running->thread.thread.x / WARP];
}

void entry() {
    after(&running->block->start);
    (*body_now)();
    Fiber& own = *running;
    own.done = true;
    progress = true;
    Block& block = *own.block;
    before(&block.end);
    block.leave();
    own_warp().leave();
    block.cluster->leave();
    to_scheduler();
}

void resume(Fiber& fiber) {
    running = &fiber;
#ifdef WITH_TSAN
    __tsan_switch_to_fiber(fiber.tsan, __tsan_switch_to_fiber_no_sync);
#endif
    scheduler.go(fiber.context);
}

// Runs fibers until all are done.
void run(const std::string& name, std::vector<Fiber*>& fibers) {
    int idle = 0;
    bool forwards = true;
    while (!fibers.empty()) {
        progress = false;
        for (size_t i = 0; i < fibers.size(); ++i) resume(*fibers[forwards ? i : fibers.size() - 1 - i]);
        forwards = !forwards;
        std::erase_if(fibers, [](const Fiber* fiber) { return fiber->done; });
        idle = progress ? 0 : idle + 1;
        if (idle > PATIENCE) {
            fprintf(stderr, "kernel %s: its threads wait for each other for ever\n", name.c_str());
            abort();
        }
    }
}

uint3_ place(unsigned i, uint3_ size) {
    return {i % size.x, i / size.x % size.y, i / size.x / size.y};
}

}  // namespace

Thread& self() {
    return running->thread;
}

void yield() {
    to_scheduler();
}

void meet_block() {
    running->block->meet();
}

void meet_warp() {
    own_warp().meet();
}

void meet_cluster() {
    running->block->cluster->meet();
}

float exchange(float value, unsigned with) {
    Warp& warp = own_warp();
    auto& given = warp.given[warp.opened % 2];
    given[running->thread.thread.x % WARP] = value;
    warp.meet();
    return given[with % WARP];
}

void* in_block(unsigned rank, void* own) {
    const Block& block = *running->block;
    if (rank >= block.together->size()) {
        fprintf(stderr, "block %u of a cluster of %zu\n", rank, block.together->size());
        abort();
    }
    const char* base = reinterpret_cast<const char*>(block.shared);
    return reinterpret_cast<char*>((*block.together)[rank].shared) + (static_cast<char*>(own) - base);
}

namespace {

// A phase ends.
void end_phase(Counted& counted) {
    if (!counted.told || counted.missing != 0) return;
    counted.told = false;
    ++counted.phase;
    progress = true;
}

}  // namespace

void barrier_make(u64* barrier) {
    *reinterpret_cast<Counted*>(barrier) = {0, false, 0};
}

void barrier_expect(u64* barrier, unsigned bytes) {
    Counted& counted = *reinterpret_cast<Counted*>(barrier);
    if (counted.told) {
        fprintf(stderr, "a barrier is told twice what to expect in a phase\n");
        abort();
    }
    counted.told = true;
    counted.missing += static_cast<int32_t>(bytes);
    end_phase(counted);
}

void barrier_came(u64* barrier, unsigned bytes) {
    Counted& counted = *reinterpret_cast<Counted*>(barrier);
    before(reinterpret_cast<char*>(barrier));
    counted.missing -= static_cast<int32_t>(bytes);
    end_phase(counted);
}

void barrier_wait(u64* barrier, unsigned parity) {
    const volatile Counted& counted = *reinterpret_cast<Counted*>(barrier);
    while (counted.phase % 2 == parity) to_scheduler();
    after(reinterpret_cast<char*>(barrier));
}

void launch(const std::string& name, const Launch& shape, const std::function<void()>& body) {
    const unsigned blocks = shape.grid.x * shape.grid.y * shape.grid.z;
    const unsigned threads = shape.block.x * shape.block.y * shape.block.z;
    const unsigned together = shape.together;
    body_now = &body;
#ifdef WITH_TSAN
    scheduler_tsan = __tsan_get_current_fiber();
#endif
    std::vector<Block> alive(together);
    for (unsigned first = 0; first < blocks; first += together) {
        std::vector<Fiber*> fibers;
        Meeting cluster;
        cluster.alive = together * threads;
        for (unsigned b = 0; b < together; ++b) {
            Block& block = alive[b];
            const size_t numbers = shape.shared_bytes / sizeof(float) + 4;
            block.room.reset(new float[numbers]);
            memset(block.room.get(), 0xff, numbers * sizeof(float));
            block.shared = block.room.get();
            block.shared += (16 - reinterpret_cast<uintptr_t>(block.shared) % 16) % 16 / sizeof(float);
            block.alive = threads;
            block.together = &alive;
            block.cluster = &cluster;
            block.warps.resize((threads + WARP - 1) / WARP);
            for (unsigned w = 0; w < block.warps.size(); ++w) {
                block.warps[w].alive = threads < (w + 1) * WARP ? threads - w * WARP : WARP;
            }
            for (unsigned t = 0; t < threads; ++t) {
                const size_t n = fibers.size();
                if (n == kept.size()) kept.push_back(std::make_unique<Fiber>());
                Fiber& fiber = *kept[n];
                fiber.block = &block;
                fiber.done = false;
                fiber.thread = {place(t, shape.block), place(first + b, shape.grid), shape.block, shape.grid, block.shared};
                fiber.context.start(fiber.stack.get(), STACK, entry);
#ifdef WITH_TSAN
                if (!fiber.tsan) fiber.tsan = __tsan_create_fiber(0);
#endif
                before(&block.start);
                fibers.push_back(&fiber);
            }
        }
        run(name, fibers);
        for (Block& block : alive) after(&block.end);
    }
}

}  // namespace cpu
