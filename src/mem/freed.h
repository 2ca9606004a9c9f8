/*
 * What was freed lately and is gone: so that a second free of it can be called by its name.
 */
#ifndef QUARRY_MEM_FREED_H
#define QUARRY_MEM_FREED_H

#include <base/base.h>
#include <mem/panic.h>
#include <mem/size_class.h>
#include <page/page.h>

struct mem_heap;

/* Runs of pages that are remembered: 8 KiB a heap. With twice as many each is remembered for twice
 * as many frees. */
#define MEM_FREED_BITS    10
#define MEM_FREED_ENTRIES (1u << MEM_FREED_BITS)

/* In place of a size class: the run was a large object. */
#define MEM_FREED_LARGE MEM_CLASSES

struct mem_freed {
    _Atomic uint64_t entry[MEM_FREED_ENTRIES]; /* first address + class; 0: none */
};

/*
 * Notes that the pages of a span of `class`, or of a large object, are about to be given back.
 * Threads: any. Cost: a multiplication and a store.
 */
static inline void mem_freed_note(struct mem_freed *freed, const void *start, uint32_t class)
{
    /* By the golden ratio: pages at any stride spread evenly over the table. */
    uint64_t hash = ((uint64_t)start >> PAGE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15);

    atomic_store_relaxed_u64(&freed->entry[hash >> (64 - MEM_FREED_BITS)], (uint64_t)start + class);
}

/*
 * Why nothing can be done with an address at which no object in use begins: it was freed before, it
 * is none, or it is not of this heap. For the line that the program ends with.
 * Cost: O(pages below the address in its lane).
 */
Q_COLD enum mem_panic mem_freed_diagnose(struct mem_heap *heap, const void *address);

#endif
