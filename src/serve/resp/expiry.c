/*
 * When keys expire: EXPIRE and its like, TTL and its like, PERSIST.
 *
 * The time stands in front of a value in the store, so that to change it the value is written
 * again: EXPIRE costs what SET costs. In exchange nothing is kept in memory of keys that expire,
 * times survive everything that values do, and compactions drop what has expired.
 *
 * A time that has passed deletes the key. Seconds are told rounded, as Redis does: a key that has
 * 1,500 ms left has 2 s.
 */
#include <serve/resp/access.h>
#include <serve/resp/set_options.h>
#include <serve/resp/key_commands.h>

/* ---- setting -------------------------------------------------------------------------------- */

/* Under which condition a time is set, by what there is. */
struct condition {
    bool if_none;    /* NX */
    bool if_any;     /* XX */
    bool if_later;   /* GT; no time is later than all */
    bool if_earlier; /* LT */
};

static bool *condition_named(struct condition *condition, struct quarry_kv_slice word)
{
    if (resp_is(word, "nx")) {
        return &condition->if_none;
    }
    if (resp_is(word, "xx")) {
        return &condition->if_any;
    }
    if (resp_is(word, "gt")) {
        return &condition->if_later;
    }
    return resp_is(word, "lt") ? &condition->if_earlier : NULL;
}

/* Reads the words behind the time. False: an error was said. */
static bool read_condition(struct resp_call *call, struct condition *ret_condition)
{
    *ret_condition = (struct condition){0};
    for (size_t i = 3; i < call->word_count; i++) {
        struct quarry_kv_slice word = call->words[i];
        bool *named = condition_named(ret_condition, word);

        if (named == NULL) {
            resp_say_error(call->reply, "ERR Unsupported option %.*s",
                           (int)size_min(word.byte_count, 128), (const char *)word.bytes);
            return false;
        }
        *named = true;
    }
    if (ret_condition->if_none &&
        (ret_condition->if_any || ret_condition->if_later || ret_condition->if_earlier)) {
        resp_say_error(call->reply, "ERR NX and XX, GT or LT options at the same time are not "
                                    "compatible");
        return false;
    }
    if (ret_condition->if_later && ret_condition->if_earlier) {
        resp_say_error(call->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

/* Whether a key whose time is `there` (0: none) gets the time `wanted`. */
static bool is_met(const struct condition *condition, uint64_t there, int64_t wanted)
{
    int64_t now_has = (int64_t)there;

    if (condition->if_none && there != 0) {
        return false;
    }
    if (condition->if_any && there == 0) {
        return false;
    }
    if (condition->if_later && (there == 0 || wanted <= now_has)) {
        return false;
    }
    return !condition->if_earlier || there == 0 || wanted < now_has;
}

/* Reads a time, which may have passed long ago. False: an error was said. */
static bool read_moment(struct resp_call *call, enum resp_time_unit unit, int64_t *ret_ms)
{
    bool is_in_seconds = unit == RESP_SECONDS || unit == RESP_AT_SECONDS;
    bool is_from_now = unit == RESP_SECONDS || unit == RESP_MILLISECONDS;
    int64_t number;

    if (!resp_read_integer(call->words[2], &number)) {
        resp_say_not_an_integer(call->reply);
        return false;
    }
    if ((is_in_seconds && !checked_mul_i64(number, 1000, &number)) ||
        (is_from_now && !checked_add_i64(number, (int64_t)call->now_ms, &number))) {
        resp_say_bad_expiry(call);
        return false;
    }
    *ret_ms = number;
    return true;
}

static enum resp_outcome expire(struct resp_call *call, enum resp_time_unit unit)
{
    struct condition condition;
    struct resp_update update;
    enum resp_outcome outcome;
    int64_t expires_ms;

    if (!read_condition(call, &condition) || !read_moment(call, unit, &expires_ms)) {
        return RESP_ANSWERED;
    }
    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (!update.is_there || !is_met(&condition, update.value.expires_ms, expires_ms)) {
        outcome = resp_update_leave(call, &update);
        resp_say_integer(call->reply, 0);
        return outcome;
    }
    enum quarry_status status =
        expires_ms <= (int64_t)call->now_ms
            ? resp_update_delete(call, &update)
            : resp_update_put(call, &update, resp_value_slice(&update.value), (uint64_t)expires_ms);
    if (resp_update_end(call, &update, status, &outcome)) {
        keyspace_value_release(&update.value);
        resp_say_integer(call->reply, 1);
    }
    return outcome;
}

enum resp_outcome resp_expire(struct resp_call *call)
{
    return expire(call, RESP_SECONDS);
}

enum resp_outcome resp_pexpire(struct resp_call *call)
{
    return expire(call, RESP_MILLISECONDS);
}

enum resp_outcome resp_expireat(struct resp_call *call)
{
    return expire(call, RESP_AT_SECONDS);
}

enum resp_outcome resp_pexpireat(struct resp_call *call)
{
    return expire(call, RESP_AT_MILLISECONDS);
}

enum resp_outcome resp_persist(struct resp_call *call)
{
    struct resp_update update;
    enum resp_outcome outcome;

    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (update.value.expires_ms == 0) {
        outcome = resp_update_leave(call, &update);
        resp_say_integer(call->reply, 0);
        return outcome;
    }
    enum quarry_status status = resp_update_put(call, &update, resp_value_slice(&update.value), 0);
    if (resp_update_end(call, &update, status, &outcome)) {
        keyspace_value_release(&update.value);
        resp_say_integer(call->reply, 1);
    }
    return outcome;
}

/* ---- telling -------------------------------------------------------------------------------- */

#define NO_KEY  (-2)
#define NO_TIME (-1)

/* When a key expires, or one of the numbers above. False: return *ret_outcome. */
static bool find_time(struct resp_call *call, int64_t *ret_ms, enum resp_outcome *ret_outcome)
{
    struct keyspace_value value;

    *ret_outcome = RESP_ANSWERED;
    switch (resp_find(call, &call->words[1], &value, ret_outcome)) {
    case RESP_FOUND:
        *ret_ms = value.expires_ms == 0 ? NO_TIME : (int64_t)value.expires_ms;
        keyspace_value_release(&value);
        return true;
    case RESP_ABSENT:
        *ret_ms = NO_KEY;
        return true;
    case RESP_FAILED:
        break;
    }
    return false;
}

/* Says a time, from a moment on, in a unit of so many milliseconds. */
static enum resp_outcome tell(struct resp_call *call, int64_t from_ms, int64_t unit_ms)
{
    enum resp_outcome outcome;
    int64_t ms;

    if (!find_time(call, &ms, &outcome)) {
        return outcome;
    }
    if (ms >= 0) {
        ms = ms > from_ms ? ms - from_ms : 0;
        ms = ms / unit_ms + (ms % unit_ms * 2 >= unit_ms);
    }
    resp_say_integer(call->reply, ms);
    return RESP_ANSWERED;
}

enum resp_outcome resp_ttl(struct resp_call *call)
{
    return tell(call, (int64_t)call->now_ms, 1000);
}

enum resp_outcome resp_pttl(struct resp_call *call)
{
    return tell(call, (int64_t)call->now_ms, 1);
}

enum resp_outcome resp_expiretime(struct resp_call *call)
{
    return tell(call, 0, 1000);
}

enum resp_outcome resp_pexpiretime(struct resp_call *call)
{
    return tell(call, 0, 1);
}
