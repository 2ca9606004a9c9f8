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
    uint64_t set_bytes;          /* of them, by page_heap_set_reserve; its caller's */
    _Atomic uint64_t held_bytes; /* set aside now; charged */
    _Atomic uint64_t used_bytes; /* paid from it, ever */
};

/*
 * Sets `bytes` (rounded up to 4 KiB) aside, making room if need be. Errors: NO_MEMORY: it is as it
 * was; TOO_LARGE: more than half of the limit. Threads: one at a time.
 */
enum quarry_status page_heap_set_reserve(struct page_heap *heap, uint64_t bytes);

/*
 * The same for one of several who need some: adds to what is set aside, or takes back what was
 * added. `bytes`: whole units of 4 KiB. Errors: as above. Threads: any.
 */
enum quarry_status page_heap_add_reserve(struct page_heap *heap, uint64_t bytes);
void page_heap_remove_reserve(struct page_heap *heap, uint64_t bytes);
/* Fills it up, making room if need be, as far as that goes. Threads: any that is not inside. */
void page_reserve_restore(struct page_heap *heap);

/* The calling thread is one of those it is for, until as many calls of page_reserve_leave. */
void page_reserve_enter(struct page_heap *heap);
void page_reserve_leave(struct page_heap *heap);
bool page_reserve_is_inside(const struct page_heap *heap);

/* ---- for the other files of this folder ----------------------------------------------------- */

/*
 * Takes a charge of `bytes` out of what is set aside, by a thread inside, and the rest from the
 * budget where that does not do. False: not inside, or not enough. No lock held.
 */
bool page_reserve_pay(struct page_heap *heap, uint64_t bytes);
/* Charges what is lacking, as far as there is room. Called once a generation. */
void page_reserve_refill(struct page_heap *heap);
/*
 * Of charged bytes that nobody uses any more: keeps what is lacking. Returns: how many; the rest is
 * to be given back to the budget. Never waits.
 */
uint64_t page_reserve_keep(struct page_reserve *reserve, uint64_t bytes);

static inline uint64_t page_reserve_held_bytes(const struct page_reserve *reserve)
{
    /* Pairs with the release when it is added to: the charge came first. */
    return atomic_load_acquire_u64(&reserve->held_bytes);
}

#endif
