/*
 * Descriptions of series, read by hand: what follows the labels is a little language of its own,
 * in which blanks part values.
 *
 *     series    = [name] [ "{" labels "}" ] { blank value }
 *     value     = "_" ["x" n]                        n values are missing
 *               | number ["x" n]                     n + 1 of them
 *               | number ("+" | "-") number "x" n    n + 1, each so much more
 *               | "stale" ["x" n]
 *               | histogram ["x" n | ("+" | "-") histogram "x" n]
 *     histogram = "{{" { key ":" (number | word | "[" numbers "]") } "}}"
 *
 * Labels are the expressions' lexer's.
 */
#include <promql/series_reader.h>

#include "grammar.h"

#include <promql/text.h>

#include <stdlib.h>
#include <string.h>

char series_peek(const struct series_reader *reader)
{
    return reader->parser.lexer.text[reader->parser.lexer.position];
}

bool series_accept(struct series_reader *reader, char character)
{
    if (series_peek(reader) != character || character == '\0') {
        return false;
    }
    reader->parser.lexer.position++;
    return true;
}

bool series_skip_blanks(struct series_reader *reader)
{
    const uint32_t begin = reader->parser.lexer.position;

    while (series_accept(reader, ' ') || series_accept(reader, '\t')) {
    }
    return reader->parser.lexer.position > begin;
}

bool series_refuse(struct series_reader *reader, const char *expected)
{
    struct promql_lexer *lexer = &reader->parser.lexer;
    struct promql_quoted room;
    const char *found =
        lexer->position >= lexer->count
            ? "end of input"
            : promql_quote(&room, (struct quarry_tsdb_slice){.bytes = lexer->text + lexer->position,
                                                             .count = 1});

    promql_fail(&reader->parser, (struct promql_range){lexer->position, lexer->count},
                "unexpected %s in series values, expected %s", found, expected);
    return false;
}

/* ---- labels --------------------------------------------------------------------------------- */

static bool is_word(int kind)
{
    return kind == T_IDENTIFIER || kind == T_METRIC_IDENTIFIER ||
           (kind >= T_AND && kind <= T_MAX_OF && kind != T_EQL_REGEX && kind != T_NEQ_REGEX);
}

static struct promql_links *add_label(struct promql_parser *parser, struct promql_links *links,
                                      struct quarry_tsdb_slice name, struct quarry_tsdb_slice value)
{
    const struct promql_link link = {.name = name, .matcher = {.value = value}};

    return name.bytes == NULL || value.bytes == NULL ? promql_fail_memory(parser)
                                                     : promql_links_add(parser, links, &link);
}

static struct quarry_tsdb_slice copy_text(struct promql_parser *parser, struct promql_token token)
{
    struct quarry_tsdb_slice text = promql_token_text(parser, token);

    if (token.kind == T_STRING) {
        return promql_unquote(parser->memory, text);
    }
    text.bytes = promql_memory_copy(parser->memory, text.bytes, text.count);
    return text;
}

static const struct quarry_tsdb_slice metric_name = QUARRY_TSDB_TEXT("__name__");

/* One label: name="value", or "name of the metric". The next token is read. Returns: its kind; -1:
 * the parser has failed. */
static int read_label(struct promql_parser *parser, struct promql_links *links)
{
    const struct promql_token name = parser->lexer.token;
    int next = promql_lex(parser);

    if (name.kind == T_STRING && next != T_EQL) {
        return add_label(parser, links, metric_name, copy_text(parser, name)) == NULL ? -1 : next;
    }
    if (next != T_EQL) {
        promql_unexpected(parser, "label set", "\"=\"");
        return -1;
    }
    if (promql_lex(parser) != T_STRING) {
        promql_unexpected(parser, "label set", "string");
        return -1;
    }
    const struct promql_token value = parser->lexer.token;
    if (add_label(parser, links, copy_text(parser, name), copy_text(parser, value)) == NULL) {
        return -1;
    }
    return promql_lex(parser);
}

/* What is between braces; the first is read. */
static bool read_label_list(struct promql_parser *parser, struct promql_links *links)
{
    int kind = promql_lex(parser);

    while (kind != T_RIGHT_BRACE) {
        if (kind != T_IDENTIFIER && kind != T_STRING) {
            promql_unexpected(parser, "label set", "identifier or \"}\"");
            return false;
        }
        kind = read_label(parser, links);
        if (kind < 0) {
            return false;
        }
        if (kind != T_COMMA && kind != T_RIGHT_BRACE) {
            promql_unexpected(parser, "label set", "\",\" or \"}\"");
            return false;
        }
        kind = kind == T_COMMA ? promql_lex(parser) : kind;
    }
    return !parser->has_failed;
}

