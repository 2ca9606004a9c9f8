/*
 * The rows.
 *
 *   get_p1_tcp … set_p64_unix     10^6 keys of 20 bytes by Zipf 0.99, values of 100; 64
 * connections, 1, 16 or 64 requests each before an answer is waited for calls_… the same mixes,
 * short, under strace open_60, open_80              nine gets to one set at a constant rate
 *   bytes_KEY_VALUE               unlike keys until the first eviction at 100 MB
 *   miss_clusterNN                shapes of Twitter's clusters (shape.c)
 *   shift, tenants, idle, slow    what a steady load of 10,000/s notices of others
 *   kill                          10^6 items, killed under load and started again
 *   long                          8 × 10^6 items of 200 bytes, a mix for minutes
 */
#include <bench/cache/rows.h>

#include <fnmatch.h>
#include <string.h>

#include <base/base.h>

#include <bench/cache/shape.h>

#define KEY_BYTES   20u
#define VALUE_BYTES 100u
#define KEYS        1000000u
#define MIX_SETS    100u /* in a thousand */

#define SATURATE(name_, kind_, sets_, pipeline_, is_tcp_, title_)                                  \
    {                                                                                              \
        .name = (name_), .title = (title_), .kind = (kind_), .set_permille = (sets_),              \
        .pipeline = (pipeline_), .is_tcp = (is_tcp_), .key_bytes = KEY_BYTES,                      \
        .value_bytes = VALUE_BYTES, .key_count = KEYS                                              \
    }
