/*
 * What a page heap does around fork(). Called by heap.c's hooks, in this order.
 */
#ifndef QUARRY_PAGE_FORK_H
#define QUARRY_PAGE_FORK_H

#include <base/base.h>

struct page_heap;

/*
 * Stops every cache and takes every lock of the heap, in steps from 0 to PAGE_FORK_STEPS - 1: where
 * there are several heaps, each step is done for all of them, by serial number, before the next.
 */
#define PAGE_FORK_STEPS 5u
void page_heap_fork_prepare(struct page_heap *heap, uint32_t step);
void page_heap_fork_parent(struct page_heap *heap);
/* Frees the locks; then, for all heaps again, takes back what threads that no longer exist had
 * cached, and counts anew. */
void page_heap_fork_child_unlock(struct page_heap *heap);
void page_heap_fork_child(struct page_heap *heap);

#endif
