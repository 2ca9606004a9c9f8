/*
 * Commands about keys whatever they hold: DEL, UNLINK, TYPE, RENAME, RENAMENX, OBJECT.
 *
 * DEL tells how many of its keys were there, so it reads each before it deletes it. UNLINK is the
 * same: memory is given back by compaction, never by who deletes.
 *
 * OBJECT answers as Redis would for a string that was set: there are no representations here, so
 * that the encoding is told from the bytes. Nobody keeps when or how often a key was used.
 *
 * Cost: a read and a small write a key. RENAME writes the value again under its new name.
 */
#include <serve/resp/access.h>
#include <serve/resp/key_commands.h>
#include <serve/resp/text.h>

#include <string.h>

/* Deletes keys that are there, and counts them. */
static enum quarry_status delete_all(struct resp_call *call, struct keyspace_change *change,
                                     const struct quarry_kv_slice *keys, size_t key_count,
                                     int64_t *ret_count, struct quarry_error *error)
{
    int64_t count = 0;

    for (size_t i = 0; i < key_count; i++) {
        struct keyspace_value value;
        enum quarry_status status =
            keyspace_get(change, &call->session->scope, keys[i], &value, error);

        if (status == QUARRY_NOT_FOUND) {
            continue;
        }
        if (status == QUARRY_OK) {
            keyspace_value_release(&value);
            status = keyspace_delete(change, &call->session->scope, keys[i]);
        }
        if (status != QUARRY_OK) {
            return status;
        }
        count++;
    }
    *ret_count = count;
    return QUARRY_OK;
}

enum resp_outcome resp_del(struct resp_call *call)
{
    const struct quarry_kv_slice *keys = call->words + 1;
    size_t key_count = call->word_count - 1;
    struct keyspace_change room;
    struct quarry_error error = {0};
    enum resp_outcome outcome = RESP_ANSWERED;
    int64_t count;

    if (!resp_keys_fit(call, keys, key_count)) {
        return RESP_ANSWERED;
    }
    struct keyspace_change *change = resp_begin(call, keys, key_count, &room, &outcome);
    if (change == NULL) {
        return outcome;
    }
    enum quarry_status status = delete_all(call, change, keys, key_count, &count, &error);
    if (status != QUARRY_OK) {
        return resp_fail(call, change, status, &error);
    }
    if (count == 0) {
        resp_abort(call, change);
        resp_say_integer(call->reply, 0);
    } else if (resp_commit(call, change, &outcome)) {
        resp_say_integer(call->reply, count);
    }
    return outcome;
}

enum resp_outcome resp_type(struct resp_call *call)
{
    struct keyspace_value value;
    enum resp_outcome outcome = RESP_ANSWERED;
    enum resp_found found = resp_find(call, &call->words[1], &value, &outcome);

    if (found == RESP_FOUND) {
        keyspace_value_release(&value);
        resp_say_simple(call->reply, "string");
    } else if (found == RESP_ABSENT) {
        resp_say_simple(call->reply, "none");
    }
    return outcome;
}

/* ---- renaming ------------------------------------------------------------------------------- */

static bool is_same(struct quarry_kv_slice one, struct quarry_kv_slice other)
{
    return one.byte_count == other.byte_count &&
           memcmp(one.bytes, other.bytes, one.byte_count) == 0;
}

/* Moves a value from one key to another. QUARRY_EXISTS: that is there, and was to be absent. */
static enum quarry_status move_value(struct resp_call *call, struct keyspace_change *change,
                                     const struct keyspace_value *value, bool if_absent,
                                     struct quarry_error *error)
{
    const struct keyspace_scope *scope = &call->session->scope;
    enum quarry_status status = QUARRY_NOT_FOUND;

    if (if_absent) {
        struct keyspace_value there;

        status = keyspace_get(change, scope, call->words[2], &there, error);
        if (status == QUARRY_OK) {
            keyspace_value_release(&there);
            return QUARRY_EXISTS;
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        return status;
    }
    status =
        keyspace_put(change, scope, call->words[2], resp_value_slice(value), value->expires_ms);
    return status == QUARRY_OK ? keyspace_delete(change, scope, call->words[1]) : status;
}

/* What became of a rename, for `said` to say. */
typedef void say_function(struct resp_reply *reply, bool is_done);

static enum resp_outcome rename_key(struct resp_call *call, bool if_absent, say_function *say)
{
    struct keyspace_change room;
    struct keyspace_value value = {0};
    struct quarry_error error = {0};
    enum resp_outcome outcome = RESP_ANSWERED;

