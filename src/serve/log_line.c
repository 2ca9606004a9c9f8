/*
 * Lines of the log as text.
 *
 *   logfmt  time=… level=info msg="ready" seconds=0.012
 *   json    {"time":"…","level":"info","msg":"ready","seconds":0.012}
 *   human   20:10:00.123 ready  seconds 0.012 s        with colours, and the level where it matters
 *
 * What comes from outside (addresses, names, messages of libraries) can hold anything: it is
 * escaped so that it cannot begin a line, close a quote, or reach a terminal as a control sequence.
 * Bytes that are no UTF-8 become U+FFFD in JSON and \xNN elsewhere.
 *
 * Invariant: a line ends in exactly one newline, also when it was cut; one that was cut is still
 * one JSON object: room for its end is kept back.
 *
 * Locking: none. Memory: the caller's.
 */
#include <serve/log_line.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Kept back for the end: a quote, a brace, an end of colour, a newline. */
#define END_BYTES 16

struct text {
    char *bytes;
    size_t length, capacity;
};

static const char *const level_names[] = {"debug", "info", "warning", "error"};
/* As syslog's: debug 7, info 6, warning 4, error 3. */
static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>"};
static const char *const colours[] = {"\033[2m", "", "\033[33m", "\033[31m"};
#define COLOUR_NAME "\033[36m"
#define COLOUR_END  "\033[0m"

/* ---- putting text together ------------------------------------------------------------------ */

/* All or nothing, so that no escape is cut in two. */
static void put(struct text *text, const char *more, size_t length)
{
    if (length <= text->capacity - text->length) {
        memcpy(text->bytes + text->length, more, length);
        text->length += length;
    }
}

static void put_string(struct text *text, const char *more)
{
    put(text, more, strlen(more));
}

Q_PRINTF(2, 3)
static void put_format(struct text *text, const char *format, ...)
{
    char more[96];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(more, sizeof more, format, arguments);
    va_end(arguments);
    put(text, more, length < 0 ? 0 : size_min((size_t)length, sizeof more - 1));
}

