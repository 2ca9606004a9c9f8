/*
 * Buckets of a histogram one after another, with their boundaries.
 */
#ifndef QUARRY_PROMQL_HISTOGRAM_WALK_H
#define QUARRY_PROMQL_HISTOGRAM_WALK_H

#include <promql/histogram.h>

struct promql_bucket {
    double lower, upper;
    bool has_lower, has_upper; /* whether the boundary itself is in the bucket */
    double count;
    int32_t index; /* of its side; 0 for the zero bucket */
};

/* One side's buckets in the order of their indexes, or against it. Its own. */
struct promql_side_walk {
    const struct promql_buckets *buckets;
    uint32_t span, left_in_span; /* the span that it stands in, and what is left there */
    uint32_t bucket;             /* how many it has given */
    int64_t index;               /* of the next one, before the span's offset is counted */
    bool is_reverse;
};

struct promql_bucket_walk {
    const struct promql_histogram *histogram;
    struct promql_side_walk sides[2];
    uint32_t stage; /* its own */
    bool is_reverse;
};

/* The upper boundary of the bucket of an index of the positive side, which is the lower one of the
 * next: up to ±Inf. Threads: any. Cost: some 20 instructions. */
double promql_bucket_bound(const struct promql_histogram *histogram, int32_t index);
/* The same of a schema that is not PROMQL_SCHEMA_CUSTOM. */
double promql_schema_bound(int32_t schema, int32_t index);

/*
 * All buckets from the lowest to the highest, or the other way: the negative side, the zero bucket
 * unless it is empty, the positive side. Buckets that the zero bucket overlaps begin at its border.
 *
 * Returns: a walk, before its first bucket; it borrows the histogram. Threads: any.
 */
struct promql_bucket_walk promql_walk_up(const struct promql_histogram *histogram);
struct promql_bucket_walk promql_walk_down(const struct promql_histogram *histogram);
/* The next bucket. Returns: false: there is none. */
bool promql_walk_next(struct promql_bucket_walk *walk, struct promql_bucket *ret_bucket);

/* One side alone, in rising order of indexes, or falling: indexes are cut to ±PROMQL_INDEX_MAX. */
#define PROMQL_INDEX_MAX ((INT32_C(1) << 30) - 1)
struct promql_side_walk promql_walk_side(const struct promql_buckets *buckets);
struct promql_side_walk promql_walk_side_down(const struct promql_buckets *buckets);
bool promql_side_next(struct promql_side_walk *walk, int32_t *ret_index, double *ret_count);

/* The bucket of a side's index and count; the zero bucket does not cut it. */
struct promql_bucket promql_bucket_of(const struct promql_histogram *histogram, bool is_negative,
                                      int32_t index, double count);

#endif
