/*
 * Median, minimum and spread of a few rounds.
 *
 * The median and not the mean: another process on the machine makes one round longer, never
 * shorter, and the median does not move for it. The minimum is what the machine can do when left
 * alone. The spread says how much the two are to be believed; it is of all rounds, none left out.
 */
#include <bench/statistics.h>

#include <math.h>
#include <stdlib.h>

#include <base/base.h>

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

struct bench_summary bench_summarize(double *values, size_t count)
{
    Q_ASSERT(count > 0);
    qsort(values, count, sizeof *values, compare_doubles);

    double median = (values[(count - 1) / 2] + values[count / 2]) / 2;
    double range = values[count - 1] - values[0];
    return (struct bench_summary){
        .median = median,
        .min = values[0],
        .spread_percent = median > 0 ? 100 * range / median : 0,
    };
}

void bench_geomean_add(struct bench_geomean *mean, double value)
{
    Q_ASSERT(value > 0);
    mean->log_sum += log(value);
    mean->count++;
}

double bench_geomean_value(const struct bench_geomean *mean)
{
    return mean->count == 0 ? 0 : exp(mean->log_sum / mean->count);
}
