/*
 * Aggregations over a window's samples.
 *
 * Sums and means are added up anew for each window, in order, so that they agree with Prometheus'
 * to the last digits. Smallest and greatest values are kept in a deque of positions whose values
 * only rise, or only fall: each float goes in once and out once, whatever the windows overlap.
 *
 * Histograms: sums and means of them, unless floats are among them; the others look at floats
 * alone, and say that they did.
 */
#include <promql/range.h>

#include <promql/notes.h>
#include <promql/sum.h>

#include <math.h>

static const double *first_float(const struct range_window *window)
{
    return window->series->floats.values + window->float_begin;
}

/* Whether a function of floats has some; tells that histograms are passed over. */
static bool has_floats(struct range_call *call, const struct range_window *window)
{
    if (range_float_count(window) == 0) {
        return false;
    }
    if (range_histogram_count(window) > 0) {
        eval_note_series(call->eval, EVAL_NOTE_HISTOGRAM_IGNORED_IN_RANGE, call->at,
                         window->series->labels);
    }
    return true;
}

/* Whether floats and histograms are there; which is told. */
static bool is_mixed(struct range_call *call, const struct range_window *window)
{
    if (range_float_count(window) == 0 || range_histogram_count(window) == 0) {
        return false;
    }
    eval_note_series(call->eval, EVAL_NOTE_MIXED_FLOATS_HISTOGRAMS, call->at,
                     window->series->labels);
    return true;
}

bool range_sum_over_time(struct range_call *call, const struct range_window *window,
                         struct range_value *ret_value)
{
    struct eval_sum sum = {0};

    if (is_mixed(call, window)) {
        return true;
    }
    if (range_histogram_count(window) > 0) {
        return range_total_histograms(call, window, false, ret_value);
    }
    for (size_t i = 0; i < range_float_count(window); i++) {
        eval_sum_add(&sum, first_float(window)[i]);
    }
    return range_give(ret_value, eval_sum_value(&sum));
}

bool range_avg_over_time(struct range_call *call, const struct range_window *window,
                         struct range_value *ret_value)
{
    struct eval_mean mean = {0};

    if (is_mixed(call, window)) {
        return true;
    }
    if (range_histogram_count(window) > 0) {
        return range_total_histograms(call, window, true, ret_value);
    }
    for (size_t i = 0; i < range_float_count(window); i++) {
        eval_mean_add(&mean, first_float(window)[i]);
    }
    return range_give(ret_value, eval_mean_value(&mean));
}

bool range_count_over_time(struct range_call *call, const struct range_window *window,
                           struct range_value *ret_value)
{
    (void)call;
    return range_give(ret_value,
                      (double)(range_float_count(window) + range_histogram_count(window)));
}

bool range_present_over_time(struct range_call *call, const struct range_window *window,
                             struct range_value *ret_value)
{
    (void)call;
    (void)window;
    return range_give(ret_value, 1);
}

/* ---- the first and the last ----------------------------------------------------------------- */

/* Whether the window's first, or last, sample is a float. */
static bool is_float_at_end(const struct range_window *window, bool is_last)
{
    const struct range_points *floats = &window->series->floats;
    const struct range_points *histograms = &window->series->histograms;

    if (range_histogram_count(window) == 0 || range_float_count(window) == 0) {
        return range_float_count(window) != 0;
    }
    return is_last
               ? floats->t_ms[window->float_end - 1] > histograms->t_ms[window->histogram_end - 1]
               : floats->t_ms[window->float_begin] < histograms->t_ms[window->histogram_begin];
}

static bool give_sample(const struct range_window *window, bool is_last,
                        struct range_value *ret_value)
{
    if (is_float_at_end(window, is_last)) {
        size_t i = is_last ? window->float_end - 1 : window->float_begin;
        return range_give(ret_value, window->series->floats.values[i]);
    }
    size_t i = is_last ? window->histogram_end - 1 : window->histogram_begin;
    *ret_value = (struct range_value){.kind = EVAL_HISTOGRAM,
                                      .histogram = window->series->histograms.histograms[i]};
    return true;
}

static bool give_time(const struct range_window *window, bool is_last,
                      struct range_value *ret_value)
{
    if (is_float_at_end(window, is_last)) {
        size_t i = is_last ? window->float_end - 1 : window->float_begin;
        return range_give(ret_value, (double)window->series->floats.t_ms[i] / 1000);
    }
    size_t i = is_last ? window->histogram_end - 1 : window->histogram_begin;
    return range_give(ret_value, (double)window->series->histograms.t_ms[i] / 1000);
}

bool range_last_over_time(struct range_call *call, const struct range_window *window,
                          struct range_value *ret_value)
{
    (void)call;
    return give_sample(window, true, ret_value);
}

bool range_first_over_time(struct range_call *call, const struct range_window *window,
                           struct range_value *ret_value)
{
    (void)call;
    return give_sample(window, false, ret_value);
}

bool range_ts_of_first(struct range_call *call, const struct range_window *window,
                       struct range_value *ret_value)
{
    (void)call;
    return give_time(window, false, ret_value);
}

