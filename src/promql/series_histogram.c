/*
 * Histograms in descriptions of series: {{schema:0 count:3 sum:5 buckets:[1 2]}}, and rows of them.
 */
#include <promql/series_reader.h>

#include <string.h>

static bool is_letter(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           character == '_';
}

enum key {
    KEY_SUM,
    KEY_COUNT,
    KEY_SCHEMA,
    KEY_OFFSET,
    KEY_N_OFFSET,
    KEY_BUCKETS,
    KEY_N_BUCKETS,
    KEY_Z_BUCKET,
    KEY_Z_BUCKET_W,
    KEY_CUSTOM_VALUES,
    KEY_HINT,
    KEY_NONE
};

/* A histogram being read. */
struct draft {
    struct promql_histogram *histogram;
    uint32_t seen; /* a bit for each key */
    int32_t offset, n_offset;
};

static bool is_key(const struct series_reader *reader, const char *name)
{
    const struct promql_lexer *lexer = &reader->parser.lexer;
    const size_t count = strlen(name);

    return strncasecmp(lexer->text + lexer->position, name, count) == 0 &&
           lexer->text[lexer->position + count] == ':';
}

static enum key read_key(struct series_reader *reader)
{
    static const char *const names[] = {
        "sum",       "count",    "schema",     "offset",        "n_offset",          "buckets",
        "n_buckets", "z_bucket", "z_bucket_w", "custom_values", "counter_reset_hint"};

    for (enum key key = KEY_SUM; key < KEY_NONE; key++) {
        if (is_key(reader, names[key])) {
            reader->parser.lexer.position += (uint32_t)strlen(names[key]) + 1;
            return key;
        }
    }
    series_refuse(reader, "histogram description key, e.g. buckets:[5 10 7]");
    return KEY_NONE;
}

static bool read_integer(struct series_reader *reader, int32_t *ret_value)
{
    double number;

    if (!series_read_number(reader, &number)) {
        return false;
    }
    if (!(number >= INT32_MIN && number <= INT32_MAX) || number != (double)(int32_t)number) {
        return series_refuse(reader, "a whole number of 32 bits");
    }
    *ret_value = (int32_t)number;
    return true;
}

static bool read_list(struct series_reader *reader, const double **ret_numbers, uint32_t *ret_count)
{
    const struct series_reader before = *reader;
    double *numbers = NULL;
    uint32_t count = 0;

    if (!series_accept(reader, '[')) {
        return series_refuse(reader, "\"[\"");
    }
    for (int pass = 0; pass < 2; pass++) { /* counts them, then puts them */
        reader->parser.lexer.position = before.parser.lexer.position + 1;
        count = 0;
        series_skip_blanks(reader);
        while (!series_accept(reader, ']')) {
            double number;
            if (!series_read_number(reader, &number)) {
                return false;
            }
            if (pass == 1) {
                numbers[count] = number;
            }
            count++;
            if (!series_skip_blanks(reader) && series_peek(reader) != ']') {
                return series_refuse(reader, "\"]\"");
            }
        }
        if (pass == 0) {
            numbers = promql_memory_take_zero(reader->parser.memory, count, sizeof(*numbers));
            if (numbers == NULL) {
                promql_fail_memory(&reader->parser);
                return false;
            }
        }
    }
    *ret_numbers = numbers;
    *ret_count = count;
    return true;
}

static bool read_hint(struct series_reader *reader, enum promql_reset_hint *ret_hint)
{
    static const char *const names[] = {"unknown", "reset", "not_reset", "gauge"};
    struct promql_lexer *lexer = &reader->parser.lexer;

    for (uint32_t i = 0; i < 4; i++) {
        const size_t count = strlen(names[i]);
        if (strncasecmp(lexer->text + lexer->position, names[i], count) == 0 &&
            !is_letter(lexer->text[lexer->position + count])) {
            lexer->position += (uint32_t)count;
            *ret_hint = (enum promql_reset_hint)i;
            return true;
        }
    }
    return series_refuse(reader, "unknown, reset, not_reset or gauge");
}

static bool read_field(struct series_reader *reader, struct draft *draft, enum key key)
{
    struct promql_histogram *histogram = draft->histogram;

    switch (key) {
    case KEY_SUM:
        return series_read_number(reader, &histogram->sum);
    case KEY_COUNT:
        return series_read_number(reader, &histogram->count);
    case KEY_SCHEMA:
        return read_integer(reader, &histogram->schema);
    case KEY_OFFSET:
        return read_integer(reader, &draft->offset);
    case KEY_N_OFFSET:
        return read_integer(reader, &draft->n_offset);
    case KEY_BUCKETS:
        return read_list(reader, &histogram->positive.counts, &histogram->positive.bucket_count);
    case KEY_N_BUCKETS:
        return read_list(reader, &histogram->negative.counts, &histogram->negative.bucket_count);
    case KEY_Z_BUCKET:
        return series_read_number(reader, &histogram->zero_count);
    case KEY_Z_BUCKET_W:
        return series_read_number(reader, &histogram->zero_threshold);
    case KEY_CUSTOM_VALUES:
        return read_list(reader, &histogram->custom_bounds, &histogram->custom_count);
    case KEY_HINT:
        return read_hint(reader, &histogram->reset_hint);
    case KEY_NONE:
        break;
    }
    return false;
}

