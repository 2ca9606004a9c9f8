/*
 * Building blocks.
 *
 *     entry    | shared, varint | rest, varint | value bytes, varint | key from `shared` on | value
 * | block    | entry | entry | … | restart, u32 | … | restart count, u32 |
 *
 * An entry's key shares its first bytes with that of the entry before it; at a restart, every
 * `restart_interval` entries, it shares none, so that a search can begin there. Keys are internal
 * ones, with their trailers behind them, in data blocks; plain ones elsewhere. Values of an index
 * have no length.
 *
 *   1. `last_key` is the key of the last entry, whole: of the next one only what differs is copied
 *      there.
 *   2. An entry is appended whole or not at all: room for it is found first.
 *
 * Cost: an entry of 24 + 100 bytes some 80 instructions beside the copying.
 */
#include <kv/sst/block_build.h>

#include <string.h>

/* Three lengths. */
#define HEADER_BYTES_MAX (3u * VARINT_U32_BYTES_MAX)

/* How much of the last key this one begins with. */
static size_t shared_bytes(const struct sst_block_build *build, struct kv_key key)
{
    const struct sst_buffer *last = &build->last_key;
    size_t count = key.user.count < last->count ? key.user.count : last->count;
    size_t shared = sst_common_bytes(last->bytes, key.user.bytes, count);

    if (shared == key.user.count && build->has_trailers) {
        char trailer[KV_TRAILER_BYTES];
        size_t left = last->count - shared;
        endian_store_le_u64(trailer, key.trailer);
        shared += sst_common_bytes(last->bytes + shared, trailer,
                                   left < sizeof(trailer) ? left : sizeof(trailer));
    }
    return shared;
}

/* Makes `key` the last one, of which `shared` bytes are there already. */
static void remember(struct sst_block_build *build, struct kv_key key, size_t shared)
{
    struct sst_buffer *last = &build->last_key;

    if (shared < key.user.count) {
        memcpy(last->bytes + shared, key.user.bytes + shared, key.user.count - shared);
    }
    last->count = key.user.count;
    if (build->has_trailers) {
        endian_store_le_u64(last->bytes + last->count, key.trailer);
        last->count += KV_TRAILER_BYTES;
    }
}

static size_t put_header(const struct sst_block_build *build, char *room, size_t shared,
                         size_t rest, size_t value_bytes)
{
    uint8_t *at = (uint8_t *)room;

    if (Q_LIKELY((shared | rest | value_bytes) < 0x80 && build->has_value_lengths)) {
        at[0] = (uint8_t)shared;
        at[1] = (uint8_t)rest;
        at[2] = (uint8_t)value_bytes;
        return 3;
    }
    at += varint_put_u32(at, (uint32_t)shared);
    at += varint_put_u32(at, (uint32_t)rest);
    if (build->has_value_lengths) {
        at += varint_put_u32(at, (uint32_t)value_bytes);
    }
    return (size_t)(at - (uint8_t *)room);
}

static enum quarry_status find_room(const struct sst_heap *heap, struct sst_block_build *build,
                                    size_t key_bytes, size_t value_bytes)
{
    if (key_bytes > QUARRY_KV_KEY_BYTES_MAX + KV_TRAILER_BYTES ||
        value_bytes > QUARRY_KV_VALUE_BYTES_MAX ||
        build->bytes.count + key_bytes + value_bytes > UINT32_MAX / 2) {
        return QUARRY_TOO_LARGE;
    }
    enum quarry_status status =
        sst_buffer_reserve(heap, &build->bytes, HEADER_BYTES_MAX + key_bytes + value_bytes);
    if (status == QUARRY_OK) {
        status = sst_buffer_reserve(heap, &build->restarts, sizeof(uint32_t));
    }
    if (status == QUARRY_OK && build->last_key.capacity < key_bytes) {
        status = sst_buffer_reserve(heap, &build->last_key, key_bytes - build->last_key.count);
    }
    return status;
}

enum quarry_status sst_block_build_add(const struct sst_heap *heap, struct sst_block_build *build,
                                       struct kv_key key, struct kv_slice value)
{
    size_t key_bytes = key.user.count + (build->has_trailers ? KV_TRAILER_BYTES : 0);
    size_t shared = 0;
    enum quarry_status status = find_room(heap, build, key_bytes, value.count);

    Q_ASSERT(build->restart_interval != 0);
    if (status != QUARRY_OK) {
        return status;
    }
    if (build->entry_count == 0 || build->since_restart >= build->restart_interval) {
        endian_store_le_u32(build->restarts.bytes + build->restarts.count,
                            (uint32_t)build->bytes.count);
        build->restarts.count += sizeof(uint32_t);
        build->since_restart = 0;
    } else {
        shared = shared_bytes(build, key);
    }
    remember(build, key, shared);
    char *at = build->bytes.bytes + build->bytes.count;
    at += put_header(build, at, shared, key_bytes - shared, value.count);
    if (key_bytes != shared) {
        memcpy(at, build->last_key.bytes + shared, key_bytes - shared);
    }
    at += key_bytes - shared;
    if (value.count != 0) {
        memcpy(at, value.bytes, value.count);
    }
    build->bytes.count = (size_t)(at + value.count - build->bytes.bytes);
    build->since_restart++;
    build->entry_count++;
    Q_DCHECK(build->bytes.count <= build->bytes.capacity);
    return QUARRY_OK;
}

enum quarry_status sst_block_build_finish(const struct sst_heap *heap,
                                          struct sst_block_build *build)
{
    char zero[sizeof(uint32_t)] = {0}, count[sizeof(uint32_t)];
    enum quarry_status status = sst_buffer_reserve(
        heap, &build->bytes, build->restarts.count + sizeof(zero) + sizeof(count));

    if (status == QUARRY_OK && build->restarts.count == 0) {
        status = sst_buffer_append(heap, &build->restarts, zero, sizeof(zero));
    }
    if (status != QUARRY_OK) {
        return status;
    }
    endian_store_le_u32(count, (uint32_t)(build->restarts.count / sizeof(uint32_t)));
    (void)sst_buffer_append(heap, &build->bytes, build->restarts.bytes, build->restarts.count);
    (void)sst_buffer_append(heap, &build->bytes, count, sizeof(count));
    return QUARRY_OK;
}

void sst_block_build_clear(struct sst_block_build *build)
{
    build->bytes.count = 0;
    build->restarts.count = 0;
    build->last_key.count = 0;
    build->since_restart = 0;
    build->entry_count = 0;
}

void sst_block_build_fini(const struct sst_heap *heap, struct sst_block_build *build)
{
    sst_buffer_fini(heap, &build->bytes);
    sst_buffer_fini(heap, &build->restarts);
    sst_buffer_fini(heap, &build->last_key);
}
