/*
 * Which options there are.
 *
 * A row says what an option is called, by us and by RocksDB, and how its value is read; nothing
 * else in the store knows names. RocksDB's names that mean nothing here are in no table: they are
 * passed over in a file, and refused on a command line.
 */
#include <kv/options_table.h>

#define AT(member) offsetof(struct quarry_kv_options, member)

static const struct kv_option_word formats[] = {
    {"auto", NULL, QUARRY_KV_FORMAT_AUTO, false},
    {"rocksdb", NULL, QUARRY_KV_FORMAT_ROCKSDB, false},
    {"leveldb", NULL, QUARRY_KV_FORMAT_LEVELDB, false},
    {NULL, NULL, 0, false},
};

static const struct kv_option_word durabilities[] = {
    {"default", NULL, QUARRY_KV_DEFAULT, false},
    {"none", NULL, QUARRY_KV_NONE, false},
    {"process", NULL, QUARRY_KV_PROCESS, false},
    {"power", NULL, QUARRY_KV_POWER, false},
    {NULL, NULL, 0, false},
};

/* The first word with a value is how it is written. */
static const struct kv_option_word compressions[] = {
    {"none", "kNoCompression", QUARRY_KV_COMPRESSION_NONE, false},
    {"snappy", "kSnappyCompression", QUARRY_KV_COMPRESSION_SNAPPY, false},
    {"lz4", "kLZ4Compression", QUARRY_KV_COMPRESSION_LZ4, false},
    {"zstd", "kZSTD", QUARRY_KV_COMPRESSION_ZSTD, false},
    {"default", "kDisableCompressionOption", QUARRY_KV_COMPRESSION_DEFAULT, false},
    {NULL, "kLZ4HCCompression", QUARRY_KV_COMPRESSION_LZ4, false},
    {NULL, "kZSTDNotFinalCompression", QUARRY_KV_COMPRESSION_ZSTD, false},
    {NULL, "kZlibCompression", QUARRY_KV_COMPRESSION_DEFAULT, true},
    {NULL, "kBZip2Compression", QUARRY_KV_COMPRESSION_DEFAULT, true},
    {NULL, "kXpressCompression", QUARRY_KV_COMPRESSION_DEFAULT, true},
    {NULL, NULL, 0, false},
};

static const struct kv_option_word checksums[] = {
    {"default", NULL, QUARRY_KV_CHECKSUM_DEFAULT, false},
    {"crc32c", "kCRC32c", QUARRY_KV_CHECKSUM_CRC32C, false},
    {"xxh32", "kxxHash", QUARRY_KV_CHECKSUM_XXH32, false},
    {"xxh64", "kxxHash64", QUARRY_KV_CHECKSUM_XXH64, false},
    {"xxh3", "kXXH3", QUARRY_KV_CHECKSUM_XXH3, false},
    {NULL, "kNoChecksum", QUARRY_KV_CHECKSUM_DEFAULT, true},
    {NULL, NULL, 0, false},
};

#define BYTES_MAX   Q_TIB(16)
#define BUFFER_MAX  Q_GIB(64)
#define FILE_MAX    Q_TIB(1)
#define COUNT_MAX   65536u
#define BOOL_MAX    1u
#define NO_FALLBACK 0u

