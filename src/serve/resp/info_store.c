/*
 * INFO: the sections on memory, on what is kept, and on the store.
 *
 * used_memory is what owners hold in the page heap and its own structures: the budget's figure, of
 * the whole process with all its stores, which maxmemory bounds. What was cached or is free and
 * backed is in the allocator's figures; used_memory_rss is the kernel's.
 *
 * The log is what Redis' append-only file is: aof_enabled says whether it is written.
 */
#include <serve/resp/info_sections.h>

#include <stdio.h>
#include <stdlib.h>

static double ratio(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static uint64_t used_bytes(const struct resp_info *info)
{
    return info->ledger.in_use_bytes + info->ledger.metadata_bytes;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* A size as a number, and as people read it. */
static void tell_bytes(struct resp_info *info, const char *name, uint64_t bytes)
{
    char human[32];

    resp_text_add(&info->text, "%s:%llu\r\n%s_human:%s\r\n", name, (unsigned long long)bytes, name,
                  resp_human_bytes(bytes, human));
}

static void tell_used(struct resp_info *info)
{
    uint64_t used = used_bytes(info);
    uint64_t dataset = size_min_u64(info->kv.charged_bytes, used);

    tell_bytes(info, "used_memory", used);
    tell_bytes(info, "used_memory_rss", info->resident_bytes);
    tell_bytes(info, "used_memory_peak", info->ledger.peak_bytes);
    resp_text_add(&info->text, "used_memory_peak_perc:%.2f%%\r\n",
                  ratio(used, info->ledger.peak_bytes) * 100);
    RESP_INFO_NUMBERS(info, {"used_memory_overhead", used - dataset},
                      {"used_memory_startup", info->ledger.metadata_bytes},
                      {"used_memory_dataset", dataset});
    resp_text_add(&info->text, "used_memory_dataset_perc:%.2f%%\r\n", ratio(dataset, used) * 100);
}

static void tell_scripts(struct resp_info *info)
{
    RESP_INFO_NUMBERS(info, {"used_memory_lua", 0}, {"used_memory_vm_eval", 0});
    resp_text_add(&info->text, "used_memory_lua_human:0B\r\n");
    RESP_INFO_NUMBERS(info, {"used_memory_scripts_eval", 0}, {"number_of_cached_scripts", 0},
                      {"number_of_functions", 0}, {"number_of_libraries", 0},
                      {"used_memory_vm_functions", 0}, {"used_memory_vm_total", 0},
                      {"used_memory_functions", 0}, {"used_memory_scripts", 0});
}

static void tell_fragmentation(struct resp_info *info)
{
    const struct quarry_ledger *ledger = &info->ledger;
    uint64_t active = ledger->in_use_bytes + ledger->cached_bytes;
    uint64_t used = used_bytes(info), resident = info->resident_bytes;

    resp_text_add(&info->text,
                  "allocator_frag_ratio:%.2f\r\nallocator_frag_bytes:%llu\r\n"
                  "allocator_rss_ratio:%.2f\r\nallocator_rss_bytes:%lld\r\n"
                  "rss_overhead_ratio:%.2f\r\nrss_overhead_bytes:%lld\r\n"
                  "mem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%lld\r\n",
                  ratio(active, ledger->in_use_bytes), (unsigned long long)ledger->cached_bytes,
                  ratio(ledger->committed_bytes, active),
                  (long long)(ledger->committed_bytes - active),
                  ratio(resident, ledger->committed_bytes),
                  (long long)resident - (long long)ledger->committed_bytes, ratio(resident, used),
                  (long long)resident - (long long)used);
}

void resp_info_memory(struct resp_info *info)
{
    const struct quarry_ledger *ledger = &info->ledger;
    char human[32];

    tell_used(info);
    RESP_INFO_NUMBERS(info, {"allocator_allocated", ledger->in_use_bytes},
                      {"allocator_active", ledger->in_use_bytes + ledger->cached_bytes},
                      {"allocator_resident", ledger->committed_bytes});
    tell_bytes(info, "total_system_memory", info->figures.total_ram_bytes);
    tell_scripts(info);
    tell_bytes(info, "maxmemory", ledger->limit_bytes);
    resp_text_add(&info->text, "maxmemory_policy:noeviction\r\n");
    tell_fragmentation(info);
    RESP_INFO_NUMBERS(info, {"mem_not_counted_for_evict", 0}, {"mem_replication_backlog", 0},
                      {"mem_total_replication_buffers", 0}, {"mem_clients_slaves", 0},
                      {"mem_clients_normal", info->figures.waiting_bytes}, {"mem_cluster_links", 0},
                      {"mem_aof_buffer", 0});
    resp_text_add(&info->text, "mem_allocator:quarry-%s\r\n", resp_admin_settings()->version);
    RESP_INFO_NUMBERS(info, {"active_defrag_running", 0}, {"lazyfree_pending_objects", 0},
                      {"lazyfreed_objects", 0});
    resp_text_add(&info->text,
                  "quarry_memory_released:%llu\r\nquarry_memory_pressure:%s\r\n"
                  "quarry_memory_headroom_human:%s\r\n",
                  (unsigned long long)ledger->released_bytes,
                  quarry_pressure_name(quarry_memory_pressure(resp_admin_settings()->memory)),
                  resp_human_bytes(ledger->limit_bytes - ledger->committed_bytes, human));
}

/* ---- what is kept --------------------------------------------------------------------------- */

/* Of all levels. */
static uint64_t file_bytes(const struct resp_info *info)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < QUARRY_KV_LEVELS; i++) {
        bytes += info->kv.level[i].file_bytes;
    }
    return bytes;
}

