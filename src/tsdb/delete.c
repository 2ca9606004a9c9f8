/*
 * Deleting samples, and giving their memory back.
 *
 *     delete    matchers ── series ── first and last sample ── list ── file ── readers leave them
 * out clean     sealed windows ── filled with nothing, sealed anew, written ── list without them
 *
 * A deletion is about the samples that are there: the span of a series ends at its last one, so
 * that what comes behind it is seen. What comes late into the span is not, until the window has
 * been cleaned.
 *
 * Cleaning has a window sealed once more, by the way that late samples take (turn.c): sealing
 * leaves out what was deleted, and the window's file is written anew. Only when that is durable is
 * the window's part of the list dropped. Windows that are open keep theirs; they are sealed without
 * what was deleted as it is.
 *
 * Invariants
 *   1. The list in memory is one that has been written, or is being written.
 *   2. A span leaves the list when no file and no log that is read has its samples.
 *
 * Locking: work_mutex, over files and turns: one deletion or cleaning at a time.
 * Cost: deleting reads what it deletes, some nanoseconds a sample; cleaning decodes and encodes
 * sealed windows, some 100 ns a sample.
 */
#include <tsdb/durable.h>
#include <tsdb/set.h>
#include <tsdb/tombstones.h>
#include <tsdb/turn.h>

/* Times that a window is sealed anew before others, who fill it all the while, win. */
#define CLEAN_TRIES_MAX 8u

/* ---- deleting ------------------------------------------------------------------------------- */

/* The span from the first to the last sample of a cursor's series. Errors: QUARRY_NOT_FOUND. */
static enum quarry_status span_find(struct quarry_tsdb_cursor *cursor, struct tsdb_gap *ret_span)
{
    struct quarry_tsdb_block block;
    enum quarry_status status = quarry_tsdb_cursor_next(cursor, &block);

    if (status != QUARRY_OK) {
        return status;
    }
    ret_span->from_ms = block.t_ms[0];
    while (status == QUARRY_OK) {
        ret_span->to_ms = block.t_ms[block.count - 1];
        status = quarry_tsdb_cursor_next(cursor, &block);
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status set_delete(struct quarry_tsdb_set *set, struct quarry_tsdb_cursor *cursor,
                                     struct tsdb_tombstone_list *list)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < set->ids.count && status == QUARRY_OK; i++) {
        struct tsdb_gap span;
        quarry_tsdb_cursor_series(cursor, i);
        status = span_find(cursor, &span);
        if (status == QUARRY_OK) {
            status = list->count == TSDB_TOMBSTONES_MAX
                         ? QUARRY_TOO_MANY
                         : tsdb_tombstone_list_put(list, set->ids.ids[i], span);
        }
        status = status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
    }
    return status;
}

static enum quarry_status query_delete(struct quarry_tsdb *tsdb,
                                       const struct quarry_tsdb_query *query,
                                       struct tsdb_tombstone_list *list, struct quarry_error *error)
{
    struct quarry_tsdb_query whole = *query;
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_cursor *cursor = NULL;

    whole.has_no_limit = true;
    enum quarry_status status = quarry_tsdb_select(tsdb, &whole, &set, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_tsdb_cursor_create(set, &cursor);
    if (status == QUARRY_OK) {
        status = set_delete(set, cursor, list);
    }
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    return status;
}

/* Puts what there is behind what is new. With work_mutex nobody replaces it. */
static enum quarry_status list_copy(struct quarry_tsdb *tsdb, struct tsdb_tombstone_list *list)
{
    const struct tsdb_tombstone_list *all = &tsdb->tombstones.list;
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < all->count && status == QUARRY_OK; i++) {
        os_mutex_lock(&tsdb->tombstones.mutex); /* a series may go */
        const struct tsdb_tombstone item = all->items[i];
        os_mutex_unlock(&tsdb->tombstones.mutex);
        status = tsdb_tombstone_list_put(list, item.id, item.span);
    }
    return status;
}

/* Has a list be the store's: on the disk first. */
static enum quarry_status list_install(struct quarry_tsdb *tsdb, struct tsdb_tombstone_list *list,
                                       struct quarry_error *error)
{
    enum quarry_status status = tsdb_tombstone_list_settle(list);

