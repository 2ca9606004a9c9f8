/*
 * Selectors of series, read by hand.
 *
 *     selector   name | name? '{' (matcher (',' matcher)* ','?)? '}'
 *     matcher    label ('=' | '!=' | '=~' | '!~') string | string
 *     label      word | string                  a lone string is a metric name: {"my.metric"}
 *     string     '"' … '"' | "'" … "'" with Go's escapes | '`' … '`' without
 *
 * Blanks and comments, from '#' to the end of a line, may stand between all of these. What is
 * written is at least as long as what it means, so the caller's room is never short.
 *
 * Locking: none.
 */
#include <serve/prometheus/selector.h>

struct reader {
    const char *begin, *at, *end;
    char *room; /* where the next unescaped text goes */
    struct selector *selector;
    struct quarry_error *error;
};

static enum quarry_status wrong(const struct reader *reader, const char *what)
{
    return error_set(reader->error, QUARRY_BAD_INPUT, "selector: byte %zu: %s",
                     (size_t)(reader->at - reader->begin) + 1, what);
}

/* ---- words ---------------------------------------------------------------------------------- */

static void skip_blanks(struct reader *reader)
{
    while (reader->at < reader->end) {
        char byte = *reader->at;
        if (byte == '#') {
            const char *line = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
            reader->at = line == NULL ? reader->end : line;
        } else if (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') {
            reader->at++;
        } else {
            return;
        }
    }
}

static bool take(struct reader *reader, char byte)
{
    skip_blanks(reader);
    if (reader->at == reader->end || *reader->at != byte) {
        return false;
    }
    reader->at++;
    return true;
}

static bool is_word_byte(char byte, bool is_first, bool takes_colons)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' ||
           (takes_colons && byte == ':') || (!is_first && byte >= '0' && byte <= '9');
}

/* Returns: of no bytes: there is no word here. */
static struct tsdb_slice take_word(struct reader *reader, bool takes_colons)
{
    skip_blanks(reader);
    const char *begin = reader->at;
    while (reader->at < reader->end &&
           is_word_byte(*reader->at, reader->at == begin, takes_colons)) {
        reader->at++;
    }
    return (struct tsdb_slice){begin, (size_t)(reader->at - begin)};
}

/* ---- strings -------------------------------------------------------------------------------- */

static int digit_of(char byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : 99;
}

/* So many digits of a number. False: they are none. */
static bool take_digits(struct reader *reader, int base, int count, uint32_t *ret_value)
{
    uint32_t value = 0;

    for (int i = 0; i < count; i++) {
        if (reader->at == reader->end || digit_of(*reader->at) >= base) {
            return false;
        }
        value = value * (uint32_t)base + (uint32_t)digit_of(*reader->at++);
    }
    *ret_value = value;
    return true;
}

static bool put_rune(struct reader *reader, uint32_t rune)
{
    if (rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000)) {
        return false;
    }
    if (rune < 0x80) {
        *reader->room++ = (char)rune;
        return true;
    }
    if (rune < 0x800) {
        *reader->room++ = (char)(0xc0 | rune >> 6);
    } else {
        if (rune < 0x10000) {
            *reader->room++ = (char)(0xe0 | rune >> 12);
        } else {
            *reader->room++ = (char)(0xf0 | rune >> 18);
            *reader->room++ = (char)(0x80 | (rune >> 12 & 0x3f));
        }
        *reader->room++ = (char)(0x80 | (rune >> 6 & 0x3f));
    }
    *reader->room++ = (char)(0x80 | (rune & 0x3f));
    return true;
}

static bool put_byte(struct reader *reader, uint32_t value)
{
    *reader->room++ = (char)value;
    return value < 256;
}

/* What stands behind a backslash. */
static bool take_escape(struct reader *reader, char quote)
{
    static const char names[] = "abfnrtv\\", bytes[] = "\a\b\f\n\r\t\v\\";
    uint32_t value = 0;

    if (reader->at == reader->end) {
        return false;
    }
    char kind = *reader->at++;
    const char *plain = kind != '\0' ? strchr(names, kind) : NULL;
    if (plain != NULL || kind == quote) {
        *reader->room++ = plain != NULL ? bytes[plain - names] : kind;
        return true;
    }
    switch (kind) {
    case 'x':
        return take_digits(reader, 16, 2, &value) && put_byte(reader, value);
    case 'u':
        return take_digits(reader, 16, 4, &value) && put_rune(reader, value);
    case 'U':
        return take_digits(reader, 16, 8, &value) && put_rune(reader, value);
    default:
        reader->at--;
        return take_digits(reader, 8, 3, &value) && put_byte(reader, value);
    }
}

static bool is_quote(char byte)
{
    return byte == '"' || byte == '\'' || byte == '`';
}

static bool next_is_string(struct reader *reader)
{
    skip_blanks(reader);
    return reader->at < reader->end && is_quote(*reader->at);
}

/* The caller has seen its quote. */
static enum quarry_status take_string(struct reader *reader, struct tsdb_slice *ret_text)
{
    char quote = *reader->at++;
    char *begin = reader->room;

