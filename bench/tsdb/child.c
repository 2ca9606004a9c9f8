/*
 * The measuring side of `quarry bench tsdb`: one row of one server, in a process of its own, which
 * prints numbers by the row's kind; those of the row of hours also a line for each hour, before.
 *
 *   quarry-bench-child tsdb SERVER QUARRY ROW QUICK DIRECTORY
 */
#include <bench/tsdb/tsdb.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include <base/base.h>

#include <bench/child.h>
#include <bench/tsdb/rows.h>

static bench_series_run *const runs[BENCH_SERIES_KIND_COUNT] = {
    [BENCH_SERIES_INGEST] = bench_series_ingest,
    [BENCH_SERIES_RESIDENT] = bench_series_resident,
    [BENCH_SERIES_SAMPLES] = bench_series_samples,
    [BENCH_SERIES_RESTART] = bench_series_restart,
    [BENCH_SERIES_CARDINALITY] = bench_series_cardinality,
    [BENCH_SERIES_HOURS] = bench_series_hours,
};

/* Reads the line. Returns: whether it makes sense. */
static bool parse(int argc, char **argv, struct bench_series_job *ret_job)
{
    uint64_t is_quick = 0;

    if (argc != 6 || !bench_child_numbers(argv[4], &is_quick, 1)) {
        return false;
    }
    ret_job->kind = bench_server_find(argv[1]);
    ret_job->quarry = argv[2];
    ret_job->row = bench_series_row_find(argv[3]);
    ret_job->is_quick = is_quick != 0;
    ret_job->parent = argv[5];
    bool is_of_series = ret_job->kind == BENCH_SERVER_QUARRY ||
                        ret_job->kind == BENCH_SERVER_PROMETHEUS ||
                        ret_job->kind == BENCH_SERVER_VICTORIA;
    return is_of_series && ret_job->row != NULL;
}

int bench_series_child_main(int argc, char **argv)
{
    struct bench_series_job job = {0};
    uint64_t numbers[BENCH_SERIES_NUMBERS] = {0};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* and the server with this process */
    if (!parse(argc, argv, &job)) {
        (void)fputs("quarry-bench-child: servers of series are measured by `quarry bench tsdb`\n",
                    stderr);
        return 2;
    }
    if (!runs[job.row->kind](&job, numbers)) {
        return 1;
    }
    for (size_t i = 0; i < BENCH_SERIES_NUMBERS; i++) {
        (void)printf("%" PRIu64 "%c", numbers[i], i + 1 < BENCH_SERIES_NUMBERS ? ' ' : '\n');
    }
    return 0;
}