bool range_ts_of_last(struct range_call *call, const struct range_window *window,
                      struct range_value *ret_value)
{
    (void)call;
    return give_time(window, true, ret_value);
}

/* ---- the smallest and the greatest ---------------------------------------------------------- */

/* Whether `newer` makes `older` needless for as long as both are in the window. `later_wins`: also
 * when they are equal. */
static bool outdoes(double newer, double older, bool is_max, bool later_wins)
{
    if (isnan(older) || isnan(newer)) {
        return isnan(older) && (!isnan(newer) || later_wins);
    }
    return (is_max ? newer > older : newer < older) || (later_wins && newer == older);
}

/* The position of the window's smallest, or greatest, float, that is no NaN if one is none. */
static bool find_extreme(struct range_call *call, const struct range_window *window, bool is_max,
                         bool later_wins, size_t *ret_position)
{
    const double *values = window->series->floats.values;
    struct range_positions *deque = &call->positions;

    for (size_t i = call->seen; i < window->float_end; i++) {
        while (deque->begin < deque->end &&
               outdoes(values[i], values[deque->positions[deque->end - 1]], is_max, later_wins)) {
            deque->end--;
        }
        if (!range_push(call, i)) {
            return false;
        }
        call->seen = i + 1;
    }
    while (deque->positions[deque->begin] < window->float_begin) {
        deque->begin++;
    }
    Q_DCHECK(deque->begin < deque->end);
    *ret_position = deque->positions[deque->begin];
    return true;
}

static bool give_extreme(struct range_call *call, const struct range_window *window, bool is_max,
                         struct range_value *ret_value)
{
    size_t position;

    if (!has_floats(call, window)) {
        return true;
    }
    return find_extreme(call, window, is_max, false, &position) &&
           range_give(ret_value, window->series->floats.values[position]);
}

static bool give_time_of_extreme(struct range_call *call, const struct range_window *window,
                                 bool is_max, struct range_value *ret_value)
{
    size_t position;

    if (!has_floats(call, window)) {
        return true;
    }
    return find_extreme(call, window, is_max, true, &position) &&
           range_give(ret_value, (double)window->series->floats.t_ms[position] / 1000);
}

bool range_min_over_time(struct range_call *call, const struct range_window *window,
                         struct range_value *ret_value)
{
    return give_extreme(call, window, false, ret_value);
}

bool range_max_over_time(struct range_call *call, const struct range_window *window,
                         struct range_value *ret_value)
{
    return give_extreme(call, window, true, ret_value);
}

bool range_ts_of_min(struct range_call *call, const struct range_window *window,
                     struct range_value *ret_value)
{
    return give_time_of_extreme(call, window, false, ret_value);
}

bool range_ts_of_max(struct range_call *call, const struct range_window *window,
                     struct range_value *ret_value)
{
    return give_time_of_extreme(call, window, true, ret_value);
}

/* ---- how they vary -------------------------------------------------------------------------- */

static double variance(const struct range_window *window)
{
    struct eval_variance variance = {0};

    for (size_t i = 0; i < range_float_count(window); i++) {
        eval_variance_add(&variance, first_float(window)[i]);
    }
    return eval_variance_value(&variance);
}

bool range_stdvar_over_time(struct range_call *call, const struct range_window *window,
                            struct range_value *ret_value)
{
    return !has_floats(call, window) || range_give(ret_value, variance(window));
}

bool range_stddev_over_time(struct range_call *call, const struct range_window *window,
                            struct range_value *ret_value)
{
    return !has_floats(call, window) || range_give(ret_value, sqrt(variance(window)));
}

/* ---- quantiles ------------------------------------------------------------------------------ */

/* A copy of the window's floats. NULL: failed. */
static double *copy_floats(struct range_call *call, const struct range_window *window)
{
    double *values = range_room(call, range_float_count(window));

    for (size_t i = 0; values != NULL && i < range_float_count(window); i++) {
        values[i] = first_float(window)[i];
    }
    return values;
}

bool range_quantile_over_time(struct range_call *call, const struct range_window *window,
                              struct range_value *ret_value)
{
    double phi = call->arguments[0][window->step];

    if (!has_floats(call, window)) {
        return true;
    }
    if (!(phi >= 0 && phi <= 1)) {
        eval_note_number(call->eval, EVAL_NOTE_INVALID_QUANTILE, call->node->call.arguments[0]->at,
                         phi);
    }
    double *values = copy_floats(call, window);
    return values != NULL &&
           range_give(ret_value, eval_quantile(phi, values, range_float_count(window)));
}

bool range_mad_over_time(struct range_call *call, const struct range_window *window,
                         struct range_value *ret_value)
{
    size_t count = range_float_count(window);

    if (!has_floats(call, window)) {
        return true;
    }
    double *values = copy_floats(call, window);
    if (values == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (isnan(values[i])) {
            return range_give(ret_value, NAN);
        }
    }
    double median = eval_quantile(0.5, values, count);
    for (size_t i = 0; i < count; i++) {
        values[i] = fabs(values[i] - median);
    }
    return range_give(ret_value, eval_quantile(0.5, values, count));
}
