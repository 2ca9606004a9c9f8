/*
 * What a page heap's pages are doing, and what its scavenger has done: for who shows it.
 */
#ifndef QUARRY_PAGE_HEAP_COUNTS_H
#define QUARRY_PAGE_HEAP_COUNTS_H

#include <base/base.h>
#include <page/scavenger.h>

struct page_heap;

struct page_heap_counts {
    /* Grown pages of all lanes; these three add up. */
    uint64_t used_page_count; /* with owners and in caches */
    uint64_t free_page_count; /* free and backed */
    uint64_t released_page_count;
    uint64_t largest_free_page_count;     /* of the longest free run of any lane, backed or not */
    uint64_t tree_alloc_count;            /* runs taken from trees of lanes that there are now */
    uint64_t refused_count;               /* ever: the budget was full */
    uint64_t released_bytes[PAGE_CAUSES]; /* ever */
    uint64_t decommit_count, decommit_error_count;
    uint64_t background_cpu_ns;
    uint64_t retain_goal_bytes, retained_bytes;
};

/*
 * Reads them. Each lane's are of one moment, those of several lanes are not.
 * Threads: any, with no lock held. Cost: each lane's lock for some microseconds: an entry for each
 * 2^PAGE_ROOT_SHIFT pages of it.
 */
void page_heap_read_counts(struct page_heap *heap, struct page_heap_counts *ret_counts);

#endif
