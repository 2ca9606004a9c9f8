/*
 * Sheets: rows of figures, a column for each subject. What the newer benchmarks share: subjects,
 * interleaved rounds, tables with losses marked, JSON.
 */
#ifndef QUARRY_BENCH_SHEET_H
#define QUARRY_BENCH_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <bench/machine.h>
#include <bench/report.h>
#include <bench/statistics.h>

#define BENCH_COLUMNS_MAX    12u
#define BENCH_FIGURES_MAX    8u
#define BENCH_SHEET_ROUNDS   101u
#define BENCH_COLUMN(number) (UINT32_C(1) << (number))

/* A subject. */
struct bench_column {
    const char *name;
    const char *package; /* Debian's, which knows the version; NULL: this build */
    /* Writes the version of one that need not be installed; NULL: the package knows it. */
    void (*version)(char *text, size_t text_bytes);
    bool is_unusual; /* measured only when --against names it */
};

/* A kind of figure: of all kinds, less is better or neither is. */
struct bench_form {
    const char *key;  /* in JSON */
    const char *unit; /* in tables; NULL: not there */
    double divisor;   /* from the figure to that unit */
    bool is_ranked;   /* less is better: its best is marked and Quarry's ratio stands beside it */
};

struct bench_sheet;
struct bench_sheet_row;

/*
 * Measures a row once for a column. `ret_figures`: one for each form; what cannot be known is left
 * at NAN. Returns: false when it failed, which has been said on stderr.
 */
typedef bool bench_sheet_measure(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                                 size_t column, double *ret_figures);

struct bench_sheet_row {
    const char *name;
    const char *title; /* for people */
    const struct bench_form *form;
    size_t form_count;
    uint32_t columns;   /* those it is for */
    uint32_t reference; /* those of them that are in no ratio: their loop is another one */
    bool is_exact;      /* one round says all */
    bench_sheet_measure *measure;
    const void *context; /* for `measure`; borrowed */
};

/* One column's figures for a row. */
struct bench_sheet_cell {
    const char *absent_reason; /* NULL: measured */
    struct bench_summary figure[BENCH_FIGURES_MAX];
};

struct bench_sheet {
    const char *bench;                 /* "blocks"; borrowed */
    const struct bench_column *column; /* the first is Quarry's; borrowed */
    size_t column_count;
    FILE *file; /* borrowed */
    bool is_json;
    bool is_quick;
    size_t round_count;
    bool is_wanted[BENCH_COLUMNS_MAX];
    const char *absent_reason[BENCH_COLUMNS_MAX]; /* NULL: present */
    /* the report's own */
    struct bench_machine machine;
    const struct bench_form *head; /* the forms of the table that is being printed */
    uint32_t head_columns;
    struct bench_tally tally;
    bool has_failed;
};

/*
 * Reads the machine and prints on what is measured.
 * Returns: false when the program that measures is missing, which is said on stderr.
 */
bool bench_sheet_begin(struct bench_sheet *sheet);
/*
 * Measures a row in rounds, each over all columns and beginning with another one, and prints it:
 * a line for each figure, or for each column in JSON.
 */
void bench_sheet_run(struct bench_sheet *sheet, const struct bench_sheet_row *row);
/* A sentence that stands for itself. */
void bench_sheet_note(struct bench_sheet *sheet, const char *row, const char *text);
/* How many rows were lost. Returns: the exit code. */
int bench_sheet_end(struct bench_sheet *sheet);

#endif
