/*
 * rate and its like.
 *
 *     window   (----------------------------]
 *     samples      1    2    3 | 1    2          | counting began anew
 *              <-->                     <-->
 *              gaps at both ends: as long as 1.1 times the mean distance they count whole, else
 * half a distance; that of the start not past where the counter would have been 0
 *
 * The sum of what was counted before each reset is that of the resets inside of the window: they
 * are found once a series, and kept in a list that the window slides over. A step costs its resets,
 * which are few.
 *
 * When counting began is known of some samples: where that of the first lies inside of the window,
 * nothing is guessed on that side, and one sample is enough.
 *
 * Source: Prometheus' extrapolatedRate; of 2.42, which bounds the gap at the start before it looks
 * how long it is.
 */
#include <promql/range.h>

#include <promql/notes.h>

#include <math.h>

/* When counting began, where it is known and makes sense; else 0. */
static int64_t start_of(const struct range_call *call, const struct range_points *points, size_t i)
{
    int64_t start_ms = call->uses_start_times ? points->start_ms[i] : 0;
    return start_ms < points->t_ms[i] ? start_ms : 0;
}

bool range_has_start(const struct range_call *call, const struct range_window *window,
                     const struct range_points *points, size_t begin)
{
    int64_t start_ms = start_of(call, points, begin);
    return start_ms != 0 && start_ms > window->start_ms;
}

bool range_is_restart(const struct range_call *call, const struct range_points *points, size_t i)
{
    int64_t start_ms = start_of(call, points, i), before_ms = points->t_ms[i - 1];

    return start_ms != 0 &&
           (start_ms > before_ms || (start_ms == before_ms && points->start_ms[i - 1] != 0 &&
                                     points->start_ms[i - 1] < start_ms));
}

bool range_is_reset(const struct range_call *call, const struct range_points *points, size_t i)
{
    return points->values[i] < points->values[i - 1] || range_is_restart(call, points, i);
}

/* What the counter had reached before each reset in the window. */
static bool sum_of_resets(struct range_call *call, const struct range_window *window,
                          double *ret_sum)
{
    const struct range_points *points = &window->series->floats;
    struct range_positions *resets = &call->positions;
    double sum = 0;

    for (size_t i = call->seen < 1 ? 1 : call->seen; i < window->float_end; i++) {
        if (range_is_reset(call, points, i) && !range_push(call, i)) {
            return false;
        }
        call->seen = i + 1;
    }
    while (resets->begin < resets->end && resets->positions[resets->begin] <= window->float_begin) {
        resets->begin++;
    }
    for (size_t i = resets->begin; i < resets->end; i++) {
        sum += points->values[resets->positions[i] - 1];
    }
    *ret_sum = sum;
    return true;
}

/* What is extrapolated from. Times in seconds. */
struct spread {
    double result;                /* between the first and the last sample */
    double first;                 /* the first one's value, or its count */
    double sampled, mean;         /* from the first to the last; between two */
    double gap_before, gap_after; /* to the window's ends */
    bool has_start;               /* it is known where counting began */
};

/* What the result is to be multiplied by. */
static double extrapolation(const struct spread *spread, bool is_counter, bool is_2_42)
{
    double threshold = spread->mean * 1.1;
    double before = spread->gap_before, after = spread->gap_after;
    double to_zero = INFINITY;

    if (is_counter && spread->result > 0 && spread->first >= 0) {
        to_zero = spread->sampled * (spread->first / spread->result);
    }
    if (is_2_42 && to_zero < before) {
        before = to_zero;
    }
    if (before >= threshold) {
        before = spread->mean / 2;
    }
    if (!is_2_42 && to_zero < before) {
        before = to_zero;
    }
    if (spread->has_start) {
        before = 0;
    }
    if (after >= threshold) {
        after = spread->mean / 2;
    }
    return (spread->sampled + before + after) / spread->sampled;
}

/* The gaps of `points` from `begin` to `end` in their window. `is_counter`: it is looked when
 * counting began. */
