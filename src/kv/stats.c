/*
 * A store's figures.
 *
 * Counters are summed over the stripes that threads count in; sizes are read where they are kept:
 * lists under the store's mutex, the version without it. So figures of different kinds are of
 * slightly different moments, and each is right for one.
 *
 * Bytes of obsolete files are those of files that only older versions have. Of them OBSOLETE_MAX
 * are told apart, in a table on the stack, for reading figures takes no memory and cannot fail;
 * what is beyond does not count.
 *
 * Keys are estimated as RocksDB does: entries less twice the deletions, for a deletion is an entry,
 * and hides one. Overwritten keys count until they are compacted.
 *
 * Locking: the store's mutex, for lists. Cost: O(files + stripes + versions × files).
 */
#include <kv/background_parts.h>
#include <kv/log_set.h>
#include <kv/stats.h>
#include <kv/throttle.h>

/* Obsolete files that are told apart; places of their table. */
#define OBSOLETE_MAX    512u
#define OBSOLETE_PLACES 1024u

/* ---- counters ------------------------------------------------------------------------------- */

static void read_counts(struct quarry_kv *kv, uint64_t counts[KV_COUNTS])
{
    memset(counts, 0, KV_COUNTS * sizeof(counts[0]));
    for (uint32_t stripe = 0; stripe < KV_COUNT_STRIPES; stripe++) {
        for (uint32_t i = 0; i < KV_COUNTS; i++) {
            /* Relaxed: a figure. */
            counts[i] += atomic_load_relaxed_u64(&kv->counts[stripe].count[i]);
        }
    }
}

static void put_counts(struct quarry_kv *kv, struct quarry_kv_stats *stats)
{
    uint64_t counts[KV_COUNTS];

    read_counts(kv, counts);
    stats->put_count = counts[KV_COUNT_PUTS];
    stats->delete_count = counts[KV_COUNT_DELETES];
    stats->merge_count = counts[KV_COUNT_MERGES];
    stats->range_delete_count = counts[KV_COUNT_RANGE_DELETES];
    stats->batch_count = counts[KV_COUNT_BATCHES];
    stats->get_count = counts[KV_COUNT_GETS];
    stats->get_hit_count = counts[KV_COUNT_GET_HITS];
    stats->seek_count = counts[KV_COUNT_SEEKS];
    stats->step_count = counts[KV_COUNT_STEPS];
    stats->filter_useful_count = counts[KV_COUNT_FILTER_USEFUL];
    stats->filter_passed_count = counts[KV_COUNT_FILTER_PASSED];
    stats->filter_false_count = counts[KV_COUNT_FILTER_FALSE];
    stats->written_bytes = counts[KV_COUNT_WRITTEN_BYTES];
    stats->read_bytes = counts[KV_COUNT_READ_BYTES];
    stats->log_bytes = counts[KV_COUNT_LOG_BYTES];
    stats->flush_count = counts[KV_COUNT_FLUSHES];
    stats->flush_bytes = counts[KV_COUNT_FLUSH_BYTES];
    stats->compaction_count = counts[KV_COUNT_COMPACTIONS];
    stats->move_count = counts[KV_COUNT_MOVES];
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Counts of a file: of the manifest, or of its table where that is open. Inside the epoch. */
static uint64_t keys_of(struct kv_file *file)
{
    uint64_t entries = file->entry_count, deletions = file->deletion_count;

    if (!file->has_counts) {
        const struct kv_table *table = kv_open_table_peek(file);
        if (table == NULL) {
            return 0;
        }
        entries = kv_table_properties(table)->entry_count;
        deletions = kv_table_properties(table)->delete_count;
    }
    return entries > 2 * deletions ? entries - 2 * deletions : 0;
}

static void put_levels(struct quarry_kv *kv, const struct kv_version *version,
                       struct kv_facts *facts)
{
    const struct kv_pick_options options = {
        .level0_compact = kv->options.level0_compact,
        .level_ratio = kv->options.level_ratio,
        .level1_bytes = kv->options.level1_bytes,
        .file_bytes = kv->options.file_bytes,
    };
    struct kv_shape shape;

    os_mutex_lock(&kv->mutex);
    kv_shape_of(version, &options, &shape);
    os_mutex_unlock(&kv->mutex);
    facts->base_level = shape.base_level;
    facts->debt_bytes = shape.debt_bytes;
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        struct quarry_kv_level_stats *stats = &facts->stats.level[level];
        stats->file_count = version->levels[level].file_count;
        stats->file_bytes = version->levels[level].byte_count;
        stats->score = shape.score[level];
        facts->live_bytes += stats->file_bytes;
        if (kv->background != NULL) {
            /* Relaxed: figures. */
            stats->compaction_read_bytes =
                atomic_load_relaxed_u64(&kv->background->level_read_bytes[level]);
            stats->compaction_written_bytes =
                atomic_load_relaxed_u64(&kv->background->level_written_bytes[level]);
            stats->compaction_ns = atomic_load_relaxed_u64(&kv->background->level_ns[level]);
        }
        for (uint32_t i = 0; i < version->levels[level].file_count; i++) {
            facts->stats.estimated_keys += keys_of(version->levels[level].files[i]);
        }
    }
}

