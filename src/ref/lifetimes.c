/*
 * Lifetimes that are left when their memory is destroyed.
 *
 * That is allowed, and ends them: a program on its way out need not tidy up. So they are told to a
 * handler where one is set; else debug builds print them and go on, and release builds say nothing.
 *
 * A lifetime keeps the stack that began it itself (mem/heap.h): there are 64 at most, and beginning
 * one makes a lane, beside which a stack costs nothing. `mem` lies below this folder and cannot
 * call it; it calls what is set here.
 */
#include <ref/lifetimes.h>

#include <mem/mem.h>
#include <ref/leak.h>

#ifdef QUARRY_DEBUG_CHECKS
#define IS_DEBUG true
#else
#define IS_DEBUG false
#endif

static void tell_left(const struct mem_lifetime *lifetime)
{
    uint64_t now_ns = os_monotonic_ns(lifetime->heap->pages->os);
    struct ref_leak leak = {
        .owner = lifetime->name,
        .kind = "lifetime",
        .object = (uint64_t)(uintptr_t)lifetime,
        .age_ns = sat_sub_u64(now_ns, lifetime->begun_ns),
        .thread_id = lifetime->begun_by,
        .pc_count = lifetime->pc_count,
        .pcs = lifetime->pcs,
    };

    if (IS_DEBUG || ref_leak_has_handler()) {
        ref_leak_tell(&leak);
    }
}

void ref_lifetimes_watch(void)
{
    mem_heaps_watch_left(tell_left);
}
