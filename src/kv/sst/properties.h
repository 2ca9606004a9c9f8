/*
 * Properties: what a table says of itself, by name.
 */
#ifndef QUARRY_KV_SST_PROPERTIES_H
#define QUARRY_KV_SST_PROPERTIES_H

#include <kv/key.h>
#include <kv/sst/heap.h>

#define SST_NAME_BYTES_MAX 128u

/* Of the property block.based.table.index.type. */
enum sst_index_type {
    SST_INDEX_BINARY = 0,
    SST_INDEX_HASH = 1, /* a binary one, with more beside it that is not read */
    SST_INDEX_TWO_LEVEL = 2,
    SST_INDEX_FIRST_KEY = 3, /* a binary one whose values hold blocks' first keys as well */
};

/* Those that are used, or told. Texts are cut off, and end in NUL. All-zero where absent. */
struct kv_table_properties {
    uint64_t data_bytes, index_bytes, filter_bytes;
    uint64_t raw_key_bytes, raw_value_bytes;
    uint64_t data_block_count, entry_count, filter_entry_count;
    uint64_t delete_count; /* range deletions included */
    uint64_t merge_count, range_delete_count;
    uint64_t creation_time, oldest_key_time, file_creation_time; /* s since 1970 */
    uint64_t original_file_number, column_family_id;
    uint64_t index_partition_count, top_level_index_bytes;
    uint64_t format_version;
    uint32_t index_type; /* enum sst_index_type */
    bool index_has_user_keys;
    bool index_is_delta_encoded;
    bool filters_whole_keys; /* true where absent */
    bool filters_prefixes;
    bool is_present;          /* there is a properties block at all */
    bool has_global_sequence; /* it was made to be ingested */
    uint32_t external_version;
    uint64_t global_sequence;
    char comparator[SST_NAME_BYTES_MAX];
    char merge_operator[SST_NAME_BYTES_MAX];
    char prefix_extractor[SST_NAME_BYTES_MAX];
    char filter_policy[SST_NAME_BYTES_MAX];
    char compression[SST_NAME_BYTES_MAX];
    char column_family[SST_NAME_BYTES_MAX];
    char collectors[SST_NAME_BYTES_MAX]; /* "[]" */
    uint64_t zero;                       /* what is always written as 0 */
    char db_id[SST_NAME_BYTES_MAX], session_id[SST_NAME_BYTES_MAX], host[SST_NAME_BYTES_MAX];
};

/* RocksDB's name of the extractor of prefixes of a length. `room`: of SST_NAME_BYTES_MAX. */
void sst_prefix_extractor_name(uint32_t prefix_bytes, char *room);

struct sst_block_build;

/*
 * Adds those that a new table has to a block, in their order. What is 0 or empty is left out where
 * its absence means the same. Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status sst_properties_put(const struct sst_heap *heap, struct sst_block_build *build,
                                      const struct kv_table_properties *properties);

/*
 * Reads a properties block. What is not known is passed over.
 * Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY.
 */
enum quarry_status sst_properties_get(const struct sst_heap *heap, const char *bytes,
                                      size_t byte_count,
                                      struct kv_table_properties *ret_properties);

#endif
