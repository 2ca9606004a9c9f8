/*
 * Shifts of sizes: what is stored is now of 1 MiB, now of 64 bytes, now of 500 KB, so that all
 * memory has to change its class each time, while somebody else's keys are read at a constant rate.
 *
 *   hot keys   ├─ alone ─┼─ beside ──────────────────────────────────────────┤  10,000/s
 *   flood                │ 1 MiB values │ 64 B values │ 500 KB values │          closed loop
 *                          each as many as fill the memory twice, 15 s at most
 *
 * What is told: errors that either was answered with; the longest time in which the hot keys' hits
 * were below 90 % of what they were alone; the worst window of 50 ms; latencies of the hot keys.
 * Hot keys are all wanted alike, each once a second, and are less than a hundredth of the memory,
 * so that whoever keeps what is used loses none of them.
 */
#include <bench/cache/rows.h>

#include <base/base.h>

#include <bench/cache/flood.h>
#include <bench/cache/population.h>
#include <bench/cache/steady.h>

#define MEMORY_BYTES       Q_MIB(256)
#define MEMORY_BYTES_QUICK Q_MIB(64)
#define KEYS_PER_MIB       40u
#define RATE               10000.0
#define RATE_QUICK         5000.0
#define ALONE_NS           (3 * Q_SECOND_NS)
#define ALONE_NS_QUICK     (Q_SECOND_NS / 2)
#define PHASE_NS           (15 * Q_SECOND_NS)
#define PHASE_NS_QUICK     (2 * Q_SECOND_NS)
#define ITEM_BYTES_MAX     Q_MIB(2)
#define HITS_PERCENT       90u
#define ITEM_OVERHEAD      64u /* at least, of the small ones, so that they fill the memory */

static const uint32_t phases[] = {1048576, 64, 500000};
#define PHASE_COUNT (sizeof phases / sizeof phases[0])

/* The flood beside the load, until the memory has been filled twice. */
static void run_phase(const struct bench_load_job *job, uint64_t memory_bytes, uint32_t value_bytes,
                      struct bench_steady *steady, struct bench_flood *flood)
{
    uint64_t end_ns = bench_load_now_ns() + (job->is_quick ? PHASE_NS_QUICK : PHASE_NS);
    uint64_t begin_number = flood->next_number;
    uint64_t item_count = 2 * memory_bytes / (value_bytes + ITEM_OVERHEAD);

    bench_flood_begin(flood, value_bytes);
    while (flood->next_number - begin_number < item_count && bench_load_now_ns() < end_ns) {
        bench_steady_step(steady);
        bench_flood_step(flood);
    }
    while (bench_links_are_busy(&flood->links)) {
        bench_steady_step(steady);
        (void)bench_links_wait(&flood->links, 0, NULL, NULL, NULL);
    }
}

static void tell(const struct bench_span *alone, const struct bench_span *beside,
                 uint64_t *ret_numbers)
{
    uint64_t hit_ppm = bench_span_hit_ppm(alone);

    ret_numbers[SHIFT_HIT_ALONE_PPM] = hit_ppm;
    ret_numbers[SHIFT_HIT_LEAST_PPM] = bench_span_least_ppm(beside);
    ret_numbers[SHIFT_BELOW_NS] = bench_span_below_ns(beside, hit_ppm * HITS_PERCENT / 100);
    ret_numbers[SHIFT_P99] = bench_histogram_quantile(&beside->latency, 9900);
    ret_numbers[SHIFT_P999] = bench_histogram_quantile(&beside->latency, 9990);
    ret_numbers[SHIFT_WORST] = beside->latency.max;
}

bool bench_load_shift(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct bench_server server;
    static struct bench_steady steady;
    static struct bench_flood flood;
    static struct bench_span alone, beside;
    struct bench_server_options options = {
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = job->is_quick ? MEMORY_BYTES_QUICK : MEMORY_BYTES,
        .is_tcp = true,
        .item_bytes_max = (uint32_t)ITEM_BYTES_MAX,
    };
    struct bench_steady_options load = {
        .link_count = 8,
        .key_bytes = job->row->key_bytes,
        .value_bytes = job->row->value_bytes,
        .set_permille = job->row->set_permille,
        .key_count = options.memory_bytes / Q_MIB(1) * KEYS_PER_MIB,
        .rate = job->is_quick ? RATE_QUICK : RATE,
    };

    bench_server_pin_client();
    if (!bench_server_start(&options, &server)) {
        return false;
    }
    bench_steady_init(&steady, &server, &load);
    bench_flood_init(&flood, &server, 4);
    bench_server_settle(&server);
    bench_steady_alone(&steady, &alone, job->is_quick ? ALONE_NS_QUICK : ALONE_NS);
    bench_steady_begin(&steady, &beside);
    for (size_t i = 0; i < PHASE_COUNT; i++) {
        run_phase(job, options.memory_bytes, phases[i], &steady, &flood);
    }
    bench_steady_rest(&steady);
    tell(&alone, &beside, ret_numbers);
    ret_numbers[SHIFT_ERRORS] = bench_steady_errors(&steady) + bench_flood_errors(&flood);
    ret_numbers[SHIFT_STORED_BYTES] = flood.sent_bytes;
    bench_flood_fini(&flood);
    bench_steady_fini(&steady);
    bench_server_stop(&server);
    return true;
}
