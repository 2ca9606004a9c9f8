/*
 * A table's blocks: from the file into the cache.
 *
 *     file ──→ raw: payload, trailer ──→ plain ──→ block of the cache, with what is beside it
 *          codec's memory, checked       codec's memory
 *
 * The size of a block of the cache is known only when the plain bytes are there (how many restarts,
 * how long an index is decoded), so those lie in a codec's memory first; copying 4 KiB from there
 * takes 60 ns, of a read's microsecond or more.
 *
 * Every block begins its extra bytes with a mark of its kind. A handle of a damaged index, behind a
 * checksum that holds, may lead to a block that is in the cache as something else: it is refused.
 *
 * Locking: none here; the cache lets one thread load a key at a time. Codecs are taken while a load
 * goes on.
 */
#include <kv/sst/table.h>

#include <string.h>

enum quarry_status sst_table_fail(const struct kv_table *table, struct quarry_error *error,
                                  enum quarry_status status, uint64_t offset, const char *text)
{
    return error_set(error, status, "table %06llu at %llu: %s",
                     (unsigned long long)table->file_number, (unsigned long long)offset, text);
}

enum quarry_status sst_table_refuse_type(const struct kv_table *table, struct quarry_error *error,
                                         uint64_t offset, uint64_t trailer)
{
    switch (kv_trailer_type(trailer)) {
    case KV_TYPE_BLOB_INDEX:
        return sst_table_fail(table, error, QUARRY_UNSUPPORTED, offset,
                              "a value in a blob file, which is not supported");
    case KV_TYPE_DELETE_WITH_TIMESTAMP:
        return sst_table_fail(table, error, QUARRY_UNSUPPORTED, offset,
                              "a key with a timestamp, which is not supported");
    case KV_TYPE_WIDE_COLUMNS:
        return sst_table_fail(table, error, QUARRY_UNSUPPORTED, offset,
                              "wide columns, which are not supported");
    case KV_TYPE_DELETE:
    case KV_TYPE_PUT:
    case KV_TYPE_MERGE:
    case KV_TYPE_SINGLE_DELETE:
    case KV_TYPE_RANGE_DELETE:
    case KV_TYPE_SEEK:
    default:
        return sst_table_fail(table, error, QUARRY_CORRUPT, offset, "an entry of no known type");
    }
}

/* ---- from the file -------------------------------------------------------------------------- */

static enum quarry_status read_exactly(struct kv_table *table, const struct sst_reading *reading,
                                       uint64_t offset, char *room, size_t byte_count)
{
    size_t count = 0;
    enum quarry_status status =
        quarry_vfs_read(table->file, offset, room, byte_count, &count, reading->error);

    if (status != QUARRY_OK) {
        return status;
    }
    return count == byte_count ? QUARRY_OK
                               : sst_table_fail(table, reading->error, QUARRY_CORRUPT, offset,
                                                "the file ends within a block");
}

/* Has at least `byte_count` bytes from `offset` on in the readahead. */
static enum quarry_status read_ahead(struct kv_table *table, const struct sst_reading *reading,
                                     uint64_t offset, size_t byte_count)
{
    struct sst_readahead *ahead = reading->readahead;
    const struct sst_heap *heap = &table->tables->heap;
    uint64_t left = table->file_bytes - offset;
    size_t wanted = byte_count < ahead->chunk_bytes ? ahead->chunk_bytes : byte_count;

    if (offset >= ahead->offset && offset - ahead->offset <= ahead->bytes.count &&
        byte_count <= ahead->bytes.count - (offset - ahead->offset)) {
        return QUARRY_OK;
    }
    wanted = wanted > left ? (size_t)left : wanted;
    ahead->bytes.count = 0;
    enum quarry_status status = sst_buffer_reserve(heap, &ahead->bytes, wanted);
    if (status != QUARRY_OK) {
        return status;
    }
    status = read_exactly(table, reading, offset, ahead->bytes.bytes, wanted);
    if (status == QUARRY_OK) {
        ahead->bytes.count = wanted;
        ahead->offset = offset;
    }
    return status;
}

enum quarry_status sst_table_read_raw(struct kv_table *table, struct sst_codec *codec,
                                      const struct sst_reading *reading, struct sst_handle handle,
                                      const char **ret_bytes)
{
    size_t byte_count = handle.byte_count + SST_TRAILER_BYTES;
    char *room;

    if (!sst_handle_is_within(handle, table->file_bytes)) {
        return sst_table_fail(table, reading->error, QUARRY_CORRUPT, handle.offset,
                              "a block that does not lie within the file");
    }
    if (reading->readahead != NULL &&
        read_ahead(table, reading, handle.offset, byte_count) == QUARRY_OK) {
        *ret_bytes = reading->readahead->bytes.bytes + (handle.offset - reading->readahead->offset);
        return QUARRY_OK;
    }
    enum quarry_status status = sst_codec_scratch(codec, byte_count, &room);
    if (status != QUARRY_OK) {
        return sst_table_fail(table, reading->error, status, handle.offset,
                              "no memory to read a block");
    }
    status = read_exactly(table, reading, handle.offset, room, byte_count);
    if (status == QUARRY_OK) {
        *ret_bytes = room;
    }
    return status;
}

