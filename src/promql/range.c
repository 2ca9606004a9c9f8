/*
 * Range vectors: a window slides over each series.
 *
 *     floats   x x x   x x x x x     x
 *     windows    (------]                  two positions, which only rise,
 *                  (------]                say where a window begins and ends
 *                    (------]
 *
 * A series is decoded once, from the first window's start to the last one's end: floats and
 * histograms apart. The points of a subquery are the rows of its expression over steps of its own.
 * Anchored and smoothed selectors read a lookback more, before and behind.
 *
 * Invariants:
 *  1. A window's points are start_ms < t <= end_ms (2.42: start_ms <= t).
 *  2. The positions of a window are not below those of the one before, of the same series.
 *
 * Cost: a series' samples once; each window what its function takes.
 */
#include <promql/range.h>

#include <promql/function.h>
#include <promql/notes.h>
#include <promql/select.h>

#include <string.h>

/* Where series with their points come from. */
struct range_source {
    struct eval *eval;
    struct eval_frame moments; /* the windows' ends */
    int64_t range_ms;
    /* A selector: */
    struct eval_reader reader;
    bool settles_hints; /* counts and sums alone are wanted of histograms */
    /* A subquery: */
    struct eval_stream *inner; /* NULL: a selector */
    struct range_series series;
    bool drops_name;
    uint64_t held_count; /* samples of the widest window */
};

struct range_stream {
    struct eval_stream stream;
    struct range_call call;
    struct range_source source;
    struct eval_row row;
    struct eval_label_buffer buffer;
};

double *range_room(struct range_call *call, size_t count)
{
    if (count > call->value_capacity) {
        size_t capacity = count < 64 ? 128 : count * 2;
        double *values = eval_take(call->eval, capacity, sizeof *values);
        if (values == NULL) {
            return NULL;
        }
        call->values = values;
        call->value_capacity = capacity;
    }
    return call->values;
}

bool range_push(struct range_call *call, size_t position)
{
    struct range_positions *list = &call->positions;

    if (list->end == list->capacity) {
        if (list->begin > list->capacity / 2) { /* most of it is used up */
            memmove(list->positions, list->positions + list->begin,
                    (list->end - list->begin) * sizeof *list->positions);
            list->end -= list->begin;
            list->begin = 0;
        } else {
            size_t *positions =
                eval_grow(call->eval, list->positions, &list->capacity, sizeof *positions);
            if (positions == NULL) {
                return false;
            }
            list->positions = positions;
        }
    }
    list->positions[list->end++] = position;
    return true;
}

/* ---- points --------------------------------------------------------------------------------- */

/* Room for `more` points. */
static bool grow_points(struct eval *eval, struct range_points *points, bool is_float, size_t more)
{
    size_t capacity = points->capacity < 8 ? 16 : points->capacity * 2;

    capacity = size_max(capacity, points->count + more);
    struct range_points grown = {
        .t_ms = eval_take(eval, capacity, sizeof *grown.t_ms),
        .start_ms = eval_take(eval, capacity, sizeof *grown.start_ms),
        .values = is_float ? eval_take(eval, capacity, sizeof *grown.values) : NULL,
        .histograms = is_float ? NULL : eval_take(eval, capacity, sizeof *grown.histograms),
        .count = points->count,
        .capacity = capacity};
    if (eval_is_failed(eval)) {
        return false;
    }
    for (size_t i = 0; i < points->count; i++) {
        grown.t_ms[i] = points->t_ms[i];
        grown.start_ms[i] = points->start_ms[i];
        if (is_float) {
            grown.values[i] = points->values[i];
        } else {
            grown.histograms[i] = points->histograms[i];
        }
    }
    *points = grown;
    return true;
}

static bool add_float(struct eval *eval, struct range_points *points, int64_t t_ms,
                      int64_t start_ms, double value)
{
    if (points->count == points->capacity && !grow_points(eval, points, true, 1)) {
        return false;
    }
    points->t_ms[points->count] = t_ms;
    points->start_ms[points->count] = start_ms;
    points->values[points->count++] = value;
    return true;
}