    if (status == QUARRY_TOO_MANY) {
        return error_set(error, status, "%s: more than %u deleted spans, or %u of a series",
                         tsdb->name, TSDB_TOMBSTONES_MAX, TSDB_DELETED_SPANS_MAX);
    }
    if (status == QUARRY_OK && tsdb->durable != NULL) {
        status = tsdb_tombstones_save(tsdb->durable, list, error);
    }
    if (status == QUARRY_OK) {
        tsdb_tombstones_replace(tsdb, list);
    }
    return status;
}

static enum quarry_status delete_locked(struct quarry_tsdb *tsdb,
                                        const struct quarry_tsdb_query *queries, size_t query_count,
                                        struct quarry_error *error)
{
    struct tsdb_tombstone_list list = {.memory = &tsdb->small[TSDB_PART_META]};
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < query_count && status == QUARRY_OK; i++) {
        status = query_delete(tsdb, &queries[i], &list, error);
    }
    if (status == QUARRY_OK && list.count != 0) {
        status = list_copy(tsdb, &list);
        if (status == QUARRY_OK) {
            status = list_install(tsdb, &list, error);
        }
    }
    tsdb_tombstone_list_fini(&list);
    return status;
}

enum quarry_status quarry_tsdb_delete(struct quarry_tsdb *tsdb,
                                      const struct quarry_tsdb_query *queries, size_t query_count,
                                      struct quarry_error *error)
{
    if (!tsdb_durable_is_ready(tsdb->durable)) {
        return error_set(error, QUARRY_BUSY, "%s: it is still being read", tsdb->name);
    }
    os_mutex_lock(&tsdb->tombstones.work_mutex);
    enum quarry_status status = delete_locked(tsdb, queries, query_count, error);
    os_mutex_unlock(&tsdb->tombstones.work_mutex);
    if (status == QUARRY_NO_MEMORY) {
        return error_set(error, status, "%s: no memory for what is deleted", tsdb->name);
    }
    return status;
}

/* ---- cleaning ------------------------------------------------------------------------------- */

/* Windows that are cleaned, by rising number. */
struct cleaning {
    int32_t numbers[TSDB_VIEW_WINDOWS_MAX];
    uint32_t count;
    int64_t kept_min_ms; /* what is before it is too old to come back */
};

/* Whether anything of a window was deleted. */
static bool is_touched(struct quarry_tsdb *tsdb, const struct tsdb_window *window)
{
    const struct tsdb_tombstone_list *all = &tsdb->tombstones.list;
    bool is = false;

    os_mutex_lock(&tsdb->tombstones.mutex);
    for (size_t i = 0; i < all->count && !is; i++) {
        is = all->items[i].span.from_ms < window->end_ms &&
             all->items[i].span.to_ms >= window->start_ms;
    }
    os_mutex_unlock(&tsdb->tombstones.mutex);
    return is;
}

/* The windows that are sealed and have something that was deleted. */
static void cleaning_begin(struct quarry_tsdb *tsdb, struct cleaning *cleaning)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    const struct tsdb_window *newest =
        view->window_count == 0 ? NULL : view->windows[view->window_count - 1];

    *cleaning = (struct cleaning){.kept_min_ms = INT64_MIN};
    if (newest != NULL) {
        cleaning->kept_min_ms =
            newest->start_ms - (int64_t)tsdb->options.window_count * tsdb->options.window_ms;
    }
    for (uint32_t i = 0; i < view->window_count; i++) {
        const struct tsdb_window *window = view->windows[i];
        if (atomic_load_acquire_u64(&window->sealed_mask) == UINT64_MAX &&
            is_touched(tsdb, window)) {
            cleaning->numbers[cleaning->count++] = window->number;
        }
    }
    tsdb_view_release(&tsdb->views, view);
}

/* Seals a window anew and writes it. Errors: QUARRY_NO_MEMORY, QUARRY_BUSY; QUARRY_IO: its file
 * could not be written, or must stay. */
static enum quarry_status window_clean(struct quarry_tsdb *tsdb, int32_t number)
{
    enum quarry_status status = tsdb_turn_fill_window(tsdb, number);

