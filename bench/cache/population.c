/*
 * Items to ask for.
 *
 * The server has memory for twice what the items are by the widest overhead known here (memcached's
 * and Redis' are below 130 bytes), so that nothing is evicted and every get hits. Keys are wanted
 * by Zipf's law with 0.99, as in YCSB; neighbours in rank are neighbours in nothing else, since
 * servers hash keys.
 *
 * Of a store every item is touched once behind the fill: Quarry's blocks are in memory then, as
 * Redis' values are from the start, and two seconds do not measure how they got there.
 *
 * What a server still does of its own accord after the fill is waited for: memcached 1.6.18 grows
 * its table of items by a thread of its own, for seconds, which would be in its figures and is no
 * part of what a request costs.
 */
#include <bench/cache/population.h>

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define QUICK_PART     50u
#define OVERHEAD_BYTES 130u
#define FILL_PIPELINE  64u
#define STORE_BYTES    Q_GIB(1) /* of Quarry as a store: as a server of that much data has */
#define SEED           UINT64_C(0x8f2d6a91c3b5e740)

uint64_t bench_load_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * Q_SECOND_NS + (uint64_t)now.tv_nsec;
}

struct bench_item bench_population_item(const struct bench_load_row *row, uint64_t number)
{
    return (struct bench_item){
        .number = number, .key_bytes = row->key_bytes, .value_bytes = row->value_bytes};
}

struct filling {
    const struct bench_load_row *row;
    uint64_t next;
    uint64_t count;
};

/* Items that are counted up begin as one, by the same verb. */
static bool fill_next(void *context, struct bench_link *link)
{
    struct filling *filling = context;

    if (filling->next == filling->count) {
        return false;
    }
    struct bench_item item = bench_population_item(filling->row, filling->next++);
    (filling->row->verb == BENCH_VERB_INCR ? bench_link_incr : bench_link_set)(link, &item, 0);
    return true;
}

void bench_population_fill(struct bench_links *links, const struct bench_load_row *row,
                           uint64_t count)
{
    struct filling filling = {row, 0, count};
    struct bench_loop loop = {FILL_PIPELINE, fill_next, NULL, &filling};

    bench_links_run(links, &loop);
}

/* Items that are counted up are counted once more, all others read. */
static bool touch_next(void *context, struct bench_link *link)
{
    struct filling *filling = context;

    if (filling->next == filling->count) {
        return false;
    }
    struct bench_item item = bench_population_item(filling->row, filling->next++);
    (filling->row->verb == BENCH_VERB_INCR ? bench_link_incr : bench_link_get)(link, &item, 0);
    return true;
}

/* Touches items 0 … count − 1. */
static void touch_all(struct bench_links *links, const struct bench_load_row *row, uint64_t count)
{
    struct filling touching = {row, 0, count};
    struct bench_loop loop = {FILL_PIPELINE, touch_next, NULL, &touching};

    bench_links_run(links, &loop);
}

bool bench_population_init(struct bench_population *population, const struct bench_load_job *job)
{
    const struct bench_load_row *row = job->row;
    uint64_t key_count = job->is_quick ? row->key_count / QUICK_PART : row->key_count;
    struct bench_server_options options = {
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = 2 * key_count * (row->key_bytes + row->value_bytes + OVERHEAD_BYTES),
        .is_tcp = row->is_tcp,
        .store = row->store,
        .parent = job->parent,
    };

    options.memory_bytes = size_max_u64(options.memory_bytes,
                                        row->store == BENCH_STORE_NONE ? Q_MIB(64) : STORE_BYTES);
    *population = (struct bench_population){.row = row, .key_count = key_count, .random = SEED};
    bench_server_pin_client();
    if (!bench_server_start(&options, &population->server)) {
        return false;
    }
    bench_zipf_init(&population->zipf, key_count, BENCH_LOAD_SKEW);
    bench_links_open(&population->links, &population->server,
                     row->link_count != 0 ? row->link_count : BENCH_POPULATION_LINKS);
    bench_population_fill(&population->links, row, key_count);
    bench_server_settle(&population->server);
    if (row->store != BENCH_STORE_NONE) {
        touch_all(&population->links, row, key_count);
        bench_server_settle(&population->server);
    }
    return true;
}

static bool is_right(enum bench_server_kind kind, uint64_t wrong_count)
{
    if (wrong_count > 0) {
        (void)fprintf(stderr, "%s: %" PRIu64 " answers were wrong or refusals\n",
                      bench_server_name(kind), wrong_count);
    }
    return wrong_count == 0;
}

bool bench_load_is_right(const struct bench_load_job *job, uint64_t wrong_count)
{
    return is_right(job->kind, wrong_count);
}

bool bench_population_fini(struct bench_population *population)
{
    uint64_t wrong_count = population->links.wrong_count + population->links.refused_count;

    bench_links_close(&population->links);
    bench_server_stop(&population->server);
    return is_right(population->server.options.kind, wrong_count);
}

static struct bench_item wanted_item(struct bench_population *population)
{
    uint64_t number = bench_zipf_next(&population->zipf, &population->random);

    return bench_population_item(population->row, number);
}

static void next_of_mix(struct bench_population *population, struct bench_link *link,
                        uint64_t due_ns)
{
    struct bench_item item = wanted_item(population);

    if (bench_random_below(&population->random, 1000) < population->row->set_permille) {
        bench_link_set(link, &item, due_ns);
    } else {
        bench_link_get(link, &item, due_ns);
    }
}

static void next_mset(struct bench_population *population, struct bench_link *link, uint64_t due_ns)
{
    struct bench_item item[BENCH_LOAD_MSET_KEYS];

    for (uint32_t i = 0; i < BENCH_LOAD_MSET_KEYS; i++) {
        item[i] = wanted_item(population);
    }
    bench_link_mset(link, item, BENCH_LOAD_MSET_KEYS, due_ns);
}

void bench_population_next(struct bench_population *population, struct bench_link *link,
                           uint64_t due_ns)
{
    struct bench_item item;

    switch (population->row->verb) {
    case BENCH_VERB_INCR:
        item = wanted_item(population);
        bench_link_incr(link, &item, due_ns);
        break;
    case BENCH_VERB_MSET:
        next_mset(population, link, due_ns);
        break;
    case BENCH_VERB_MIX:
    default:
        next_of_mix(population, link, due_ns);
        break;
    }
}
