/*
 * Answers, compared.
 *
 * Series are told in any order, and labels in any within them: both are sorted first. Values come
 * as text, in the shortest form that reads back as the same number. Sums may be added up in another
 * order, so that they are compared to 1e-9 of the larger, far below what a wrong answer would be.
 */
#include <bench/promql/answers.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define TOLERANCE    1e-9
#define TIME_SECONDS 0.001

static void *must_have(size_t count, size_t bytes)
{
    void *base = calloc(count > 0 ? count : 1, bytes);

    if (base == NULL) {
        bench_worker_die("no memory");
    }
    return base;
}

/* Reads [time, "value"]. */
static bool read_point(const json_t *json, double *ret_at, double *ret_value)
{
    const json_t *at = json_array_get(json, 0);
    const char *text = json_string_value(json_array_get(json, 1));
    char *end = NULL;

    if (!json_is_number(at) || text == NULL) {
        return false;
    }
    *ret_at = json_number_value(at);
    *ret_value = strtod(text, &end);
    return *text != '\0' && *end == '\0';
}

static bool read_series(const json_t *json, struct bench_answer_series *series)
{
    const json_t *values = json_object_get(json, "values");
    const json_t *value = json_object_get(json, "value");
    size_t count = json_is_array(values) ? json_array_size(values) : 1;

    series->labels = json_dumps(json_object_get(json, "metric"),
                                JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY);
    series->at_seconds = must_have(count, sizeof *series->at_seconds);
    series->value = must_have(count, sizeof *series->value);
    series->count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *point = values != NULL ? json_array_get(values, i) : value;
        if (!read_point(point, &series->at_seconds[i], &series->value[i])) {
            return false;
        }
    }
    return series->labels != NULL;
}

static int by_labels(const void *a, const void *b)
{
    return strcmp(((const struct bench_answer_series *)a)->labels,
                  ((const struct bench_answer_series *)b)->labels);
}

static bool read_result(const json_t *result, struct bench_answer_set *answers)
{
    size_t count = json_array_size(result);

    answers->series = must_have(count, sizeof *answers->series);
    for (size_t i = 0; i < count; i++) {
        answers->count = i + 1; /* what it has is given back in any case */
        if (!read_series(json_array_get(result, i), &answers->series[i])) {
            return false;
        }
    }
    qsort(answers->series, count, sizeof *answers->series, by_labels);
    return true;
}

bool bench_answers_read(const char *json, size_t bytes, struct bench_answer_set *ret_answers)
{
    json_error_t error;
    json_t *root = json_loadb(json, bytes, JSON_DISABLE_EOF_CHECK, &error);
    const json_t *result = json_object_get(json_object_get(root, "data"), "result");
    struct bench_answer_set answers = {0};
    bool is_read = json_is_array(result) && read_result(result, &answers);

    json_decref(root);
    if (!is_read) {
        bench_answers_fini(&answers);
        return false;
    }
    *ret_answers = answers;
    return true;
}

void bench_answers_fini(struct bench_answer_set *answers)
{
    for (size_t i = 0; i < answers->count; i++) {
        free(answers->series[i].labels);
        free(answers->series[i].at_seconds);
        free(answers->series[i].value);
    }
    free(answers->series);
    *answers = (struct bench_answer_set){0};
}

static bool are_near(double a, double b)
{
    if (isnan(a) || isnan(b)) {
        return isnan(a) && isnan(b);
    }
    if (isinf(a) || isinf(b)) {
        return a == b;
    }
    return fabs(a - b) <= TOLERANCE * fmax(fabs(a), fabs(b));
}

static bool series_are_equal(const struct bench_answer_series *a,
                             const struct bench_answer_series *b, char *why, size_t why_bytes)
{
    if (strcmp(a->labels, b->labels) != 0 || a->count != b->count) {
        (void)snprintf(why, why_bytes, "%.100s with %zu points, %.100s with %zu", a->labels,
                       a->count, b->labels, b->count);
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (fabs(a->at_seconds[i] - b->at_seconds[i]) > TIME_SECONDS ||
            !are_near(a->value[i], b->value[i])) {
            (void)snprintf(why, why_bytes, "%.100s: %.17g at %.3f, %.17g at %.3f", a->labels,
                           a->value[i], a->at_seconds[i], b->value[i], b->at_seconds[i]);
            return false;
        }
    }
    return true;
}

bool bench_answers_are_equal(const struct bench_answer_set *a, const struct bench_answer_set *b,
                             char *why, size_t why_bytes)
{
    if (a->count != b->count) {
        (void)snprintf(why, why_bytes, "%zu series, %zu", a->count, b->count);
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!series_are_equal(&a->series[i], &b->series[i], why, why_bytes)) {
            return false;
        }
    }
    return true;
}

size_t bench_answers_point_count(const struct bench_answer_set *answers)
{
    size_t count = 0;

    for (size_t i = 0; i < answers->count; i++) {
        count += answers->series[i].count;
    }
    return count;
}
