/*
 * What a page heap does around fork(). Called by heap.c's hooks, in this order.
 */
#ifndef QUARRY_PAGE_FORK_H
#define QUARRY_PAGE_FORK_H

struct page_heap;

/* Stops every cache and takes every lock of the heap. */
void page_heap_fork_prepare(struct page_heap *heap);
void page_heap_fork_parent(struct page_heap *heap);
/* Frees the locks, takes back what threads that no longer exist had cached, counts anew. */
void page_heap_fork_child(struct page_heap *heap);

#endif
