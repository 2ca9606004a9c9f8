/*
 * Bytes per item: unlike keys are stored until the server evicts for the first time, at a limit of
 * 100 MB (MiB, as memcached counts them). Limit ÷ items is what an item costs of what was paid for;
 * resident bytes ÷ items is what it costs the machine, tables and buffers beside the limit
 * included.
 *
 * Counters are asked for every 4,096 items, and every 256 once the bare data are a quarter of the
 * limit: an overshoot is at most 256 items in some hundred thousand.
 */
#include <bench/cache/rows.h>

#include <math.h>
#include <stdio.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/worker.h>

#define LIMIT_BYTES       Q_MIB(100)
#define LIMIT_BYTES_QUICK Q_MIB(16)
#define PIPELINE          32u
#define STEP              4096u
#define STEP_FINE         256u
#define MEDIAN_BYTES      300.0 /* of log-normal values */
#define SIGMA             1.0
#define VALUE_BYTES_MAX   60000.0
#define ITEMS_MAX         8000000u

struct filling {
    const struct bench_load_row *row;
    uint64_t random;
    uint64_t stored_count;
    uint64_t data_bytes; /* of keys and values */
    uint32_t left;       /* of this step */
};

static uint32_t value_bytes(struct filling *filling)
{
    if (filling->row->value_bytes != 0) {
        return filling->row->value_bytes;
    }
    double first = (double)(bench_random(&filling->random) >> 11) * 0x1p-53;
    double second = (double)(bench_random(&filling->random) >> 11) * 0x1p-53;
    double deviate = sqrt(-2 * log(1 - first)) * cos(2 * 3.14159265358979323846 * second);
    double bytes = MEDIAN_BYTES * exp(SIGMA * deviate);
    return (uint32_t)fmin(fmax(bytes, BENCH_WIRE_VALUE_BYTES_MIN), VALUE_BYTES_MAX);
}

static bool fill_next(void *context, struct bench_link *link)
{
    struct filling *filling = context;
    struct bench_item item = {.number = filling->stored_count,
                              .key_bytes = filling->row->key_bytes};

    if (filling->left == 0) {
        return false;
    }
    item.value_bytes = value_bytes(filling);
    bench_link_set(link, &item, 0);
    filling->left--;
    filling->stored_count++;
    filling->data_bytes += item.key_bytes + item.value_bytes;
    return true;
}

/* Stores until something is evicted, or refused. */
static void fill(struct filling *filling, struct bench_links *links, struct bench_server *server)
{
    struct bench_loop loop = {PIPELINE, fill_next, NULL, filling};
    uint64_t limit = server->options.memory_bytes;

    do {
        filling->left = filling->data_bytes < limit / 4 ? STEP : STEP_FINE;
        bench_links_run(links, &loop);
        if (filling->stored_count > ITEMS_MAX) {
            bench_worker_die("the server does not evict");
        }
    } while (bench_server_counter(server, server->wire->eviction_count_name) == 0 &&
             links->refused_count == 0);
}

bool bench_load_fill(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct bench_server server;
    struct bench_links links;
    struct filling filling = {.row = job->row, .random = 1};
    struct bench_server_options options = {
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = job->is_quick ? LIMIT_BYTES_QUICK : LIMIT_BYTES,
    };

    bench_server_pin_client();
    if (!bench_server_start(&options, &server)) {
        return false;
    }
    bench_links_open(&links, &server, 1);
    fill(&filling, &links, &server);
    uint64_t evictions = bench_server_counter(&server, server.wire->eviction_count_name);
    ret_numbers[FILL_ITEMS] = bench_server_counter(&server, server.wire->item_count_name);
    ret_numbers[FILL_EVICTIONS] = evictions;
    ret_numbers[FILL_DATA_BYTES] = filling.data_bytes / filling.stored_count;
    ret_numbers[FILL_LIMIT_BYTES] = server.options.memory_bytes;
    ret_numbers[FILL_RSS_BYTES] = bench_server_rss_bytes(&server);
    bool is_right = links.wrong_count == 0;
    bench_links_close(&links);
    bench_server_stop(&server);
    if (!is_right) {
        (void)fprintf(stderr, "%s: answers were wrong\n", bench_server_name(job->kind));
    }
    return is_right;
}
