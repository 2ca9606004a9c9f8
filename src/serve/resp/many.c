/*
 * Commands that name many keys and answer or write all at one moment: MGET, EXISTS, TOUCH, MSET,
 * MSETNX.
 *
 * Reading: keyspace_read_many, which looks through one view of the store, so that nobody sees half
 * of an MSET; in EXEC key by key, for there all are locked.
 *
 * Memory: names and results of up to 16 keys lie on the stack, more in scratch memory of the
 * budget: 100 bytes a key, of which a request can have 65,536.
 */
#include <serve/resp/many.h>

#include <serve/buffers.h>
#include <serve/resp/access.h>
#include <serve/resp/key_commands.h>

/* ---- reading -------------------------------------------------------------------------------- */

static bool room_for_many(struct resp_call *call, size_t count, struct resp_many *many)
{
    size_t each = sizeof(*many->values) + sizeof(*many->statuses);

    many->count = count;
    many->scratch = NULL;
    many->values = many->few_values;
    many->statuses = many->few_statuses;
    if (count > RESP_FEW) {
        many->scratch = serve_buffer_take(call->common->memory, count * each);
        many->values = many->scratch;
        many->statuses = (enum quarry_status *)(many->values + count);
    }
    return many->values != NULL;
}

static bool are_short(const struct quarry_kv_slice *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (keys[i].byte_count > RESP_KEY_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

/* Key by key, through a change that has them locked, or where one cannot be in the store at all. */
static enum quarry_status read_singly(struct resp_call *call, const struct quarry_kv_slice *keys,
                                      struct resp_many *many, struct quarry_error *error)
{
    for (size_t i = 0; i < many->count; i++) {
        enum quarry_status status = resp_read(call, &keys[i], &many->values[i], error);

        many->statuses[i] = status;
        if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
            while (i-- > 0) {
                if (many->statuses[i] == QUARRY_OK) {
                    keyspace_value_release(&many->values[i]);
                }
            }
            return status;
        }
    }
    return QUARRY_OK;
}

bool resp_many_read(struct resp_call *call, const struct quarry_kv_slice *keys, size_t count,
                    struct resp_many *ret_many, enum resp_outcome *ret_outcome)
{
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_NO_MEMORY;

    Q_ASSERT(count > 0);
    if (room_for_many(call, count, ret_many)) {
        status =
            call->transaction != NULL || !are_short(keys, count)
                ? read_singly(call, keys, ret_many, &error)
                : keyspace_read_many(call->keyspace, &call->session->scope, keys, count,
                                     !call->may_wait, ret_many->statuses, ret_many->values, &error);
    }
    if (status == QUARRY_OK) {
        return true;
    }
    serve_buffer_give(call->common->memory, ret_many->scratch);
    *ret_outcome = resp_fail(call, NULL, status, &error);
    return false;
}

void resp_many_release(struct resp_call *call, struct resp_many *many)
{
    for (size_t i = 0; i < many->count; i++) {
        if (many->statuses[i] == QUARRY_OK) {
            keyspace_value_release(&many->values[i]);
        }
    }
    serve_buffer_give(call->common->memory, many->scratch);
}

enum resp_outcome resp_mget(struct resp_call *call)
{
    struct resp_many many;
    enum resp_outcome outcome;

    if (!resp_many_read(call, call->words + 1, call->word_count - 1, &many, &outcome)) {
        return outcome;
    }
    resp_say_array(call->reply, many.count);
    for (size_t i = 0; i < many.count; i++) {
        if (many.statuses[i] == QUARRY_OK) {
            resp_say_value(call->reply, &many.values[i], 0, many.values[i].byte_count);
        } else {
            resp_say_null(call->reply);
        }
    }
    resp_many_release(call, &many);
    return RESP_ANSWERED;
}

enum resp_outcome resp_exists(struct resp_call *call)
{
    struct resp_many many;
    enum resp_outcome outcome;
    int64_t there_count = 0;

    if (!resp_many_read(call, call->words + 1, call->word_count - 1, &many, &outcome)) {
        return outcome;
    }
    for (size_t i = 0; i < many.count; i++) {
        there_count += many.statuses[i] == QUARRY_OK;
    }
    resp_many_release(call, &many);
    resp_say_integer(call->reply, there_count);
    return RESP_ANSWERED;
}

/* Nothing here keeps when a key was last used: the count is what there is to TOUCH. */
enum resp_outcome resp_touch(struct resp_call *call)
{
    return resp_exists(call);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* The keys of MSET's words, one behind the other. */
struct names {
    struct quarry_kv_slice *keys;
    size_t count;
    void *scratch; /* own, NULL: they are the few */
    struct quarry_kv_slice few[RESP_FEW];
};

/* Names the keys, having looked at all the words. False: an error was said. */
static bool name_keys(struct resp_call *call, struct names *names)
{
    if (call->word_count % 2 == 0) {
        resp_say_wrong_arity(call->reply, call->command);
        return false;
    }
    names->count = call->word_count / 2;
    names->keys = names->few;
    names->scratch = NULL;
    if (names->count > RESP_FEW) {
        names->scratch =
            serve_buffer_take(call->common->memory, names->count * sizeof(*names->keys));
        names->keys = names->scratch;
    }
    if (names->keys == NULL) {
        resp_say_status(call->reply, QUARRY_NO_MEMORY, NULL);
        return false;
    }
    for (size_t i = 0; i < names->count; i++) {
        names->keys[i] = call->words[1 + 2 * i];
        if (!resp_keys_fit(call, &names->keys[i], 1) ||
            !resp_value_fits(call, call->words[2 + 2 * i].byte_count, 0)) {
            serve_buffer_give(call->common->memory, names->scratch);
            return false;
        }
    }
    return true;
}

static enum quarry_status put_all(struct resp_call *call, struct keyspace_change *change,
                                  const struct names *names)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < names->count && status == QUARRY_OK; i++) {
        status =
            keyspace_put(change, &call->session->scope, names->keys[i], call->words[2 + 2 * i], 0);
    }
    return status;
}

