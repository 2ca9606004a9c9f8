/*
 * Reading what is sealed.
 *
 *     | column | column | times | column | … | entries, by local number | times' table |   shard
 *         ^                 ^                     │  │
 *         └── values_at ────┼─────────────────────┘  └── times ──> at ──┐
 *                           └───────────────────────────────────────────┘
 *
 * An entry has floats or histograms; a series that turned from one to the other has several.
 *
 * A series is found by a search over its shard's entries, 24 bytes each. Its values and its times
 * are two streams that are decoded side by side, 256 at a time; what is before the wanted time is
 * skipped an entry at a time, of which a series has one in a window unless it is sampled more often
 * than five times a second.
 *
 * Nothing here changes, so readers need no lock and no epoch: that the shard is sealed was seen by
 * an acquire, and the window is theirs by a view.
 */
#include <tsdb/sealed.h>

Q_STATIC_ASSERT(TSDB_COLUMN_BLOCK == QUARRY_TSDB_BLOCK_SAMPLES, "values and times keep in step");

/* The first entry whose local number is not below `local`. */
static uint32_t entry_find(const struct tsdb_window *window, const struct tsdb_sealed_shard *shard,
                           uint32_t local)
{
    uint32_t low = 0, high = shard->entry_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (tsdb_sealed_entry_at(window, shard, middle)->local < local) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void tsdb_sealed_read_begin(struct tsdb_sealed_read *read, const struct tsdb_window *window,
                            uint32_t shard, uint32_t local, int64_t min_ms)
{
    read->window = window;
    read->shard = &window->sealed_shard[shard];
    read->local = local;
    read->left = 0;
    read->next = entry_find(window, read->shard, local);
    while (read->next < read->shard->entry_count) {
        const struct tsdb_sealed_entry *entry =
            tsdb_sealed_entry_at(window, read->shard, read->next);
        if (entry->local != local ||
            tsdb_sealed_times_at(window, read->shard, entry->times)->last_ms >= min_ms) {
            break;
        }
        read->next++;
    }
}

static enum quarry_status entry_open(struct tsdb_sealed_read *read,
                                     const struct tsdb_sealed_entry *entry)
{
    uint32_t count = tsdb_sealed_count(entry);

    if (entry->times >= read->shard->times_count || count == 0) {
        return QUARRY_CORRUPT;
    }
    const struct tsdb_sealed_times *times =
        tsdb_sealed_times_at(read->window, read->shard, entry->times);
    if (times->count != count) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status =
        tsdb_times_open(&read->times, tsdb_space_at(&read->window->sealed, times->at),
                        times->byte_count, times->count);
    const void *values = tsdb_space_at(&read->window->sealed, entry->values_at);
    read->has_histograms = tsdb_sealed_has_histograms(entry);
    if (read->has_histograms) {
        tsdb_histograms_open(&read->histograms, values, entry->value_bytes, count);
    } else if (status == QUARRY_OK) {
        status = tsdb_column_open(&read->column, values, entry->value_bytes, count);
    }
    read->left = count;
    read->time_at = read->time_count = 0;
    return status;
}

/* Opens the series' next entry, if there is one. */
static enum quarry_status entry_next(struct tsdb_sealed_read *read)
{
    if (read->next == read->shard->entry_count) {
        return QUARRY_OK;
    }
    const struct tsdb_sealed_entry *entry =
        tsdb_sealed_entry_at(read->window, read->shard, read->next);
    if (entry->local != read->local) {
        return QUARRY_OK;
    }
    enum quarry_status status = entry_open(read, entry);
    read->next += status == QUARRY_OK;
    return status;
}

/* ---- histograms ----------------------------------------------------------------------------- */

/* The next block's histograms, in a batch with room for them. */
static enum quarry_status block_take(struct tsdb_sealed_read *read,
                                     struct tsdb_histogram_batch *batch)
{
    size_t words = 1;
    enum quarry_status status = tsdb_histogram_batch_reserve(batch, words);

    while (status == QUARRY_OK) {
        status = tsdb_histograms_take(&read->histograms, batch->room, batch->items, &batch->count,
                                      &words);
        if (status != QUARRY_NO_MEMORY) {
            return status;
        }
        status = tsdb_histogram_batch_reserve(batch, words);
    }
    return status;
}

/* Gives histograms their times, which come in larger blocks. */
static bool times_give(struct tsdb_sealed_read *read, struct tsdb_histogram_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (read->time_at == read->time_count) {
            read->time_at = 0;
            read->time_count = tsdb_times_take(&read->times, read->t_ms);
            if (read->time_count == 0) {
                return false;
            }
        }
        batch->items[i].t_ms = read->t_ms[read->time_at++];
    }
    return batch->count != 0;
}

