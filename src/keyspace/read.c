/*
 * Reading without a change: the store's own reads, with the scope in front of the key and the head
 * of the value taken off.
 *
 * Nothing is locked: one key is what it is at the moment at which it is looked at, and many keys
 * are read at one moment of the store.
 *
 * Cost, by callgrind: 95 instructions beyond the store's get, 18 to give the value back.
 */
#include <keyspace/types.h>

const struct quarry_kv_read_options keyspace_reads_cached = {.only_cached = true};

enum quarry_status keyspace_note_status(struct keyspace *keyspace, enum quarry_status status)
{
    if (Q_UNLIKELY(status == QUARRY_BUSY)) {
        /* Relaxed: a figure. */
        (void)atomic_add_relaxed_u64(&keyspace->busy_count, 1);
    }
    return status;
}

enum quarry_status keyspace_read(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                 struct quarry_kv_slice key, bool never_waits,
                                 struct keyspace_value *ret_value, struct quarry_error *error)
{
    struct keyspace_room room;
    enum quarry_status status = keyspace_room_key(keyspace, scope, key, &room, error);

    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    status = quarry_kv_get(keyspace->kv, keyspace_reads(never_waits), room.key.bytes,
                           room.key.byte_count, &ret_value->held, error);
    keyspace_room_end(keyspace, &room);
    if (Q_LIKELY(status == QUARRY_OK)) {
        return keyspace_accept(keyspace, 0, ret_value, error);
    }
    return keyspace_note_status(keyspace, status);
}

/* ---- ahead ---------------------------------------------------------------------------------- */

/* Of keys that are fetched ahead, scope included. */
#define PREFETCHED_BYTES 64u

/* Short keys as they are in the store. */
struct whole_keys {
    struct quarry_kv_slice keys[KEYSPACE_PREFETCHED_MAX];
    char rooms[KEYSPACE_PREFETCHED_MAX][PREFETCHED_BYTES];
    size_t count;
};

static void make_whole(const struct keyspace_scope *scope, const struct quarry_kv_slice *keys,
                       size_t count, struct whole_keys *ret_whole)
{
    size_t found = 0;

    Q_ASSERT(count <= KEYSPACE_PREFETCHED_MAX);
    for (size_t i = 0; i < count; i++) {
        if (keys[i].byte_count == 0 ||
            keys[i].byte_count > PREFETCHED_BYTES - KEYSPACE_PREFIX_BYTES) {
            continue;
        }
        char *room = ret_whole->rooms[found];
        keyspace_put_prefix(room, scope);
        memcpy(room + KEYSPACE_PREFIX_BYTES, keys[i].bytes, keys[i].byte_count);
        ret_whole->keys[found++] =
            (struct quarry_kv_slice){room, keys[i].byte_count + KEYSPACE_PREFIX_BYTES};
    }
    ret_whole->count = found;
}

void keyspace_prefetch(struct keyspace *keyspace, const struct keyspace_scope *scope,
                       const struct quarry_kv_slice *keys, size_t count)
{
    struct whole_keys whole;

    make_whole(scope, keys, count, &whole);
    quarry_kv_prefetch(keyspace->kv, whole.keys, whole.count);
}

void keyspace_prefetch_puts(struct keyspace *keyspace, const struct keyspace_scope *scope,
                            const struct quarry_kv_slice *keys, size_t count)
{
    struct whole_keys whole;

    make_whole(scope, keys, count, &whole);
    quarry_kv_prefetch_puts(keyspace->kv, whole.keys, whole.count);
}

/* ---- many ----------------------------------------------------------------------------------- */

/* What many reads need, in one piece: values, keys, their bytes. */
struct many {
    struct quarry_kv_value *values;
    struct quarry_kv_slice *keys;
    char *bytes;
};

/* Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. */
static enum quarry_status begin_many(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                     const struct quarry_kv_slice *keys, size_t count,
                                     struct many *many)
{
    size_t room_bytes = 0;
    bool fits = checked_mul_size(count, sizeof(*many->values) + sizeof(*many->keys), &room_bytes);

    for (size_t i = 0; i < count && fits; i++) {
        fits =
            checked_add_size(room_bytes, keys[i].byte_count + KEYSPACE_PREFIX_BYTES, &room_bytes);
    }
    many->values = fits ? keyspace_take(keyspace, room_bytes) : NULL;
    if (many->values == NULL) {
        return fits ? QUARRY_NO_MEMORY : QUARRY_TOO_LARGE;
    }
    many->keys = (struct quarry_kv_slice *)(void *)(many->values + count);
    char *to = (char *)(many->keys + count);
    for (size_t i = 0; i < count; i++) {
        keyspace_put_prefix(to, scope);
        if (keys[i].byte_count != 0) {
            memcpy(to + KEYSPACE_PREFIX_BYTES, keys[i].bytes, keys[i].byte_count);
        }
        many->keys[i] = (struct quarry_kv_slice){to, keys[i].byte_count + KEYSPACE_PREFIX_BYTES};
        to += many->keys[i].byte_count;
    }
    return QUARRY_OK;
}

/* Takes what was found apart. Errors: QUARRY_CORRUPT; all are given out then, or released. */
static enum quarry_status accept_many(struct keyspace *keyspace, const struct many *many,
                                      size_t count, enum quarry_status *statuses,
                                      struct keyspace_value *values, struct quarry_error *error)
{
    uint64_t now_ms = keyspace_now_ms(keyspace);
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < count; i++) {
        values[i] = (struct keyspace_value){.held = many->values[i]};
        if (statuses[i] == QUARRY_OK) {
            statuses[i] = keyspace_accept(keyspace, now_ms, &values[i], error);
        }
        if (statuses[i] == QUARRY_CORRUPT) {
            status = QUARRY_CORRUPT;
        }
    }
    return status;
}

enum quarry_status keyspace_read_many(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                      const struct quarry_kv_slice *keys, size_t key_count,
                                      bool never_waits, enum quarry_status *ret_statuses,
                                      struct keyspace_value *ret_values, struct quarry_error *error)
{
    struct many many;
    enum quarry_status status;

    if (key_count == 0) {
        return QUARRY_OK;
    }
    status = begin_many(keyspace, scope, keys, key_count, &many);
    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for reading %zu keys", key_count);
    }
    status = quarry_kv_multi_get(keyspace->kv, keyspace_reads(never_waits), many.keys, key_count,
                                 ret_statuses, many.values, error);
    if (status == QUARRY_OK) {
        status = accept_many(keyspace, &many, key_count, ret_statuses, ret_values, error);
        for (size_t i = 0; i < key_count && status != QUARRY_OK; i++) {
            keyspace_value_release(&ret_values[i]);
        }
    } else {
        for (size_t i = 0; i < key_count; i++) {
            quarry_kv_value_release(&many.values[i]);
        }
    }
    keyspace_give(keyspace, many.values);
    return keyspace_note_status(keyspace, status);
}
