/*
 * What options mean: defaults, many of which follow from the budget, and what makes no sense.
 *
 *     budget    ceiling of the account, of its parent, or the memory's limit: the least of them
 *     1/8       a memtable, up to 64 MiB; of which there are two, and a spare
 *     1/4       blocks, from where its own cache begins
 *     1/32      what iterators hold of blocks: which keep pages of the cache, up to four times as
 * much 1/8       a table, up to 32 MiB: compaction holds buffers for several, and index and filter
 *
 * Below 8 MiB the memtables would be so small that their tables cost more than what is in them; it
 * is refused, with the figure.
 */
#include <kv/options.h>

#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include <quarry/arena.h>

#include <kv/key.h>
#include <kv/log_write.h>

/* Figures of quarry/kv.h. */
#define WRITE_BUFFER_BYTES Q_MIB(64)
#define LOG_SEGMENT_BYTES  Q_MIB(64)
#define FILE_BYTES         Q_MIB(32)
#define FILE_BYTES_MIN     Q_KIB(64)
#define BUDGET_SHARE       8u
#define PINNED_SHARE       32u
/* Files that the process keeps for other uses, and what it may open where nobody says. */
#define OTHER_FILES        256u
#define OPEN_FILES_DEFAULT 768u
#define OPEN_FILES_MOST    (1u << 20)
/* Of the budget, for an open table without its blocks: more are not kept open. */
#define OPEN_TABLE_BYTES Q_KIB(16)

static uint64_t budget_of(struct quarry_memory *memory, const struct quarry_kv_options *options)
{
    struct quarry_account_state state;
    struct quarry_ledger ledger;

    (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
    uint64_t budget_bytes = ledger.limit_bytes;
    if (options->memory_bytes != 0) {
        budget_bytes = size_min_u64(budget_bytes, options->memory_bytes);
    }
    if (options->parent != NULL) {
        quarry_account_read(options->parent, &state);
        if (state.ceiling_bytes != 0) {
            budget_bytes = size_min_u64(budget_bytes, state.ceiling_bytes);
        }
    }
    return budget_bytes;
}

static void default_u32(uint32_t *member, uint64_t fallback)
{
    if (*member == 0) {
        *member = (uint32_t)fallback;
    }
}
static void default_u64(uint64_t *member, uint64_t fallback)
{
    if (*member == 0) {
        *member = fallback;
    }
}

/* ---- defaults ------------------------------------------------------------------------------- */

static uint32_t open_files_of(uint64_t budget_bytes)
{
    struct rlimit limit;
    uint64_t count = OPEN_FILES_DEFAULT;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 2 * OTHER_FILES) {
        count = size_min_u64(limit.rlim_cur, OPEN_FILES_MOST) - OTHER_FILES;
    }
    return (uint32_t)size_max_u64(size_min_u64(count, budget_bytes / OPEN_TABLE_BYTES / 8), 16);
}

static void set_write_defaults(struct quarry_kv_options *options, uint64_t budget_bytes)
{
    uint64_t buffer_bytes = size_min_u64(WRITE_BUFFER_BYTES, budget_bytes / BUDGET_SHARE);

    default_u64(&options->write_buffer_bytes, buffer_bytes);
    options->write_buffer_bytes =
        size_max_u64(options->write_buffer_bytes, QUARRY_ARENA_CAPACITY_MIN);
    /* One is written to; another at least is flushed meanwhile. */
    options->write_buffer_count = options->write_buffer_count < 2 ? 2 : options->write_buffer_count;
    default_u64(&options->log_segment_bytes,
                size_min_u64(LOG_SEGMENT_BYTES, options->write_buffer_bytes));
    options->log_segment_bytes = (options->log_segment_bytes + KV_LOG_WINDOW_BYTES - 1) /
                                 KV_LOG_WINDOW_BYTES * KV_LOG_WINDOW_BYTES;
    default_u64(&options->log_bytes_max, sat_mul_u64(options->write_buffer_bytes,
                                                     4 * (uint64_t)options->write_buffer_count));
    default_u64(&options->key_bytes_max, Q_KIB(64));
    default_u64(&options->value_bytes_max, Q_MIB(32));
}