const struct kv_option kv_option_table[] = {
    {"memory_bytes", NULL, KV_OPTION_BYTES, KV_OPTION_OURS, AT(memory_bytes), BYTES_MAX,
     NO_FALLBACK, NULL},
    {"create_if_missing", "create_if_missing", KV_OPTION_BOOL, KV_OPTION_DB, AT(create_if_missing),
     BOOL_MAX, NO_FALLBACK, NULL},
    {"error_if_exists", "error_if_exists", KV_OPTION_BOOL, KV_OPTION_DB, AT(error_if_exists),
     BOOL_MAX, NO_FALLBACK, NULL},
    {"read_only", NULL, KV_OPTION_BOOL, KV_OPTION_OURS, AT(read_only), BOOL_MAX, NO_FALLBACK, NULL},
    {"format", NULL, KV_OPTION_WORD, KV_OPTION_OURS, AT(format), 0, NO_FALLBACK, formats},
    {"durability", NULL, KV_OPTION_WORD, KV_OPTION_OURS, AT(durability), 0, NO_FALLBACK,
     durabilities},
    {"merge_operator", "merge_operator", KV_OPTION_MERGE, KV_OPTION_CF, AT(merge_operator), 0,
     NO_FALLBACK, NULL},
    {"write_buffer_bytes", "write_buffer_size", KV_OPTION_BYTES, KV_OPTION_CF,
     AT(write_buffer_bytes), BUFFER_MAX, NO_FALLBACK, NULL},
    {"write_buffer_count", "max_write_buffer_number", KV_OPTION_U32, KV_OPTION_CF,
     AT(write_buffer_count), COUNT_MAX, NO_FALLBACK, NULL},
    {"block_cache_bytes", NULL, KV_OPTION_BYTES, KV_OPTION_OURS, AT(block_cache_bytes), BYTES_MAX,
     NO_FALLBACK, NULL},
    {"pinned_bytes", NULL, KV_OPTION_BYTES, KV_OPTION_OURS, AT(pinned_bytes), BYTES_MAX,
     NO_FALLBACK, NULL},
    {"log_segment_bytes", NULL, KV_OPTION_BYTES, KV_OPTION_OURS, AT(log_segment_bytes), FILE_MAX,
     NO_FALLBACK, NULL},
    {"log_bytes_max", "max_total_wal_size", KV_OPTION_BYTES, KV_OPTION_DB, AT(log_bytes_max),
     BYTES_MAX, NO_FALLBACK, NULL},
    {"key_bytes_max", NULL, KV_OPTION_BYTES, KV_OPTION_OURS, AT(key_bytes_max),
     QUARRY_KV_KEY_BYTES_MAX, NO_FALLBACK, NULL},
    {"value_bytes_max", NULL, KV_OPTION_BYTES, KV_OPTION_OURS, AT(value_bytes_max),
     QUARRY_KV_VALUE_BYTES_MAX, NO_FALLBACK, NULL},
    {"block_bytes", "block_size", KV_OPTION_BYTES32, KV_OPTION_TABLE, AT(block_bytes), Q_MIB(256),
     NO_FALLBACK, NULL},
    {"block_restart_interval", "block_restart_interval", KV_OPTION_U32, KV_OPTION_TABLE,
     AT(block_restart_interval), COUNT_MAX, NO_FALLBACK, NULL},
    {"compression", "compression", KV_OPTION_WORD, KV_OPTION_CF, AT(compression), 0, NO_FALLBACK,
     compressions},
    {"compression_top", NULL, KV_OPTION_WORD, KV_OPTION_OURS, AT(compression_top), 0, NO_FALLBACK,
     compressions},
    {"compression_bottom", "bottommost_compression", KV_OPTION_WORD, KV_OPTION_CF,
     AT(compression_bottom), 0, NO_FALLBACK, compressions},
    {"compression_level", NULL, KV_OPTION_LEVEL, KV_OPTION_OURS, AT(compression_level), 0,
     NO_FALLBACK, NULL},
    {"checksum", "checksum", KV_OPTION_WORD, KV_OPTION_TABLE, AT(checksum), 0,
     QUARRY_KV_CHECKSUM_CRC32C, checksums},
    {"bloom_bits", "filter_policy", KV_OPTION_BLOOM, KV_OPTION_TABLE, AT(bloom_millibits), 100000,
     10000, NULL},
    {"bloom_millibits", NULL, KV_OPTION_U32, KV_OPTION_OURS, AT(bloom_millibits), 100000,
     NO_FALLBACK, NULL},
    {"has_partitioned_filters", "partition_filters", KV_OPTION_BOOL, KV_OPTION_TABLE,
     AT(has_partitioned_filters), BOOL_MAX, NO_FALLBACK, NULL},
    {"prefix_bytes", "prefix_extractor", KV_OPTION_U32, KV_OPTION_CF, AT(prefix_bytes),
     QUARRY_KV_KEY_BYTES_MAX, NO_FALLBACK, NULL},
    {"file_bytes", "target_file_size_base", KV_OPTION_BYTES, KV_OPTION_CF, AT(file_bytes), FILE_MAX,
     NO_FALLBACK, NULL},
    {"level1_bytes", "max_bytes_for_level_base", KV_OPTION_BYTES, KV_OPTION_CF, AT(level1_bytes),
     BYTES_MAX, NO_FALLBACK, NULL},
    {"level_ratio", "max_bytes_for_level_multiplier", KV_OPTION_U32, KV_OPTION_CF, AT(level_ratio),
     1000, NO_FALLBACK, NULL},
    {"level0_compact", "level0_file_num_compaction_trigger", KV_OPTION_U32, KV_OPTION_CF,
     AT(level0_compact), COUNT_MAX, NO_FALLBACK, NULL},
    {"level0_stop", "level0_stop_writes_trigger", KV_OPTION_U32, KV_OPTION_CF, AT(level0_stop),
     COUNT_MAX, NO_FALLBACK, NULL},
    {"background_count", "max_background_jobs", KV_OPTION_U32, KV_OPTION_DB, AT(background_count),
     1024, NO_FALLBACK, NULL},
    {"background_bytes_per_second", NULL, KV_OPTION_BYTES, KV_OPTION_OURS,
     AT(background_bytes_per_second), BYTES_MAX, NO_FALLBACK, NULL},
    {"reserved_disk_bytes", NULL, KV_OPTION_BYTES, KV_OPTION_OURS, AT(reserved_disk_bytes),
     BYTES_MAX, NO_FALLBACK, NULL},
    {"open_files_max", "max_open_files", KV_OPTION_U32, KV_OPTION_DB, AT(open_files_max),
     UINT32_MAX, NO_FALLBACK, NULL},
    {"is_stepped", NULL, KV_OPTION_BOOL, KV_OPTION_OURS, AT(is_stepped), BOOL_MAX, NO_FALLBACK,
     NULL},
    {"step_seed", NULL, KV_OPTION_U64, KV_OPTION_OURS, AT(step_seed), UINT64_MAX, NO_FALLBACK,
     NULL},
};
const uint32_t kv_option_table_count = sizeof(kv_option_table) / sizeof(kv_option_table[0]);
