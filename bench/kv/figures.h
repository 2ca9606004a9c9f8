/*
 * Figures of rows, made from the numbers that a child prints.
 */
#ifndef QUARRY_BENCH_KV_FIGURES_H
#define QUARRY_BENCH_KV_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#include <bench/kv/rows.h>
#include <bench/sheet.h>

/* The forms of a kind's figures. Returns: `*ret_count` of them, static storage. */
const struct bench_form *bench_kv_forms(enum bench_kv_kind kind, size_t *ret_count);

/* A figure for each form. `numbers`: BENCH_KV_NUMBERS, as rows.h names them for the kind. */
void bench_kv_figures(enum bench_kv_kind kind, const uint64_t *numbers, double *ret_figures);

#endif
