/*
 * Numbers that a native histogram stands for, and parts of it.
 */
#ifndef QUARRY_PROMQL_HISTOGRAM_VALUE_H
#define QUARRY_PROMQL_HISTOGRAM_VALUE_H

#include <promql/histogram.h>

/* What is to be said of a value: observations that are NaN are in no bucket, but in the count. */
enum promql_histogram_nan {
    PROMQL_HISTOGRAM_NAN_NONE = 0,
    PROMQL_HISTOGRAM_NAN_RESULT,   /* the quantile is NaN for that */
    PROMQL_HISTOGRAM_NAN_SKEWED,   /* it is higher for that */
    PROMQL_HISTOGRAM_NAN_EXCLUDED, /* they are in no fraction */
};

/*
 * The value below which the part `q` of all observations is: between boundaries of exponential
 * buckets on a scale of powers of two, in the zero bucket and between own boundaries linearly.
 *
 * `ret_nan`: written. Returns: NaN for no observations or q NaN; ±Inf for q outside 0 to 1.
 * Threads: any. Cost: O(buckets), of the half that q is in.
 */
double promql_histogram_quantile(const struct promql_histogram *histogram, double q,
                                 enum promql_histogram_nan *ret_nan);

/* The part of all observations between `lower` and `upper`. As above. Returns: NaN for no
 * observations or a NaN; 0 where lower is not below upper. */
double promql_histogram_fraction(const struct promql_histogram *histogram, double lower,
                                 double upper, enum promql_histogram_nan *ret_nan);

/* The mean of the observations, and their variance as far as buckets know it: as if each were in
 * the geometric middle of its bucket, of own boundaries in the arithmetic one, 0 in the zero
 * bucket. Of no observations NaN. */
double promql_histogram_average(const struct promql_histogram *histogram);
double promql_histogram_variance(const struct promql_histogram *histogram);

/*
 * What is left of a histogram when the observations above `limit` are taken out, or those below:
 * PromQL's `</` and `>/`. A bucket across the limit is divided; the sum is estimated anew, unless
 * nothing was taken out.
 *
 * `memory`, returns: see histogram.h. Threads: one at a time. Cost: O(buckets).
 */
const struct promql_histogram *promql_histogram_trim_above(struct promql_memory *memory,
                                                           const struct promql_histogram *histogram,
                                                           double limit);
const struct promql_histogram *promql_histogram_trim_below(struct promql_memory *memory,
                                                           const struct promql_histogram *histogram,
                                                           double limit);

#endif
