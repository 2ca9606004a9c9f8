/*
 * Windows with native histograms in them.
 *
 * A rate is the last histogram less the first, and with all added that were before a reset; the
 * buckets are those that all of the window's have in common. What no histogram can be made of says
 * so in a note, and has no value.
 *
 * Of anchored and smoothed selectors the window's ends are those of range_extended.c; a line
 * between two histograms is one for each bucket.
 *
 * Results live in scratch memory: until the next series.
 */
#include <promql/range.h>

#include <promql/histogram_sum.h>
#include <promql/notes.h>

#include <math.h>

static void note(struct range_call *call, const struct range_window *window, enum eval_note kind)
{
    eval_note_series(call->eval, kind, call->at, window->series->labels);
}

static bool give_histogram(struct range_call *call, const struct promql_histogram *histogram,
                           struct range_value *ret_value)
{
    if (histogram == NULL) {
        return eval_fail_memory(call->eval);
    }
    *ret_value = (struct range_value){.kind = EVAL_HISTOGRAM, .histogram = histogram};
    return true;
}

/* Looks at what an operation came to. Returns: whether there is a result; `*ret_failed`: the query
 * has failed. */
static bool is_done(struct range_call *call, const struct range_window *window,
                    enum promql_histogram_outcome outcome, bool *ret_failed)
{
    if (outcome == PROMQL_HISTOGRAM_REFUSED) {
        *ret_failed = !eval_fail_memory(call->eval);
    } else if (outcome == PROMQL_HISTOGRAM_INCOMPATIBLE) {
        note(call, window, EVAL_NOTE_MIXED_SCHEMAS);
    }
    return outcome == PROMQL_HISTOGRAM_DONE;
}

/* Whether counting began anew at the window's histogram `i`. */
static bool is_reset(struct range_call *call, const struct range_points *points, size_t i,
                     bool *ret_is_reset)
{
    if (range_is_restart(call, points, i)) {
        *ret_is_reset = true;
        return true;
    }
    return promql_histogram_detect_reset(&call->eval->scratch, points->histograms[i],
                                         points->histograms[i - 1], ret_is_reset) ||
           eval_fail_memory(call->eval);
}

/* Whether the histograms from `begin` on are of one kind; notes those that are no counters. */
static bool are_alike(struct range_call *call, const struct range_window *window, size_t begin,
                      bool is_counter)
{
    const struct promql_histogram *const *histograms = window->series->histograms.histograms;
    bool is_custom = promql_histogram_is_custom(histograms[window->histogram_end - 1]);

    for (size_t i = window->histogram_begin; i < window->histogram_end; i++) {
        if (is_counter && histograms[i]->reset_hint == PROMQL_RESET_GAUGE) {
            note(call, window, EVAL_NOTE_NOT_COUNTER);
        }
    }
    for (size_t i = begin; i < window->histogram_end; i++) {
        if (promql_histogram_is_custom(histograms[i]) != is_custom) {
            note(call, window, EVAL_NOTE_MIXED_SCHEMAS);
            return false;
        }
    }
    return true;
}

/* Adds what was counted before each reset. */
static bool add_resets(struct range_call *call, const struct range_window *window, size_t begin,
                       const struct promql_histogram **result, bool *ret_is_none)
{
    const struct range_points *points = &window->series->histograms;
    struct promql_histogram_notes notes = {0};

    for (size_t i = begin + 1; i < window->histogram_end; i++) {
        bool is_anew = false, failed = false;
        if (!is_reset(call, points, i, &is_anew)) {
            return false;
        }
        if (is_anew && !is_done(call, window,
                                promql_histogram_add(&call->eval->scratch, *result,
                                                     points->histograms[i - 1], &notes, result),
                                &failed)) {
            *ret_is_none = true;
            return !failed;
        }
    }
    if (notes.bounds_reconciled) {
        eval_note_words(call->eval, EVAL_NOTE_BOUNDS_RECONCILED, call->at, "addition", NULL, NULL);
    }
    return true;
}

/* The difference of a window's ends, with resets; `from_zero`: nothing was counted before the first
 * one. `*ret_result`: NULL: there is none. */