static int compare_labels(const void *left, const void *right)
{
    const struct quarry_tsdb_slice a = ((const struct quarry_tsdb_label *)left)->name;
    const struct quarry_tsdb_slice b = ((const struct quarry_tsdb_label *)right)->name;
    int order = memcmp(a.bytes, b.bytes, a.count < b.count ? a.count : b.count);

    return order != 0 ? order : a.count < b.count ? -1 : a.count > b.count;
}

/* The labels of a list, sorted; those without a value are left out, as none at all. */
static bool put_labels(struct promql_parser *parser, const struct promql_links *links,
                       struct promql_series_description *series)
{
    struct quarry_tsdb_label *labels =
        promql_memory_take_zero(parser->memory, links->count, sizeof(*labels));
    size_t count = 0;

    if (labels == NULL) {
        promql_fail_memory(parser);
        return false;
    }
    for (const struct promql_link *link = links->first; link != NULL; link = link->next) {
        if (link->matcher.value.count > 0) {
            labels[count++] =
                (struct quarry_tsdb_label){.name = link->name, .value = link->matcher.value};
        }
    }
    if (count > 1) {
        qsort(labels, count, sizeof(labels[0]), compare_labels);
    }
    for (size_t i = 1; i < count; i++) {
        if (compare_labels(&labels[i - 1], &labels[i]) == 0) {
            struct promql_quoted room;
            promql_fail(parser, (struct promql_range){0, parser->lexer.position},
                        "label %s is set twice", promql_quote(&room, labels[i].name));
            return false;
        }
    }
    series->labels = labels;
    series->label_count = count;
    return true;
}

static bool read_labels(struct series_reader *reader, struct promql_series_description *series)
{
    struct promql_parser *parser = &reader->parser;
    struct promql_links *links = promql_links_none(parser);

    series_skip_blanks(reader);
    if (links == NULL) {
        return false;
    }
    if (series_peek(reader) != '{') {
        int kind = promql_lex(parser);
        if (!is_word(kind)) {
            promql_unexpected(parser, "", "");
            return false;
        }
        if (add_label(parser, links, metric_name, copy_text(parser, parser->lexer.token)) == NULL) {
            return false;
        }
    }
    if (series_peek(reader) == '{') {
        promql_lex(parser);
        if (!read_label_list(parser, links)) {
            return false;
        }
    }
    return put_labels(parser, links, series);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static bool is_digit(char character)
{
    return character >= '0' && character <= '9';
}

static uint32_t skip_digits(const char *text, uint32_t at)
{
    while (is_digit(text[at])) {
        at++;
    }
    return at;
}

/* Where a number without sign ends that begins at `at`: decimal, Inf, NaN. */
static uint32_t number_end(const char *text, uint32_t at)
{
    if (strncasecmp(text + at, "inf", 3) == 0 || strncasecmp(text + at, "nan", 3) == 0) {
        return at + 3;
    }
    uint32_t end = skip_digits(text, at);
    if (text[end] == '.') {
        end = skip_digits(text, end + 1);
    }
    if (end > at && (text[end] == 'e' || text[end] == 'E')) {
        uint32_t digits = end + 1 + (text[end + 1] == '+' || text[end + 1] == '-' ? 1 : 0);
        end = is_digit(text[digits]) ? skip_digits(text, digits) : end;
    }
    return end;
}

bool series_read_number(struct series_reader *reader, double *ret_value)
{
    struct promql_lexer *lexer = &reader->parser.lexer;
    const bool is_negative = series_peek(reader) == '-';
    const bool is_signed = series_accept(reader, '-') || series_accept(reader, '+');
    const uint32_t end = number_end(lexer->text, lexer->position);
    const struct quarry_tsdb_slice text = {.bytes = lexer->text + lexer->position,
                                           .count = end - lexer->position};

    (void)is_signed;
    if (text.count == 0 || !promql_read_number(text, ret_value)) {
        return series_refuse(reader, "number or \"stale\"");
    }
    *ret_value = is_negative ? -*ret_value : *ret_value;
    lexer->position = end;
    return true;
}

/* A count behind "x". */
bool series_read_count(struct series_reader *reader, uint32_t *ret_count)
{
    uint32_t count = 0;

    if (!is_digit(series_peek(reader))) {
        return series_refuse(reader, "a number of repetitions");
    }
    while (is_digit(series_peek(reader))) {
        count = count * 10 + (uint32_t)(series_peek(reader) - '0');
        if (count > PROMQL_SERIES_VALUES_MAX) {
            return series_refuse(reader, "fewer repetitions");
        }
        reader->parser.lexer.position++;
    }
    *ret_count = count;
    return true;
}

bool series_add_value(struct series_reader *reader, const struct promql_series_value *value)
{
    if (reader->count == PROMQL_SERIES_VALUES_MAX) {
        return series_refuse(reader, "fewer values");
    }
    if (reader->count == reader->capacity) {
        const size_t capacity = reader->capacity == 0 ? 16 : reader->capacity * 2;
        struct promql_series_value *values =
            promql_memory_take(reader->parser.memory, capacity * sizeof(*values));

        if (values == NULL) {
            promql_fail_memory(&reader->parser);
            return false;
        }
        if (reader->count > 0) {
            memcpy(values, reader->values, reader->count * sizeof(*values));
        }
        reader->values = values;
        reader->capacity = capacity;
    }
    reader->values[reader->count++] = *value;
    return true;
}

static bool add_values(struct series_reader *reader, const struct promql_series_value *value,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!series_add_value(reader, value)) {
            return false;
        }
    }
    return true;
}