static enum quarry_status histograms_take(struct tsdb_sealed_read *read, int64_t *ret_t_ms,
                                          uint64_t *ret_bits, struct tsdb_histogram_batch *batch)
{
    enum quarry_status status = block_take(read, batch);

    if (status == QUARRY_OK && !times_give(read, batch)) {
        status = QUARRY_CORRUPT;
    }
    if (status != QUARRY_OK) {
        batch->count = 0;
        return status;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        ret_t_ms[i] = batch->items[i].t_ms;
        ret_bits[i] = batch->items[i].sum_bits;
    }
    return QUARRY_OK;
}

enum quarry_status tsdb_sealed_read_take(struct tsdb_sealed_read *read, int64_t *ret_t_ms,
                                         uint64_t *ret_bits, struct tsdb_histogram_batch *batch,
                                         uint32_t *ret_count)
{
    enum quarry_status status = read->left == 0 ? entry_next(read) : QUARRY_OK;
    uint32_t count;

    *ret_count = 0;
    tsdb_histogram_batch_begin(batch);
    if (status != QUARRY_OK || read->left == 0) {
        return status;
    }
    if (read->has_histograms) {
        status = histograms_take(read, ret_t_ms, ret_bits, batch);
        count = batch->count;
    } else {
        count = tsdb_times_take(&read->times, ret_t_ms);
        status = count == 0 || tsdb_column_take(&read->column, ret_bits) != count ? QUARRY_CORRUPT
                                                                                  : QUARRY_OK;
    }
    if (status == QUARRY_OK) {
        read->left -= count;
        *ret_count = count;
    }
    return status;
}

/* ---- where it lies -------------------------------------------------------------------------- */

struct extent {
    uint64_t from, to;
};

static void extent_add(struct extent *extent, uint64_t at, uint64_t byte_count)
{
    if (byte_count != 0) {
        extent->from = at < extent->from ? at : extent->from;
        extent->to = at + byte_count > extent->to ? at + byte_count : extent->to;
    }
}

void tsdb_sealed_extent(const struct tsdb_window *window, uint32_t shard, uint64_t *ret_from,
                        uint64_t *ret_to)
{
    const struct tsdb_sealed_shard *sealed = &window->sealed_shard[shard];
    struct extent extent = {UINT64_MAX, 0};

    extent_add(&extent, sealed->entries_at,
               (uint64_t)sealed->entry_count * sizeof(struct tsdb_sealed_entry));
    extent_add(&extent, sealed->times_at,
               (uint64_t)sealed->times_count * sizeof(struct tsdb_sealed_times));
    for (uint32_t i = 0; i < sealed->entry_count; i++) {
        const struct tsdb_sealed_entry *entry = tsdb_sealed_entry_at(window, sealed, i);
        extent_add(&extent, entry->values_at, entry->value_bytes);
    }
    for (uint32_t i = 0; i < sealed->times_count; i++) {
        const struct tsdb_sealed_times *times = tsdb_sealed_times_at(window, sealed, i);
        extent_add(&extent, times->at, times->byte_count);
    }
    *ret_from = extent.to == 0 ? 0 : extent.from;
    *ret_to = extent.to;
}
