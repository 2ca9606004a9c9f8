/*
 * A store's figures, those that only properties tell among them.
 */
#ifndef QUARRY_KV_STATS_H
#define QUARRY_KV_STATS_H

#include <kv/background.h>

struct kv_facts {
    struct quarry_kv_stats stats;
    uint64_t active_bytes, active_entries, active_deletes; /* of the mutable layer */
    uint64_t immutable_count, immutable_entries, immutable_deletes, has_immutable;
    uint64_t used_bytes; /* of all memtables, without what is reserved for them */
    uint64_t is_flushing, running_compactions, background_errors;
    uint64_t deletions_enabled;
    uint64_t oldest_snapshot_sequence;
    uint64_t base_level, debt_bytes, live_bytes, total_bytes, version_count;
    uint64_t cache_capacity, cached_bytes;
    uint64_t oldest_log;
    uint64_t write_rate; /* bytes a second; 0: writers are not slowed */
    uint64_t is_stopped;
};

/* Threads: any. Cost: stats.c. */
void kv_facts_read(struct quarry_kv *kv, struct kv_facts *ret_facts);

#endif