static void tell_saving(struct resp_info *info)
{
    RESP_INFO_NUMBERS(info, {"loading", 0}, {"async_loading", 0}, {"current_cow_peak", 0},
                      {"current_cow_size", 0}, {"current_cow_size_age", 0});
    resp_text_add(&info->text, "current_fork_perc:0.00\r\n");
    RESP_INFO_NUMBERS(info, {"current_save_keys_processed", 0}, {"current_save_keys_total", 0},
                      {"rdb_changes_since_last_save", resp_changes_since_saved()},
                      {"rdb_bgsave_in_progress", 0}, {"rdb_last_save_time", resp_saved_seconds()});
    resp_text_add(&info->text,
                  "rdb_last_bgsave_status:%s\r\nrdb_last_bgsave_time_sec:-1\r\n"
                  "rdb_current_bgsave_time_sec:-1\r\n",
                  resp_last_save_failed() ? "err" : "ok");
    RESP_INFO_NUMBERS(info, {"rdb_saves", 0}, {"rdb_last_cow_size", 0},
                      {"rdb_last_load_keys_expired", 0}, {"rdb_last_load_keys_loaded", 0});
}

void resp_info_persistence(struct resp_info *info)
{
    bool is_logged = info->settings.durability != RESP_DURABLE_NONE;
    struct quarry_kv_state state;

    quarry_kv_read_state(keyspace_kv(info->call->keyspace), &state);
    tell_saving(info);
    RESP_INFO_NUMBERS(info, {"aof_enabled", is_logged ? 1 : 0}, {"aof_rewrite_in_progress", 0},
                      {"aof_rewrite_scheduled", 0});
    resp_text_add(&info->text, "aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\n"
                               "aof_last_bgrewrite_status:ok\r\n");
    RESP_INFO_NUMBERS(info, {"aof_rewrites", 0}, {"aof_rewrites_consecutive_failures", 0});
    resp_text_add(&info->text, "aof_last_write_status:%s\r\n", state.is_read_only ? "err" : "ok");
    RESP_INFO_NUMBERS(info, {"aof_last_cow_size", 0}, {"module_fork_in_progress", 0},
                      {"module_fork_last_cow_size", 0});
    if (is_logged) {
        RESP_INFO_NUMBERS(info, {"aof_current_size", file_bytes(info) + info->kv.memtable_bytes},
                          {"aof_base_size", file_bytes(info)}, {"aof_pending_rewrite", 0},
                          {"aof_buffer_length", 0}, {"aof_pending_bio_fsync", 0},
                          {"aof_delayed_fsync", 0});
    }
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void tell_database(struct resp_info *info, uint32_t database,
                          const struct keyspace_counts *counts)
{
    uint64_t ttl_ms = counts->expiring_keys == 0 ? 0 : counts->ttl_ms_sum / counts->expiring_keys;

    resp_text_add(&info->text, "db%u:keys=%llu,expires=%llu,avg_ttl=%llu\r\n", database,
                  (unsigned long long)counts->keys, (unsigned long long)counts->expiring_keys,
                  (unsigned long long)ttl_ms);
}

/* Few keys are counted, which is exact; of more there is an estimate. */
void resp_info_keyspace(struct resp_info *info)
{
    struct keyspace_scope scope = info->call->session->scope;
    uint32_t databases = (uint32_t)size_min(info->settings.databases, KEYSPACE_DATABASES_MAX);

    for (uint32_t i = 0; i < databases; i++) {
        struct keyspace_counts counts;
        bool is_exact;
        scope.database = (uint8_t)i;
        keyspace_estimate(info->call->keyspace, &scope, &counts, &is_exact);
        if (counts.keys > 0) {
            tell_database(info, i, &counts);
        }
    }
}

/* ---- what Redis has no names for ------------------------------------------------------------ */

static void tell_levels(struct resp_info *info)
{
    for (uint32_t i = 0; i < QUARRY_KV_LEVELS; i++) {
        const struct quarry_kv_level_stats *level = &info->kv.level[i];
        if (level->file_count > 0) {
            resp_text_add(&info->text,
                          "kv_level%u:files=%u,bytes=%llu,score=%.2f,compaction_read=%llu,"
                          "compaction_written=%llu\r\n",
                          i, level->file_count, (unsigned long long)level->file_bytes, level->score,
                          (unsigned long long)level->compaction_read_bytes,
                          (unsigned long long)level->compaction_written_bytes);
        }
    }
}

void resp_info_quarry(struct resp_info *info)
{
    static const char *const durabilities[] = {"none", "process", "power"};
    const struct quarry_kv_stats *kv = &info->kv;
    struct keyspace_figures keyspace;
    struct quarry_kv_state state;

    Q_ASSERT(info->settings.durability <= RESP_DURABLE_POWER);
    keyspace_read_figures(info->call->keyspace, &keyspace);
    quarry_kv_read_state(keyspace_kv(info->call->keyspace), &state);
    resp_text_add(&info->text, "durability:%s\r\nkv_state:%s\r\n",
                  durabilities[info->settings.durability],
                  state.is_read_only ? state.reason.text : "ok");
    RESP_INFO_NUMBERS(
        info, {"kv_estimated_keys", kv->estimated_keys}, {"kv_memtable_bytes", kv->memtable_bytes},
        {"kv_memtables", kv->memtable_count}, {"kv_block_cache_bytes", kv->block_bytes},
        {"kv_pinned_bytes", kv->pinned_bytes}, {"kv_table_bytes", kv->table_bytes},
        {"kv_charged_bytes", kv->charged_bytes}, {"kv_puts", kv->put_count},
        {"kv_deletes", kv->delete_count}, {"kv_gets", kv->get_count}, {"kv_seeks", kv->seek_count},
        {"kv_steps", kv->step_count}, {"kv_user_written_bytes", kv->written_bytes},
        {"kv_user_read_bytes", kv->read_bytes}, {"kv_log_written_bytes", kv->log_bytes},
        {"kv_log_syncs", kv->log_sync_count}, {"kv_log_groups", kv->log_group_count},
        {"kv_flushes", kv->flush_count}, {"kv_flushed_bytes", kv->flush_bytes},
        {"kv_compactions", kv->compaction_count}, {"kv_filter_useful", kv->filter_useful_count},
        {"kv_filter_false", kv->filter_false_count},
        {"kv_throttled_ms", kv->throttled_ns / Q_MS_NS},
        {"kv_stopped_ms", kv->stopped_ns / Q_MS_NS}, {"kv_snapshots", kv->snapshot_count},
        {"kv_iterators", kv->iterator_count}, {"kv_obsolete_bytes", kv->obsolete_bytes},
        {"expired_seen", keyspace.expired_seen_count},
        {"expired_dropped", keyspace.expired_dropped_count},
        {"sent_to_executor", keyspace.busy_count}, {"watches", keyspace.watch_count},
        {"cursors", keyspace.cursor_count}, {"worker_lag_max_us", info->figures.lag_max_ns / 1000});
    tell_levels(info);
}
