/*
 * Quantiles, fractions and moments of native histograms, by Prometheus' rules.
 *
 *     buckets  [-4,-2] [-2,-1] … [-t,t] … (1,2] (2,4]
 *     count       1       2        3        4     2        of 12
 *     q = 0.9                                     ^        rank 10.8: 8 in 10 of the way
 *
 * Inside a bucket of an exponential schema, observations are taken to be spread so that a finer
 * schema's buckets would have as many each: a line on a scale of logarithms. The zero bucket has no
 * such scale, boundaries of one's own have no such schema: a line there.
 *
 * Observations that are NaN make the sum NaN, and are counted in no bucket. Quantiles are then
 * looked for from below, as if they were above everything.
 */
#include <promql/histogram_value.h>

#include <promql/histogram_form.h>
#include <promql/histogram_walk.h>

#include <math.h>

/* A histogram with one sign alone has no observations of the other in its zero bucket. */
static void cut_zero_bucket(const struct promql_histogram *histogram, struct promql_bucket *bucket)
{
    const bool has_negative = histogram->negative.bucket_count > 0;
    const bool has_positive = histogram->positive.bucket_count > 0;

    if (has_positive && !has_negative) {
        bucket->lower = 0;
    } else if (has_negative && !has_positive) {
        bucket->upper = 0;
    }
}

/* ---- quantiles ------------------------------------------------------------------------------ */

/* The value at `part` of the way through a bucket. */
static double value_inside(const struct promql_bucket *bucket, bool is_linear, double part)
{
    if (is_linear || (bucket->lower <= 0 && bucket->upper >= 0)) {
        return bucket->lower + (bucket->upper - bucket->lower) * part;
    }
    const double low = log2(fabs(bucket->lower)), high = log2(fabs(bucket->upper));

    if (bucket->lower > 0) {
        return exp2(low + (high - low) * part);
    }
    return -exp2(high + (low - high) * (1 - part));
}

/* The value in the bucket that the rank was found in. `counted`: with that bucket. */
static double quantile_inside(const struct promql_histogram *histogram,
                              struct promql_bucket *bucket, double rank, double counted,
                              bool is_forward)
{
    const double before = counted - bucket->count;

    return value_inside(bucket, promql_histogram_is_custom(histogram),
                        (is_forward ? rank - before : counted - rank) / bucket->count);
}

/* Goes on to where the counts reach the rank. Returns: what was counted. */
static double find_rank(struct promql_bucket_walk *walk, double rank, struct promql_bucket *bucket)
{
    double counted = 0;

    while (promql_walk_next(walk, bucket)) {
        counted += bucket->count;
        if (bucket->count != 0 && counted >= rank) {
            break;
        }
    }
    return counted;
}

/* Moves a bucket's infinite or empty half away. Returns: false: `ret_value` is the answer. */
static bool settle_bucket(const struct promql_histogram *histogram, struct promql_bucket *bucket,
                          double *ret_value)
{
    if (!promql_histogram_is_custom(histogram)) {
        if (bucket->lower < 0 && bucket->upper > 0) {
            cut_zero_bucket(histogram, bucket);
        }
        return true;
    }
    if (isinf(bucket->lower)) {
        if (bucket->upper <= 0) {
            *ret_value = bucket->upper;
            return false;
        }
        bucket->lower = 0;
    } else if (isinf(bucket->upper)) {
        *ret_value = bucket->lower;
        return false;
    }
    return true;
}

/* Whether fewer observations are in buckets than were counted. */
static bool has_unbucketed(const struct promql_histogram *histogram,
                           struct promql_bucket_walk *walk, double counted)
{
    struct promql_bucket bucket;

    while (promql_walk_next(walk, &bucket)) {
        counted += bucket.count;
    }
    return counted < histogram->count;
}

double promql_histogram_quantile(const struct promql_histogram *histogram, double q,
                                 enum promql_histogram_nan *ret_nan)
{
    const bool has_nan_sum = isnan(histogram->sum);
    const bool is_forward = has_nan_sum || q < 0.5;
    struct promql_bucket bucket = {.lower = 0};
    double value;

    *ret_nan = PROMQL_HISTOGRAM_NAN_NONE;
    if (q < 0 || q > 1) {
        return q < 0 ? -HUGE_VAL : HUGE_VAL;
    }
    if (histogram->count == 0 || isnan(q)) {
        return NAN;
    }
    const double rank = (is_forward ? q : 1 - q) * histogram->count;
    struct promql_bucket_walk walk =
        is_forward ? promql_walk_up(histogram) : promql_walk_down(histogram);
    const double found = find_rank(&walk, rank, &bucket);
    if (!settle_bucket(histogram, &bucket, &value)) {
        return value;
    }
    const double counted = fmin(found, histogram->count); /* rounding may have made it more */
    if (counted < rank) {
        *ret_nan = has_nan_sum ? PROMQL_HISTOGRAM_NAN_RESULT : PROMQL_HISTOGRAM_NAN_NONE;
        return has_nan_sum ? NAN : bucket.upper;
    }
    if (has_nan_sum && has_unbucketed(histogram, &walk, counted)) {
        *ret_nan = PROMQL_HISTOGRAM_NAN_SKEWED;
    }
    return quantile_inside(histogram, &bucket, rank, counted, is_forward);
}