static void set_file_defaults(struct quarry_kv_options *options, uint64_t budget_bytes)
{
    default_u32(&options->block_bytes, Q_KIB(4));
    default_u32(&options->block_restart_interval, 16);
    default_u32(&options->bloom_millibits, 10000);
    default_u64(
        &options->file_bytes,
        size_max_u64(size_min_u64(FILE_BYTES, budget_bytes / BUDGET_SHARE), FILE_BYTES_MIN));
    default_u64(&options->level1_bytes, sat_mul_u64(options->file_bytes, 4));
    default_u32(&options->level_ratio, 10);
    default_u32(&options->level0_compact, 4);
    default_u32(&options->level0_stop, 36);
    default_u32(&options->background_count, 2);
    default_u64(&options->reserved_disk_bytes, Q_MIB(64));
    default_u32(&options->open_files_max, open_files_of(budget_bytes));
    default_u64(&options->pinned_bytes, budget_bytes / PINNED_SHARE);
    if (options->checksum == QUARRY_KV_CHECKSUM_DEFAULT) {
        options->checksum = QUARRY_KV_CHECKSUM_CRC32C;
    }
}

static void set_compression(enum quarry_kv_compression *compression, enum quarry_kv_format format)
{
    if (*compression == QUARRY_KV_COMPRESSION_DEFAULT) {
        *compression = format == QUARRY_KV_FORMAT_LEVELDB ? QUARRY_KV_COMPRESSION_SNAPPY
                                                          : QUARRY_KV_COMPRESSION_LZ4;
    } else if (*compression == QUARRY_KV_COMPRESSION_LZ4HC) {
        *compression = QUARRY_KV_COMPRESSION_LZ4;
    }
}

static void set_defaults(struct quarry_kv_options *options, uint64_t budget_bytes)
{
    if (options->name == NULL) {
        options->name = "kv";
    }
    if (options->vfs == NULL) {
        options->vfs = quarry_vfs_posix();
    }
    if (options->comparator == NULL) {
        options->comparator = &kv_bytewise;
    }
    if (options->durability == QUARRY_KV_DEFAULT) {
        options->durability = QUARRY_KV_PROCESS;
    }
    set_write_defaults(options, budget_bytes);
    set_file_defaults(options, budget_bytes);
    set_compression(&options->compression, options->format);
    set_compression(&options->compression_top, options->format);
    set_compression(&options->compression_bottom, options->format);
}

/* ---- what makes no sense -------------------------------------------------------------------- */

static enum quarry_status check_number(const char *name, uint64_t value, uint64_t least,
                                       uint64_t most, struct quarry_error *error)
{
    if (value >= least && value <= most) {
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_BAD_INPUT,
                     "option '%s' is %" PRIu64 ": from %" PRIu64 " to %" PRIu64, name, value, least,
                     most);
}

static enum quarry_status check_numbers(const struct quarry_kv_options *options,
                                        struct quarry_error *error)
{
    const struct {
        const char *name;
        uint64_t value, least, most;
    } rows[] = {
        {"write_buffer_bytes", options->write_buffer_bytes, QUARRY_ARENA_CAPACITY_MIN,
         QUARRY_ARENA_CAPACITY_MAX},
        {"write_buffer_count", options->write_buffer_count, 2, 1024},
        {"key_bytes_max", options->key_bytes_max, 1, QUARRY_KV_KEY_BYTES_MAX},
        {"value_bytes_max", options->value_bytes_max, 1, QUARRY_KV_VALUE_BYTES_MAX},
        {"block_bytes", options->block_bytes, 64, Q_MIB(256)},
        {"level_ratio", options->level_ratio, 2, 1000},
        {"level0_stop", options->level0_stop, options->level0_compact, UINT32_MAX},
        {"durability", options->durability, QUARRY_KV_NONE, QUARRY_KV_POWER},
        {"format", options->format, QUARRY_KV_FORMAT_AUTO, QUARRY_KV_FORMAT_LEVELDB},
        {"checksum", options->checksum, QUARRY_KV_CHECKSUM_CRC32C, QUARRY_KV_CHECKSUM_XXH3},
    };
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && status == QUARRY_OK; i++) {
        status = check_number(rows[i].name, rows[i].value, rows[i].least, rows[i].most, error);
    }
    return status;
}

