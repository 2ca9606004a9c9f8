/*
 * Values as the store has them: a head that says until when, then the bytes.
 *
 *     | 0 | bytes …                        it stays
 *     | 1 | ms since 1970, 8 bytes | …     it expires
 *
 * What holds a value is the store's, but for keys that are given out as values: these are memory of
 * the keyspace's own, by the second word of what is held, where the first, the store's, is 0.
 *
 * docs/formats/keyspace.md is the page for it. What is in the store may be of anybody: a head that
 * makes no sense is a status, and its key is told to be corrupt where it is read.
 */
#include <keyspace/types.h>

/* All but what is held. */
static inline bool decode(struct quarry_kv_slice stored, struct keyspace_value *value)
{
    const uint8_t *bytes = stored.bytes;

    if (Q_LIKELY(stored.byte_count != 0 && bytes[0] == KEYSPACE_TAG_STAYS)) {
        value->bytes = bytes + 1;
        value->byte_count = stored.byte_count - 1;
        value->expires_ms = 0;
        return true;
    }
    if (stored.byte_count < KEYSPACE_HEAD_BYTES_MAX || bytes[0] != KEYSPACE_TAG_EXPIRES) {
        return false;
    }
    value->bytes = bytes + KEYSPACE_HEAD_BYTES_MAX;
    value->byte_count = stored.byte_count - KEYSPACE_HEAD_BYTES_MAX;
    value->expires_ms = endian_load_le_u64(bytes + 1);
    return value->expires_ms != 0;
}

bool keyspace_value_decode(struct quarry_kv_slice stored, struct keyspace_value *ret_value)
{
    ret_value->held = (struct quarry_kv_value){0};
    return decode(stored, ret_value);
}

static Q_COLD enum quarry_status refuse(struct keyspace_value *value, struct quarry_error *error)
{
    size_t byte_count = value->held.byte_count;
    unsigned tag = byte_count == 0 ? 0 : *(const uint8_t *)value->held.bytes;

    keyspace_value_release(value);
    return error_set(error, QUARRY_CORRUPT, "a value of %zu bytes that begins with %u is none",
                     byte_count, tag);
}

static Q_COLD enum quarry_status expire(struct keyspace *keyspace, struct keyspace_value *value)
{
    /* Relaxed: a figure. */
    (void)atomic_add_relaxed_u64(&keyspace->expired_seen_count, 1);
    keyspace_value_release(value);
    return QUARRY_NOT_FOUND;
}

enum quarry_status keyspace_accept(struct keyspace *keyspace, uint64_t now_ms,
                                   struct keyspace_value *value, struct quarry_error *error)
{
    struct quarry_kv_slice stored = {value->held.bytes, value->held.byte_count};

    if (Q_UNLIKELY(!decode(stored, value))) {
        return refuse(value, error);
    }
    if (Q_LIKELY(value->expires_ms == 0)) {
        return QUARRY_OK;
    }
    if (now_ms == 0) {
        now_ms = keyspace_now_ms(keyspace);
    }
    return value->expires_ms <= now_ms ? expire(keyspace, value) : QUARRY_OK;
}

struct keyspace_value keyspace_own_value(struct keyspace *keyspace, void *bytes, size_t byte_count)
{
    return (struct keyspace_value){
        .bytes = bytes,
        .byte_count = byte_count,
        .held = {.bytes = bytes,
                 .byte_count = byte_count,
                 .held = {0, (uint64_t)(uintptr_t)keyspace}},
    };
}

void keyspace_value_release(struct keyspace_value *value)
{
    struct quarry_kv_value *held = &value->held;

    if (Q_UNLIKELY(held->held[0] == 0 && held->held[1] != 0)) {
        struct keyspace *keyspace = (struct keyspace *)(uintptr_t)held->held[1];
        keyspace_give(keyspace, (void *)(uintptr_t)held->bytes);
    } else {
        quarry_kv_value_release(held);
    }
    *value = (struct keyspace_value){0};
}