/* ---- fractions ------------------------------------------------------------------------------ */

/* One end of a fraction: the value, and how many observations are below it once that is known. */
struct edge {
    double value, rank;
    bool is_set;
};

/* How many observations of a bucket are below `value`, which is inside of it. */
static double count_below(const struct promql_bucket *bucket, bool is_linear, double value)
{
    if (is_linear) {
        return isinf(bucket->lower)
                   ? bucket->count
                   : bucket->count * (value - bucket->lower) / (bucket->upper - bucket->lower);
    }
    const double low = log2(fabs(bucket->lower)), high = log2(fabs(bucket->upper));
    const double at = log2(fabs(value));

    return bucket->count * (value > 0 ? (at - low) / (high - low) : 1 - (at - high) / (low - high));
}

static void settle_edge(struct edge *edge, const struct promql_bucket *bucket, bool is_linear,
                        double rank)
{
    if (edge->is_set) {
        return;
    }
    if (bucket->lower >= edge->value) {
        edge->rank = rank;
        edge->is_set = true;
    } else if (bucket->upper > edge->value) {
        edge->rank =
            (isinf(bucket->lower) ? 0 : rank) + count_below(bucket, is_linear, edge->value);
        edge->is_set = true;
    }
}

/* The ranks of both edges. Returns: how many observations were looked at. */
static double rank_edges(const struct promql_histogram *histogram, struct promql_bucket_walk *walk,
                         struct edge *lower, struct edge *upper)
{
    const bool is_custom = promql_histogram_is_custom(histogram);
    struct promql_bucket bucket;
    double rank = 0;

    while (!(lower->is_set && upper->is_set) && promql_walk_next(walk, &bucket)) {
        const bool is_zero = bucket.lower <= 0 && bucket.upper >= 0;
        if (is_zero) {
            cut_zero_bucket(histogram, &bucket);
        }
        settle_edge(lower, &bucket, is_custom || is_zero, rank);
        settle_edge(upper, &bucket, is_custom || is_zero, rank);
        rank += bucket.count;
    }
    return rank;
}

double promql_histogram_fraction(const struct promql_histogram *histogram, double lower,
                                 double upper, enum promql_histogram_nan *ret_nan)
{
    struct edge low = {.value = lower}, high = {.value = upper};
    struct promql_bucket_walk walk = promql_walk_up(histogram);
    struct promql_bucket bucket;
    double count = histogram->count;

    *ret_nan = PROMQL_HISTOGRAM_NAN_NONE;
    if (histogram->count == 0 || isnan(lower) || isnan(upper)) {
        return NAN;
    }
    if (lower >= upper) {
        return 0;
    }
    double looked_at = rank_edges(histogram, &walk, &low, &high);
    if (isnan(histogram->sum)) {
        while (promql_walk_next(&walk, &bucket)) {
            looked_at += bucket.count;
        }
        *ret_nan = looked_at < count ? PROMQL_HISTOGRAM_NAN_EXCLUDED : PROMQL_HISTOGRAM_NAN_NONE;
        count = looked_at;
    }
    const double low_rank = !low.is_set || low.rank > count ? count : low.rank;
    const double high_rank = !high.is_set || high.rank > count ? count : high.rank;
    return (high_rank - low_rank) / histogram->count;
}

/* ---- moments -------------------------------------------------------------------------------- */

double promql_histogram_average(const struct promql_histogram *histogram)
{
    return histogram->sum / histogram->count;
}

/* Where a bucket's observations are taken to be. */
static double middle(const struct promql_bucket *bucket, bool is_linear)
{
    if (is_linear) {
        return (bucket->upper + bucket->lower) / 2;
    }
    if (bucket->lower <= 0 && bucket->upper >= 0) {
        return 0;
    }
    const double size = sqrt(bucket->upper * bucket->lower);
    return bucket->upper < 0 ? -size : size;
}

double promql_histogram_variance(const struct promql_histogram *histogram)
{
    const double average = promql_histogram_average(histogram);
    const bool is_custom = promql_histogram_is_custom(histogram);
    struct promql_bucket_walk walk = promql_walk_up(histogram);
    struct promql_number_sum sum = {0, 0};
    struct promql_bucket bucket;

    while (promql_walk_next(&walk, &bucket)) {
        if (bucket.count != 0) {
            const double off = middle(&bucket, is_custom) - average;
            promql_number_add(&sum, bucket.count * off * off);
        }
    }
    return promql_number_total(&sum) / histogram->count;
}
