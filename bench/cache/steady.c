/*
 * A load at a constant rate, as of somebody who has nothing to do with what goes on beside him.
 *
 *   due        │   │   │   │   │   │      one every 1 / rate, over the connections in turn
 *   get ── hit
 *     └─── miss ─▶ set, at once: a cache in front of a store
 *   windows    ├── 50 ms ──┼── 50 ms ──┤    hits of gets
 *
 * Latencies are from when a request was due, as in open.c, so that a server that stands still is
 * seen by all requests that should have been sent meanwhile. Sets that follow a miss have no moment
 * of their own and no latency.
 *
 * What disturbs it runs in the same thread, between its steps, and does little at a time: a second
 * thread would need a CPU that a machine of two has not got, and where two share one, the
 * scheduler's turns of milliseconds would be in every figure. What the disturbance costs the client
 * is in the latencies of all servers alike.
 */
#include <bench/cache/steady.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/worker.h>

#define SEED      UINT64_C(0x3c6ef372fe94f82b)
#define BURST_MAX 64u
#define PPM       1000000u
#define DRAIN_NS  (30 * Q_SECOND_NS)
#define PIPELINE  64u

static struct bench_item item_of(const struct bench_steady *steady, uint64_t number)
{
    return (struct bench_item){.number = number,
                               .key_bytes = steady->options.key_bytes,
                               .value_bytes = steady->options.value_bytes};
}

/* ---- answers -------------------------------------------------------------------------------- */

static void count_get(struct bench_steady *steady, bool is_hit)
{
    struct bench_span *span = steady->span;
    uint64_t window = (steady->now_ns - steady->begin_ns) / BENCH_STEADY_WINDOW_NS;

    window = size_min_u64(window, BENCH_STEADY_WINDOWS - 1);
    span->get_count++;
    span->hit_count += is_hit;
    span->window_gets[window]++;
    span->window_hits[window] += is_hit;
}

static void steady_answered(void *context, struct bench_link *link,
                            const struct bench_awaited *awaited, const struct bench_answer *answer)
{
    struct bench_steady *steady = context;
    bool is_hit = answer->reply == BENCH_REPLY_HIT;

    if (!awaited->is_set && answer->reply == BENCH_REPLY_MISS &&
        bench_link_awaited_count(link) < BENCH_LINK_AWAITED_MAX) {
        bench_link_set(link, &awaited->item, 0);
        bench_link_flush(&steady->links, link);
    }
    if (awaited->due_ns == 0) {
        return;
    }
    steady->answered_count++;
    if (steady->span != NULL) {
        bench_histogram_add(&steady->span->latency, steady->now_ns - awaited->due_ns);
        if (!awaited->is_set) {
            count_get(steady, is_hit);
        }
    }
}

/* ---- the schedule --------------------------------------------------------------------------- */

static uint64_t due_ns(const struct bench_steady *steady)
{
    double interval_ns = (double)Q_SECOND_NS / steady->options.rate;

    return steady->begin_ns + (uint64_t)((double)steady->sent_count * interval_ns);
}

static void put_next(struct bench_steady *steady, struct bench_link *link, uint64_t due)
{
    struct bench_item item = item_of(steady, bench_zipf_next(&steady->zipf, &steady->random));

    if (bench_random_below(&steady->random, 1000) < steady->options.set_permille) {
        bench_link_set(link, &item, due);
    } else {
        bench_link_get(link, &item, due);
    }
}

static void send_due(struct bench_steady *steady)
{
    for (uint32_t n = 0; n < BURST_MAX; n++) {
        uint64_t due = due_ns(steady);
        struct bench_link *link = &steady->links.link[steady->sent_count % steady->links.count];
        if (due > steady->now_ns || bench_link_awaited_count(link) == BENCH_LINK_AWAITED_MAX) {
            break;
        }
        put_next(steady, link, due);
        bench_link_flush(&steady->links, link);
        steady->sent_count++;
    }
}

void bench_steady_begin(struct bench_steady *steady, struct bench_span *span)
{
    if (span != NULL) {
        *span = (struct bench_span){.get_count = 0};
    }
    steady->span = span;
    steady->sent_count = 0;
    steady->answered_count = 0;
    steady->begin_ns = bench_load_now_ns();
    steady->now_ns = steady->begin_ns;
}

