/*
 * Walking over buckets.
 *
 *     spans    (+2, 3)        (+1, 2)          an offset from the end of the span before
 *     indexes   2  3  4    ·   6  7
 *     counts    a  b  c        d  e            all of them in a row
 *
 * Upwards, an offset is counted when its span begins; downwards, when it has ended. A histogram
 * comes from a network in the end: spans may claim more buckets than there are, and indexes that no
 * double reaches. The walk ends with the counts, and cuts indexes off far beyond any boundary.
 *
 * Boundaries between powers of two are products of roots of two, the larger root first, each a
 * double; so they come out as the table of 256 doubles that Prometheus has (compared). The square
 * root of two is rounded down there.
 */
#include <promql/histogram_walk.h>

#include <float.h>
#include <math.h>

/* Of a walk over all buckets. */
enum { STAGE_FIRST = 0, STAGE_ZERO, STAGE_LAST, STAGE_END };

/* 2^(1/2), 2^(1/4), … 2^(1/256). */
static const double roots[] = {1.414213562373095,  1.189207115002721,  1.0905077326652577,
                               1.0442737824274138, 1.0218971486541166, 1.0108892860517005,
                               1.0054299011128027, 1.0027112750502025};

/* ---- boundaries ----------------------------------------------------------------------------- */

/* 2^exponent; what is the next after the largest double is that double, so that infinite
 * observations have a bucket of their own. */
static double power_of_two(int64_t exponent)
{
    if (exponent == DBL_MAX_EXP) {
        return DBL_MAX;
    }
    return ldexp(1, (int)(exponent > 4096 ? 4096 : exponent < -4096 ? -4096 : exponent));
}

double promql_schema_bound(int32_t schema, int32_t index)
{
    if (schema <= 0) {
        return power_of_two((int64_t)index * ((int64_t)1 << -schema));
    }
    const int32_t parts = index & ((1 << schema) - 1);
    const int32_t whole = index >> schema;
    double fraction = 0.5;

    if (parts == 0) {
        return power_of_two(whole);
    }
    for (int32_t i = 0; i < schema; i++) {
        if ((parts >> (schema - 1 - i) & 1) != 0) {
            fraction *= roots[i];
        }
    }
    return ldexp(fraction, whole > 4096 ? 4096 : whole < -4096 ? -4096 : whole + 1);
}

double promql_bucket_bound(const struct promql_histogram *histogram, int32_t index)
{
    if (!promql_histogram_is_custom(histogram)) {
        return promql_schema_bound(histogram->schema, index);
    }
    if (index < 0) {
        return -HUGE_VAL;
    }
    return (uint32_t)index < histogram->custom_count ? histogram->custom_bounds[index] : HUGE_VAL;
}

struct promql_bucket promql_bucket_of(const struct promql_histogram *histogram, bool is_negative,
                                      int32_t index, double count)
{
    const double far = promql_bucket_bound(histogram, index);
    const double near = promql_bucket_bound(histogram, index - 1);
    struct promql_bucket bucket = {.lower = is_negative ? -far : near,
                                   .upper = is_negative ? -near : far,
                                   .count = count,
                                   .index = index};

    if (promql_histogram_is_custom(histogram)) {
        bucket.has_lower = index == 0;
        bucket.has_upper = true;
    } else {
        bucket.has_lower = bucket.lower < 0;
        bucket.has_upper = bucket.upper > 0;
    }
    return bucket;
}

/* ---- one side ------------------------------------------------------------------------------- */

struct promql_side_walk promql_walk_side(const struct promql_buckets *buckets)
{
    return (struct promql_side_walk){.buckets = buckets};
}

struct promql_side_walk promql_walk_side_down(const struct promql_buckets *buckets)
{
    struct promql_side_walk walk = {.buckets = buckets, .is_reverse = true};

    for (uint32_t i = 0; i < buckets->span_count; i++) {
        walk.index += (int64_t)buckets->spans[i].offset + buckets->spans[i].length;
    }
    return walk;
}