static void measure(const struct range_call *call, const struct range_window *window,
                    const struct range_points *points, size_t begin, size_t end, bool is_counter,
                    struct spread *spread)
{
    int64_t first_ms = points->t_ms[begin], last_ms = points->t_ms[end - 1];

    spread->mean =
        end - begin < 2 ? 0 : (double)(last_ms - first_ms) / 1000 / (double)(end - begin - 1);
    if (is_counter && range_has_start(call, window, points, begin)) {
        spread->has_start = true;
        first_ms = points->start_ms[begin];
    }
    spread->gap_before = (double)(first_ms - window->start_ms) / 1000;
    spread->gap_after = (double)(window->end_ms - last_ms) / 1000;
    spread->sampled = (double)(last_ms - first_ms) / 1000;
}

static bool rate_floats(struct range_call *call, const struct range_window *window, bool is_counter,
                        bool is_rate, struct range_value *ret_value)
{
    const struct range_points *points = &window->series->floats;
    struct spread spread = {.first = points->values[window->float_begin]};
    double resets = 0;

    if (is_counter && !sum_of_resets(call, window, &resets)) {
        return false;
    }
    measure(call, window, points, window->float_begin, window->float_end, is_counter, &spread);
    if (range_float_count(window) < 2 && !spread.has_start) {
        return true;
    }
    spread.result =
        points->values[window->float_end - 1] - (spread.has_start ? 0 : spread.first) + resets;
    double factor = extrapolation(&spread, is_counter, call->eval->options->compat_2_42);
    factor = is_rate ? factor / ((double)window->range_ms / 1000) : factor;
    return range_give(ret_value, spread.result * factor);
}

static bool rate_of(struct range_call *call, const struct range_window *window, bool is_counter,
                    bool is_rate, struct range_value *ret_value)
{
    if (range_histogram_count(window) == 0) {
        return rate_floats(call, window, is_counter, is_rate, ret_value);
    }
    return range_rate_histograms(call, window, is_counter, is_rate, ret_value);
}

double range_factor(const struct range_call *call, const struct range_window *window,
                    bool is_counter, double result_count)
{
    const struct range_points *points = &window->series->histograms;
    struct spread spread = {.result = result_count,
                            .first = points->histograms[window->histogram_begin]->count};

    measure(call, window, points, window->histogram_begin, window->histogram_end, is_counter,
            &spread);
    return extrapolation(&spread, is_counter, call->eval->options->compat_2_42);
}

bool range_rate(struct range_call *call, const struct range_window *window,
                struct range_value *ret_value)
{
    return rate_of(call, window, true, true, ret_value);
}

bool range_increase(struct range_call *call, const struct range_window *window,
                    struct range_value *ret_value)
{
    return rate_of(call, window, true, false, ret_value);
}

bool range_delta(struct range_call *call, const struct range_window *window,
                 struct range_value *ret_value)
{
    return rate_of(call, window, false, false, ret_value);
}

/* ---- the last two samples ------------------------------------------------------------------- */

/* Of floats and histograms together, as long as both samples are floats. */
static bool instant(struct range_call *call, const struct range_window *window, bool is_rate,
                    struct range_value *ret_value)
{
    const struct range_points *points = &window->series->floats;
    size_t last = window->float_end - 1;

    if (range_histogram_count(window) > 0) {
        return range_instant_histograms(call, window, is_rate, ret_value);
    }
    if (range_float_count(window) < 2) {
        return true;
    }
    double value = points->values[last];
    double span = (double)(points->t_ms[last] - points->t_ms[last - 1]) / 1000;
    if (!is_rate || !range_is_reset(call, points, last)) {
        value -= points->values[last - 1];
    }
    return range_give(ret_value, is_rate ? value / span : value);
}

bool range_irate(struct range_call *call, const struct range_window *window,
                 struct range_value *ret_value)
{
    return instant(call, window, true, ret_value);
}

bool range_idelta(struct range_call *call, const struct range_window *window,
                  struct range_value *ret_value)
{
    return instant(call, window, false, ret_value);
}
