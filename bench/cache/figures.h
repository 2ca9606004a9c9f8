/*
 * Figures of rows, made from the numbers that a child prints.
 */
#ifndef QUARRY_BENCH_CACHE_FIGURES_H
#define QUARRY_BENCH_CACHE_FIGURES_H

#include <stddef.h>

#include <bench/cache/rows.h>
#include <bench/sheet.h>

/* The forms of a row's figures. Returns: `*ret_count` of them, static storage. */
const struct bench_form *bench_load_forms(const struct bench_load_row *row, size_t *ret_count);

/*
 * A figure for each form. `n`: BENCH_LOAD_NUMBERS, as rows.h names them for the row's kind; `rate`:
 * requests in a second, of a row that has a schedule by a peer's maximum; else not looked at.
 */
void bench_load_figures(const struct bench_load_row *row, const double *n, double rate,
                        double *ret_figures);

#endif
