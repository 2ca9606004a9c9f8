/*
 * The measuring side of `quarry bench cache` and `quarry bench resp`: one row of one server, in a
 * process of its own, which prints numbers by the row's kind.
 *
 *   quarry-bench-child cache SERVER QUARRY ROW QUICK SECONDS GIVEN
 *   quarry-bench-child resp SERVER QUARRY ROW QUICK SECONDS GIVEN DIRECTORY
 */
#include <bench/cache/cache.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include <base/base.h>

#include <bench/cache/rows.h>
#include <bench/child.h>
#include <bench/resp/rows.h>

static bench_load_run *const runs[BENCH_LOAD_KIND_COUNT] = {
    [BENCH_LOAD_CLOSED] = bench_load_closed, [BENCH_LOAD_CALLS] = bench_load_calls,
    [BENCH_LOAD_OPEN] = bench_load_open,     [BENCH_LOAD_FILL] = bench_load_fill,
    [BENCH_LOAD_REPLAY] = bench_load_replay, [BENCH_LOAD_KILL] = bench_load_kill,
    [BENCH_LOAD_SHIFT] = bench_load_shift,   [BENCH_LOAD_TENANTS] = bench_load_tenants,
    [BENCH_LOAD_IDLE] = bench_load_idle,     [BENCH_LOAD_SLOW] = bench_load_slow,
    [BENCH_LOAD_SYNCS] = bench_load_syncs,   [BENCH_LOAD_RESIDENT] = bench_load_resident,
    [BENCH_LOAD_TOOL] = bench_load_tool,
};

/* Reads the line. Returns: whether it makes sense. */
static bool parse(int argc, char **argv, struct bench_load_job *ret_job)
{
    bool is_resp = strcmp(argv[0], "resp") == 0;
    uint64_t is_quick = 0;
    bool is_sound = argc == (is_resp ? 8 : 7) && bench_child_numbers(argv[4], &is_quick, 1) &&
                    bench_child_numbers(argv[5], &ret_job->seconds, 1) &&
                    bench_child_numbers(argv[6], &ret_job->given, 1);

    if (!is_sound) {
        return false;
    }
    ret_job->kind = bench_server_find(argv[1]);
    ret_job->quarry = argv[2];
    ret_job->row = is_resp ? bench_resp_row_find(argv[3]) : bench_load_row_find(argv[3]);
    ret_job->parent = is_resp ? argv[7] : NULL;
    ret_job->is_quick = is_quick != 0;
    if (is_resp && ret_job->kind == BENCH_SERVER_MEMCACHED) {
        return false;
    }
    return ret_job->kind <= BENCH_SERVER_REDIS && ret_job->row != NULL &&
           (!ret_job->row->needs_maximum || ret_job->given > 0);
}

int bench_load_child_main(int argc, char **argv)
{
    struct bench_load_job job = {0};
    uint64_t numbers[BENCH_LOAD_NUMBERS] = {0};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* and the server with this process */
    if (!parse(argc, argv, &job)) {
        (void)fprintf(stderr, "quarry-bench-child: servers are measured by `quarry bench %s`\n",
                      argv[0]);
        return 2;
    }
    if (!runs[job.row->kind](&job, numbers)) {
        return 1;
    }
    for (size_t i = 0; i < BENCH_LOAD_NUMBERS; i++) {
        (void)printf("%" PRIu64 "%c", numbers[i], i + 1 < BENCH_LOAD_NUMBERS ? ' ' : '\n');
    }
    return 0;
}
