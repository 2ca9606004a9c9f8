/*
 * Properties by name: RocksDB's, LevelDB's, and our own.
 *
 *     rocksdb.num-snapshots            a number: a member of the facts (stats.h)
 *     rocksdb.num-files-at-level2      the same, of a level
 *     rocksdb.stats, quarry.lsm, …     a text: a function
 *
 * Numbers are told under RocksDB's names where we have what they mean, and not at all where we have
 * not: a name that is not in the tables is not found. Texts have RocksDB's and LevelDB's columns as
 * far as we know what is in them, for people to read; their exact form is nobody's promise.
 *
 * Locking: that of stats.c; texts of files hold a version. Cost: O(files).
 */
#include <kv/property.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

void kv_text_add(struct kv_text *text, const char *format, ...)
{
    va_list arguments;
    size_t room = text->byte_count < text->room_bytes ? text->room_bytes - text->byte_count : 0;

    va_start(arguments, format);
    int count =
        vsnprintf(room == 0 ? NULL : text->room + text->byte_count, room, format, arguments);
    va_end(arguments);
    Q_ASSERT(count >= 0);
    text->byte_count += (size_t)count;
}

/* ---- numbers -------------------------------------------------------------------------------- */

struct number {
    const char *name;
    size_t offset; /* in struct kv_facts */
};
#define NUMBER(name, member)                                                                       \
    {                                                                                              \
        name, offsetof(struct kv_facts, member)                                                    \
    }

static const struct number numbers[] = {
    NUMBER("leveldb.approximate-memory-usage", stats.charged_bytes),
    NUMBER("rocksdb.actual-delayed-write-rate", write_rate),
    NUMBER("rocksdb.background-errors", background_errors),
    NUMBER("rocksdb.base-level", base_level),
    NUMBER("rocksdb.block-cache-capacity", cache_capacity),
    NUMBER("rocksdb.block-cache-pinned-usage", stats.pinned_bytes),
    NUMBER("rocksdb.block-cache-usage", cached_bytes),
    NUMBER("rocksdb.cur-size-active-mem-table", active_bytes),
    NUMBER("rocksdb.cur-size-all-mem-tables", used_bytes),
    NUMBER("rocksdb.estimate-live-data-size", live_bytes),
    NUMBER("rocksdb.estimate-num-keys", stats.estimated_keys),
    NUMBER("rocksdb.estimate-pending-compaction-bytes", debt_bytes),
    NUMBER("rocksdb.estimate-table-readers-mem", stats.table_bytes),
    NUMBER("rocksdb.is-file-deletions-enabled", deletions_enabled),
    NUMBER("rocksdb.is-write-stopped", is_stopped),
    NUMBER("rocksdb.live-sst-files-size", live_bytes),
    NUMBER("rocksdb.mem-table-flush-pending", has_immutable),
    NUMBER("rocksdb.min-log-number-to-keep", oldest_log),
    NUMBER("rocksdb.num-deletes-active-mem-table", active_deletes),
    NUMBER("rocksdb.num-deletes-imm-mem-tables", immutable_deletes),
    NUMBER("rocksdb.num-entries-active-mem-table", active_entries),
    NUMBER("rocksdb.num-entries-imm-mem-tables", immutable_entries),
    NUMBER("rocksdb.num-immutable-mem-table", immutable_count),
    NUMBER("rocksdb.num-live-versions", version_count),
    NUMBER("rocksdb.num-running-compactions", running_compactions),
    NUMBER("rocksdb.num-running-flushes", is_flushing),
    NUMBER("rocksdb.num-snapshots", stats.snapshot_count),
    NUMBER("rocksdb.obsolete-sst-files-size", stats.obsolete_bytes),
    NUMBER("rocksdb.oldest-snapshot-sequence", oldest_snapshot_sequence),
    NUMBER("rocksdb.size-all-mem-tables", stats.memtable_bytes),
    NUMBER("rocksdb.total-sst-files-size", total_bytes),
};
#define NUMBER_COUNT (sizeof(numbers) / sizeof(numbers[0]))