#define PIPELINES(verb, sets, socket, is_tcp)                                                      \
    SATURATE(#verb "_p1_" socket, BENCH_LOAD_CLOSED, sets, 1, is_tcp,                              \
             #verb ", each waits for its answer"),                                                 \
        SATURATE(#verb "_p16_" socket, BENCH_LOAD_CLOSED, sets, 16, is_tcp, #verb ", 16 at once"), \
        SATURATE(#verb "_p64_" socket, BENCH_LOAD_CLOSED, sets, 64, is_tcp, #verb ", 64 at once")
#define CALLS(verb, sets)                                                                          \
    SATURATE("calls_" #verb "_p1", BENCH_LOAD_CALLS, sets, 1, true,                                \
             "system calls, one at a time"),                                                       \
        SATURATE("calls_" #verb "_p16", BENCH_LOAD_CALLS, sets, 16, true,                          \
                 "system calls, 16 at once")
#define BYTES(key, value)                                                                          \
    {                                                                                              \
        .name = "bytes_" #key "_" #value, .title = "bytes per item, " #key " + " #value,           \
        .kind = BENCH_LOAD_FILL, .key_bytes = (key), .value_bytes = (value)                        \
    }

static struct bench_load_row rows[] = {
    PIPELINES(get, 0, "tcp", true),
    PIPELINES(set, 1000, "tcp", true),
    PIPELINES(get, 0, "unix", false),
    PIPELINES(set, 1000, "unix", false),
    SATURATE("mix_p1_tcp", BENCH_LOAD_CLOSED, MIX_SETS, 1, true, "nine gets to one set"),
    CALLS(get, 0),
    CALLS(set, 1000),
    {.name = "open_60",
     .title = "latency at 60 % of memcached's maximum",
     .kind = BENCH_LOAD_OPEN,
     .is_tcp = true,
     .needs_maximum = true,
     .percent = 60,
     .pipeline = 1,
     .set_permille = MIX_SETS,
     .key_bytes = KEY_BYTES,
     .value_bytes = VALUE_BYTES,
     .key_count = KEYS},
    {.name = "open_80",
     .title = "latency at 80 % of memcached's maximum",
     .kind = BENCH_LOAD_OPEN,
     .is_tcp = true,
     .needs_maximum = true,
     .percent = 80,
     .pipeline = 1,
     .set_permille = MIX_SETS,
     .key_bytes = KEY_BYTES,
     .value_bytes = VALUE_BYTES,
     .key_count = KEYS},
    BYTES(16, 8),
    BYTES(20, 32),
    BYTES(20, 100),
    BYTES(20, 273),
    BYTES(32, 600),
    BYTES(32, 1000),
    BYTES(32, 4000),
    {.name = "bytes_lognormal",
     .title = "bytes per item, 24 + log-normal round 300",
     .kind = BENCH_LOAD_FILL,
     .key_bytes = 24},
    {.name = "miss_cluster19", .kind = BENCH_LOAD_REPLAY},
    {.name = "miss_cluster22", .kind = BENCH_LOAD_REPLAY},
    {.name = "miss_cluster29", .kind = BENCH_LOAD_REPLAY},
    {.name = "miss_cluster45", .kind = BENCH_LOAD_REPLAY},
    {.name = "miss_cluster48", .kind = BENCH_LOAD_REPLAY},
    {.name = "miss_cluster52", .kind = BENCH_LOAD_REPLAY},
    {.name = "shift",
     .title = "values of 1 MiB, 64 B, 500 KB in turn, beside a load of 100 B",
     .kind = BENCH_LOAD_SHIFT,
     .set_permille = MIX_SETS,
     .key_bytes = KEY_BYTES,
     .value_bytes = VALUE_BYTES},
    {.name = "tenants",
     .title = "a tenant's load, without and with one that floods",
     .kind = BENCH_LOAD_TENANTS,
     .set_permille = MIX_SETS,
     .key_bytes = KEY_BYTES,
     .value_bytes = 180},
    {.name = "idle",
     .title = "10,000 idle connections and 1,000 at work in 256 MiB",
     .kind = BENCH_LOAD_IDLE,
     .set_permille = MIX_SETS,
     .key_bytes = KEY_BYTES,
     .value_bytes = 1000,
     .key_count = KEYS / 20},
    {.name = "slow",
     .title = "a load beside 100 that write slowly and 100 that do not read",
     .kind = BENCH_LOAD_SLOW,
     .set_permille = MIX_SETS,
     .key_bytes = KEY_BYTES,
     .value_bytes = VALUE_BYTES,
     .key_count = KEYS / 10},
    {.name = "kill",
     .title = "killed under load, started again",
     .kind = BENCH_LOAD_KILL,
     .set_permille = 3 * MIX_SETS,
     .key_bytes = KEY_BYTES,
     .value_bytes = 180,
     .key_count = KEYS},
    {.name = "long",
     .title = "1.6 GB of live items, a mix for minutes, at half of memcached's maximum",
     .kind = BENCH_LOAD_OPEN,
     .is_tcp = true,
     .is_long = true,
     .needs_maximum = true,
     .percent = 50,
     .pipeline = 1,
     .set_permille = MIX_SETS,
     .key_bytes = KEY_BYTES,
     .value_bytes = 180,
     .key_count = 8 * KEYS},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* Rows of misses are named for their shape. */
static void find_shapes(void)
{
    for (size_t i = 0; i < ROW_COUNT && rows[i].shape == NULL; i++) {
        if (rows[i].kind == BENCH_LOAD_REPLAY) {
            rows[i].shape = bench_shape_find(rows[i].name + strlen("miss_"));
            Q_ASSERT(rows[i].shape != NULL);
            rows[i].title = rows[i].shape->title;
            rows[i].needs_rss = true;
        }
    }
}

const struct bench_load_row *bench_load_rows(size_t *ret_count)
{
    find_shapes();
    *ret_count = ROW_COUNT;
    return rows;
}

const struct bench_load_row *bench_load_row_find(const char *name)
{
    find_shapes();
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

bool bench_load_row_is_asked_for(const struct bench_load_row *row, const char *pattern)
{
    return (!row->is_long || strcmp(pattern, "*") != 0) && fnmatch(pattern, row->name, 0) == 0;
}
