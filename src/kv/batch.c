/*
 * Batches: reading records, and adding them.
 *
 *     tag                                 then, each with its length before it as a varint32
 *     0x00 delete, 0x07 single delete     key
 *     0x01 put, 0x02 merge                key, value
 *     0x0f delete range                   begin, end
 *     0x03 bytes for the log alone        bytes                 no change, has no sequence
 *     0x0d nothing                        —                     likewise
 *     0x04 0x05 0x06 0x08 0x0e            as 0x00 0x01 0x02 0x07 0x0f, after the number of a
 *                                         column family, a varint32, which must be 0
 *     others                              two-phase commit, blobs, wide columns: refused by name
 *
 * One table says for each tag what it is, what follows, and why it is refused; reading is a look at
 * the table and one or two slices. A short put, the most frequent record by far, is read inline by
 * those who go over whole batches (kv_batch_next_short).
 *
 * Invariants
 *   1. The bytes of a batch that is made here are a whole one after every call: the count in its
 *      header is that of its changes, and what failed was not added.
 *   2. A cursor never reads at or behind `end`; a length is compared with what is left before it is
 *      used.
 *   3. Changes are at most UINT32_MAX, as are bytes; so an index has 32 bits for each.
 *
 * Locking: none; a batch is one thread's. Cost: adding is two copies and about 50 instructions.
 *
 * Rejected: a visitor's functions in place of the cursor: the caller's loop would be turned inside
 * out, and each change would cost a call through a pointer.
 *
 * Source: RocksDB's WriteBatch; the bytes were compared with those that librocksdb makes.
 */
#include <kv/batch.h>

#include <kv/batch_index.h>

/* What a tag is followed by, and means. */
struct tag_row {
    const char *refused; /* why it is; NULL: it is not */
    enum kv_type type;
    uint8_t slice_count; /* 0 to 2; 0 of what is not known */
    bool is_known;
    bool is_change;
    bool has_family;
};

#define CHANGE(change_type, slices, family)                                                        \
    {                                                                                              \
        .type = (change_type), .slice_count = (slices), .is_known = true, .is_change = true,       \
        .has_family = (family)                                                                     \
    }
#define REFUSED(why)                                                                               \
    {                                                                                              \
        .refused = (why), .is_known = true                                                         \
    }

static const struct tag_row tag_rows[] = {
    [0x00] = CHANGE(KV_TYPE_DELETE, 1, false),
    [0x01] = CHANGE(KV_TYPE_PUT, 2, false),
    [0x02] = CHANGE(KV_TYPE_MERGE, 2, false),
    [0x03] = {.slice_count = 1, .is_known = true},
    [0x04] = CHANGE(KV_TYPE_DELETE, 1, true),
    [0x05] = CHANGE(KV_TYPE_PUT, 2, true),
    [0x06] = CHANGE(KV_TYPE_MERGE, 2, true),
    [0x07] = CHANGE(KV_TYPE_SINGLE_DELETE, 1, false),
    [0x08] = CHANGE(KV_TYPE_SINGLE_DELETE, 1, true),
    [0x09] = REFUSED("two-phase commit"),
    [0x0a] = REFUSED("two-phase commit"),
    [0x0b] = REFUSED("two-phase commit"),
    [0x0c] = REFUSED("two-phase commit"),
    [0x0d] = {.is_known = true},
    [0x0e] = CHANGE(KV_TYPE_RANGE_DELETE, 2, true),
    [0x0f] = CHANGE(KV_TYPE_RANGE_DELETE, 2, false),
    [0x10] = REFUSED("blobs"),
    [0x11] = REFUSED("blobs"),
    [0x12] = REFUSED("two-phase commit"),
    [0x13] = REFUSED("two-phase commit"),
    [0x14] = REFUSED("timestamps"),
    [0x15] = REFUSED("two-phase commit"),
    [0x16] = REFUSED("wide columns"),
    [0x17] = REFUSED("wide columns"),
};
#define TAGS (sizeof(tag_rows) / sizeof(tag_rows[0]))