/* Adds a block's floats but for ends of the series. */
static bool add_floats(struct eval *eval, struct range_points *points,
                       const struct promql_block *block)
{
    if (points->capacity - points->count < block->count &&
        !grow_points(eval, points, true, block->count)) {
        return false;
    }
    size_t count = points->count;
    for (uint32_t i = 0; i < block->count; i++) {
        /* What is to be left out is written over by the next. */
        points->t_ms[count] = block->t_ms[i];
        points->start_ms[count] = block->start_ms == NULL ? 0 : block->start_ms[i];
        memcpy(&points->values[count], &block->bits[i], sizeof *points->values);
        count += block->bits[i] != QUARRY_TSDB_STALE_BITS;
    }
    points->count = count;
    return true;
}

static bool add_histogram(struct eval *eval, struct range_points *points, int64_t t_ms,
                          int64_t start_ms, const struct promql_histogram *histogram)
{
    if (histogram == NULL) {
        return eval_fail_memory(eval);
    }
    if (points->count == points->capacity && !grow_points(eval, points, false, 1)) {
        return false;
    }
    points->t_ms[points->count] = t_ms;
    points->start_ms[points->count] = start_ms;
    points->histograms[points->count++] = histogram;
    return true;
}

/* A histogram of a selector, kept. NULL: refused. */
static const struct promql_histogram *keep_histogram(const struct range_source *source,
                                                     const struct promql_histogram *histogram)
{
    const struct range_points *points = &source->series.histograms;
    struct promql_memory *scratch = &source->eval->scratch;

    histogram = promql_histogram_copy(scratch, histogram);
    return histogram == NULL || !source->settles_hints || points->count == 0
               ? histogram
               : promql_histogram_settle_hint(scratch, histogram,
                                              points->histograms[points->count - 1]);
}

/* Adds a block in which histograms are. */
static bool add_mixed(struct range_source *source, const struct promql_block *block)
{
    struct eval *eval = source->eval;
    struct range_series *series = &source->series;

    for (uint32_t i = 0; i < block->count; i++) {
        const int64_t start_ms = block->start_ms == NULL ? 0 : block->start_ms[i];
        double value;
        if (block->bits[i] == QUARRY_TSDB_STALE_BITS) {
            continue;
        }
        memcpy(&value, &block->bits[i], sizeof value);
        if (block->histograms[i] == NULL
                ? !add_float(eval, &series->floats, block->t_ms[i], start_ms, value)
                : !add_histogram(eval, &series->histograms, block->t_ms[i], start_ms,
                                 keep_histogram(source, block->histograms[i]))) {
            return false;
        }
    }
    return true;
}

static bool read_selected(struct range_source *source)
{
    struct range_series *series = &source->series;
    struct eval *eval = source->eval;
    struct promql_block block;

    if (!eval_reader_series(&source->reader, &series->labels)) {
        return false;
    }
    while (eval_reader_block(&source->reader, &block)) {
        if (block.histograms == NULL ? !add_floats(eval, &series->floats, &block)
                                     : !add_mixed(source, &block)) {
            return false;
        }
    }
    return !eval_is_failed(eval);
}

/* What a histogram says of the one before it means nothing between steps. NULL: refused. */
static const struct promql_histogram *without_hint(struct eval *eval,
                                                   const struct promql_histogram *histogram)
{
    return histogram->reset_hint == PROMQL_RESET_GAUGE
               ? histogram
               : promql_histogram_with_hint(&eval->scratch, histogram, PROMQL_RESET_UNKNOWN);
}

static bool read_inner(struct range_source *source)
{
    struct range_series *series = &source->series;
    struct eval *eval = source->eval;
    struct eval_row row;

    if (!source->inner->next(source->inner, &row)) {
        return false;
    }
    if (!eval_tick(eval, row.count)) {
        return false;
    }
    for (uint32_t i = 0; i < row.count; i++) {
        int64_t t_ms = eval_time(&source->inner->frame, row.first + i);
        if (row.kinds[i] == EVAL_FLOAT ? !add_float(eval, &series->floats, t_ms, 0, row.values[i])
            : row.kinds[i] == EVAL_HISTOGRAM ? !add_histogram(eval, &series->histograms, t_ms, 0,
                                                              without_hint(eval, row.histograms[i]))
                                             : false) {
            return false;
        }
    }
    series->labels = row.labels;
    source->drops_name = row.drops_name;
    return true;
}

/* The next series with its points. Returns: false: no more, or failed. */
static bool next_series(struct range_source *source)
{
    eval_drop(source->eval, source->held_count);
    source->held_count = 0;
    source->series.floats.count = 0;
    source->series.histograms.count = 0;
    source->drops_name = false;
    if (source->inner != NULL) {
        return eval_poll(source->eval) && read_inner(source);
    }
    eval_scratch_release(source->eval);
    return read_selected(source);
}

