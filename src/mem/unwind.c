/*
 * Call stacks by the C++ ABI's unwinder, libgcc's.
 *
 * It reads the tables that every distribution's libraries have (.eh_frame), so it sees through code
 * without frame pointers, which is nearly all code. It finds a table by _dl_find_object, which is
 * lock-free from glibc 2.35 on, where older ones took the loader's lock: a thread that holds it may
 * be allocating. The library for every program links libgcc_eh statically, so that no code of its
 * own has been registered by others, which would be searched under a lock.
 *
 * Invariants:
 *   1. Nothing here allocates or takes a lock (a test watches malloc).
 *   2. At most `pc_max` addresses are written.
 *   3. A frame pointer is followed only out of a frame of our own code, which is compiled with them
 *      (cmake/Options.cmake; of leaves none is left when this runs).
 *
 * With a sanitizer all of that is two fifths of a test's time, for what is thrown away unless a
 * test fails, and whoever reads such a stack has compiled the program with ours: there frame
 * pointers are followed (3).
 *
 * Rejected: frame pointers elsewhere (distributions compile without them: three frames of twenty);
 * backtrace() (loads a library at first use, by dlopen); libunwind (one more dependency, and its
 * cache takes a lock).
 */
#include <mem/unwind.h>

#include <unwind.h>

struct unwind_state {
    struct mem_code_range own;
    uint64_t *pcs;
    uint32_t pc_count;
    uint32_t pc_max;
    bool is_first;  /* mem_unwind itself, whose frame is never wanted */
    bool is_inside; /* has met nothing but frames in `own` */
};

/* The linker defines both for each program and library; hidden, they are this one's. */
extern const char quarry_module_start[] __asm__("__ehdr_start")
    __attribute__((visibility("hidden")));
extern const char quarry_module_end[] __asm__("etext") __attribute__((visibility("hidden")));

struct mem_code_range mem_code_range_of_module(void)
{
    return (struct mem_code_range){(uintptr_t)quarry_module_start, (uintptr_t)quarry_module_end};
}

static bool range_holds(struct mem_code_range range, uint64_t pc)
{
    return pc > range.start && pc <= range.end; /* a return address may be the end */
}

static _Unwind_Reason_Code unwind_step(struct _Unwind_Context *context, void *argument)
{
    struct unwind_state *state = argument;
    int is_before_call = 0;
    uint64_t pc = (uint64_t)_Unwind_GetIPInfo(context, &is_before_call);

    if (pc == 0) {
        return _URC_END_OF_STACK;
    }
    /* A frame that a signal interrupted stands at its instruction, not behind it. */
    pc += is_before_call != 0;
    state->is_inside = state->is_inside && (state->is_first || range_holds(state->own, pc));
    state->is_first = false;
    if (!state->is_inside) {
        state->pcs[state->pc_count++] = pc;
    }
    return state->pc_count < state->pc_max ? _URC_NO_REASON : _URC_END_OF_STACK; /* invariant 2 */
}

Q_NOINLINE uint32_t mem_unwind(struct mem_code_range own, uint64_t *ret_pcs, uint32_t pc_max)
{
    struct unwind_state state = {
        .own = own, .pcs = ret_pcs, .pc_max = pc_max, .is_first = true, .is_inside = true};

    Q_ASSERT(pc_max > 0);
    /* What it answers says only why it ended. */
    (void)_Unwind_Backtrace(unwind_step, &state);
    return state.pc_count;
}

#if OS_UNDER_ASAN || OS_UNDER_TSAN
Q_NOINLINE uint32_t mem_unwind_often(uint64_t *ret_pcs, uint32_t pc_max)
{
    const struct mem_code_range ours = mem_code_range_of_module();
    const uintptr_t *frame = __builtin_frame_address(0); /* the caller's, and where it goes on */
    uint32_t count = 0;

    Q_ASSERT(pc_max > 0);
    do {
        ret_pcs[count] = frame[1];
        frame = (const uintptr_t *)frame[0]; /* invariant 3 */
    } while (range_holds(ours, ret_pcs[count++]) && count < pc_max);
    return count;
}
#endif