void bench_steady_look(struct bench_steady *steady)
{
    steady->now_ns = bench_load_now_ns();
    (void)bench_links_wait(&steady->links, 0, steady_answered, NULL, steady);
}

void bench_steady_step(struct bench_steady *steady)
{
    steady->now_ns = bench_load_now_ns();
    send_due(steady);
    bench_steady_look(steady);
}

void bench_steady_rest(struct bench_steady *steady)
{
    uint64_t end_ns = bench_load_now_ns() + DRAIN_NS;

    while (bench_links_are_busy(&steady->links)) {
        bench_steady_look(steady);
        if (steady->now_ns > end_ns) {
            bench_worker_die("the server does not answer any more");
        }
    }
    steady->span = NULL;
}

void bench_steady_alone(struct bench_steady *steady, struct bench_span *span, uint64_t ns)
{
    bench_steady_begin(steady, span);
    while (bench_steady_elapsed_ns(steady) < ns) {
        bench_steady_step(steady);
    }
    bench_steady_rest(steady);
}

uint64_t bench_steady_elapsed_ns(const struct bench_steady *steady)
{
    return bench_load_now_ns() - steady->begin_ns;
}

/* ---- beginning and end ---------------------------------------------------------------------- */

struct filling {
    const struct bench_steady *steady;
    uint64_t next;
};

static bool fill_next(void *context, struct bench_link *link)
{
    struct filling *filling = context;

    if (filling->next == filling->steady->options.key_count) {
        return false;
    }
    struct bench_item item = item_of(filling->steady, filling->next++);
    bench_link_set(link, &item, 0);
    return true;
}

void bench_steady_init(struct bench_steady *steady, const struct bench_server *server,
                       const struct bench_steady_options *options)
{
    struct filling filling = {.steady = steady};
    struct bench_loop loop = {PIPELINE, fill_next, NULL, &filling};

    Q_ASSERT(options->rate > 0);
    *steady = (struct bench_steady){.options = *options, .random = SEED};
    bench_zipf_init(&steady->zipf, options->key_count, options->skew);
    bench_links_open(&steady->links, server, options->link_count);
    bench_links_run(&steady->links, &loop);
}

void bench_steady_fini(struct bench_steady *steady)
{
    bench_links_close(&steady->links);
}

uint64_t bench_steady_errors(const struct bench_steady *steady)
{
    return steady->links.wrong_count + steady->links.refused_count;
}

/* ---- what was noticed ----------------------------------------------------------------------- */

uint64_t bench_span_hit_ppm(const struct bench_span *span)
{
    return span->get_count == 0 ? 0 : span->hit_count * PPM / span->get_count;
}

static uint64_t window_ppm(const struct bench_span *span, uint32_t window)
{
    return (uint64_t)span->window_hits[window] * PPM / span->window_gets[window];
}

/* Behind the last window that has gets. */
static uint32_t window_count(const struct bench_span *span)
{
    uint32_t count = BENCH_STEADY_WINDOWS;

    while (count > 0 && span->window_gets[count - 1] == 0) {
        count--;
    }
    return count;
}

uint64_t bench_span_below_ns(const struct bench_span *span, uint64_t hit_ppm)
{
    uint32_t count = window_count(span);
    uint64_t longest = 0;
    uint64_t length = 0;

    for (uint32_t i = 0; i < count; i++) {
        bool is_below = span->window_gets[i] == 0 ? length > 0 : window_ppm(span, i) < hit_ppm;
        length = is_below ? length + 1 : 0;
        longest = size_max_u64(longest, length);
    }
    return longest * BENCH_STEADY_WINDOW_NS;
}

uint64_t bench_span_least_ppm(const struct bench_span *span)
{
    uint32_t count = window_count(span);
    uint64_t least = PPM;

    for (uint32_t i = 0; i < count; i++) {
        if (span->window_gets[i] > 0) {
            least = size_min_u64(least, window_ppm(span, i));
        }
    }
    return least;
}