/* ---- opening -------------------------------------------------------------------------------- */

/* The steps at which a subquery's expression is evaluated. */
static bool inner_frame(struct eval *eval, const struct promql_node *node,
                        const struct range_source *source, uint32_t window_count,
                        struct eval_frame *ret_frame)
{
    int64_t step_ms, begin_ms, start_ms, end_ms;

    if (!eval_duration(eval, node->subquery.step, node->subquery.step_ms, &step_ms)) {
        return false;
    }
    if (node->subquery.step == NULL && step_ms == 0) {
        step_ms = eval->options->subquery_step_ms;
    } else if (step_ms <= 0) {
        return eval_fail(eval, PROMQL_ERROR_BAD_DATA, "duration must be greater than 0");
    }
    begin_ms = eval_minus(source->moments.start_ms, source->range_ms);
    end_ms = eval_time(&source->moments, window_count - 1);
    start_ms = begin_ms / step_ms * step_ms;
    if (eval->options->compat_2_42 ? start_ms < begin_ms : start_ms <= begin_ms) {
        start_ms = eval_plus(start_ms, step_ms);
    }
    uint64_t count = start_ms > end_ms ? 0 : (uint64_t)(end_ms - start_ms) / (uint64_t)step_ms + 1;
    if (count > eval->options->samples_max || count > UINT32_MAX / 2) {
        return eval_fail(eval, PROMQL_ERROR_EXECUTION,
                         "query processing would load too many samples into memory in query "
                         "execution");
    }
    *ret_frame =
        (struct eval_frame){.start_ms = start_ms, .step_ms = step_ms, .count = (uint32_t)count};
    return true;
}

static bool open_subquery(struct eval *eval, const struct eval_frame *frame,
                          const struct promql_node *node, struct range_source *source)
{
    struct eval_frame inner;

    if (!eval_moments(eval, frame, &node->subquery.modifiers, &source->moments) ||
        !eval_range(eval, node->subquery.range, node->subquery.range_ms, &source->range_ms) ||
        !inner_frame(eval, node, source, frame->count, &inner)) {
        return false;
    }
    const enum eval_totals above = eval->totals;
    eval->totals = EVAL_TOTALS_BARRED;
    source->inner = eval_vector(eval, &inner, node->subquery.of);
    eval->totals = above;
    return source->inner != NULL;
}

static bool open_selector(struct eval *eval, const struct eval_frame *frame,
                          const struct promql_node *node, struct range_source *source)
{
    const struct promql_node *selector = node->matrix.selector;
    bool is_wide = selector->selector.is_anchored || selector->selector.is_smoothed;
    int64_t min_ms, max_ms;

    if (!eval_moments(eval, frame, &selector->selector.modifiers, &source->moments) ||
        !eval_range(eval, node->matrix.range, node->matrix.range_ms, &source->range_ms)) {
        return false;
    }
    min_ms = eval_minus(source->moments.start_ms, source->range_ms);
    max_ms = eval_time(&source->moments, frame->count - 1);
    if (is_wide) {
        min_ms = eval_minus(min_ms, eval->options->lookback_ms);
        max_ms = eval_plus(max_ms, selector->selector.is_smoothed ? eval->options->lookback_ms : 0);
    }
    source->settles_hints = eval->totals == EVAL_TOTALS_ONLY;
    return eval_reader_open(eval, selector, min_ms, max_ms, &source->reader);
}

static bool open_source(struct eval *eval, const struct eval_frame *frame,
                        const struct promql_node *node, struct range_source *source)
{
    *source = (struct range_source){.eval = eval};
    Q_ASSERT(frame->count > 0);
    node = eval_unwrap(node);
    return node->kind == PROMQL_SUBQUERY ? open_subquery(eval, frame, node, source)
                                         : open_selector(eval, frame, node, source);
}

/* ---- windows -------------------------------------------------------------------------------- */

/* Moves a window's begin and end on to those of `window`. */
static void slide(const struct range_points *points, const struct range_window *window,
                  bool is_closed, size_t *begin, size_t *end)
{
    while (*end < points->count && points->t_ms[*end] <= window->end_ms) {
        (*end)++;
    }
    while (*begin < *end && (is_closed ? points->t_ms[*begin] < window->start_ms
                                       : points->t_ms[*begin] <= window->start_ms)) {
        (*begin)++;
    }
}