enum { TAG_LOG_DATA = 0x03 };

/* ---- reading -------------------------------------------------------------------------------- */

enum quarry_status kv_batch_cursor_init(struct kv_batch_cursor *cursor, struct kv_slice data,
                                        struct quarry_error *error)
{
    if (data.count < KV_BATCH_HEADER_BYTES) {
        return error_set(error, QUARRY_CORRUPT, "batch: %zu bytes, its header has %u", data.count,
                         KV_BATCH_HEADER_BYTES);
    }
    *cursor = (struct kv_batch_cursor){.begin = data.bytes,
                                       .at = data.bytes + KV_BATCH_HEADER_BYTES,
                                       .end = data.bytes + data.count};
    return QUARRY_OK;
}

Q_COLD static enum quarry_status say_corrupt(const struct kv_batch_cursor *cursor, const char *at,
                                             const char *what, struct quarry_error *error)
{
    return error_set(error, QUARRY_CORRUPT, "batch: byte %zu of %zu: %s",
                     (size_t)(at - cursor->begin), (size_t)(cursor->end - cursor->begin), what);
}

static inline bool read_u32(const char **at, const char *end, uint32_t *ret_value)
{
    size_t byte_count = varint_get_u32((const uint8_t *)*at, (const uint8_t *)end, ret_value);

    *at += byte_count;
    return byte_count != 0;
}

/* A length and as many bytes (invariant 2). */
static inline bool read_slice(const char **at, const char *end, struct kv_slice *ret_slice)
{
    uint32_t byte_count;

    if (!read_u32(at, end, &byte_count) || byte_count > (size_t)(end - *at)) {
        return false;
    }
    *ret_slice = kv_slice(*at, byte_count);
    *at += byte_count;
    return true;
}

Q_COLD static enum quarry_status refuse(const struct kv_batch_cursor *cursor, unsigned tag,
                                        struct quarry_error *error)
{
    if (tag < TAGS && tag_rows[tag].is_known) {
        return error_set(error, QUARRY_UNSUPPORTED, "batch: byte %zu: record 0x%02x is of %s",
                         (size_t)(cursor->at - cursor->begin), tag, tag_rows[tag].refused);
    }
    return error_set(error, QUARRY_CORRUPT, "batch: byte %zu of %zu: no record is of type 0x%02x",
                     (size_t)(cursor->at - cursor->begin), (size_t)(cursor->end - cursor->begin),
                     tag);
}

/* What follows a tag. */
static inline enum quarry_status read_record(struct kv_batch_cursor *cursor,
                                             const struct tag_row *row,
                                             struct kv_batch_record *record,
                                             struct quarry_error *error)
{
    const char *at = cursor->at + 1;
    uint32_t family = 0;

    if (row->has_family && !read_u32(&at, cursor->end, &family)) {
        return say_corrupt(cursor, at, "the number of a column family is cut off", error);
    }
    if (family != 0) {
        return error_set(error, QUARRY_UNSUPPORTED, "batch: byte %zu: of column family %u",
                         (size_t)(cursor->at - cursor->begin), family);
    }
    if (row->slice_count != 0 && !read_slice(&at, cursor->end, &record->key)) {
        return say_corrupt(cursor, at, "a key is cut off", error);
    }
    if (row->slice_count == 2 && !read_slice(&at, cursor->end, &record->value)) {
        return say_corrupt(cursor, at, "a value is cut off", error);
    }
    cursor->at = at;
    return QUARRY_OK;
}

enum quarry_status kv_batch_next(struct kv_batch_cursor *cursor, struct kv_batch_record *ret_record,
                                 struct quarry_error *error)
{
    struct kv_batch_record record = {.key = {"", 0}, .value = {"", 0}, .pair = {NULL, 0}};

