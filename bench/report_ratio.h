/*
 * Ratios: Quarry beside its best peer. For the report's files.
 */
#ifndef QUARRY_BENCH_REPORT_RATIO_H
#define QUARRY_BENCH_REPORT_RATIO_H

#include <bench/json.h>
#include <bench/report.h>

/* Reads the figure a ratio is about from a result that was measured. */
typedef double bench_figure(const struct bench_result *result, size_t index);

/* Quarry's figure divided by the smallest of its peers'. */
struct bench_ratio {
    bool is_known; /* both were measured and are above 0 */
    double ratio;
    const char *best_peer;
};

/* `index`: passed on to `figure`. */
struct bench_ratio bench_ratio_of(const struct bench_report *report,
                                  const struct bench_result *result, bench_figure *figure,
                                  size_t index);

/* Above 1.00, to the two decimals that are printed. */
bool bench_ratio_is_loss(struct bench_ratio ratio);
void bench_ratio_count(struct bench_tally *tally, struct bench_ratio ratio);
/* "  1.30 (mimalloc) LOSS", in bold on a terminal; or nothing. */
void bench_ratio_print(FILE *file, struct bench_ratio ratio);
/*
 * The JSON fields: "ratio" and "best_peer" in Quarry's own line, "ratio" to this peer in a peer's.
 */
void bench_ratio_json(struct bench_json *json, const struct bench_report *report,
                      const struct bench_result *result, size_t subject, bench_figure *figure,
                      size_t index);
/* The fields of a subject that was not measured. */
void bench_absent_json(struct bench_json *json, const char *reason);

#endif
