/*
 * Results: rows become series.
 *
 * A row's values are moved together in place, and get their times; rows that are there at all steps
 * share one array of times. Labels are copied with their strings.
 */
#include <promql/result.h>

#include <promql/range.h>

#include <os/os.h>

#include <string.h>

static bool copy_slice(struct eval *eval, struct quarry_tsdb_slice slice,
                       struct quarry_tsdb_slice *ret_slice)
{
    ret_slice->bytes = promql_memory_copy(eval->memory, slice.bytes, slice.count);
    ret_slice->count = slice.count;
    return ret_slice->bytes != NULL || eval_fail_memory(eval);
}

static bool copy_labels(struct eval *eval, struct eval_labels labels, struct promql_series *series)
{
    struct quarry_tsdb_label *copy = eval_take(eval, labels.count, sizeof *copy);

    for (size_t i = 0; copy != NULL && i < labels.count; i++) {
        if (!copy_slice(eval, labels.labels[i].name, &copy[i].name) ||
            !copy_slice(eval, labels.labels[i].value, &copy[i].value)) {
            return false;
        }
    }
    series->labels = copy;
    series->label_count = labels.count;
    return copy != NULL;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Moves what is there together, with its times. */
static bool pack(struct eval *eval, const struct eval_frame *frame, struct eval_row *row,
                 const int64_t *all_times, struct promql_series *series)
{
    int64_t *times = NULL;
    size_t count = 0;
    bool has_histograms = false;

    if (row->count != frame->count || memchr(row->kinds, EVAL_NONE, row->count) != NULL) {
        times = eval_take(eval, row->count, sizeof *times);
        if (times == NULL) {
            return false;
        }
    }
    for (uint32_t i = 0; i < row->count; i++) {
        if (row->kinds[i] == EVAL_NONE) {
            continue;
        }
        if (times != NULL) {
            times[count] = eval_time(frame, row->first + i);
        }
        bool is_histogram = row->kinds[i] == EVAL_HISTOGRAM;
        has_histograms = has_histograms || is_histogram;
        if (row->histograms != NULL) {
            row->histograms[count] = is_histogram ? row->histograms[i] : NULL;
        }
        row->values[count++] = row->values[i];
    }
    series->t_ms = times != NULL ? times : all_times;
    series->values = row->values;
    series->histograms = has_histograms ? row->histograms : NULL;
    series->count = count;
    return true;
}

/* Takes away the names that are to go, and joins what then has the same labels. */
static bool drop_names(struct eval *eval, const struct eval_frame *frame,
                       struct eval_matrix *matrix)
{
    bool has_dropped = false;

    for (size_t i = 0; i < matrix->count; i++) {
        struct eval_row *row = &matrix->rows[i];
        struct eval_label_buffer buffer = {0};
        if (!row->drops_name) {
            continue;
        }
        if (!eval_buffer_reserve(eval, &buffer, row->labels.count)) {
            return false;
        }
        row->labels = eval_labels_without(row->labels, (struct eval_names){0}, true,
                                          eval->options->has_type_and_unit, &buffer);
        has_dropped = true;
    }
    return !has_dropped || eval_merge(eval, frame->count, matrix);
}

static const int64_t *times_of(struct eval *eval, const struct eval_frame *frame)
{
    int64_t *times = eval_take(eval, frame->count, sizeof *times);

    for (uint32_t step = 0; times != NULL && step < frame->count; step++) {
        times[step] = eval_time(frame, step);
    }
    return times;
}

static bool sort_rows(struct eval *eval, struct eval_matrix *matrix)
{
    uint64_t begin_ns = os_monotonic_ns(eval->options->os);

    bool is_sorted = eval_sort_by_labels(eval, matrix->rows, matrix->count);
    eval->result->stats.sort_ns = os_monotonic_ns(eval->options->os) - begin_ns;
    return is_sorted;
}

bool eval_give_matrix(struct eval *eval, const struct eval_frame *frame, struct eval_matrix *matrix)
{
    struct promql_result *result = eval->result;

    if (!drop_names(eval, frame, matrix)) {
        return false;
    }
    if (eval->is_range && !sort_rows(eval, matrix)) {
        return false;
    }
    struct promql_series *series = eval_take(eval, matrix->count, sizeof *series);
    const int64_t *times = times_of(eval, frame);
    for (size_t i = 0; series != NULL && times != NULL && i < matrix->count; i++) {
        if (!eval_tick(eval, 1 + matrix->rows[i].count + 4 * matrix->rows[i].labels.count) ||
            !copy_labels(eval, matrix->rows[i].labels, &series[i]) ||
            !pack(eval, frame, &matrix->rows[i], times, &series[i])) {
            return false;
        }
    }
    result->type = eval->is_range ? PROMQL_MATRIX : PROMQL_VECTOR;
    result->t_ms = frame->start_ms;
    result->series = series;
    result->series_count = matrix->count;
    return series != NULL && times != NULL;
}

bool eval_give_scalars(struct eval *eval, const struct eval_frame *frame, const double *values)
{
    struct promql_result *result = eval->result;

    result->t_ms = frame->start_ms;
    if (!eval->is_range) {
        result->type = PROMQL_SCALAR;
        result->scalar = values[0];
        return true;
    }
    struct promql_series *series = eval_take(eval, 1, sizeof *series);
    const int64_t *times = times_of(eval, frame);
    struct quarry_tsdb_label *labels = eval_take(eval, 0, sizeof *labels);
    if (series == NULL || times == NULL || labels == NULL || !eval_hold(eval, frame->count)) {
        return false;
    }
    *series = (struct promql_series){
        .labels = labels, .t_ms = times, .values = values, .count = frame->count};
    result->type = PROMQL_MATRIX;
    result->series = series;
    result->series_count = 1;
    return true;
}

bool eval_give_string(struct eval *eval, struct quarry_tsdb_slice string)
{
    eval->result->type = PROMQL_STRING;
    eval->result->t_ms = eval->steps.start_ms;
    return copy_slice(eval, string, &eval->result->string);
}

/* ---- ranges --------------------------------------------------------------------------------- */

struct ranges {
    struct eval *eval;
    struct promql_series *series;
    size_t count, capacity;
};

/* Puts floats and histograms of a window in the order of time. */
static bool give_window(struct ranges *of, const struct range_window *window,
                        struct promql_series *series)
{
    const struct range_points *floats = &window->series->floats;
    const struct range_points *histograms = &window->series->histograms;
    size_t count = range_float_count(window) + range_histogram_count(window);
    int64_t *times = eval_take(of->eval, count, sizeof *times);
    double *values = eval_take(of->eval, count, sizeof *values);
    const struct promql_histogram **copies = eval_take_zero(of->eval, count, sizeof *copies);
    size_t f = window->float_begin, h = window->histogram_begin;

    if (times == NULL || values == NULL || copies == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (h == window->histogram_end ||
            (f < window->float_end && floats->t_ms[f] < histograms->t_ms[h])) {
            times[i] = floats->t_ms[f];
            values[i] = floats->values[f++];
            continue;
        }
        times[i] = histograms->t_ms[h];
        values[i] = 0;
        copies[i] = promql_histogram_copy(of->eval->memory, histograms->histograms[h++]);
        if (copies[i] == NULL) {
            return eval_fail_memory(of->eval);
        }
    }
    series->t_ms = times;
    series->values = values;
    series->histograms = range_histogram_count(window) == 0 ? NULL : copies;
    series->count = count;
    return eval_hold(of->eval, count);
}

static bool give_range(void *argument, const struct range_series *series,
                       const struct range_window *window, bool drops_name)
{
    struct ranges *of = argument;
    struct eval_label_buffer buffer = {0};
    struct eval_labels labels = series->labels;

    if (range_float_count(window) + range_histogram_count(window) == 0) {
        return true;
    }
    if (of->count == of->capacity) {
        struct promql_series *grown = eval_grow(of->eval, of->series, &of->capacity, sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        of->series = grown;
    }
    if (!eval_buffer_reserve(of->eval, &buffer, labels.count)) {
        return false;
    }
    if (drops_name) {
        labels = eval_labels_without(labels, (struct eval_names){0}, true,
                                     of->eval->options->has_type_and_unit, &buffer);
    }
    return copy_labels(of->eval, labels, &of->series[of->count]) &&
           give_window(of, window, &of->series[of->count++]);
}

bool eval_give_ranges(struct eval *eval, const struct promql_node *node)
{
    struct ranges of = {.eval = eval};

    if (!eval_range_rows(eval, eval->steps.start_ms, node, give_range, &of)) {
        return false;
    }
    eval->result->type = PROMQL_MATRIX;
    eval->result->t_ms = eval->steps.start_ms;
    eval->result->series = of.series;
    eval->result->series_count = of.count;
    return true;
}