    if (cursor->at == cursor->end) {
        return QUARRY_NOT_FOUND;
    }
    unsigned tag = (unsigned char)*cursor->at;
    if (Q_UNLIKELY(tag >= TAGS || !tag_rows[tag].is_known || tag_rows[tag].refused != NULL)) {
        return refuse(cursor, tag, error);
    }
    const struct tag_row *row = &tag_rows[tag];
    enum quarry_status status = read_record(cursor, row, &record, error);
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    record.is_change = row->is_change;
    record.type = row->type;
    if (!row->is_change) {
        record.value = record.key;
        record.key = (struct kv_slice){"", 0};
    }
    *ret_record = record;
    return QUARRY_OK;
}

enum quarry_status kv_batch_check(struct kv_slice data, struct kv_batch_counts *ret_counts,
                                  struct quarry_error *error)
{
    struct kv_batch_counts counts = {0};
    struct kv_batch_cursor cursor;
    struct kv_batch_record record;
    enum quarry_status status = kv_batch_cursor_init(&cursor, data, error);

    while (status == QUARRY_OK) {
        status = kv_batch_next(&cursor, &record, error);
        if (status == QUARRY_OK && record.is_change) {
            kv_batch_count_change(&counts, &record);
        }
    }
    if (status == QUARRY_NOT_FOUND) {
        status = kv_batch_check_header(data, &counts, error);
    }
    if (status == QUARRY_OK) {
        *ret_counts = counts;
    }
    return status;
}

enum quarry_status kv_batch_check_header(struct kv_slice data, const struct kv_batch_counts *counts,
                                         struct quarry_error *error)
{
    if (kv_batch_count(data) != counts->change_count) {
        return error_set(error, QUARRY_CORRUPT, "batch: %u changes by its header, %u are there",
                         kv_batch_count(data), counts->change_count);
    }
    /* Of a batch without a sequence yet it is 0. */
    if (kv_batch_sequence(data) > KV_SEQUENCE_MAX - counts->change_count) {
        return error_set(error, QUARRY_CORRUPT, "batch: sequence %llu is too high",
                         (unsigned long long)kv_batch_sequence(data));
    }
    return QUARRY_OK;
}

/* ---- making one ----------------------------------------------------------------------------- */

/* An empty batch: a header of zeros. */
static enum quarry_status begin(struct quarry_kv_batch *batch)
{
    static const char header[KV_BATCH_HEADER_BYTES];

    kv_buffer_clear(&batch->bytes);
    batch->change_count = 0;
    batch->mark_count = 0;
    return quarry_kv_buffer_append(&batch->bytes, header, sizeof(header));
}

static enum quarry_status try_create(const struct kv_batch_options *options, bool is_indexed,
                                     struct quarry_kv_batch **ret_batch)
{
    struct quarry_kv_batch *batch = kv_memory_take(options->memory, sizeof(*batch));

    if (batch == NULL) {
        return QUARRY_NO_MEMORY;
    }
    batch->options = *options;
    batch->never_waits = options->never_waits;
    kv_buffer_init(&batch->bytes, options->memory, KV_BATCH_BYTES_MAX);
    enum quarry_status status = begin(batch);
    if (status == QUARRY_OK && is_indexed) {
        status = kv_batch_index_create(options->memory, options->comparator, &batch->bytes.bytes,
                                       &batch->index);
    }
    if (status != QUARRY_OK) {
        quarry_kv_batch_destroy(batch);
        return status;
    }
    *ret_batch = batch;
    return QUARRY_OK;
}

enum quarry_status kv_batch_create(const struct kv_batch_options *options, bool is_indexed,
                                   struct quarry_kv_batch **ret_batch)
{
    const struct kv_batch_want want = {KV_BATCH_HEADER_BYTES, 0, options->never_waits};
    struct kv_memory_wait wait = {0};
    enum quarry_status status = try_create(options, is_indexed, ret_batch);

    while (Q_UNLIKELY(status == QUARRY_NO_MEMORY) && options->find_memory != NULL) {
        status = options->find_memory(options->argument, &want, &wait);
        if (status != QUARRY_OK) {
            return status;
        }
        status = try_create(options, is_indexed, ret_batch);
    }
    return status;
}

