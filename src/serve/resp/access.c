/*
 * How commands reach keys.
 *
 * Reads need no lock, and see what was acknowledged before them. In EXEC they go through its
 * change, which has the keys locked and sees its own writes.
 *
 * A key that is too long to be stored is nowhere, so that reading it finds nothing; to write it is
 * an error of our own, which Redis, whose keys may have 512 MiB, does not have.
 *
 * Cost: a read is keyspace_read's; a change the lock of a key, its read and its write.
 */
#include <serve/resp/access.h>

bool resp_keys_fit(struct resp_call *call, const struct quarry_kv_slice *keys, size_t key_count)
{
    for (size_t i = 0; i < key_count; i++) {
        if (Q_UNLIKELY(keys[i].byte_count > RESP_KEY_BYTES_MAX)) {
            resp_say_error(call->reply, "ERR key of %zu bytes is longer than %zu",
                           keys[i].byte_count, RESP_KEY_BYTES_MAX);
            return false;
        }
    }
    return true;
}

bool resp_value_fits(struct resp_call *call, size_t byte_count, size_t more_bytes)
{
    size_t total;

    if (checked_add_size(byte_count, more_bytes, &total) && total <= call->common->bulk_bytes_max) {
        return true;
    }
    resp_say_error(call->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

enum quarry_status resp_read(struct resp_call *call, const struct quarry_kv_slice *key,
                             struct keyspace_value *ret_value, struct quarry_error *error)
{
    if (Q_UNLIKELY(key->byte_count > RESP_KEY_BYTES_MAX)) {
        return QUARRY_NOT_FOUND;
    }
    if (call->transaction != NULL) {
        return keyspace_get(call->transaction, &call->session->scope, *key, ret_value, error);
    }
    return keyspace_read(call->keyspace, &call->session->scope, *key, !call->may_wait, ret_value,
                         error);
}

enum resp_found resp_find(struct resp_call *call, const struct quarry_kv_slice *key,
                          struct keyspace_value *ret_value, enum resp_outcome *ret_outcome)
{
    struct quarry_error error;

    error.text[0] = '\0';
    enum quarry_status status = resp_read(call, key, ret_value, &error);
    if (Q_LIKELY(status == QUARRY_OK)) {
        return RESP_FOUND;
    }
    *ret_outcome = RESP_ANSWERED;
    if (status == QUARRY_NOT_FOUND) {
        return RESP_ABSENT;
    }
    *ret_outcome = resp_fail(call, NULL, status, &error);
    return RESP_FAILED;
}

bool resp_update_begin(struct resp_call *call, const struct quarry_kv_slice *key,
                       struct resp_update *ret_update, enum resp_outcome *ret_outcome)
{
    struct quarry_error error = {0};

    if (!resp_keys_fit(call, key, 1)) {
        *ret_outcome = RESP_ANSWERED;
        return false;
    }
    ret_update->key = key;
    ret_update->value = (struct keyspace_value){0};
    ret_update->change = resp_begin(call, key, 1, &ret_update->room, ret_outcome);
    if (ret_update->change == NULL) {
        return false;
    }
    enum quarry_status status =
        keyspace_get(ret_update->change, &call->session->scope, *key, &ret_update->value, &error);
    ret_update->is_there = status == QUARRY_OK;
    if (status == QUARRY_OK || status == QUARRY_NOT_FOUND) {
        return true;
    }
    *ret_outcome = resp_fail(call, ret_update->change, status, &error);
    return false;
}

enum quarry_status resp_update_put(struct resp_call *call, struct resp_update *update,
                                   struct quarry_kv_slice value, uint64_t expires_ms)
{
    return keyspace_put(update->change, &call->session->scope, *update->key, value, expires_ms);
}

enum quarry_status resp_update_delete(struct resp_call *call, struct resp_update *update)
{
    return keyspace_delete(update->change, &call->session->scope, *update->key);
}

bool resp_update_end(struct resp_call *call, struct resp_update *update, enum quarry_status status,
                     enum resp_outcome *ret_outcome)
{
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        *ret_outcome = resp_fail(call, update->change, status, NULL);
    } else if (resp_commit(call, update->change, ret_outcome)) {
        *ret_outcome = RESP_ANSWERED;
        return true;
    }
    keyspace_value_release(&update->value);
    return false;
}

enum resp_outcome resp_update_leave(struct resp_call *call, struct resp_update *update)
{
    resp_abort(call, update->change);
    keyspace_value_release(&update->value);
    return RESP_ANSWERED;
}
