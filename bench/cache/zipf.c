/*
 * Zipf's law without a table.
 *
 *   weight │█                      h(x) = x^−skew, H its integral from 1. A point u is drawn evenly
 *          │██                     on H's range and taken back by H⁻¹ to an x, which is rounded to
 *          │████▄▄                 the rank k. k stands when u lies in the last h(k) of k's strip
 *          └────────────── rank    H(k − ½) … H(k + ½); otherwise it is drawn again, rarely.
 *
 * Source: rejection-inversion (Hörmann and Derflinger, 1996). A table of cumulative weights, as
 * bench/blocks has, is 8 bytes for each of up to 10^7 keys and a walk through all levels of the
 * processor's caches, which the client would then share with its buffers.
 *
 * Cost: two powers, about 1.1 draws a rank.
 */
#include <bench/cache/zipf.h>

#include <math.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

/* (e^x − 1) / x and log(1 + x) / x, which are 1 at 0. */
static double expm1_over(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

static double log1p_over(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

static double weight(const struct bench_zipf *zipf, double x)
{
    return exp(-zipf->skew * log(x));
}

static double integral(const struct bench_zipf *zipf, double x)
{
    double log_x = log(x);

    return expm1_over((1 - zipf->skew) * log_x) * log_x;
}

static double inverse(const struct bench_zipf *zipf, double y)
{
    double t = fmax(y * (1 - zipf->skew), -1);

    return exp(log1p_over(t) * y);
}

void bench_zipf_init(struct bench_zipf *zipf, uint64_t count, double skew)
{
    Q_ASSERT(count >= 1 && skew >= 0);
    *zipf = (struct bench_zipf){.count = count, .skew = skew};
    zipf->from = integral(zipf, 1.5) - 1;
    zipf->to = integral(zipf, (double)count + 0.5);
    zipf->squeeze = 2 - inverse(zipf, integral(zipf, 2.5) - weight(zipf, 2));
}

uint64_t bench_zipf_next(const struct bench_zipf *zipf, uint64_t *random)
{
    for (;;) {
        double unit = (double)(bench_random(random) >> 11) * 0x1p-53;
        double u = zipf->to + unit * (zipf->from - zipf->to);
        double x = inverse(zipf, u);
        double rank = fmin(fmax(floor(x + 0.5), 1), (double)zipf->count);
        if (rank - x <= zipf->squeeze || u >= integral(zipf, rank + 0.5) - weight(zipf, rank)) {
            return (uint64_t)rank - 1;
        }
    }
}
