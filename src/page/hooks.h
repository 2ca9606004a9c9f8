/*
 * What layers above have the heap call: a tick now and then, and its end.
 */
#ifndef QUARRY_PAGE_HOOKS_H
#define QUARRY_PAGE_HOOKS_H

#include <base/base.h>

struct page_heap;

typedef void page_tick_function(void *argument);
typedef void page_end_function(void *argument);

/*
 * One for each layer that works in the background or builds on the heap, of which there are five
 * (mem, ref, budget, slab, malloc); doubling it costs 192 B.
 */
#define PAGE_HOOKS_MAX 8u

struct page_tick {
    _Atomic(void *) function; /* page_tick_function *, or NULL; argument is written before */
    void *argument;
    bool is_taken; /* guarded by lanes_mutex */
};

struct page_end {
    page_end_function *function;
    void *argument;
};

struct page_hooks {
    struct page_tick tick[PAGE_HOOKS_MAX];
    _Atomic uint32_t is_ticking; /* somebody is inside a tick */
    /* guarded by lanes_mutex */
    struct page_end end[PAGE_HOOKS_MAX];
    uint32_t end_count;
};

/*
 * Has `tick` called by the scavenger's thread every generation or so, and every two seconds while
 * there is nothing to do, with no lock held: work of the layers above. Errors: TOO_MANY.
 */
enum quarry_status page_heap_add_tick(struct page_heap *heap, page_tick_function *tick,
                                      void *argument);
/* Returns when nobody is inside it; so not to be called from within a tick. */
void page_heap_remove_tick(struct page_heap *heap, page_tick_function *tick, void *argument);

/*
 * Has `end` called when the heap is destroyed, before anything else is, the one added last first:
 * a layer above ends what it has built on the heap. Errors: TOO_MANY.
 */
enum quarry_status page_heap_add_end(struct page_heap *heap, page_end_function *end,
                                     void *argument);
void page_heap_remove_end(struct page_heap *heap, page_end_function *end, void *argument);

/* ---- for the other files of this folder ----------------------------------------------------- */

/* Calls every tick, in the order of their slots; returns whether there was one. One at a time. */
bool page_hooks_tick(struct page_heap *heap);
/* Calls every end. No other thread uses the heap any more. */
void page_hooks_end(struct page_heap *heap);
/* In the child of a fork: nobody is inside a tick. */
void page_hooks_after_fork(struct page_heap *heap);

#endif
