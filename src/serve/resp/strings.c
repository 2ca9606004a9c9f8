/*
 * Commands that get and set whole values of one key: GET, SET and its older forms, GETSET, GETDEL,
 * GETEX.
 *
 *   GET                          keyspace_read: no lock
 *   SET without options, SETEX   lock, put, unlock: what was there is not looked at
 *   everything else              lock, get, put or delete, unlock
 *
 * All that can fail comes before the first thing that is said, but an answer from an old value is
 * said after the commit: what was read is held beyond it.
 *
 * Cost: GET is a read and a reply that points to what was read where that is large, and 70
 * instructions beside them; SET a write and 150.
 * Rejected: a merge operand for SET … KEEPTTL, which would save its read: the value would have to
 * be put together at every later read.
 */
#include <serve/resp/access.h>
#include <serve/resp/set_options.h>
#include <serve/resp/key_commands.h>

enum resp_outcome resp_get(struct resp_call *call)
{
    struct keyspace_value value;
    enum resp_outcome outcome = RESP_ANSWERED;
    enum resp_found found = resp_find(call, &call->words[1], &value, &outcome);

    if (Q_LIKELY(found == RESP_FOUND)) {
        resp_say_value(call->reply, &value, 0, value.byte_count);
    } else if (found == RESP_ABSENT) {
        resp_say_null(call->reply);
    }
    return outcome;
}

/* Sets a key whatever it has. */
static enum resp_outcome set_blindly(struct resp_call *call, struct quarry_kv_slice value,
                                     uint64_t expires_ms)
{
    const struct quarry_kv_slice *key = &call->words[1];
    struct keyspace_change room;
    enum resp_outcome outcome = RESP_ANSWERED;

    if (!resp_keys_fit(call, key, 1) || !resp_value_fits(call, value.byte_count, 0)) {
        return RESP_ANSWERED;
    }
    struct keyspace_change *change = resp_begin(call, key, 1, &room, &outcome);
    if (change == NULL) {
        return outcome;
    }
    enum quarry_status status =
        keyspace_put(change, &call->session->scope, *key, value, expires_ms);
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return resp_fail(call, change, status, NULL);
    }
    if (Q_LIKELY(resp_commit(call, change, &outcome))) {
        resp_say_ok(call->reply);
    }
    return outcome;
}

/* Says what a key had, and lets go of it. */
static void say_old(struct resp_call *call, struct resp_update *update)
{
    if (update->is_there) {
        resp_say_value(call->reply, &update->value, 0, update->value.byte_count);
    } else {
        resp_say_null(call->reply);
    }
    keyspace_value_release(&update->value);
}

/* Sets a key by what it has. */
static enum resp_outcome set_by_options(struct resp_call *call,
                                        const struct resp_set_options *options, uint64_t expires_ms)
{
    struct resp_update update;
    enum resp_outcome outcome;

    if (!resp_value_fits(call, call->words[2].byte_count, 0)) {
        return RESP_ANSWERED;
    }
    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (update.is_there ? options->if_absent : options->if_present) {
        resp_abort(call, update.change);
        update.is_there &= options->gets; /* else there is nothing to be said of it */
        say_old(call, &update);
        return RESP_ANSWERED;
    }
    enum quarry_status status = resp_update_put(
        call, &update, call->words[2], options->keeps_time ? update.value.expires_ms : expires_ms);
    if (!resp_update_end(call, &update, status, &outcome)) {
        return outcome;
    }
    if (options->gets) {
        say_old(call, &update);
    } else {
        resp_say_ok(call->reply);
    }
    keyspace_value_release(&update.value);
    return outcome;
}

/* SET with more words than three. */
static enum resp_outcome set_slow(struct resp_call *call)
{
    struct resp_set_options options;
    uint64_t expires_ms = 0;

    if (!resp_set_options_read(call, 3, false, &options)) {
        return RESP_ANSWERED;
    }
    if (options.unit != RESP_NO_TIME &&
        !resp_expiry_read(call, options.time, options.unit, &expires_ms)) {
        return RESP_ANSWERED;
    }
    if (options.if_absent || options.if_present || options.gets || options.keeps_time) {
        return set_by_options(call, &options, expires_ms);
    }
    return set_blindly(call, call->words[2], expires_ms);
}

enum resp_outcome resp_set(struct resp_call *call)
{
    if (Q_UNLIKELY(call->word_count > 3)) {
        return set_slow(call);
    }
    return set_blindly(call, call->words[2], 0);
}

enum resp_outcome resp_setnx(struct resp_call *call)
{
    struct resp_update update;
    enum resp_outcome outcome;

    if (!resp_value_fits(call, call->words[2].byte_count, 0)) {
        return RESP_ANSWERED;
    }
    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (update.is_there) {
        outcome = resp_update_leave(call, &update);
        resp_say_integer(call->reply, 0);
        return outcome;
    }
    enum quarry_status status = resp_update_put(call, &update, call->words[2], 0);
    if (resp_update_end(call, &update, status, &outcome)) {
        resp_say_integer(call->reply, 1);
    }
    return outcome;
}

static enum resp_outcome set_for(struct resp_call *call, enum resp_time_unit unit)
{
    uint64_t expires_ms;

    if (!resp_expiry_read(call, &call->words[2], unit, &expires_ms)) {
        return RESP_ANSWERED;
    }
    return set_blindly(call, call->words[3], expires_ms);
}

enum resp_outcome resp_setex(struct resp_call *call)
{
    return set_for(call, RESP_SECONDS);
}

enum resp_outcome resp_psetex(struct resp_call *call)
{
    return set_for(call, RESP_MILLISECONDS);
}

enum resp_outcome resp_getset(struct resp_call *call)
{
    return set_by_options(call, &(struct resp_set_options){.gets = true}, 0);
}

enum resp_outcome resp_getdel(struct resp_call *call)
{
    struct resp_update update;
    enum resp_outcome outcome;

    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (!update.is_there) {
        outcome = resp_update_leave(call, &update);
        resp_say_null(call->reply);
        return outcome;
    }
    if (resp_update_end(call, &update, resp_update_delete(call, &update), &outcome)) {
        say_old(call, &update);
    }
    return outcome;
}

/* GETEX of a key that is there, with a time to be set or taken away. */
static enum resp_outcome get_and_expire(struct resp_call *call,
                                        const struct resp_set_options *options,
                                        struct resp_update *update)
{
    enum resp_outcome outcome;
    uint64_t expires_ms = 0;

    if (options->unit != RESP_NO_TIME &&
        !resp_expiry_read(call, options->time, options->unit, &expires_ms)) {
        return resp_update_leave(call, update);
    }
    if (expires_ms == update->value.expires_ms) {
        resp_abort(call, update->change);
        say_old(call, update);
        return RESP_ANSWERED;
    }
    enum quarry_status status =
        resp_update_put(call, update, resp_value_slice(&update->value), expires_ms);
    if (resp_update_end(call, update, status, &outcome)) {
        say_old(call, update);
    }
    return outcome;
}

enum resp_outcome resp_getex(struct resp_call *call)
{
    struct resp_set_options options;
    struct resp_update update;
    enum resp_outcome outcome;

    if (!resp_set_options_read(call, 2, true, &options)) {
        return RESP_ANSWERED;
    }
    if (options.unit == RESP_NO_TIME && !options.persists) {
        return resp_get(call);
    }
    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (!update.is_there) {
        outcome = resp_update_leave(call, &update);
        resp_say_null(call->reply);
        return outcome;
    }
    return get_and_expire(call, &options, &update);
}