    while (reader->at < reader->end && *reader->at != quote) {
        if (*reader->at == '\n' && quote != '`') {
            return wrong(reader, "a line ends within a string");
        }
        if (*reader->at == '\\' && quote != '`') {
            reader->at++;
            if (!take_escape(reader, quote)) {
                return wrong(reader, "this is no escape");
            }
        } else {
            *reader->room++ = *reader->at++;
        }
    }
    if (reader->at == reader->end) {
        return wrong(reader, "a string has no end");
    }
    reader->at++;
    *ret_text = (struct tsdb_slice){begin, (size_t)(reader->room - begin)};
    return tsdb_utf8_is_valid(*ret_text) ? QUARRY_OK : wrong(reader, "a string is not UTF-8");
}

/* ---- matchers ------------------------------------------------------------------------------- */

static enum quarry_status add(struct reader *reader, enum quarry_tsdb_match match,
                              struct tsdb_slice name, struct tsdb_slice value)
{
    struct selector *selector = reader->selector;

    if (selector->matcher_count == SELECTOR_MATCHERS_MAX) {
        return error_set(reader->error, QUARRY_TOO_MANY, "selector: more than %u matchers",
                         SELECTOR_MATCHERS_MAX);
    }
    selector->matchers[selector->matcher_count++] =
        (struct quarry_tsdb_matcher){.match = match, .name = name, .value = value};
    return QUARRY_OK;
}

/* Returns: false: no relation stands here. */
static bool take_relation(struct reader *reader, enum quarry_tsdb_match *ret_match)
{
    static const struct {
        char text[3];
        enum quarry_tsdb_match match;
    } relations[] = {
        {"=~", QUARRY_TSDB_REGEX},
        {"!~", QUARRY_TSDB_NOT_REGEX},
        {"!=", QUARRY_TSDB_NOT_EQUAL},
        {"=", QUARRY_TSDB_EQUAL},
    };

    skip_blanks(reader);
    for (size_t i = 0; i < sizeof relations / sizeof relations[0]; i++) {
        size_t count = strlen(relations[i].text);
        if (count <= (size_t)(reader->end - reader->at) &&
            memcmp(reader->at, relations[i].text, count) == 0) {
            reader->at += count;
            *ret_match = relations[i].match;
            return true;
        }
    }
    return false;
}

static bool next_is_end(struct reader *reader)
{
    skip_blanks(reader);
    return reader->at < reader->end && (*reader->at == ',' || *reader->at == '}');
}

static enum quarry_status take_matcher(struct reader *reader)
{
    static const struct tsdb_slice metric_name = QUARRY_TSDB_TEXT(TSDB_METRIC_NAME);
    struct tsdb_slice name, value;
    enum quarry_tsdb_match match;
    enum quarry_status status = QUARRY_OK;

    if (next_is_string(reader)) {
        status = take_string(reader, &name);
        if (status != QUARRY_OK || next_is_end(reader)) {
            return status != QUARRY_OK ? status : add(reader, QUARRY_TSDB_EQUAL, metric_name, name);
        }
    } else {
        name = take_word(reader, false);
    }
    if (name.count == 0) {
        return wrong(reader, "the name of a label is wanted");
    }
    if (!take_relation(reader, &match)) {
        return wrong(reader, "'=', '!=', '=~' or '!~' is wanted");
    }
    if (!next_is_string(reader)) {
        return wrong(reader, "a string is wanted");
    }
    status = take_string(reader, &value);
    return status == QUARRY_OK ? add(reader, match, name, value) : status;
}

static enum quarry_status take_matchers(struct reader *reader)
{
    while (!take(reader, '}')) {
        enum quarry_status status = take_matcher(reader);
        if (status != QUARRY_OK) {
            return status;
        }
        if (!take(reader, ',') && !next_is_end(reader)) {
            return wrong(reader, "',' or '}' is wanted");
        }
    }
    return QUARRY_OK;
}

enum quarry_status selector_read(struct tsdb_slice text, char *room, struct selector *ret_selector,
                                 struct quarry_error *error)
{
    static const struct tsdb_slice metric_name = QUARRY_TSDB_TEXT(TSDB_METRIC_NAME);
    struct reader reader = {.begin = text.bytes,
                            .at = text.bytes,
                            .end = text.bytes + text.count,
                            .room = room,
                            .selector = ret_selector,
                            .error = error};
    enum quarry_status status = QUARRY_OK;

    ret_selector->matcher_count = 0;
    struct tsdb_slice name = take_word(&reader, true);
    if (name.count > 0) {
        status = add(&reader, QUARRY_TSDB_EQUAL, metric_name, name);
    }
    bool has_braces = take(&reader, '{');
    if (!has_braces && name.count == 0) {
        return wrong(&reader, "a metric name or '{' is wanted");
    }
    if (status == QUARRY_OK && has_braces) {
        status = take_matchers(&reader);
    }
    skip_blanks(&reader);
    return status == QUARRY_OK && reader.at != reader.end ? wrong(&reader, "nothing is wanted here")
                                                          : status;
}