static void place(const struct range_source *source, const struct eval_frame *frame, uint32_t step,
                  struct range_window *window)
{
    bool is_closed = source->eval->options->compat_2_42;

    window->step = step;
    window->t_ms = eval_time(frame, step);
    window->end_ms = eval_time(&source->moments, step);
    window->start_ms = eval_minus(window->end_ms, source->range_ms);
    slide(&source->series.floats, window, is_closed, &window->float_begin, &window->float_end);
    slide(&source->series.histograms, window, is_closed, &window->histogram_begin,
          &window->histogram_end);
}

/* Counts a window's samples. */
static bool count_window(struct range_source *source, const struct range_window *window)
{
    uint64_t count = range_float_count(window) + range_histogram_count(window);

    source->eval->result->stats.samples_total += count;
    if (count > source->held_count) {
        uint64_t more = count - source->held_count;
        source->held_count = count;
        return eval_hold(source->eval, more);
    }
    return true;
}

static bool fill_row(struct range_stream *of)
{
    struct range_call *call = &of->call;
    uint32_t count = of->stream.frame.count;
    struct range_window window = {.series = &of->source.series, .range_ms = of->source.range_ms};
    bool is_wide = call->is_anchored || call->is_smoothed;
    range_at *at = is_wide ? call->function->extended : call->function->at;

    call->positions.begin = call->positions.end = 0;
    call->seen = 0;
    for (uint32_t step = 0; step < count; step++) {
        struct range_value value = {.kind = EVAL_NONE};
        place(&of->source, &of->stream.frame, step, &window);
        if (!eval_tick(call->eval,
                       1 + range_float_count(&window) + 4 * range_histogram_count(&window))) {
            return false;
        }
        if (!is_wide && range_float_count(&window) + range_histogram_count(&window) == 0) {
            continue;
        }
        if (!count_window(&of->source, &window) || !at(call, &window, &value)) {
            return false;
        }
        if (value.kind == EVAL_FLOAT) {
            eval_put(&of->row, step, value.value);
        } else if (value.kind == EVAL_HISTOGRAM &&
                   !eval_put_histogram(call->eval, &of->row, count, step, value.histogram)) {
            return false;
        }
    }
    return true;
}

static bool next_ranged(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct range_stream *of = (struct range_stream *)stream;

    do {
        if (!next_series(&of->source)) {
            return false;
        }
        eval_row_clear(&of->row, stream->frame.count);
        of->row.labels = of->source.series.labels;
        of->row.drops_name = of->source.drops_name;
        if (!fill_row(of)) {
            return false;
        }
    } while (eval_row_is_empty(&of->row));
    if (!of->call.function->keeps_name) {
        if (!eval_buffer_reserve(stream->eval, &of->buffer, of->row.labels.count)) {
            return false;
        }
        eval_row_drop_name(stream->eval, &of->row, &of->buffer);
    }
    *ret_row = of->row;
    return true;
}

/* The scalars among a call's arguments. */
static bool find_arguments(struct range_stream *of)
{
    const struct promql_node *node = of->call.node;
    size_t count = 0;

    for (size_t i = 0; i < node->call.argument_count; i++) {
        if (node->call.arguments[i]->type == PROMQL_SCALAR) {
            Q_ASSERT(count < 2);
            of->call.arguments[count] =
                eval_scalar(of->stream.eval, &of->stream.frame, node->call.arguments[i]);
            if (of->call.arguments[count++] == NULL) {
                return false;
            }
        }
    }
    return true;
}

const struct promql_node *range_argument_of(const struct promql_node *call)
{
    for (size_t i = 0; i < call->call.argument_count; i++) {
        if (call->call.arguments[i]->type == PROMQL_MATRIX) {
            return eval_unwrap(call->call.arguments[i]);
        }
    }
    Q_ASSERT_FAILED("a call of a range function has a range vector");
}

/* Refuses anchored and smoothed where they say nothing. */
static bool check_extended(const struct range_call *call)
{
    const char *name = call->function->name;

    if (call->is_smoothed && !(call->function->extended != NULL && call->function->is_smoothable)) {
        return eval_fail(call->eval, PROMQL_ERROR_EXECUTION,
                         "smoothed modifier can only be used with: delta, increase, rate - not "
                         "with %s",
                         name);
    }
    if (call->is_anchored && call->function->extended == NULL) {
        return eval_fail(call->eval, PROMQL_ERROR_EXECUTION,
                         "anchored modifier can only be used with: changes, delta, increase, "
                         "rate, resets - not with %s",
                         name);
    }
    return true;
}

