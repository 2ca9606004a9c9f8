/*
 * The rows.
 *
 *   VERB_pN_tcp, VERB_pN_unix   10^6 keys of 20 bytes by Zipf 0.99, values of 100; 64 connections,
 *                               N requests each before an answer is waited for
 *   calls_VERB_pN               the same, short, under strace
 *   set_power_50                50 connections, each waits until its set outlives a power cut
 *   set_power_50_p16            the same, 16 sets each before an answer is waited for
 *   syncs_power_50              the same, short, under strace: how many share a sync
 *   open_60, open_80            nine gets to one set at a constant rate, by redis' maximum
 *   memory_10m                  10^7 keys in 256 MiB
 *   tool_VERB_pN                redis-benchmark's own loops and figures
 */
#include <bench/resp/rows.h>

#include <string.h>

#include <base/base.h>

#define KEY_BYTES   20u
#define VALUE_BYTES 100u
#define KEYS        1000000u
#define MIX_SETS    100u /* in a thousand */
#define POWER_LINKS 50u

/* What all rows have but where they say otherwise. */
#define STORE_ROW                                                                                  \
    .key_bytes = KEY_BYTES, .value_bytes = VALUE_BYTES, .key_count = KEYS,                         \
    .store = BENCH_STORE_PROCESS

#define CLOSED(name_, verb_, sets_, pipeline_, is_tcp_, title_)                                    \
    {                                                                                              \
        STORE_ROW, .name = (name_), .title = (title_), .kind = BENCH_LOAD_CLOSED, .verb = (verb_), \
                   .set_permille = (sets_), .pipeline = (pipeline_), .is_tcp = (is_tcp_)           \
    }
#define PIPELINES(name, verb, sets, socket, is_tcp, title)                                         \
    CLOSED(name "_p1_" socket, verb, sets, 1, is_tcp, title ", each waits for its answer"),        \
        CLOSED(name "_p16_" socket, verb, sets, 16, is_tcp, title ", 16 at once"),                 \
        CLOSED(name "_p64_" socket, verb, sets, 64, is_tcp, title ", 64 at once")
#define SOCKETS(name, verb, sets, title)                                                           \
    PIPELINES(name, verb, sets, "tcp", true, title),                                               \
        PIPELINES(name, verb, sets, "unix", false, title)
#define CALLS(verb, sets, pipeline_)                                                               \
    {                                                                                              \
        STORE_ROW, .name = "calls_" #verb "_p" #pipeline_, .title = "system calls of " #verb,      \
                   .kind = BENCH_LOAD_CALLS, .set_permille = (sets), .pipeline = (pipeline_),      \
                   .is_tcp = true                                                                  \
    }
#define POWER(name_, kind_, pipeline_, title_)                                                     \
    {                                                                                              \
        .name = (name_), .title = (title_), .kind = (kind_), .set_permille = 1000,                 \
        .pipeline = (pipeline_), .is_tcp = true, .key_bytes = KEY_BYTES,                           \
        .value_bytes = VALUE_BYTES, .key_count = KEYS / 10, .store = BENCH_STORE_POWER,            \
        .link_count = POWER_LINKS                                                                  \
    }
#define OPEN(percent_)                                                                             \
    {                                                                                              \
        STORE_ROW,                                                                                 \
            .name = "open_" #percent_, .kind = BENCH_LOAD_OPEN, .pipeline = 1,                     \
            .title = "latency of nine gets to one set at " #percent_ " % of redis' maximum",       \
            .set_permille = MIX_SETS, .is_tcp = true, .needs_maximum = true, .percent = (percent_) \
    }
#define TOOL(verb, pipeline_)                                                                      \
    {                                                                                              \
        STORE_ROW, .name = "tool_" #verb "_p" #pipeline_, .kind = BENCH_LOAD_TOOL,                 \
                   .title = "redis-benchmark -t " #verb " -P " #pipeline_, .pipeline = (pipeline_) \
    }
#define TOOLS(verb) TOOL(verb, 1), TOOL(verb, 16), TOOL(verb, 64)

static const struct bench_load_row rows[] = {
    SOCKETS("get", BENCH_VERB_MIX, 0, "GET"),
    SOCKETS("set", BENCH_VERB_MIX, 1000, "SET"),
    SOCKETS("mix", BENCH_VERB_MIX, MIX_SETS, "nine GET to one SET"),
    SOCKETS("incr", BENCH_VERB_INCR, 0, "INCR"),
    SOCKETS("mset", BENCH_VERB_MSET, 0, "MSET of 10"),
    CALLS(get, 0, 1),
    CALLS(get, 0, 16),
    CALLS(get, 0, 64),
    CALLS(set, 1000, 1),
    CALLS(set, 1000, 16),
    CALLS(set, 1000, 64),
    POWER("set_power_50", BENCH_LOAD_CLOSED, 1, "SET by 50, power beside appendfsync always"),
    POWER("set_power_50_p16", BENCH_LOAD_CLOSED, 16, "the same, 16 at once"),
    POWER("syncs_power_50", BENCH_LOAD_SYNCS, 1, "the first of these: syncs"),
    OPEN(60),
    OPEN(80),
    {STORE_ROW, .name = "memory_10m",
     .title = "10 M keys of 20 + 100 bytes, Quarry with --memory 256m",
     .kind = BENCH_LOAD_RESIDENT},
    TOOLS(get),
    TOOLS(set),
    TOOLS(incr),
    TOOLS(mset),
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

const struct bench_load_row *bench_resp_rows(size_t *ret_count)
{
    *ret_count = ROW_COUNT;
    return rows;
}

const struct bench_load_row *bench_resp_row_find(const char *name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *bench_resp_tool_verb(const struct bench_load_row *row)
{
    static char verb[16];
    const char *begin = row->name + strlen("tool_");
    size_t bytes = strcspn(begin, "_");

    Q_ASSERT(row->kind == BENCH_LOAD_TOOL && bytes < sizeof verb);
    memcpy(verb, begin, bytes);
    verb[bytes] = '\0';
    return verb;
}
