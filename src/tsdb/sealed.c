/*
 * Reading what is sealed.
 *
 *     | column | column | times | column | … | entries, by local number | times' table |   shard
 *         ^                 ^                     │  │
 *         └── values_at ────┼─────────────────────┘  └── times ──> at ──┐
 *                           └───────────────────────────────────────────┘
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
    read->block_count = 0;
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
    if (entry->times >= read->shard->times_count || entry->count == 0) {
        return QUARRY_CORRUPT;
    }
    const struct tsdb_sealed_times *times =
        tsdb_sealed_times_at(read->window, read->shard, entry->times);
    if (times->count != entry->count) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status =
        tsdb_times_open(&read->times, tsdb_space_at(&read->window->sealed, times->at),
                        times->byte_count, times->count);
    if (status == QUARRY_OK) {
        status =
            tsdb_column_open(&read->column, tsdb_space_at(&read->window->sealed, entry->values_at),
                             entry->value_bytes, entry->count);
    }
    read->block_count = (entry->count + QUARRY_TSDB_BLOCK_SAMPLES - 1) / QUARRY_TSDB_BLOCK_SAMPLES;
    return status;
}

enum quarry_status tsdb_sealed_read_take(struct tsdb_sealed_read *read, int64_t *ret_t_ms,
                                         uint64_t *ret_bits, uint32_t *ret_count)
{
    *ret_count = 0;
    if (read->block_count == 0) {
        if (read->next == read->shard->entry_count) {
            return QUARRY_OK;
        }
        const struct tsdb_sealed_entry *entry =
            tsdb_sealed_entry_at(read->window, read->shard, read->next);
        if (entry->local != read->local) {
            return QUARRY_OK;
        }
        enum quarry_status status = entry_open(read, entry);
        if (status != QUARRY_OK) {
            return status;
        }
        read->next++;
    }
    uint32_t count = tsdb_times_take(&read->times, ret_t_ms);
    if (count == 0 || tsdb_column_take(&read->column, ret_bits) != count) {
        return QUARRY_CORRUPT;
    }
    read->block_count--;
    *ret_count = count;
    return QUARRY_OK;
}
