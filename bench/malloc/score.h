/*
 * Ratios and their geometric means: who is ahead, and by how much.
 */
#ifndef QUARRY_BENCH_MALLOC_SCORE_H
#define QUARRY_BENCH_MALLOC_SCORE_H

#include <stdbool.h>
#include <stddef.h>

#include <bench/malloc/subject.h>
#include <bench/report_ratio.h>
#include <bench/statistics.h>

/* One figure of a row for all subjects: less is better; 0: not measured. */
struct bench_figures {
    double value[BENCH_MALLOC_SUBJECTS];
};

/* Quarry's figure divided by that of its best peer; unknown when either is missing. */
struct bench_ratio bench_figures_ratio(const struct bench_figures *figures);
/* Quarry's figure divided by a peer's; 0 when either is missing. */
double bench_figures_against(const struct bench_figures *figures, size_t peer);

/* What is known of one kind of figure over several rows; all zero at first. */
struct bench_score {
    struct bench_tally tally;                                 /* rows with a ratio, rows lost */
    struct bench_geomean against_peer[BENCH_MALLOC_SUBJECTS]; /* Quarry ÷ peer */
    struct bench_geomean against_best[BENCH_MALLOC_SUBJECTS]; /* subject ÷ best of the row */
};

/* Adds a row. Who was not measured in it has no part in its means. */
void bench_score_add(struct bench_score *score, const struct bench_figures *figures);

#endif
