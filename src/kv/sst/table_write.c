/*
 * Writing tables.
 *
 *     entries ──→ block ──→ codec ──→ buffer ──→ file
 *        │          │
 *        hash       └ separator and handle ──→ list
 *        └──→ hashes
 *
 * A data block is written when the next entry would make it too long. Its separator needs the next
 * entry's key, so it is noted when that comes: until then the block's last key stays in the
 * builder. At the end come the filter, made of the hashes; the index, made of the list; range
 * deletions; properties; the metaindex; the footer.
 *
 * Whether the index has user keys is known only then: it does where no two neighbouring blocks
 * split the versions of one key. So the list has separators with trailers, and the index is put
 * together at once. Entries of the index share nothing with each other (its restart interval is 1),
 * so handles are written in full, and delta encoding leaves out the values' lengths only.
 *
 * In a partitioned table the list is cut every `partition_bytes`; each piece becomes an index of
 * its own, and a filter of the keys below it. Versions of a key on both sides of a cut are in both
 * filters; so is the prefix of the first key after a cut in the one before: who looks for a prefix
 * comes to the first piece whose separator is not below it.
 *
 * What is written goes into a buffer, from there to the file in order, and the kernel is told to
 * begin writing it every `start_sync_bytes`. Nothing is written twice or read back.
 *
 *   1. `offset` is where the next block will be: what the file has, and the buffer.
 *   2. The builder's last key is the last key that was added, from the first one on.
 *   3. After an error `failure` is set, and no call does anything more.
 *
 * Memory: charged to the store's account: a block, the buffer, 24 bytes and a separator for each
 * block, 8 bytes for each key. Locking: none; a writer is one thread's.
 */
#include <kv/sst/table_write.h>

#include <string.h>

#include <kv/sst/table_writer.h>

#define BLOCK_BYTES      4096u
#define RESTART_INTERVAL 16u
#define PARTITION_BYTES  4096u
#define BUFFER_BYTES     (128u << 10)
#define START_SYNC_BYTES (UINT64_C(1) << 20)
/* A block within so many hundredths of its length is cut where the next entry would not fit. */
#define DEVIATION_PERCENT 10u

/* ---- beginning ------------------------------------------------------------------------------ */

static void copy_text(char *room, const char *text)
{
    size_t count = text == NULL ? 0 : strnlen(text, SST_NAME_BYTES_MAX - 1);

    if (count != 0) {
        memcpy(room, text, count);
    }
    room[count] = '\0';
}

static void set_defaults(struct kv_table_write_options *options)
{
    options->block_bytes = options->block_bytes == 0 ? BLOCK_BYTES : options->block_bytes;
    options->restart_interval =
        options->restart_interval == 0 ? RESTART_INTERVAL : options->restart_interval;
    options->partition_bytes =
        options->partition_bytes == 0 ? PARTITION_BYTES : options->partition_bytes;
    options->buffer_bytes = options->buffer_bytes == 0 ? BUFFER_BYTES : options->buffer_bytes;
    options->start_sync_bytes =
        options->start_sync_bytes == 0 ? START_SYNC_BYTES : options->start_sync_bytes;
    if (options->checksum == QUARRY_KV_CHECKSUM_DEFAULT) {
        options->checksum = QUARRY_KV_CHECKSUM_CRC32C;
    }
    if (options->compression == QUARRY_KV_COMPRESSION_DEFAULT) {
        options->compression = options->format == QUARRY_KV_FORMAT_LEVELDB
                                   ? QUARRY_KV_COMPRESSION_SNAPPY
                                   : QUARRY_KV_COMPRESSION_LZ4;
    }
}

static enum quarry_status check_options(const struct kv_table_write_options *options,
                                        struct quarry_error *error)
{
    bool is_leveldb = options->format == QUARRY_KV_FORMAT_LEVELDB;

