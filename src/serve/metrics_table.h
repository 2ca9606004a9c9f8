/*
 * Every family of /metrics: its name, its type, the part of the server that it is of, its labels,
 * and its help. Figures of it are written beside their source: grep for METRIC_ and the name.
 *
 * docs/metrics.md and quarry-metrics(7) are made from this table by tools/metrics, and a test fails
 * while they differ; another holds what a server tells against them.
 *
 * Names: base units in the plural at the end (_bytes, _seconds), _total on counters; the sum over
 * all labels means something, or the help says that it does not; no label has values without a
 * bound. A name once published stays. Labels: as they are written in a sample, with spaces between.
 */
#ifndef QUARRY_SERVE_METRICS_TABLE_H
#define QUARRY_SERVE_METRICS_TABLE_H

#define SERVE_METRICS(X)                                                                           \
    /* ---- PROCESS */                                                                             \
    X(quarry_build_info, GAUGE, PROCESS, "version", "What this is; always 1.")                     \
    X(quarry_start_time_seconds, GAUGE, PROCESS, "", "When the server began, since 1970.")         \
    X(quarry_cpu_seconds_total, COUNTER, PROCESS, "",                                              \
      "CPU time of all threads, of the program and of the kernel for it.")                         \
    X(quarry_resident_memory_bytes, GAUGE, PROCESS, "", "Memory of the process that is backed.")   \
    X(quarry_open_fds, GAUGE, PROCESS, "", "File descriptors that are open.")                      \
    X(quarry_max_fds, GAUGE, PROCESS, "", "File descriptors that may be open.")                    \
    X(quarry_threads, GAUGE, PROCESS, "", "Threads.")                                              \
    X(quarry_reporter_up, GAUGE, PROCESS, "",                                                      \
      "1 while the process that makes reports about the heap answers; 0: it has died or hangs, "   \
      "and comes back with a start of the server.")                                                \
    X(process_cpu_seconds_total, COUNTER, PROCESS, "",                                             \
      "CPU time of all threads, under the name that all of Prometheus' clients have.")             \
    X(process_open_fds, GAUGE, PROCESS, "", "File descriptors that are open, likewise.")           \
    X(process_max_fds, GAUGE, PROCESS, "", "File descriptors that may be open, likewise.")         \
    X(process_resident_memory_bytes, GAUGE, PROCESS, "", "Memory that is backed, likewise.")       \
    X(process_virtual_memory_bytes, GAUGE, PROCESS, "",                                            \
      "Addresses of the process, those without memory included.")                                  \
    X(process_start_time_seconds, GAUGE, PROCESS, "", "When the server began, since 1970.")        \
    /* ---- MEMORY */                                                                              \
    X(quarry_memory_state_bytes, GAUGE, MEMORY, "state",                                           \
      "Committed memory by what it is doing; the states add up.")                                  \
    X(quarry_memory_committed_bytes, GAUGE, MEMORY, "",                                            \
      "Committed memory, never above the limit.")                                                  \
    X(quarry_memory_limit_bytes, GAUGE, MEMORY, "", "The budget.")                                 \
    X(quarry_memory_peak_bytes, GAUGE, MEMORY, "", "The most that was ever committed.")            \
    X(quarry_memory_released_bytes, GAUGE, MEMORY, "", "Free, and given back to the kernel.")      \
    X(quarry_memory_owner_bytes, GAUGE, MEMORY, "owner, lane",                                     \
      "Memory in use, by who holds it and the lane it lies in.")                                   \
    X(quarry_memory_bytes, GAUGE, MEMORY, "owner state",                                           \
      "Committed memory: in_use by owner, the other states of no owner; all add up to what is "    \
      "committed.")                                                                                \
    X(quarry_memory_reserved_bytes, GAUGE, MEMORY, "", "Addresses of all lanes.")                  \
    X(quarry_memory_budget_bytes, GAUGE, MEMORY, "", "The budget, as quarry_memory_limit_bytes.")  \
    X(quarry_memory_budget_headroom_bytes, GAUGE, MEMORY, "",                                      \
      "What of the budget is not committed.")                                                      \
    X(quarry_memory_pressure_level, GAUGE, MEMORY, "",                                             \
      "0: none, 1: moderate, 2: high, 3: critical.")                                               \
    X(quarry_memory_goal_bytes, GAUGE, MEMORY, "", "What the scavenger aims to keep backed.")      \
    X(quarry_memory_refused_total, COUNTER, MEMORY, "owner",                                       \
      "Charges refused, by account; pages: allocations of pages that the budget had no room for.") \
    X(quarry_memory_reclaim_total, COUNTER, MEMORY, "from",                                        \
      "How often an account was asked for memory.")                                                \
    X(quarry_memory_reclaimed_bytes_total, COUNTER, MEMORY, "from", "What it gave then.")          \
    /* ---- HEAP */                                                                                \
    X(quarry_pageheap_pages, GAUGE, HEAP, "state",                                                 \
      "Pages of 8 KiB that lanes have grown to, by what they are doing; the states add up.")       \
    X(quarry_pageheap_largest_free_run_bytes, GAUGE, HEAP, "",                                     \
      "The longest free run of any lane, backed or not.")                                          \
    X(quarry_pageheap_external_fragmentation_ratio, GAUGE, HEAP, "",                               \
      "1 less the longest free run's part of all that is free; 0 where nothing is.")               \
    X(quarry_scavenger_released_bytes_total, COUNTER, HEAP, "mode",                                \
      "Given back to the kernel, by why.")                                                         \
    X(quarry_scavenger_cpu_seconds_total, COUNTER, HEAP, "mode",                                   \
      "CPU time of the background's work.")                                                        \
    X(quarry_scavenger_retained_bytes, GAUGE, HEAP, "", "Backed pages: in use, cached, and free.") \
    X(quarry_scavenger_goal_bytes, GAUGE, HEAP, "", "What the scavenger aims to keep of them.")    \
    X(quarry_scavenger_backlog_bytes, GAUGE, HEAP, "", "What it has yet to give back.")            \
    X(quarry_scavenger_madvise_total, COUNTER, HEAP, "", "Calls that gave memory back.")           \
    X(quarry_scavenger_errors_total, COUNTER, HEAP, "", "Of those, that the kernel refused.")      \
    X(quarry_spans, GAUGE, HEAP, "owner lifetime",                                                 \
      "Spans of small objects of the process' malloc.")                                            \
    X(quarry_span_bytes, GAUGE, HEAP, "owner lifetime",                                            \
      "Pages of those spans and of large objects.")                                                \
    X(quarry_alloc_bytes, GAUGE, HEAP, "owner lifetime", "Objects alive, by usable size.")         \
    X(quarry_fragmentation_bytes, GAUGE, HEAP, "owner lifetime",                                   \
      "Pages less objects: quarry_span_bytes - quarry_alloc_bytes.")                               \
    X(quarry_class_objects, GAUGE, HEAP, "class", "Objects alive, by size class in bytes.")        \
    X(quarry_class_spans, GAUGE, HEAP, "class", "Spans of a size class.")                          \
    X(quarry_class_span_bytes, GAUGE, HEAP, "class", "Pages of those.")                            \
    X(quarry_thread_cache_bytes, GAUGE, HEAP, "", "Free objects with threads.")                    \
    /* ---- ACCOUNTS */                                                                            \
    X(quarry_account_charged_bytes, GAUGE, ACCOUNTS, "account",                                    \
      "Charged, by account, those below it included.")                                             \
    X(quarry_account_peak_bytes, GAUGE, ACCOUNTS, "account", "The most that was charged.")         \
    X(quarry_account_floor_bytes, GAUGE, ACCOUNTS, "account", "What others cannot make it give.")  \
    X(quarry_account_ceiling_bytes, GAUGE, ACCOUNTS, "account",                                    \
      "What it may have; 0: no bound of its own.")                                                 \
    X(quarry_account_target_bytes, GAUGE, ACCOUNTS, "account",                                     \
      "What it should have, of one that moves; else 0.")                                           \
    X(quarry_account_refusals_total, COUNTER, ACCOUNTS, "account",                                 \
      "Charges refused at its ceiling.")                                                           \
    X(quarry_account_reclaims_total, COUNTER, ACCOUNTS, "account",                                 \
      "How often it was asked for memory.")                                                        \
    X(quarry_account_reclaimed_bytes_total, COUNTER, ACCOUNTS, "account", "What it gave then.")    \
    X(quarry_account_own_bytes, GAUGE, ACCOUNTS, "account",                                        \
      "Charged to an account itself; these add up.")                                               \
    /* ---- CONNECTIONS */                                                                         \
    X(quarry_net_connections, GAUGE, CONNECTIONS, "", "Connections now, of all doors.")            \
    X(quarry_net_connections_max, GAUGE, CONNECTIONS, "", "As many as there may be.")              \
    X(quarry_net_accepted_total, COUNTER, CONNECTIONS, "", "Connections that were accepted.")      \
    X(quarry_net_received_bytes_total, COUNTER, CONNECTIONS, "",                                   \
      "Bytes from clients, before decryption.")                                                    \
    X(quarry_net_sent_bytes_total, COUNTER, CONNECTIONS, "", "Bytes to clients.")                  \
    X(quarry_net_turns_total, COUNTER, CONNECTIONS, "",                                            \
      "Turns of connections: a read, what came executed, a write.")                                \
    X(quarry_net_waiting_bytes, GAUGE, CONNECTIONS, "",                                            \
      "Memory behind answers that their readers have yet to take.")                                \
    X(quarry_net_lag_max_seconds, GAUGE, CONNECTIONS, "",                                          \
      "The longest round of a loop: how late an event may have been seen.")                        \
    X(quarry_net_no_descriptors_total, COUNTER, CONNECTIONS, "",                                   \
      "How often accepting stopped for want of file descriptors.")                                 \
    X(quarry_net_cuts_total, COUNTER, CONNECTIONS, "reason",                                       \
      "Connections that the server ended or turned away, by reason.")                              \
    /* ---- DOORS */                                                                               \
    X(quarry_door_listeners, GAUGE, DOORS, "door",                                                 \
      "Addresses that a door listens on; 0: it is off.")                                           \
    X(quarry_http_answers_total, COUNTER, DOORS, "route, code",                                    \
      "Answers of the HTTP door, by route and kind of status.")                                    \
    X(quarry_http_duration_seconds, SUMMARY, DOORS, "route",                                       \
      "From the end of a request's header to that of its answer.")                                 \
    X(quarry_resp_commands_total, COUNTER, DOORS, "", "Commands of the RESP door.")                \
    X(quarry_resp_duration_seconds, HISTOGRAM, DOORS, "le",                                        \
      "How long commands of the RESP door took, all of them together.")                            \
    /* ---- CACHE */                                                                               \
    X(quarry_cache_size_bytes, GAUGE, CACHE, "", "What the cache may have.")                       \
    X(quarry_cache_charged_bytes, GAUGE, CACHE, "", "What it has.")                                \
    X(quarry_cache_page_bytes, GAUGE, CACHE, "", "Of that: pages of cells.")                       \
    X(quarry_cache_cell_bytes, GAUGE, CACHE, "", "Of those: cells of items.")                      \
    X(quarry_cache_free_bytes, GAUGE, CACHE, "",                                                   \
      "Of those: cells that are free or wait for readers.")                                        \
    X(quarry_cache_index_bytes, GAUGE, CACHE, "", "Indexes.")                                      \
    X(quarry_cache_policy_bytes, GAUGE, CACHE, "", "Queues and ghosts.")                           \
    X(quarry_cache_items, GAUGE, CACHE, "", "Items of all tenants.")                               \
    X(quarry_cache_moved_pages_total, COUNTER, CACHE, "",                                          \
      "Pages that were emptied for another use.")                                                  \
    X(quarry_cache_moved_items_total, COUNTER, CACHE, "", "Items that were moved for that.")       \
    X(quarry_cache_tenant_items, GAUGE, CACHE, "tenant", "Items of a tenant.")                     \
    X(quarry_cache_tenant_item_bytes, GAUGE, CACHE, "tenant", "Cells of its items.")               \
    X(quarry_cache_tenant_hits_total, COUNTER, CACHE, "tenant", "Gets that found something.")      \
    X(quarry_cache_tenant_misses_total, COUNTER, CACHE, "tenant", "Gets that found nothing.")      \
    X(quarry_cache_tenant_sets_total, COUNTER, CACHE, "tenant", "Items stored by request.")        \
    X(quarry_cache_tenant_evictions_total, COUNTER, CACHE, "tenant", "Items dropped for others.")  \
    X(quarry_cache_tenant_evicted_bytes_total, COUNTER, CACHE, "tenant", "Their cells.")           \
    X(quarry_cache_tenant_expirations_total, COUNTER, CACHE, "tenant", "Items found expired.")     \
    X(quarry_cache_tenant_ghost_hits_total, COUNTER, CACHE, "tenant",                              \
      "Misses of what was evicted not long before.")                                               \
    X(quarry_cache_tenant_refused_too_large_total, COUNTER, CACHE, "tenant",                       \
      "Items that were too large.")                                                                \
    X(quarry_cache_tenant_refused_no_memory_total, COUNTER, CACHE, "tenant",                       \
      "Items there was no room for.")                                                              \
    X(quarry_cache_pinned_bytes, GAUGE, CACHE, "", "Items that somebody is being sent.")           \
    X(quarry_cache_index_slots, GAUGE, CACHE, "", "Slots of the indexes.")                         \
    X(quarry_cache_tenant_requested_bytes, GAUGE, CACHE, "tenant",                                 \
      "Keys and values of its items.")                                                             \
    X(quarry_cache_tenant_evicted_unfetched_total, COUNTER, CACHE, "tenant",                       \
      "Items dropped that nobody had read.")                                                       \
    X(quarry_cache_tenant_promoted_total, COUNTER, CACHE, "tenant",                                \
      "Items that proved worth keeping.")                                                          \
    /* ---- KV */                                                                                  \
    X(quarry_kv_keys_estimated, GAUGE, KV, "", "About how many keys there are.")                   \
    X(quarry_kv_puts_total, COUNTER, KV, "", "Keys written.")                                      \
    X(quarry_kv_deletes_total, COUNTER, KV, "", "Keys deleted.")                                   \
    X(quarry_kv_merges_total, COUNTER, KV, "", "Merges written.")                                  \
    X(quarry_kv_range_deletes_total, COUNTER, KV, "", "Ranges deleted.")                           \
    X(quarry_kv_batches_total, COUNTER, KV, "", "Batches written.")                                \
    X(quarry_kv_gets_total, COUNTER, KV, "", "Keys asked for.")                                    \
    X(quarry_kv_get_hits_total, COUNTER, KV, "", "Of those, keys that were there.")                \
    X(quarry_kv_seeks_total, COUNTER, KV, "", "Places sought by iterators.")                       \
    X(quarry_kv_steps_total, COUNTER, KV, "", "Steps of iterators.")                               \
    X(quarry_kv_filter_useful_total, COUNTER, KV, "", "Reads that a filter saved.")                \
    X(quarry_kv_filter_false_total, COUNTER, KV, "", "Reads that a filter was wrong about.")       \
    X(quarry_kv_written_bytes_total, COUNTER, KV, "", "Keys and values written by users.")         \
    X(quarry_kv_read_bytes_total, COUNTER, KV, "", "Keys and values read by users.")               \
    X(quarry_kv_log_bytes_total, COUNTER, KV, "", "Bytes of the log.")                             \
    X(quarry_kv_log_syncs_total, COUNTER, KV, "", "Syncs of the log.")                             \
    X(quarry_kv_flushes_total, COUNTER, KV, "", "Memtables that became files.")                    \
    X(quarry_kv_flushed_bytes_total, COUNTER, KV, "", "Bytes of those files.")                     \
    X(quarry_kv_compactions_total, COUNTER, KV, "", "Compactions.")                                \
    X(quarry_kv_memtable_bytes, GAUGE, KV, "", "Memtables.")                                       \
    X(quarry_kv_block_bytes, GAUGE, KV, "", "Blocks in the cache.")                                \
    X(quarry_kv_pinned_bytes, GAUGE, KV, "", "Blocks that somebody uses.")                         \
    X(quarry_kv_table_bytes, GAUGE, KV, "", "Open tables.")                                        \
    X(quarry_kv_charged_bytes, GAUGE, KV, "", "All memory of the store.")                          \
    X(quarry_kv_snapshots, GAUGE, KV, "", "Snapshots that are held.")                              \
    X(quarry_kv_iterators, GAUGE, KV, "", "Iterators that are open.")                              \
    X(quarry_kv_obsolete_bytes, GAUGE, KV, "", "Files that only iterators and checkpoints keep.")  \
    X(quarry_kv_level_files, GAUGE, KV, "level", "How many files a level has.")                    \
    X(quarry_kv_level_bytes, GAUGE, KV, "level", "Files, by level.")                               \
    X(quarry_kv_level_compaction_read_bytes_total, COUNTER, KV, "level",                           \
      "Read by compactions into it.")                                                              \
    X(quarry_kv_level_compaction_written_bytes_total, COUNTER, KV, "level",                        \
      "Written by compactions into it.")                                                           \
    X(quarry_kv_read_only, GAUGE, KV, "", "1: the store takes no writes.")                         \
    X(quarry_kv_delayed_seconds_total, COUNTER, KV, "how",                                         \
      "For how long writers were held up, by how.")                                                \
    X(quarry_kv_filter_passed_total, COUNTER, KV, "", "Reads that a filter let pass.")             \
    X(quarry_kv_log_groups_total, COUNTER, KV, "",                                                 \
      "Writes of the log, each of one or more batches.")                                           \
    X(quarry_kv_moves_total, COUNTER, KV, "", "Files moved a level down as they were.")            \
    X(quarry_kv_memtables, GAUGE, KV, "", "How many memtables there are.")                         \
    X(quarry_kv_compaction_bytes, GAUGE, KV, "", "Memory of compactions under way.")               \
    X(quarry_kv_level_score, GAUGE, KV, "level",                                                   \
      "How much a level wants compaction: from 1 on it does.")                                     \
    X(quarry_kv_level_compaction_seconds_total, COUNTER, KV, "level", "Time of merging into it.")  \
    X(quarry_block_cache_bytes, GAUGE, KV, "state",                                                \
      "Blocks of the cache: hot, cold, and held by readers alone.")                                \
    X(quarry_block_cache_capacity_bytes, GAUGE, KV, "", "What the block cache may have.")          \
    X(quarry_block_cache_metadata_bytes, GAUGE, KV, "", "Its entries and tables.")                 \
    X(quarry_block_cache_hits_total, COUNTER, KV, "kind",                                          \
      "Blocks found, by kind; of background readers too.")                                         \
    X(quarry_block_cache_misses_total, COUNTER, KV, "kind", "Blocks not found.")                   \
    X(quarry_block_cache_inserts_total, COUNTER, KV, "kind", "Blocks put in.")                     \
    X(quarry_block_cache_evictions_total, COUNTER, KV, "kind", "Blocks dropped for want of room.") \
    X(quarry_block_cache_ghost_hits_total, COUNTER, KV, "",                                        \
      "Misses of what was evicted not long before.")                                               \
    X(quarry_block_cache_target_cold_bytes, GAUGE, KV, "", "What cold blocks should have.")        \
    /* ---- TSDB */                                                                                \
    X(quarry_tsdb_series, GAUGE, TSDB, "", "Series now.")                                          \
    X(quarry_tsdb_tenants, GAUGE, TSDB, "", "Tenants with series.")                                \
    X(quarry_tsdb_windows, GAUGE, TSDB, "", "Windows now.")                                        \
    X(quarry_tsdb_samples_total, COUNTER, TSDB, "", "Samples taken.")                              \
    X(quarry_tsdb_late_samples_total, COUNTER, TSDB, "", "Of those, out of order.")                \
    X(quarry_tsdb_repeated_samples_total, COUNTER, TSDB, "", "Of those, there already.")           \
    X(quarry_tsdb_raced_samples_total, COUNTER, TSDB, "",                                          \
      "Out of order by the time they were written, and left out.")                                 \
    X(quarry_tsdb_series_created_total, COUNTER, TSDB, "", "Series begun.")                        \
    X(quarry_tsdb_series_removed_total, COUNTER, TSDB, "", "Series whose last window is gone.")    \
    X(quarry_tsdb_series_visited_total, COUNTER, TSDB, "", "Series looked at for removal.")        \
    X(quarry_tsdb_sealed_shards_total, COUNTER, TSDB, "", "Shards of windows that were sealed.")   \
    X(quarry_tsdb_early_shards_total, COUNTER, TSDB, "",                                           \
      "Of those, before their time, for want of memory.")                                          \
    X(quarry_tsdb_purged_windows_total, COUNTER, TSDB, "", "Windows purged.")                      \
    X(quarry_tsdb_early_windows_total, COUNTER, TSDB, "",                                          \
      "Of those, before their time: samples were lost.")                                           \
    X(quarry_tsdb_fillings_total, COUNTER, TSDB, "",                                               \
      "Sealed windows that were opened again for late samples.")                                   \
    X(quarry_tsdb_open_fillings, GAUGE, TSDB, "", "Of those, not sealed anew yet.")                \
    X(quarry_tsdb_filling_failures_total, COUNTER, TSDB, "",                                       \
      "Tries to seal one anew that found no memory.")                                              \
    X(quarry_tsdb_tombstones, GAUGE, TSDB, "",                                                     \
      "Spans of series that were deleted, and are there still.")                                   \
    X(quarry_tsdb_exported_windows_total, COUNTER, TSDB, "",                                       \
      "Windows exported before they were purged.")                                                 \
    X(quarry_tsdb_export_failures_total, COUNTER, TSDB, "",                                        \
      "Tries to export a window that failed.")                                                     \
    X(quarry_tsdb_unexported_windows_total, COUNTER, TSDB, "",                                     \
      "Windows purged that were to be exported and were not.")                                     \
    X(quarry_tsdb_left_out_series, GAUGE, TSDB, "",                                                \
      "Series that had no room when the store was opened; their files are kept.")                  \
    X(quarry_tsdb_peak_bytes, GAUGE, TSDB, "", "The most memory that the store has had.")          \
    X(quarry_tsdb_bytes, GAUGE, TSDB, "part", "Memory of the store, by part; the parts add up.")   \
    X(quarry_tsdb_used_bytes, GAUGE, TSDB, "part",                                                 \
      "Memory of windows that holds something, by part.")                                          \
    X(quarry_tsdb_refused_samples_total, COUNTER, TSDB, "reason", "Samples refused, by reason.")   \
    X(quarry_tsdb_families, GAUGE, TSDB, "", "Metric families whose type or help is known.")       \
    X(quarry_tsdb_evicted_families_total, COUNTER, TSDB, "",                                       \
      "Families forgotten, for there were too many.")                                              \
    X(quarry_tsdb_exemplars_total, COUNTER, TSDB, "result",                                        \
      "Exemplars that were brought, by what became of them.")                                      \
    X(quarry_tsdb_exemplars, GAUGE, TSDB, "", "Exemplars that are kept.")                          \
    X(quarry_tsdb_exemplar_bytes, GAUGE, TSDB, "", "Bytes of the exemplars that are kept.")        \
    X(quarry_tsdb_charged_bytes, GAUGE, TSDB, "", "All memory of the store.")                      \
    X(quarry_tsdb_window_bytes, GAUGE, TSDB, "window state",                                       \
      "Pages of windows, 0 the oldest: used, and slack that holds nothing.")                       \
    X(quarry_tsdb_window_samples, GAUGE, TSDB, "window", "Samples of windows, 0 the oldest.")      \
    X(quarry_tsdb_histograms_total, COUNTER, TSDB, "", "Of the samples taken, histograms.")        \
    X(quarry_tsdb_log_bytes_total, COUNTER, TSDB, "", "Bytes of the log, of this opening.")        \
    X(quarry_tsdb_log_segments_total, COUNTER, TSDB, "", "Segments of the log, of this opening.")  \
    X(quarry_tsdb_log_syncs_total, COUNTER, TSDB, "", "Syncs of the log.")                         \
    X(quarry_tsdb_log_failures_total, COUNTER, TSDB, "", "Requests that could not be logged.")     \
    X(quarry_tsdb_replayed_samples, GAUGE, TSDB, "",                                               \
      "Samples of the log when the store was opened.")                                             \
    X(quarry_tsdb_window_files, GAUGE, TSDB, "", "Files of windows now.")                          \
    X(quarry_tsdb_saved_windows_total, COUNTER, TSDB, "", "Windows saved.")                        \
    X(quarry_tsdb_save_failures_total, COUNTER, TSDB, "", "Tries to save one that failed.")        \
    X(quarry_tsdb_snapshots_total, COUNTER, TSDB, "", "Snapshots taken.")                          \
    X(quarry_tsdb_snapshot_failures_total, COUNTER, TSDB, "", "Snapshots that failed.")            \
    /* ---- ALIASES */                                                                             \
    X(prometheus_tsdb_head_series, GAUGE, ALIASES, "", "Series now.")                              \
    X(prometheus_tsdb_head_series_created_total, COUNTER, ALIASES, "", "Series begun.")            \
    X(prometheus_tsdb_head_series_removed_total, COUNTER, ALIASES, "", "Series removed.")          \
    X(prometheus_tsdb_head_min_time, GAUGE, ALIASES, "",                                           \
      "Start of the oldest window, in milliseconds.")                                              \
    X(prometheus_tsdb_head_max_time, GAUGE, ALIASES, "", "The newest sample, in milliseconds.")    \
    X(prometheus_tsdb_head_min_time_seconds, GAUGE, ALIASES, "", "Start of the oldest window.")    \
    X(prometheus_tsdb_head_max_time_seconds, GAUGE, ALIASES, "", "The newest sample.")             \
    X(prometheus_tsdb_head_samples_appended_total, COUNTER, ALIASES, "type", "Samples taken.")     \
    X(prometheus_tsdb_head_out_of_order_samples_appended_total, COUNTER, ALIASES, "type",          \
      "Samples taken out of order.")                                                               \
    X(prometheus_tsdb_out_of_order_samples_total, COUNTER, ALIASES, "type",                        \
      "Samples refused as out of order.")                                                          \
    X(prometheus_tsdb_out_of_bound_samples_total, COUNTER, ALIASES, "type",                        \
      "Samples refused as out of bounds.")                                                         \
    X(prometheus_tsdb_too_old_samples_total, COUNTER, ALIASES, "type",                             \
      "Samples refused as too old.")                                                               \
    /* ---- SCRAPING */                                                                            \
    X(quarry_scrape_targets, GAUGE, SCRAPING, "", "Targets that are scraped.")                     \
    X(quarry_scrape_series, GAUGE, SCRAPING, "", "Series that are known to be theirs.")            \
    X(quarry_scrape_scrapes_total, COUNTER, SCRAPING, "", "Scrapes that have ended.")              \
    X(quarry_scrape_failures_total, COUNTER, SCRAPING, "", "Of those, that failed.")               \
    X(quarry_scrape_skipped_total, COUNTER, SCRAPING, "",                                          \
      "Scrapes left out, as the one before still ran.")                                            \
    X(quarry_scrape_samples_total, COUNTER, SCRAPING, "",                                          \
      "Samples that the store has taken from scrapes.")                                            \
    X(quarry_scrape_refused_samples_total, COUNTER, SCRAPING, "", "Samples that it has refused.")  \
    X(quarry_scrape_stale_markers_total, COUNTER, SCRAPING, "",                                    \
      "Series that were ended by a marker.")                                                       \
    X(quarry_scrape_body_bytes_total, COUNTER, SCRAPING, "", "Bytes of pages, unpacked.")          \
    X(quarry_scrape_file_errors_total, COUNTER, SCRAPING, "",                                      \
      "Files of targets that could not be read.")

/* The name as it is told, so that it is found by it. */
#define SERVE_METRIC_ID(NAME, TYPE, PART, LABELS, HELP) METRIC_##NAME,
enum serve_metric { SERVE_METRICS(SERVE_METRIC_ID) METRICS_COUNT };
#undef SERVE_METRIC_ID

#endif