static bool add_number(struct kv_text *text, const char *name, const struct kv_facts *facts)
{
    uint64_t number;

    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        if (strcmp(numbers[i].name, name) == 0) {
            memcpy(&number, (const char *)facts + numbers[i].offset, sizeof(number));
            kv_text_add(text, "%" PRIu64, number);
            return true;
        }
    }
    return false;
}

/* ---- of a level ----------------------------------------------------------------------------- */

/* The level at the end of a name that begins so. */
static bool ends_in_level(const char *name, const char *begin, uint32_t *ret_level)
{
    size_t length = strlen(begin);

    if (strncmp(name, begin, length) != 0 || name[length] < '0' || name[length] > '9' ||
        name[length + 1] != '\0') {
        return false;
    }
    *ret_level = (uint32_t)(name[length] - '0');
    return *ret_level < QUARRY_KV_LEVELS;
}

/* RocksDB's is the same by a factor of one where nothing is compressed. */
static void add_ratio(struct kv_text *text, struct quarry_kv *kv, uint32_t level)
{
    struct kv_totals totals;

    kv_totals_read(kv, level, level + 1, &totals);
    kv_text_add(text, "%.6f",
                totals.data_bytes == 0 ? -1.0
                                       : (double)(totals.raw_key_bytes + totals.raw_value_bytes) /
                                             (double)totals.data_bytes);
}

static bool add_of_level(struct kv_text *text, struct quarry_kv *kv, const char *name,
                         const struct kv_facts *facts)
{
    uint32_t level;

    if (ends_in_level(name, "rocksdb.num-files-at-level", &level) ||
        ends_in_level(name, "leveldb.num-files-at-level", &level)) {
        kv_text_add(text, "%u", facts->stats.level[level].file_count);
        return true;
    }
    if (ends_in_level(name, "rocksdb.compression-ratio-at-level", &level)) {
        add_ratio(text, kv, level);
        return true;
    }
    return false;
}

/* ---- texts ---------------------------------------------------------------------------------- */

struct property_text {
    const char *name;
    void (*add)(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts);
};

static kv_property_function add_names;

static const struct property_text texts[] = {
    {"leveldb.sstables", kv_property_sstables_leveldb},
    {"leveldb.stats", kv_property_stats_leveldb},
    {"quarry.lsm", kv_property_lsm},
    {"quarry.memory", kv_property_memory},
    {"quarry.pins", kv_property_pins},
    {"quarry.properties", add_names},
    {"quarry.stats", kv_property_json},
    {"rocksdb.aggregated-table-properties", kv_property_aggregated},
    {"rocksdb.cfstats", kv_property_levels},
    {"rocksdb.dbstats", kv_property_writes},
    {"rocksdb.levelstats", kv_property_level_sizes},
    {"rocksdb.sstables", kv_property_sstables},
    {"rocksdb.stats", kv_property_stats},
};
#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))

/* All of the names, one a line. */
static void add_names(struct kv_text *text, struct quarry_kv *kv, const struct kv_facts *facts)
{
    (void)kv;
    (void)facts;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        kv_text_add(text, "%s\n", numbers[i].name);
    }
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        kv_text_add(text, "rocksdb.num-files-at-level%u\nrocksdb.compression-ratio-at-level%u\n",
                    level, level);
    }
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        kv_text_add(text, "%s\n", texts[i].name);
    }
}

static bool add_text(struct kv_text *text, struct quarry_kv *kv, const char *name,
                     const struct kv_facts *facts)
{
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        if (strcmp(texts[i].name, name) == 0) {
            texts[i].add(text, kv, facts);
            return true;
        }
    }
    return false;
}

enum quarry_status quarry_kv_property(struct quarry_kv *kv, const char *name, char *room,
                                      size_t room_bytes, size_t *ret_bytes)
{
    struct kv_text text = {.room = room, .room_bytes = room_bytes};
    struct kv_facts facts;

    if (room_bytes != 0) {
        room[0] = '\0';
    }
    kv_facts_read(kv, &facts);
    if (!add_number(&text, name, &facts) && !add_of_level(&text, kv, name, &facts) &&
        !add_text(&text, kv, name, &facts)) {
        return QUARRY_NOT_FOUND;
    }
    if (ret_bytes != NULL) {
        *ret_bytes = text.byte_count;
    }
    return QUARRY_OK;
}