enum resp_outcome resp_mset(struct resp_call *call)
{
    struct names names;
    struct keyspace_change room;
    enum resp_outcome outcome = RESP_ANSWERED;

    if (!name_keys(call, &names)) {
        return RESP_ANSWERED;
    }
    struct keyspace_change *change = resp_begin(call, names.keys, names.count, &room, &outcome);
    if (change != NULL) {
        enum quarry_status status = put_all(call, change, &names);

        if (status != QUARRY_OK) {
            outcome = resp_fail(call, change, status, NULL);
        } else if (resp_commit(call, change, &outcome)) {
            resp_say_ok(call->reply);
        }
    }
    serve_buffer_give(call->common->memory, names.scratch);
    return outcome;
}

/* QUARRY_EXISTS: one of the keys is there. */
static enum quarry_status put_all_if_none(struct resp_call *call, struct keyspace_change *change,
                                          const struct names *names, struct quarry_error *error)
{
    for (size_t i = 0; i < names->count; i++) {
        struct keyspace_value value;
        enum quarry_status status =
            keyspace_get(change, &call->session->scope, names->keys[i], &value, error);

        if (status == QUARRY_OK) {
            keyspace_value_release(&value);
            return QUARRY_EXISTS;
        }
        if (status != QUARRY_NOT_FOUND) {
            return status;
        }
    }
    return put_all(call, change, names);
}

enum resp_outcome resp_msetnx(struct resp_call *call)
{
    struct names names;
    struct keyspace_change room;
    struct quarry_error error = {0};
    enum resp_outcome outcome = RESP_ANSWERED;

    if (!name_keys(call, &names)) {
        return RESP_ANSWERED;
    }
    struct keyspace_change *change = resp_begin(call, names.keys, names.count, &room, &outcome);
    if (change != NULL) {
        enum quarry_status status = put_all_if_none(call, change, &names, &error);

        if (status == QUARRY_EXISTS) {
            resp_abort(call, change);
            resp_say_integer(call->reply, 0);
        } else if (status != QUARRY_OK) {
            outcome = resp_fail(call, change, status, &error);
        } else if (resp_commit(call, change, &outcome)) {
            resp_say_integer(call->reply, 1);
        }
    }
    serve_buffer_give(call->common->memory, names.scratch);
    return outcome;
}
