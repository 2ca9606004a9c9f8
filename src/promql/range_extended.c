/*
 * Anchored and smoothed range vectors: what a series was at the very ends of a window.
 *
 *     window        (-------------------]
 *     samples    a      b     c      d      e
 *     anchored   a is what the series was when the window began; d what it was when it ended
 *     smoothed   lines from a to b, and from d to e, say what it was
 *
 * The sample before a window counts for as long as the lookback; so does the one behind it.
 */
#include <promql/range.h>

#include <promql/notes.h>

/* Positions of floats or histograms: the sample at or before the window's start, if there is one,
 * and the last, which smoothed may lie behind the window. Returns: whether there is any. */
static bool find_reach(const struct range_call *call, const struct range_window *window,
                       bool is_float, size_t *ret_first, size_t *ret_last)
{
    const struct range_points *points =
        is_float ? &window->series->floats : &window->series->histograms;
    int64_t lookback_ms = call->eval->options->lookback_ms;
    size_t first = is_float ? window->float_begin : window->histogram_begin;
    size_t last = is_float ? window->float_end : window->histogram_end; /* one behind */

    if (first > 0 && points->t_ms[first - 1] > window->start_ms - lookback_ms) {
        first--;
    }
    bool ends_inside = last == 0 || points->t_ms[last - 1] < window->end_ms;
    if (call->is_smoothed && ends_inside && last < points->count &&
        points->t_ms[last] <= window->end_ms + lookback_ms) {
        last++;
    }
    *ret_first = first;
    *ret_last = last - 1;
    return last > first;
}

/* What a line between two neighbours says of a moment. A counter that fell began at 0 in between:
 * seen from a window's start, the line begins there; seen from its end, it goes on as if it had
 * not. */
static double between(const struct range_points *points, size_t left, int64_t t_ms, bool is_counter,
                      bool is_start)
{
    double from = points->values[left], to = points->values[left + 1];

    if (is_counter && to < from) {
        if (is_start) {
            from = 0;
        } else {
            to += from;
        }
    }
    return from + (to - from) * (double)(t_ms - points->t_ms[left]) /
                      (double)(points->t_ms[left + 1] - points->t_ms[left]);
}

static bool extended(struct range_call *call, const struct range_window *window, bool is_counter,
                     bool is_rate, struct range_value *ret_value)
{
    const struct range_points *points = &window->series->floats;
    size_t first, last, first_float, last_float;
    bool has_floats = find_reach(call, window, true, &first_float, &last_float);

    if (find_reach(call, window, false, &first, &last)) {
        if (has_floats) {
            eval_note_series(call->eval, EVAL_NOTE_MIXED_FLOATS_HISTOGRAMS, call->at,
                             window->series->labels);
            return !eval_is_failed(call->eval);
        }
        return range_extended_histograms(call, window, first, last, is_counter, is_rate, ret_value);
    }
    first = first_float;
    last = last_float;
    if (!has_floats || points->t_ms[last] <= window->start_ms ||
        points->t_ms[first] > window->end_ms) {
        return true;
    }
    double left = points->values[first], right = points->values[last];
    if (call->is_smoothed && points->t_ms[first] < window->start_ms && first < last) {
        left = between(points, first, window->start_ms, is_counter, true);
    }
    if (call->is_smoothed && last > 0 && last > first && points->t_ms[last] > window->end_ms) {
        right = between(points, last - 1, window->end_ms, is_counter, false);
    }
    double result = right - left, before = left;
    size_t begin = points->t_ms[first] <= window->start_ms ? first + 1 : first;
    size_t end = points->t_ms[last] >= window->end_ms ? last : last + 1;
    for (size_t i = begin; is_counter && i < end; i++) {
        result += points->values[i] < before ? before : 0;
        before = points->values[i];
    }
    result += is_counter && right < before ? before : 0;
    return range_give(ret_value, is_rate ? result / ((double)window->range_ms / 1000) : result);
}

bool range_extended_rate(struct range_call *call, const struct range_window *window,
                         struct range_value *ret_value)
{
    return extended(call, window, true, true, ret_value);
}

bool range_extended_increase(struct range_call *call, const struct range_window *window,
                             struct range_value *ret_value)
{
    return extended(call, window, true, false, ret_value);
}

bool range_extended_delta(struct range_call *call, const struct range_window *window,
                          struct range_value *ret_value)
{
    return extended(call, window, false, false, ret_value);
}

/* Changes or resets from the sample before the window on. */
static bool count(struct range_call *call, const struct range_window *window, bool is_resets,
                  struct range_value *ret_value)
{
    const struct range_points *floats = &window->series->floats;
    const struct range_points *histograms = &window->series->histograms;
    int64_t oldest_ms = window->start_ms - call->eval->options->lookback_ms;
    struct range_window wide = *window;

    if (range_float_count(window) + range_histogram_count(window) == 0) {
        return true;
    }
    /* The newest one before the window, of either kind. */
    size_t f = wide.float_begin, h = wide.histogram_begin;
    bool has_float = f > 0 && floats->t_ms[f - 1] > oldest_ms;
    bool has_histogram = h > 0 && histograms->t_ms[h - 1] > oldest_ms;
    if (has_float && (!has_histogram || floats->t_ms[f - 1] > histograms->t_ms[h - 1])) {
        wide.float_begin--;
    } else if (has_histogram) {
        wide.histogram_begin--;
    }
    return range_count_differences(call, &wide, is_resets, ret_value);
}

bool range_extended_changes(struct range_call *call, const struct range_window *window,
                            struct range_value *ret_value)
{
    return count(call, window, false, ret_value);
}

bool range_extended_resets(struct range_call *call, const struct range_window *window,
                           struct range_value *ret_value)
{
    return count(call, window, true, ret_value);
}
