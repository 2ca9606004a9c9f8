/*
 * From a server's end to its first hit.
 *
 *   quarry      fill │ SIGKILL               │ start … hit
 *   memcached   fill │ SIGUSR1, and its end  │ start … hit     with -e FILE: it must be asked to
 * end
 *
 * The clock runs from the start of the program to its first answer; that nearly all items are there
 * again is asked afterwards, of a thousand at random. memcached keeps nothing when it is killed, so
 * it is let go gently, and its way out is not in the figure.
 */
#include <bench/cache/rows.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/worker.h>

#define TIMES        40u
#define TIMES_QUICK  2u
#define QUICK_PART   50u
#define ASKED        1000u
#define MEMORY_BYTES Q_GIB(1)
#define LINKS        4u
#define PIPELINE     25u
#define PAUSE_US     1200000u

struct asking {
    const struct bench_load_row *row;
    uint64_t key_count;
    uint64_t random;
    uint32_t left;
    uint64_t hit_count;
};

static bool ask_next(void *context, struct bench_link *link)
{
    struct asking *asking = context;

    if (asking->left == 0) {
        return false;
    }
    asking->left--;
    struct bench_item item = bench_population_item(
        asking->row, bench_random_below(&asking->random, (uint32_t)asking->key_count));
    bench_link_get(link, &item, 0);
    return true;
}

static void ask_answered(void *context, struct bench_link *link,
                         const struct bench_awaited *awaited, const struct bench_answer *answer)
{
    struct asking *asking = context;

    (void)link;
    (void)awaited;
    asking->hit_count += answer->reply == BENCH_REPLY_HIT;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

/* Ends the server, starts it, and asks it. Returns: nanoseconds until it answered; 0: it did not.
 */
static uint64_t restart(struct bench_server *server, struct asking *asking)
{
    struct bench_loop loop = {PIPELINE, ask_next, ask_answered, asking};
    struct bench_links links;

    bench_server_end(server, server->options.kind == BENCH_SERVER_MEMCACHED ? SIGUSR1 : SIGKILL);
    (void)usleep(PAUSE_US);
    uint64_t began = bench_load_now_ns();
    if (!bench_server_begin(server)) {
        return 0;
    }
    uint64_t took = bench_load_now_ns() - began;
    asking->left = ASKED;
    bench_links_open(&links, server, LINKS);
    bench_links_run(&links, &loop);
    if (links.wrong_count > 0) {
        bench_worker_die("a value that was kept is not the one that was stored");
    }
    bench_links_close(&links);
    return took;
}

static void fill(const struct bench_server *server, const struct asking *asking)
{
    struct bench_links links;

    bench_links_open(&links, server, LINKS);
    bench_population_fill(&links, asking->row, asking->key_count);
    bench_links_close(&links);
}

bool bench_load_restart(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct bench_server server;
    uint64_t took[TIMES];
    uint32_t times = job->is_quick ? TIMES_QUICK : TIMES;
    struct asking asking = {
        .row = job->row,
        .key_count = job->row->key_count / (job->is_quick ? QUICK_PART : 1),
        .random = 1,
    };
    struct bench_server_options options = {
        .kind = job->kind, .quarry = job->quarry, .memory_bytes = MEMORY_BYTES, .is_kept = true};

    bench_server_pin_client();
    if (!bench_server_start(&options, &server)) {
        return false;
    }
    fill(&server, &asking);
    for (uint32_t n = 0; n < times; n++) {
        took[n] = restart(&server, &asking);
        if (took[n] == 0) {
            return false;
        }
    }
    bench_server_stop(&server);
    qsort(took, times, sizeof *took, compare);
    ret_numbers[RESTART_READY_MEDIAN] = took[times / 2];
    ret_numbers[RESTART_READY_WORST] = took[times - 1];
    ret_numbers[RESTART_KEPT] = asking.hit_count;
    ret_numbers[RESTART_ASKED] = (uint64_t)times * ASKED;
    ret_numbers[RESTART_COUNT] = times;
    return true;
}