void quarry_kv_batch_set_waits(struct quarry_kv_batch *batch, bool waits)
{
    batch->never_waits = !waits;
}

void quarry_kv_batch_destroy(struct quarry_kv_batch *batch)
{
    if (batch != NULL) {
        kv_batch_index_destroy(batch->index);
        kv_buffer_fini(&batch->bytes);
        kv_memory_give(batch->options.memory, batch);
    }
}

void quarry_kv_batch_clear(struct quarry_kv_batch *batch)
{
    if (batch->index != NULL) {
        kv_batch_index_clear(batch->index);
    }
    enum quarry_status status = begin(batch);
    Q_ASSERT(status == QUARRY_OK); /* it has had room for a header from the start */
}

static char *write_slice(char *at, struct kv_slice slice)
{
    at += varint_put_u32((uint8_t *)at, (uint32_t)slice.count);
    if (slice.count != 0) {
        memcpy(at, slice.bytes, slice.count);
    }
    return at + slice.count;
}

/* A record that is to be added. */
struct addition {
    unsigned tag;
    struct kv_slice first;
    const struct kv_slice *second; /* NULL: it has none */
};

/* Writes a record behind the others; there is room. The count is not changed yet. */
static void write_record(struct quarry_kv_batch *batch, unsigned tag, struct kv_slice first,
                         const struct kv_slice *second)
{
    char *at = batch->bytes.bytes + batch->bytes.byte_count;

    *at++ = (char)tag;
    at = write_slice(at, first);
    if (second != NULL) {
        at = write_slice(at, *second);
    }
    batch->bytes.byte_count = (size_t)(at - batch->bytes.bytes);
}

/* The change at `offset` is there: it counts and is found from now on, or goes again. */
static enum quarry_status commit_change(struct quarry_kv_batch *batch, size_t offset)
{
    if (batch->index != NULL) {
        enum quarry_status status =
            kv_batch_index_add(batch->index, (uint32_t)offset, batch->change_count);
        if (status != QUARRY_OK) {
            batch->bytes.byte_count = offset;
            return status;
        }
    }
    batch->change_count++;
    endian_store_le_u32(batch->bytes.bytes + 8, batch->change_count);
    return QUARRY_OK;
}

/* Adds it, if there is memory. `most`: the bytes of its record at most. */
static inline enum quarry_status try_add(struct quarry_kv_batch *batch,
                                         const struct addition *addition, size_t most)
{
    size_t offset = batch->bytes.byte_count;
    enum quarry_status status = kv_buffer_reserve(&batch->bytes, most);

    if (status != QUARRY_OK) {
        return status;
    }
    write_record(batch, addition->tag, addition->first, addition->second);
    return addition->tag == TAG_LOG_DATA ? QUARRY_OK : commit_change(batch, offset);
}

/* So many bytes and changes more were refused. QUARRY_OK: try again. */
Q_COLD static enum quarry_status find_memory(const struct quarry_kv_batch *batch, size_t byte_count,
                                             uint32_t change_count, struct kv_memory_wait *wait)
{
    const struct kv_batch_want want = {batch->bytes.byte_count + byte_count,
                                       batch->change_count + change_count, batch->never_waits};

    return batch->options.find_memory == NULL
               ? QUARRY_NO_MEMORY
               : batch->options.find_memory(batch->options.argument, &want, wait);
}

Q_COLD static enum quarry_status add_slow(struct quarry_kv_batch *batch,
                                          const struct addition *addition, size_t most)
{
    struct kv_memory_wait wait = {0};
    enum quarry_status status = QUARRY_NO_MEMORY;

    while (status == QUARRY_NO_MEMORY) {
        status = find_memory(batch, most, 1, &wait);
        if (status != QUARRY_OK) {
            break;
        }
        status = try_add(batch, addition, most);
    }
    return status;
}

static inline enum quarry_status add_record(struct quarry_kv_batch *batch,
                                            const struct addition *addition, size_t most)
{
    enum quarry_status status = try_add(batch, addition, most);

    return Q_LIKELY(status != QUARRY_NO_MEMORY) ? status : add_slow(batch, addition, most);
}