/* How many bytes the character of UTF-8 at `at` has; 0: it is none. */
static size_t utf8_length(const char *at)
{
    unsigned char first = (unsigned char)*at;
    size_t length = first < 0x80                    ? 1
                    : first >= 0xc2 && first < 0xe0 ? 2
                    : first >= 0xe0 && first < 0xf0 ? 3
                    : first >= 0xf0 && first < 0xf5 ? 4
                                                    : 0;

    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

static void put_escaped(struct text *text, const char *more, bool is_json)
{
    while (*more != '\0') {
        size_t length = utf8_length(more);
        if (length == 0) {
            is_json ? put_string(text, "\\ufffd")
                    : put_format(text, "\\x%02x", (unsigned)(unsigned char)*more);
            more++;
        } else if (*more == '"' || *more == '\\') {
            put_format(text, "\\%c", *more++);
        } else if (*more == '\n') {
            put_string(text, "\\n");
            more++;
        } else if ((unsigned char)*more < ' ' || *more == 0x7f) {
            put_format(text, is_json ? "\\u%04x" : "\\x%02x", (unsigned)(unsigned char)*more++);
        } else {
            put(text, more, length);
            more += length;
        }
    }
}

static bool needs_quotes(const char *value)
{
    if (*value == '\0') {
        return true;
    }
    for (; *value != '\0'; value++) {
        if (*value <= ' ' || *value == '"' || *value == '=' || *value == '\\' || *value == 0x7f) {
            return true; /* also each byte above 0x7f, where char is signed */
        }
    }
    return false;
}

/* Room for the quote at the end is kept back: what was opened is closed. */
static void put_value(struct text *text, const char *value, bool is_json)
{
    if (!is_json && !needs_quotes(value)) {
        put_escaped(text, value, is_json);
    } else if (text->capacity - text->length >= 2) {
        put_string(text, "\"");
        text->capacity--;
        put_escaped(text, value, is_json);
        text->capacity++;
        put_string(text, "\"");
    }
}

/* ---- parts of a line ------------------------------------------------------------------------ */

static void put_seconds(struct text *text, uint64_t ns)
{
    uint64_t us = ns / Q_US_NS;

    put_format(text, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
}

static void put_time(struct text *text, uint64_t wall_ns, bool is_human)
{
    time_t seconds = (time_t)(wall_ns / Q_SECOND_NS);
    unsigned ms = (unsigned)(wall_ns % Q_SECOND_NS / Q_MS_NS);
    struct tm tm;
    char day[40];

    if (is_human) {
        (void)localtime_r(&seconds, &tm);
        (void)strftime(day, sizeof day, "%H:%M:%S", &tm);
        put_format(text, "%s.%03u", day, ms);
    } else {
        (void)gmtime_r(&seconds, &tm);
        (void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
        put_format(text, "%s.%03uZ", day, ms);
    }
}

static void put_field_value(struct text *text, const struct serve_log_field *field,
                            enum serve_log_format format)
{
    char size[SIZE_TEXT_BYTES];
    bool is_human = format == SERVE_LOG_HUMAN;

    switch (field->kind) {
    case SERVE_LOG_TEXT:
        put_value(text, field->text != NULL ? field->text : "", format == SERVE_LOG_JSON);
        return;
    case SERVE_LOG_COUNT:
        put_format(text, "%" PRIu64, field->number);
        return;
    case SERVE_LOG_BYTES:
        is_human ? put_string(text, size_format(field->number, size))
                 : put_format(text, "%" PRIu64, field->number);
        return;
    case SERVE_LOG_SECONDS:
        put_seconds(text, field->number);
        put_string(text, is_human ? " s" : "");
        return;
    }
    Q_UNREACHABLE();
}

/* ---- the three forms ------------------------------------------------------------------------ */

static void put_logfmt_field(struct text *text, const struct serve_log_field *field)
{
    put_format(text, " %s=", field->name);
    put_field_value(text, field, SERVE_LOG_LOGFMT);
}

static void put_logfmt(struct text *text, const struct serve_log_line *line)
{
    if (!line->has_priority) {
        put_string(text, "time=");
        put_time(text, line->wall_ns, false);
        put_string(text, " ");
    }
    put_format(text, "level=%s msg=", level_names[line->level]);
    put_value(text, line->message, false);
}

/* A field that does not fit is left out: an object stays an object. */
static void put_json_field(struct text *text, const struct serve_log_field *field)
{
    size_t before = text->length;

    put_format(text, ",\"%s\":", field->name);
    size_t value = text->length;
    put_field_value(text, field, SERVE_LOG_JSON);
    if (value == before || value == text->length) {
        text->length = before;
    }
}

static void put_json(struct text *text, const struct serve_log_line *line)
{
    put_string(text, "{");
    if (!line->has_priority) {
        put_string(text, "\"time\":\"");
        put_time(text, line->wall_ns, false);
        put_string(text, "\",");
    }
    put_format(text, "\"level\":\"%s\",\"msg\":", level_names[line->level]);
    put_value(text, line->message, true);
}

static void put_human_field(struct text *text, const struct serve_log_field *field,
                            bool has_colours)
{
    put_format(text, "  %s%s%s ", has_colours ? COLOUR_NAME : "", field->name,
               has_colours ? COLOUR_END : "");
    put_field_value(text, field, SERVE_LOG_HUMAN);
}

static void put_human(struct text *text, const struct serve_log_line *line)
{
    if (!line->has_priority) {
        put_time(text, line->wall_ns, true);
        put_string(text, " ");
    }
    if (line->has_colours) {
        put_string(text, colours[line->level]);
    }
    if (line->level != SERVE_LOG_INFO) {
        put_format(text, "%s: ", level_names[line->level]);
    }
    put_escaped(text, line->message, false);
    put_string(text, line->has_colours && colours[line->level][0] != '\0' ? COLOUR_END : "");
}

static void put_field(struct text *text, const struct serve_log_line *line,
                      const struct serve_log_field *field)
{
    switch (line->format) {
    case SERVE_LOG_LOGFMT:
        put_logfmt_field(text, field);
        return;
    case SERVE_LOG_JSON:
        put_json_field(text, field);
        return;
    case SERVE_LOG_HUMAN:
        put_human_field(text, field, line->has_colours);
        return;
    case SERVE_LOG_AUTO:
        break;
    }
    Q_UNREACHABLE();
}

size_t serve_log_line_format(const struct serve_log_line *line, char ret_text[SERVE_LOG_LINE_BYTES])
{
    struct text text = {.bytes = ret_text, .capacity = SERVE_LOG_LINE_BYTES - END_BYTES};
    const struct serve_log_field left_out = serve_log_count("left_out", line->left_out_count);

    Q_ASSERT(line->format != SERVE_LOG_AUTO && line->level <= SERVE_LOG_ERROR);
    put_string(&text, line->has_priority ? priorities[line->level] : "");
    if (line->format == SERVE_LOG_LOGFMT) {
        put_logfmt(&text, line);
    } else if (line->format == SERVE_LOG_JSON) {
        put_json(&text, line);
    } else {
        put_human(&text, line);
    }
    if (line->left_out_count > 0) {
        put_field(&text, line, &left_out);
    }
    for (const struct serve_log_field *field = line->fields; field->name != NULL; field++) {
        put_field(&text, line, field);
    }
    text.capacity = SERVE_LOG_LINE_BYTES;
    put_string(&text, line->format == SERVE_LOG_JSON ? "}\n" : "\n");
    Q_ASSERT(text.length <= SERVE_LOG_LINE_BYTES && ret_text[text.length - 1] == '\n');
    return text.length;
}
