/*
 * Reference counts: what happens at both ends of the range.
 *
 *   0          1 … 7fff ffff   8000 0000 …            c000 0000            … ffff ffff
 *   freed      references      saturated: somebody    set here by whoever  one release too many:
 *              counted         is about to set it     notices              panic
 *
 * An increment is done before its result can be judged, so between the two the count is anything
 * that all threads in the process can make of it, a step each; both ends of the saturated range are
 * 2^30 steps away from where it is set, and no process has that many threads.
 *
 * Invariants
 *   1. Once a thread has seen a count in the saturated range it is set to REF_COUNT_SATURATED, by
 *      that thread if by nobody else; from there no release reaches 1.
 *   2. It is counted once: of the exchanges that set it, one finds less than 2^29 above the
 *      ceiling, for the ones after it find about what the first has set.
 *
 * Cost: that of the inline halves. Rejected: compare and swap in place of the addition (a loop, and
 * the line's owner changes twice under contention); 64 bits (blocks and cells have room for 32).
 * Source: the scheme of Linux' refcount_t.
 */
#include <ref/count.h>

#include <mem/panic.h>

/* In between what the first and the later exchanges find (invariant 2). */
#define FOUND_FIRST_BELOW (REF_COUNT_CEILING + (REF_COUNT_SATURATED - REF_COUNT_CEILING) / 2)

static _Atomic uint64_t saturated_count;

uint64_t ref_count_saturated(void)
{
    return atomic_load_relaxed_u64(&saturated_count);
}

static void saturate(_Atomic uint32_t *count)
{
    /* Relaxed: a count that is never dropped to 0 orders nothing. */
    uint32_t found = atomic_exchange_relaxed_u32(count, REF_COUNT_SATURATED);

    if (found < FOUND_FIRST_BELOW) {
        (void)atomic_add_relaxed_u64(&saturated_count, 1);
    }
}

void ref_count_acquire_slow(_Atomic uint32_t *count, uint32_t before)
{
    if (before == 0) {
        mem_panic_text("reference taken to an object that nobody holds, counted at ",
                       (const void *)(uintptr_t)count);
    }
    saturate(count);
}

void ref_count_release_slow(_Atomic uint32_t *count, uint32_t before)
{
    if (before == 0) {
        mem_panic_text("reference released below zero, counted at ",
                       (const void *)(uintptr_t)count);
    }
    saturate(count);
}
