/*
 * Killed in the midst of its work.
 *
 *   quarry      fill │ load │ SIGKILL               │ start … answers │ asked │ load │ SIGKILL …
 *   memcached   fill │ load │ SIGUSR1, and its end  │ start … answers │ asked │      with -e FILE
 *
 * The load is gets and sets by Zipf's law, with requests under way when the signal comes; their
 * answers are nobody's any more. The clock runs from the start of the program to its first answer.
 * Then as many gets as the load's law gives are asked: hits before are those of the load, and of
 * hits after it is the least of all restarts that is told, since it is the one that somebody would
 * notice.
 *
 * Every value that comes back is checked to its last bit: it names its key and its version, and all
 * that follows, and its length, is made from the two. Which version it must be, the campaign of
 * kills knows (tests/campaign).
 *
 * memcached keeps nothing when it is killed, so it is let go gently, and its way out is not in the
 * figure.
 */
#include <bench/cache/rows.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/worker.h>

#define TIMES         20u
#define TIMES_QUICK   2u
#define QUICK_PART    50u
#define ASKED         20000u
#define MEMORY_BYTES  Q_GIB(1)
#define LINKS         8u
#define PIPELINE      16u
#define PAUSE_US      1200000u
#define LOAD_NS       (Q_SECOND_NS / 2)
#define LOAD_NS_QUICK (Q_SECOND_NS / 10)
#define SEED          UINT64_C(0x6a09e667f3bcc909)
#define PPM           1000000u

struct killing {
    const struct bench_load_row *row;
    struct bench_server server;
    struct bench_links links;
    struct bench_zipf zipf;
    uint64_t key_count;
    uint64_t random;
    uint32_t version;      /* of what is stored next */
    uint32_t set_permille; /* 0 when it only asks */
    uint64_t left;         /* requests that a loop has left */
    uint64_t get_count, hit_count;
    uint64_t checked_count;
};

/* ---- requests ------------------------------------------------------------------------------- */

static struct bench_item item_of(const struct killing *killing, uint64_t number)
{
    struct bench_item item = bench_population_item(killing->row, number);

    item.version = killing->version;
    return item;
}

static bool fill_next(void *context, struct bench_link *link)
{
    struct killing *killing = context;

    if (killing->left == 0) {
        return false;
    }
    struct bench_item item = item_of(killing, --killing->left);
    bench_link_set(link, &item, 0);
    return true;
}

static void put_next(struct killing *killing, struct bench_link *link)
{
    uint64_t number = bench_zipf_next(&killing->zipf, &killing->random);

    if (bench_random_below(&killing->random, 1000) < killing->set_permille) {
        killing->version++;
        struct bench_item item = item_of(killing, number);
        bench_link_set(link, &item, 0);
    } else {
        struct bench_item item = item_of(killing, number);
        bench_link_get(link, &item, 0);
    }
}

static bool ask_next(void *context, struct bench_link *link)
{
    struct killing *killing = context;

    if (killing->left == 0) {
        return false;
    }
    killing->left--;
    put_next(killing, link);
    return true;
}

static void count_answer(void *context, struct bench_link *link,
                         const struct bench_awaited *awaited, const struct bench_answer *answer)
{
    struct killing *killing = context;
    bool is_hit = answer->reply == BENCH_REPLY_HIT;

    (void)link;
    killing->get_count += !awaited->is_set;
    killing->hit_count += is_hit;
    killing->checked_count += is_hit;
}

/* A batch more on a link that has its answers. */
static void refill(void *context, struct bench_link *link)
{
    struct killing *killing = context;

    for (uint32_t i = 0; i < PIPELINE; i++) {
        put_next(killing, link);
    }
    bench_link_flush(&killing->links, link);
}

/* ---- one kill ------------------------------------------------------------------------------- */

static void begin_links(struct killing *killing, uint32_t set_permille)
{
    killing->get_count = 0;
    killing->hit_count = 0;
    killing->set_permille = set_permille;
    bench_links_open(&killing->links, &killing->server, LINKS);
}

