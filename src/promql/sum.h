/*
 * Sums and means that keep what rounding loses, as Neumaier does.
 *
 * Source: Prometheus' order of operations, so that results agree to the last digits.
 */
#ifndef QUARRY_PROMQL_SUM_H
#define QUARRY_PROMQL_SUM_H

#include <math.h>
#include <stdbool.h>

struct eval_sum {
    double sum, lost;
};

static inline void eval_sum_add(struct eval_sum *sum, double value)
{
    double total = sum->sum + value;

    if (isinf(total)) {
        sum->lost = 0;
    } else if (fabs(sum->sum) >= fabs(value)) {
        sum->lost += (sum->sum - total) + value;
    } else {
        sum->lost += (value - total) + sum->sum;
    }
    sum->sum = total;
}

static inline double eval_sum_value(const struct eval_sum *sum)
{
    return isinf(sum->sum) ? sum->sum : sum->sum + sum->lost;
}

/* A mean: of the sum, until that overflows; from then on the mean itself moves. */
struct eval_mean {
    struct eval_sum sum; /* or the mean */
    double count;
    bool is_moving;
};

static inline void eval_mean_add(struct eval_mean *mean, double value)
{
    mean->count += 1;
    if (!mean->is_moving) {
        struct eval_sum sum = mean->sum;
        eval_sum_add(&sum, value);
        if (mean->count == 1 || !isinf(sum.sum)) {
            mean->sum = sum;
            return;
        }
        mean->is_moving = true;
        mean->sum.sum /= mean->count - 1;
        mean->sum.lost /= mean->count - 1;
    }
    double part = (mean->count - 1) / mean->count;
    mean->sum.sum *= part;
    mean->sum.lost *= part;
    eval_sum_add(&mean->sum, value / mean->count);
}

static inline double eval_mean_value(const struct eval_mean *mean)
{
    return mean->is_moving ? mean->sum.sum + mean->sum.lost
                           : mean->sum.sum / mean->count + mean->sum.lost / mean->count;
}

/* How values vary: Welford's mean and sum of squares, each compensated. */
struct eval_variance {
    struct eval_sum mean, squares;
    double count;
};

static inline void eval_variance_add(struct eval_variance *variance, double value)
{
    double delta = value - (variance->mean.sum + variance->mean.lost);

    variance->count += 1;
    eval_sum_add(&variance->mean, delta / variance->count);
    eval_sum_add(&variance->squares, delta * (value - (variance->mean.sum + variance->mean.lost)));
}

static inline double eval_variance_value(const struct eval_variance *variance)
{
    return (variance->squares.sum + variance->squares.lost) / variance->count;
}

#endif