    if ((uint32_t)options->compression > UINT8_MAX ||
        !sst_compression_is_writable((uint8_t)options->compression) ||
        (uint32_t)options->checksum > QUARRY_KV_CHECKSUM_XXH3) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "table %06llu: compression %u or checksum %u cannot be written",
                         (unsigned long long)options->file_number, (unsigned)options->compression,
                         (unsigned)options->checksum);
    }
    if (is_leveldb && (options->compression > QUARRY_KV_COMPRESSION_SNAPPY ||
                       options->checksum != QUARRY_KV_CHECKSUM_CRC32C || options->is_partitioned ||
                       options->is_ingestible || options->prefix_bytes != 0)) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "table %06llu: an option that LevelDB's format does not have",
                         (unsigned long long)options->file_number);
    }
    return QUARRY_OK;
}

static void begin_properties(struct kv_table_writer *writer)
{
    const struct kv_table_write_options *options = &writer->options;
    struct kv_table_properties *properties = &writer->properties;

    *properties = (struct kv_table_properties){
        .creation_time = options->creation_time,
        .file_creation_time = options->creation_time,
        .oldest_key_time = options->oldest_key_time,
        .original_file_number = options->file_number,
        .index_type = options->is_partitioned ? SST_INDEX_TWO_LEVEL : SST_INDEX_BINARY,
        .index_is_delta_encoded = !writer->is_leveldb,
        .filters_whole_keys = true,
        .filters_prefixes = options->prefix_bytes != 0,
        .is_present = true,
        .external_version = options->is_ingestible ? 2 : 0,
        .column_family = "default",
        .collectors = "[]",
        .prefix_extractor = "nullptr",
    };
    copy_text(properties->comparator, writer->tables->comparator->name);
    copy_text(properties->merge_operator,
              options->merge_operator == NULL ? "nullptr" : options->merge_operator);
    copy_text(properties->compression, sst_compression_name((uint8_t)options->compression));
    copy_text(properties->filter_policy, options->bloom_millibits == 0 ? NULL : "bloomfilter");
    copy_text(properties->db_id, options->db_id);
    copy_text(properties->session_id, options->session_id);
    copy_text(properties->host, options->host);
    if (options->prefix_bytes != 0) {
        sst_prefix_extractor_name(options->prefix_bytes, properties->prefix_extractor);
    }
}

enum quarry_status kv_table_writer_create(struct kv_tables *tables, struct quarry_vfs_file *file,
                                          const struct kv_table_write_options *options,
                                          struct kv_table_writer **ret_writer,
                                          struct quarry_error *error)
{
    struct kv_table_write_options wanted = *options;
    void *object;

