/*
 * Commands about whole databases: DBSIZE, FLUSHDB, FLUSHALL.
 *
 * Nobody counts keys as they come and go: that would be a read for every blind write. DBSIZE walks
 * over them, by a thread of the executor, and is remembered until something is written.
 *
 * A flush deletes a range: it takes no longer for many keys than for few, and compaction gives the
 * space back. ASYNC and SYNC are the same therefore. It locks every key of every database, so that
 * it happens at one moment for everybody. FLUSHALL flushes the databases of its tenant, those of
 * which no key is there left out.
 */
#include <serve/resp/access.h>
#include <serve/resp/key_commands.h>

/* Counts the keys that a transaction sees. */
static enum quarry_status count_in_transaction(struct resp_call *call, uint64_t *ret_count,
                                               struct quarry_error *error)
{
    struct keyspace_walk *walk;
    uint64_t count = 0;
    enum quarry_status status =
        keyspace_walk_begin(call->keyspace, &call->session->scope,
                            &(struct keyspace_walk_options){.never_waits = !call->may_wait,
                                                            .change = call->transaction},
                            &walk, error);

    if (status != QUARRY_OK) {
        return status;
    }
    do {
        struct quarry_kv_slice key;
        struct keyspace_value value;

        status = keyspace_walk_next(walk, &key, &value, error);
        count += status == QUARRY_OK;
    } while (status == QUARRY_OK);
    keyspace_walk_end(walk);
    *ret_count = count;
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

enum resp_outcome resp_dbsize(struct resp_call *call)
{
    struct keyspace_counts counts = {0};
    struct quarry_error error = {0};
    enum quarry_status status = call->transaction != NULL
                                    ? count_in_transaction(call, &counts.keys, &error)
                                    : keyspace_count(call->keyspace, &call->session->scope,
                                                     call->is_cancelled, &counts, &error);

    if (status != QUARRY_OK) {
        return resp_fail(call, NULL, status, &error);
    }
    resp_say_integer(call->reply, (int64_t)counts.keys);
    return RESP_ANSWERED;
}

/* ---- flushing ------------------------------------------------------------------------------- */

/* Whether no key of a database is there, as a change sees it. */
static enum quarry_status look_for_any(struct resp_call *call, struct keyspace_change *change,
                                       const struct keyspace_scope *scope, bool *ret_is_empty,
                                       struct quarry_error *error)
{
    struct quarry_kv_slice key;
    struct keyspace_value value;
    struct keyspace_walk *walk;
    enum quarry_status status = keyspace_walk_begin(
        call->keyspace, scope,
        &(struct keyspace_walk_options){.never_waits = !call->may_wait, .change = change}, &walk,
        error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = keyspace_walk_next(walk, &key, &value, error);
    keyspace_walk_end(walk);
    *ret_is_empty = status == QUARRY_NOT_FOUND;
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status flush(struct resp_call *call, struct keyspace_change *change,
                                struct keyspace_scope scope, struct quarry_error *error)
{
    bool is_empty;
    enum quarry_status status = look_for_any(call, change, &scope, &is_empty, error);

    if (status != QUARRY_OK || is_empty) {
        return status;
    }
    return keyspace_delete_range(change, &scope, resp_slice(NULL, 0), resp_slice(NULL, 0));
}

/* Flushes a tenant's databases from one to another, the last included. */
static enum resp_outcome flush_databases(struct resp_call *call, uint32_t first, uint32_t last)
{
    struct keyspace_change room, *change = call->transaction;
    struct quarry_error error = {0};
    enum resp_outcome outcome = RESP_ANSWERED;
    enum quarry_status status = QUARRY_OK;

    if (change == NULL) {
        change = &room;
        status =
            keyspace_begin(call->keyspace, NULL, 0,
                           KEYSPACE_ALL_KEYS | (call->may_wait ? 0 : KEYSPACE_NEVER_WAITS), change);
        if (status != QUARRY_OK) {
            return resp_fail(call, NULL, status, NULL);
        }
    }
    for (uint32_t database = first; database <= last && status == QUARRY_OK; database++) {
        const struct keyspace_scope scope = {.tenant = call->session->scope.tenant,
                                             .database = (uint8_t)database};

        status = flush(call, change, scope, &error);
    }
    if (status != QUARRY_OK) {
        return resp_fail(call, change, status, &error);
    }
    if (call->transaction == NULL && !keyspace_change_writes(change)) {
        resp_abort(call, change);
        resp_say_ok(call->reply);
    } else if (resp_commit(call, change, &outcome)) {
        resp_say_ok(call->reply);
    }
    return outcome;
}

/* Whether the words behind the command are right; false: an error was said. */
static bool read_flush(struct resp_call *call)
{
    if (call->word_count == 1 || (call->word_count == 2 && (resp_is(call->words[1], "async") ||
                                                            resp_is(call->words[1], "sync")))) {
        return true;
    }
    resp_say_syntax_error(call->reply);
    return false;
}

enum resp_outcome resp_flushdb(struct resp_call *call)
{
    if (!read_flush(call)) {
        return RESP_ANSWERED;
    }
    return flush_databases(call, call->session->scope.database, call->session->scope.database);
}

enum resp_outcome resp_flushall(struct resp_call *call)
{
    if (!read_flush(call)) {
        return RESP_ANSWERED;
    }
    return flush_databases(call, 0, KEYSPACE_DATABASES_MAX - 1);
}
