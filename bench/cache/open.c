/*
 * Open loops: requests at a constant rate, whether or not earlier ones have been answered.
 *
 *   due        │   │   │   │   │   │   │      one every 1 / rate
 *   sent       │   │        ││││   │   │      late: the client was busy, or its links were full
 *   answered     │   │           ││││
 *   latency    ├─┤          from when it was due, not from when it was sent
 *
 * A client that waits for an answer before it sends the next request asks a stalled server nothing,
 * and so measures one long request where many would have been long ("coordinated omission", Gil
 * Tene). Here a request that could not be sent in time has waited as well, and its wait is in its
 * latency.
 *
 * Requests go round 64 connections, each of which may have 1,024 under way; above that the schedule
 * waits, and the delay counts. The client spins, since sleeping would be late by tens of
 * microseconds. Maxima are exact, quantiles to 1 %.
 *
 * The row `long` is this loop over 1.6 GB of live items, for minutes.
 */
#include <bench/cache/rows.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/histogram.h>
#include <bench/malloc/worker.h>

#define SECONDS       5u
#define SECONDS_QUICK 1u
#define WARM_UP_NS    (Q_SECOND_NS / 2)
#define BURST_MAX     64u /* requests that are sent before answers are looked at */
#define DRAIN_NS      (30 * Q_SECOND_NS)

struct open {
    struct bench_population *population;
    struct bench_histogram histogram;
    uint64_t begin_ns; /* of the schedule */
    uint64_t counted_from_ns;
    uint64_t end_ns;
    double interval_ns;
    uint64_t sent_count;
    uint64_t answered_count;
    uint64_t now_ns;
};

static uint64_t due_ns(const struct open *open)
{
    return open->begin_ns + (uint64_t)((double)open->sent_count * open->interval_ns);
}

static void open_answered(void *context, struct bench_link *link,
                          const struct bench_awaited *awaited, const struct bench_answer *answer)
{
    struct open *open = context;

    (void)link;
    (void)answer;
    open->answered_count++;
    if (awaited->due_ns >= open->counted_from_ns) {
        bench_histogram_add(&open->histogram, open->now_ns - awaited->due_ns);
    }
}

/* Sends what is due. */
static void send_due(struct open *open)
{
    struct bench_links *links = &open->population->links;

    for (uint32_t n = 0; n < BURST_MAX; n++) {
        uint64_t due = due_ns(open);
        struct bench_link *link = &links->link[open->sent_count % links->count];
        if (due > open->now_ns || due >= open->end_ns ||
            bench_link_awaited_count(link) == BENCH_LINK_AWAITED_MAX) {
            break;
        }
        bench_population_next(open->population, link, due);
        bench_link_flush(links, link);
        open->sent_count++;
    }
}

/*
 * An answer's time is when it was found: the clock is read before each look at the sockets and
 * after each wait, so that it is at most a round of receiving old.
 */
static void run(struct open *open)
{
    struct bench_links *links = &open->population->links;

    while (due_ns(open) < open->end_ns || open->answered_count < open->sent_count) {
        open->now_ns = bench_load_now_ns();
        if (open->now_ns > open->end_ns + DRAIN_NS) {
            bench_worker_die("the server does not answer any more");
        }
        send_due(open);
        open->now_ns = bench_load_now_ns();
        (void)bench_links_wait(links, 0, open_answered, NULL, open);
    }
}

static uint64_t seconds_of(const struct bench_load_job *job)
{
    if (job->seconds != 0) {
        return job->seconds;
    }
    return job->is_quick ? SECONDS_QUICK : SECONDS;
}

/* Runs the job's loop. Returns: what bench_load_open does. */
static bool run_job(const struct bench_load_job *job, struct open *open, uint64_t *ret_numbers)
{
    static struct bench_population population;

    if (!bench_population_init(&population, job)) {
        return false;
    }
    uint64_t cpu_ns = bench_server_cpu_ns(&population.server);
    *open = (struct open){.population = &population, .begin_ns = bench_load_now_ns()};
    open->counted_from_ns = open->begin_ns + WARM_UP_NS;
    open->end_ns = open->counted_from_ns + seconds_of(job) * Q_SECOND_NS;
    open->interval_ns = 1e9 / ((double)job->given * job->row->percent / 100);
    run(open);
    ret_numbers[OPEN_P50] = bench_histogram_quantile(&open->histogram, 5000);
    ret_numbers[OPEN_P99] = bench_histogram_quantile(&open->histogram, 9900);
    ret_numbers[OPEN_P999] = bench_histogram_quantile(&open->histogram, 9990);
    ret_numbers[OPEN_P9999] = bench_histogram_quantile(&open->histogram, 9999);
    ret_numbers[OPEN_WORST] = open->histogram.max;
    ret_numbers[OPEN_OPERATIONS] = open->answered_count;
    ret_numbers[OPEN_CPU_NS] = bench_server_cpu_ns(&population.server) - cpu_ns;
    ret_numbers[OPEN_RSS] = bench_server_rss_bytes(&population.server);
    return bench_population_fini(&population);
}

bool bench_load_open(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct open open;

    return run_job(job, &open, ret_numbers);
}

const struct bench_histogram *bench_load_open_curve(const struct bench_load_job *job,
                                                    uint64_t *ret_numbers)
{
    static struct open open;

    return run_job(job, &open, ret_numbers) ? &open.histogram : NULL;
}
