/*
 * Checking a whole table.
 *
 *     index, entry by entry ──→ block: checksum, format ──→ keys: order, type
 *                                                             │
 *                          separator before ≤ … ≤ separator ──┤
 *                          filter lets it pass ───────────────┘
 *
 * Data blocks are read from the file whatever the cache has, front to back in large pieces, and
 * none is kept. Index and filter go by way of the cache, as readers see them; but their checksums
 * are compared in the file as well. At the end the counts are compared with the properties.
 *
 * What separators must hold: no key of a block after its own, none of the next one at or before it.
 */
#include <kv/sst/table.h>

#define READAHEAD_BYTES (256u << 10)

/* What has been seen so far. */
struct verify {
    struct kv_table *table;
    struct sst_reading reading; /* of data blocks */
    struct sst_reading lookups; /* of index and filter */
    struct sst_readahead readahead;
    struct sst_codec *codec;
    struct sst_buffer last_key; /* internal; empty: none yet */
    struct sst_index_position position;
    uint64_t block_count, entry_count, delete_count;
};

static enum quarry_status damage(const struct verify *verify, uint64_t offset, const char *text)
{
    return sst_table_fail(verify->table, verify->reading.error, QUARRY_CORRUPT, offset, text);
}

static struct kv_key last_key(const struct verify *verify)
{
    size_t user = verify->last_key.count - KV_TRAILER_BYTES;

    return (struct kv_key){kv_slice(verify->last_key.bytes, user),
                           endian_load_le_u64(verify->last_key.bytes + user)};
}

static enum quarry_status keep_key(struct verify *verify, struct kv_key key)
{
    verify->last_key.count = 0;
    return sst_buffer_append(&verify->table->tables->heap, &verify->last_key, key.user.bytes,
                             key.user.count + KV_TRAILER_BYTES);
}

static enum quarry_status check_key(struct verify *verify, struct kv_key key, uint64_t offset)
{
    struct kv_table *table = verify->table;
    const struct quarry_kv_comparator *comparator = table->tables->comparator;
    enum kv_table_filtered filtered = KV_TABLE_NOT_FILTERED;

    if (!sst_type_is_known(key.trailer)) {
        return sst_table_refuse_type(table, verify->reading.error, offset, key.trailer);
    }
    if (verify->last_key.count != 0 && kv_compare_keys(comparator, last_key(verify), key) >= 0) {
        return damage(verify, offset, "keys are out of order");
    }
    if (table->filter_place == SST_FILTER_STRETCHES) {
        filtered = sst_table_filter_at(table, &verify->lookups, key.user, offset);
    } else if (table->filters_keys) {
        filtered = sst_table_filter(table, &verify->lookups, key, kv_table_hash(key.user));
    }
    if (filtered == KV_TABLE_REJECTED) {
        return damage(verify, offset, "the filter does not know a key that is there");
    }
    if (table->filters_prefixes && key.user.count >= table->tables->prefix_bytes &&
        !kv_table_may_have_prefix(table, kv_slice(key.user.bytes, table->tables->prefix_bytes))) {
        return damage(verify, offset, "the filter does not know the prefix of a key");
    }
    return QUARRY_OK;
}

/* Walks a parsed block. */
static enum quarry_status check_block(struct verify *verify, const struct sst_block *block,
                                      uint64_t offset)
{
    const struct sst_heap *heap = &verify->table->tables->heap;
    struct sst_cursor cursor;

    sst_cursor_init(&cursor);
    sst_cursor_set(&cursor, block);
    enum quarry_status status = sst_cursor_first(&cursor, heap);
    while (status == QUARRY_OK && cursor.is_valid) {
        enum kv_type type = kv_trailer_type(cursor.key.trailer);
        status = check_key(verify, cursor.key, offset);
        if (status == QUARRY_OK) {
            status = keep_key(verify, cursor.key);
        }
        verify->entry_count++;
        verify->delete_count += type == KV_TYPE_DELETE || type == KV_TYPE_SINGLE_DELETE;
        if (status == QUARRY_OK) {
            status = sst_cursor_next(&cursor, heap);
        }
    }
    sst_cursor_fini(&cursor, heap);
    return status;
}

/* The separator before a block, and its own. */
static enum quarry_status check_separator(const struct verify *verify, uint64_t offset)
{
    const struct sst_index_position *position = &verify->position;
    int order = sst_index_compare(position->leaf, verify->table->tables->comparator,
                                  position->entry, last_key(verify));

    return order >= 0 ? QUARRY_OK
                      : damage(verify, offset, "a separator is before its block's keys");
}

