/*
 * Texts of properties.
 */
#ifndef QUARRY_KV_PROPERTY_H
#define QUARRY_KV_PROPERTY_H

#include <kv/stats.h>

/* Text that is cut off where the room ends, and counted to its own end. */
struct kv_text {
    char *room; /* ends in NUL, where there is any */
    size_t room_bytes;
    size_t byte_count; /* of the whole text */
};
void kv_text_add(struct kv_text *text, const char *format, ...) Q_PRINTF(2, 3);

/* What the tables of some levels say of themselves. Those that cannot be opened do not count. */
struct kv_totals {
    uint64_t data_bytes, index_bytes, filter_bytes;
    uint64_t raw_key_bytes, raw_value_bytes;
    uint64_t block_count, entry_count, filter_entry_count;
    uint64_t delete_count, merge_count, range_delete_count;
    uint64_t index_partition_count, top_level_index_bytes;
};
void kv_totals_read(struct quarry_kv *kv, uint32_t from_level, uint32_t to_level,
                    struct kv_totals *ret_totals);

typedef void kv_property_function(struct kv_text *text, struct quarry_kv *kv,
                                  const struct kv_facts *facts);
kv_property_function kv_property_stats, kv_property_levels, kv_property_writes;
kv_property_function kv_property_level_sizes, kv_property_sstables, kv_property_aggregated;
kv_property_function kv_property_stats_leveldb, kv_property_sstables_leveldb;
kv_property_function kv_property_lsm, kv_property_memory, kv_property_pins, kv_property_json;

#endif