static enum quarry_status check_compression(const char *name,
                                            enum quarry_kv_compression compression,
                                            enum quarry_kv_format format,
                                            struct quarry_error *error)
{
    bool is_common =
        compression == QUARRY_KV_COMPRESSION_NONE || compression == QUARRY_KV_COMPRESSION_SNAPPY;
    bool is_ours =
        compression == QUARRY_KV_COMPRESSION_LZ4 || compression == QUARRY_KV_COMPRESSION_ZSTD;

    if (is_common || (is_ours && format != QUARRY_KV_FORMAT_LEVELDB)) {
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_BAD_INPUT, "option '%s': compression %d is not written%s", name,
                     (int)compression,
                     is_ours ? " in LevelDB's files: none or snappy" : ": none, snappy, lz4, zstd");
}

static enum quarry_status check_compressions(const struct quarry_kv_options *options,
                                             struct quarry_error *error)
{
    enum quarry_status status =
        check_compression("compression", options->compression, options->format, error);

    if (status == QUARRY_OK) {
        status =
            check_compression("compression_top", options->compression_top, options->format, error);
    }
    if (status == QUARRY_OK) {
        status = check_compression("compression_bottom", options->compression_bottom,
                                   options->format, error);
    }
    return status;
}

static enum quarry_status check_comparator(const struct quarry_kv_comparator *comparator,
                                           struct quarry_error *error)
{
    if (comparator->name == NULL || comparator->name[0] == '\0') {
        return error_set(error, QUARRY_BAD_INPUT, "option 'comparator' has no name");
    }
    if (comparator->compare == NULL && strcmp(comparator->name, kv_bytewise.name) != 0) {
        return error_set(error, QUARRY_BAD_INPUT, "comparator '%s' does not compare",
                         comparator->name);
    }
    return QUARRY_OK;
}

static enum quarry_status check_filter_policy(const struct quarry_kv_options *options,
                                              struct quarry_error *error)
{
    const struct quarry_kv_filter_policy *policy = options->filter_policy;

    if (policy == NULL) {
        return QUARRY_OK;
    }
    if (policy->name == NULL || policy->name[0] == '\0' ||
        strlen(policy->name) > KV_FILTER_NAME_BYTES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "option 'filter_policy' has no name, or one above %u bytes",
                         KV_FILTER_NAME_BYTES_MAX);
    }
    if (policy->create == NULL || policy->may_match == NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "filter policy '%.60s' lacks a function",
                         policy->name);
    }
    if (options->format != QUARRY_KV_FORMAT_LEVELDB) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "filter policy '%.60s': LevelDB's files alone have such filters",
                         policy->name);
    }
    return QUARRY_OK;
}

enum quarry_status kv_options_resolve(struct quarry_memory *memory,
                                      const struct quarry_kv_options *options,
                                      struct quarry_kv_options *ret_options,
                                      uint64_t *ret_budget_bytes, struct quarry_error *error)
{
    struct quarry_kv_options resolved = {.name = NULL};

    if (options != NULL) {
        resolved = *options;
    }
    uint64_t budget_bytes = budget_of(memory, &resolved);
    if (budget_bytes < KV_MEMORY_BYTES_MIN) {
        return error_set(error, QUARRY_NO_MEMORY,
                         "a store needs a budget of %" PRIu64 " bytes, and has %" PRIu64,
                         (uint64_t)KV_MEMORY_BYTES_MIN, budget_bytes);
    }
    set_defaults(&resolved, budget_bytes);
    enum quarry_status status = check_comparator(resolved.comparator, error);
    if (status == QUARRY_OK) {
        status = check_numbers(&resolved, error);
    }
    if (status == QUARRY_OK) {
        status = check_filter_policy(&resolved, error);
    }
    if (status == QUARRY_OK) {
        status = check_compressions(&resolved, error);
    }
    if (status == QUARRY_OK) {
        *ret_options = resolved;
        *ret_budget_bytes = budget_bytes;
    }
    return status;
}