    set_defaults(&wanted);
    enum quarry_status status = check_options(&wanted, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = sst_heap_alloc(&tables->heap, sizeof(struct kv_table_writer), &object);
    if (status != QUARRY_OK) {
        return error_set(error, status, "table %06llu: no memory for a writer",
                         (unsigned long long)wanted.file_number);
    }
    struct kv_table_writer *writer = object;
    *writer = (struct kv_table_writer){.tables = tables,
                                       .heap = &tables->heap,
                                       .file = file,
                                       .options = wanted,
                                       .is_leveldb = wanted.format == QUARRY_KV_FORMAT_LEVELDB,
                                       .smallest_sequence = UINT64_MAX};
    writer->has_user_keys = !writer->is_leveldb;
    sst_policy_build_init(&writer->policy, writer->heap,
                          writer->is_leveldb ? tables->filter_policy : NULL);
    writer->block = (struct sst_block_build){.restart_interval = wanted.restart_interval,
                                             .has_trailers = true,
                                             .has_value_lengths = true};
    writer->ranges = writer->block;
    writer->ranges.restart_interval = 1;
    begin_properties(writer);
    status = sst_codec_take(&tables->codecs, &writer->codec);
    if (status != QUARRY_OK) {
        kv_table_writer_destroy(writer);
        return error_set(error, status, "table %06llu: no memory for a writer",
                         (unsigned long long)wanted.file_number);
    }
    *ret_writer = writer;
    return QUARRY_OK;
}

void kv_table_writer_destroy(struct kv_table_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    const struct sst_heap *heap = writer->heap;
    sst_codec_give(&writer->tables->codecs, writer->codec);
    sst_block_build_fini(heap, &writer->block);
    sst_block_build_fini(heap, &writer->ranges);
    sst_filter_build_fini(heap, &writer->hashes);
    sst_policy_build_fini(heap, &writer->policy);
    sst_buffer_fini(heap, &writer->buffer);
    sst_buffer_fini(heap, &writer->index);
    sst_buffer_fini(heap, &writer->partitions);
    sst_buffer_fini(heap, &writer->separator);
    sst_buffer_fini(heap, &writer->smallest);
    sst_buffer_fini(heap, &writer->largest);
    sst_buffer_fini(heap, &writer->range_smallest);
    sst_buffer_fini(heap, &writer->range_largest);
    sst_heap_free(heap, writer, sizeof(*writer));
}

enum quarry_status sst_writer_fail(struct kv_table_writer *writer, enum quarry_status status,
                                   const char *what, struct quarry_error *error)
{
    if (writer->failure == QUARRY_OK) {
        writer->failure = status;
        (void)error_set(&writer->failure_error, status, "table %06llu at %llu: %s",
                        (unsigned long long)writer->options.file_number,
                        (unsigned long long)writer->offset, what);
    }
    if (error != NULL) {
        *error = writer->failure_error;
    }
    return writer->failure;
}

/* ---- bytes to the file ---------------------------------------------------------------------- */

static enum quarry_status write_bytes(struct kv_table_writer *writer, const char *bytes,
                                      size_t byte_count)
{
    struct quarry_error *error = &writer->failure_error;
    enum quarry_status status =
        quarry_vfs_write(writer->file, writer->written, bytes, byte_count, error);

    if (status == QUARRY_OK) {
        writer->written += byte_count;
        uint64_t begin = writer->sync_started;
        if (writer->written - begin >= writer->options.start_sync_bytes) {
            status = quarry_vfs_start_sync(writer->file, begin, writer->written - begin, error);
            writer->sync_started = writer->written;
        }
    }
    writer->failure = status;
    return status;
}

enum quarry_status sst_writer_flush(struct kv_table_writer *writer)
{
    struct sst_buffer *buffer = &writer->buffer;
    enum quarry_status status =
        buffer->count == 0 ? QUARRY_OK : write_bytes(writer, buffer->bytes, buffer->count);

    buffer->count = 0;
    return status;
}

enum quarry_status sst_writer_put(struct kv_table_writer *writer, const char *bytes,
                                  size_t byte_count)
{
    enum quarry_status status = QUARRY_OK;

    bool is_large = byte_count > writer->options.buffer_bytes / 2;

    if (is_large || writer->buffer.count + byte_count > writer->options.buffer_bytes) {
        status = sst_writer_flush(writer);
    }
    if (status == QUARRY_OK && is_large) {
        status = write_bytes(writer, bytes, byte_count);
    } else if (status == QUARRY_OK) {
        if (writer->buffer.capacity == 0) {
            status =
                sst_buffer_reserve(writer->heap, &writer->buffer, writer->options.buffer_bytes);
        }
        if (status == QUARRY_OK) {
            status = sst_buffer_append(writer->heap, &writer->buffer, bytes, byte_count);
        }
    }
    if (status == QUARRY_OK) {
        writer->offset += byte_count; /* 1 */
    }
    return status;
}

enum quarry_status sst_writer_put_block(struct kv_table_writer *writer, struct sst_buffer *bytes,
                                        bool may_compress, struct sst_handle *ret_handle)
{
    uint8_t type = (uint8_t)writer->options.compression;
    const char *payload = bytes->bytes;
    size_t count = bytes->count;
    enum quarry_status status = QUARRY_TOO_LARGE;

    if (may_compress && type != QUARRY_KV_COMPRESSION_NONE) {
        status = sst_compress(writer->codec, type, writer->options.compression_level, bytes->bytes,
                              bytes->count, &payload, &count);
    }
    if (status == QUARRY_TOO_LARGE) { /* stored as it is */
        type = QUARRY_KV_COMPRESSION_NONE;
        status = sst_buffer_reserve(writer->heap, bytes, SST_TRAILER_BYTES);
        payload = bytes->bytes;
        count = bytes->count;
    }
    if (status != QUARRY_OK) {
        return status;
    }
    /* Both memories have room for a trailer behind the payload. */
    char *trailer = (char *)(uintptr_t)payload + count;
    trailer[0] = (char)type;
    endian_store_le_u32(trailer + 1, sst_checksum((enum sst_checksum_type)writer->options.checksum,
                                                  payload, count));
    *ret_handle = (struct sst_handle){writer->offset, count};
    return sst_writer_put(writer, payload, count + SST_TRAILER_BYTES);
}

/* ---- the list of blocks --------------------------------------------------------------------- */

/* Ends a piece of a partitioned table: its filter knows the prefix of the key that comes next. */
static enum quarry_status cut_partition(struct kv_table_writer *writer, const struct kv_key *next)
{
    uint32_t prefix_bytes = writer->options.prefix_bytes;