    if (!resp_keys_fit(call, call->words + 1, 2)) {
        return RESP_ANSWERED;
    }
    struct keyspace_change *change = resp_begin(call, call->words + 1, 2, &room, &outcome);
    if (change == NULL) {
        return outcome;
    }
    enum quarry_status status =
        keyspace_get(change, &call->session->scope, call->words[1], &value, &error);
    if (status == QUARRY_OK) {
        status = is_same(call->words[1], call->words[2])
                     ? QUARRY_EXISTS
                     : move_value(call, change, &value, if_absent, &error);
    }
    if (status == QUARRY_OK) {
        if (resp_commit(call, change, &outcome)) {
            say(call->reply, true);
        }
    } else if (status == QUARRY_EXISTS) {
        resp_abort(call, change);
        say(call->reply, false);
    } else if (status == QUARRY_NOT_FOUND) {
        resp_abort(call, change);
        resp_say_error(call->reply, "ERR no such key");
    } else {
        outcome = resp_fail(call, change, status, &error);
    }
    keyspace_value_release(&value);
    return outcome;
}

/* RENAME of a key to itself does nothing, and is done. */
static void say_renamed(struct resp_reply *reply, bool is_done)
{
    (void)is_done;
    resp_say_ok(reply);
}

static void say_whether(struct resp_reply *reply, bool is_done)
{
    resp_say_integer(reply, is_done);
}

enum resp_outcome resp_rename(struct resp_call *call)
{
    return rename_key(call, false, say_renamed);
}

enum resp_outcome resp_renamenx(struct resp_call *call)
{
    return rename_key(call, true, say_whether);
}

/* ---- OBJECT --------------------------------------------------------------------------------- */

/* Bytes of a string that Redis keeps beside its object. */
#define EMBEDDED_BYTES_MAX 44u

static const char *encoding_of(const struct keyspace_value *value)
{
    int64_t number;

    if (resp_read_integer(resp_value_slice(value), &number)) {
        return "int";
    }
    return value->byte_count <= EMBEDDED_BYTES_MAX ? "embstr" : "raw";
}

/* Finds the key of an OBJECT; false: it has been answered, with *ret_outcome. */
static bool find_object(struct resp_call *call, struct keyspace_value *ret_value,
                        enum resp_outcome *ret_outcome)
{
    enum resp_found found = resp_find(call, &call->words[2], ret_value, ret_outcome);

    if (found == RESP_ABSENT) {
        resp_say_null(call->reply);
    }
    return found == RESP_FOUND;
}

enum resp_outcome resp_object_encoding(struct resp_call *call)
{
    struct keyspace_value value;
    enum resp_outcome outcome = RESP_ANSWERED;

    if (find_object(call, &value, &outcome)) {
        resp_say_text(call->reply, encoding_of(&value));
        keyspace_value_release(&value);
    }
    return outcome;
}

/* Of integers that Redis shares, it tells the largest count there is. */
#define SHARED_INTEGERS    10000
#define SHARED_COUNT_SHOWN INT32_MAX

enum resp_outcome resp_object_refcount(struct resp_call *call)
{
    struct keyspace_value value;
    enum resp_outcome outcome = RESP_ANSWERED;

    if (find_object(call, &value, &outcome)) {
        int64_t number = -1;
        bool is_shared = resp_read_integer(resp_value_slice(&value), &number) && number >= 0 &&
                         number < SHARED_INTEGERS;

        resp_say_integer(call->reply, is_shared ? SHARED_COUNT_SHOWN : 1);
        keyspace_value_release(&value);
    }
    return outcome;
}

enum resp_outcome resp_object_idletime(struct resp_call *call)
{
    struct keyspace_value value;
    enum resp_outcome outcome = RESP_ANSWERED;

    if (find_object(call, &value, &outcome)) {
        resp_say_integer(call->reply, 0);
        keyspace_value_release(&value);
    }
    return outcome;
}

enum resp_outcome resp_object_freq(struct resp_call *call)
{
    struct keyspace_value value;
    enum resp_outcome outcome = RESP_ANSWERED;

    if (find_object(call, &value, &outcome)) {
        resp_say_error(call->reply,
                       "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                       "Please note that when switching between policies at runtime LRU and LFU "
                       "data will take some time to adjust.");
        keyspace_value_release(&value);
    }
    return outcome;
}

enum resp_outcome resp_object_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    How Redis would keep the value: int, embstr or raw.",
        "FREQ <key>",
        "    An error: how often keys are used is not kept.",
        "IDLETIME <key>",
        "    0: when a key was last used is not kept.",
        "REFCOUNT <key>",
        "    How many references Redis would count to the value.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
