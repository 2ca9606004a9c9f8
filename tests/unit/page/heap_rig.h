/*
 * A page heap on the simulated twin, for tests that scavenge by hand and let time pass as they
 * like.
 */
#ifndef QUARRY_TESTS_UNIT_PAGE_HEAP_RIG_H
#define QUARRY_TESTS_UNIT_PAGE_HEAP_RIG_H

#include "../os/cmocka_all.h"

#include <os/os_sim.h>
#include <page/page.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct rig {
    struct os_sim sim;
    struct page_heap *heap;
    struct page_lane *lane; /* the lowest, of 1 GiB */
    uint32_t owner;
};

/* What a rig is to be; zero means the default of each. */
struct rig_options {
    uint64_t limit_bytes;      /* 4 GiB */
    uint64_t decommit_cost_ns; /* per OS page */
    uint64_t collapse_cost_ns; /* per huge page */
    size_t page_bytes;         /* what the heap believes an OS page is: 4 KiB */
    bool has_no_huge_pages;    /* what it believes of those */
    bool has_thread;
};

void rig_open(struct rig *rig, const struct rig_options *options);
/* Validates, ends everything, and sees that nothing is reserved or committed any more. */
void rig_close(struct rig *rig);

/* Validates the heap, with nothing in flight. Returns the ledger. */
struct quarry_ledger rig_check(struct rig *rig);

struct page_lane *rig_add_lane(struct rig *rig, const char *name);
uint64_t rig_committed_bytes(struct rig *rig);
/* Pages of the tree, around the page caches. */
char *rig_alloc(struct rig *rig, struct page_lane *lane, uint64_t page_count);
/* Whole chunks of single pages from the lane's first page on; page i is at lane->base. */
void rig_fill_chunks(struct rig *rig, struct page_lane *lane, uint32_t chunk_count);
void rig_free_pages(struct page_lane *lane, uint64_t page, uint64_t page_count);
bool rig_is_scavenged(const struct page_lane *lane, uint64_t page);
void rig_next_generation(struct page_lane *lane);
/* Lets the background work for as much virtual time. Returns how long it wants to wait then. */
uint64_t rig_run_for(struct rig *rig, uint64_t duration_ns);

#endif
