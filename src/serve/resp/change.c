/*
 * Changes of commands: one of their own, or EXEC's for all.
 *
 * A command that changes something says the same words in both cases: begin, get and put, commit,
 * and then what came of it. In EXEC the change is there already, and its keys are locked; nothing
 * happens before its end, and a command that fails takes nothing back: it has put nothing yet.
 *
 * Locking: none of its own. Cost: of the keyspace's calls.
 */
#include <serve/resp/state.h>

static enum resp_outcome failed(struct resp_call *call, enum quarry_status status,
                                const struct quarry_error *error)
{
    if (status == QUARRY_BUSY && !call->may_wait) {
        return RESP_BUSY;
    }
    resp_say_status(call->reply, status, error);
    return RESP_ANSWERED;
}

struct keyspace_change *resp_begin(struct resp_call *call, const struct quarry_kv_slice *keys,
                                   size_t key_count, struct keyspace_change *room,
                                   enum resp_outcome *ret_outcome)
{
    if (call->transaction != NULL) {
        return call->transaction;
    }
    const struct keyspace_keys set = {call->session->scope, keys, key_count};
    enum quarry_status status =
        keyspace_begin(call->keyspace, &set, 1, call->may_wait ? 0 : KEYSPACE_NEVER_WAITS, room);

    if (status != QUARRY_OK) {
        *ret_outcome = failed(call, status, NULL);
        return NULL;
    }
    return room;
}

bool resp_commit(struct resp_call *call, struct keyspace_change *change,
                 enum resp_outcome *ret_outcome)
{
    struct quarry_error error = {0};

    if (call->transaction != NULL) {
        Q_ASSERT(change == call->transaction);
        return true;
    }
    bool has_written = keyspace_change_writes(change);
    enum quarry_status status = keyspace_commit(change, &error);
    if (status == QUARRY_OK) {
        if (has_written) {
            resp_note_written(call->session);
        }
        return true;
    }
    if (status == QUARRY_BUSY) {
        keyspace_abort(change);
    }
    *ret_outcome = failed(call, status, &error);
    return false;
}

void resp_abort(struct resp_call *call, struct keyspace_change *change)
{
    if (call->transaction == NULL) {
        keyspace_abort(change);
    }
}

enum resp_outcome resp_fail(struct resp_call *call, struct keyspace_change *change,
                            enum quarry_status status, const struct quarry_error *error)
{
    Q_ASSERT(status != QUARRY_OK);
    if (change != NULL) {
        resp_abort(call, change);
    }
    return failed(call, status, error);
}