static enum quarry_status check_next_block(struct verify *verify)
{
    struct kv_table *table = verify->table;
    struct sst_handle handle = sst_position_handle(&verify->position);
    const char *bytes = NULL;
    size_t byte_count = 0;
    struct quarry_block block = {0};
    enum quarry_status status =
        sst_table_read_plain(table, verify->codec, &verify->reading, handle, &bytes, &byte_count);

    if (status == QUARRY_OK) {
        status = sst_table_decode(table, &verify->reading, QUARRY_BLOCK_DATA, handle, NULL, bytes,
                                  byte_count, &block);
    }
    if (status == QUARRY_OK) {
        const struct sst_block parsed = sst_block_of(&block);
        status = check_block(verify, &parsed, handle.offset);
    }
    quarry_block_release(table->tables->cache, &block);
    if (status == QUARRY_OK) {
        status = check_separator(verify, handle.offset);
    }
    verify->block_count++;
    return status;
}

/* Who looks for a key must come to its block. */
static enum quarry_status check_seek(struct verify *verify, struct kv_key key, uint64_t offset)
{
    struct sst_index_position position = {0};
    enum quarry_status status = sst_position_seek(verify->table, &position, &verify->lookups, key);

    if (status == QUARRY_OK &&
        (!sst_position_is_valid(&position) || sst_position_handle(&position).offset != offset)) {
        status = damage(verify, offset, "the index does not lead to a key that is there");
    }
    sst_position_fini(verify->table, &position);
    return status;
}

static enum quarry_status check_blocks(struct verify *verify)
{
    struct kv_table *table = verify->table;
    enum quarry_status status = sst_position_first(table, &verify->position, &verify->lookups);

    while (status == QUARRY_OK && sst_position_is_valid(&verify->position)) {
        uint64_t offset = sst_position_handle(&verify->position).offset;
        status = check_next_block(verify);
        if (status == QUARRY_OK) {
            status = check_seek(verify, last_key(verify), offset);
        }
        if (status == QUARRY_OK) {
            status = sst_position_next(table, &verify->position, &verify->lookups);
        }
    }
    return status;
}

static enum quarry_status check_counts(const struct verify *verify)
{
    const struct kv_table_properties *properties = &verify->table->properties;
    uint64_t ranges = verify->table->range_count, offset = verify->table->footer.metaindex.offset;

    if (!properties->is_present) {
        return QUARRY_OK;
    }
    if (verify->entry_count + ranges != properties->entry_count) {
        return damage(verify, offset, "there are not as many entries as its properties say");
    }
    if (verify->block_count != properties->data_block_count) {
        return damage(verify, offset, "there are not as many blocks as its properties say");
    }
    if (verify->delete_count + ranges != properties->delete_count) {
        return damage(verify, offset, "there are not as many deletions as its properties say");
    }
    return QUARRY_OK;
}

/* Reads blocks that the walk sees by way of the cache only. */
static enum quarry_status check_frame(struct verify *verify)
{
    const struct kv_table *table = verify->table;
    const struct sst_handle handles[] = {table->footer.metaindex, table->footer.index,
                                         table->filter_handle};
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < 3 && status == QUARRY_OK; i++) {
        const char *bytes = NULL;
        size_t byte_count = 0;
        if (i < 2 || table->filter_place != SST_FILTER_NONE) {
            status = sst_table_read_plain(verify->table, verify->codec, &verify->reading,
                                          handles[i], &bytes, &byte_count);
        }
    }
    return status;
}

enum quarry_status kv_table_verify(struct kv_table *table, struct quarry_error *error)
{
    struct verify verify = {.table = table, .readahead = {.chunk_bytes = READAHEAD_BYTES}};
    const struct sst_heap *heap = &table->tables->heap;
    enum quarry_status status = sst_codec_take(&table->tables->codecs, &verify.codec);

    if (status != QUARRY_OK) {
        return sst_table_fail(table, error, status, 0, "no memory to check it");
    }
    verify.reading =
        (struct sst_reading){.is_background = true, .readahead = &verify.readahead, .error = error};
    verify.lookups = (struct sst_reading){.error = error};
    status = check_frame(&verify);
    if (status == QUARRY_OK) {
        status = check_blocks(&verify);
    }
    if (status == QUARRY_OK) {
        status = check_counts(&verify);
    }
    sst_position_fini(table, &verify.position);
    sst_buffer_fini(heap, &verify.readahead.bytes);
    sst_buffer_fini(heap, &verify.last_key);
    sst_codec_give(&table->tables->codecs, verify.codec);
    return status;
}
