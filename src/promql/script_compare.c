/*
 * A result against what is expected of it.
 *
 * Numbers are equal when they differ by no more than a millionth of their sum; a NaN is equal to a
 * NaN, but the one that ends a series to itself alone. What histograms say of resets is compared
 * where it is written.
 */
#include <promql/script_parts.h>

#include <promql/histogram_text.h>
#include <promql/print.h>

#include <tsdb/re2_shim.h>

#include <stdio.h>
#include <string.h>

#define EPSILON   0.000001
#define RE2_BYTES ((size_t)1024 * 1024)

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static double number_of(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static bool is_near(double left, double right)
{
    const bool is_left_stale = bits_of(left) == QUARRY_TSDB_STALE_BITS;
    const bool is_right_stale = bits_of(right) == QUARRY_TSDB_STALE_BITS;

    if (is_left_stale || is_right_stale) {
        return is_left_stale && is_right_stale;
    }
    return promql_number_near(left, right, EPSILON);
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* "{__name__="a"}", for a fault. */
static const char *labels_text(struct script *script, const struct quarry_tsdb_label *labels,
                               size_t count)
{
    struct promql_writer writer = {.memory = &script->scratch};

    promql_print_labels(&writer, labels, count);
    return writer.bytes == NULL ? "?" : writer.bytes;
}

static const char *point_text(struct script *script, double value,
                              const struct promql_histogram *histogram)
{
    struct promql_writer writer = {.memory = &script->scratch};
    struct quarry_tsdb_slice text;

    if (histogram != NULL) {
        promql_histogram_write_test(&writer, histogram);
        return promql_write_finish(&writer, &text) ? text.bytes : "?";
    }
    if (bits_of(value) == QUARRY_TSDB_STALE_BITS) {
        return "stale";
    }
    promql_write_double(&writer, value, PROMQL_NUMBER_G);
    return writer.bytes == NULL ? "?" : writer.bytes;
}

static const char *value_text(struct script *script, const struct promql_series_value *value)
{
    return value->is_omitted ? "_" : point_text(script, number_of(value->bits), value->histogram);
}

/* ---- messages ------------------------------------------------------------------------------- */

/* Whether an annotation or an error is the one. An expression may match any part of it. */
static bool is_message(const struct script_message *message, struct quarry_tsdb_slice text)
{
    struct tsdb_re2 *re2;
    char why[64], pattern[1024];

    if (message->is_any) {
        return true;
    }
    if (!message->is_regex) {
        return message->text.count == text.count &&
               memcmp(message->text.bytes, text.bytes, text.count) == 0;
    }
    int count = snprintf(pattern, sizeof(pattern), ".*(?:%.*s).*", (int)message->text.count,
                         message->text.bytes);
    if (count < 0 || (size_t)count >= sizeof(pattern) ||
        tsdb_re2_compile(pattern, (size_t)count, RE2_BYTES, &re2, why, sizeof(why)) != QUARRY_OK) {
        return false;
    }
    bool matches = tsdb_re2_matches(re2, text.bytes, text.count);
    tsdb_re2_free(re2);
    return matches;
}

/* Each of the notes is expected, and each that is expected is there. */
static bool check_kind(struct script *script, const struct script_message *expected,
                       const struct quarry_tsdb_slice *notes, size_t count, const char *kind,
                       const char *way)
{
    if (expected != NULL && count == 0) {
        return script_fault(script, "%s: expected %s annotations but none were found", way, kind);
    }
    for (const struct script_message *one = expected; one != NULL; one = one->next) {
        bool is_found = false;
        for (size_t i = 0; i < count; i++) {
            is_found |= is_message(one, notes[i]);
        }
        if (!is_found) {
            return script_fault(script, "%s: expected %s annotation '%.*s', found: '%.*s'", way,
                                kind, (int)one->text.count, one->text.bytes, (int)notes[0].count,
                                notes[0].bytes);
        }
    }
    for (size_t i = 0; expected != NULL && i < count; i++) {
        const struct script_message *one = expected;
        while (one != NULL && !is_message(one, notes[i])) {
            one = one->next;
        }
        if (one == NULL) {
            return script_fault(script, "%s: unexpected %s annotation '%.*s'", way, kind,
                                (int)notes[i].count, notes[i].bytes);
        }
    }
    return true;
}

bool script_check_notes(struct script *script, const struct script_eval *eval,
                        const struct promql_result *result, const char *way)
{
    if (eval->warns && result->warning_count == 0) {
        return script_fault(script, "%s: expected warnings but got none", way);
    }
    if (eval->informs && result->info_count == 0) {
        return script_fault(script, "%s: expected info annotations but got none", way);
    }
    if (eval->no_warn && result->warning_count > 0) {
        return script_fault(script, "%s: unexpected warning '%.*s'", way,
                            (int)result->warnings[0].count, result->warnings[0].bytes);
    }
    if (eval->no_info && result->info_count > 0) {
        return script_fault(script, "%s: unexpected info '%.*s'", way, (int)result->infos[0].count,
                            result->infos[0].bytes);
    }
    return check_kind(script, eval->warn, result->warnings, result->warning_count, "warn", way) &&
           check_kind(script, eval->info, result->infos, result->info_count, "info", way);
}

bool script_check_failure(struct script *script, const struct script_eval *eval,
                          const struct promql_result *result, const char *way)
{
    const struct quarry_tsdb_slice text = {.bytes = result->error_text,
                                           .count = strlen(result->error_text)};

    if (!eval->fails) {
        return script_fault(script, "%s: error evaluating query: %s", way, result->error_text);
    }
    return eval->fail == NULL || is_message(eval->fail, text) ||
           script_fault(script, "%s: expected error '%.*s', but got: %s", way,
                        (int)eval->fail->text.count, eval->fail->text.bytes, result->error_text);
}

/* ---- points --------------------------------------------------------------------------------- */

static bool is_same_point(const struct promql_series_value *expected, double value,
                          const struct promql_histogram *histogram)
{
    if (expected->is_omitted || (expected->histogram == NULL) != (histogram == NULL)) {
        return false;
    }
    if (histogram == NULL) {
        return is_near(number_of(expected->bits), value);
    }
    return promql_histogram_near(expected->histogram, histogram, EPSILON) &&
           (!expected->has_hint || expected->histogram->reset_hint == histogram->reset_hint);
}

static bool compare_point(struct script *script, const struct promql_series *series, size_t index,
                          const struct promql_series_value *expected, const char *way)
{
    const struct promql_histogram *histogram =
        series->histograms == NULL ? NULL : series->histograms[index];

    return is_same_point(expected, series->values[index], histogram) ||
           script_fault(script, "%s: expected %s for %s at %lld ms but got %s", way,
                        value_text(script, expected),
                        labels_text(script, series->labels, series->label_count),
                        (long long)series->t_ms[index],
                        point_text(script, series->values[index], histogram));
}

/* The expected series with a result's labels. */
static struct script_expected_series *find_expected(struct script *script, struct script_eval *eval,
                                                    const struct promql_series *series,
                                                    const char *way)
{
    for (size_t i = 0; i < eval->series_count; i++) {
        struct script_expected_series *expected = &eval->series[i];
        if (script_compare_labels(expected->labels, expected->label_count, series->labels,
                                  series->label_count) == 0) {
            return expected;
        }
    }
    script_fault(script, "%s: unexpected metric %s in result, has value %s", way,
                 labels_text(script, series->labels, series->label_count),
                 point_text(script, series->values[0],
                            series->histograms == NULL ? NULL : series->histograms[0]));
    return NULL;
}

/* All that is expected was seen. Clears the marks. */
static bool check_seen(struct script *script, struct script_eval *eval, const char *way)
{
    const struct script_expected_series *missing = NULL;

    for (size_t i = 0; i < eval->series_count; i++) {
        missing = eval->series[i].was_seen ? missing : &eval->series[i];
        eval->series[i].was_seen = false;
    }
    return missing == NULL ||
           script_fault(script, "%s: expected metric %s with %s not found", way,
                        labels_text(script, missing->labels, missing->label_count),
                        missing->value_count == 0 ? "nothing"
                                                  : value_text(script, &missing->values[0]));
}

/* ---- vectors -------------------------------------------------------------------------------- */

/* One point of a result against the only value that is expected. */
static bool compare_one(struct script *script, struct script_eval *eval,
                        const struct promql_series *series, size_t index, size_t position,
                        const char *way)
{
    struct script_expected_series *expected = find_expected(script, eval, series, way);

    if (expected == NULL) {
        return false;
    }
    if (eval->is_ordered && expected->position != position) {
        return script_fault(script, "%s: expected metric %s at position %zu but was at %zu", way,
                            labels_text(script, series->labels, series->label_count),
                            expected->position, position);
    }
    expected->was_seen = true;
    if (expected->value_count == 0) {
        return script_fault(script, "%s: no value is expected of %s", way,
                            labels_text(script, series->labels, series->label_count));
    }
    return compare_point(script, series, index, &expected->values[0], way);
}

static bool compare_vector(struct script *script, struct script_eval *eval,
                           const struct promql_result *result, const char *way)
{
    if (eval->is_scalar) {
        return script_fault(script, "%s: expected scalar result, but got a vector", way);
    }
    for (size_t i = 0; i < result->series_count; i++) {
        if (!compare_one(script, eval, &result->series[i], 0, i + 1, way)) {
            return false;
        }
    }
    return check_seen(script, eval, way);
}

/* ---- matrices ------------------------------------------------------------------------------- */

static bool is_sorted(struct script *script, const struct promql_result *result, const char *way)
{
    for (size_t i = 1; i < result->series_count; i++) {
        const struct promql_series *before = &result->series[i - 1], *series = &result->series[i];
        if (script_compare_labels(before->labels, before->label_count, series->labels,
                                  series->label_count) > 0) {
            return script_fault(script, "%s: matrix is not sorted at %s", way,
                                labels_text(script, series->labels, series->label_count));
        }
    }
    return true;
}

static bool compare_points(struct script *script, const struct promql_series *series,
                           const struct script_expected_series *expected,
                           const struct promql_steps *steps, const char *way)
{
    size_t at = 0;

    for (size_t i = 0; i < expected->value_count; i++) {
        const int64_t t_ms = steps->start_ms + (int64_t)i * steps->step_ms;

        if (t_ms > steps->end_ms) {
            return script_fault(script, "%s: expected %zu points for %s, which the range has not",
                                way, expected->value_count,
                                labels_text(script, series->labels, series->label_count));
        }
        if (expected->values[i].is_omitted) {
            continue;
        }
        if (at == series->count || series->t_ms[at] != t_ms) {
            return script_fault(script, "%s: expected %s for %s at %lld ms but got none there", way,
                                value_text(script, &expected->values[i]),
                                labels_text(script, series->labels, series->label_count),
                                (long long)t_ms);
        }
        if (!compare_point(script, series, at++, &expected->values[i], way)) {
            return false;
        }
    }
    return at == series->count ||
           script_fault(script, "%s: unexpected point of %s at %lld ms: %s", way,
                        labels_text(script, series->labels, series->label_count),
                        (long long)series->t_ms[at],
                        point_text(script, series->values[at],
                                   series->histograms == NULL ? NULL : series->histograms[at]));
}

static bool compare_matrix(struct script *script, struct script_eval *eval,
                           const struct promql_result *result, const char *way)
{
    const struct promql_steps *steps = eval->is_range ? &eval->steps : &eval->vector_steps;

    if (eval->is_ordered || eval->is_scalar) {
        return script_fault(script, "%s: expected %s result, but query returned a matrix", way,
                            eval->is_scalar ? "scalar" : "ordered");
    }
    if (!is_sorted(script, result, way)) {
        return false;
    }
    for (size_t i = 0; i < result->series_count; i++) {
        struct script_expected_series *expected =
            find_expected(script, eval, &result->series[i], way);

        if (expected == NULL || !compare_points(script, &result->series[i], expected, steps, way)) {
            return false;
        }
        expected->was_seen = true;
    }
    return check_seen(script, eval, way);
}

static bool compare_scalar(struct script *script, const struct script_eval *eval, double scalar,
                           const char *way)
{
    if (!eval->is_scalar) {
        return script_fault(script, "%s: expected vector or matrix result, but got scalar %s", way,
                            point_text(script, scalar, NULL));
    }
    return is_near(eval->scalar, scalar) ||
           script_fault(script, "%s: expected scalar %s but got %s", way,
                        point_text(script, eval->scalar, NULL), point_text(script, scalar, NULL));
}

/* Of a range's result, the points of one step: a vector, or a scalar. */
static bool compare_middle(struct script *script, struct script_eval *eval,
                           const struct promql_result *result, int64_t middle_ms, const char *way)
{
    if (!is_sorted(script, result, way)) {
        return false;
    }
    for (size_t i = 0; i < result->series_count; i++) {
        const struct promql_series *series = &result->series[i];
        size_t at = 0;

        while (at < series->count && series->t_ms[at] != middle_ms) {
            at++;
        }
        if (at == series->count) {
            continue;
        }
        if (eval->is_scalar ? !compare_scalar(script, eval, series->values[at], way)
                            : !compare_one(script, eval, series, at, i + 1, way)) {
            return false;
        }
    }
    return check_seen(script, eval, way);
}

bool script_compare(struct script *script, struct script_eval *eval,
                    const struct promql_result *result, const int64_t *middle_ms, const char *way)
{
    if (middle_ms != NULL) {
        return compare_middle(script, eval, result, *middle_ms, way);
    }
    switch (result->type) {
    case PROMQL_MATRIX:
        return compare_matrix(script, eval, result, way);
    case PROMQL_VECTOR:
        return compare_vector(script, eval, result, way);
    case PROMQL_SCALAR:
        return compare_scalar(script, eval, result->scalar, way);
    case PROMQL_STRING:
        return (eval->string.count == result->string.count &&
                memcmp(eval->string.bytes == NULL ? "" : eval->string.bytes, result->string.bytes,
                       result->string.count) == 0) ||
               script_fault(script, "%s: expected string \"%.*s\" but got \"%.*s\"", way,
                            (int)eval->string.count, eval->string.bytes, (int)result->string.count,
                            result->string.bytes);
    case PROMQL_TYPE_NONE:
        break;
    }
    return script_fault(script, "%s: the result has no type", way);
}
