/*
 * Changes: reading and writing keys that are locked.
 *
 *     begin   stripes of the keys
 *     first write         remembered: key, up to three pieces of a value, when it expires
 *     second write        both go into a batch; from there on all do, and from the first on with
 *                         KEYSPACE_COPIES
 *     reading behind it   the batch is copied into one with an index, and stays there
 *     commit  one write   key and value put together on the stack, one put of the store
 *             a batch     one write of the store
 *             then, with the keys still locked: counters, watchers; then stripes are given back
 *
 * Most changes write one key: they allocate nothing, and cost two copies, which the store would
 * otherwise do anyway for its log's record.
 *
 * Reads see what the change has written: the single write by comparing keys, all others by the
 * batch's index.
 *
 * A commit that would have to wait is QUARRY_BUSY, and nothing has happened: the change is as it
 * was. After any other status it is over. The write is seen by readers before it is told to
 * watchers, and both before the keys can be locked by somebody else.
 *
 * Invariants:
 *   1. `single` is NONE where there is a batch.
 *   2. What is written has its stripe held.
 *
 * Locking: stripes, from begin to the end. Cost, by callgrind, for one key of 16
 * bytes and a value of 100: 139 instructions to begin, of which the clock takes 39 and the stripe
 * 72; 25 to put; 236 to commit, beyond the store's put.
 */
#include <keyspace/types.h>

/* Records up to so many bytes are put together on the stack. */
#define RECORD_BYTES 1024u

static const struct quarry_kv_write_options never_waiting = {.never_waits = true};

static const struct quarry_kv_write_options *write_options(const struct keyspace_change *change)
{
    return (change->flags & KEYSPACE_NEVER_WAITS) != 0 ? &never_waiting : NULL;
}

static bool never_waits(const struct keyspace_change *change)
{
    return (change->flags & KEYSPACE_NEVER_WAITS) != 0;
}

enum quarry_status keyspace_begin(struct keyspace *keyspace, const struct keyspace_keys *sets,
                                  size_t set_count, uint32_t flags,
                                  struct keyspace_change *ret_change)
{
    struct keyspace_writes *writes = keyspace_writes_of(ret_change);
    enum quarry_status status = keyspace_lock(keyspace, sets, set_count, flags, &writes->held);

    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    ret_change->keyspace = keyspace;
    ret_change->now_ms = keyspace_now_ms(keyspace);
    ret_change->flags = flags;
    writes->batch = NULL;
    writes->is_indexed = false;
    writes->single = KEYSPACE_SINGLE_NONE;
    return QUARRY_OK;
}

/* Unlocks, and forgets. */
static void end(struct keyspace_change *change)
{
    struct keyspace_writes *writes = keyspace_writes_of(change);

    keyspace_batch_give(change->keyspace, writes->is_indexed, writes->batch);
    writes->batch = NULL;
    writes->single = KEYSPACE_SINGLE_NONE;
    keyspace_unlock(change->keyspace, &writes->held);
}

void keyspace_abort(struct keyspace_change *change)
{
    end(change);
}

bool keyspace_change_writes(const struct keyspace_change *change)
{
    const struct keyspace_writes *writes =
        (const struct keyspace_writes *)(const void *)change->words;

    return writes->single != KEYSPACE_SINGLE_NONE ||
           (writes->batch != NULL && quarry_kv_batch_count(writes->batch) != 0);
}

/* ---- putting records together --------------------------------------------------------------- */

/* A key and a value as the store gets them. Uninitialised until make_record. */
struct record {
    struct quarry_kv_slice key, value;
    char *own; /* NULL: in `bytes` */
    char bytes[RECORD_BYTES];
};

/* Room for a write, heads included, or SIZE_MAX: it is too large for any store. */
static inline size_t room_of(const struct keyspace_writes *write)
{
    size_t byte_count = KEYSPACE_PREFIX_BYTES + KEYSPACE_HEAD_BYTES_MAX;
    bool fits = checked_add_size(byte_count, write->key.byte_count, &byte_count);

    for (uint32_t i = 0; i < write->piece_count; i++) {
        fits = fits && checked_add_size(byte_count, write->pieces[i].byte_count, &byte_count);
    }
    return fits ? byte_count : SIZE_MAX;
}