static bool difference(struct range_call *call, const struct range_window *window, bool is_counter,
                       bool from_zero, const struct promql_histogram **ret_result)
{
    const struct range_points *points = &window->series->histograms;
    size_t begin = window->histogram_begin, last = window->histogram_end - 1;
    const struct promql_histogram *result = points->histograms[last];
    struct promql_histogram_notes notes = {0};
    bool starts_anew = false, is_none = false, failed = false;

    *ret_result = NULL;
    if (is_counter && !from_zero && !is_reset(call, points, begin + 1, &starts_anew)) {
        return false;
    }
    begin += starts_anew; /* what was before the second one does not count */
    if (!are_alike(call, window, begin, is_counter)) {
        return true;
    }
    if (!starts_anew && !from_zero &&
        !is_done(call, window,
                 promql_histogram_subtract(&call->eval->scratch, result, points->histograms[begin],
                                           &notes, &result),
                 &failed)) {
        return !failed;
    }
    if (notes.bounds_reconciled) {
        eval_note_words(call->eval, EVAL_NOTE_BOUNDS_RECONCILED, call->at, "subtraction", NULL,
                        NULL);
    }
    if (is_counter) {
        if (!add_resets(call, window, begin, &result, &is_none)) {
            return false;
        }
    } else if (points->histograms[begin]->reset_hint != PROMQL_RESET_GAUGE ||
               points->histograms[last]->reset_hint != PROMQL_RESET_GAUGE) {
        note(call, window, EVAL_NOTE_NOT_GAUGE);
    }
    *ret_result = is_none ? NULL : result;
    return true;
}

/* A result times a factor, as a gauge. */
static bool give_scaled(struct range_call *call, const struct promql_histogram *result,
                        double factor, struct range_value *ret_value)
{
    result = promql_histogram_multiply(&call->eval->scratch, result, factor);
    if (result != NULL) {
        result = promql_histogram_with_hint(&call->eval->scratch, result, PROMQL_RESET_GAUGE);
    }
    return give_histogram(call, result, ret_value);
}

bool range_rate_histograms(struct range_call *call, const struct range_window *window,
                           bool is_counter, bool is_rate, struct range_value *ret_value)
{
    const struct promql_histogram *result;

    if (range_float_count(window) > 0) {
        note(call, window, EVAL_NOTE_MIXED_FLOATS_HISTOGRAMS);
        return true;
    }
    bool from_zero = is_counter && range_has_start(call, window, &window->series->histograms,
                                                   window->histogram_begin);
    if (range_histogram_count(window) < 2 && !from_zero) {
        return true;
    }
    if (!difference(call, window, is_counter, from_zero, &result)) {
        return false;
    }
    if (result == NULL) {
        return true;
    }
    double factor = range_factor(call, window, is_counter, result->count);
    return give_scaled(call, result, is_rate ? factor / ((double)window->range_ms / 1000) : factor,
                       ret_value);
}

/* ---- anchored and smoothed ------------------------------------------------------------------ */

/* The histograms of an extended window: the one at or before its start, those inside, and of a
 * smoothed one the first at or behind its end. */
struct extent {
    const struct range_points *points;
    size_t first, last;
};

static bool note_reconciled(struct range_call *call, const struct promql_histogram_notes *notes,
                            const char *operation)
{
    if (notes->bounds_reconciled) {
        eval_note_words(call->eval, EVAL_NOTE_BOUNDS_RECONCILED, call->at, operation, NULL, NULL);
    }
    return !eval_is_failed(call->eval);
}

/* Whether all are of one kind; notes those that are no counters. */
static bool are_alike_all(struct range_call *call, const struct range_window *window,
                          const struct extent *extent, bool is_counter)
{
    const struct promql_histogram *const *histograms = extent->points->histograms;

    for (size_t i = extent->first; i <= extent->last; i++) {
        if (promql_histogram_is_custom(histograms[i]) !=
            promql_histogram_is_custom(histograms[extent->first])) {
            note(call, window, EVAL_NOTE_MIXED_SCHEMAS);
            return false;
        }
        if (is_counter && histograms[i]->reset_hint == PROMQL_RESET_GAUGE) {
            note(call, window, EVAL_NOTE_NOT_COUNTER);
        }
    }
    return true;
}

