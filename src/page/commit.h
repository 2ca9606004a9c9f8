/*
 * The budget's base: one number of committed bytes, never above one limit.
 *
 * Limit and committed bytes share one word, so that "may I?" and "I did" are a single exchange, and
 * no interleaving of a commit with a lowered limit can pass the limit:
 *
 *   63 ............ 32  31 ............ 0
 *   limit               committed            both in units of 4 KiB; 16 TiB at most
 */
#ifndef QUARRY_PAGE_COMMIT_H
#define QUARRY_PAGE_COMMIT_H

#include <base/base.h>

#define PAGE_COMMIT_UNIT_SHIFT 12
#define PAGE_COMMIT_UNIT_BYTES ((uint64_t)1 << PAGE_COMMIT_UNIT_SHIFT)
/* The largest limit: 2^32 - 1 units, 4 KiB short of 16 TiB. */
#define PAGE_COMMIT_LIMIT_MAX_BYTES ((uint64_t)UINT32_MAX << PAGE_COMMIT_UNIT_SHIFT)

#define PAGE_COMMIT_NOT_FALLING UINT64_MAX

struct page_commit {
    _Atomic uint64_t word;
    _Atomic uint64_t peak_bytes;
    _Atomic uint64_t metadata_bytes; /* of what is committed: the heap's own structures */
    _Atomic uint64_t falling_units;  /* the limit that is being brought about, or NOT_FALLING */
};

/* What the word said at one instant. */
struct page_commit_state {
    uint64_t limit_bytes;
    uint64_t committed_bytes;
};

void page_commit_init(struct page_commit *commit, uint64_t limit_bytes);
struct page_commit_state page_commit_read(const struct page_commit *commit);

/*
 * Charges `bytes` (a multiple of the unit) if they fit under the limit. To be called before the
 * bytes are touched. Never waits. Threads: any. Cost: one compare-and-swap.
 */
Q_NODISCARD bool page_commit_try(struct page_commit *commit, uint64_t bytes);

/* Takes back a charge, after the bytes have no backing any more. */
void page_commit_release(struct page_commit *commit, uint64_t bytes);

/*
 * The same for the heap's own structures, counted apart as well. Releasing is two steps: while
 * others may read the ledger, it takes the heap's lanes_mutex, or they would see the second without
 * the first. (Charging is two steps as well, in the order that shows a charge in flight.)
 */
Q_NODISCARD bool page_commit_try_metadata(struct page_commit *commit, uint64_t bytes);
void page_commit_release_metadata(struct page_commit *commit, uint64_t bytes);
/* Bytes that were charged by page_commit_try and turn out to be for metadata. */
void page_commit_note_metadata(struct page_commit *commit, uint64_t bytes);

/*
 * Sets the limit to `limit_bytes`, or, while more than that is committed, to what is committed: no
 * new byte is let in, and the caller frees some and calls again.
 * Returns: the limit that is now in force.
 */
uint64_t page_commit_set_limit(struct page_commit *commit, uint64_t limit_bytes);

/*
 * While a lower limit is being brought about, charges are held to it already, so that nobody takes
 * what is freed for its sake; page_commit_set_limit does the rest. `limit_bytes`: UINT64_MAX: none.
 */
void page_commit_set_falling(struct page_commit *commit, uint64_t limit_bytes);
/* The limit that charges are held to: the lower one of the two. */
uint64_t page_commit_goal_bytes(const struct page_commit *commit);

/*
 * After fork, in the child, with no other thread: what is committed has been counted anew. A limit
 * below that rises to it, as in page_commit_set_limit.
 */
void page_commit_recount(struct page_commit *commit, uint64_t committed_bytes);

#endif