static inline char *put_bytes(char *to, struct quarry_kv_slice slice)
{
    if (slice.byte_count != 0) {
        memcpy(to, slice.bytes, slice.byte_count);
    }
    return to + slice.byte_count;
}

static inline void fill_record(const struct keyspace_writes *write, char *to, struct record *record)
{
    char *value = put_bytes(to + KEYSPACE_PREFIX_BYTES, write->key);
    char *at = value + keyspace_put_head(value, write->expires_ms);

    keyspace_put_prefix(to, &write->scope);
    for (uint32_t i = 0; i < write->piece_count; i++) {
        at = put_bytes(at, write->pieces[i]);
    }
    record->key = (struct quarry_kv_slice){to, (size_t)(value - to)};
    record->value = (struct quarry_kv_slice){value, (size_t)(at - value)};
}

static Q_COLD enum quarry_status make_long_record(struct keyspace *keyspace,
                                                  const struct keyspace_writes *write,
                                                  size_t byte_count, struct record *record,
                                                  struct quarry_error *error)
{
    if (byte_count > QUARRY_KV_KEY_BYTES_MAX + QUARRY_KV_VALUE_BYTES_MAX) {
        return error_set(error, QUARRY_TOO_LARGE, "a key of %zu bytes with a longer value",
                         write->key.byte_count);
    }
    record->own = keyspace_take(keyspace, byte_count);
    if (record->own == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a key and a value of %zu bytes",
                         byte_count);
    }
    fill_record(write, record->own, record);
    return QUARRY_OK;
}

/* Puts a single write together. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. */
static inline enum quarry_status make_record(struct keyspace *keyspace,
                                             const struct keyspace_writes *write,
                                             struct record *record, struct quarry_error *error)
{
    size_t byte_count = room_of(write);

    record->own = NULL;
    if (Q_UNLIKELY(byte_count > sizeof(record->bytes))) {
        return make_long_record(keyspace, write, byte_count, record, error);
    }
    fill_record(write, record->bytes, record);
    return QUARRY_OK;
}

static inline void end_record(struct keyspace *keyspace, struct record *record)
{
    if (Q_UNLIKELY(record->own != NULL)) {
        keyspace_give(keyspace, record->own);
    }
}

/* ---- batches -------------------------------------------------------------------------------- */

/* Adds a single write. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. */
static enum quarry_status add_to_batch(struct keyspace *keyspace, struct quarry_kv_batch *batch,
                                       const struct keyspace_writes *write)
{
    struct record record;
    enum quarry_status status = make_record(keyspace, write, &record, NULL);

    if (status != QUARRY_OK) {
        return status;
    }
    if (write->single == KEYSPACE_SINGLE_PUT) {
        status = quarry_kv_batch_put(batch, record.key.bytes, record.key.byte_count,
                                     record.value.bytes, record.value.byte_count);
    } else {
        status = quarry_kv_batch_delete(batch, record.key.bytes, record.key.byte_count);
    }
    end_record(keyspace, &record);
    return status;
}

/* Moves what the change has written into another batch. */
static enum quarry_status move_to_batch(struct keyspace_change *change, bool is_indexed)
{
    struct keyspace_writes *writes = keyspace_writes_of(change);
    struct quarry_kv_batch *batch = NULL;
    enum quarry_status status =
        keyspace_batch_take(change->keyspace, is_indexed, never_waits(change), &batch);

    if (status == QUARRY_OK && writes->single != KEYSPACE_SINGLE_NONE) {
        status = add_to_batch(change->keyspace, batch, writes);
    }
    if (status == QUARRY_OK && writes->batch != NULL) {
        status = quarry_kv_batch_append(batch, quarry_kv_batch_data(writes->batch), NULL);
    }
    if (status != QUARRY_OK) {
        keyspace_batch_give(change->keyspace, is_indexed, batch);
        return status;
    }
    keyspace_batch_give(change->keyspace, writes->is_indexed, writes->batch);
    writes->batch = batch;
    writes->is_indexed = is_indexed;
    writes->single = KEYSPACE_SINGLE_NONE;
    return QUARRY_OK;
}

