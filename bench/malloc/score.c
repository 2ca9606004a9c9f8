/*
 * Means of ratios are geometric: twice as fast in one row and half as fast in another is a draw,
 * whichever of the two is the numerator, and no row weighs more for taking longer.
 *
 * "The best of the row" is the best of all subjects, the one that is compared included: its mean
 * over rows is 1 for a subject that is never beaten, and says how far it is from a library that had
 * the best of each.
 */
#include <bench/malloc/score.h>

#include <math.h>

#include <base/base.h>

/* The smallest figure of all but `left_out`; *ret_index receives whose it is. 0 when there is none.
 */
static double smallest(const struct bench_figures *figures, size_t left_out, size_t *ret_index)
{
    double best = 0;

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        double value = figures->value[i];
        Q_ASSERT(value >= 0);
        if (i != left_out && value > 0 && (best <= 0 || value < best)) {
            best = value;
            *ret_index = i;
        }
    }
    return best;
}

struct bench_ratio bench_figures_ratio(const struct bench_figures *figures)
{
    size_t peer = 0;
    double best = smallest(figures, BENCH_QUARRY, &peer);
    double own = figures->value[BENCH_QUARRY];

    if (best <= 0 || own <= 0) {
        return (struct bench_ratio){.is_known = false};
    }
    return (struct bench_ratio){true, own / best, bench_malloc_subject_at(peer)->name};
}

double bench_figures_against(const struct bench_figures *figures, size_t peer)
{
    double own = figures->value[BENCH_QUARRY];

    Q_ASSERT(peer < BENCH_MALLOC_SUBJECTS);
    return own > 0 && figures->value[peer] > 0 ? own / figures->value[peer] : 0;
}

void bench_score_add(struct bench_score *score, const struct bench_figures *figures)
{
    size_t whose = 0;
    double best = smallest(figures, BENCH_MALLOC_SUBJECTS, &whose);

    bench_ratio_count(&score->tally, bench_figures_ratio(figures));
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        double against = bench_figures_against(figures, i);
        if (against > 0) {
            bench_geomean_add(&score->against_peer[i], against);
        }
        if (figures->value[i] > 0) {
            bench_geomean_add(&score->against_best[i], figures->value[i] / best);
        }
    }
}