struct promql_series_value series_value_of(double number)
{
    struct promql_series_value value = {0};

    memcpy(&value.bits, &number, sizeof(value.bits));
    return value;
}

static bool read_omitted(struct series_reader *reader)
{
    const struct promql_series_value value = {.is_omitted = true};
    uint32_t count = 1;

    return (!series_accept(reader, 'x') || series_read_count(reader, &count)) &&
           add_values(reader, &value, count);
}

/* The same value once, or as often as is said. */
bool series_repeat(struct series_reader *reader, const struct promql_series_value *value)
{
    uint32_t count = 0;

    return (!series_accept(reader, 'x') || series_read_count(reader, &count)) &&
           add_values(reader, value, count + 1);
}

static bool read_floats(struct series_reader *reader)
{
    double number, step;
    uint32_t count;

    if (!series_read_number(reader, &number)) {
        return false;
    }
    if (series_peek(reader) != '+' && series_peek(reader) != '-') {
        const struct promql_series_value value = series_value_of(number);
        return series_repeat(reader, &value);
    }
    if (!series_read_number(reader, &step)) {
        return false;
    }
    if (!series_accept(reader, 'x')) {
        return series_refuse(reader, "\"x\"");
    }
    if (!series_read_count(reader, &count)) {
        return false;
    }
    for (uint32_t i = 0; i <= count; i++, number += step) {
        const struct promql_series_value value = series_value_of(number);
        if (!series_add_value(reader, &value)) {
            return false;
        }
    }
    return true;
}

/* ---- values --------------------------------------------------------------------------------- */

static bool read_value(struct series_reader *reader)
{
    const struct promql_series_value stale = {.bits = QUARRY_TSDB_STALE_BITS};
    struct promql_lexer *lexer = &reader->parser.lexer;
    const char *text = lexer->text + lexer->position;

    if (series_accept(reader, '_')) {
        return read_omitted(reader);
    }
    if (strncmp(text, "{{", 2) == 0) {
        return series_read_histograms(reader);
    }
    if (strncmp(text, "stale", 5) == 0) {
        lexer->position += 5;
        return series_repeat(reader, &stale);
    }
    return read_floats(reader);
}

static bool read_values(struct series_reader *reader)
{
    while (true) {
        const bool has_blanks = series_skip_blanks(reader);

        if (reader->parser.lexer.position >= reader->parser.lexer.count) {
            return true;
        }
        if (!has_blanks) {
            return series_refuse(reader, "a blank");
        }
        if (!read_value(reader)) {
            return false;
        }
    }
}

enum quarry_status promql_parse_series(struct promql_memory *memory, struct quarry_tsdb_slice text,
                                       struct promql_series_description *ret_series,
                                       struct promql_parse_error *error)
{
    static const struct promql_parse_options options = {.depth_max = 1};
    struct series_reader reader = {
        .parser = {.memory = memory, .options = &options, .error = error, .depth_max = 1}};
    struct promql_parser *parser = &reader.parser;
    struct promql_series_description series = {0};

    *error = (struct promql_parse_error){.text = ""};
    if (text.count > PROMQL_TEXT_BYTES_MAX) {
        promql_fail(parser, (struct promql_range){0, 0}, "series is too long");
        return QUARRY_TOO_LARGE;
    }
    parser->lexer.text = promql_memory_copy(memory, text.bytes, text.count);
    if (parser->lexer.text == NULL) {
        promql_fail_memory(parser);
        return parser->status;
    }
    parser->lexer.count = (uint32_t)text.count;
    if (!read_labels(&reader, &series) || !read_values(&reader)) {
        return parser->status;
    }
    series.values = reader.values;
    series.value_count = reader.count;
    *ret_series = series;
    return QUARRY_OK;
}
