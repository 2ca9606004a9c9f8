/*
 * Native histograms as expressions see them: counts are doubles.
 *
 * A bucket i of schema s, from -4 to 8, holds what is above 2^((i-1) * 2^-s) and not above
 * 2^(i * 2^-s); of the negative side the same with the sign turned. Schema -53 has boundaries of
 * its own and no negative side: bucket i holds what is above custom_bounds[i - 1] and not above
 * custom_bounds[i], the last one what is above all.
 */
#ifndef QUARRY_PROMQL_HISTOGRAM_H
#define QUARRY_PROMQL_HISTOGRAM_H

#include <base/base.h>

#define PROMQL_SCHEMA_MIN    (-4)
#define PROMQL_SCHEMA_MAX    8
#define PROMQL_SCHEMA_CUSTOM (-53)

/* What is known of a counter reset between the histogram before and this one: Prometheus' numbers.
 */
enum promql_reset_hint {
    PROMQL_RESET_UNKNOWN = 0,
    PROMQL_RESET_YES = 1,
    PROMQL_RESET_NO = 2,
    PROMQL_RESET_GAUGE = 3, /* it may fall as well as rise */
};

/* `length` buckets in a row, `offset` behind where the span before ended (the first: index). */
struct promql_span {
    int32_t offset;
    uint32_t length;
};

struct promql_buckets {
    const struct promql_span *spans;
    const double *counts; /* of each bucket by itself, of all spans in a row */
    uint32_t span_count;
    uint32_t bucket_count; /* the sum of the spans' lengths */
};

/* One histogram, immutable once made. All arrays are borrowed from whoever made it. */
struct promql_histogram {
    int32_t schema;
    enum promql_reset_hint reset_hint;
    double zero_threshold, zero_count;
    double count, sum;
    struct promql_buckets positive, negative;
    const double *custom_bounds; /* rising; of PROMQL_SCHEMA_CUSTOM alone */
    uint32_t custom_count;
};

#endif
