/*
 * Commands that reach into two databases: COPY, MOVE, SWAPDB.
 *
 * A change locks keys of one scope for each of its sets, so that these two have two. EXEC, which
 * locks by where a command's keys stand among its words and knows of one database only, locks
 * everything for them (RESP_ALL_KEYS).
 *
 * SWAPDB is refused: a database is a stretch of the store's keys, which cannot be renamed without
 * writing all of them, and a table between would cost every read.
 */
#include <serve/resp/access.h>
#include <serve/resp/key_commands.h>

#include <string.h>

/* Where COPY and MOVE take from and bring to. */
struct transfer {
    struct keyspace_scope from, to;
    struct quarry_kv_slice from_key, to_key;
    bool replaces;
};

/* Reads the number of a database. False: an error was said. */
static bool read_database(struct resp_call *call, struct quarry_kv_slice word,
                          uint8_t *ret_database)
{
    int64_t number;

    if (!resp_read_integer(word, &number)) {
        resp_say_not_an_integer(call->reply);
        return false;
    }
    if (number < INT32_MIN || number > INT32_MAX) {
        resp_say_error(call->reply, "ERR value is out of range, value must between %d and %d",
                       INT32_MIN, INT32_MAX);
        return false;
    }
    if (number < 0 || number >= call->common->database_count) {
        resp_say_error(call->reply, "ERR DB index is out of range");
        return false;
    }
    *ret_database = (uint8_t)number;
    return true;
}

/* Whether a transfer goes from a key to itself, which was said then. */
static bool goes_nowhere(struct resp_call *call, const struct transfer *transfer)
{
    if (transfer->from.database != transfer->to.database ||
        transfer->from_key.byte_count != transfer->to_key.byte_count ||
        memcmp(transfer->from_key.bytes, transfer->to_key.bytes, transfer->to_key.byte_count) !=
            0) {
        return false;
    }
    resp_say_error(call->reply, "ERR source and destination objects are the same");
    return true;
}

/* Begins a change of both keys. NULL: return *ret_outcome. */
static struct keyspace_change *begin_transfer(struct resp_call *call,
                                              const struct transfer *transfer,
                                              struct keyspace_change *room,
                                              enum resp_outcome *ret_outcome)
{
    const struct keyspace_keys sets[] = {
        {.scope = transfer->from, .keys = &transfer->from_key, .key_count = 1},
        {.scope = transfer->to, .keys = &transfer->to_key, .key_count = 1}};
    struct quarry_kv_slice keys[] = {transfer->from_key, transfer->to_key};

    *ret_outcome = RESP_ANSWERED;
    if (!resp_keys_fit(call, keys, 2)) {
        return NULL;
    }
    if (call->transaction != NULL) {
        return call->transaction;
    }
    enum quarry_status status =
        keyspace_begin(call->keyspace, sets, 2, call->may_wait ? 0 : KEYSPACE_NEVER_WAITS, room);
    if (status == QUARRY_OK) {
        return room;
    }
    *ret_outcome = resp_fail(call, NULL, status, NULL);
    return NULL;
}

/* QUARRY_EXISTS: the other key is there, and is not to be replaced. */
static enum quarry_status look_at_target(struct keyspace_change *change,
                                         const struct transfer *transfer,
                                         struct quarry_error *error)
{
    struct keyspace_value there;

    if (transfer->replaces) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        keyspace_get(change, &transfer->to, transfer->to_key, &there, error);
    if (status == QUARRY_OK) {
        keyspace_value_release(&there);
        return QUARRY_EXISTS;
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* Says 1 if the value came to the other key; 0 if there was none, or it was not to be replaced. */
static enum resp_outcome carry(struct resp_call *call, const struct transfer *transfer,
                               bool leaves_nothing)
{
    struct keyspace_change room;
    struct keyspace_value value = {0};
    struct quarry_error error = {0};
    enum resp_outcome outcome;
    struct keyspace_change *change = begin_transfer(call, transfer, &room, &outcome);

    if (change == NULL) {
        return outcome;
    }
    enum quarry_status status =
        keyspace_get(change, &transfer->from, transfer->from_key, &value, &error);
    if (status == QUARRY_OK) {
        status = look_at_target(change, transfer, &error);
    }
    if (status == QUARRY_OK) {
        status = keyspace_put(change, &transfer->to, transfer->to_key, resp_value_slice(&value),
                              value.expires_ms);
    }
    if (status == QUARRY_OK && leaves_nothing) {
        status = keyspace_delete(change, &transfer->from, transfer->from_key);
    }
    if (status == QUARRY_OK) {
        if (resp_commit(call, change, &outcome)) {
            resp_say_integer(call->reply, 1);
        }
    } else if (status == QUARRY_NOT_FOUND || status == QUARRY_EXISTS) {
        resp_abort(call, change);
        resp_say_integer(call->reply, 0);
    } else {
        outcome = resp_fail(call, change, status, &error);
    }
    keyspace_value_release(&value);
    return outcome;
}

/* Reads COPY's options. False: an error was said. */
static bool read_copy(struct resp_call *call, struct transfer *transfer)
{
    for (size_t i = 3; i < call->word_count; i++) {
        if (resp_is(call->words[i], "replace")) {
            transfer->replaces = true;
        } else if (resp_is(call->words[i], "db") && i + 1 < call->word_count) {
            if (!read_database(call, call->words[++i], &transfer->to.database)) {
                return false;
            }
        } else {
            resp_say_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

enum resp_outcome resp_copy(struct resp_call *call)
{
    struct transfer transfer = {.from = call->session->scope,
                                .to = call->session->scope,
                                .from_key = call->words[1],
                                .to_key = call->words[2]};

    if (!read_copy(call, &transfer) || goes_nowhere(call, &transfer)) {
        return RESP_ANSWERED;
    }
    return carry(call, &transfer, false);
}

enum resp_outcome resp_move(struct resp_call *call)
{
    struct transfer transfer = {.from = call->session->scope,
                                .to = call->session->scope,
                                .from_key = call->words[1],
                                .to_key = call->words[1]};

    if (!read_database(call, call->words[2], &transfer.to.database) ||
        goes_nowhere(call, &transfer)) {
        return RESP_ANSWERED;
    }
    return carry(call, &transfer, true);
}

enum resp_outcome resp_swapdb(struct resp_call *call)
{
    resp_say_error(call->reply, "ERR SWAPDB is not supported: a database is a stretch of an "
                                "ordered store's keys, see docs/resp.md");
    return RESP_ANSWERED;
}