/* Buckets in a row are one span. */
static bool put_span(struct series_reader *reader, struct promql_buckets *buckets, int32_t offset)
{
    if (buckets->bucket_count == 0) {
        return true;
    }
    struct promql_span *span = promql_memory_take(reader->parser.memory, sizeof(*span));
    if (span == NULL) {
        promql_fail_memory(&reader->parser);
        return false;
    }
    *span = (struct promql_span){.offset = offset, .length = buckets->bucket_count};
    buckets->spans = span;
    buckets->span_count = 1;
    return true;
}

static bool is_schema(int32_t schema)
{
    return schema == PROMQL_SCHEMA_CUSTOM ||
           (schema >= PROMQL_SCHEMA_MIN && schema <= PROMQL_SCHEMA_MAX);
}

/* Behind "{{". */
static bool read_fields(struct series_reader *reader, struct draft *draft)
{
    series_skip_blanks(reader);
    while (!series_accept(reader, '}')) {
        const enum key key = read_key(reader);
        if (key == KEY_NONE) {
            return false;
        }
        if ((draft->seen & 1u << key) != 0) {
            promql_fail(&reader->parser, (struct promql_range){0, 0}, "duplicate key in histogram");
            return false;
        }
        draft->seen |= 1u << key;
        if (!read_field(reader, draft, key)) {
            return false;
        }
        if (!series_skip_blanks(reader) && series_peek(reader) != '}') {
            return series_refuse(reader, "a blank or \"}}\"");
        }
    }
    return series_accept(reader, '}') || series_refuse(reader, "\"}}\"");
}

static bool read_histogram(struct series_reader *reader, struct promql_series_value *ret_value)
{
    struct draft draft = {.histogram = promql_memory_take_zero(reader->parser.memory, 1,
                                                               sizeof(struct promql_histogram))};

    if (draft.histogram == NULL) {
        promql_fail_memory(&reader->parser);
        return false;
    }
    reader->parser.lexer.position += 2; /* {{ */
    if (!read_fields(reader, &draft) ||
        !put_span(reader, &draft.histogram->positive, draft.offset) ||
        !put_span(reader, &draft.histogram->negative, draft.n_offset)) {
        return false;
    }
    if (!is_schema(draft.histogram->schema)) {
        return series_refuse(reader, "a schema from -4 to 8, or -53");
    }
    *ret_value = series_value_of(draft.histogram->sum);
    ret_value->histogram = draft.histogram;
    ret_value->has_hint = (draft.seen & 1u << KEY_HINT) != 0;
    return true;
}

/* The next of a row: `value` and `step` together. */
static bool step_histogram(struct series_reader *reader, struct promql_series_value *value,
                           const struct promql_histogram *step, bool is_added)
{
    const struct promql_histogram *next = NULL;
    struct promql_memory *memory = reader->parser.memory;

    if (value->histogram->schema > step->schema) {
        promql_fail(&reader->parser, (struct promql_range){0, 0},
                    "error combining histograms: cannot merge from schema %d to %d", step->schema,
                    value->histogram->schema);
        return false;
    }
    enum promql_histogram_outcome outcome =
        is_added ? promql_histogram_add(memory, value->histogram, step, NULL, &next)
                 : promql_histogram_subtract(memory, value->histogram, step, NULL, &next);
    if (outcome == PROMQL_HISTOGRAM_REFUSED) {
        promql_fail_memory(&reader->parser);
        return false;
    }
    if (outcome == PROMQL_HISTOGRAM_INCOMPATIBLE) {
        return series_refuse(reader, "histograms of one kind");
    }
    const bool has_hint = value->has_hint;
    *value = series_value_of(next->sum);
    value->histogram = next;
    value->has_hint = has_hint;
    return true;
}

bool series_read_histograms(struct series_reader *reader)
{
    struct promql_series_value value, step;
    uint32_t count;

    if (!read_histogram(reader, &value)) {
        return false;
    }
    const bool is_added = series_peek(reader) == '+';
    if (!series_accept(reader, '+') && !series_accept(reader, '-')) {
        return series_repeat(reader, &value);
    }
    if (strncmp(reader->parser.lexer.text + reader->parser.lexer.position, "{{", 2) != 0) {
        return series_refuse(reader, "\"{{\"");
    }
    if (!read_histogram(reader, &step)) {
        return false;
    }
    if (!series_accept(reader, 'x')) {
        return series_refuse(reader, "\"x\"");
    }
    if (!series_read_count(reader, &count) || !series_add_value(reader, &value)) {
        return false;
    }
    value.has_hint = step.has_hint;
    reader->values[reader->count - 1].has_hint = step.has_hint;
    for (uint32_t i = 0; i < count; i++) {
        if (!step_histogram(reader, &value, step.histogram, is_added) ||
            !series_add_value(reader, &value)) {
            return false;
        }
    }
    return true;
}
