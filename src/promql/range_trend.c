/*
 * How samples change over a window: changes, resets, lines through them, smoothing.
 *
 * Changes and resets between floats are found once a series, and kept in a list that the window
 * slides over; where histograms are among the floats, they are counted window by window in the
 * order of time.
 */
#include <promql/range.h>

#include <promql/notes.h>
#include <promql/sum.h>

#include <math.h>

/* ---- changes and resets --------------------------------------------------------------------- */

typedef bool differs(const struct range_call *call, const struct range_points *points, size_t i);

static bool is_change(const struct range_call *call, const struct range_points *points, size_t i)
{
    double value = points->values[i], before = points->values[i - 1];

    (void)call;
    return value != before && !(isnan(value) && isnan(before));
}

/* Counts floats behind the first that differ from the one before. */
static bool count_floats(struct range_call *call, const struct range_window *window, differs *is,
                         size_t *ret_count)
{
    struct range_positions *list = &call->positions;

    for (size_t i = call->seen < 1 ? 1 : call->seen; i < window->float_end; i++) {
        if (is(call, &window->series->floats, i) && !range_push(call, i)) {
            return false;
        }
        call->seen = i + 1;
    }
    while (list->begin < list->end && list->positions[list->begin] <= window->float_begin) {
        list->begin++;
    }
    *ret_count = list->end - list->begin;
    return true;
}

bool range_changes(struct range_call *call, const struct range_window *window,
                   struct range_value *ret_value)
{
    size_t count;

    if (range_histogram_count(window) > 0) {
        return range_count_differences(call, window, false, ret_value);
    }
    return count_floats(call, window, is_change, &count) && range_give(ret_value, (double)count);
}

bool range_resets(struct range_call *call, const struct range_window *window,
                  struct range_value *ret_value)
{
    size_t count;

    if (range_histogram_count(window) > 0) {
        return range_count_differences(call, window, true, ret_value);
    }
    return count_floats(call, window, range_is_reset, &count) &&
           range_give(ret_value, (double)count);
}

/* ---- lines ---------------------------------------------------------------------------------- */

struct line {
    double slope, intercept; /* a second; at the moment that it was asked for */
};

/* The line of least squares through a window's floats, which are two or more. */
static struct line fit(const struct range_window *window, int64_t origin_ms)
{
    const struct range_points *points = &window->series->floats;
    struct eval_sum x_sum = {0}, y_sum = {0}, xy_sum = {0}, xx_sum = {0};
    double first = points->values[window->float_begin];
    double count = (double)range_float_count(window);
    bool is_constant = true;

    for (size_t i = window->float_begin; i < window->float_end; i++) {
        double x = (double)(points->t_ms[i] - origin_ms) / 1000, y = points->values[i];
        is_constant = is_constant && y == first;
        eval_sum_add(&x_sum, x);
        eval_sum_add(&y_sum, y);
        eval_sum_add(&xy_sum, x * y);
        eval_sum_add(&xx_sum, x * x);
    }
    if (is_constant) {
        return isinf(first) ? (struct line){NAN, NAN} : (struct line){0, first};
    }
    double x = x_sum.sum + x_sum.lost, y = y_sum.sum + y_sum.lost;
    double covariance = xy_sum.sum + xy_sum.lost - x * y / count;
    double variance = xx_sum.sum + xx_sum.lost - x * x / count;
    double slope = covariance / variance;
    return (struct line){.slope = slope, .intercept = y / count - slope * x / count};
}

/* Whether there are two floats; tells that histograms are passed over. */
static bool has_line(struct range_call *call, const struct range_window *window)
{
    if (range_histogram_count(window) > 0 && range_float_count(window) > 0) {
        eval_note_series(call->eval, EVAL_NOTE_HISTOGRAM_IGNORED_IN_RANGE, call->at,
                         window->series->labels);
    }
    return range_float_count(window) >= 2;
}

bool range_deriv(struct range_call *call, const struct range_window *window,
                 struct range_value *ret_value)
{
    if (!has_line(call, window)) {
        return true;
    }
    struct line line = fit(window, window->series->floats.t_ms[window->float_begin]);
    return range_give(ret_value, line.slope);
}

bool range_predict_linear(struct range_call *call, const struct range_window *window,
                          struct range_value *ret_value)
{
    if (!has_line(call, window)) {
        return true;
    }
    struct line line = fit(window, window->t_ms);
    return range_give(ret_value, line.slope * call->arguments[0][window->step] + line.intercept);
}

/* ---- smoothing ------------------------------------------------------------------------------ */

bool range_smoothing(struct range_call *call, const struct range_window *window,
                     struct range_value *ret_value)
{
    double factor = call->arguments[0][window->step], trend = call->arguments[1][window->step];
    double before = 0, smoothed, slope;

    if (!(factor > 0 && factor < 1)) {
        return eval_fail(call->eval, PROMQL_ERROR_EXECUTION,
                         "invalid smoothing factor. Expected: 0 < sf < 1, got: %f", factor);
    }
    if (!(trend > 0 && trend < 1)) {
        return eval_fail(call->eval, PROMQL_ERROR_EXECUTION,
                         "invalid trend factor. Expected: 0 < tf < 1, got: %f", trend);
    }
    if (!has_line(call, window)) {
        return true;
    }
    const double *values = window->series->floats.values + window->float_begin;
    smoothed = values[0];
    slope = values[1] - values[0];
    for (size_t i = 1; i < range_float_count(window); i++) {
        if (i > 1) {
            slope = trend * (smoothed - before) + (1 - trend) * slope;
        }
        double next = factor * values[i] + (1 - factor) * (smoothed + slope);
        before = smoothed;
        smoothed = next;
    }
    return range_give(ret_value, smoothed);
}