    if (next != NULL && prefix_bytes != 0 && writer->options.bloom_millibits != 0 &&
        next->user.count >= prefix_bytes) {
        enum quarry_status status = sst_filter_build_add_prefix(
            writer->heap, &writer->hashes, sst_xxph3_64(next->user.bytes, prefix_bytes));
        if (status != QUARRY_OK) {
            return status;
        }
    }
    const struct sst_partition partition = {writer->index.count, writer->hashes.count};
    writer->hashes.has_key = writer->hashes.has_prefix = false;
    writer->partition_begin = writer->index.count;
    return sst_buffer_append(writer->heap, &writer->partitions, (const char *)&partition,
                             sizeof(partition));
}

/* Makes the separator of the block that was written last and the key `next`; NULL: it is the last.
 */
static enum quarry_status make_separator(struct kv_table_writer *writer, const struct kv_key *next,
                                         uint64_t *ret_trailer)
{
    const struct quarry_kv_comparator *comparator = writer->tables->comparator;
    struct kv_key last = sst_writer_last_key(writer);
    struct sst_buffer *room = &writer->separator;

    room->count = 0;
    enum quarry_status status =
        sst_buffer_append(writer->heap, room, last.user.bytes, last.user.count);
    *ret_trailer = last.trailer;
    if (status != QUARRY_OK || next == NULL) {
        return status;
    }
    if (kv_compare(comparator, last.user, next->user) == 0) {
        writer->has_user_keys = false;
        return QUARRY_OK;
    }
    room->count = kv_key_separate(comparator, last.user, next->user, room->bytes);
    if (kv_compare(comparator, last.user, kv_slice(room->bytes, room->count)) != 0) {
        *ret_trailer = kv_trailer(KV_SEQUENCE_MAX, KV_TYPE_PUT);
    }
    return QUARRY_OK;
}

enum quarry_status sst_writer_note_block(struct kv_table_writer *writer, const struct kv_key *next)
{
    struct sst_index_note note = {.handle = writer->pending, .hash_end = writer->hashes.count};
    enum quarry_status status = make_separator(writer, next, &note.trailer);

    if (status != QUARRY_OK) {
        return status;
    }
    note.user_bytes = writer->separator.count;
    status = sst_buffer_reserve(writer->heap, &writer->index, sizeof(note) + note.user_bytes);
    if (status != QUARRY_OK) {
        return status;
    }
    (void)sst_buffer_append(writer->heap, &writer->index, (const char *)&note, sizeof(note));
    (void)sst_buffer_append(writer->heap, &writer->index, writer->separator.bytes, note.user_bytes);
    writer->has_pending = false;
    writer->index_bytes += note.user_bytes + KV_TRAILER_BYTES + 12;
    if (writer->is_leveldb) {
        writer->hashes.has_key = false;
    }
    if (writer->options.is_partitioned &&
        (next == NULL ||
         writer->index.count - writer->partition_begin >= writer->options.partition_bytes)) {
        return cut_partition(writer, next);
    }
    return QUARRY_OK;
}

enum quarry_status sst_writer_end_block(struct kv_table_writer *writer)
{
    enum quarry_status status = sst_block_build_finish(writer->heap, &writer->block);

