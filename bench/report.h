/*
 * Reports: the figures as tables for people, or as JSON for programs.
 */
#ifndef QUARRY_BENCH_REPORT_H
#define QUARRY_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <bench/machine.h>
#include <bench/spike.h>
#include <bench/statistics.h>
#include <bench/subject.h>

/* Room for a row's name. */
#define BENCH_ROW_NAME_BYTES 48u

/* A subject in this sitting. */
struct bench_presence {
    bool is_wanted;
    bool is_present;
    const char *reason; /* why it is not; static storage */
    char version[64];
};

/* One subject's figures for a row. */
struct bench_result {
    const char *absent_reason; /* NULL: measured */
    uint64_t pair_count;       /* of each thread, in a round */
    struct bench_summary wall; /* nanoseconds per pair */
    struct bench_summary cpu;
    double instructions;      /* per pair; 0: not counted */
    double perf_instructions; /* likewise, by the processor */
    struct bench_spike spike;
};

struct bench_tally {
    unsigned row_count; /* with a ratio */
    unsigned loss_count;
};

struct bench_report {
    FILE *file; /* borrowed */
    bool is_json;
    size_t round_count;
    struct bench_machine machine;
    struct bench_presence subject[BENCH_SUBJECT_COUNT];
    struct bench_tally wall;
    struct bench_tally cpu;
    struct bench_tally counted;
    struct bench_tally rss;
    bool has_pair_head; /* the head of the table that is being printed */
    bool has_count_head;
};

/* What was measured on what: a line for people, or the object with row "machine". */
void bench_report_machine(struct bench_report *report);
/* Times of one row. `result`: BENCH_SUBJECT_COUNT of them, borrowed; likewise below. */
void bench_report_pairs(struct bench_report *report, const char *row,
                        const struct bench_result *result);
void bench_report_counts(struct bench_report *report, const char *row,
                         const struct bench_result *result);
void bench_report_spike(struct bench_report *report, const char *row,
                        const struct bench_result *result);
/* A sentence that stands for itself: why a row or a kind of figure is missing. */
void bench_report_note(struct bench_report *report, const char *row, const char *text);
/* How many rows were lost. */
void bench_report_end(struct bench_report *report);

#endif
