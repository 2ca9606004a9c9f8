/*
 * Taking observations out of a histogram by their values: `</` and `>/`.
 *
 *     h </ 3     (1,2]  4  ──> 4        kept: all of it is below
 *                (2,4]  8  ──> 4.68     across: the part below, by the bucket's scale
 *                (4,8] 16  ──> gone
 *
 * The sum cannot be known any more; it is made of the kept counts, each at the middle of what is
 * left of its bucket. The middle of an infinite bucket is its finite end, or half of it. How an
 * infinite bucket is divided is not known either, so it goes as a whole, but where its other end
 * and the limit are above 0: then it is taken to begin at 0.
 */
#include <promql/histogram_form.h>
#include <promql/histogram_value.h>
#include <promql/histogram_walk.h>

#include <math.h>

/* What is being trimmed, and what it has come to. */
struct trim {
    double limit;
    bool keeps_below;
    bool is_custom;
    bool has_changed;
    struct promql_number_sum count, sum;
};

/* What is kept of a bucket, and where its observations are taken to be. */
struct kept {
    double count, middle;
};

static double finite_or_zero(double value)
{
    return isinf(value) ? 0 : value;
}

/* ---- one bucket ----------------------------------------------------------------------------- */

static double middle_between(double lower, double upper, bool is_negative, bool is_linear)
{
    if (isinf(lower)) {
        return isinf(upper) ? 0 : upper > 0 ? upper / 2 : upper;
    }
    if (isinf(upper)) {
        return lower;
    }
    if (is_linear) {
        return (lower + upper) / 2;
    }
    const double size = sqrt(fabs(lower * upper));
    return is_negative ? -size : size;
}

/* A bucket without a lower end, across the limit. */
static struct kept divide_endless_below(const struct trim *trim, const struct promql_bucket *bucket)
{
    const double limit = trim->limit;
    const bool begins_at_zero = bucket->upper > 0 && !isinf(bucket->upper);

    if (trim->keeps_below) {
        if (limit > 0 && begins_at_zero) {
            return (struct kept){bucket->count * limit / bucket->upper, limit / 2};
        }
        if (bucket->upper <= 0) {
            return (struct kept){bucket->count, limit};
        }
    } else if (limit >= 0 && bucket->upper > limit && begins_at_zero) {
        return (struct kept){bucket->count * (1 - limit / bucket->upper),
                             (limit + bucket->upper) / 2};
    }
    return (struct kept){0, finite_or_zero(bucket->upper)};
}

/* A bucket without an upper end, across the limit: what is above may be said to be at it. */
static struct kept divide_endless_above(const struct trim *trim, const struct promql_bucket *bucket)
{
    if (!trim->keeps_below && trim->limit >= bucket->lower) {
        return (struct kept){bucket->count, trim->limit};
    }
    return (struct kept){0, finite_or_zero(bucket->lower)};
}

/* How many of a bucket are below the limit, which is inside of it. */
static double count_below(const struct trim *trim, const struct promql_bucket *bucket,
                          bool is_negative)
{
    double part;

    if (trim->is_custom) {
        part = (trim->limit - bucket->lower) / (bucket->upper - bucket->lower);
    } else {
        const double low = log2(fabs(bucket->lower)), high = log2(fabs(bucket->upper));
        const double at = log2(fabs(trim->limit));
        part = is_negative ? 1 - (at - high) / (low - high) : (at - low) / (high - low);
    }
    return bucket->count * part;
}

static struct kept divide(const struct trim *trim, const struct promql_bucket *bucket,
                          bool is_negative)
{
    if (isinf(bucket->lower)) {
        return divide_endless_below(trim, bucket);
    }
    if (isinf(bucket->upper)) {
        return divide_endless_above(trim, bucket);
    }
    const double below = count_below(trim, bucket, is_negative);
    if (trim->keeps_below) {
        return (struct kept){
            below, middle_between(bucket->lower, trim->limit, is_negative, trim->is_custom)};
    }
    return (struct kept){bucket->count - below,
                         middle_between(trim->limit, bucket->upper, is_negative, trim->is_custom)};
}

