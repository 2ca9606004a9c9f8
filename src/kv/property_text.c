/*
 * The texts among the properties.
 *
 *     rocksdb.stats       a table of levels, a few lines of totals
 *     rocksdb.sstables    a line for each file: number, bytes, sequences, first and last key
 *     quarry.lsm          the shape: targets, scores, sublevels of level 0
 *     quarry.memory       what the account and each part of it has charged
 *     quarry.pins         what iterators and values hold, and how often they had to copy
 *
 * Keys are in hex, as RocksDB's are: they may be any bytes. A long one is cut off.
 *
 * Locking: versions are held, accounts are read as they are. Cost: O(files); totals open tables.
 */
#include <kv/property.h>

#include <inttypes.h>

#define MIB(bytes) ((double)(bytes) / 1048576.0)
/* Of a key. */
#define KEY_BYTES_SHOWN 40u

static void add_hex(struct kv_text *text, struct kv_slice key)
{
    for (size_t i = 0; i < key.count && i < KEY_BYTES_SHOWN; i++) {
        kv_text_add(text, "%02X", (unsigned)(unsigned char)key.bytes[i]);
    }
    kv_text_add(text, "%s", key.count > KEY_BYTES_SHOWN ? "…" : "");
}

/* ---- levels --------------------------------------------------------------------------------- */

void kv_property_levels(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    (void)kv;
    kv_text_add(text, "** Compaction Stats [default] **\n"
                      "Level    Files   Size(MB)  Score   Read(MB)  Write(MB)\n"
                      "------------------------------------------------------\n");
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct quarry_kv_level_stats *stats = &facts->stats.level[level];
        kv_text_add(text, "  L%u %9u %10.2f %6.2f %10.2f %10.2f\n", level, stats->file_count,
                    MIB(stats->file_bytes), stats->score, MIB(stats->compaction_read_bytes),
                    MIB(stats->compaction_written_bytes));
    }
}

void kv_property_writes(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    const struct quarry_kv_stats *stats = &facts->stats;

    (void)kv;
    kv_text_add(text, "** DB Stats **\n");
    kv_text_add(text,
                "Cumulative writes: %" PRIu64 " puts, %" PRIu64 " deletes, %" PRIu64
                " merges, %" PRIu64 " range deletes, %" PRIu64 " batches, ingest: %.2f MB\n",
                stats->put_count, stats->delete_count, stats->merge_count,
                stats->range_delete_count, stats->batch_count, MIB(stats->written_bytes));
    kv_text_add(text,
                "Cumulative WAL: %.2f MB written, %" PRIu64 " syncs, %" PRIu64
                " writes waited for another's\n",
                MIB(stats->log_bytes), stats->log_sync_count, stats->log_group_count);
    kv_text_add(
        text,
        "Cumulative flushes: %" PRIu64 ", %.2f MB; compactions: %" PRIu64 ", moves: %" PRIu64 "\n",
        stats->flush_count, MIB(stats->flush_bytes), stats->compaction_count, stats->move_count);
    kv_text_add(text, "Cumulative stall: %.3f s slowed, %.3f s stopped, %.3f s the longest\n",
                (double)stats->throttled_ns / 1e9, (double)stats->stopped_ns / 1e9,
                (double)stats->stopped_worst_ns / 1e9);
    kv_text_add(text,
                "Cumulative reads: %" PRIu64 " gets, %" PRIu64 " found, %" PRIu64 " seeks, %" PRIu64
                " steps, %.2f MB\n",
                stats->get_count, stats->get_hit_count, stats->seek_count, stats->step_count,
                MIB(stats->read_bytes));
}

void kv_property_stats(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    kv_property_levels(text, kv, facts);
    kv_text_add(text, "\n");
    kv_property_writes(text, kv, facts);
}

void kv_property_stats_leveldb(struct kv_text *text, struct quarry_kv *kv,
                               const struct kv_facts *facts)
{
    (void)kv;
    kv_text_add(text, "                               Compactions\n"
                      "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)\n"
                      "--------------------------------------------------\n");
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct quarry_kv_level_stats *stats = &facts->stats.level[level];
        if (stats->file_count != 0 || stats->compaction_written_bytes != 0) {
            kv_text_add(text, "%3u %8u %8.0f %9.0f %8.0f %9.0f\n", level, stats->file_count,
                        MIB(stats->file_bytes), (double)stats->compaction_ns / 1e9,
                        MIB(stats->compaction_read_bytes), MIB(stats->compaction_written_bytes));
        }
    }
}

