/*
 * Sets: the series of one query, and the windows that they are read from.
 */
#ifndef QUARRY_TSDB_SET_H
#define QUARRY_TSDB_SET_H

#include <tsdb/ids.h>
#include <tsdb/store.h>
#include <tsdb/tombstones.h>

struct quarry_tsdb_set {
    /* const */
    struct quarry_tsdb *tsdb;
    struct tsdb_view *view; /* keeps the windows, and the series in them */
    int64_t min_ms, max_ms;
    struct tsdb_ids ids; /* by labels */
    /* atomic */
    _Atomic uint32_t cursor_count;
};

/*
 * Makes a set of series, and sorts them by their labels.
 *
 * `view`: given, unless it fails. `ids`: given, unless it fails, and empty then: of series that
 * tsdb_set_keep has left.
 * Errors: QUARRY_NO_MEMORY. Cost: O(n log n) comparisons of labels.
 */
enum quarry_status tsdb_set_create(struct quarry_tsdb *tsdb, struct tsdb_view *view,
                                   struct tsdb_ids *ids, const struct quarry_tsdb_query *query,
                                   struct quarry_tsdb_set **ret_set);

/*
 * Leaves out series that have no window in a view: these may be removed while a set is read.
 *
 * Threads: inside the epoch in which the ids were found. Cost: a lock and a cache line for each.
 */
void tsdb_set_keep(struct quarry_tsdb *tsdb, const struct tsdb_view *view, struct tsdb_ids *ids);

#endif