/* What stands between histogram `i` and the next one at a moment. */
static bool between(struct range_call *call, const struct range_window *window,
                    const struct range_points *points, size_t i, int64_t t_ms, bool is_counter,
                    const struct promql_histogram **ret_histogram, bool *ret_failed)
{
    const struct promql_histogram_point left = {points->histograms[i], points->t_ms[i]};
    const struct promql_histogram_point right = {points->histograms[i + 1], points->t_ms[i + 1]};
    struct promql_histogram_notes notes[2] = {0};

    if (!is_done(call, window,
                 promql_histogram_between(&call->eval->scratch, left, right, t_ms, is_counter,
                                          notes, ret_histogram),
                 ret_failed)) {
        return false;
    }
    *ret_failed = !note_reconciled(call, &notes[0], "subtraction") ||
                  !note_reconciled(call, &notes[1], "addition");
    return !*ret_failed;
}

/* The histograms at a window's ends. */
static bool find_sides(struct range_call *call, const struct range_window *window,
                       const struct extent *extent, bool is_counter,
                       const struct promql_histogram *sides[2], bool *ret_failed)
{
    const struct range_points *points = extent->points;
    size_t first = extent->first, last = extent->last;

    sides[0] = points->histograms[first];
    sides[1] = points->histograms[last];
    if (call->is_smoothed && points->t_ms[first] < window->start_ms &&
        !between(call, window, points, first, window->start_ms, is_counter, &sides[0],
                 ret_failed)) {
        return false;
    }
    return !call->is_smoothed || last == 0 || points->t_ms[last] <= window->end_ms ||
           between(call, window, points, last - 1, window->end_ms, is_counter, &sides[1],
                   ret_failed);
}

/* Adds to `*result` what was counted before each reset. What a smoothed start lies on is counted
 * from its reset on. */
static bool add_extended_resets(struct range_call *call, const struct range_window *window,
                                const struct extent *extent,
                                const struct promql_histogram *const sides[2],
                                const struct promql_histogram **result, bool *ret_failed)
{
    const struct range_points *points = extent->points;
    const struct promql_histogram *before = sides[0];
    struct promql_memory *scratch = &call->eval->scratch;
    struct promql_histogram_notes notes = {0};
    size_t i = extent->first + 1;
    bool is_anew = false;

    *ret_failed = false;
    if (call->is_smoothed && points->t_ms[extent->first] < window->start_ms) {
        if (!promql_histogram_detect_reset(scratch, points->histograms[i],
                                           points->histograms[extent->first], &is_anew)) {
            *ret_failed = !eval_fail_memory(call->eval);
            return false;
        }
        before = is_anew ? points->histograms[i] : before;
        i += is_anew;
    }
    for (; i <= extent->last; i++) {
        const struct promql_histogram *now = i == extent->last ? sides[1] : points->histograms[i];
        if (!promql_histogram_detect_reset(scratch, now, before, &is_anew)) {
            *ret_failed = !eval_fail_memory(call->eval);
            return false;
        }
        if (is_anew &&
            !is_done(call, window, promql_histogram_add(scratch, *result, before, &notes, result),
                     ret_failed)) {
            return false;
        }
        before = now;
    }
    *ret_failed = !note_reconciled(call, &notes, "addition");
    return !*ret_failed;
}