void kv_property_level_sizes(struct kv_text *text, struct quarry_kv *kv,
                             const struct kv_facts *facts)
{
    (void)kv;
    kv_text_add(text, "Level Files Size(MB)\n--------------------\n");
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        kv_text_add(text, "  %u %8u %8.0f\n", level, facts->stats.level[level].file_count,
                    MIB(facts->stats.level[level].file_bytes));
    }
}

/* ---- files ---------------------------------------------------------------------------------- */

static void add_file(struct kv_text *text, const struct kv_file *file)
{
    kv_text_add(text, " %" PRIu64 ":%" PRIu64 "[%" PRIu64 " .. %" PRIu64 "]['", file->number,
                file->byte_count, file->smallest_sequence, file->largest_sequence);
    add_hex(text, file->smallest.user);
    kv_text_add(text, "' seq:%" PRIu64 ", type:%u .. '",
                kv_trailer_sequence(file->smallest.trailer),
                (unsigned)kv_trailer_type(file->smallest.trailer));
    add_hex(text, file->largest.user);
    kv_text_add(text, "' seq:%" PRIu64 ", type:%u](%u)\n",
                kv_trailer_sequence(file->largest.trailer),
                (unsigned)kv_trailer_type(file->largest.trailer), file->is_compacting);
}

void kv_property_sstables(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    struct kv_version *version = kv_versions_acquire(&kv->versions);

    (void)facts;
    os_mutex_lock(&kv->mutex); /* of is_compacting */
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        kv_text_add(text, "--- level %u --- version# %" PRIu64 " ---\n", level, version->number);
        for (uint32_t i = 0; i < run->file_count; i++) {
            add_file(text, run->files[i]);
        }
    }
    os_mutex_unlock(&kv->mutex);
    kv_version_release(version);
}

/* An internal key as LevelDB shows it: what is not printable in hex, sequence, type. */
static void add_key_leveldb(struct kv_text *text, struct kv_key key)
{
    kv_text_add(text, "'");
    for (size_t i = 0; i < key.user.count; i++) {
        unsigned char byte = (unsigned char)key.user.bytes[i];
        kv_text_add(text, byte >= ' ' && byte <= '~' ? "%c" : "\\x%02x", byte);
    }
    kv_text_add(text, "' @ %" PRIu64 " : %u", kv_trailer_sequence(key.trailer),
                (unsigned)kv_trailer_type(key.trailer));
}

void kv_property_sstables_leveldb(struct kv_text *text, struct quarry_kv *kv,
                                  const struct kv_facts *facts)
{
    struct kv_version *version = kv_versions_acquire(&kv->versions);

    (void)facts;
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        kv_text_add(text, "--- level %u ---\n", level);
        for (uint32_t i = 0; i < run->file_count; i++) {
            kv_text_add(text, " %" PRIu64 ":%" PRIu64 "[", run->files[i]->number,
                        run->files[i]->byte_count);
            add_key_leveldb(text, run->files[i]->smallest);
            kv_text_add(text, " .. ");
            add_key_leveldb(text, run->files[i]->largest);
            kv_text_add(text, "]\n");
        }
    }
    kv_version_release(version);
}

static void add_table(struct kv_totals *totals, const struct kv_table_properties *properties)
{
    totals->data_bytes += properties->data_bytes;
    totals->index_bytes += properties->index_bytes;
    totals->filter_bytes += properties->filter_bytes;
    totals->raw_key_bytes += properties->raw_key_bytes;
    totals->raw_value_bytes += properties->raw_value_bytes;
    totals->block_count += properties->data_block_count;
    totals->entry_count += properties->entry_count;
    totals->filter_entry_count += properties->filter_entry_count;
    totals->delete_count += properties->delete_count;
    totals->merge_count += properties->merge_count;
    totals->range_delete_count += properties->range_delete_count;
    totals->index_partition_count += properties->index_partition_count;
    totals->top_level_index_bytes += properties->top_level_index_bytes;
}

void kv_totals_read(struct quarry_kv *kv, uint32_t from_level, uint32_t to_level,
                    struct kv_totals *ret_totals)
{
    struct kv_version *version = kv_versions_acquire(&kv->versions);
    struct kv_open_table *open;