static enum quarry_status add(struct quarry_kv_batch *batch, enum kv_type type,
                              struct kv_slice first, const struct kv_slice *second)
{
    size_t most = 1 + 2 * VARINT_U32_BYTES_MAX + first.count;

    if (first.count > batch->options.key_bytes_max || batch->change_count == UINT32_MAX) {
        return QUARRY_TOO_LARGE;
    }
    if (second != NULL && !checked_add_size(most, second->count, &most)) {
        return QUARRY_TOO_LARGE;
    }
    return add_record(batch, &(struct addition){(unsigned)type, first, second}, most);
}

enum quarry_status quarry_kv_batch_put(struct quarry_kv_batch *batch, const void *key,
                                       size_t key_bytes, const void *value, size_t value_bytes)
{
    const struct kv_slice second = kv_slice(value, value_bytes);

    if (value_bytes > batch->options.value_bytes_max) {
        return QUARRY_TOO_LARGE;
    }
    return add(batch, KV_TYPE_PUT, kv_slice(key, key_bytes), &second);
}

enum quarry_status quarry_kv_batch_merge(struct quarry_kv_batch *batch, const void *key,
                                         size_t key_bytes, const void *operand,
                                         size_t operand_bytes)
{
    const struct kv_slice second = kv_slice(operand, operand_bytes);

    if (operand_bytes > batch->options.value_bytes_max) {
        return QUARRY_TOO_LARGE;
    }
    return add(batch, KV_TYPE_MERGE, kv_slice(key, key_bytes), &second);
}

enum quarry_status quarry_kv_batch_delete(struct quarry_kv_batch *batch, const void *key,
                                          size_t key_bytes)
{
    return add(batch, KV_TYPE_DELETE, kv_slice(key, key_bytes), NULL);
}

enum quarry_status quarry_kv_batch_single_delete(struct quarry_kv_batch *batch, const void *key,
                                                 size_t key_bytes)
{
    return add(batch, KV_TYPE_SINGLE_DELETE, kv_slice(key, key_bytes), NULL);
}

enum quarry_status quarry_kv_batch_delete_range(struct quarry_kv_batch *batch,
                                                const void *begin_key, size_t begin_bytes,
                                                const void *end_key, size_t end_bytes)
{
    const struct kv_slice first = kv_slice(begin_key, begin_bytes);
    const struct kv_slice second = kv_slice(end_key, end_bytes);

    if (end_bytes > batch->options.key_bytes_max) {
        return QUARRY_TOO_LARGE;
    }
    if (kv_compare(batch->options.comparator, first, second) > 0) {
        return QUARRY_BAD_INPUT;
    }
    return add(batch, KV_TYPE_RANGE_DELETE, first, &second);
}

enum quarry_status quarry_kv_batch_log_data(struct quarry_kv_batch *batch, const void *bytes,
                                            size_t byte_count)
{
    size_t most = 1 + VARINT_U32_BYTES_MAX;

    if (byte_count > batch->options.value_bytes_max) {
        return QUARRY_TOO_LARGE;
    }
    return add_record(batch, &(struct addition){TAG_LOG_DATA, kv_slice(bytes, byte_count), NULL},
                      most + byte_count);
}

uint32_t quarry_kv_batch_count(const struct quarry_kv_batch *batch)
{
    return batch->change_count;
}

struct quarry_kv_slice quarry_kv_batch_data(const struct quarry_kv_batch *batch)
{
    return (struct quarry_kv_slice){batch->bytes.bytes, batch->bytes.byte_count};
}

/* ---- whole batches, and going back ---------------------------------------------------------- */

