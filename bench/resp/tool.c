/*
 * redis-benchmark's own loops: 50 connections, keys at random, values of 100 bytes.
 *
 *   redis-benchmark -t set │ redis-benchmark -t VERB -P N --csv
 *      (gets alone: most of them then hit)       "GET","212765.95","0.118",…
 *
 * What it prints are its figures; the server's CPU time is looked at before and after. It runs on
 * the client's CPU, as this process does, and knows the server by its socket alone.
 */
#include <bench/cache/rows.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/child.h>
#include <bench/malloc/worker.h>
#include <bench/resp/rows.h>

#define WORD_BYTES       128u
#define OPERATIONS_FULL  300000u
#define OPERATIONS_QUICK 3000u
#define FILL_TIMES       2u /* so many sets as keys, of which some are the same */
#define QUICK_PART       50u
#define CSV_FIELDS       8u /* test, rps, avg, min, p50, p95, p99, max; milliseconds */

/* A run of redis-benchmark. */
struct tool_run {
    const char *verb;
    uint64_t operation_count;
    uint32_t pipeline;
    uint64_t key_count;
};

/* Runs it. `output`: as bench_child_run's. Returns: whether it could be. */
static bool run_tool(const struct bench_server *server, const struct tool_run *run, char *output)
{
    char path[WORD_BYTES];
    char count[WORD_BYTES];
    char keys[WORD_BYTES];
    char pipeline[WORD_BYTES];
    const char *argv[] = {
        "redis-benchmark", "-s", path,  "-t",    run->verb, "-n", count, "-r", keys, "-P",
        pipeline,          "-d", "100", "--csv", NULL};

    (void)snprintf(path, sizeof path, "%s/socket", server->directory.path);
    (void)snprintf(count, sizeof count, "%" PRIu64, run->operation_count);
    (void)snprintf(keys, sizeof keys, "%" PRIu64, run->key_count);
    (void)snprintf(pipeline, sizeof pipeline, "%" PRIu32, run->pipeline);
    return bench_child_run(argv, NULL, true, output) == 0;
}

/* The fields of the last line, which are all in quotes. Returns: whether there are so many. */
static bool read_fields(char *output, double *ret_fields)
{
    size_t count = 0;
    char *end = output + strlen(output);

    while (end > output && end[-1] == '\n') {
        *--end = '\0';
    }
    char *line = strrchr(output, '\n');
    for (char *word = strtok(line == NULL ? output : line, "\",");
         word != NULL && count < CSV_FIELDS; word = strtok(NULL, "\",")) {
        if (*word != '\n' && *word != ' ') {
            ret_fields[count++] = strtod(word, NULL);
        }
    }
    return count == CSV_FIELDS;
}

static bool measure(const struct bench_server *server, const struct tool_run *run,
                    uint64_t *ret_numbers)
{
    char output[BENCH_CHILD_OUTPUT_BYTES];
    double field[CSV_FIELDS];
    uint64_t before_ns = bench_server_cpu_ns(server);

    if (!run_tool(server, run, output)) {
        return false;
    }
    ret_numbers[TOOL_CPU_NS] = bench_server_cpu_ns(server) - before_ns;
    if (!read_fields(output, field)) {
        return false;
    }
    ret_numbers[TOOL_OPERATIONS] = run->operation_count;
    ret_numbers[TOOL_MILLI_RATE] = (uint64_t)(1000 * field[1]);
    ret_numbers[TOOL_P50] = (uint64_t)(field[4] * (double)Q_MS_NS);
    ret_numbers[TOOL_P99] = (uint64_t)(field[6] * (double)Q_MS_NS);
    ret_numbers[TOOL_WORST] = (uint64_t)(field[7] * (double)Q_MS_NS);
    return true;
}

/* Gets shall find something. */
static bool fill(const struct bench_server *server, const struct tool_run *run)
{
    struct tool_run filling = {"set", FILL_TIMES * run->key_count, 64, run->key_count};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    if (strcmp(run->verb, "get") != 0) {
        return true;
    }
    bool is_filled = run_tool(server, &filling, output);
    bench_server_settle(server);
    return is_filled;
}

bool bench_load_tool(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    struct bench_server_options options = {
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = Q_GIB(1),
        .store = job->row->store,
        .parent = job->parent,
    };
    struct tool_run run = {
        .verb = bench_resp_tool_verb(job->row),
        .operation_count =
            job->row->pipeline * (uint64_t)(job->is_quick ? OPERATIONS_QUICK : OPERATIONS_FULL),
        .pipeline = job->row->pipeline,
        .key_count = job->is_quick ? job->row->key_count / QUICK_PART : job->row->key_count,
    };
    struct bench_server server;

    bench_server_pin_client();
    if (!bench_server_start(&options, &server)) {
        return false;
    }
    bool is_measured = fill(&server, &run) && measure(&server, &run, ret_numbers);
    if (!is_measured) {
        (void)fprintf(stderr, "%s: redis-benchmark ended with an error or without figures\n",
                      bench_server_name(job->kind));
    }
    bench_server_stop(&server);
    return is_measured;
}
