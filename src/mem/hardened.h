/*
 * Hardened heaps: misuse of objects is found, or does no harm. The parts that allocating and
 * freeing branch to when the heap's `is_hardened` is set.
 */
#ifndef QUARRY_MEM_HARDENED_H
#define QUARRY_MEM_HARDENED_H

#include <mem/heap.h>

/* What an object's size class or run holds beyond its usable bytes: its canary. */
#define MEM_CANARY_BYTES 8u

/*
 * Freed objects that a thread keeps from being used again: what fits 8 KiB of bookkeeping, and at
 * most 256 KiB of objects. More of either finds later writes, and is held by each thread.
 */
#define MEM_QUARANTINE_OBJECTS 1024u
#define MEM_QUARANTINE_BYTES   Q_KIB(256)

/* One in so many spans has a page behind it that faults; a power of two. Costs a page of address
 * space and budget each: 3 % of spans of one word, 12 % of the smallest, at 8. */
#define MEM_GUARDED_SPAN_EVERY 8u
/* Large objects from so many pages on have one: 64 KiB, of which it is at most an eighth. */
#define MEM_GUARDED_LARGE_PAGES 8u
/*
 * Such pages at a time that are made to fault. Each splits a mapping in three, and the kernel
 * allows a process 65,530 mappings, of which the program wants some.
 */
#define MEM_GUARD_PAGES_MAX 8192u

/* Runs up to 256 KiB are cleared by hand; longer ones by giving their backing to the kernel. */
#define MEM_CLEAR_PAGES_MAX 32u

/* A thread's freed objects: a ring. */
struct mem_quarantine {
    void *object[MEM_QUARANTINE_OBJECTS];
};
Q_STATIC_ASSERT(sizeof(struct mem_quarantine) <= PAGE_METADATA_PIECE_MAX_BYTES, "one piece");

typedef _Atomic uint64_t mem_canary;

/* Where the canary of an object is. */
static inline mem_canary *mem_canary_behind(const void *object, size_t usable_bytes)
{
    return (mem_canary *)(uintptr_t)((const char *)object + usable_bytes);
}

/* What it is while the object is in use: odd, so that the end of a string never fits. */
static inline uint64_t mem_canary_value(const struct mem_heap *heap, const mem_canary *canary)
{
    uint64_t hash = ((uint64_t)canary ^ heap->secret) * UINT64_C(0x9e3779b97f4a7c15);

    return (hash ^ hash >> 32) | 1;
}

/* Whether `bytes`, a multiple of 8, are all zero. */
bool mem_is_zero(const void *base, size_t bytes);

/* Draws the process' secret. Before the heap has any object. */
void mem_hardened_init(struct mem_heap *heap);

/* ---- small objects -------------------------------------------------------------------------- */

/*
 * An object, small or large, all zero, with its canary behind it.
 * `is_door`: not of the pool, but of what the calling thread's open scope says. `align_bytes`: a
 * power of two. Returns: NULL when there is no memory. Cost: about 80 instructions, and a look at
 * every byte.
 */
void *mem_hardened_alloc(struct mem_pool *pool, bool is_door, size_t bytes, size_t align_bytes);
/* Takes a random one of the objects of a bin, which has some, that come before the next sample. */
void *mem_hardened_pop(struct mem_bins *bins, struct mem_bin *bin);
/* Frees object `index` of a span, from any thread. */
void mem_hardened_free(struct mem_heap *heap, struct mem_span *span, uint64_t index);
/* Whether object `index`, whose bits in the span are clear, is in use and not in a quarantine. */
bool mem_hardened_is_live(const struct mem_heap *heap, struct mem_span *span, uint64_t index);
/* Lets go of everything in a thread's quarantine, as the thread ends. Inside its gate. */
void mem_hardened_end_thread(struct mem_thread *thread);

/* Ends the program if what lies behind an object in use was written to. */
void mem_hardened_check(struct mem_heap *heap, struct mem_span *span, const void *object);

/* ---- runs of pages -------------------------------------------------------------------------- */

/* Pages for a span of the class, sometimes with one behind them that faults. */
struct page_run mem_hardened_span_alloc(struct mem_pool *pool, uint32_t class);
/*
 * Makes the page behind a run of `page_count` accessible, if the run has one more. Returns: false
 * when the kernel refuses; then the run must not be used again.
 */
bool mem_hardened_unguard(struct mem_heap *heap, const struct page_lane *lane, void *base,
                          uint64_t page_count);
/* The same for all runs of a lane, which is about to end. */
void mem_hardened_unguard_lane(struct mem_heap *heap, const struct page_lane *lane);

/* Pages for a large object, its canary and its guard page; 0: more than any lane has. */
uint64_t mem_hardened_large_pages(size_t bytes);
/* Clears the run of a large object that is about to be handed out, and arms it. */
void mem_hardened_large_begin(struct mem_heap *heap, void *object, uint64_t page_count,
                              bool is_zero);
/* Checks and clears it when it is freed. Returns: as mem_hardened_unguard. */
bool mem_hardened_large_end(struct mem_heap *heap, const struct page_lane *lane, void *object);
void mem_hardened_large_check(struct mem_heap *heap, const struct page_lane *lane,
                              const void *object);
/* Usable bytes of a large object whose run has so many pages. */
size_t mem_hardened_large_usable(uint64_t page_count);

#endif
