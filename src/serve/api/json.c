/*
 * JSON as Prometheus' API writes it.
 *
 * Doubles are strings, as JSON's numbers have no NaN; times are numbers of seconds with no digit
 * behind the point, or three. What would mean something in a page of HTML or in JavaScript is
 * escaped, as Go's encoder does: <, >, &, U+2028, U+2029.
 */
#include <serve/api/json.h>

#include <string.h>

#include <promql/promql.h>
#include <tsdb/tsdb.h>

/* A sign, seconds, a point, three digits. */
#define TIME_BYTES_MAX (PROMQL_WHOLE_BYTES_MAX + 5)
#define REPLACEMENT    "\\ufffd"

/* How many bytes a whole character has at `at`; 0: it is none. */
static size_t character_bytes(const char *at, size_t left)
{
    const size_t most = left < 4 ? left : 4;

    for (size_t count = 2; count <= most; count++) {
        if (tsdb_utf8_is_valid((struct tsdb_slice){at, count})) {
            return count;
        }
    }
    return 0;
}

static void put_escaped(struct http_text *text, unsigned char byte)
{
    switch (byte) {
    case '"':
        http_text_say(text, "\\\"");
        break;
    case '\\':
        http_text_say(text, "\\\\");
        break;
    case '\n':
        http_text_say(text, "\\n");
        break;
    case '\r':
        http_text_say(text, "\\r");
        break;
    case '\t':
        http_text_say(text, "\\t");
        break;
    default:
        http_text_format(text, "\\u%04x", byte);
        break;
    }
}

/* Whether a byte stands for itself. */
static bool is_plain(char byte)
{
    return (unsigned char)byte >= ' ' && (unsigned char)byte < 0x80 &&
           strchr("\"\\<>&", byte) == NULL;
}

/* A character of several bytes; or a byte that is of none. Returns: how many were taken. */
static size_t put_character(struct http_text *text, const char *at, size_t left)
{
    const size_t count = character_bytes(at, left);

    if (count == 0) {
        http_text_say(text, REPLACEMENT);
        return 1;
    }
    if (count == 3 && memcmp(at, "\xe2\x80", 2) == 0 && (at[2] == '\xa8' || at[2] == '\xa9')) {
        http_text_say(text, at[2] == '\xa8' ? "\\u2028" : "\\u2029");
    } else {
        http_text_add(text, at, count);
    }
    return count;
}

void api_put_string(struct http_text *text, struct quarry_tsdb_slice string)
{
    http_text_add(text, "\"", 1);
    for (size_t i = 0; i < string.count;) {
        size_t run = 0;
        while (i + run < string.count && is_plain(string.bytes[i + run])) {
            run++;
        }
        http_text_add(text, string.bytes + i, run);
        i += run;
        if (i == string.count) {
            break;
        }
        if ((unsigned char)string.bytes[i] < 0x80) {
            put_escaped(text, (unsigned char)string.bytes[i++]);
            continue;
        }
        i += put_character(text, string.bytes + i, string.count - i);
    }
    http_text_add(text, "\"", 1);
}

void api_put_words(struct http_text *text, const char *words)
{
    api_put_string(text, (struct quarry_tsdb_slice){words, strlen(words)});
}

void api_put_value(struct http_text *text, double value)
{
    char *room = http_text_room(text, PROMQL_NUMBER_BYTES_MAX + 2);

    if (room != NULL) {
        room[0] = '"';
        const size_t count = promql_number_write(value, PROMQL_NUMBER_JSON, room + 1);
        room[count + 1] = '"';
        text->count += count + 2;
    }
}

void api_put_time(struct http_text *text, int64_t t_ms)
{
    const uint64_t size_ms = t_ms < 0 ? -(uint64_t)t_ms : (uint64_t)t_ms;
    const uint64_t rest_ms = size_ms % 1000;
    char *room = http_text_room(text, TIME_BYTES_MAX), *at = room;

    if (room == NULL) {
        return;
    }
    if (t_ms < 0) {
        *at++ = '-';
    }
    at += promql_number_write_whole(size_ms / 1000, at);
    if (rest_ms != 0) {
        at += promql_number_write_whole(1000 + rest_ms, at);
        at[-4] = '.'; /* in place of the thousand */
    }
    text->count += (size_t)(at - room);
}

void api_put_labels(struct http_text *text, const struct quarry_tsdb_label *labels, size_t count)
{
    http_text_add(text, "{", 1);
    for (size_t i = 0; i < count; i++) {
        http_text_add(text, ",", i > 0);
        api_put_string(text, labels[i].name);
        http_text_add(text, ":", 1);
        api_put_string(text, labels[i].value);
    }
    http_text_add(text, "}", 1);
}

void api_put_plain_value(struct http_text *text, double value)
{
    char room[PROMQL_NUMBER_BYTES_MAX];

    http_text_add(text, "\"", 1);
    http_text_add(text, room, promql_number_write(value, PROMQL_NUMBER_PLAIN, room));
    http_text_add(text, "\"", 1);
}

void api_put_plain_time(struct http_text *text, int64_t t_ms)
{
    api_put_time(text, t_ms);
    if (t_ms % 1000 != 0 && !text->is_failed) {
        while (text->bytes[text->count - 1] == '0') {
            text->count--;
        }
    }
}
