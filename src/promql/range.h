/*
 * Functions of range vectors: what each sees of a series, and the tables of them.
 */
#ifndef QUARRY_PROMQL_RANGE_H
#define QUARRY_PROMQL_RANGE_H

#include <promql/eval.h>

/* Points of one kind, in rising time. */
struct range_points {
    int64_t *t_ms, *start_ms;
    double *values;                             /* of floats */
    const struct promql_histogram **histograms; /* of the others */
    size_t count, capacity;
};

/* A series of which windows are looked at. */
struct range_series {
    struct eval_labels labels;
    struct range_points floats, histograms;
};

/* The points with start_ms < t <= end_ms: from `begin`, without `end`. */
struct range_window {
    const struct range_series *series;
    size_t float_begin, float_end, histogram_begin, histogram_end;
    int64_t start_ms, end_ms, range_ms; /* range_ms: their difference */
    int64_t t_ms;                       /* the step's */
    uint32_t step;
};

static inline size_t range_float_count(const struct range_window *window)
{
    return window->float_end - window->float_begin;
}
static inline size_t range_histogram_count(const struct range_window *window)
{
    return window->histogram_end - window->histogram_begin;
}

/* A value at a step, or none. */
struct range_value {
    enum eval_kind kind;
    double value;
    const struct promql_histogram *histogram;
};

/* Positions of floats, front to back: a deque of a function that keeps one, or a list. */
struct range_positions {
    size_t *positions;
    size_t begin, end, capacity;
};

struct range_function;

/* One call while it is evaluated. */
struct range_call {
    struct eval *eval;
    const struct range_function *function;
    const struct promql_node *node;     /* the call */
    struct promql_range at;             /* of its range vector */
    const struct promql_node *selector; /* its range vector; NULL: a subquery */
    bool is_anchored, is_smoothed;
    bool uses_start_times;
    const double *arguments[2]; /* scalars, at each step */
    struct range_positions positions;
    size_t seen;    /* floats that the function has looked at: they never come back */
    double *values; /* room for the points of a window */
    size_t value_capacity;
};

/* A function of a window. Returns: false: the query has failed. `*ret_value` has kind NONE first.
 */
typedef bool range_at(struct range_call *call, const struct range_window *window,
                      struct range_value *ret_value);

struct range_function {
    const char *name;
    range_at *at;
    bool keeps_name;
    range_at *extended; /* of anchored and smoothed selectors; NULL: refused */
    bool is_smoothable;
};

static inline bool range_give(struct range_value *ret_value, double value)
{
    ret_value->kind = EVAL_FLOAT;
    ret_value->value = value;
    return true;
}

/* Room for `count` doubles of the query's, kept from window to window. */
double *range_room(struct range_call *call, size_t count);
/* Adds a position at the end. */
bool range_push(struct range_call *call, size_t position);

/* range_rate.c */
range_at range_rate, range_increase, range_delta, range_irate, range_idelta;
/* range_extended.c */
range_at range_extended_rate, range_extended_increase, range_extended_delta;
range_at range_extended_changes, range_extended_resets;
/* range_over_time.c */
range_at range_sum_over_time, range_avg_over_time, range_count_over_time, range_min_over_time;
range_at range_max_over_time, range_last_over_time, range_first_over_time, range_present_over_time;
range_at range_stddev_over_time, range_stdvar_over_time, range_quantile_over_time;
range_at range_mad_over_time;
range_at range_ts_of_first, range_ts_of_last, range_ts_of_min, range_ts_of_max;
/* range_trend.c */
range_at range_changes, range_resets, range_deriv, range_predict_linear, range_smoothing;

/* range_histogram.c: what the same functions make of windows with histograms in them. */
bool range_rate_histograms(struct range_call *call, const struct range_window *window,
                           bool is_counter, bool is_rate, struct range_value *ret_value);
/* Of anchored and smoothed selectors. `first`, `last`: the histograms at the window's ends or
 * around them. */
bool range_extended_histograms(struct range_call *call, const struct range_window *window,
                               size_t first, size_t last, bool is_counter, bool is_rate,
                               struct range_value *ret_value);
bool range_instant_histograms(struct range_call *call, const struct range_window *window,
                              bool is_rate, struct range_value *ret_value);
bool range_total_histograms(struct range_call *call, const struct range_window *window,
                            bool is_mean, struct range_value *ret_value);
bool range_count_differences(struct range_call *call, const struct range_window *window,
                             bool is_resets, struct range_value *ret_value);
/* What extrapolation multiplies the difference of histograms by. */
double range_factor(const struct range_call *call, const struct range_window *window,
                    bool is_counter, double result_count);

/* Whether it is known that counting began in the window, before its first point. */
bool range_has_start(const struct range_call *call, const struct range_window *window,
                     const struct range_points *points, size_t begin);
/* Whether counting began anew at a point, by what is known of its start alone; `i` is above 0. */
bool range_is_restart(const struct range_call *call, const struct range_points *points, size_t i);
/* Whether it did between a float and the one before it; `i` is above 0. */
bool range_is_reset(const struct range_call *call, const struct range_points *points, size_t i);

/* The range vector among a call's arguments. */
const struct promql_node *range_argument_of(const struct promql_node *call);
/* The rows of a call whose argument is a range vector. NULL: failed. */
const struct range_function *range_function_find(const char *name);
struct eval_stream *eval_range_call(struct eval *eval, const struct eval_frame *frame,
                                    const struct promql_node *node,
                                    const struct range_function *function);
/* The points of a range vector itself: a query's whole result. */
bool eval_range_rows(struct eval *eval, int64_t t_ms, const struct promql_node *node,
                     bool (*each)(void *argument, const struct range_series *series,
                                  const struct range_window *window, bool drops_name),
                     void *argument);

#endif
