/*
 * Test scripts: series that are loaded, expressions that are evaluated, what is expected of them.
 *
 *     load 1m
 *       requests_total{job="a"} 0+10x10
 *
 *     eval instant at 10m rate(requests_total[5m])
 *       {job="a"} 0.16666
 *
 * The language is that of Prometheus' own tests, whose scripts run as they are. An instant query is
 * evaluated again in other ways that have to give the same: with `@` in its selectors at five other
 * times, and each of these as the middle step of a range.
 */
#ifndef QUARRY_PROMQL_SCRIPT_H
#define QUARRY_PROMQL_SCRIPT_H

#include <promql/memory.h>

#include <quarry/tsdb.h>

/* Samples that a query of a script may have in memory, as in Prometheus' own runs. */
#define PROMQL_SCRIPT_SAMPLES_MAX 10000u

/* One command that was carried out, or could not be read. All of it is borrowed for the call. */
struct promql_script_case {
    uint32_t line;    /* from 1 */
    const char *text; /* the command's first line */
    const char *seen; /* what was wrong: expected and seen; NULL: it is as it should be */
};
typedef void promql_script_report(void *argument, const struct promql_script_case *done);

struct promql_script_options {
    struct quarry_account *account; /* borrowed for the call */
    struct quarry_pool *pool;       /* of the account's owner */
    uint64_t grant_bytes;           /* of a script's series, and of each query; 0: 256 MiB */
    bool only_as_written;           /* leaves the other ways out */
    promql_script_report *report;   /* of each evaluation, and of what cannot be read; or NULL */
    void *argument;
};

struct promql_script_counts {
    uint64_t case_count, failed_count; /* evaluations; what cannot be read is one that failed */
    uint64_t query_count;              /* in all ways */
};

/*
 * Runs a script. What fails does not end it.
 *
 * `text`: borrowed for the call. `ret_counts`: written always.
 * Returns: QUARRY_OK, also when cases failed; QUARRY_NO_MEMORY: it was not run to its end.
 * Threads: any. Cost: that of its queries, about 12 for each instant one.
 */
enum quarry_status promql_script_run(const struct promql_script_options *options,
                                     struct quarry_tsdb_slice text,
                                     struct promql_script_counts *ret_counts);

#endif
