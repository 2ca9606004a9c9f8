/*
 * Misses of a trace, with the memory that the machine sees the same for all.
 *
 *   get ── hit: done
 *     └─── miss ─▶ set, with the trace's size and TTL, in the next batch: a cache in front of a
 * store set                                                                  a write, whatever is
 * there
 *
 * memcached is given the shape's memory; what it is resident at the end is what the others may be.
 * Their limit is moved by the difference and the trace replayed anew until they are within 1 %,
 * four times at most. Resident and not limit: what lies beside a server's limit is paid for as
 * well.
 *
 * The replay takes a fixed time, whoever answers, because TTLs are times: requests are sent in
 * batches, each at its moment. TTLs are scaled with the trace and are whole seconds, at least one.
 * How late the last batch was is told: a server that cannot keep up would see longer TTLs than
 * others.
 *
 * Misses are counted over the whole trace, the first request for each key included: nobody can hit
 * that one, so ratios between servers are nearer to 1 than those of the misses that can be avoided.
 */
#include <bench/cache/rows.h>

#include <stdio.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/cache/shape.h>
#include <bench/malloc/worker.h>

#define LINKS          4u
#define BATCH          32u /* requests of a link */
#define SECONDS        80u
#define SECONDS_QUICK  2u
#define QUICK_PART     64u
#define RUNS_MAX       4u
#define TOLERANCE_PART 100u /* 1 % */
#define WAITING_MAX    BENCH_LINK_AWAITED_MAX
#define MEMORY_QUICK   Q_MIB(12)

/* Items that were missed and are to be stored, of one link. */
struct missed {
    struct bench_item item[WAITING_MAX];
    uint32_t count;
};

struct replay {
    struct bench_trace_maker maker;
    struct bench_links links;
    struct missed missed[LINKS];
    uint64_t begin_ns;
    double interval_ns; /* between requests */
    uint64_t late_ns;
    uint64_t get_count, miss_count;
};

static struct missed *missed_of(struct replay *replay, const struct bench_link *link)
{
    return &replay->missed[link - replay->links.link];
}

static void replay_answered(void *context, struct bench_link *link,
                            const struct bench_awaited *awaited, const struct bench_answer *answer)
{
    struct replay *replay = context;
    struct missed *missed = missed_of(replay, link);

    if (awaited->is_set) {
        return;
    }
    replay->get_count++;
    if (answer->reply != BENCH_REPLY_HIT) {
        replay->miss_count++;
        Q_ASSERT(missed->count < WAITING_MAX);
        missed->item[missed->count++] = awaited->item;
    }
}

/* Waits until the next request is due, in which answers may come. */
static void wait_until_due(struct replay *replay)
{
    uint64_t due =
        replay->begin_ns + (uint64_t)((double)replay->maker.made_count * replay->interval_ns);
    uint64_t now = bench_load_now_ns();

    replay->late_ns = now > due ? now - due : 0;
    while (bench_load_now_ns() < due) {
        (void)bench_links_wait(&replay->links, 0, replay_answered, NULL, replay);
    }
}

/* What the link has missed, then the trace's next requests. Returns: false: it has ended. */
static bool send_batch(struct replay *replay, struct bench_link *link)
{
    struct missed *missed = missed_of(replay, link);
    struct bench_request request;
    uint32_t count = 0;

    for (uint32_t i = 0; i < missed->count; i++) {
        bench_link_set(link, &missed->item[i], 0);
    }
    missed->count = 0;
    while (count < BATCH && bench_trace_next(&replay->maker, &request)) {
        if (request.is_set) {
            bench_link_set(link, &request.item, 0);
        } else {
            bench_link_get(link, &request.item, 0);
        }
        count++;
    }
    bench_link_flush(&replay->links, link);
    return count > 0;
}

static void wait_for_answers(struct replay *replay, const struct bench_link *link)
{
    while (bench_link_awaited_count(link) > 0) {
        (void)bench_links_wait(&replay->links, 1, replay_answered, NULL, replay);
    }
}

/* Each link in turn: its answers, its moment, its next batch. */
static void run(struct replay *replay)
{
    bool has_more = true;

    for (uint32_t turn = 0; has_more; turn++) {
        struct bench_link *link = &replay->links.link[turn % LINKS];
        wait_for_answers(replay, link);
        wait_until_due(replay);
        has_more = send_batch(replay, link);
    }
    for (uint32_t i = 0; i < LINKS; i++) {
        wait_for_answers(replay, &replay->links.link[i]);
    }
}

/* One replay with so much memory. Returns: false when the server did not come up or answered wrong.
 */
static bool replay_once(const struct bench_load_job *job, uint64_t memory_bytes,
                        uint64_t *ret_numbers)
{
    static struct bench_server server;
    static struct replay replay;
    const struct bench_shape *shape = job->row->shape;
    uint32_t request_count = shape->request_count / (job->is_quick ? QUICK_PART : 1);
    double seconds = job->is_quick ? SECONDS_QUICK : SECONDS;
    struct bench_server_options options = {
        .kind = job->kind, .quarry = job->quarry, .memory_bytes = memory_bytes};

    if (!bench_server_start(&options, &server)) {
        return false;
    }
    replay = (struct replay){.begin_ns = bench_load_now_ns()};
    replay.interval_ns = seconds * 1e9 / request_count;
    bench_trace_begin(&replay.maker, shape, request_count, seconds);
    bench_links_open(&replay.links, &server, LINKS);
    run(&replay);
    ret_numbers[REPLAY_GETS] = replay.get_count;
    ret_numbers[REPLAY_MISSES] = replay.miss_count;
    ret_numbers[REPLAY_RSS_BYTES] = bench_server_rss_bytes(&server);
    ret_numbers[REPLAY_MEMORY_BYTES] = server.options.memory_bytes;
    ret_numbers[REPLAY_LATE_NS] = replay.late_ns;
    bool is_right = replay.links.wrong_count == 0;
    bench_links_close(&replay.links);
    bench_server_stop(&server);
    if (!is_right) {
        (void)fprintf(stderr, "%s: answers were wrong\n", bench_server_name(job->kind));
    }
    return is_right;
}

/* Whether what is resident is near enough to what may be. */
static bool is_near(uint64_t rss, uint64_t wanted)
{
    uint64_t difference = rss > wanted ? rss - wanted : wanted - rss;

    return difference <= wanted / TOLERANCE_PART;
}

bool bench_load_replay(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    uint64_t memory =
        job->is_quick ? MEMORY_QUICK : (uint64_t)job->row->shape->memory_mib * Q_MIB(1);

    bench_server_pin_client();
    for (uint32_t runs = 1;; runs++) {
        if (!replay_once(job, memory, ret_numbers)) {
            return false;
        }
        uint64_t rss = ret_numbers[REPLAY_RSS_BYTES];
        ret_numbers[REPLAY_RUNS] = runs;
        if (job->given == 0 || is_near(rss, job->given) || runs == RUNS_MAX) {
            return true;
        }
        uint64_t less = rss > job->given ? rss - job->given : 0;
        uint64_t more = rss > job->given ? 0 : job->given - rss;
        memory = memory + more > less ? memory + more - less : 0;
    }
}
