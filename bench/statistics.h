/*
 * What is said about the rounds of one row and subject.
 */
#ifndef QUARRY_BENCH_STATISTICS_H
#define QUARRY_BENCH_STATISTICS_H

#include <stddef.h>

/* A geometric mean that grows by one value after the other; all zero at first. */
struct bench_geomean {
    double log_sum;
    unsigned count;
};

/* `value` is above 0. */
void bench_geomean_add(struct bench_geomean *mean, double value);
/* Returns: the mean; 0 of none. */
double bench_geomean_value(const struct bench_geomean *mean);

struct bench_summary {
    double median;
    double min;
    double spread_percent; /* (largest − smallest) ÷ median, in percent; 0 when the median is 0 */
};

/*
 * Sorts `values` (from 1) in place and sums them up. The median of an even count is the mean of the
 * middle two. Cost: O(count · log count).
 */
struct bench_summary bench_summarize(double *values, size_t count);

#endif
