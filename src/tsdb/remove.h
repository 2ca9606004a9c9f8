/*
 * Removing series whose last window is gone, some at a time.
 */
#ifndef QUARRY_TSDB_REMOVE_H
#define QUARRY_TSDB_REMOVE_H

#include <base/base.h>

struct quarry_tsdb;

/* Series of one slice: a hundred microseconds or two. */
#define TSDB_REMOVE_SLICE 1024u

/* How far a walk over all series is. Guarded by the turn's mutex. All-zero has not begun. */
struct tsdb_removal {
    bool is_walking;
    bool has_walked;        /* once */
    uint32_t after;         /* the id that was looked at last */
    int32_t floor;          /* of this walk: series without a window from here on go */
    int32_t done;           /* of the last walk that ended */
    uint32_t collect_count; /* times that the registry is still to be asked for what is gone */
};

/*
 * One slice, if windows have gone since the last walk; or what the registry's tables have outgrown.
 *
 * Returns: whether there was something to do. Threads: the turn's mutex is held.
 * Cost: TSDB_REMOVE_SLICE locks and cache lines, and what is removed.
 */
bool tsdb_remove_slice(struct quarry_tsdb *tsdb);

#endif
