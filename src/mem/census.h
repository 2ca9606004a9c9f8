/*
 * A census: the figures of the object heap at one moment, as a refresh of the statistics wants
 * them.
 *
 * The heap counts and fills it in; mem_stats_refresh publishes it. Records are those of the
 * statistics segment, so that nothing is converted on the way.
 */
#ifndef QUARRY_MEM_CENSUS_H
#define QUARRY_MEM_CENSUS_H

#include <base/base.h>

#include <mem/stats_format.h>

struct page_heap;
struct mem_heap;

/*
 * Finds the span of an object that was alive when it was asked for; by now it may be free, or its
 * memory somebody else's: any answer that was true at some time since will do.
 *
 * `argument`: the census'. `object`: may be any address.
 * `ret_capacity`, `ret_used`: objects that the span has room for, and that are alive in it.
 * `ret_span_bytes`: of its pages. `ret_span_id`: no two spans that exist have the same.
 * Returns: false when the address is in no span now, or in one of its own (a large object).
 * Called with no lock held.
 */
typedef bool mem_census_span_of_function(void *argument, const void *object, uint32_t *ret_capacity,
                                         uint32_t *ret_used, uint64_t *ret_span_bytes,
                                         uint64_t *ret_span_id);

/* About 73 KiB: part of a larger object, not of a small stack. */
struct mem_census {
    /* Filled in up to thread_count; peaks, integrals and pinned bytes are the refresh's. */
    struct mem_stats_totals totals;
    uint64_t limit_bytes;
    bool is_hardened;
    uint32_t row_count;     /* of `row`, at most MEM_STATS_ROWS_MAX */
    uint32_t class_count;   /* of `class`, at most MEM_STATS_CLASSES_MAX */
    uint32_t account_count; /* of `account`, at most MEM_STATS_ACCOUNTS_MAX */
    /* A row once shown is shown for ever: its names explain the stacks that were sampled. */
    struct mem_stats_row row[MEM_STATS_ROWS_MAX];
    struct mem_stats_class class[MEM_STATS_CLASSES_MAX];
    struct mem_stats_account account[MEM_STATS_ACCOUNTS_MAX];
    struct page_heap *heap;               /* its map is shown; NULL: none */
    mem_census_span_of_function *span_of; /* NULL: nothing is attributed to stacks */
    void *argument;
};

/*
 * Counts a heap. `census`: all zero the first time, and the same one from then on: its rows stay.
 * Not inside malloc, no lock held. Threads: one at a time for a census. Cost: see census_take.c.
 */
void mem_census_take(struct mem_heap *heap, struct mem_census *census);

/*
 * Fills in what the census says of accounts: `account`, `account_count`, and of the totals what is
 * the budget's. No lock held.
 */
typedef void mem_census_accounts_function(void *argument, struct mem_census *census);

/*
 * Has `fill` called for each census of the object heap on `pages`: by the layer above that keeps
 * accounts. NULL: there are none. One for a page heap; taken away by the end of the page heap at
 * the latest, when nobody takes a census of it any more.
 */
void mem_census_set_accounts(struct page_heap *pages, mem_census_accounts_function *fill,
                             void *argument);

#endif
