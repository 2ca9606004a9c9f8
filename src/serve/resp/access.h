/*
 * How commands reach keys: reading one, and the frame of a command that changes one.
 *
 *     struct resp_update update;
 *     enum resp_outcome outcome;
 *
 *     if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
 *         return outcome;
 *     }
 *     …                                     // update.value is what the key has, if update.is_there
 *     status = keyspace_put(update.change, …);
 *     if (resp_update_end(call, &update, status, &outcome)) {
 *         resp_say_integer(call->reply, …);
 *     }
 *     return outcome;
 */
#ifndef QUARRY_SERVE_RESP_ACCESS_H
#define QUARRY_SERVE_RESP_ACCESS_H

#include <serve/resp/resp.h>

/* The longest key: what the store takes, less the prefix and the byte that makes the next key. */
#define RESP_KEY_BYTES_MAX ((size_t)Q_KIB(64) - KEYSPACE_PREFIX_BYTES - 1)

/* False: an error was said: a key is too long to be stored. Reading such a one finds nothing. */
bool resp_keys_fit(struct resp_call *call, const struct quarry_kv_slice *keys, size_t key_count);
/* Whether a value may have so many bytes; false: an error was said. */
bool resp_value_fits(struct resp_call *call, size_t byte_count, size_t more_bytes);

/*
 * Reads a key, in EXEC as the transaction has it. `ret_value`: own; written where QUARRY_OK.
 * Errors: QUARRY_NOT_FOUND; others: pass them to resp_fail with the error and no change.
 */
enum quarry_status resp_read(struct resp_call *call, const struct quarry_kv_slice *key,
                             struct keyspace_value *ret_value, struct quarry_error *error);
/*
 * The same for a command. RESP_FAILED: return *ret_outcome. RESP_ABSENT: nothing was said yet.
 */
enum resp_found { RESP_FOUND, RESP_ABSENT, RESP_FAILED };
enum resp_found resp_find(struct resp_call *call, const struct quarry_kv_slice *key,
                          struct keyspace_value *ret_value, enum resp_outcome *ret_outcome);

/* A change of one key, with what it has. */
struct resp_update {
    struct keyspace_change room;
    struct keyspace_change *change;
    const struct quarry_kv_slice *key;
    struct keyspace_value value; /* none where it is not there */
    bool is_there;
};

/* Begins a change of a key, and reads it. False: return *ret_outcome. */
bool resp_update_begin(struct resp_call *call, const struct quarry_kv_slice *key,
                       struct resp_update *ret_update, enum resp_outcome *ret_outcome);
/* Puts the key; deletes it. For resp_update_end. */
enum quarry_status resp_update_put(struct resp_call *call, struct resp_update *update,
                                   struct quarry_kv_slice value, uint64_t expires_ms);
enum quarry_status resp_update_delete(struct resp_call *call, struct resp_update *update);
/*
 * Ends it: after QUARRY_OK by a commit. True: say what came of it; update.value is still held, and
 * is the caller's to say or to release. False: return *ret_outcome; it is released.
 */
bool resp_update_end(struct resp_call *call, struct resp_update *update, enum quarry_status status,
                     enum resp_outcome *ret_outcome);
/* Ends it with nothing changed; the value is released. Returns: RESP_ANSWERED. */
enum resp_outcome resp_update_leave(struct resp_call *call, struct resp_update *update);

/* Whether nobody wants the answer any more. Cost: a load. */
static inline bool resp_is_cancelled(const struct resp_call *call)
{
    /* Relaxed: it only has to be seen some time. */
    return call->is_cancelled != NULL && atomic_load_relaxed_bool(call->is_cancelled);
}

static inline struct quarry_kv_slice resp_slice(const void *bytes, size_t byte_count)
{
    return (struct quarry_kv_slice){.bytes = bytes, .byte_count = byte_count};
}

static inline struct quarry_kv_slice resp_value_slice(const struct keyspace_value *value)
{
    return resp_slice(value->bytes, value->byte_count);
}

#endif
