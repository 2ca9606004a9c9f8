/*
 * The options of SET and GETEX.
 *
 * Options that exclude each other are a syntax error, in any order; one that is said twice holds as
 * it was said last. NX and GET go together since Redis 7.0.
 *
 * A time of expiry must be above 0, and must not overflow 63 bits of milliseconds. One that has
 * passed is none of an error: the key is set, and gone.
 */
#include <serve/resp/set_options.h>

/* The unit that a word names. */
static enum resp_time_unit unit_of(struct quarry_kv_slice word)
{
    static const char *const names[] = {[RESP_SECONDS] = "ex",
                                        [RESP_MILLISECONDS] = "px",
                                        [RESP_AT_SECONDS] = "exat",
                                        [RESP_AT_MILLISECONDS] = "pxat"};

    for (enum resp_time_unit unit = RESP_SECONDS; unit <= RESP_AT_MILLISECONDS; unit++) {
        if (resp_is(word, names[unit])) {
            return unit;
        }
    }
    return RESP_NO_TIME;
}

/* Whether a word is an option of SET's, which goes with those before it. */
static bool read_of_set(struct quarry_kv_slice word, struct resp_set_options *options)
{
    if (resp_is(word, "nx") && !options->if_present) {
        options->if_absent = true;
    } else if (resp_is(word, "xx") && !options->if_absent) {
        options->if_present = true;
    } else if (resp_is(word, "get")) {
        options->gets = true;
    } else if (resp_is(word, "keepttl") && options->unit == RESP_NO_TIME) {
        options->keeps_time = true;
    } else {
        return false;
    }
    return true;
}

/* Likewise of GETEX'. */
static bool read_of_getex(struct quarry_kv_slice word, struct resp_set_options *options)
{
    if (!resp_is(word, "persist") || options->unit != RESP_NO_TIME) {
        return false;
    }
    options->persists = true;
    return true;
}

/* Whether a word is a unit that goes with the options before it. */
static bool read_unit(struct quarry_kv_slice word, struct resp_set_options *options)
{
    enum resp_time_unit unit = unit_of(word);

    if (unit == RESP_NO_TIME || options->keeps_time || options->persists ||
        (options->unit != RESP_NO_TIME && options->unit != unit)) {
        return false;
    }
    options->unit = unit;
    return true;
}

bool resp_set_options_read(struct resp_call *call, size_t first, bool is_getex,
                           struct resp_set_options *ret_options)
{
    *ret_options = (struct resp_set_options){0};
    for (size_t i = first; i < call->word_count; i++) {
        struct quarry_kv_slice word = call->words[i];

        if (is_getex ? read_of_getex(word, ret_options) : read_of_set(word, ret_options)) {
            continue;
        }
        if (i + 1 < call->word_count && read_unit(word, ret_options)) {
            ret_options->time = &call->words[++i];
            continue;
        }
        resp_say_syntax_error(call->reply);
        return false;
    }
    return true;
}

void resp_say_bad_expiry(struct resp_call *call)
{
    resp_say_error(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
}

bool resp_expiry_read(struct resp_call *call, const struct quarry_kv_slice *time,
                      enum resp_time_unit unit, uint64_t *ret_expires_ms)
{
    int64_t number;

    Q_ASSERT(unit != RESP_NO_TIME && time != NULL);
    if (!resp_read_integer(*time, &number)) {
        resp_say_not_an_integer(call->reply);
        return false;
    }
    bool fits = number > 0;
    if (unit == RESP_SECONDS || unit == RESP_AT_SECONDS) {
        fits = fits && checked_mul_i64(number, 1000, &number);
    }
    if (unit == RESP_SECONDS || unit == RESP_MILLISECONDS) {
        fits = fits && checked_add_i64(number, (int64_t)call->now_ms, &number);
    }
    if (!fits) {
        resp_say_bad_expiry(call);
        return false;
    }
    *ret_expires_ms = (uint64_t)number;
    return true;
}
