/*
 * Large objects: runs of pages.
 */
#ifndef QUARRY_MEM_LARGE_H
#define QUARRY_MEM_LARGE_H

#include <mem/heap.h>

/* Large objects of a pool, and how many there ever were. */
struct mem_large_sum {
    uint64_t bytes, count, taken_count;
};
struct mem_large_sum mem_large_sum(struct mem_pool *pool);

/* Bins that end leave what they counted to the central ones. */
void mem_large_move_counts(struct mem_bins *bins, struct mem_bins *central);

/* `align_bytes`: a power of two. NULL: no memory. `ret_is_zero`: every byte is known to be zero. */
void *mem_large_alloc(struct mem_pool *pool, size_t bytes, size_t align_bytes, bool *ret_is_zero);
/* `span`: what the map has for the object: its pool's stand-in. */
void mem_large_free(struct mem_heap *heap, struct mem_span *span, void *object);
size_t mem_large_usable(struct mem_heap *heap, const void *object);
/* Makes it fit `bytes` without moving it. False: it stays as it is. */
bool mem_large_resize(struct mem_heap *heap, struct mem_span *span, void *object, size_t bytes);
/* Whether a large object of the heap begins at the address. */
bool mem_large_is_object(struct mem_heap *heap, const struct mem_span *span, const void *object);

#endif