struct obsolete {
    const struct kv_version *current;
    uint64_t bytes;
    uint32_t count;
    uint64_t seen[OBSOLETE_PLACES]; /* numbers of files; 0: free */
};

static bool version_has(const struct kv_version *version, const struct kv_file *file)
{
    const struct kv_run *level0 = &version->levels[0];

    for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        uint32_t at = kv_run_find_key(run, version->comparator, file->largest,
                                      kv_prefix8(file->largest.user));
        if (at < run->file_count && run->files[at] == file) {
            return true;
        }
    }
    for (uint32_t i = 0; i < level0->file_count; i++) {
        if (level0->files[i] == file) {
            return true;
        }
    }
    return false;
}

static void count_obsolete(void *argument, const struct kv_file *file)
{
    struct obsolete *obsolete = argument;
    size_t at = (size_t)(file->number * UINT64_C(0x9e3779b97f4a7c15) >> 54);

    if (obsolete->count == OBSOLETE_MAX || version_has(obsolete->current, file)) {
        return;
    }
    while (obsolete->seen[at] != 0 && obsolete->seen[at] != file->number) {
        at = (at + 1) % OBSOLETE_PLACES;
    }
    if (obsolete->seen[at] == 0) {
        obsolete->seen[at] = file->number;
        obsolete->count++;
        obsolete->bytes += file->byte_count;
    }
}

static void put_files(struct quarry_kv *kv, struct kv_facts *facts)
{
    struct obsolete obsolete = {0};
    struct kv_version *version = kv_versions_acquire(&kv->versions);

    quarry_epoch_enter(kv->epoch);
    put_levels(kv, version, facts);
    quarry_epoch_leave(kv->epoch);
    obsolete.current = version;
    kv_versions_visit_live(&kv->versions, count_obsolete, &obsolete);
    kv_version_release(version);
    facts->stats.obsolete_bytes = obsolete.bytes;
    facts->total_bytes = facts->live_bytes + obsolete.bytes;
    os_mutex_lock(&kv->versions.mutex);
    facts->version_count = kv->versions.live_count;
    os_mutex_unlock(&kv->versions.mutex);
}

/* ---- lists ---------------------------------------------------------------------------------- */

static void add_layer(struct kv_facts *facts, const struct kv_layer *layer, bool is_active)
{
    struct kv_memtable_stats stats;

    kv_layer_read_stats(layer, &stats);
    facts->stats.memtable_bytes += stats.backed_bytes;
    facts->stats.memtable_count++;
    facts->used_bytes += stats.used_bytes;
    if (stats.entry_count > 2 * stats.delete_count) {
        facts->stats.estimated_keys += stats.entry_count - 2 * stats.delete_count;
    }
    if (is_active) {
        facts->active_bytes = stats.used_bytes;
        facts->active_entries = stats.entry_count;
        facts->active_deletes = stats.delete_count;
    } else {
        facts->immutable_entries += stats.entry_count;
        facts->immutable_deletes += stats.delete_count;
    }
}

/* Of those that were taken: iterators have some in the list as well. */
static void put_oldest_snapshot(struct quarry_kv *kv, struct kv_facts *facts)
{
    const struct quarry_kv_snapshot *oldest = kv->snapshots;

    os_mutex_assert_held(&kv->mutex);
    while (oldest != NULL && oldest->taken_ns == 0) {
        oldest = oldest->next;
    }
    if (oldest != NULL) {
        facts->oldest_snapshot_sequence = oldest->sequence;
        facts->stats.oldest_snapshot_ns =
            sat_sub_u64(quarry_vfs_monotonic_ns(kv->vfs), oldest->taken_ns);
    }
}