    *ret_totals = (struct kv_totals){0};
    for (uint32_t level = from_level; level < to_level; level++) {
        for (uint32_t i = 0; i < version->levels[level].file_count; i++) {
            struct kv_file *file = version->levels[level].files[i];
            if (kv_open_table_acquire(kv->table_cache, file, &open, NULL) == QUARRY_OK) {
                add_table(ret_totals, kv_table_properties(open->table));
                kv_open_table_release(open);
            }
        }
    }
    kv_version_release(version);
}

void kv_property_aggregated(struct kv_text *text, struct quarry_kv *kv,
                            const struct kv_facts *facts)
{
    struct kv_totals totals;

    (void)facts;
    kv_totals_read(kv, 0, QUARRY_KV_LEVELS, &totals);
    kv_text_add(
        text,
        "# data blocks=%" PRIu64 "; # entries=%" PRIu64 "; # deletions=%" PRIu64
        "; # merge operands=%" PRIu64 "; # range deletions=%" PRIu64 "; raw key size=%" PRIu64
        "; raw value size=%" PRIu64 "; data block size=%" PRIu64 "; index block size=%" PRIu64
        "; filter block size=%" PRIu64 "; # entries for filter=%" PRIu64
        "; # index partitions=%" PRIu64 "; top-level index size=%" PRIu64 ";",
        totals.block_count, totals.entry_count, totals.delete_count, totals.merge_count,
        totals.range_delete_count, totals.raw_key_bytes, totals.raw_value_bytes, totals.data_bytes,
        totals.index_bytes, totals.filter_bytes, totals.filter_entry_count,
        totals.index_partition_count, totals.top_level_index_bytes);
}

/* ---- our own -------------------------------------------------------------------------------- */

void kv_property_lsm(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    struct kv_version *version = kv_versions_acquire(&kv->versions);

    kv_text_add(text, "base level %" PRIu64 ", debt %" PRIu64 " bytes, version %" PRIu64 "\n",
                facts->base_level, facts->debt_bytes, version->number);
    kv_text_add(text, "level files        bytes   score\n");
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct quarry_kv_level_stats *stats = &facts->stats.level[level];
        kv_text_add(text, "%5u %5u %12" PRIu64 " %7.2f\n", level, stats->file_count,
                    stats->file_bytes, stats->score);
    }
    for (uint32_t i = 0; i < version->sublevel_count; i++) {
        kv_text_add(text, "sublevel 0.%u: %u files, %" PRIu64 " bytes\n", i,
                    version->sublevels[i].file_count, version->sublevels[i].byte_count);
    }
    kv_version_release(version);
}

void kv_property_memory(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    struct quarry_account_state state;

    quarry_account_read(kv->account, &state);
    kv_text_add(text, "%s: %" PRIu64 " bytes charged, at most %" PRIu64 ", ceiling %" PRIu64 "\n",
                state.name, state.charged_bytes, state.peak_bytes, state.ceiling_bytes);
    for (uint32_t part = 0; part < KV_PARTS; part++) {
        quarry_account_read(kv->part[part], &state);
        kv_text_add(text, "  %s: %" PRIu64 ", at most %" PRIu64 ", refused %" PRIu64 " times\n",
                    state.name, state.charged_bytes, state.peak_bytes, state.refused_count);
    }
    kv_text_add(text, "blocks: %" PRIu64 " of %" PRIu64 "; memtables: %" PRIu64 " in %" PRIu64 "\n",
                facts->cached_bytes, facts->cache_capacity, facts->stats.memtable_bytes,
                facts->stats.memtable_count);
}

void kv_property_pins(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    /* Relaxed: figures. */
    kv_text_add(text,
                "%" PRIu64 " bytes of blocks held by iterators, of %" PRIu64 "; %" PRIu64
                " entries copied instead\n%" PRIu64 " iterators, %u values, %" PRIu64
                " snapshots; %" PRIu64 " bytes of files that only they keep\n",
                facts->stats.pinned_bytes, atomic_load_relaxed_u64(&kv->pins.quota_bytes),
                atomic_load_relaxed_u64(&kv->pins.copied_count), facts->stats.iterator_count,
                atomic_load_relaxed_u32(&kv->value_count), facts->stats.snapshot_count,
                facts->stats.obsolete_bytes);
}
