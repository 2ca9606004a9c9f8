/*
 * Classic histograms: series of one metric with a label `le`, each counting what is not above it.
 */
#ifndef QUARRY_PROMQL_CLASSIC_H
#define QUARRY_PROMQL_CLASSIC_H

#include <promql/histogram.h>

struct promql_classic_bucket {
    double upper; /* le */
    double count; /* of all that is not above it */
};

/* What was mended before a quantile was looked for. */
struct promql_classic_fix {
    bool is_forced;               /* counts fell as le rose, and were raised */
    double lowest, highest, most; /* of the raised ones: least and greatest le, greatest raise */
};

/*
 * The value below which the part `q` of all observations is, linearly inside a bucket; the lowest
 * bucket begins at 0, or is all at its boundary where that is not above 0; what is above the last
 * finite boundary is taken to be at it.
 *
 * `buckets`: in any order, le never NaN; they are sorted, joined and mended. `count`: from 0.
 * `ret_fix`: written. Returns: NaN: no bucket up to +Inf, less than two, no observations, q is NaN;
 * ±Inf for q outside 0 to 1. Threads: any. Cost: O(count × log count).
 */
double promql_classic_quantile(struct promql_classic_bucket *buckets, size_t count, double q,
                               struct promql_classic_fix *ret_fix);

/* The part of all observations between `lower` and `upper`; counts are not mended. As above. */
double promql_classic_fraction(struct promql_classic_bucket *buckets, size_t count, double lower,
                               double upper);

/*
 * A native histogram with the boundaries of a classic one.
 *
 * `buckets`: as above, one at least; sorted; of equal le, one counts. `count`:
 * from 1. `observations`: 0: what the buckets come to. `sum`: of the observations.
 * Returns: NULL: the memory refused. Threads: one at a time. Cost: as above.
 */
const struct promql_histogram *promql_classic_to_native(struct promql_memory *memory,
                                                        struct promql_classic_bucket *buckets,
                                                        size_t count, double observations,
                                                        double sum);

#endif