    for (uint32_t i = 0; i < CLEAN_TRIES_MAX && status == QUARRY_OK; i++) {
        status = tsdb_turn_seal_window(tsdb, number);
        if (status != QUARRY_OK || tsdb->durable == NULL) {
            return status;
        }
        while (!tsdb_durable_is_saved(tsdb->durable, number) && tsdb_durable_turn(tsdb->durable)) {
        }
        if (tsdb_durable_is_saved(tsdb->durable, number)) {
            return QUARRY_OK;
        }
        status = tsdb_durable_may_save(tsdb->durable, number) ? QUARRY_OK : QUARRY_IO;
    }
    return status == QUARRY_OK ? QUARRY_BUSY : status;
}

/* Puts what of a span is in no window that was cleaned. */
static enum quarry_status span_keep(struct quarry_tsdb *tsdb, const struct cleaning *cleaning,
                                    const struct tsdb_tombstone *item,
                                    struct tsdb_tombstone_list *list)
{
    struct tsdb_gap left = item->span;
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < cleaning->count && status == QUARRY_OK; i++) {
        int64_t start_ms = cleaning->numbers[i] * tsdb->options.window_ms;
        int64_t end_ms = start_ms + tsdb->options.window_ms;
        if (left.from_ms >= end_ms || left.to_ms < start_ms) {
            continue;
        }
        if (left.from_ms < start_ms) {
            const struct tsdb_gap before = {left.from_ms, start_ms - 1};
            status = tsdb_tombstone_list_put(list, item->id, before);
        }
        left.from_ms = end_ms;
    }
    if (status == QUARRY_OK && left.from_ms <= left.to_ms && left.to_ms >= cleaning->kept_min_ms) {
        status = tsdb_tombstone_list_put(list, item->id, left);
    }
    return status;
}

static enum quarry_status list_clean(struct quarry_tsdb *tsdb, const struct cleaning *cleaning,
                                     struct quarry_error *error)
{
    struct tsdb_tombstone_list all = {.memory = &tsdb->small[TSDB_PART_META]};
    struct tsdb_tombstone_list list = {.memory = all.memory};
    enum quarry_status status = list_copy(tsdb, &all);

    for (size_t i = 0; i < all.count && status == QUARRY_OK; i++) {
        status = span_keep(tsdb, cleaning, &all.items[i], &list);
    }
    if (status == QUARRY_OK) {
        status = list_install(tsdb, &list, error);
    }
    tsdb_tombstone_list_fini(&list);
    tsdb_tombstone_list_fini(&all);
    return status;
}

static enum quarry_status clean_locked(struct quarry_tsdb *tsdb, struct quarry_error *error)
{
    struct cleaning cleaning;
    enum quarry_status first = QUARRY_OK;
    uint32_t cleaned_count = 0;

    cleaning_begin(tsdb, &cleaning);
    for (uint32_t i = 0; i < cleaning.count; i++) {
        enum quarry_status status = window_clean(tsdb, cleaning.numbers[i]);
        if (status == QUARRY_OK) {
            cleaning.numbers[cleaned_count++] = cleaning.numbers[i];
        } else if (first == QUARRY_OK) {
            first = error_set(error, status, "%s: window %d could not be cleaned: %s", tsdb->name,
                              cleaning.numbers[i], quarry_status_text(status));
        }
    }
    cleaning.count = cleaned_count;
    enum quarry_status status = list_clean(tsdb, &cleaning, first == QUARRY_OK ? error : NULL);
    return first == QUARRY_OK ? status : first;
}

enum quarry_status quarry_tsdb_clean(struct quarry_tsdb *tsdb, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (!tsdb_durable_is_ready(tsdb->durable)) {
        return error_set(error, QUARRY_BUSY, "%s: it is still being read", tsdb->name);
    }
    os_mutex_lock(&tsdb->tombstones.work_mutex);
    if (atomic_load_relaxed_u64(&tsdb->tombstones.count) != 0) {
        status = clean_locked(tsdb, error);
    }
    os_mutex_unlock(&tsdb->tombstones.work_mutex);
    return status;
}