static enum quarry_status use_batch(struct keyspace_change *change)
{
    return keyspace_writes_of(change)->batch != NULL ? QUARRY_OK : move_to_batch(change, false);
}

enum quarry_status keyspace_index_batch(struct keyspace_change *change)
{
    struct keyspace_writes *writes = keyspace_writes_of(change);

    return writes->batch != NULL && writes->is_indexed ? QUARRY_OK : move_to_batch(change, true);
}

/* Adds a write that is not the change's first. */
static enum quarry_status write_more(struct keyspace_change *change,
                                     const struct keyspace_writes *write)
{
    enum quarry_status status = use_batch(change);

    return status != QUARRY_OK
               ? status
               : add_to_batch(change->keyspace, keyspace_writes_of(change)->batch, write);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Whether the single write is of this key. */
static inline bool is_single(const struct keyspace_writes *writes,
                             const struct keyspace_scope *scope, struct quarry_kv_slice key)
{
    return writes->single != KEYSPACE_SINGLE_NONE && keyspace_is_same(writes->key, key) &&
           keyspace_is_same_scope(&writes->scope, scope);
}

/* What the single write makes of its key. Its value is in one piece, or in none. */
static enum quarry_status get_single(const struct keyspace_writes *writes,
                                     struct keyspace_value *ret_value)
{
    if (writes->single == KEYSPACE_SINGLE_DELETE) {
        return QUARRY_NOT_FOUND;
    }
    bool has_bytes = writes->piece_count != 0 && writes->pieces[0].byte_count != 0;
    *ret_value = (struct keyspace_value){.bytes = has_bytes ? writes->pieces[0].bytes : "",
                                         .byte_count = has_bytes ? writes->pieces[0].byte_count : 0,
                                         .expires_ms = writes->expires_ms};
    return QUARRY_OK;
}

enum quarry_status keyspace_get(struct keyspace_change *change, const struct keyspace_scope *scope,
                                struct quarry_kv_slice key, struct keyspace_value *ret_value,
                                struct quarry_error *error)
{
    struct keyspace *keyspace = change->keyspace;
    struct keyspace_writes *writes = keyspace_writes_of(change);
    const struct quarry_kv_read_options *options = keyspace_reads(never_waits(change));
    struct keyspace_room room;
    enum quarry_status status = QUARRY_OK;

    if (Q_UNLIKELY(is_single(writes, scope, key))) {
        if (writes->piece_count <= 1) {
            return get_single(writes, ret_value);
        }
        status = keyspace_index_batch(change);
    } else if (Q_UNLIKELY(writes->batch != NULL)) {
        status = keyspace_index_batch(change);
    }
    if (Q_LIKELY(status == QUARRY_OK)) {
        status = keyspace_room_key(keyspace, scope, key, &room, error);
    }
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    if (writes->batch == NULL) {
        status = quarry_kv_get(keyspace->kv, options, room.key.bytes, room.key.byte_count,
                               &ret_value->held, error);
    } else {
        status = quarry_kv_batch_get(keyspace->kv, options, writes->batch, room.key.bytes,
                                     room.key.byte_count, &ret_value->held, error);
    }
    keyspace_room_end(keyspace, &room);
    if (Q_LIKELY(status == QUARRY_OK)) {
        return keyspace_accept(keyspace, change->now_ms, ret_value, error);
    }
    return keyspace_note_status(keyspace, status);
}

/* ---- writing -------------------------------------------------------------------------------- */

static inline void check_is_locked(struct keyspace_change *change,
                                   const struct keyspace_scope *scope, struct quarry_kv_slice key)
{
    Q_DCHECK(keyspace_holds(&keyspace_writes_of(change)->held,
                            keyspace_stripe_of(change->keyspace, scope, key))); /* invariant 2 */
    (void)change;
    (void)scope;
    (void)key;
}

/* Pieces beyond the few that are remembered: joined, and then as one. */
static Q_COLD enum quarry_status put_joined(struct keyspace_change *change,
                                            const struct keyspace_scope *scope,
                                            struct quarry_kv_slice key,
                                            const struct quarry_kv_slice *pieces,
                                            size_t piece_count, uint64_t expires_ms)
{
    size_t byte_count = 0;

    for (size_t i = 0; i < piece_count; i++) {
        if (!checked_add_size(byte_count, pieces[i].byte_count, &byte_count)) {
            return QUARRY_TOO_LARGE;
        }
    }
    char *joined = keyspace_take(change->keyspace, byte_count + 1), *at = joined;
    enum quarry_status status = joined == NULL ? QUARRY_NO_MEMORY : use_batch(change);
    for (size_t i = 0; i < piece_count && status == QUARRY_OK; i++) {
        if (pieces[i].byte_count != 0) {
            memcpy(at, pieces[i].bytes, pieces[i].byte_count);
        }
        at += pieces[i].byte_count;
    }
    if (status == QUARRY_OK) {
        const struct quarry_kv_slice value = {joined, byte_count};
        status = keyspace_put_pieces(change, scope, key, &value, 1, expires_ms);
    }
    keyspace_give(change->keyspace, joined);
    return status;
}

static inline void remember(struct keyspace_writes *writes, enum keyspace_single single,
                            const struct keyspace_scope *scope, struct quarry_kv_slice key,
                            const struct quarry_kv_slice *pieces, size_t piece_count,
                            uint64_t expires_ms)
{
    writes->single = single;
    writes->scope = *scope;
    writes->key = key;
    writes->piece_count = (uint32_t)piece_count;
    for (size_t i = 0; i < piece_count; i++) {
        writes->pieces[i] = pieces[i];
    }
    writes->expires_ms = expires_ms;
}

/* Whether the next write is one that is remembered: the first, of a change that does not copy. */
static inline bool remembers(struct keyspace_change *change)
{
    const struct keyspace_writes *writes = keyspace_writes_of(change);

    return writes->batch == NULL && writes->single == KEYSPACE_SINGLE_NONE &&
           (change->flags & KEYSPACE_COPIES) == 0;
}

enum quarry_status keyspace_put_pieces(struct keyspace_change *change,
                                       const struct keyspace_scope *scope,
                                       struct quarry_kv_slice key,
                                       const struct quarry_kv_slice *pieces, size_t piece_count,
                                       uint64_t expires_ms)
{
    struct keyspace_writes *writes = keyspace_writes_of(change), more;

    if (expires_ms != 0 && Q_UNLIKELY(expires_ms <= change->now_ms)) {
        return keyspace_delete(change, scope, key);
    }
    if (Q_UNLIKELY(piece_count > KEYSPACE_PIECES_INLINE)) {
        return put_joined(change, scope, key, pieces, piece_count, expires_ms);
    }
    check_is_locked(change, scope, key);
    if (Q_LIKELY(remembers(change))) {
        remember(writes, KEYSPACE_SINGLE_PUT, scope, key, pieces, piece_count, expires_ms);
        return QUARRY_OK;
    }
    remember(&more, KEYSPACE_SINGLE_PUT, scope, key, pieces, piece_count, expires_ms);
    return write_more(change, &more);
}

enum quarry_status keyspace_put(struct keyspace_change *change, const struct keyspace_scope *scope,
                                struct quarry_kv_slice key, struct quarry_kv_slice value,
                                uint64_t expires_ms)
{
    if (Q_LIKELY(remembers(change) && expires_ms == 0)) {
        check_is_locked(change, scope, key);
        remember(keyspace_writes_of(change), KEYSPACE_SINGLE_PUT, scope, key, &value, 1, 0);
        return QUARRY_OK;
    }
    return keyspace_put_pieces(change, scope, key, &value, 1, expires_ms);
}

enum quarry_status keyspace_delete(struct keyspace_change *change,
                                   const struct keyspace_scope *scope, struct quarry_kv_slice key)
{
    struct keyspace_writes *writes = keyspace_writes_of(change), more;

    check_is_locked(change, scope, key);
    if (remembers(change)) {
        remember(writes, KEYSPACE_SINGLE_DELETE, scope, key, NULL, 0, 0);
        return QUARRY_OK;
    }
    remember(&more, KEYSPACE_SINGLE_DELETE, scope, key, NULL, 0, 0);
    return write_more(change, &more);
}

enum quarry_status keyspace_delete_range(struct keyspace_change *change,
                                         const struct keyspace_scope *scope,
                                         struct quarry_kv_slice begin, struct quarry_kv_slice end)
{
    struct keyspace *keyspace = change->keyspace;
    struct keyspace_room from, to;
    enum quarry_status status = use_batch(change);

    Q_ASSERT((change->flags & KEYSPACE_ALL_KEYS) != 0);
    if (status == QUARRY_OK) {
        status = keyspace_room_key(keyspace, scope, begin, &from, NULL);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = keyspace_room_key(keyspace, scope,
                               end.bytes == NULL ? (struct quarry_kv_slice){0} : end, &to, NULL);
    if (status == QUARRY_OK) {
        if (end.bytes == NULL) {
            keyspace_put_prefix_end(to.bytes, scope);
        }
        if (keyspace_is_before(from.key, to.key)) {
            status =
                quarry_kv_batch_delete_range(keyspace_writes_of(change)->batch, from.key.bytes,
                                             from.key.byte_count, to.key.bytes, to.key.byte_count);
        }
        keyspace_room_end(keyspace, &to);
    }
    keyspace_room_end(keyspace, &from);
    return status;
}

/* ---- the end -------------------------------------------------------------------------------- */

static enum quarry_status commit_single(struct keyspace_change *change, struct quarry_error *error)
{
    struct keyspace *keyspace = change->keyspace;
    const struct keyspace_writes *writes = keyspace_writes_of(change);
    struct record record;
    enum quarry_status status = make_record(keyspace, writes, &record, error);

    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    if (writes->single == KEYSPACE_SINGLE_PUT) {
        status = quarry_kv_put(keyspace->kv, write_options(change), record.key.bytes,
                               record.key.byte_count, record.value.bytes, record.value.byte_count,
                               error);
    } else {
        status = quarry_kv_delete(keyspace->kv, write_options(change), record.key.bytes,
                                  record.key.byte_count, error);
    }
    end_record(keyspace, &record);
    if (Q_LIKELY(status == QUARRY_OK)) {
        bool is_only = writes->held.count == 1 && writes->held.bits == NULL;
        uint32_t stripe = is_only ? writes->held.stripes[0]
                                  : keyspace_stripe_of(keyspace, &writes->scope, writes->key);
        keyspace_written(keyspace, &writes->scope, writes->key, stripe);
    }
    return status;
}

static enum quarry_status commit_batch(struct keyspace_change *change, struct quarry_error *error)
{
    struct quarry_kv_batch *batch = keyspace_writes_of(change)->batch;

    if (quarry_kv_batch_count(batch) == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        quarry_kv_write(change->keyspace->kv, write_options(change), batch, error);
    if (status == QUARRY_OK) {
        keyspace_written_batch(change->keyspace, batch);
    }
    return status;
}

enum quarry_status keyspace_commit(struct keyspace_change *change, struct quarry_error *error)
{
    const struct keyspace_writes *writes = keyspace_writes_of(change);
    enum quarry_status status = QUARRY_OK;

    if (writes->single != KEYSPACE_SINGLE_NONE) {
        status = commit_single(change, error);
    } else if (writes->batch != NULL) {
        status = commit_batch(change, error);
    }
    if (Q_UNLIKELY(status == QUARRY_BUSY)) {
        return keyspace_note_status(change->keyspace, status);
    }
    end(change);
    return status;
}
