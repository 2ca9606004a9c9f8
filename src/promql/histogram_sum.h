/*
 * Sums and means of many histograms.
 *
 *     struct promql_histogram_sum sum = {.memory = &memory};
 *
 *     while (next(&histogram)) {
 *         if (promql_histogram_sum_add(&sum, histogram, &notes) != PROMQL_HISTOGRAM_DONE) {
 *             …
 *         }
 *     }
 *     result = promql_histogram_sum_finish(&sum);
 */
#ifndef QUARRY_PROMQL_HISTOGRAM_SUM_H
#define QUARRY_PROMQL_HISTOGRAM_SUM_H

#include <promql/histogram_form.h>

/* Begins as {.memory = …}, of which it takes the more the more buckets its histograms have. */
struct promql_histogram_sum {
    struct promql_memory *memory;
    struct promql_form form;
    uint64_t count; /* of histograms */
};

/* As {.memory = …} too. The mean is the sum's part as long as no number may overflow; from then on
 * it is kept as a mean. */
struct promql_histogram_mean {
    struct promql_histogram_sum sum;
    bool is_incremental;
};

/*
 * Adds a histogram. `notes`: or-ed into; hints that collide are told as for two histograms, though
 * an unknown one between them hides it: aggregations look at the hints themselves.
 *
 * Threads: one at a time. Cost: O(buckets of the sum and the histogram).
 */
enum promql_histogram_outcome promql_histogram_sum_add(struct promql_histogram_sum *sum,
                                                       const struct promql_histogram *histogram,
                                                       struct promql_histogram_notes *notes);
enum promql_histogram_outcome promql_histogram_mean_add(struct promql_histogram_mean *mean,
                                                        const struct promql_histogram *histogram,
                                                        struct promql_histogram_notes *notes);

/* What it has come to; at least one was added. NULL: the memory refused. */
const struct promql_histogram *promql_histogram_sum_finish(const struct promql_histogram_sum *sum);
const struct promql_histogram *promql_histogram_mean_finish(struct promql_histogram_mean *mean);

#endif
