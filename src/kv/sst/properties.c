/*
 * Properties.
 *
 * One table says for each name where its value is in the struct and how it is written:
 *
 *     number     varint64            fixed32, fixed64    little-endian
 *     text       as it is            flag                "1" or "0"
 *
 * The table is in the order of the names, which is the order in the block. RocksDB needs two of
 * them, index.key.is.user.key and index.value.is.delta.encoded, or it takes the index for one of an
 * old file; and where there are entries, raw.key.size and raw.value.size that are not 0, which a
 * build of it with assertions insists on.
 */
#include <kv/sst/properties.h>

#include <stdio.h>
#include <string.h>

#include <kv/sst/block_build.h>
#include <kv/sst/block_read.h>

enum kind {
    KIND_NUMBER,
    KIND_FIXED32,
    KIND_FIXED64,
    KIND_TEXT,
    KIND_FLAG,        /* '1' or '0' */
    KIND_NUMBER_FLAG, /* a number that is 0 or not */
};

/* Whether a new table has it. */
enum presence {
    READ_ONLY,
    ALWAYS,
    UNLESS_ZERO,
    INGESTIBLE, /* where external_version is set */
};

struct property {
    const char *name;
    size_t offset;
    enum kind kind;
    enum presence presence;
};

#define PROPERTY(text, member, how, when)                                                          \
    {                                                                                              \
        "rocksdb." text, offsetof(struct kv_table_properties, member), how, when                   \
    }

static const struct property properties_known[] = {
    PROPERTY("block.based.table.index.type", index_type, KIND_FIXED32, ALWAYS),
    PROPERTY("block.based.table.prefix.filtering", filters_prefixes, KIND_FLAG, ALWAYS),
    PROPERTY("block.based.table.whole.key.filtering", filters_whole_keys, KIND_FLAG, ALWAYS),
    PROPERTY("column.family.id", column_family_id, KIND_NUMBER, ALWAYS),
    PROPERTY("column.family.name", column_family, KIND_TEXT, ALWAYS),
    PROPERTY("comparator", comparator, KIND_TEXT, ALWAYS),
    PROPERTY("compression", compression, KIND_TEXT, ALWAYS),
    PROPERTY("creating.db.identity", db_id, KIND_TEXT, UNLESS_ZERO),
    PROPERTY("creating.host.identity", host, KIND_TEXT, UNLESS_ZERO),
    PROPERTY("creating.session.identity", session_id, KIND_TEXT, UNLESS_ZERO),
    PROPERTY("creation.time", creation_time, KIND_NUMBER, ALWAYS),
    PROPERTY("data.size", data_bytes, KIND_NUMBER, ALWAYS),
    PROPERTY("deleted.keys", delete_count, KIND_NUMBER, ALWAYS),
    PROPERTY("external_sst_file.global_seqno", global_sequence, KIND_FIXED64, INGESTIBLE),
    PROPERTY("external_sst_file.version", external_version, KIND_FIXED32, INGESTIBLE),
    PROPERTY("file.creation.time", file_creation_time, KIND_NUMBER, UNLESS_ZERO),
    PROPERTY("filter.policy", filter_policy, KIND_TEXT, UNLESS_ZERO),
    PROPERTY("filter.size", filter_bytes, KIND_NUMBER, ALWAYS),
    PROPERTY("fixed.key.length", zero, KIND_NUMBER, ALWAYS),
    PROPERTY("format.version", format_version, KIND_NUMBER, ALWAYS),
    PROPERTY("index.key.is.user.key", index_has_user_keys, KIND_NUMBER_FLAG, ALWAYS),
    PROPERTY("index.partitions", index_partition_count, KIND_NUMBER, UNLESS_ZERO),
    PROPERTY("index.size", index_bytes, KIND_NUMBER, ALWAYS),
    PROPERTY("index.value.is.delta.encoded", index_is_delta_encoded, KIND_NUMBER_FLAG, ALWAYS),
    PROPERTY("merge.operands", merge_count, KIND_NUMBER, ALWAYS),
    PROPERTY("merge.operator", merge_operator, KIND_TEXT, ALWAYS),
    PROPERTY("num.data.blocks", data_block_count, KIND_NUMBER, ALWAYS),
    PROPERTY("num.entries", entry_count, KIND_NUMBER, ALWAYS),
    PROPERTY("num.filter_entries", filter_entry_count, KIND_NUMBER, ALWAYS),
    PROPERTY("num.range-deletions", range_delete_count, KIND_NUMBER, ALWAYS),
    PROPERTY("oldest.key.time", oldest_key_time, KIND_NUMBER, ALWAYS),
    PROPERTY("original.file.number", original_file_number, KIND_NUMBER, ALWAYS),
    PROPERTY("prefix.extractor.name", prefix_extractor, KIND_TEXT, ALWAYS),
    PROPERTY("property.collectors", collectors, KIND_TEXT, ALWAYS),
    PROPERTY("raw.key.size", raw_key_bytes, KIND_NUMBER, ALWAYS),
    PROPERTY("raw.value.size", raw_value_bytes, KIND_NUMBER, ALWAYS),
    PROPERTY("top-level.index.size", top_level_index_bytes, KIND_NUMBER, UNLESS_ZERO),
};
#define PROPERTY_COUNT (sizeof(properties_known) / sizeof(properties_known[0]))

