/*
 * What is said about the rounds of one row and subject.
 */
#ifndef QUARRY_BENCH_STATISTICS_H
#define QUARRY_BENCH_STATISTICS_H

#include <stddef.h>

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