static void end_links(struct killing *killing)
{
    if (killing->links.wrong_count + killing->links.refused_count > 0) {
        bench_worker_die("a value is not one that was stored, or something was refused");
    }
    bench_links_close(&killing->links);
}

static uint64_t hit_ppm(const struct killing *killing)
{
    return killing->get_count == 0 ? 0 : killing->hit_count * PPM / killing->get_count;
}

/* The load, and the signal in it. Returns: its hits. */
static uint64_t load_and_kill(struct killing *killing, uint64_t load_ns)
{
    bool is_memcached = killing->server.options.kind == BENCH_SERVER_MEMCACHED;
    uint64_t end_ns = bench_load_now_ns() + load_ns;

    begin_links(killing, killing->row->set_permille);
    for (uint32_t i = 0; i < LINKS; i++) {
        refill(killing, &killing->links.link[i]);
    }
    while (bench_load_now_ns() < end_ns) {
        (void)bench_links_wait(&killing->links, 1, count_answer, refill, killing);
    }
    bench_server_end(&killing->server, is_memcached ? SIGUSR1 : SIGKILL);
    end_links(killing);
    return hit_ppm(killing);
}

/* Returns: nanoseconds until it answered; 0: it did not. */
static uint64_t start_again(struct killing *killing)
{
    (void)usleep(PAUSE_US);
    uint64_t began = bench_load_now_ns();

    return bench_server_begin(&killing->server) ? bench_load_now_ns() - began : 0;
}

/* Returns: hits of gets by the load's law. */
static uint64_t ask(struct killing *killing)
{
    struct bench_loop loop = {PIPELINE, ask_next, count_answer, killing};

    begin_links(killing, 0);
    killing->left = ASKED;
    bench_links_run(&killing->links, &loop);
    end_links(killing);
    return hit_ppm(killing);
}

/* ---- the row -------------------------------------------------------------------------------- */

static void fill(struct killing *killing)
{
    struct bench_loop loop = {PIPELINE, fill_next, NULL, killing};

    begin_links(killing, 0);
    killing->left = killing->key_count;
    bench_links_run(&killing->links, &loop);
    end_links(killing);
    bench_server_settle(&killing->server);
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

/* So many kills. Returns: false when the server did not come up after one. */
static bool kill_many(struct killing *killing, uint32_t times, uint64_t load_ns, uint64_t *took,
                      uint64_t *ret_numbers)
{
    uint64_t before = 0;
    uint64_t least = PPM;

    for (uint32_t n = 0; n < times; n++) {
        before += load_and_kill(killing, load_ns);
        took[n] = start_again(killing);
        if (took[n] == 0) {
            return false;
        }
        least = size_min_u64(least, ask(killing));
    }
    ret_numbers[KILL_HIT_BEFORE_PPM] = before / times;
    ret_numbers[KILL_HIT_AFTER_PPM] = least;
    return true;
}

bool bench_load_kill(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct killing killing;
    uint64_t took[TIMES];
    uint32_t times = job->is_quick ? TIMES_QUICK : TIMES;
    struct bench_server_options options = {
        .kind = job->kind, .quarry = job->quarry, .memory_bytes = MEMORY_BYTES, .is_kept = true};

    killing = (struct killing){.row = job->row, .random = SEED, .version = 1};
    killing.key_count = job->row->key_count / (job->is_quick ? QUICK_PART : 1);
    bench_zipf_init(&killing.zipf, killing.key_count, BENCH_LOAD_SKEW);
    bench_server_pin_client();
    if (!bench_server_start(&options, &killing.server)) {
        return false;
    }
    fill(&killing);
    if (!kill_many(&killing, times, job->is_quick ? LOAD_NS_QUICK : LOAD_NS, took, ret_numbers)) {
        return false;
    }
    bench_server_stop(&killing.server);
    qsort(took, times, sizeof *took, compare);
    ret_numbers[KILL_READY_MEDIAN] = took[times / 2];
    ret_numbers[KILL_READY_WORST] = took[times - 1];
    ret_numbers[KILL_CHECKED] = killing.checked_count;
    ret_numbers[KILL_COUNT] = times;
    return true;
}
