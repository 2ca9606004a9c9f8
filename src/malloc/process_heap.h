/*
 * The process' heap: the one that its malloc is.
 */
#ifndef QUARRY_MALLOC_PROCESS_HEAP_H
#define QUARRY_MALLOC_PROCESS_HEAP_H

#include <base/base.h>
#include <mem/mem.h>

/* Usable from the first instruction: until it is made, it has nothing, and every call is slow. */
extern struct mem_heap malloc_heap;

/*
 * Makes it, once; every slow path asks. Returns: false when it cannot be had now: it is being made
 * by this very thread, or the system has no address space.
 */
bool malloc_heap_make(void);
static inline bool malloc_heap_is_made(void);

/*
 * Memory for what the making itself allocates, before there is a heap: a few KiB that are never
 * freed. NULL: used up.
 */
void *malloc_early_alloc(size_t bytes, size_t align_bytes);
bool malloc_early_is(const void *object);
/* At least as many bytes as were asked for; what follows an early object may be read as well. */
size_t malloc_early_usable(const void *object);

/* ---- inline --------------------------------------------------------------------------------- */

extern _Atomic uint32_t malloc_heap_state;
#define MALLOC_HEAP_MADE 2u

static inline bool malloc_heap_is_made(void)
{
    /* Acquire: pairs with the release in malloc_heap_make. */
    return Q_LIKELY(atomic_load_acquire_u32(&malloc_heap_state) == MALLOC_HEAP_MADE);
}

#endif
