/*
 * What a store says of itself: counters, charges, windows.
 *
 * Counters are atomic, and read one by one. Charges are the accounts'. Windows are read through a
 * view, so none of them ends meanwhile; open shards change while they are read, and so may be a
 * request apart from each other.
 */
#include <tsdb/store.h>

#include <string.h>

#include <tsdb/durable.h>

uint64_t tsdb_charged_bytes(struct quarry_tsdb *tsdb)
{
    struct quarry_account_state state;

    quarry_account_read(tsdb->account, &state);
    return state.charged_bytes;
}

static uint64_t part_bytes(struct quarry_tsdb *tsdb, enum tsdb_part part)
{
    struct quarry_account_state state;

    quarry_account_read(tsdb->part[part], &state);
    return state.charged_bytes;
}

static void read_counters(struct quarry_tsdb *tsdb, struct quarry_tsdb_stats *stats)
{
    struct tsdb_counters *counters = &tsdb->counters;

#define READ(name) stats->name = atomic_load_relaxed_u64(&counters->name)
    READ(taken_count);
    READ(histogram_count);
    READ(late_count);
    READ(exemplar_count);
    READ(exemplar_bytes);
    READ(taken_exemplar_count);
    READ(refused_exemplar_count);
    READ(repeated_count);
    READ(raced_count);
    READ(created_series_count);
    READ(removed_series_count);
    READ(visited_series_count);
    READ(sealed_shard_count);
    READ(early_shard_count);
    READ(purged_window_count);
    READ(early_window_count);
    READ(filling_count);
    READ(filling_failed_count);
    READ(offered_window_count);
    READ(offer_failed_count);
    READ(untaken_window_count);
#undef READ
    for (uint32_t i = 0; i < QUARRY_TSDB_REFUSALS; i++) {
        stats->refused_counts[i] = atomic_load_relaxed_u64(&counters->refused_counts[i]);
    }
}

static void read_charges(struct quarry_tsdb *tsdb, struct quarry_tsdb_stats *stats)
{
    struct quarry_account_state state;

    stats->registry_bytes = part_bytes(tsdb, TSDB_PART_REGISTRY);
    stats->open_bytes = part_bytes(tsdb, TSDB_PART_OPEN);
    stats->sealed_bytes = part_bytes(tsdb, TSDB_PART_SEALED);
    stats->query_bytes = part_bytes(tsdb, TSDB_PART_QUERY);
    stats->meta_bytes = part_bytes(tsdb, TSDB_PART_META);
    quarry_account_read(tsdb->account, &state);
    stats->charged_bytes = state.charged_bytes;
    stats->peak_bytes = state.peak_bytes;
}

static void read_durable(struct tsdb_durable *durable, struct quarry_tsdb_stats *stats)
{
    struct tsdb_durable_counters *counters = &durable->counters;
    struct tsdb_log_stats log;

    tsdb_log_read_stats(durable->log, &log);
    stats->log_status = tsdb_durable_status(durable);
    stats->log_bytes = log.byte_count;
    stats->log_segment_count = log.segment_count;
    stats->log_sample_count = log.sample_count;
    stats->log_sync_count = log.sync_count;
    stats->log_failed_count = atomic_load_relaxed_u64(&counters->log_failed_count);
    stats->replayed_count = atomic_load_relaxed_u64(&counters->replayed_count);
    stats->left_out_series_count = atomic_load_relaxed_u64(&counters->left_out_count);
    stats->loss_count = atomic_load_relaxed_u64(&counters->loss_count);
    stats->lost_sample_count = atomic_load_relaxed_u64(&counters->lost_samples);
    stats->saved_window_count = atomic_load_relaxed_u64(&counters->saved_count);
    stats->save_failed_count = atomic_load_relaxed_u64(&counters->save_failed_count);
    stats->snapshot_count = atomic_load_relaxed_u64(&counters->snapshot_count);
    stats->snapshot_failed_count = atomic_load_relaxed_u64(&counters->snapshot_failed_count);
    stats->window_file_count = atomic_load_relaxed_u32(&durable->file_count);
}

/* Windows of a view that are filled. */
static uint64_t open_fillings(struct quarry_tsdb *tsdb, const struct tsdb_view *view)
{
    uint64_t count = 0;

    quarry_epoch_enter(tsdb->epoch);
    for (uint32_t i = 0; i < view->window_count; i++) {
        const struct tsdb_open *open = tsdb_window_open(view->windows[i]);
        count += open != NULL && tsdb_open_base(open) != NULL;
    }
    quarry_epoch_leave(tsdb->epoch);
    return count;
}

