/*
 * The measured side of `quarry bench blocks`.
 *
 *   quarry-bench-child blocks cache ROW STEPS QUICK                  (cache_rows.c)
 *   quarry-bench-child blocks policy POLICY TRACE REQUESTS PERCENT unit|bytes
 *                             → requests misses bytes_requested bytes_missed
 */
#include <bench/blocks/blocks.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <base/base.h>

#include <bench/blocks/driver_quarry.h>
#include <bench/blocks/policy.h>
#include <bench/blocks/trace.h>
#include <bench/child.h>

static int wrong_line(void)
{
    (void)fputs("quarry-bench-child: blocks is run by `quarry bench blocks`; see its help\n",
                stderr);
    return 2;
}

/* Of a trace under a policy. */
struct misses {
    uint64_t count;
    uint64_t asked_bytes;
    uint64_t missed_bytes;
};

static struct misses count_misses(const struct bench_trace *trace,
                                  const struct bench_policy *policy, uint64_t capacity_bytes,
                                  bool is_sized)
{
    void *cache = policy->create(capacity_bytes, trace->key_count);
    struct misses misses = {0};

    for (uint32_t i = 0; i < trace->request_count; i++) {
        uint32_t key = trace->key[i];
        uint32_t bytes = is_sized ? trace->bytes[key] : 1;
        misses.asked_bytes += bytes;
        if (!policy->access(cache, key, bytes)) {
            misses.count++;
            misses.missed_bytes += bytes;
        }
    }
    policy->destroy(cache);
    return misses;
}

static int child_policy(char **argv)
{
    const struct bench_policy *policy = bench_policy_find(argv[0]);
    const struct bench_trace_shape *shape = bench_trace_shape_find(argv[1]);
    bool is_sized = strcmp(argv[4], "bytes") == 0;
    uint64_t request_count = 0;
    uint64_t percent = 0;
    struct bench_trace trace;

    if (policy == NULL || shape == NULL || !bench_child_numbers(argv[2], &request_count, 1) ||
        request_count > shape->request_count || !bench_child_numbers(argv[3], &percent, 1) ||
        percent < 1 || percent > 100 || (!is_sized && strcmp(argv[4], "unit") != 0)) {
        return wrong_line();
    }
    bench_trace_init(&trace, shape, (uint32_t)request_count);
    uint64_t whole = is_sized ? trace.unique_bytes : trace.key_count;
    struct misses misses =
        count_misses(&trace, policy, size_max_u64(whole * percent / 100, 1), is_sized);
    (void)printf("%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", trace.request_count,
                 misses.count, misses.asked_bytes, misses.missed_bytes);
    bench_trace_fini(&trace);
    return 0;
}

int bench_blocks_child_main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "policy") == 0) {
        return child_policy(argv + 2);
    }
    if (argc > 1 && strcmp(argv[1], "cache") == 0) {
        return bench_cache_child(&bench_cache_driver_quarry, argc - 2, argv + 2);
    }
    return wrong_line();
}
