/*
 * Values as numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.
 *
 * A number is its decimal text, as Redis shows it, so that GET needs to know nothing of it. An
 * integer has 64 bits and is written in one way only: " 1", "+1" and "01" are none. A float is a
 * long double, and is written with up to 17 digits behind the point and no exponent: 0.1 + 0.2 is
 * 0.3 then.
 *
 * Cost: a read and a write under the key's lock. Rejected: a merge operand, which would need no
 * read here, for the reply is the sum, and what cannot be added must be told at once.
 */
#include <serve/resp/access.h>
#include <serve/resp/key_commands.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "-9223372036854775808". */
#define INTEGER_BYTES 21u
/* The longest text that is read as a float, and that one is written as: 4,933 digits and 17. */
#define FLOAT_BYTES 5120u

/* Ends an update by a new text, the key's time being kept. */
static bool put_text(struct resp_call *call, struct resp_update *update, const char *text,
                     size_t byte_count, enum resp_outcome *ret_outcome)
{
    enum quarry_status status =
        resp_update_put(call, update, resp_slice(text, byte_count), update->value.expires_ms);

    if (!resp_update_end(call, update, status, ret_outcome)) {
        return false;
    }
    keyspace_value_release(&update->value);
    return true;
}

static size_t write_integer(int64_t number, char room[INTEGER_BYTES])
{
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    char digits[INTEGER_BYTES];
    size_t count = 0, sign_bytes = number < 0;

    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    room[0] = '-';
    for (size_t i = 0; i < count; i++) {
        room[sign_bytes + i] = digits[count - 1 - i];
    }
    return sign_bytes + count;
}

static enum resp_outcome add(struct resp_call *call, int64_t more)
{
    struct resp_update update;
    enum resp_outcome outcome;
    int64_t number = 0;
    char text[INTEGER_BYTES];

    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (update.is_there && !resp_read_integer(resp_value_slice(&update.value), &number)) {
        resp_say_not_an_integer(call->reply);
        return resp_update_leave(call, &update);
    }
    if (!checked_add_i64(number, more, &number)) {
        resp_say_error(call->reply, "ERR increment or decrement would overflow");
        return resp_update_leave(call, &update);
    }
    if (put_text(call, &update, text, write_integer(number, text), &outcome)) {
        resp_say_integer(call->reply, number);
    }
    return outcome;
}

enum resp_outcome resp_incr(struct resp_call *call)
{
    return add(call, 1);
}

enum resp_outcome resp_decr(struct resp_call *call)
{
    return add(call, -1);
}

enum resp_outcome resp_incrby(struct resp_call *call)
{
    int64_t more;

    if (!resp_read_integer(call->words[2], &more)) {
        resp_say_not_an_integer(call->reply);
        return RESP_ANSWERED;
    }
    return add(call, more);
}

enum resp_outcome resp_decrby(struct resp_call *call)
{
    int64_t less;

    if (!resp_read_integer(call->words[2], &less)) {
        resp_say_not_an_integer(call->reply);
        return RESP_ANSWERED;
    }
    if (less == INT64_MIN) {
        resp_say_error(call->reply, "ERR decrement would overflow");
        return RESP_ANSWERED;
    }
    return add(call, -less);
}

/* ---- floats --------------------------------------------------------------------------------- */

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Whether a text is a float, in any form of strtold's but with blanks, and no NaN. */
static bool read_float(struct quarry_kv_slice word, long double *ret_number)
{
    char text[FLOAT_BYTES], *end;

    if (word.byte_count == 0 || word.byte_count >= sizeof(text)) {
        return false;
    }
    memcpy(text, word.bytes, word.byte_count);
    text[word.byte_count] = '\0';
    errno = 0;
    long double number = strtold(text, &end);
    bool is_out_of_range = errno == ERANGE && (isinf(number) || number == 0);
    if (is_space(text[0]) || end != text + word.byte_count || is_out_of_range || isnan(number)) {
        return false;
    }
    *ret_number = number;
    return true;
}

/* A finite number without an exponent, and without zeros at its end. Returns: its bytes. */
static size_t write_float(long double number, char room[FLOAT_BYTES])
{
    int printed = snprintf(room, FLOAT_BYTES, "%.17Lf", number);

    Q_ASSERT(printed > 0 && (size_t)printed < FLOAT_BYTES);
    size_t count = (size_t)printed;
    while (room[count - 1] == '0') {
        count--;
    }
    count -= room[count - 1] == '.';
    if (count == 2 && room[0] == '-' && room[1] == '0') {
        room[0] = '0';
        count = 1;
    }
    return count;
}

/* The sum of what a key has and a word. False: an error was said. */
static bool add_floats(struct resp_call *call, const struct resp_update *update,
                       long double *ret_sum)
{
    long double number = 0, more;

    if ((update->is_there && !read_float(resp_value_slice(&update->value), &number)) ||
        !read_float(call->words[2], &more)) {
        resp_say_error(call->reply, "ERR value is not a valid float");
        return false;
    }
    *ret_sum = number + more;
    if (!isfinite(*ret_sum)) {
        resp_say_error(call->reply, "ERR increment would produce NaN or Infinity");
        return false;
    }
    return true;
}

enum resp_outcome resp_incrbyfloat(struct resp_call *call)
{
    struct resp_update update;
    enum resp_outcome outcome;
    long double sum;
    char text[FLOAT_BYTES];

    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (!add_floats(call, &update, &sum)) {
        return resp_update_leave(call, &update);
    }
    size_t byte_count = write_float(sum, text);
    if (put_text(call, &update, text, byte_count, &outcome)) {
        resp_say_bulk(call->reply, text, byte_count);
    }
    return outcome;
}
