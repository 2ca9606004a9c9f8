/*
 * Cells in an index that readers use without a lock while writers replace them and pages are moved.
 * Each cell says whose it is and is filled with what follows from that, so that a reader sees any
 * wrong byte.
 */
#ifndef QUARRY_TESTS_UNIT_SLAB_STORM_H
#define QUARRY_TESTS_UNIT_SLAB_STORM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <quarry/epoch.h>
#include <quarry/slab.h>

#define STORM_KEYS 8192u

struct storm_slot {
    atomic_flag lock;       /* of writers and movers */
    _Atomic uint64_t ref;   /* 0: none */
    _Atomic uint64_t ended; /* a ref that has ended */
};

struct storm {
    struct quarry_slab *slab;
    struct quarry_epoch *epoch;
    uint32_t reader_count, writer_count;
    uint64_t wanted_reads; /* the storm ends when so many were checked, */
    uint64_t seconds_max;  /* or so much time has passed, and everything has happened once */
    size_t bytes_max;      /* of a cell */
};

struct storm_result {
    uint64_t read_count, write_count, stale_count;
    uint64_t moved_pages, moved_cells;
};

/* Begins it, waits for its end, and takes all cells out of the index again. */
struct storm_result storm_run(const struct storm *storm);

#endif
