/*
 * Reading requests.
 *
 *     bytes   | *3\r\n | $3\r\n | SET | \r\n | $1\r\n | k | \r\n | …
 *     cursor    ^count   ^bulk    ^ bulk_bytes, and two that are passed over
 *
 * Lengths are read up to a CR, and the byte behind it is passed over whatever it is; so are the two
 * behind a word. Redis does so, and a client that gets them wrong has the same luck here.
 *
 * Invariants:
 *   1. Nothing is read beyond byte_count, and a request is consumed whole or by pieces at which the
 *      cursor can go on: what is answered does not depend on where the bytes were split.
 *   2. A cursor never promises more than the limits allow: bulk_bytes and words_left are bounded.
 *   3. Cost is O(bytes of lengths): a word's own bytes are not looked at, but for a line's.
 *
 * Locking: none. Memory: the caller's.
 *
 * Rejected: a state machine that is fed a byte at a time, at some 3 instructions a byte of every
 * value.
 *
 * Source: redis-server 7.0's answers, and its documentation of the protocol.
 */
#include <serve/resp/parse.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <serve/resp/words.h>

/* A length that is right has a sign and 19 digits. */
#define LENGTH_TEXT_MAX 20u

Q_COLD static enum resp_parsed wrong(struct resp_parse_error *error, const char *text)
{
    (void)snprintf(error->text, sizeof error->text, "Protocol error: %s", text);
    return RESP_PARSED_WRONG;
}

/* ---- lengths -------------------------------------------------------------------------------- */

/*
 * Reads the number between the first byte and a CR. ALL: `ret_is_number` says whether it is one.
 * `too_big`: what is said when there is no CR in sight.
 */
static enum resp_parsed read_length(const char *bytes, size_t byte_count, const char *too_big,
                                    int64_t *ret_number, bool *ret_is_number, size_t *ret_taken,
                                    struct resp_parse_error *error)
{
    const char *end = memchr(bytes, '\r', byte_count);

    if (end == NULL) {
        return byte_count > RESP_LINE_BYTES_MAX ? wrong(error, too_big) : RESP_PARSED_MORE;
    }
    size_t length = (size_t)(end - bytes);
    if (length + 2 > byte_count) {
        return RESP_PARSED_MORE;
    }
    struct quarry_kv_slice digits = {bytes + 1, length == 0 ? 0 : length - 1};
    *ret_is_number = length <= LENGTH_TEXT_MAX + 1 && resp_read_integer(digits, ret_number);
    *ret_taken = length + 2;
    return RESP_PARSED_ALL;
}

enum resp_parsed resp_parse_count(struct resp_cursor *cursor, const char *bytes, size_t byte_count,
                                  const struct resp_parse_limits *limits, size_t *ret_taken,
                                  struct resp_parse_error *error)
{
    int64_t number = 0;
    bool is_number = false;

    enum resp_parsed parsed = read_length(bytes, byte_count, "too big mbulk count string", &number,
                                          &is_number, ret_taken, error);
    if (parsed != RESP_PARSED_ALL) {
        return parsed;
    }
    if (!is_number || number > (int64_t)RESP_WORDS_MAX) {
        return wrong(error, "invalid multibulk length");
    }
    if (number > (int64_t)RESP_STRANGER_WORDS_MAX && limits->is_stranger) {
        return wrong(error, "unauthenticated multibulk length");
    }
    if (number <= 0) {
        return RESP_PARSED_NONE;
    }
    *cursor = (struct resp_cursor){.words_left = (uint32_t)number}; /* invariant 2 */
    return RESP_PARSED_ALL;
}

/* What stands where a word should begin. */
Q_COLD static enum resp_parsed wrong_sign(struct resp_parse_error *error, char sign)
{
    (void)snprintf(error->text, sizeof error->text, "Protocol error: expected '$', got '%c'", sign);
    return RESP_PARSED_WRONG;
}

enum resp_parsed resp_parse_bulk(struct resp_cursor *cursor, const char *bytes, size_t byte_count,
                                 const struct resp_parse_limits *limits, size_t *ret_taken,
                                 struct resp_parse_error *error)
{
    int64_t number = 0;
    bool is_number = false;

    Q_DCHECK(cursor->words_left > 0 && !cursor->has_bulk);
    if (byte_count == 0) {
        return RESP_PARSED_MORE;
    }
    enum resp_parsed parsed = read_length(bytes, byte_count, "too big bulk count string", &number,
                                          &is_number, ret_taken, error);
    if (parsed != RESP_PARSED_ALL) {
        return parsed;
    }
    if (bytes[0] != '$') {
        return wrong_sign(error, bytes[0]);
    }
    if (!is_number || number < 0 || (uint64_t)number > limits->bulk_bytes_max) {
        return wrong(error, "invalid bulk length");
    }
    if ((uint64_t)number > RESP_STRANGER_BULK_MAX && limits->is_stranger) {
        return wrong(error, "unauthenticated bulk length");
    }
    cursor->has_bulk = true;
    cursor->bulk_bytes = (uint64_t)number; /* invariant 2 */
    return RESP_PARSED_ALL;
}

/* ---- whole requests ------------------------------------------------------------------------- */

