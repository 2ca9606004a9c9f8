/*
 * Batches: changes put together before it is known to which database they go.
 *
 *     | sequence, u64: 0 | changes, u32 | 1 | length | key | length | value | 0 | length | key | …
 *
 * That is LevelDB's form and the log's, so writing one copies nothing: quarry_kv_write_data takes
 * it as it is. Lengths are varints of 32 bits.
 *
 * Adding cannot fail in LevelDB's API. A batch to which more than 4 GiB are added, or a key or a
 * value longer than any that is ever taken, is marked, and refused when it is written.
 *
 * Locking: none; a batch is one thread's. Cost: a copy; memory doubles.
 */
#include <leveldb_api/shim.h>

#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES   12u
#define COUNT_OFFSET   8u
#define CAPACITY_FIRST ((size_t)256)
#define TAG_DELETE     0
#define TAG_PUT        1

/* ---- making one ----------------------------------------------------------------------------- */

struct leveldb_writebatch_t *leveldb_writebatch_create(void)
{
    struct leveldb_writebatch_t *batch = shim_alloc(sizeof(*batch));

    batch->bytes = shim_alloc(CAPACITY_FIRST);
    batch->capacity = CAPACITY_FIRST;
    batch->byte_count = HEADER_BYTES;
    return batch;
}

void leveldb_writebatch_destroy(struct leveldb_writebatch_t *batch)
{
    free(batch->bytes);
    free(batch);
}

void leveldb_writebatch_clear(struct leveldb_writebatch_t *batch)
{
    memset(batch->bytes, 0, HEADER_BYTES);
    batch->byte_count = HEADER_BYTES;
    batch->is_too_large = false;
}

static uint32_t count_of(const struct leveldb_writebatch_t *batch)
{
    return endian_load_le_u32(batch->bytes + COUNT_OFFSET);
}

/* Room for so many more bytes. False: it would be too large. */
static bool reserve(struct leveldb_writebatch_t *batch, size_t byte_count)
{
    size_t wanted = 0;

    if (!checked_add_size(batch->byte_count, byte_count, &wanted) || wanted > UINT32_MAX) {
        batch->is_too_large = true;
        return false;
    }
    if (wanted > batch->capacity) {
        size_t capacity = size_max(batch->capacity * 2, wanted);
        char *grown = shim_alloc(capacity);
        memcpy(grown, batch->bytes, batch->byte_count);
        free(batch->bytes);
        batch->bytes = grown;
        batch->capacity = capacity;
    }
    return true;
}

static void put_slice(struct leveldb_writebatch_t *batch, const char *bytes, size_t byte_count)
{
    uint8_t *at = (uint8_t *)batch->bytes + batch->byte_count;

    at += varint_put_u32(at, (uint32_t)byte_count);
    if (byte_count != 0) {
        memcpy(at, bytes, byte_count);
    }
    batch->byte_count = (size_t)((char *)at - batch->bytes) + byte_count;
}

/* Room for a change, whose tag is put. False: it is left out. */
static bool begin_change(struct leveldb_writebatch_t *batch, char tag, size_t key_bytes,
                         size_t value_bytes)
{
    if (key_bytes > QUARRY_KV_KEY_BYTES_MAX || value_bytes > QUARRY_KV_VALUE_BYTES_MAX) {
        batch->is_too_large = true;
        return false;
    }
    if (!reserve(batch, 1 + 2 * VARINT_U32_BYTES_MAX + key_bytes + value_bytes)) {
        return false;
    }
    batch->bytes[batch->byte_count++] = tag;
    endian_store_le_u32(batch->bytes + COUNT_OFFSET, count_of(batch) + 1);
    return true;
}

void leveldb_writebatch_put(struct leveldb_writebatch_t *batch, const char *key, size_t klen,
                            const char *val, size_t vlen)
{
    if (begin_change(batch, TAG_PUT, klen, vlen)) {
        put_slice(batch, key, klen);
        put_slice(batch, val, vlen);
    }
}

void leveldb_writebatch_delete(struct leveldb_writebatch_t *batch, const char *key, size_t klen)
{
    if (begin_change(batch, TAG_DELETE, klen, 0)) {
        put_slice(batch, key, klen);
    }
}

void leveldb_writebatch_append(struct leveldb_writebatch_t *destination,
                               const struct leveldb_writebatch_t *source)
{
    size_t byte_count = source->byte_count - HEADER_BYTES;
    uint32_t count = count_of(source);

    destination->is_too_large |= source->is_too_large;
    if (reserve(destination, byte_count)) { /* which may move the source, if it is the same */
        memcpy(destination->bytes + destination->byte_count, source->bytes + HEADER_BYTES,
               byte_count);
        destination->byte_count += byte_count;
        endian_store_le_u32(destination->bytes + COUNT_OFFSET, count_of(destination) + count);
    }
}

/* ---- reading it ----------------------------------------------------------------------------- */

/* Reads a length and the bytes behind it, which are there: they were put. */
static struct quarry_kv_slice take_slice(const char **at, const char *end)
{
    uint32_t byte_count = 0;
    size_t length_bytes = varint_get_u32((const uint8_t *)*at, (const uint8_t *)end, &byte_count);
    const char *bytes = *at + length_bytes;

    Q_ASSERT(length_bytes != 0 && byte_count <= (size_t)(end - bytes));
    *at = bytes + byte_count;
    return (struct quarry_kv_slice){bytes, byte_count};
}

void leveldb_writebatch_iterate(const struct leveldb_writebatch_t *batch, void *state,
                                void (*put)(void *state, const char *k, size_t klen, const char *v,
                                            size_t vlen),
                                void (*deleted)(void *state, const char *k, size_t klen))
{
    const char *at = batch->bytes + HEADER_BYTES, *end = batch->bytes + batch->byte_count;

    while (at < end) {
        char tag = *at++;
        const struct quarry_kv_slice key = take_slice(&at, end);
        if (tag == TAG_PUT) {
            const struct quarry_kv_slice value = take_slice(&at, end);
            put(state, key.bytes, key.byte_count, value.bytes, value.byte_count);
        } else {
            deleted(state, key.bytes, key.byte_count);
        }
    }
}