static void rewind_to(struct quarry_kv_batch *batch, struct kv_batch_mark mark)
{
    Q_ASSERT(mark.byte_count <= batch->bytes.byte_count);
    Q_ASSERT(mark.change_count <= batch->change_count);
    batch->bytes.byte_count = mark.byte_count;
    batch->change_count = mark.change_count;
    endian_store_le_u32(batch->bytes.bytes + 8, mark.change_count);
    if (batch->index != NULL) {
        kv_batch_index_rewind(batch->index, mark.byte_count);
    }
}

static struct kv_batch_mark mark_of(const struct quarry_kv_batch *batch)
{
    return (struct kv_batch_mark){batch->bytes.byte_count, batch->change_count};
}

/* Records that were copied behind `from`: each change is to be counted and found. */
static enum quarry_status commit_copied(struct quarry_kv_batch *batch, size_t from)
{
    struct kv_batch_cursor cursor = {.begin = batch->bytes.bytes,
                                     .at = batch->bytes.bytes + from,
                                     .end = batch->bytes.bytes + batch->bytes.byte_count};
    struct kv_batch_record record;

    for (;;) {
        size_t offset = (size_t)(cursor.at - cursor.begin);
        if (kv_batch_next(&cursor, &record, NULL) != QUARRY_OK) {
            return QUARRY_OK; /* they have been checked: it is the end */
        }
        if (!record.is_change) {
            continue;
        }
        if (batch->index != NULL) {
            enum quarry_status status =
                kv_batch_index_add(batch->index, (uint32_t)offset, batch->change_count);
            if (status != QUARRY_OK) {
                return status;
            }
        }
        batch->change_count++;
    }
}

/* All of it or nothing. */
static enum quarry_status try_append(struct quarry_kv_batch *batch, struct kv_slice records)
{
    const struct kv_batch_mark mark = mark_of(batch);
    enum quarry_status status =
        quarry_kv_buffer_append(&batch->bytes, records.bytes, records.count);

    if (status == QUARRY_OK) {
        status = commit_copied(batch, mark.byte_count);
    }
    if (status == QUARRY_OK) {
        endian_store_le_u32(batch->bytes.bytes + 8, batch->change_count);
    } else {
        rewind_to(batch, mark);
    }
    return status;
}

enum quarry_status quarry_kv_batch_append(struct quarry_kv_batch *batch,
                                          struct quarry_kv_slice data, struct quarry_error *error)
{
    const struct kv_slice whole = kv_slice(data.bytes, data.byte_count);
    struct kv_batch_counts counts;
    enum quarry_status status = kv_batch_check(whole, &counts, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (counts.key_bytes_longest > batch->options.key_bytes_max ||
        counts.value_bytes_longest > batch->options.value_bytes_max ||
        counts.change_count > UINT32_MAX - batch->change_count) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "batch: %u changes, the longest of %zu and %zu bytes", counts.change_count,
                         counts.key_bytes_longest, counts.value_bytes_longest);
    }
    const struct kv_slice records =
        kv_slice(whole.bytes + KV_BATCH_HEADER_BYTES, whole.count - KV_BATCH_HEADER_BYTES);
    struct kv_memory_wait wait = {0};
    status = try_append(batch, records);
    while (Q_UNLIKELY(status == QUARRY_NO_MEMORY)) {
        status = find_memory(batch, records.count, counts.change_count, &wait);
        if (status != QUARRY_OK) {
            break;
        }
        status = try_append(batch, records);
    }
    return status == QUARRY_OK
               ? QUARRY_OK
               : error_set(error, status, "batch: no room for %zu more bytes", whole.count);
}

enum quarry_status quarry_kv_batch_mark(struct quarry_kv_batch *batch)
{
    if (batch->mark_count == KV_BATCH_MARKS_MAX) {
        return QUARRY_TOO_MANY;
    }
    batch->marks[batch->mark_count++] = mark_of(batch);
    return QUARRY_OK;
}

enum quarry_status quarry_kv_batch_rewind(struct quarry_kv_batch *batch)
{
    if (batch->mark_count == 0) {
        return QUARRY_NOT_FOUND;
    }
    rewind_to(batch, batch->marks[--batch->mark_count]);
    return QUARRY_OK;
}