static struct kept keep(const struct trim *trim, const struct promql_bucket *bucket,
                        bool is_negative)
{
    const bool is_inside =
        trim->keeps_below ? bucket->upper <= trim->limit : bucket->lower >= trim->limit;
    const bool is_outside =
        trim->keeps_below ? !(bucket->lower < trim->limit) : !(bucket->upper > trim->limit);

    if (is_inside) {
        return (struct kept){bucket->count, middle_between(bucket->lower, bucket->upper,
                                                           is_negative, trim->is_custom)};
    }
    return is_outside ? (struct kept){0, 0} : divide(trim, bucket, is_negative);
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void count_kept(struct trim *trim, double before, struct kept kept)
{
    trim->has_changed |= kept.count != before;
    trim->count.value += kept.count;
    trim->sum.value += kept.middle * kept.count;
}

static void trim_side(struct trim *trim, const struct promql_histogram *histogram,
                      struct promql_form_side *side, bool is_negative)
{
    for (uint32_t i = 0; i < side->count; i++) {
        const double count = side->counts[i].value;
        if (count != 0) {
            const struct promql_bucket bucket =
                promql_bucket_of(histogram, is_negative, side->indexes[i], count);
            const struct kept kept = keep(trim, &bucket, is_negative);
            count_kept(trim, count, kept);
            side->counts[i].value = kept.count;
        }
    }
}

static bool is_populated(const struct promql_buckets *buckets)
{
    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        if (buckets->counts[i] != 0) {
            return true;
        }
    }
    return false;
}

static void trim_zero(struct trim *trim, const struct promql_histogram *histogram,
                      struct promql_form *form)
{
    const bool has_negative = is_populated(&histogram->negative);
    const bool has_positive = is_populated(&histogram->positive);
    double lower = -histogram->zero_threshold, upper = histogram->zero_threshold;
    struct kept kept = {0, 0};

    lower = has_positive && !has_negative ? 0 : lower;
    upper = has_negative && !has_positive ? 0 : upper;
    const double from = trim->keeps_below ? lower : fmax(lower, trim->limit);
    const double to = trim->keeps_below ? fmin(upper, trim->limit) : upper;
    const bool is_whole =
        trim->keeps_below ? trim->limit >= upper && trim->limit > lower : trim->limit <= lower;
    if (is_whole) {
        kept = (struct kept){histogram->zero_count, (lower + upper) / 2};
    } else if (to > from) {
        kept =
            (struct kept){histogram->zero_count * ((to - from) / (upper - lower)), (from + to) / 2};
    }
    count_kept(trim, histogram->zero_count, kept);
    form->zero_count.value = kept.count;
}

static const struct promql_histogram *trim_histogram(struct promql_memory *memory,
                                                     const struct promql_histogram *histogram,
                                                     struct trim *trim)
{
    struct promql_form form;

    trim->is_custom = promql_histogram_is_custom(histogram);
    if (!promql_form_init(&form, memory, histogram, 1)) {
        return NULL;
    }
    trim_side(trim, histogram, &form.positive, false);
    trim_side(trim, histogram, &form.negative, true);
    if (histogram->zero_count > 0) {
        trim_zero(trim, histogram, &form);
    }
    if (!trim->has_changed) {
        return histogram;
    }
    form.count = trim->count;
    form.sum = trim->sum;
    return promql_form_finish(&form);
}

const struct promql_histogram *promql_histogram_trim_above(struct promql_memory *memory,
                                                           const struct promql_histogram *histogram,
                                                           double limit)
{
    struct trim trim = {.limit = limit, .keeps_below = true};

    return trim_histogram(memory, histogram, &trim);
}

const struct promql_histogram *promql_histogram_trim_below(struct promql_memory *memory,
                                                           const struct promql_histogram *histogram,
                                                           double limit)
{
    struct trim trim = {.limit = limit};

    return trim_histogram(memory, histogram, &trim);
}
