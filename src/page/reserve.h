/*
 * What is set aside: bytes charged ahead, for threads that must go on when the budget is full.
 */
#ifndef QUARRY_PAGE_RESERVE_H
#define QUARRY_PAGE_RESERVE_H

#include <base/base.h>
#include <page/commit.h>

struct page_heap;

struct page_reserve {
    _Atomic uint64_t goal_bytes; /* to be set aside */
    _Atomic uint64_t held_bytes; /* set aside now; charged */
    _Atomic uint64_t used_bytes; /* paid from it, ever */
};

/*
 * Sets `bytes` (rounded up to 4 KiB) aside, making room if need be. Errors: NO_MEMORY: it is as it
 * was; TOO_LARGE: more than half of the limit. Threads: one at a time.
 */
enum quarry_status page_heap_set_reserve(struct page_heap *heap, uint64_t bytes);

/* The calling thread is one of those it is for, until as many calls of page_reserve_leave. */
void page_reserve_enter(struct page_heap *heap);
void page_reserve_leave(struct page_heap *heap);

/* ---- for the other files of this folder ----------------------------------------------------- */

/*
 * Takes a charge of `bytes` out of what is set aside, by a thread inside, and the rest from the
 * budget where that does not do. False: not inside, or not enough. No lock held.
 */
bool page_reserve_pay(struct page_heap *heap, uint64_t bytes);
/* Charges what is lacking, as far as there is room. Called once a generation. */
void page_reserve_refill(struct page_heap *heap);

static inline uint64_t page_reserve_held_bytes(const struct page_reserve *reserve)
{
    /* Pairs with the release when it is added to: the charge came first. */
    return atomic_load_acquire_u64(&reserve->held_bytes);
}

#endif