    if (status == QUARRY_OK) {
        status = sst_writer_put_block(writer, &writer->block.bytes, true, &writer->pending);
    }
    if (status == QUARRY_OK) {
        writer->has_pending = true;
        writer->properties.data_block_count++;
        writer->properties.data_bytes = writer->offset;
        if (writer->policy.policy != NULL) {
            status = sst_policy_build_begin(writer->heap, &writer->policy, writer->offset);
        }
    }
    return status;
}

/* ---- adding --------------------------------------------------------------------------------- */

static bool is_block_full(const struct kv_table_writer *writer, struct kv_key key,
                          struct kv_slice value)
{
    uint64_t limit = writer->options.block_bytes;
    uint64_t bytes = sst_block_build_bytes(&writer->block);

    if (writer->block.entry_count == 0) {
        return false;
    }
    return bytes >= limit || (bytes + key.user.count + KV_TRAILER_BYTES + value.count > limit &&
                              bytes * 100 > limit * (100 - DEVIATION_PERCENT));
}

static void count_entry(struct kv_table_writer *writer, struct kv_key key, struct kv_slice value)
{
    struct kv_table_properties *properties = &writer->properties;
    uint64_t sequence = kv_trailer_sequence(key.trailer);
    enum kv_type type = kv_trailer_type(key.trailer);

    properties->entry_count++;
    properties->raw_key_bytes += key.user.count + KV_TRAILER_BYTES;
    properties->raw_value_bytes += value.count;
    properties->delete_count +=
        type == KV_TYPE_DELETE || type == KV_TYPE_SINGLE_DELETE || type == KV_TYPE_RANGE_DELETE;
    properties->merge_count += type == KV_TYPE_MERGE;
    properties->range_delete_count += type == KV_TYPE_RANGE_DELETE;
    writer->smallest_sequence =
        sequence < writer->smallest_sequence ? sequence : writer->smallest_sequence;
    writer->largest_sequence =
        sequence > writer->largest_sequence ? sequence : writer->largest_sequence;
}

static enum quarry_status add_hashes(struct kv_table_writer *writer, struct kv_slice user)
{
    uint32_t prefix_bytes = writer->options.prefix_bytes;
    uint64_t hash = writer->is_leveldb ? sst_hash32(user.bytes, user.count, SST_HASH32_BLOOM_SEED)
                                       : sst_xxph3_64(user.bytes, user.count);
    enum quarry_status status = sst_filter_build_add(writer->heap, &writer->hashes, hash);

    if (status == QUARRY_OK && prefix_bytes != 0 && user.count >= prefix_bytes) {
        status = sst_filter_build_add_prefix(writer->heap, &writer->hashes,
                                             sst_xxph3_64(user.bytes, prefix_bytes));
    }
    return status;
}

/* What has to happen before an entry goes into the builder. */
static enum quarry_status make_way(struct kv_table_writer *writer, struct kv_key key,
                                   struct kv_slice value)
{
    enum quarry_status status = QUARRY_OK;

