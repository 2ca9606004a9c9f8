/*
 * A workload that visits everything a page heap can do, over the simulated os, and goes on after
 * each failure: what the sweeps of test_heap_faults.c run again and again.
 */
#ifndef QUARRY_TESTS_FAULT_HEAP_WORKLOAD_H
#define QUARRY_TESTS_FAULT_HEAP_WORKLOAD_H

#include <os/os_sim.h>
#include <page/page.h>

enum workload_lane {
    WORKLOAD_HOT,
    WORKLOAD_COLD,
    WORKLOAD_FILE,
    WORKLOAD_LANES,
};

/* What an emptied lane's file keeps: the block that its header is in. */
#define WORKLOAD_HEADER_DISK_BYTES Q_KIB(4)
#define WORKLOAD_OWNERS            8u /* with the heap's own two, more than an OS page of the ledger */
#define WORKLOAD_RUNS_MAX          96u
/* Releases that a run of the workload may be refused: far more than there are reservations. */
#define WORKLOAD_LOST_MAX 64u

struct workload_run {
    void *base; /* NULL: of a file, and not adopted yet */
    uint64_t page;
    uint64_t page_count;
    uint64_t tag;
    enum workload_lane lane;
};

/* An address range that the heap could not release, and that therefore stays reserved. */
struct workload_lost {
    void *base;
    size_t bytes;
};

struct workload {
    struct os_sim sim;
    uint64_t limit_bytes;
    uint64_t run_pages_max; /* longer requests are cut to it */
    struct page_heap *heap; /* NULL: could not be created */
    struct page_lane *lane[WORKLOAD_LANES];
    uint32_t owner[WORKLOAD_OWNERS]; /* PAGE_OWNER_NONE: could not be registered */
    struct workload_run run[WORKLOAD_RUNS_MAX];
    uint32_t run_count;
    uint64_t last_tag;
    uint64_t peak_bytes;        /* the most that was ever committed */
    enum quarry_status allowed; /* besides OK and, when this is not OK, NO_MEMORY */
    struct workload_lost lost[WORKLOAD_LOST_MAX];
    uint32_t lost_count;
    bool is_place_lost; /* a lane's place could not be made inaccessible: its backing stays charged
                         */
};

void workload_init(struct workload *workload, uint64_t limit_bytes, uint64_t run_pages_max);
/*
 * Runs all of it, on the heap there is or on a new one. `allowed`: QUARRY_OK when everything must
 * succeed; else what the os answers when it fails. The heap is checked after every step.
 */
void workload_run(struct workload *workload, enum quarry_status allowed);
/* The validator, and the ledger: nothing in flight, nothing over the limit. */
void workload_check(struct workload *workload);
/* Destroys the heap, if there is one. */
void workload_end(struct workload *workload);
/*
 * Checks that nothing is left but the address ranges that could not be released, and ends the os.
 * `disk_bytes`: what the file must occupy; UINT64_MAX: anything.
 */
void workload_fini(struct workload *workload, uint64_t disk_bytes);

#endif
