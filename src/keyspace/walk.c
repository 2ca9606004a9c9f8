/*
 * Walks: an iterator of the store within the bounds of a scope.
 *
 *     store    … | 0 0 0 "a" | 0 0 0 "b" | 0 0 0 "c" | 0 0 1 "a" | …
 *                  ^ lower                             ^ upper       of database 0, or the caller's
 *
 * The iterator has its bounds once and for all; a walk takes the scope off its keys and the head
 * off its values, and passes what has expired. What it shows is as old as the walk, and so is the
 * time by which keys expire.
 *
 * Locking: none. Memory: the walk's own, with its bounds; what an iterator holds.
 */
#include <keyspace/types.h>

struct keyspace_walk {
    struct keyspace *keyspace;
    struct quarry_kv_iterator *iterator;
    uint64_t now_ms;
    bool is_reverse;
    bool is_placed; /* it has been moved to a key, and may go on from it */
    size_t key_bytes_max;
    char *sought;  /* room for a key that is sought; own, NULL: not yet */
    char bounds[]; /* lower, then upper */
};

/* Writes a bound. `scope_end`: where the caller has none. Returns: it. */
static struct quarry_kv_slice put_bound(char *to, const struct keyspace_scope *scope,
                                        struct quarry_kv_slice key, bool is_upper)
{
    if (key.bytes == NULL && is_upper) {
        keyspace_put_prefix_end(to, scope);
        return (struct quarry_kv_slice){to, KEYSPACE_PREFIX_BYTES};
    }
    keyspace_put_prefix(to, scope);
    if (key.bytes != NULL && key.byte_count != 0) {
        memcpy(to + KEYSPACE_PREFIX_BYTES, key.bytes, key.byte_count);
    }
    return (struct quarry_kv_slice){to, KEYSPACE_PREFIX_BYTES +
                                            (key.bytes == NULL ? 0 : key.byte_count)};
}

static enum quarry_status iterate(struct keyspace_walk *walk,
                                  const struct keyspace_walk_options *options,
                                  const struct quarry_kv_read_options *reads,
                                  struct quarry_error *error)
{
    struct keyspace_change *change = options->change;

    if (change != NULL && keyspace_change_writes(change)) {
        enum quarry_status status = keyspace_index_batch(change);
        return status != QUARRY_OK ? error_set(error, status, "no memory for walking over a change")
                                   : quarry_kv_batch_iterate(walk->keyspace->kv, reads,
                                                             keyspace_writes_of(change)->batch,
                                                             &walk->iterator, error);
    }
    return quarry_kv_iterate(walk->keyspace->kv, reads, &walk->iterator, error);
}

enum quarry_status keyspace_walk_begin(struct keyspace *keyspace,
                                       const struct keyspace_scope *scope,
                                       const struct keyspace_walk_options *options,
                                       struct keyspace_walk **ret_walk, struct quarry_error *error)
{
    static const struct keyspace_walk_options all = {.is_reverse = false};
    const struct keyspace_walk_options *own = options == NULL ? &all : options;
    size_t begin_bytes = KEYSPACE_PREFIX_BYTES + own->begin.byte_count;
    size_t end_bytes = KEYSPACE_PREFIX_BYTES + own->end.byte_count;

    struct keyspace_walk *walk = keyspace_take(keyspace, sizeof(*walk) + begin_bytes + end_bytes);
    if (walk == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a walk");
    }
    *walk = (struct keyspace_walk){
        .keyspace = keyspace,
        .is_reverse = own->is_reverse,
        .now_ms = own->change == NULL ? keyspace_now_ms(keyspace) : own->change->now_ms,
    };
    const struct quarry_kv_read_options reads = {
        .snapshot = own->snapshot,
        .lower = put_bound(walk->bounds, scope, own->begin, false),
        .upper = put_bound(walk->bounds + begin_bytes, scope, own->end, true),
        .only_cached = own->never_waits,
    };
    enum quarry_status status = iterate(walk, own, &reads, error);
    if (status != QUARRY_OK) {
        keyspace_give(keyspace, walk);
        return keyspace_note_status(keyspace, status);
    }
    *ret_walk = walk;
    return QUARRY_OK;
}

void keyspace_walk_end(struct keyspace_walk *walk)
{
    if (walk != NULL) {
        struct keyspace *keyspace = walk->keyspace;
        quarry_kv_iterator_destroy(walk->iterator);
        keyspace_give(keyspace, walk->sought);
        keyspace_give(keyspace, walk);
    }
}

/* ---- moving --------------------------------------------------------------------------------- */

