/*
 * Call stacks, taken inside malloc.
 */
#ifndef QUARRY_MEM_UNWIND_H
#define QUARRY_MEM_UNWIND_H

#include <base/base.h>

#include <os/os.h>

/* Code from `start` up to, not including, `end`. Both 0: none. */
struct mem_code_range {
    uintptr_t start;
    uintptr_t end;
};

/*
 * The code of the program or library that this function is linked into: what a malloc in a library
 * of its own leaves out of the stacks. Cost: two addresses.
 */
struct mem_code_range mem_code_range_of_module(void);

/*
 * Writes the calling thread's return addresses, innermost first, each one byte behind the
 * instruction that it stands for at most (so looking up `pc - 1` gives the line of the call).
 *
 * `own`: leading frames in it are left out. `ret_pcs`: room for `pc_max`.
 * Returns: how many were written; unwinding ends without error at code that has no unwind table, or
 * at the outermost frame. Errors: none.
 * Threads: any, and signal handlers; takes no lock and no memory with glibc from 2.35 on. The
 * caller sees to it that a sample taken in here does not come back in here. Cost: 0.16 µs a
 * frame.
 */
uint32_t mem_unwind(struct mem_code_range own, uint64_t *ret_pcs, uint32_t pc_max);

/*
 * The same, no frames left out, for debug builds, which take a stack at every acquire. Under a
 * sanitizer it ends with the first frame outside of the program or library that it is linked into.
 *
 * Cost: under a sanitizer 1 ns a frame; elsewhere as mem_unwind.
 */
#if OS_UNDER_ASAN || OS_UNDER_TSAN
uint32_t mem_unwind_often(uint64_t *ret_pcs, uint32_t pc_max);
#else
static Q_ALWAYS_INLINE uint32_t mem_unwind_often(uint64_t *ret_pcs, uint32_t pc_max)
{
    return mem_unwind((struct mem_code_range){0, 0}, ret_pcs, pc_max);
}
#endif

#endif
