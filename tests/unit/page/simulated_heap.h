/*
 * A page heap over the simulated os, for tests: one at a time, checked and torn down by heap_end.
 */
#ifndef QUARRY_TESTS_UNIT_PAGE_SIMULATED_HEAP_H
#define QUARRY_TESTS_UNIT_PAGE_SIMULATED_HEAP_H

#include "unit/base/cmocka_all.h"

#include <os/os_sim.h>
#include <page/page.h>

struct heap_setup {
    uint64_t limit_bytes;    /* 0: 4 GiB */
    uint64_t reserved_bytes; /* 0: 8 GiB */
    uint64_t disk_capacity_bytes;
    bool has_real_backing;
};

/* The heap under test and what it stands on; valid between heap_begin and heap_end. */
extern struct os_sim sim;
extern struct page_heap *heap;

void heap_begin(const struct heap_setup *setup);
/* Checks and destroys the heap and ends the twin, which must have nothing left. */
void heap_end(void);
/* Validates, and checks that the ledger adds up with nothing in flight. */
void heap_check(void);
/* Destroys the heap and makes another over the same twin: a restart of the process. */
void heap_restart(const struct heap_setup *setup);

/* cmocka's setup and teardown with the defaults. */
int heap_set_up(void **state);
int heap_tear_down(void **state);

/* A lane of 1 GiB, or of `reserved_bytes`. */
struct page_lane *lane_make(const char *name);
struct page_lane *lane_make_sized(const char *name, uint64_t reserved_bytes);
uint32_t owner_make(const char *name);

/* page_alloc and page_lane_alloc that must succeed. */
void *take_pages(struct page_lane *lane, uint32_t owner, uint64_t page_count);
void *take_from_tree(struct page_lane *lane, uint32_t owner, uint64_t page_count);

struct quarry_ledger heap_totals(void);
uint64_t heap_committed(void);
/* In use by one owner in one lane, as the ledger has it. */
uint64_t owner_pages_in(uint32_t owner, const struct page_lane *lane);
/* The calling thread's cache for the lane, or NULL. */
struct page_cache *own_cache(const struct page_lane *lane);

/* Runs `body` in a thread of its own, to its end. */
void in_thread(void *(*body)(void *), void *argument);

#endif