/* A word of one or two digits of length, which nearly all are, whose bytes are all there. */
static inline size_t short_word(const char *at, size_t left, struct quarry_kv_slice *word)
{
    if (left < 8 || at[0] != '$') {
        return 0;
    }
    unsigned first = (unsigned)at[1] - '0', second = (unsigned)at[2] - '0';
    size_t length, header_bytes;

    if (first > 9) {
        return 0;
    }
    if (at[2] == '\r') {
        length = first;
        header_bytes = 4;
    } else if (first > 0 && second <= 9 && at[3] == '\r') {
        length = first * 10 + second;
        header_bytes = 5;
    } else {
        return 0;
    }
    if (header_bytes + length + 2 > left) {
        return 0;
    }
    *word = (struct quarry_kv_slice){at + header_bytes, length};
    return header_bytes + length + 2;
}

enum resp_parsed resp_parse_request(struct resp_cursor *cursor, const char *bytes,
                                    size_t byte_count, const struct resp_parse_limits *limits,
                                    struct quarry_kv_slice *words, uint32_t room,
                                    uint32_t *ret_count, size_t *ret_taken,
                                    struct resp_parse_error *error)
{
    size_t at = 0, taken = 0;
    uint32_t count = 0;
    enum resp_parsed parsed = RESP_PARSED_ALL;

    if (Q_LIKELY(byte_count >= 4 && bytes[2] == '\r' && bytes[1] >= '1' && bytes[1] <= '9')) {
        *cursor = (struct resp_cursor){.words_left = (uint32_t)(bytes[1] - '0')};
        at = 4;
    } else {
        parsed = resp_parse_count(cursor, bytes, byte_count, limits, &at, error);
    }
    while (parsed == RESP_PARSED_ALL && cursor->words_left > 0 && count < room) {
        taken = short_word(bytes + at, byte_count - at, &words[count]);
        if (Q_LIKELY(taken > 0)) {
            at += taken;
            cursor->words_left--;
            count++;
            continue;
        }
        parsed = resp_parse_bulk(cursor, bytes + at, byte_count - at, limits, &taken, error);
        if (parsed != RESP_PARSED_ALL) {
            break;
        }
        at += taken;
        if (cursor->bulk_bytes + 2 > byte_count - at) {
            parsed = RESP_PARSED_MORE;
            break;
        }
        words[count++] = (struct quarry_kv_slice){bytes + at, cursor->bulk_bytes};
        at += cursor->bulk_bytes + 2;
        cursor->has_bulk = false;
        cursor->words_left--;
    }
    *ret_count = count;
    *ret_taken = at;
    return parsed == RESP_PARSED_ALL && cursor->words_left > 0 ? RESP_PARSED_MORE : parsed;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static bool is_blank(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r') || byte == '\0';
}

static int hex_digit(char byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

static char plain_escape(char letter)
{
    switch (letter) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return letter;
    }
}

struct line {
    const char *at, *end;
    char *out;
};

/* Behind a backslash in double quotes. */
static void read_escape(struct line *line)
{
    if (line->end - line->at >= 3 && line->at[0] == 'x' && hex_digit(line->at[1]) >= 0 &&
        hex_digit(line->at[2]) >= 0) {
        *line->out++ = (char)(hex_digit(line->at[1]) * 16 + hex_digit(line->at[2]));
        line->at += 3;
    } else {
        *line->out++ = plain_escape(*line->at++);
    }
}

/* Behind an opening quote, up to behind the closing one, which ends the word. */
static bool read_quoted(struct line *line, char quote)
{
    while (line->at < line->end && *line->at != quote) {
        if (*line->at == '\\' && quote == '"' && line->end - line->at >= 2) {
            line->at++;
            read_escape(line);
        } else if (*line->at == '\\' && quote == '\'' && line->end - line->at >= 2 &&
                   line->at[1] == '\'') {
            *line->out++ = '\'';
            line->at += 2;
        } else {
            *line->out++ = *line->at++;
        }
    }
    if (line->at == line->end) {
        return false;
    }
    line->at++;
    return line->at == line->end || is_blank(*line->at);
}

/* A word, which may have a quoted part at its end. False: quotes do not match. */
static bool read_word(struct line *line)
{
    while (line->at < line->end && !is_blank(*line->at)) {
        char byte = *line->at++;
        if (byte == '"' || byte == '\'') {
            return read_quoted(line, byte);
        }
        *line->out++ = byte;
    }
    return true;
}

enum resp_parsed resp_parse_line(const char *bytes, size_t byte_count, char *room,
                                 struct quarry_kv_slice *words, uint32_t word_room,
                                 uint32_t *ret_count, size_t *ret_taken,
                                 struct resp_parse_error *error)
{
    const char *newline = memchr(bytes, '\n', byte_count);

    if (newline == NULL) {
        return byte_count > RESP_LINE_BYTES_MAX ? wrong(error, "too big inline request")
                                                : RESP_PARSED_MORE;
    }
    struct line line = {.at = bytes,
                        .end = newline > bytes && newline[-1] == '\r' ? newline - 1 : newline};
    uint32_t count = 0;

    if ((size_t)(line.end - line.at) > RESP_LINE_BYTES_MAX) {
        return wrong(error, "too big inline request");
    }
    for (line.out = room;;) {
        while (line.at < line.end && is_blank(*line.at)) {
            line.at++;
        }
        if (line.at == line.end) {
            break;
        }
        char *begin = line.out;
        if (count == word_room) {
            return wrong(error, "too big inline request");
        }
        if (!read_word(&line)) {
            return wrong(error, "unbalanced quotes in request");
        }
        words[count++] = (struct quarry_kv_slice){begin, (size_t)(line.out - begin)};
    }
    *ret_count = count;
    *ret_taken = (size_t)(newline + 1 - bytes);
    return count == 0 ? RESP_PARSED_NONE : RESP_PARSED_ALL;
}