/* The difference of an extended window's ends. Returns: whether there is one. */
static bool extended_difference(struct range_call *call, const struct range_window *window,
                                const struct extent *extent, bool is_counter,
                                const struct promql_histogram **ret_result, bool *ret_failed)
{
    const struct promql_histogram *sides[2];
    struct promql_histogram_notes notes = {0};

    if (!are_alike_all(call, window, extent, is_counter) ||
        !find_sides(call, window, extent, is_counter, sides, ret_failed)) {
        return false;
    }
    if (!is_counter && (sides[0]->reset_hint != PROMQL_RESET_GAUGE ||
                        sides[1]->reset_hint != PROMQL_RESET_GAUGE)) {
        note(call, window, EVAL_NOTE_NOT_GAUGE);
    }
    if (!is_done(
            call, window,
            promql_histogram_subtract(&call->eval->scratch, sides[1], sides[0], &notes, ret_result),
            ret_failed)) {
        return false;
    }
    *ret_failed = !note_reconciled(call, &notes, "subtraction");
    return !*ret_failed && (!is_counter || add_extended_resets(call, window, extent, sides,
                                                               ret_result, ret_failed));
}

bool range_extended_histograms(struct range_call *call, const struct range_window *window,
                               size_t first, size_t last, bool is_counter, bool is_rate,
                               struct range_value *ret_value)
{
    const struct extent extent = {&window->series->histograms, first, last};
    const struct promql_histogram *result;
    bool failed = false;

    if (extent.points->t_ms[last] <= window->start_ms ||
        extent.points->t_ms[first] > window->end_ms) {
        return true;
    }
    if (!extended_difference(call, window, &extent, is_counter, &result, &failed)) {
        return !failed;
    }
    return give_scaled(call, result, is_rate ? 1 / ((double)window->range_ms / 1000) : 1,
                       ret_value);
}

/* ---- the last two samples ------------------------------------------------------------------- */

static bool instant_difference(struct range_call *call, const struct range_window *window,
                               bool is_rate, const struct promql_histogram **ret_result)
{
    const struct range_points *points = &window->series->histograms;
    size_t last = window->histogram_end - 1;
    const struct promql_histogram *newer = points->histograms[last];
    const struct promql_histogram *older = points->histograms[last - 1];
    struct promql_histogram_notes notes = {0};
    bool is_anew = false, failed = false;

    *ret_result = NULL;
    bool is_gauge = newer->reset_hint == PROMQL_RESET_GAUGE;
    bool was_gauge = older->reset_hint == PROMQL_RESET_GAUGE;
    if (is_rate && (is_gauge || was_gauge)) {
        note(call, window, EVAL_NOTE_NOT_COUNTER);
    }
    if (!is_rate && !(is_gauge && was_gauge)) {
        note(call, window, EVAL_NOTE_NOT_GAUGE);
    }
    if (is_rate && !is_reset(call, points, last, &is_anew)) {
        return false;
    }
    if (is_anew) {
        *ret_result = newer;
        return true;
    }
    if (!is_done(call, window,
                 promql_histogram_subtract(&call->eval->scratch, newer, older, &notes, ret_result),
                 &failed)) {
        *ret_result = NULL;
        return !failed;
    }
    if (notes.bounds_reconciled) {
        eval_note_words(call->eval, EVAL_NOTE_BOUNDS_RECONCILED, call->at, "subtraction", NULL,
                        NULL);
    }
    return true;
}

/* Whether the last two samples of a window are histograms; else they are of both kinds, or there
 * are floats alone behind the histograms. */
static bool last_are_histograms(const struct range_window *window)
{
    const struct range_points *floats = &window->series->floats;
    const struct range_points *histograms = &window->series->histograms;

    return range_histogram_count(window) >= 2 &&
           (range_float_count(window) == 0 ||
            floats->t_ms[window->float_end - 1] < histograms->t_ms[window->histogram_end - 2]);
}

static bool last_are_floats(const struct range_window *window)
{
    const struct range_points *floats = &window->series->floats;
    const struct range_points *histograms = &window->series->histograms;

    return range_float_count(window) >= 2 &&
           histograms->t_ms[window->histogram_end - 1] < floats->t_ms[window->float_end - 2];
}