static int32_t cut_index(int64_t index)
{
    return (int32_t)(index > PROMQL_INDEX_MAX    ? PROMQL_INDEX_MAX
                     : index < -PROMQL_INDEX_MAX ? -PROMQL_INDEX_MAX
                                                 : index);
}

static bool side_next_up(struct promql_side_walk *walk, int32_t *ret_index)
{
    while (walk->left_in_span == 0) {
        if (walk->span == walk->buckets->span_count) {
            return false;
        }
        walk->index += walk->buckets->spans[walk->span].offset;
        walk->left_in_span = walk->buckets->spans[walk->span++].length;
    }
    walk->left_in_span--;
    *ret_index = cut_index(walk->index++);
    return true;
}

static bool side_next_down(struct promql_side_walk *walk, int32_t *ret_index)
{
    const uint32_t span_count = walk->buckets->span_count;

    while (walk->left_in_span == 0) {
        if (walk->span == span_count) {
            return false;
        }
        if (walk->span > 0) {
            walk->index -= walk->buckets->spans[span_count - walk->span].offset;
        }
        walk->left_in_span = walk->buckets->spans[span_count - ++walk->span].length;
    }
    walk->left_in_span--;
    *ret_index = cut_index(--walk->index);
    return true;
}

bool promql_side_next(struct promql_side_walk *walk, int32_t *ret_index, double *ret_count)
{
    const uint32_t count = walk->buckets->bucket_count;

    if (walk->bucket == count) {
        return false;
    }
    if (!(walk->is_reverse ? side_next_down(walk, ret_index) : side_next_up(walk, ret_index))) {
        return false;
    }
    *ret_count = walk->buckets->counts[walk->is_reverse ? count - 1 - walk->bucket : walk->bucket];
    walk->bucket++;
    return true;
}

/* ---- all of them ---------------------------------------------------------------------------- */

struct promql_bucket_walk promql_walk_up(const struct promql_histogram *histogram)
{
    return (struct promql_bucket_walk){.histogram = histogram,
                                       .sides = {promql_walk_side_down(&histogram->negative),
                                                 promql_walk_side(&histogram->positive)}};
}

struct promql_bucket_walk promql_walk_down(const struct promql_histogram *histogram)
{
    return (struct promql_bucket_walk){.histogram = histogram,
                                       .sides = {promql_walk_side_down(&histogram->positive),
                                                 promql_walk_side(&histogram->negative)},
                                       .is_reverse = true};
}

/* The next bucket of a side, cut at the zero bucket's border. */
static bool next_of_side(struct promql_bucket_walk *walk, uint32_t side,
                         struct promql_bucket *ret_bucket)
{
    const struct promql_histogram *histogram = walk->histogram;
    const bool is_negative = (side == 0) != walk->is_reverse;
    int32_t index;
    double count;

    if (!promql_side_next(&walk->sides[side], &index, &count)) {
        return false;
    }
    *ret_bucket = promql_bucket_of(histogram, is_negative, index, count);
    if (promql_histogram_is_custom(histogram)) {
        return true;
    }
    if (is_negative) {
        ret_bucket->upper = fmin(ret_bucket->upper, -histogram->zero_threshold);
    } else {
        ret_bucket->lower = fmax(ret_bucket->lower, histogram->zero_threshold);
    }
    return true;
}

bool promql_walk_next(struct promql_bucket_walk *walk, struct promql_bucket *ret_bucket)
{
    const struct promql_histogram *histogram = walk->histogram;

    if (walk->stage == STAGE_FIRST) {
        if (next_of_side(walk, 0, ret_bucket)) {
            return true;
        }
        walk->stage = STAGE_ZERO;
    }
    if (walk->stage == STAGE_ZERO) {
        walk->stage = STAGE_LAST;
        if (histogram->zero_count > 0) {
            *ret_bucket = (struct promql_bucket){.lower = -histogram->zero_threshold,
                                                 .upper = histogram->zero_threshold,
                                                 .has_lower = true,
                                                 .has_upper = true,
                                                 .count = histogram->zero_count};
            return true;
        }
    }
    if (walk->stage == STAGE_LAST && next_of_side(walk, 1, ret_bucket)) {
        return true;
    }
    walk->stage = STAGE_END;
    return false;
}