bool sst_table_checksum_holds(const struct kv_table *table, const char *bytes,
                              struct sst_handle handle)
{
    enum sst_checksum_type type = (enum sst_checksum_type)table->footer.checksum_type;

    return type == SST_CHECKSUM_NONE || endian_load_le_u32(bytes + handle.byte_count + 1) ==
                                            sst_checksum(type, bytes, handle.byte_count);
}

enum quarry_status sst_table_uncompress(struct kv_table *table, struct sst_codec *codec,
                                        const struct sst_reading *reading, struct sst_handle handle,
                                        const char *raw, const char **ret_bytes,
                                        size_t *ret_byte_count)
{
    uint8_t type = (uint8_t)raw[handle.byte_count];
    bool has_length = table->footer.format_version >= 2;
    const struct sst_dictionary dictionary = {table->dictionary.bytes, table->dictionary.count};
    size_t count;
    char *room;

    if (type == QUARRY_KV_COMPRESSION_NONE) {
        *ret_bytes = raw;
        *ret_byte_count = handle.byte_count;
        return QUARRY_OK;
    }
    enum quarry_status status =
        sst_uncompressed_bytes(codec, type, has_length, raw, handle.byte_count, &count);
    if (status == QUARRY_OK) {
        status = sst_codec_plain(codec, count, &room);
    }
    if (status == QUARRY_OK) {
        status = sst_uncompress(codec, type, has_length, &dictionary, raw, handle.byte_count, room,
                                count);
    }
    if (status != QUARRY_OK) {
        return sst_table_fail(table, reading->error, status, handle.offset,
                              "a block could not be uncompressed");
    }
    *ret_bytes = room;
    *ret_byte_count = count;
    return QUARRY_OK;
}

enum quarry_status sst_table_read_plain(struct kv_table *table, struct sst_codec *codec,
                                        const struct sst_reading *reading, struct sst_handle handle,
                                        const char **ret_bytes, size_t *ret_byte_count)
{
    const char *raw = NULL;
    enum quarry_status status = sst_table_read_raw(table, codec, reading, handle, &raw);

    if (status != QUARRY_OK) {
        return status;
    }
    if (!sst_table_checksum_holds(table, raw, handle)) {
        return sst_table_fail(table, reading->error, QUARRY_CORRUPT, handle.offset,
                              "a block's checksum does not match");
    }
    return sst_table_uncompress(table, codec, reading, handle, raw, ret_bytes, ret_byte_count);
}

/* ---- decoding ------------------------------------------------------------------------------- */

static enum quarry_status alloc_block(struct kv_table *table, const struct sst_reading *reading,
                                      struct sst_handle handle, size_t payload_bytes,
                                      size_t extra_bytes, struct quarry_block *ret_block)
{
    enum quarry_status status =
        quarry_block_alloc(table->tables->cache, payload_bytes, extra_bytes, ret_block);

    return status == QUARRY_OK ? QUARRY_OK
                               : sst_table_fail(table, reading->error, status, handle.offset,
                                                "no memory for a block");
}

static enum quarry_status decode_data(struct kv_table *table, const struct sst_reading *reading,
                                      struct sst_handle handle, const char *bytes,
                                      size_t byte_count, struct quarry_block *ret_block)
{
    size_t extra_bytes;
    struct quarry_block block;

    if (!sst_block_extra_bytes(bytes, byte_count, &extra_bytes)) {
        return sst_table_fail(table, reading->error, QUARRY_CORRUPT, handle.offset,
                              "a data block's restarts do not fit");
    }
    enum quarry_status status =
        alloc_block(table, reading, handle, byte_count, extra_bytes, &block);
    if (status != QUARRY_OK) {
        return status;
    }
    memcpy(quarry_block_data(&block), bytes, byte_count);
    const char *fault =
        sst_block_parse(quarry_block_data(&block), byte_count, quarry_block_extra(&block));
    if (fault != NULL) {
        quarry_block_release(table->tables->cache, &block);
        return sst_table_fail(table, reading->error, QUARRY_CORRUPT, handle.offset, fault);
    }
    *ret_block = block;
    return QUARRY_OK;
}

static enum quarry_status decode_index(struct kv_table *table, const struct sst_reading *reading,
                                       struct sst_handle handle, const struct sst_index_form *form,
                                       const char *bytes, size_t byte_count,
                                       struct quarry_block *ret_block)
{
    const struct sst_heap *heap = &table->tables->heap;
    struct sst_index_measure measure;
    struct quarry_block block;
    const char *fault = "";
    enum quarry_status status = sst_index_measure(heap, bytes, byte_count, form, &measure, &fault);

