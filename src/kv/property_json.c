/*
 * The property "quarry.stats": figures and shape of a store in one JSON object, for tools.
 *
 *     {"version":7,"base_level":5,…,"memtables":{…},"levels":[{"level":0,"files":[[12,4096],…],…}],
 *      "sublevels":[{"files":2,"bytes":8192}],"counters":{…},"memory":{…}}
 *
 * A file is [number, bytes]. Names of fields are promises to scripts; units are in them.
 *
 * Locking: a version is held. Cost: O(files).
 */
#include <kv/property.h>

#include <inttypes.h>

static void add_levels(struct kv_text *text, const struct kv_version *version,
                       const struct kv_facts *facts)
{
    kv_text_add(text, ",\"levels\":[");
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct quarry_kv_level_stats *stats = &facts->stats.level[level];
        const struct kv_run *run = &version->levels[level];
        kv_text_add(text,
                    "%s{\"level\":%u,\"file_count\":%u,\"file_bytes\":%" PRIu64
                    ",\"score\":%.4f,\"compaction_read_bytes\":%" PRIu64
                    ",\"compaction_written_bytes\":%" PRIu64 ",\"files\":[",
                    level == 0 ? "" : ",", level, run->file_count, run->byte_count, stats->score,
                    stats->compaction_read_bytes, stats->compaction_written_bytes);
        for (uint32_t i = 0; i < run->file_count; i++) {
            kv_text_add(text, "%s[%" PRIu64 ",%" PRIu64 "]", i == 0 ? "" : ",",
                        run->files[i]->number, run->files[i]->byte_count);
        }
        kv_text_add(text, "]}");
    }
    kv_text_add(text, "],\"sublevels\":[");
    for (uint32_t i = 0; i < version->sublevel_count; i++) {
        kv_text_add(text, "%s{\"file_count\":%u,\"file_bytes\":%" PRIu64 "}", i == 0 ? "" : ",",
                    version->sublevels[i].file_count, version->sublevels[i].byte_count);
    }
    kv_text_add(text, "]");
}

static void add_counters(struct kv_text *text, const struct quarry_kv_stats *stats)
{
    const struct {
        const char *name;
        uint64_t value;
    } counters[] = {
        {"delete_count", stats->delete_count},
        {"merge_count", stats->merge_count},
        {"range_delete_count", stats->range_delete_count},
        {"batch_count", stats->batch_count},
        {"get_count", stats->get_count},
        {"get_hit_count", stats->get_hit_count},
        {"seek_count", stats->seek_count},
        {"step_count", stats->step_count},
        {"filter_useful_count", stats->filter_useful_count},
        {"filter_passed_count", stats->filter_passed_count},
        {"filter_false_count", stats->filter_false_count},
        {"written_bytes", stats->written_bytes},
        {"read_bytes", stats->read_bytes},
        {"log_bytes", stats->log_bytes},
        {"log_sync_count", stats->log_sync_count},
        {"log_group_count", stats->log_group_count},
        {"flush_count", stats->flush_count},
        {"flush_bytes", stats->flush_bytes},
        {"compaction_count", stats->compaction_count},
        {"move_count", stats->move_count},
        {"throttled_ns", stats->throttled_ns},
        {"stopped_ns", stats->stopped_ns},
        {"stopped_worst_ns", stats->stopped_worst_ns},
        {"snapshot_count", stats->snapshot_count},
        {"iterator_count", stats->iterator_count},
        {"sequence", stats->sequence},
        {"estimated_keys", stats->estimated_keys},
        {"obsolete_bytes", stats->obsolete_bytes},
    };

    kv_text_add(text, ",\"counters\":{\"put_count\":%" PRIu64, stats->put_count);
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        kv_text_add(text, ",\"%s\":%" PRIu64, counters[i].name, counters[i].value);
    }
    kv_text_add(text, "}");
}

void kv_property_json(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    struct kv_version *version = kv_versions_acquire(&kv->versions);
    const struct quarry_kv_stats *stats = &facts->stats;

    kv_text_add(text,
                "{\"version\":%" PRIu64 ",\"base_level\":%" PRIu64 ",\"debt_bytes\":%" PRIu64
                ",\"live_bytes\":%" PRIu64 ",\"write_rate_bytes_per_second\":%" PRIu64
                ",\"is_write_stopped\":%s,\"running_compactions\":%" PRIu64
                ",\"is_flushing\":%s,\"background_errors\":%" PRIu64,
                version->number, facts->base_level, facts->debt_bytes, facts->live_bytes,
                facts->write_rate, facts->is_stopped != 0 ? "true" : "false",
                facts->running_compactions, facts->is_flushing != 0 ? "true" : "false",
                facts->background_errors);
    kv_text_add(text,
                ",\"memtables\":{\"active_bytes\":%" PRIu64 ",\"active_entries\":%" PRIu64
                ",\"immutable_count\":%" PRIu64 ",\"immutable_entries\":%" PRIu64
                ",\"used_bytes\":%" PRIu64 ",\"held_bytes\":%" PRIu64 "}",
                facts->active_bytes, facts->active_entries, facts->immutable_count,
                facts->immutable_entries, facts->used_bytes, stats->memtable_bytes);
    kv_text_add(text,
                ",\"memory\":{\"charged_bytes\":%" PRIu64 ",\"block_bytes\":%" PRIu64
                ",\"block_capacity_bytes\":%" PRIu64 ",\"table_bytes\":%" PRIu64
                ",\"pinned_bytes\":%" PRIu64 ",\"compaction_bytes\":%" PRIu64 "}",
                stats->charged_bytes, facts->cached_bytes, facts->cache_capacity,
                stats->table_bytes, stats->pinned_bytes, stats->compaction_bytes);
    add_levels(text, version, facts);
    add_counters(text, stats);
    kv_text_add(text, "}");
    kv_version_release(version);
}