struct eval_stream *eval_range_call(struct eval *eval, const struct eval_frame *frame,
                                    const struct promql_node *node,
                                    const struct range_function *function)
{
    struct range_stream *of = eval_take_zero(eval, 1, sizeof *of);
    const struct promql_node *argument = range_argument_of(node);

    if (of == NULL) {
        return NULL;
    }
    if (frame->count == 0) {
        return eval_stream_of(eval, frame, &(struct eval_matrix){0});
    }
    of->stream = (struct eval_stream){.next = next_ranged, .eval = eval, .frame = *frame};
    of->call =
        (struct range_call){.eval = eval, .function = function, .node = node, .at = argument->at};
    if (argument->kind == PROMQL_MATRIX_SELECTOR) {
        of->call.selector = argument->matrix.selector;
        of->call.is_anchored = of->call.selector->selector.is_anchored;
        of->call.is_smoothed = of->call.selector->selector.is_smoothed;
        of->call.uses_start_times = eval->options->uses_start_times;
    }
    if (!check_extended(&of->call) || !find_arguments(of) ||
        !open_source(eval, frame, argument, &of->source) ||
        !eval_row_init(eval, frame->count, false, &of->row)) {
        return NULL;
    }
    return &of->stream;
}

bool eval_range_rows(struct eval *eval, int64_t t_ms, const struct promql_node *node,
                     bool (*each)(void *argument, const struct range_series *series,
                                  const struct range_window *window, bool drops_name),
                     void *argument)
{
    const struct eval_frame frame = {.start_ms = t_ms, .count = 1};
    struct range_source source;

    if (!open_source(eval, &frame, node, &source)) {
        return false;
    }
    while (next_series(&source)) {
        struct range_window window = {.series = &source.series, .range_ms = source.range_ms};
        place(&source, &frame, 0, &window);
        if (!count_window(&source, &window) ||
            !each(argument, &source.series, &window, source.drops_name)) {
            return false;
        }
    }
    return !eval_is_failed(eval);
}

const struct range_function *range_function_find(const char *name)
{
    static const struct range_function functions[] = {
        {"rate", range_rate, false, range_extended_rate, true},
        {"increase", range_increase, false, range_extended_increase, true},
        {"delta", range_delta, false, range_extended_delta, true},
        {"irate", range_irate, false, NULL, false},
        {"idelta", range_idelta, false, NULL, false},
        {"changes", range_changes, false, range_extended_changes, false},
        {"resets", range_resets, false, range_extended_resets, false},
        {"deriv", range_deriv, false, NULL, false},
        {"predict_linear", range_predict_linear, false, NULL, false},
        {"double_exponential_smoothing", range_smoothing, false, NULL, false},
        {"holt_winters", range_smoothing, false, NULL, false},
        {"sum_over_time", range_sum_over_time, false, NULL, false},
        {"avg_over_time", range_avg_over_time, false, NULL, false},
        {"count_over_time", range_count_over_time, false, NULL, false},
        {"min_over_time", range_min_over_time, false, NULL, false},
        {"max_over_time", range_max_over_time, false, NULL, false},
        {"last_over_time", range_last_over_time, true, NULL, false},
        {"first_over_time", range_first_over_time, true, NULL, false},
        {"present_over_time", range_present_over_time, false, NULL, false},
        {"stddev_over_time", range_stddev_over_time, false, NULL, false},
        {"stdvar_over_time", range_stdvar_over_time, false, NULL, false},
        {"quantile_over_time", range_quantile_over_time, false, NULL, false},
        {"mad_over_time", range_mad_over_time, false, NULL, false},
        {"ts_of_first_over_time", range_ts_of_first, false, NULL, false},
        {"ts_of_last_over_time", range_ts_of_last, false, NULL, false},
        {"ts_of_min_over_time", range_ts_of_min, false, NULL, false},
        {"ts_of_max_over_time", range_ts_of_max, false, NULL, false},
    };

    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (strcmp(functions[i].name, name) == 0) {
            return &functions[i];
        }
    }
    return NULL;
}