bool range_instant_histograms(struct range_call *call, const struct range_window *window,
                              bool is_rate, struct range_value *ret_value)
{
    const struct range_points *points = &window->series->histograms;
    const struct promql_histogram *result;

    if (last_are_floats(window)) {
        struct range_window floats = *window;
        floats.histogram_begin = floats.histogram_end;
        return is_rate ? range_irate(call, &floats, ret_value)
                       : range_idelta(call, &floats, ret_value);
    }
    if (!last_are_histograms(window)) {
        if (range_float_count(window) + range_histogram_count(window) >= 2) {
            note(call, window, EVAL_NOTE_MIXED_FLOATS_HISTOGRAMS);
        }
        return true;
    }
    if (!instant_difference(call, window, is_rate, &result)) {
        return false;
    }
    if (result == NULL) {
        return true;
    }
    size_t last = window->histogram_end - 1;
    double span = (double)(points->t_ms[last] - points->t_ms[last - 1]) / 1000;
    return give_scaled(call, result, is_rate ? 1 / span : 1, ret_value);
}

/* ---- sums and means ------------------------------------------------------------------------- */

bool range_total_histograms(struct range_call *call, const struct range_window *window,
                            bool is_mean, struct range_value *ret_value)
{
    const struct promql_histogram *const *histograms = window->series->histograms.histograms;
    struct promql_histogram_mean mean = {.sum = {.memory = &call->eval->scratch}};
    struct promql_histogram_notes notes = {0};
    bool says_yes = false, says_no = false;

    for (size_t i = window->histogram_begin; i < window->histogram_end; i++) {
        bool failed = false;
        enum promql_histogram_outcome outcome =
            is_mean ? promql_histogram_mean_add(&mean, histograms[i], &notes)
                    : promql_histogram_sum_add(&mean.sum, histograms[i], &notes);
        if (!is_done(call, window, outcome, &failed)) {
            return !failed;
        }
        says_yes = says_yes || histograms[i]->reset_hint == PROMQL_RESET_YES;
        says_no = says_no || histograms[i]->reset_hint == PROMQL_RESET_NO;
    }
    if (says_yes && says_no) {
        eval_note_words(call->eval, EVAL_NOTE_RESET_COLLISION, call->at, "aggregation", NULL, NULL);
    }
    if (notes.bounds_reconciled) {
        eval_note_words(call->eval, EVAL_NOTE_BOUNDS_RECONCILED, call->at, "aggregation", NULL,
                        NULL);
    }
    return give_histogram(call,
                          is_mean ? promql_histogram_mean_finish(&mean)
                                  : promql_histogram_sum_finish(&mean.sum),
                          ret_value);
}

/* ---- changes and resets --------------------------------------------------------------------- */

/* Whether two samples in a row, both of one kind, differ as it is asked. */
static bool differ(struct range_call *call, const struct range_window *window, bool is_float,
                   size_t i, bool is_resets, bool *ret_differ)
{
    const struct range_points *points =
        is_float ? &window->series->floats : &window->series->histograms;

    if (is_float) {
        double value = points->values[i], before = points->values[i - 1];
        *ret_differ = is_resets ? range_is_reset(call, points, i)
                                : value != before && !(isnan(value) && isnan(before));
        return true;
    }
    if (is_resets) {
        return is_reset(call, points, i, ret_differ);
    }
    *ret_differ = !promql_histogram_equal(points->histograms[i], points->histograms[i - 1]);
    return true;
}

bool range_count_differences(struct range_call *call, const struct range_window *window,
                             bool is_resets, struct range_value *ret_value)
{
    const struct range_points *floats = &window->series->floats;
    const struct range_points *histograms = &window->series->histograms;
    size_t f = window->float_begin, h = window->histogram_begin;
    size_t changed_count = 0, seen_count = 0;
    bool was_float = false;

    while (f < window->float_end || h < window->histogram_end) {
        bool is_float = h == window->histogram_end ||
                        (f < window->float_end && floats->t_ms[f] < histograms->t_ms[h]);
        bool is_different = seen_count > 0 && is_float != was_float;
        if (seen_count > 0 && is_float == was_float &&
            !differ(call, window, is_float, is_float ? f : h, is_resets, &is_different)) {
            return false;
        }
        changed_count += is_different;
        seen_count++;
        was_float = is_float;
        f += is_float;
        h += !is_float;
    }
    return range_give(ret_value, (double)changed_count);
}