void sst_prefix_extractor_name(uint32_t prefix_bytes, char *room)
{
    (void)snprintf(room, SST_NAME_BYTES_MAX, "rocksdb.FixedPrefix.%u", prefix_bytes);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* The value as it is written, in `room` or where it is. */
static struct kv_slice value_of(const struct property *property, const char *at, char *room)
{
    uint64_t number;
    uint32_t number32;

    switch (property->kind) {
    case KIND_NUMBER:
        memcpy(&number, at, sizeof(number));
        return kv_slice(room, varint_put_u64((uint8_t *)room, number));
    case KIND_FIXED32:
        memcpy(&number32, at, sizeof(number32));
        endian_store_le_u32(room, number32);
        return kv_slice(room, sizeof(number32));
    case KIND_FIXED64:
        memcpy(&number, at, sizeof(number));
        endian_store_le_u64(room, number);
        return kv_slice(room, sizeof(number));
    case KIND_TEXT:
        return kv_slice(at, strnlen(at, SST_NAME_BYTES_MAX));
    case KIND_FLAG:
        room[0] = *at != 0 ? '1' : '0';
        return kv_slice(room, 1);
    case KIND_NUMBER_FLAG:
        room[0] = *at != 0;
        return kv_slice(room, 1);
    }
    Q_UNREACHABLE();
}

static bool is_wanted(const struct property *property, const char *at,
                      const struct kv_table_properties *properties)
{
    uint64_t number;

    switch (property->presence) {
    case READ_ONLY:
        return false;
    case ALWAYS:
        return true;
    case INGESTIBLE:
        return properties->external_version != 0;
    case UNLESS_ZERO:
        break;
    }
    if (property->kind == KIND_TEXT) {
        return *at != '\0';
    }
    memcpy(&number, at, sizeof(number));
    return number != 0;
}

enum quarry_status sst_properties_put(const struct sst_heap *heap, struct sst_block_build *build,
                                      const struct kv_table_properties *properties)
{
    enum quarry_status status = QUARRY_OK;
    char room[VARINT_U64_BYTES_MAX];

    for (size_t i = 0; i < PROPERTY_COUNT && status == QUARRY_OK; i++) {
        const struct property *property = &properties_known[i];
        const char *at = (const char *)properties + property->offset;
        Q_DCHECK(i == 0 || strcmp(properties_known[i - 1].name, property->name) < 0);
        if (is_wanted(property, at, properties)) {
            struct kv_key key = {.user = kv_slice(property->name, strlen(property->name))};
            status = sst_block_build_add(heap, build, key, value_of(property, at, room));
        }
    }
    return status;
}

/* ---- reading -------------------------------------------------------------------------------- */

static const struct property *find_property(struct kv_slice name)
{
    for (size_t i = 0; i < PROPERTY_COUNT; i++) {
        const char *known = properties_known[i].name;
        if (strlen(known) == name.count && memcmp(known, name.bytes, name.count) == 0) {
            return &properties_known[i];
        }
    }
    return NULL;
}

static bool take_number(struct kv_slice value, uint64_t *ret_number)
{
    const uint8_t *at = (const uint8_t *)value.bytes;

    return varint_get_u64(at, at + value.count, ret_number) != 0;
}

static bool take_value(const struct property *property, char *at, struct kv_slice value)
{
    uint64_t number = 0;
    uint32_t number32;

    switch (property->kind) {
    case KIND_NUMBER:
        return take_number(value, &number) && memcpy(at, &number, sizeof(number)) != NULL;
    case KIND_FIXED32:
        if (value.count != sizeof(number32)) {
            return false;
        }
        number32 = endian_load_le_u32(value.bytes);
        memcpy(at, &number32, sizeof(number32));
        return true;
    case KIND_FIXED64:
        if (value.count != sizeof(number)) {
            return false;
        }
        number = endian_load_le_u64(value.bytes);
        memcpy(at, &number, sizeof(number));
        return true;
    case KIND_TEXT:
        value.count = value.count < SST_NAME_BYTES_MAX ? value.count : SST_NAME_BYTES_MAX - 1;
        memcpy(at, value.bytes, value.count);
        at[value.count] = '\0';
        return true;
    case KIND_FLAG:
        *(bool *)at = value.count == 1 && value.bytes[0] == '1';
        return true;
    case KIND_NUMBER_FLAG:
        *(bool *)at = take_number(value, &number) && number != 0;
        return true;
    }
    Q_UNREACHABLE();
}

static enum quarry_status visit_property(void *argument, struct kv_slice key, struct kv_slice value)
{
    struct kv_table_properties *properties = argument;
    const struct property *property = find_property(key);

    if (property == NULL) {
        return QUARRY_OK;
    }
    return take_value(property, (char *)properties + property->offset, value) ? QUARRY_OK
                                                                              : QUARRY_CORRUPT;
}

enum quarry_status sst_properties_get(const struct sst_heap *heap, const char *bytes,
                                      size_t byte_count, struct kv_table_properties *ret_properties)
{
    struct kv_table_properties properties = {.filters_whole_keys = true, .is_present = true};
    enum quarry_status status =
        sst_block_visit(heap, bytes, byte_count, visit_property, &properties);

    if (status == QUARRY_OK) {
        *ret_properties = properties;
    }
    return status;
}
