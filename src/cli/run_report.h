/*
 * The report of `quarry run --report`: kept hold of while the program runs, printed at its end.
 */
#ifndef QUARRY_CLI_RUN_REPORT_H
#define QUARRY_CLI_RUN_REPORT_H

#include <base/base.h>
#include <cli/run_child.h>
#include <mem/mem.h>

#include <stdio.h>

/* The statistics of the program that runs, attached so that they outlive it. */
struct run_report {
    bool is_attached;
    struct mem_stats_reader reader;
    uint64_t tick_count;
};

/* Attaches when there is something to attach to; a run_tick_function, whose argument is the report.
 */
void run_report_tick(void *argument, uint32_t pid);

/* Prints the report. Errors: NO_MEMORY, and the file's own. */
Q_NODISCARD enum quarry_status run_report_print(FILE *file, struct run_report *report,
                                                const char *program, uint32_t pid,
                                                const struct run_outcome *outcome);
void run_report_fini(struct run_report *report);

#endif
