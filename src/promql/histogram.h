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

#include <promql/memory.h>

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

/* Whether it has boundaries of its own. Threads: any. */
static inline bool promql_histogram_is_custom(const struct promql_histogram *histogram)
{
    return histogram->schema == PROMQL_SCHEMA_CUSTOM;
}

/* What adding two histograms came to. */
enum promql_histogram_outcome {
    PROMQL_HISTOGRAM_DONE = 0,
    PROMQL_HISTOGRAM_INCOMPATIBLE, /* one has boundaries of its own, the other has not */
    PROMQL_HISTOGRAM_REFUSED,      /* memory */
};

/* What is to be said of an addition that was done. */
struct promql_histogram_notes {
    bool resets_collide;    /* one says that counting began anew, the other that it did not */
    bool bounds_reconciled; /* their own boundaries differed; those of both remain */
};

/*
 * Makes histograms of others, which stay as they are. Results have no empty buckets, and as few
 * spans as there can be, but for copies.
 *
 * `memory`: borrowed; what is made lives in it, and may share arrays with what it was made of.
 * Returns: NULL: the memory refused.
 * Threads: one at a time for each memory. Cost: O(buckets).
 */
const struct promql_histogram *promql_histogram_copy(struct promql_memory *memory,
                                                     const struct promql_histogram *histogram);
const struct promql_histogram *promql_histogram_compact(struct promql_memory *memory,
                                                        const struct promql_histogram *histogram);
/* The same but for what it says of resets; its arrays are shared. Cost: O(1). */
const struct promql_histogram *promql_histogram_with_hint(struct promql_memory *memory,
                                                          const struct promql_histogram *histogram,
                                                          enum promql_reset_hint hint);
/* Every count and the sum times or through `factor`; below 0, the result is a gauge. Through 0, no
 * bucket remains. */
const struct promql_histogram *promql_histogram_multiply(struct promql_memory *memory,
                                                         const struct promql_histogram *histogram,
                                                         double factor);
const struct promql_histogram *promql_histogram_divide(struct promql_memory *memory,
                                                       const struct promql_histogram *histogram,
                                                       double factor);
/* With fewer, wider buckets. `schema`: from PROMQL_SCHEMA_MIN to the histogram's, which is not
 * PROMQL_SCHEMA_CUSTOM. */
const struct promql_histogram *promql_histogram_reduce(struct promql_memory *memory,
                                                       const struct promql_histogram *histogram,
                                                       int32_t schema);

/*
 * left + right, and left - right. The coarser schema is the result's; its zero bucket is so wide
 * that neither side has a populated bucket across its border; boundaries of their own that differ
 * are cut down to those of both. A difference says of resets what a sum says: for PromQL's
 * operator `-`, it is to be made a gauge.
 *
 * `notes`: or-ed into; may be NULL. `ret_histogram`: written when PROMQL_HISTOGRAM_DONE.
 * Threads: as above. Cost: O(buckets of both).
 */
enum promql_histogram_outcome promql_histogram_add(struct promql_memory *memory,
                                                   const struct promql_histogram *left,
                                                   const struct promql_histogram *right,
                                                   struct promql_histogram_notes *notes,
                                                   const struct promql_histogram **ret_histogram);
enum promql_histogram_outcome
promql_histogram_subtract(struct promql_memory *memory, const struct promql_histogram *left,
                          const struct promql_histogram *right,
                          struct promql_histogram_notes *notes,
                          const struct promql_histogram **ret_histogram);

/* What a sum of two histograms says of resets. `ret_collide`: set to true when they contradict each
 * other, else left alone; may be NULL. */
enum promql_reset_hint promql_reset_hint_of_sum(enum promql_reset_hint left,
                                                enum promql_reset_hint right, bool *ret_collide);

/*
 * Whether two are equal bit for bit: layout, counts, sum; buckets that are empty count as such, how
 * they are split into spans does not. What they say of resets is not looked at.
 * Threads: any. Cost: O(buckets).
 */
bool promql_histogram_equal(const struct promql_histogram *left,
                            const struct promql_histogram *right);
/* Whether two are equal but for empty buckets and a relative error of counts, the sum and
 * boundaries: what test scripts ask. */
bool promql_histogram_near(const struct promql_histogram *left,
                           const struct promql_histogram *right, double relative);
/* Whether two doubles are equal but for such an error: |a - b| / (|a| + |b|); NaN is like NaN. */
bool promql_number_near(double left, double right, double relative);

/*
 * Whether counting began anew between `previous` and `current`: as current's hint says; where it
 * does not, when the count, the zero bucket or any bucket has fallen, or the layout has become
 * finer. A gauge is looked at as if it were a counter.
 *
 * `memory`: borrowed, for a while: nothing of it remains taken.
 * Returns: false: not all of it could be done: the memory refused.
 * Threads: as above. Cost: O(buckets of both).
 */
bool promql_histogram_detect_reset(struct promql_memory *memory,
                                   const struct promql_histogram *current,
                                   const struct promql_histogram *previous, bool *ret_is_reset);
/* `current`, which says of resets what `previous` tells, where it says nothing itself. Its arrays
 * are shared. Returns: NULL: the memory refused. Cost: as above. */
const struct promql_histogram *
promql_histogram_settle_hint(struct promql_memory *memory, const struct promql_histogram *current,
                             const struct promql_histogram *previous);

/*
 * What stands between two histograms of a series at a moment, by a line for each bucket. Where
 * counting began anew, the line begins at zero.
 *
 * `t_ms`: from the left one's time to the right one's. `notes`: of the difference, and of the sum
 * that it goes into. Outcomes, errors and memory: as of promql_histogram_add. Cost: O(buckets).
 */
struct promql_histogram_point {
    const struct promql_histogram *histogram;
    int64_t t_ms;
};
enum promql_histogram_outcome
promql_histogram_between(struct promql_memory *memory, struct promql_histogram_point left,
                         struct promql_histogram_point right, int64_t t_ms, bool is_counter,
                         struct promql_histogram_notes notes[2],
                         const struct promql_histogram **ret_histogram);

#endif
