/*
 * Which histograms may be stored: Prometheus' rules, in its order and words.
 *
 * Senders look at the words, and there is one order in which the questions are asked, since a
 * histogram often breaks several rules at once: bounds, then spans, then counts.
 *
 * A stale marker says that there is nothing; its counts are not looked at. What could not be stored
 * in any case, too many parts or a side without its arrays, is refused first.
 */
#include <tsdb/histogram.h>

#include <math.h>

static double double_of(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- bounds --------------------------------------------------------------------------------- */

/* Returns: what is wrong with custom bounds; NULL: nothing. */
static const char *bounds_wrong(const struct tsdb_histogram *histogram)
{
    for (uint32_t i = 0; i < histogram->custom_count; i++) {
        double bound = double_of(histogram->custom_bits[i]);
        if (isnan(bound) || isinf(bound)) {
            return "histogram custom bounds must be finite";
        }
        if (i != 0 && bound <= double_of(histogram->custom_bits[i - 1])) {
            return "histogram custom bounds must be in strictly increasing order";
        }
    }
    return NULL;
}

/* How far the spans reach, in buckets from 0; more than any count where one lies below 0. */
static uint64_t reach_of(const struct tsdb_buckets *buckets)
{
    uint64_t reach = 0;

    for (uint32_t i = 0; i < buckets->span_count; i++) {
        if (buckets->spans[i].offset < 0) {
            return UINT64_MAX;
        }
        reach += (uint64_t)buckets->spans[i].offset + buckets->spans[i].length;
    }
    return reach;
}

static const char *custom_wrong(const struct tsdb_histogram *histogram)
{
    const char *wrong = bounds_wrong(histogram);

    if (wrong != NULL) {
        return wrong;
    }
    if (histogram->zero_count != 0) {
        return "custom buckets: must have zero count of 0";
    }
    if (double_of(histogram->zero_threshold_bits) != 0) {
        return "custom buckets: must have zero threshold of 0";
    }
    if (histogram->negative.span_count != 0) {
        return "custom buckets: must not have negative spans";
    }
    /* One bucket more than bounds: that above the last. */
    uint64_t reach = reach_of(&histogram->positive);
    if (reach == UINT64_MAX) {
        return "histogram has a span whose offset is negative";
    }
    return reach > (uint64_t)histogram->custom_count + 1 ? "histogram custom bounds are too few"
                                                         : NULL;
}

static const char *schema_wrong(const struct tsdb_histogram *histogram)
{
    if (histogram->schema == TSDB_HISTOGRAM_SCHEMA_CUSTOM) {
        return custom_wrong(histogram);
    }
    if (histogram->schema < TSDB_HISTOGRAM_SCHEMA_MIN ||
        histogram->schema > TSDB_HISTOGRAM_SCHEMA_MAX) {
        return "histogram has an invalid schema";
    }
    return histogram->custom_count != 0
               ? "histogram with exponential schema must not have custom bounds"
               : NULL;
}

/* ---- spans ---------------------------------------------------------------------------------- */

static const char *spans_wrong(const struct tsdb_buckets *buckets)
{
    uint64_t named = 0;

    for (uint32_t i = 0; i < buckets->span_count; i++) {
        if (i != 0 && buckets->spans[i].offset < 0) {
            return "histogram has a span whose offset is negative";
        }
        named += buckets->spans[i].length;
    }
    return named != buckets->bucket_count
               ? "histogram spans specify different number of buckets than provided"
               : NULL;
}

/* ---- counts --------------------------------------------------------------------------------- */

/* The sum of a side's integers; saturates, as no count can. */
static uint64_t side_sum(const struct tsdb_buckets *buckets, uint64_t sum)
{
    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        sum = sat_add_u64(sum, buckets->buckets[i]);
    }
    return sum;
}

/* Counts of clients are numbers of 63 bits: above that a difference went below 0. */
static bool has_negative_integer(const struct tsdb_buckets *buckets)
{
    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        if (buckets->buckets[i] > INT64_MAX) {
            return true;
        }
    }
    return false;
}

static const char *integers_wrong(const struct tsdb_histogram *histogram)
{
    if (has_negative_integer(&histogram->negative) || has_negative_integer(&histogram->positive)) {
        return "histogram has a bucket whose observation count is negative";
    }
    uint64_t sum = side_sum(&histogram->negative, histogram->zero_count);
    sum = side_sum(&histogram->positive, sum);
    /* Observations that are NaN are counted, and are in no bucket. */
    if (isnan(double_of(histogram->sum_bits))) {
        return sum > histogram->count ? "histogram's observation count should be at least the "
                                        "number of observations found in the buckets"
                                      : NULL;
    }
    return sum != histogram->count
               ? "histogram's observation count should equal the number of observations found in "
                 "the buckets (in absence of NaN)"
               : NULL;
}

static bool has_negative_double(const struct tsdb_buckets *buckets)
{
    for (uint32_t i = 0; i < buckets->bucket_count; i++) {
        if (double_of(buckets->buckets[i]) < 0) {
            return true;
        }
    }
    return false;
}

static const char *floats_wrong(const struct tsdb_histogram *histogram)
{
    if (double_of(histogram->zero_count) < 0 || double_of(histogram->count) < 0 ||
        has_negative_double(&histogram->negative) || has_negative_double(&histogram->positive)) {
        return "histogram has a bucket whose observation count is negative";
    }
    return NULL;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static bool side_is_there(const struct tsdb_buckets *buckets)
{
    return buckets->span_count <= TSDB_HISTOGRAM_PARTS_MAX &&
           buckets->bucket_count <= TSDB_HISTOGRAM_PARTS_MAX &&
           (buckets->span_count == 0 || buckets->spans != NULL) &&
           (buckets->bucket_count == 0 || buckets->buckets != NULL);
}

static const char *parts_wrong(const struct tsdb_histogram *histogram)
{
    if (!side_is_there(&histogram->positive) || !side_is_there(&histogram->negative) ||
        histogram->custom_count > TSDB_HISTOGRAM_PARTS_MAX ||
        (histogram->custom_count != 0 && histogram->custom_bits == NULL)) {
        return "histogram has too many buckets";
    }
    return (uint32_t)histogram->reset_hint > TSDB_RESET_GAUGE
               ? "histogram has an unknown reset hint"
               : NULL;
}

static const char *histogram_wrong(const struct tsdb_histogram *histogram)
{
    const char *wrong = parts_wrong(histogram);

    if (wrong == NULL) {
        wrong = schema_wrong(histogram);
    }
    if (wrong == NULL) {
        wrong = spans_wrong(&histogram->negative);
    }
    if (wrong == NULL) {
        wrong = spans_wrong(&histogram->positive);
    }
    if (wrong != NULL || histogram->sum_bits == TSDB_STALE_BITS) {
        return wrong;
    }
    return histogram->is_float ? floats_wrong(histogram) : integers_wrong(histogram);
}

enum quarry_status quarry_tsdb_histogram_check(const struct quarry_tsdb_histogram *histogram,
                                               struct quarry_error *error)
{
    const char *wrong = histogram_wrong(histogram);

    return wrong == NULL ? QUARRY_OK : error_set(error, QUARRY_BAD_INPUT, "%s", wrong);
}