    if (is_block_full(writer, key, value)) {
        status = sst_writer_end_block(writer);
    }
    if (status == QUARRY_OK && writer->has_pending) {
        status = sst_writer_note_block(writer, &key);
        if (status == QUARRY_OK) {
            sst_block_build_clear(&writer->block);
        }
    }
    return status;
}

static const char *entry_fault(const struct kv_table_writer *writer, struct kv_key key)
{
    enum kv_type type = kv_trailer_type(key.trailer);

    if (type != KV_TYPE_DELETE && type != KV_TYPE_PUT &&
        (writer->is_leveldb || (type != KV_TYPE_MERGE && type != KV_TYPE_SINGLE_DELETE))) {
        return "an entry of a type that the format does not have";
    }
    if (writer->properties.entry_count != writer->properties.range_delete_count &&
        kv_compare_keys(writer->tables->comparator, sst_writer_last_key(writer), key) >= 0) {
        return "an entry out of order";
    }
    return NULL;
}

enum quarry_status kv_table_writer_add(struct kv_table_writer *writer, struct kv_key key,
                                       struct kv_slice value, struct quarry_error *error)
{
    bool is_first = writer->properties.entry_count == writer->properties.range_delete_count;

    if (Q_UNLIKELY(writer->failure != QUARRY_OK)) {
        return sst_writer_fail(writer, writer->failure, "", error);
    }
    Q_ASSERT(!writer->is_finished);
    const char *fault = entry_fault(writer, key);
    if (Q_UNLIKELY(fault != NULL)) {
        return sst_writer_fail(writer, QUARRY_BAD_INPUT, fault, error);
    }
    enum quarry_status status = make_way(writer, key, value);
    if (status == QUARRY_OK && writer->policy.policy != NULL) {
        status = sst_policy_build_add(writer->heap, &writer->policy, key.user);
    } else if (status == QUARRY_OK && writer->options.bloom_millibits != 0) {
        status = add_hashes(writer, key.user);
    }
    if (status == QUARRY_OK && is_first) {
        status = sst_writer_keep_key(writer, &writer->smallest, key);
    }
    if (status == QUARRY_OK) {
        status = sst_block_build_add(writer->heap, &writer->block, key, value);
    }
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return sst_writer_fail(writer, status, "an entry could not be added", error);
    }
    count_entry(writer, key, value);
    return QUARRY_OK;
}

enum quarry_status kv_table_writer_add_range_delete(struct kv_table_writer *writer,
                                                    struct kv_slice begin, struct kv_slice end,
                                                    uint64_t sequence, struct quarry_error *error)
{
    const struct quarry_kv_comparator *comparator = writer->tables->comparator;
    const struct kv_key key = {begin, kv_trailer(sequence, KV_TYPE_RANGE_DELETE)};

    if (writer->failure != QUARRY_OK) {
        return sst_writer_fail(writer, writer->failure, "", error);
    }
    Q_ASSERT(!writer->is_finished);
    if (writer->is_leveldb) {
        return sst_writer_fail(writer, QUARRY_UNSUPPORTED,
                               "LevelDB's format has no range deletions", error);
    }
    if (kv_compare(comparator, begin, end) >= 0) {
        return sst_writer_fail(writer, QUARRY_BAD_INPUT, "a range that ends before it begins",
                               error);
    }
    if (writer->ranges.entry_count != 0 &&
        kv_compare_keys(comparator, sst_writer_key_of(&writer->ranges.last_key), key) > 0) {
        return sst_writer_fail(writer, QUARRY_BAD_INPUT, "a range deletion out of order", error);
    }
    enum quarry_status status = sst_writer_widen(writer, key, end);
    if (status == QUARRY_OK) {
        status = sst_block_build_add(writer->heap, &writer->ranges, key, end);
    }
    if (status != QUARRY_OK) {
        return sst_writer_fail(writer, status, "a range deletion could not be added", error);
    }
    count_entry(writer, key, end);
    return QUARRY_OK;
}

uint64_t kv_table_writer_bytes(const struct kv_table_writer *writer)
{
    uint64_t filter = writer->hashes.count * writer->options.bloom_millibits / 8000 +
                      writer->policy.filters.byte_count;

    return writer->offset + (writer->has_pending ? 0 : sst_block_build_bytes(&writer->block)) +
           writer->index_bytes + filter + writer->ranges.bytes.count;
}

uint64_t kv_table_writer_count(const struct kv_table_writer *writer)
{
    return writer->properties.entry_count;
}
