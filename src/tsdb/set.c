/*
 * Sets of series, sorted by their labels.
 *
 * A set pins a view: the windows that were there when it was made stay until it is closed, and with
 * them, by the floor (view.c), every series that has one of them. So its ids, and the labels that
 * they lead to, stay without an epoch: a query may take minutes. Series without a window in the
 * view are left out when the set is made: nothing would keep them. The tables that lead from an id
 * to its record may be replaced by larger ones meanwhile: looking something up takes an epoch, for
 * that moment.
 *
 * A set costs 4 bytes a series, and as many more while it is sorted; labels stay where they are.
 */
#include <tsdb/set.h>

#include <string.h>

#include <tsdb/select.h>

void tsdb_set_keep(struct quarry_tsdb *tsdb, const struct tsdb_view *view, struct tsdb_ids *ids)
{
    int32_t oldest = view->window_count == 0 ? INT32_MAX : view->windows[0]->number;
    size_t kept = 0;

    for (size_t i = 0; i < ids->count; i++) {
        const struct tsdb_series *series = tsdb_registry_series(tsdb->registry, ids->ids[i]);
        struct os_mutex *mutex = tsdb_shard_mutex(tsdb, tsdb_shard_of(ids->ids[i]));
        os_mutex_lock(mutex);
        bool is_kept = series->last_window >= oldest;
        os_mutex_unlock(mutex);
        ids->ids[kept] = ids->ids[i];
        kept += is_kept;
    }
    ids->count = kept;
}

enum quarry_status tsdb_set_create(struct quarry_tsdb *tsdb, struct tsdb_view *view,
                                   struct tsdb_ids *ids, const struct quarry_tsdb_query *query,
                                   struct quarry_tsdb_set **ret_set)
{
    struct quarry_tsdb_set *set =
        tsdb_memory_take_zero(&tsdb->small[TSDB_PART_QUERY], sizeof(*set));
    enum quarry_status status =
        set == NULL ? QUARRY_NO_MEMORY : tsdb_select_sort(tsdb->registry, ids);

    if (status != QUARRY_OK) {
        tsdb_memory_give(&tsdb->small[TSDB_PART_QUERY], set);
        return status;
    }
    set->tsdb = tsdb;
    set->view = view;
    set->min_ms = query->min_ms;
    set->max_ms = query->max_ms;
    set->ids = *ids;
    *ids = (struct tsdb_ids){.memory = ids->memory};
    *ret_set = set;
    return QUARRY_OK;
}

void quarry_tsdb_set_close(struct quarry_tsdb_set *set)
{
    if (set == NULL) {
        return;
    }
    struct quarry_tsdb *tsdb = set->tsdb;
    Q_ASSERT_MSG(atomic_load_relaxed_u32(&set->cursor_count) == 0, "a cursor is not destroyed");
    tsdb_view_release(&tsdb->views, set->view);
    tsdb_ids_fini(&set->ids);
    tsdb_memory_give(&tsdb->small[TSDB_PART_QUERY], set);
}

size_t quarry_tsdb_set_count(const struct quarry_tsdb_set *set)
{
    return set->ids.count;
}

size_t quarry_tsdb_set_labels(const struct quarry_tsdb_set *set, size_t index,
                              struct quarry_tsdb_label *labels, size_t capacity)
{
    struct tsdb_label all[TSDB_LABELS_MAX];

    Q_ASSERT(index < set->ids.count);
    /* The series stays, but the table that it is found by may be replaced. */
    quarry_epoch_enter(set->tsdb->epoch);
    size_t count = tsdb_registry_labels(set->tsdb->registry, set->ids.ids[index], all);
    quarry_epoch_leave(set->tsdb->epoch);
    if (capacity != 0) {
        memcpy(labels, all, size_min(count, capacity) * sizeof(*labels));
    }
    return count;
}
