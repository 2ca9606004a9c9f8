/*
 * Removing series.
 *
 *     windows      …  w3 | w4 w5 w6 w7 w8          floor 4: the lowest that anybody looks at
 *     series       last window 3, or before: gone, with labels, postings and id
 *
 * A purge looks at no series. What it leaves behind, series without a sample, is found afterwards
 * by a walk over all of them, a slice in each turn, so that a million of them delay nobody.
 *
 * A series goes if its last window is below the floor. Queries only know series with a window at or
 * above the floor of their own view, and views count in the floor until they are released, so no
 * query loses one. Requests are inside the epoch, and find the series marked when they look at it
 * under its shard's mutex: they begin anew, and make another.
 *
 * Invariant: what decides, last_window, is read under the shard's mutex, where it is written.
 *
 * Cost: a million series are walked in some 0.2 s, of which no single turn takes more than 0.3 ms.
 */
#include <tsdb/remove.h>

#include <tsdb/durable.h>
#include <tsdb/exemplars.h>
#include <tsdb/store.h>

/* Calls of tsdb_registry_collect after which what was removed is free, if no reader is inside. */
#define COLLECTS 2u

static bool is_without_window(struct quarry_tsdb *tsdb, uint32_t id,
                              const struct tsdb_series *series)
{
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, tsdb_shard_of(id));

    os_mutex_lock(mutex);
    bool is = series->last_window < tsdb->removal.floor;
    os_mutex_unlock(mutex);
    return is;
}

/* tsdb_registry_may_remove. */
static bool may_remove(void *argument, uint32_t id, struct tsdb_series *series)
{
    struct quarry_tsdb *tsdb = argument;
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, tsdb_shard_of(id));

    os_mutex_lock(mutex);
    bool may = series->last_window < tsdb->removal.floor;
    if (may) {
        series->flags |= TSDB_SERIES_GONE;
    }
    os_mutex_unlock(mutex);
    return may;
}

/* Returns: false: there was no memory for it; it is tried again at the next walk. */
static bool series_remove(struct quarry_tsdb *tsdb, uint32_t id, uint16_t tenant)
{
    enum quarry_status status = tsdb_registry_remove(tsdb->registry, id, may_remove, tsdb);

    if (status == QUARRY_OK) {
        tsdb_exemplars_forget(tsdb, tenant, id);
        tsdb_tombstones_forget(tsdb, id);
        tsdb_limits_remove_series(&tsdb->limits, tsdb_limits_tenant(&tsdb->limits, tenant));
        (void)atomic_add_relaxed_u64(&tsdb->counters.removed_series_count, 1);
    }
    return status != QUARRY_NO_MEMORY;
}

/* Looks at the next series. Returns: how many there were. */
static size_t slice_walk(struct quarry_tsdb *tsdb)
{
    uint32_t ids[TSDB_REMOVE_SLICE];
    struct tsdb_removal *removal = &tsdb->removal;

    quarry_epoch_enter(tsdb->epoch);
    size_t count = tsdb_registry_list(tsdb->registry, removal->after, ids, TSDB_REMOVE_SLICE);
    for (size_t i = 0; i < count; i++) {
        const struct tsdb_series *series = tsdb_registry_series(tsdb->registry, ids[i]);
        if (is_without_window(tsdb, ids[i], series)) {
            (void)series_remove(tsdb, ids[i], series->tenant);
        }
        removal->after = ids[i];
    }
    quarry_epoch_leave(tsdb->epoch);
    (void)atomic_add_relaxed_u64(&tsdb->counters.visited_series_count, count);
    return count;
}

/* Begins a walk if windows have gone since the last. */
static bool walk_begin(struct quarry_tsdb *tsdb)
{
    struct tsdb_removal *removal = &tsdb->removal;
    int32_t floor = tsdb_views_floor(&tsdb->views);

    if (tsdb->durable != NULL && tsdb_durable_floor(tsdb->durable) < floor) {
        floor = tsdb_durable_floor(tsdb->durable); /* ids in a file mean what they did */
    }
    if (floor == INT32_MAX || (removal->has_walked && floor <= removal->done)) {
        return false;
    }
    removal->is_walking = true;
    removal->after = TSDB_SERIES_NONE;
    removal->floor = floor;
    return true;
}

/* Has the registry give back what was removed, and what its tables have outgrown: those that a
 * million new series leave behind are 90 bytes a series. */
static bool collect(struct quarry_tsdb *tsdb)
{
    struct tsdb_removal *removal = &tsdb->removal;

    if (removal->collect_count != 0) {
        removal->collect_count--;
        (void)tsdb_registry_collect(tsdb->registry);
        return true;
    }
    /* While a reader is inside it is not gone into again and again. */
    return tsdb_registry_retired_bytes(tsdb->registry) != 0 &&
           tsdb_registry_collect(tsdb->registry);
}

bool tsdb_remove_slice(struct quarry_tsdb *tsdb)
{
    struct tsdb_removal *removal = &tsdb->removal;

    if (!removal->is_walking && !walk_begin(tsdb)) {
        return collect(tsdb);
    }
    if (slice_walk(tsdb) < TSDB_REMOVE_SLICE) {
        removal->is_walking = false;
        removal->has_walked = true;
        removal->done = removal->floor;
        removal->collect_count = COLLECTS;
    }
    (void)tsdb_registry_collect(tsdb->registry);
    return true;
}
