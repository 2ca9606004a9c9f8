/*
 * Figures of rows, made from the numbers that a child prints.
 */
#ifndef QUARRY_BENCH_TSDB_FIGURES_H
#define QUARRY_BENCH_TSDB_FIGURES_H

#include <stddef.h>

#include <bench/sheet.h>
#include <bench/tsdb/rows.h>

/* The forms of a row's figures. Returns: `*ret_count` of them, static storage. */
const struct bench_form *bench_series_forms(const struct bench_series_row *row, size_t *ret_count);

/* A figure for each form. `n`: BENCH_SERIES_NUMBERS, as rows.h names them for the row's kind. */
void bench_series_figures(const struct bench_series_row *row, const double *n, double *ret_figures);

#endif
