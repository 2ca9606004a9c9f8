/*
 * The list of tombstones.
 *
 *     id 3 [10, 20]   id 3 [40, 90]   id 17 [0, 55]   …      by id and time, in one array
 *
 * Readers copy the spans of their series when they begin with it, under a mutex that is held for a
 * search; so a list is replaced as a whole, and nobody looks at the old one. While there are no
 * tombstones, which is nearly always, a load says so.
 *
 * Invariants
 *   1. The list is sorted, and spans of a series do not meet.
 *   2. A series has TSDB_DELETED_SPANS_MAX spans at the most, all series TSDB_TOMBSTONES_MAX.
 *
 * Rejected: marks in the sealed bytes, which would have to be written anew, and none in chunklets;
 * matchers in place of ids, which each reader would have to compare with labels.
 */
#include <tsdb/tombstones.h>

#include <string.h>

#include <tsdb/store.h>

void tsdb_tombstones_init(struct quarry_tsdb *tsdb)
{
    os_mutex_init(&tsdb->tombstones.work_mutex, OS_RANK_TSDB_FILES, 0);
    os_mutex_init(&tsdb->tombstones.mutex, OS_RANK_LEAF, 0);
    tsdb->tombstones.list.memory = &tsdb->small[TSDB_PART_META];
}

void tsdb_tombstones_fini(struct quarry_tsdb *tsdb)
{
    tsdb_tombstone_list_fini(&tsdb->tombstones.list);
}

/* ---- looking -------------------------------------------------------------------------------- */

/* The first entry of an id, or of one above it. */
static size_t list_find(const struct tsdb_tombstone_list *list, uint32_t id)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void tsdb_tombstones_of(struct quarry_tsdb *tsdb, uint32_t id, struct tsdb_deleted *ret_deleted)
{
    struct tsdb_tombstones *tombstones = &tsdb->tombstones;
    const struct tsdb_tombstone_list *list = &tombstones->list;

    ret_deleted->count = 0;
    /* Acquire: pairs with the release of who replaces it, so that what was deleted before a query
     * began is not in its answer. */
    if (Q_LIKELY(atomic_load_acquire_u64(&tombstones->count) == 0)) {
        return;
    }
    os_mutex_lock(&tombstones->mutex);
    for (size_t i = list_find(list, id); i < list->count && list->items[i].id == id; i++) {
        Q_ASSERT(ret_deleted->count < TSDB_DELETED_SPANS_MAX); /* invariant 2 */
        ret_deleted->spans[ret_deleted->count++] = list->items[i].span;
    }
    os_mutex_unlock(&tombstones->mutex);
}

void tsdb_tombstones_forget(struct quarry_tsdb *tsdb, uint32_t id)
{
    struct tsdb_tombstones *tombstones = &tsdb->tombstones;
    struct tsdb_tombstone_list *list = &tombstones->list;

    if (atomic_load_acquire_u64(&tombstones->count) == 0) {
        return;
    }
    os_mutex_lock(&tombstones->mutex);
    for (size_t i = list_find(list, id); i < list->count && list->items[i].id == id; i++) {
        list->items[i].span = (struct tsdb_gap){INT64_MAX, INT64_MIN}; /* of no moment */
    }
    os_mutex_unlock(&tombstones->mutex);
}

/* ---- lists ---------------------------------------------------------------------------------- */

void tsdb_tombstone_list_fini(struct tsdb_tombstone_list *list)
{
    tsdb_memory_give(list->memory, list->items);
    *list = (struct tsdb_tombstone_list){.memory = list->memory};
}

enum quarry_status tsdb_tombstone_list_put(struct tsdb_tombstone_list *list, uint32_t id,
                                           struct tsdb_gap span)
{
    void *items = list->items;
    enum quarry_status status = tsdb_memory_grow(list->memory, &items, &list->capacity,
                                                 list->count + 1, sizeof(*list->items));

    list->items = items;
    if (status == QUARRY_OK) {
        list->items[list->count++] = (struct tsdb_tombstone){id, span};
    }
    return status;
}

static bool is_before(const struct tsdb_tombstone *a, const struct tsdb_tombstone *b)
{
    return a->id != b->id ? a->id < b->id : a->span.from_ms < b->span.from_ms;
}

/* Moves an item down a heap whose last are the greatest of their branches no more. */
static void heap_sink(struct tsdb_tombstone *items, size_t at, size_t count)
{
    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && is_before(&items[child], &items[child + 1]);
        if (!is_before(&items[at], &items[child])) {
            return;
        }
        struct tsdb_tombstone item = items[at];
        items[at] = items[child];
        items[child] = item;
        at = child;
    }
}

/* In place: the library's sort takes memory that nobody is charged for. */
static void list_sort(struct tsdb_tombstone_list *list)
{
    for (size_t at = list->count / 2; at > 0; at--) {
        heap_sink(list->items, at - 1, list->count);
    }
    for (size_t count = list->count; count > 1; count--) {
        struct tsdb_tombstone item = list->items[0];
        list->items[0] = list->items[count - 1];
        list->items[count - 1] = item;
        heap_sink(list->items, 0, count - 1);
    }
}

/* Whether a span goes on with the one before it. */
static bool is_joined(const struct tsdb_tombstone *last, const struct tsdb_tombstone *next)
{
    return last->id == next->id &&
           (last->span.to_ms == INT64_MAX || next->span.from_ms <= last->span.to_ms + 1);
}

enum quarry_status tsdb_tombstone_list_settle(struct tsdb_tombstone_list *list)
{
    size_t kept = 0;
    uint32_t of_series = 0;

    list_sort(list);
    for (size_t i = 0; i < list->count; i++) {
        const struct tsdb_tombstone *next = &list->items[i];
        struct tsdb_tombstone *last = kept == 0 ? NULL : &list->items[kept - 1];
        if (next->span.from_ms > next->span.to_ms) {
            continue; /* of a series that has gone */
        }
        if (last != NULL && is_joined(last, next)) {
            last->span.to_ms =
                next->span.to_ms > last->span.to_ms ? next->span.to_ms : last->span.to_ms;
            continue;
        }
        of_series = last != NULL && last->id == next->id ? of_series + 1 : 1;
        if (of_series > TSDB_DELETED_SPANS_MAX || kept == TSDB_TOMBSTONES_MAX) {
            return QUARRY_TOO_MANY;
        }
        list->items[kept++] = *next;
    }
    list->count = kept;
    return QUARRY_OK;
}

void tsdb_tombstones_replace(struct quarry_tsdb *tsdb, struct tsdb_tombstone_list *list)
{
    struct tsdb_tombstones *tombstones = &tsdb->tombstones;
    struct tsdb_tombstone_list old;

    os_mutex_lock(&tombstones->mutex);
    old = tombstones->list;
    tombstones->list = *list;
    os_mutex_unlock(&tombstones->mutex);
    if (list->count != 0) {
        atomic_store_relaxed_bool(&tombstones->has_deleted, true); /* the next line orders it */
    }
    /* Release: pairs with the acquire of readers. */
    atomic_store_release_u64(&tombstones->count, list->count);
    *list = (struct tsdb_tombstone_list){.memory = old.memory};
    tsdb_tombstone_list_fini(&old);
}