    if (status != QUARRY_OK) {
        return sst_table_fail(table, reading->error, status, handle.offset, fault);
    }
    status = alloc_block(table, reading, handle, measure.decoded_bytes, sizeof(struct sst_extra),
                         &block);
    if (status != QUARRY_OK) {
        return status;
    }
    status =
        sst_index_parse(heap, bytes, byte_count, form, &measure, quarry_block_data(&block), &fault);
    if (status != QUARRY_OK) {
        quarry_block_release(table->tables->cache, &block);
        return sst_table_fail(table, reading->error, status, handle.offset, fault);
    }
    *(struct sst_extra *)quarry_block_extra(&block) = (struct sst_extra){.mark = SST_MARK_INDEX};
    *ret_block = block;
    return QUARRY_OK;
}

static enum quarry_status decode_filter(struct kv_table *table, const struct sst_reading *reading,
                                        struct sst_handle handle, const char *bytes,
                                        size_t byte_count, struct quarry_block *ret_block)
{
    bool is_leveldb = table->filter_place == SST_FILTER_STRETCHES;
    enum quarry_status status =
        alloc_block(table, reading, handle, byte_count, sizeof(struct sst_extra), ret_block);

    if (status == QUARRY_OK) {
        memcpy(quarry_block_data(ret_block), bytes, byte_count);
        *(struct sst_extra *)quarry_block_extra(ret_block) = (struct sst_extra){
            .mark = SST_MARK_FILTER, .filter = sst_filter_parse(bytes, byte_count, is_leveldb)};
    }
    return status;
}

enum quarry_status sst_table_decode(struct kv_table *table, const struct sst_reading *reading,
                                    enum quarry_block_kind kind, struct sst_handle handle,
                                    const struct sst_index_form *form, const char *bytes,
                                    size_t byte_count, struct quarry_block *ret_block)
{
    if (kind == QUARRY_BLOCK_DATA) {
        return decode_data(table, reading, handle, bytes, byte_count, ret_block);
    }
    if (kind == QUARRY_BLOCK_INDEX) {
        return decode_index(table, reading, handle, form, bytes, byte_count, ret_block);
    }
    Q_ASSERT(kind == QUARRY_BLOCK_FILTER);
    return decode_filter(table, reading, handle, bytes, byte_count, ret_block);
}

/* ---- by way of the cache -------------------------------------------------------------------- */

struct load {
    struct kv_table *table;
    const struct sst_reading *reading;
    enum quarry_block_kind kind;
    struct sst_handle handle;
    const struct sst_index_form *form;
    bool was_called; /* it has told what went wrong, if anything did */
};

static enum quarry_status load_block(void *argument, const struct quarry_block_key *key,
                                     struct quarry_block *ret_block)
{
    struct load *load = argument;
    struct kv_table *table = load->table;
    struct sst_codec *codec;
    const char *bytes = NULL;
    size_t byte_count = 0;

    (void)key;
    load->was_called = true;
    enum quarry_status status = sst_codec_take(&table->tables->codecs, &codec);
    if (status != QUARRY_OK) {
        return sst_table_fail(table, load->reading->error, status, load->handle.offset,
                              "no memory to read a block");
    }
    status = sst_table_read_plain(table, codec, load->reading, load->handle, &bytes, &byte_count);
    if (status == QUARRY_OK) {
        status = sst_table_decode(table, load->reading, load->kind, load->handle, load->form, bytes,
                                  byte_count, ret_block);
    }
    sst_codec_give(&table->tables->codecs, codec);
    return status;
}

static enum sst_mark mark_of(enum quarry_block_kind kind)
{
    return kind == QUARRY_BLOCK_DATA    ? SST_MARK_DATA
           : kind == QUARRY_BLOCK_INDEX ? SST_MARK_INDEX
                                        : SST_MARK_FILTER;
}

enum quarry_status sst_table_block(struct kv_table *table, const struct sst_reading *reading,
                                   enum quarry_block_kind kind, struct sst_handle handle,
                                   const struct sst_index_form *form,
                                   struct quarry_block *ret_block)
{
    struct kv_tables *tables = table->tables;
    const struct quarry_block_key key = {tables->cache_handle, table->file_number, handle.offset};
    const struct quarry_block_tag tag = {(uint8_t)kind, table->level, reading->is_background};
    struct quarry_block block;

    if (reading->only_cached) {
        if (!quarry_block_cache_get(tables->cache, &key, tag, &block)) {
            return QUARRY_BUSY;
        }
    } else {
        struct load load = {
            .table = table, .reading = reading, .kind = kind, .handle = handle, .form = form};
        enum quarry_status status =
            quarry_block_cache_get_or_load(tables->cache, &key, tag, load_block, &load, &block);
        if (Q_UNLIKELY(status != QUARRY_OK)) {
            return load.was_called ? status
                                   : sst_table_fail(table, reading->error, status, handle.offset,
                                                    "no memory for a block");
        }
    }
    if (Q_UNLIKELY(*(const uint32_t *)quarry_block_extra(&block) != (uint32_t)mark_of(kind))) {
        quarry_block_release(tables->cache, &block);
        return sst_table_fail(table, reading->error, QUARRY_CORRUPT, handle.offset,
                              "a handle leads to a block of another kind");
    }
    *ret_block = block;
    return QUARRY_OK;
}