/* What the iterator is at, or why it is at nothing. */
static enum quarry_status show(struct keyspace_walk *walk, bool is_valid,
                               struct keyspace_place *ret_place, struct quarry_error *error)
{
    walk->is_placed = is_valid;
    if (!is_valid) {
        enum quarry_status status = quarry_kv_iterator_status(walk->iterator, error);
        return status == QUARRY_OK ? QUARRY_NOT_FOUND
                                   : keyspace_note_status(walk->keyspace, status);
    }
    struct quarry_kv_slice key = quarry_kv_iterator_key(walk->iterator);
    Q_ASSERT(key.byte_count >= KEYSPACE_PREFIX_BYTES);
    ret_place->key = (struct quarry_kv_slice){(const char *)key.bytes + KEYSPACE_PREFIX_BYTES,
                                              key.byte_count - KEYSPACE_PREFIX_BYTES};
    if (!keyspace_value_decode(quarry_kv_iterator_value(walk->iterator), &ret_place->value)) {
        return error_set(error, QUARRY_CORRUPT, "the value of a key of %zu bytes is none",
                         ret_place->key.byte_count);
    }
    ret_place->is_expired = keyspace_is_expired(&ret_place->value, walk->now_ms);
    return QUARRY_OK;
}

enum quarry_status keyspace_walk_step(struct keyspace_walk *walk, struct keyspace_place *ret_place,
                                      struct quarry_error *error)
{
    struct quarry_kv_iterator *iterator = walk->iterator;
    bool is_valid;

    if (walk->is_placed) {
        is_valid = walk->is_reverse ? quarry_kv_iterator_previous(iterator)
                                    : quarry_kv_iterator_next(iterator);
    } else {
        is_valid = walk->is_reverse ? quarry_kv_iterator_last(iterator)
                                    : quarry_kv_iterator_first(iterator);
    }
    return show(walk, is_valid, ret_place, error);
}

enum quarry_status keyspace_walk_next(struct keyspace_walk *walk, struct quarry_kv_slice *ret_key,
                                      struct keyspace_value *ret_value, struct quarry_error *error)
{
    struct keyspace_place place;
    enum quarry_status status;

    do {
        status = keyspace_walk_step(walk, &place, error);
    } while (status == QUARRY_OK && place.is_expired);
    if (status == QUARRY_OK) {
        *ret_key = place.key;
        *ret_value = place.value;
    }
    return status;
}

/* ---- seeking -------------------------------------------------------------------------------- */

/* Puts a key that is sought behind its scope. Errors: QUARRY_NO_MEMORY. */
static enum quarry_status put_sought(struct keyspace_walk *walk, struct quarry_kv_slice key,
                                     struct quarry_error *error)
{
    if (key.byte_count >= walk->key_bytes_max) {
        char *sought =
            keyspace_take(walk->keyspace, KEYSPACE_PREFIX_BYTES + 2 * key.byte_count + 64);
        if (sought == NULL) {
            return error_set(error, QUARRY_NO_MEMORY, "no memory for seeking a key of %zu bytes",
                             key.byte_count);
        }
        keyspace_give(walk->keyspace, walk->sought);
        walk->sought = sought;
        walk->key_bytes_max = 2 * key.byte_count + 64;
        memcpy(sought, walk->bounds, KEYSPACE_PREFIX_BYTES);
    }
    if (key.byte_count != 0) {
        memcpy(walk->sought + KEYSPACE_PREFIX_BYTES, key.bytes, key.byte_count);
    }
    return QUARRY_OK;
}

enum quarry_status keyspace_walk_seek(struct keyspace_walk *walk, struct quarry_kv_slice key,
                                      struct keyspace_place *ret_place, struct quarry_error *error)
{
    enum quarry_status status = put_sought(walk, key, error);

    if (status != QUARRY_OK) {
        return status;
    }
    return show(walk,
                quarry_kv_iterator_seek(walk->iterator, walk->sought,
                                        KEYSPACE_PREFIX_BYTES + key.byte_count),
                ret_place, error);
}

enum quarry_status keyspace_walk_seek_before(struct keyspace_walk *walk, struct quarry_kv_slice key,
                                             struct keyspace_place *ret_place,
                                             struct quarry_error *error)
{
    struct quarry_kv_iterator *iterator = walk->iterator;
    bool is_valid;

    if (key.bytes == NULL) {
        return show(walk, quarry_kv_iterator_last(iterator), ret_place, error);
    }
    enum quarry_status status = put_sought(walk, key, error);
    if (status != QUARRY_OK) {
        return status;
    }
    is_valid =
        quarry_kv_iterator_seek(iterator, walk->sought, KEYSPACE_PREFIX_BYTES + key.byte_count);
    if (is_valid) {
        is_valid = quarry_kv_iterator_previous(iterator);
    } else if (quarry_kv_iterator_status(iterator, error) == QUARRY_OK) {
        is_valid = quarry_kv_iterator_last(iterator); /* all are before it */
    }
    return show(walk, is_valid, ret_place, error);
}