void quarry_tsdb_read_stats(struct quarry_tsdb *tsdb, struct quarry_tsdb_stats *ret_stats)
{
    int64_t time_ms = tsdb_time_ms(tsdb);
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);

    memset(ret_stats, 0, sizeof(*ret_stats));
    ret_stats->window_count = view->window_count;
    ret_stats->min_ms = view->window_count == 0 ? 0 : view->windows[0]->start_ms;
    ret_stats->open_filling_count = open_fillings(tsdb, view);
    tsdb_view_release(&tsdb->views, view);
    ret_stats->max_ms = time_ms == TSDB_TIME_NONE ? 0 : time_ms;
    ret_stats->series_count = tsdb_registry_count(tsdb->registry);
    ret_stats->tenant_count = atomic_load_relaxed_u64(&tsdb->limits.tenant_count);
    ret_stats->tombstone_count = atomic_load_relaxed_u64(&tsdb->tombstones.count);
    read_counters(tsdb, ret_stats);
    read_charges(tsdb, ret_stats);
    ret_stats->is_ready = tsdb_durable_is_ready(tsdb->durable);
    if (tsdb->durable != NULL) {
        read_durable(tsdb->durable, ret_stats);
    }
}

/* ---- windows -------------------------------------------------------------------------------- */

static void read_sealed(const struct tsdb_window *window, uint32_t shard,
                        struct quarry_tsdb_window *row)
{
    row->sealed_shard_count++;
    row->series_count += window->sealed_shard[shard].series_count;
    row->sample_count += window->sealed_shard[shard].sample_count;
}

static void read_open(const struct tsdb_open_shard *shard, struct quarry_tsdb_window *row)
{
    row->sample_count += atomic_load_relaxed_u64(&shard->sample_count);
    row->open_used_bytes += atomic_load_relaxed_u64(&shard->used_bytes);
}

/* A shard of a window that is filled: what lay sealed before is there as well. */
static void read_filling(const struct tsdb_open *open, uint32_t shard,
                         struct quarry_tsdb_window *row)
{
    const struct tsdb_window *base = tsdb_open_base(open);

    read_open(&open->shard[shard], row);
    if (base != NULL) {
        row->series_count += base->sealed_shard[shard].series_count;
        row->sample_count += base->sealed_shard[shard].sample_count;
    }
}

static void read_window(struct quarry_tsdb *tsdb, const struct tsdb_window *window,
                        struct quarry_tsdb_window *row)
{
    /* The open half may be taken away meanwhile: it stays until the epoch is left. */
    quarry_epoch_enter(tsdb->epoch);
    const struct tsdb_open *open = tsdb_window_open(window);

    *row = (struct quarry_tsdb_window){.start_ms = window->start_ms, .end_ms = window->end_ms};
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        if (tsdb_window_is_sealed(window, i)) {
            read_sealed(window, i, row);
        } else if (open != NULL) {
            read_filling(open, i, row);
        }
        if (open != NULL) {
            row->open_bytes += atomic_load_relaxed_u64(&open->shard[i].chunklets.charged_bytes);
        }
    }
    if (open != NULL) {
        uint64_t chain_bytes = atomic_load_relaxed_u64(&open->chains.charged_bytes);
        row->open_bytes += chain_bytes;
        row->open_used_bytes += chain_bytes;
    }
    row->sealed_bytes = atomic_load_relaxed_u64(&window->sealed.charged_bytes);
    row->sealed_used_bytes = atomic_load_relaxed_u64(&window->sealed_used_bytes);
    const struct tsdb_window *base = open == NULL ? NULL : tsdb_open_base(open);
    if (base != NULL) {
        uint64_t base_bytes = atomic_load_relaxed_u64(&base->sealed.charged_bytes);
        row->sealed_bytes += base_bytes;
        row->sealed_used_bytes +=
            size_min_u64(base_bytes, atomic_load_relaxed_u64(&base->sealed_used_bytes));
    }
    quarry_epoch_leave(tsdb->epoch);
}

size_t quarry_tsdb_windows(struct quarry_tsdb *tsdb, struct quarry_tsdb_window *windows,
                           size_t capacity)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    size_t count = view->window_count;

    for (size_t i = 0; i < count && i < capacity; i++) {
        read_window(tsdb, view->windows[i], &windows[i]);
    }
    tsdb_view_release(&tsdb->views, view);
    return count;
}