static void put_lists(struct quarry_kv *kv, struct kv_facts *facts)
{
    os_mutex_lock(&kv->mutex);
    if (kv->mutable_layer != NULL) {
        add_layer(facts, kv->mutable_layer, true);
    }
    for (size_t i = 0; i < kv->immutable_count; i++) {
        add_layer(facts, kv->immutable[i], false);
    }
    facts->immutable_count = kv->immutable_count;
    facts->has_immutable = kv->immutable_count != 0;
    facts->running_compactions = kv->picks.count;
    facts->deletions_enabled = kv->deletions_off == 0;
    put_oldest_snapshot(kv, facts);
    if (kv->background != NULL) {
        facts->is_flushing = kv->background->is_flushing;
        facts->background_errors = kv->background->flush_failure_count;
    }
    os_mutex_unlock(&kv->mutex);
}

/* ---- memory and log ------------------------------------------------------------------------- */

static uint64_t charged_to(struct quarry_account *account)
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    return state.charged_bytes;
}

static void put_memory(struct quarry_kv *kv, struct kv_facts *facts)
{
    struct quarry_block_stats blocks;

    quarry_block_cache_stats(kv->cache, QUARRY_BLOCK_WINDOW_TOTAL, &blocks);
    facts->stats.block_bytes = blocks.block_bytes;
    facts->cache_capacity = blocks.capacity_bytes;
    facts->cached_bytes = blocks.hot_bytes + blocks.cold_bytes;
    /* Relaxed: a figure. */
    facts->stats.pinned_bytes = atomic_load_relaxed_u64(&kv->pins.held_bytes);
    facts->stats.table_bytes = charged_to(kv->part[KV_PART_META]);
    facts->stats.compaction_bytes = charged_to(kv->part[KV_PART_COMPACTION]);
    facts->stats.charged_bytes = charged_to(kv->account);
}

static void put_log(struct quarry_kv *kv, struct kv_facts *facts)
{
    struct kv_log_set_stats stats;

    if (kv->log == NULL) {
        return;
    }
    kv_log_set_read_stats(kv->log, &stats);
    facts->stats.log_sync_count = stats.sync_count;
    facts->stats.log_group_count = stats.group_count;
    facts->oldest_log = stats.oldest_number;
}

static void put_throttle(struct quarry_kv *kv, struct kv_facts *facts)
{
    struct kv_throttle_stats stats;

    if (kv->throttle == NULL) {
        return;
    }
    kv_throttle_read_stats(kv, &stats);
    facts->stats.throttled_ns = stats.throttled_ns;
    facts->stats.stopped_ns = stats.stopped_ns;
    facts->stats.stopped_worst_ns = stats.stopped_worst_ns;
    facts->write_rate = stats.is_limited ? (uint64_t)stats.rate : 0;
    facts->is_stopped = stats.pressure >= 1.0;
}

/* ---- the doors ------------------------------------------------------------------------------ */

void kv_facts_read(struct quarry_kv *kv, struct kv_facts *ret_facts)
{
    memset(ret_facts, 0, sizeof(*ret_facts));
    put_counts(kv, &ret_facts->stats);
    put_files(kv, ret_facts);
    put_lists(kv, ret_facts);
    put_memory(kv, ret_facts);
    put_log(kv, ret_facts);
    put_throttle(kv, ret_facts);
    /* Acquire: figures, of a moment after what was counted above. */
    ret_facts->stats.snapshot_count = atomic_load_acquire_u32(&kv->snapshot_count);
    ret_facts->stats.iterator_count = atomic_load_acquire_u32(&kv->iterator_count);
    ret_facts->stats.sequence = kv_visible_sequence(kv);
}

void quarry_kv_read_block_stats(struct quarry_kv *kv, struct quarry_block_stats *ret_stats)
{
    quarry_block_cache_stats(kv->cache, QUARRY_BLOCK_WINDOW_TOTAL, ret_stats);
}

void quarry_kv_read_stats(struct quarry_kv *kv, struct quarry_kv_stats *ret_stats)
{
    struct kv_facts facts;

    kv_facts_read(kv, &facts);
    *ret_stats = facts.stats;
}
