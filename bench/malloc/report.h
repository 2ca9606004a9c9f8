/*
 * Reports of `quarry bench malloc`: tables for people, or JSON for programs.
 */
#ifndef QUARRY_BENCH_MALLOC_REPORT_H
#define QUARRY_BENCH_MALLOC_REPORT_H

#include <bench/machine.h>
#include <bench/malloc/run.h>
#include <bench/malloc/score.h>

/* The figures of a row. */
enum bench_malloc_figure {
    BENCH_WALL,         /* ns per pair */
    BENCH_CPU,          /* ns per pair */
    BENCH_P999,         /* ns of one operation */
    BENCH_PEAK,         /* bytes */
    BENCH_RSS,          /* byte-seconds */
    BENCH_FAULTS,       /* count */
    BENCH_INSTRUCTIONS, /* per pair; 0: not counted */
    BENCH_MALLOC_FIGURES,
};

/* One subject's figures for a row. */
struct bench_malloc_result {
    const char *absent_reason; /* NULL: measured */
    uint64_t operation_count;  /* in a round */
    struct bench_summary figure[BENCH_MALLOC_FIGURES];
    struct bench_malloc_idle idle; /* spikes alone */
};

struct bench_malloc_report {
    FILE *file; /* borrowed */
    bool is_json;
    size_t round_count;
    uint32_t thread_count;
    struct bench_machine machine;
    struct bench_presence subject[BENCH_MALLOC_SUBJECTS];
    bool has_head; /* the head of the table that is being printed */
    /* Of time, and of resident memory over time: by group, and of all. */
    struct bench_score wall[BENCH_GROUP_COUNT + 1];
    struct bench_score rss[BENCH_GROUP_COUNT + 1];
    struct bench_score instructions;
};

/* What was measured on what: a line for people, or the object with row "machine". */
void bench_malloc_report_machine(struct bench_malloc_report *report);
/* Times and memory of a row. `result`: BENCH_MALLOC_SUBJECTS of them, borrowed; likewise below. */
void bench_malloc_report_row(struct bench_malloc_report *report, const char *row,
                             enum bench_group group, const struct bench_malloc_result *result);
/* Time and peak memory of a program: BENCH_WALL and BENCH_CPU are seconds. */
void bench_malloc_report_program(struct bench_malloc_report *report, const char *row,
                                 const struct bench_malloc_result *result);
/* Instructions of a row. */
void bench_malloc_report_count(struct bench_malloc_report *report, const char *row,
                               const struct bench_malloc_result *result);
/* A spike, after its row: resident memory by seconds. */
void bench_malloc_report_spike(struct bench_malloc_report *report,
                               const struct bench_malloc_spike_row *row,
                               const struct bench_malloc_result *result);
/* The restart story. `story`: borrowed. */
void bench_malloc_report_story(struct bench_malloc_report *report,
                               const struct bench_malloc_story *story);
/* A sentence that stands for itself. */
void bench_malloc_report_note(struct bench_malloc_report *report, const char *row,
                              const char *text);
/* Geometric means, and how many rows were lost. */
void bench_malloc_report_end(struct bench_malloc_report *report);

/* ---- for the report's files ----------------------------------------------------------------- */

/* The head of a table: `first` over the rows' names, then those subjects that are wanted. */
void bench_malloc_report_head(const struct bench_malloc_report *report, const char *first);
/* A cell of ten columns: a figure, or "absent". */
void bench_malloc_report_cell(const struct bench_malloc_report *report, const char *absent_reason,
                              double value);
/* The medians of a figure. */
struct bench_figures bench_malloc_figures(const struct bench_malloc_result *result,
                                          enum bench_malloc_figure figure);
/* Names of the fields of a ratio. */
struct bench_ratio_keys {
    const char *ratio;
    const char *best_peer;
    const char *is_loss;
};
extern const struct bench_ratio_keys bench_ratio_plain; /* of the line's main figure */
extern const struct bench_ratio_keys bench_ratio_rss;   /* of resident memory over time */
/* In Quarry's line the ratio to the best peer, its name, and whether that is a loss; in a peer's
 * line the ratio to that peer. */
void bench_malloc_ratio_json(struct bench_json *json, const struct bench_figures *figures,
                             size_t subject, const struct bench_ratio_keys *keys);
/* The JSON line of a subject that was not measured, when it was wanted. */
void bench_malloc_report_absent(const struct bench_malloc_report *report, const char *row,
                                size_t subject, const char *reason);

#endif
