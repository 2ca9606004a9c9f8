/*
 * Threads that do everything to a page heap at once, on the real kernel.
 *
 * Runs hang in slots that all threads share, so most are freed by another thread than took them.
 * Each carries its own address in its first and its last word while it hangs there: a page that two
 * have at once is noticed when one of them looks.
 */
#ifndef QUARRY_TESTS_UNIT_PAGE_HEAP_STORM_H
#define QUARRY_TESTS_UNIT_PAGE_HEAP_STORM_H

#include <pthread.h>

#include <page/page.h>

#define STORM_SLOTS       512u
#define STORM_LANES       2u
#define STORM_OWNERS      3u
#define STORM_THREADS_MAX 16u

struct storm {
    /* const after storm_open */
    struct page_heap *heap;
    struct page_lane *lane[STORM_LANES];
    uint32_t owner[STORM_OWNERS];
    _Atomic(void *) slot[STORM_SLOTS];
    _Atomic uint32_t is_stopping;
    _Atomic uint64_t step_count; /* of all threads; they tell it now and then */
    /* the thread that opened it */
    pthread_t thread[STORM_THREADS_MAX];
    uint32_t thread_count;
};

/* One thread of a storm: works until storm_is_stopping. Aborts on the first thing that is wrong. */
typedef void storm_role(struct storm *storm, uint64_t *random);

void storm_open(struct storm *storm, uint64_t limit_bytes);
/* Frees what hangs in the slots, checks that nothing is left, and destroys the heap. */
void storm_close(struct storm *storm);

void storm_start(struct storm *storm, storm_role *role);
/* Lets all threads come to an end, and waits for them. */
void storm_stop(struct storm *storm);
bool storm_is_stopping(struct storm *storm);

/* Takes a run, hangs it up or frees what hung there. */
void storm_step(struct storm *storm, uint64_t *random);
void storm_free_slots(struct storm *storm);
/* Nothing runs: the heap is valid and nothing is in flight. Aborts otherwise. */
struct quarry_ledger storm_check(struct storm *storm);

storm_role storm_allocate;
/* Gives everything back, over and over. */
storm_role storm_trim;
storm_role storm_change_limit;
/* Lanes that begin, end, begin again and are destroyed. */
storm_role storm_begin_and_end_lanes;
storm_role storm_read_ledger;
storm_role storm_validate;

#endif
