/*
 * Quantiles and fractions of classic histograms, by Prometheus' rules.
 *
 * Buckets are cumulative, and come from series that were scraped, summed or multiplied each by
 * itself; so a bucket may count less than the one below it. A difference of a part in 10^12 is
 * rounding, and is taken away in silence; a real fall is raised to the count before, which is told.
 * What comes after is compared with the last count that was believed.
 */
#include <promql/classic.h>

#include <math.h>
#include <stdlib.h>

/* Relative differences of counts that are rounding: one observation in 10^12. */
#define SMALL_DIFFERENCE 1e-12

static int by_upper(const void *left, const void *right)
{
    const struct promql_classic_bucket *l = left, *r = right;

    return l->upper < r->upper ? -1 : l->upper > r->upper;
}

/* Sorts, and adds up buckets of one boundary. Returns: how many are left; 0: the last is not +Inf.
 */
static size_t sort_and_join(struct promql_classic_bucket *buckets, size_t count)
{
    size_t done = 0;

    if (count == 0) {
        return 0;
    }
    qsort(buckets, count, sizeof *buckets, by_upper);
    if (buckets[count - 1].upper != HUGE_VAL) {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if (buckets[i].upper == buckets[done].upper) {
            buckets[done].count += buckets[i].count;
        } else {
            buckets[++done] = buckets[i];
        }
    }
    return done + 1;
}

/* Makes counts rise. */
static void mend(struct promql_classic_bucket *buckets, size_t count,
                 struct promql_classic_fix *ret_fix)
{
    double believed = buckets[0].count;

    for (size_t i = 1; i < count; i++) {
        struct promql_classic_bucket *bucket = &buckets[i];
        if (promql_number_near(believed, bucket->count, SMALL_DIFFERENCE)) {
            bucket->count = believed;
        } else if (bucket->count < believed) {
            const bool is_first = !ret_fix->is_forced;
            ret_fix->lowest = is_first ? bucket->upper : fmin(ret_fix->lowest, bucket->upper);
            ret_fix->highest = is_first ? bucket->upper : fmax(ret_fix->highest, bucket->upper);
            ret_fix->most = fmax(ret_fix->most, believed - bucket->count);
            ret_fix->is_forced = true;
            bucket->count = believed;
        } else {
            believed = bucket->count;
        }
    }
}

/* The value of a rank: in the first bucket that reaches it. */
static double value_of_rank(const struct promql_classic_bucket *buckets, size_t count, double rank)
{
    size_t low = 0, high = count - 1;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (buckets[middle].count >= rank) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == count - 1) {
        return buckets[count - 2].upper;
    }
    if (low == 0 && buckets[0].upper <= 0) {
        return buckets[0].upper;
    }
    const double from = low == 0 ? 0 : buckets[low - 1].upper;
    const double before = low == 0 ? 0 : buckets[low - 1].count;
    return from + (buckets[low].upper - from) * ((rank - before) / (buckets[low].count - before));
}

double promql_classic_quantile(struct promql_classic_bucket *buckets, size_t count, double q,
                               struct promql_classic_fix *ret_fix)
{
    *ret_fix = (struct promql_classic_fix){.is_forced = false};
    if (isnan(q) || q < 0 || q > 1) {
        return isnan(q) ? NAN : q < 0 ? -HUGE_VAL : HUGE_VAL;
    }
    count = sort_and_join(buckets, count);
    if (count < 2) {
        return NAN;
    }
    mend(buckets, count, ret_fix);
    const double observations = buckets[count - 1].count;
    if (observations == 0) {
        *ret_fix = (struct promql_classic_fix){.is_forced = false};
        return NAN;
    }
    return value_of_rank(buckets, count, q * observations);
}

/* ---- fractions ------------------------------------------------------------------------------ */

/* How many observations are below a value. */
static double rank_of(const struct promql_classic_bucket *buckets, size_t count, double value)
{
    double lower = buckets[0].upper <= 0 ? -HUGE_VAL : 0;
    double rank = 0;

    for (size_t i = 0; i < count; i++) {
        const struct promql_classic_bucket *bucket = &buckets[i];
        if (lower >= value) {
            return rank;
        }
        if (bucket->upper > value) {
            return isinf(lower)
                       ? bucket->count
                       : rank + (bucket->count - rank) * (value - lower) / (bucket->upper - lower);
        }
        rank = bucket->count;
        lower = bucket->upper;
    }
    return HUGE_VAL; /* the caller cuts it */
}

double promql_classic_fraction(struct promql_classic_bucket *buckets, size_t count, double lower,
                               double upper)
{
    count = sort_and_join(buckets, count);
    if (count == 0 || buckets[count - 1].count == 0 || isnan(lower) || isnan(upper)) {
        return NAN;
    }
    if (lower >= upper) {
        return 0;
    }
    const double observations = buckets[count - 1].count;
    const double low = rank_of(buckets, count, lower), high = rank_of(buckets, count, upper);

    return ((high > observations ? observations : high) -
            (low > observations ? observations : low)) /
           observations;
}

/* ---- native ones ---------------------------------------------------------------------------- */

/* Sorts; of one boundary, one stays. Returns: how many are left. */
static size_t sort_and_drop(struct promql_classic_bucket *buckets, size_t count)
{
    size_t done = 0;

    qsort(buckets, count, sizeof *buckets, by_upper);
    for (size_t i = 1; i < count; i++) {
        done += buckets[i].upper != buckets[done].upper;
        buckets[done] = buckets[i];
    }
    return done + 1;
}

const struct promql_histogram *promql_classic_to_native(struct promql_memory *memory,
                                                        struct promql_classic_bucket *buckets,
                                                        size_t count, double observations,
                                                        double sum)
{
    Q_ASSERT(count > 0);
    count = sort_and_drop(buckets, count);
    if (count > UINT32_MAX) {
        memory->is_refused = true;
        return NULL;
    }
    const bool has_end = buckets[count - 1].upper == HUGE_VAL;
    const struct promql_span span = {.offset = 0, .length = (uint32_t)count};
    double *bounds = promql_memory_take(memory, count * sizeof *bounds);
    double *counts = promql_memory_take(memory, count * sizeof *counts);
    if (bounds == NULL || counts == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        bounds[i] = buckets[i].upper;
        counts[i] = buckets[i].count - (i == 0 ? 0 : buckets[i - 1].count);
    }
    const struct promql_histogram histogram = {
        .schema = PROMQL_SCHEMA_CUSTOM,
        .count = observations != 0 ? observations : buckets[count - 1].count,
        .sum = sum,
        .positive = {.spans = &span,
                     .counts = counts,
                     .span_count = 1,
                     .bucket_count = (uint32_t)count},
        .custom_bounds = bounds,
        .custom_count = (uint32_t)count - has_end};
    return promql_histogram_compact(memory, &histogram);
}
