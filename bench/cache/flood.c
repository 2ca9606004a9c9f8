/*
 * Sets of unlike keys: a closed loop in steps, for what goes on beside it.
 *
 *   value      64 B           16 KiB          1 MiB
 *   at once    64             4               1           some 64 KiB on each connection
 *
 * A step takes what has come on any connection and sends as much again, which is at most what all
 * connections have under way; with four that is 4 MiB of the largest values.
 */
#include <bench/cache/flood.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define KEY_BYTES      20u
#define FIRST_NUMBER   (UINT64_C(1) << 30)
#define PIPELINE_BYTES 65536u
#define PIPELINE_MAX   64u
#define SILENCE_MS     30000

static void send_batch(void *context, struct bench_link *link)
{
    struct bench_flood *flood = context;

    for (uint32_t i = 0; i < flood->pipeline; i++) {
        struct bench_item item = {.number = flood->next_number++,
                                  .key_bytes = KEY_BYTES,
                                  .value_bytes = flood->value_bytes};
        bench_link_set(link, &item, 0);
        flood->sent_bytes += item.value_bytes;
    }
    bench_link_flush(&flood->links, link);
}

void bench_flood_init(struct bench_flood *flood, const struct bench_server *server,
                      uint32_t link_count)
{
    *flood = (struct bench_flood){.next_number = FIRST_NUMBER};
    bench_links_open(&flood->links, server, link_count);
}

void bench_flood_fini(struct bench_flood *flood)
{
    bench_links_close(&flood->links);
}

void bench_flood_begin(struct bench_flood *flood, uint32_t value_bytes)
{
    flood->value_bytes = value_bytes;
    flood->pipeline = (uint32_t)size_min(size_max(PIPELINE_BYTES / value_bytes, 1), PIPELINE_MAX);
    for (uint32_t i = 0; i < flood->links.count; i++) {
        Q_ASSERT(bench_link_awaited_count(&flood->links.link[i]) == 0);
        send_batch(flood, &flood->links.link[i]);
    }
}

void bench_flood_step(struct bench_flood *flood)
{
    (void)bench_links_wait(&flood->links, 0, NULL, send_batch, flood);
}

void bench_flood_end(struct bench_flood *flood)
{
    while (bench_links_are_busy(&flood->links)) {
        if (!bench_links_wait(&flood->links, SILENCE_MS, NULL, NULL, flood)) {
            bench_worker_die("the server does not answer any more");
        }
    }
}

void bench_flood_alone(struct bench_flood *flood, uint32_t value_bytes, uint64_t bytes)
{
    uint64_t end = flood->sent_bytes + bytes;

    bench_flood_begin(flood, value_bytes);
    while (flood->sent_bytes < end) {
        if (!bench_links_wait(&flood->links, SILENCE_MS, NULL, send_batch, flood)) {
            bench_worker_die("the server does not answer any more");
        }
    }
    bench_flood_end(flood);
}

uint64_t bench_flood_errors(const struct bench_flood *flood)
{
    return flood->links.wrong_count + flood->links.refused_count;
}
