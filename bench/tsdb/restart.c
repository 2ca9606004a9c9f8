/*
 * Restarts.
 *
 *   fill │ rest │ SIGTERM or SIGKILL │ start … ready │ asked until the answer is right │ again
 *               └──── its end ───────┘└──────────────── the figure ───────────────────┘
 *
 * Right is a sum over all series that were there, at the time of the last sample, to the last bit.
 * Between filling and the signal there are five seconds, within which all of them write what they
 * hold back; what would be lost before is another question. The time that a gentle end takes stands
 * beside it.
 */
#include <bench/tsdb/rows.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/worker.h>
#include <bench/statistics.h>
#include <bench/tsdb/look.h>

#define HOURS       12u
#define TIMES       3u
#define QUICK_STEPS 3u
#define REST_US     5000000u
#define LOOK_US     1000u
#define LOOKS       60000u

/* What is asked for after a restart. */
struct wanted {
    const char *query;
    int64_t at_ms;
    double value;
};

/* Asks until the answer is right. Returns: whether it came to be. */
static bool ask(const struct bench_server *server, const struct wanted *wanted)
{
    struct bench_http http;
    double value = 0;

    if (!bench_http_open(&http, server)) {
        return false;
    }
    bool is_right = false;
    for (uint32_t i = 0; i < LOOKS && !is_right; i++) {
        is_right =
            bench_look_value(&http, wanted->query, wanted->at_ms, &value) && value == wanted->value;
        if (!is_right) {
            (void)usleep(LOOK_US);
        }
    }
    if (!is_right) {
        (void)fprintf(stderr, "%s: %s is %.17g instead of %.17g after a restart\n",
                      bench_server_name(server->options.kind), wanted->query, value, wanted->value);
    }
    bench_http_close(&http);
    return is_right;
}

/* Ends it, starts it and asks. `ret_ns`: its end, and from its start to the right answer. */
static bool restart(struct bench_server *server, int signal, const struct wanted *wanted,
                    double ret_ns[2])
{
    uint64_t begin_ns = bench_load_now_ns();

    bench_server_end(server, signal);
    uint64_t start_ns = bench_load_now_ns();
    ret_ns[0] = (double)(start_ns - begin_ns);
    bool is_right = bench_server_begin(server) && ask(server, wanted);
    ret_ns[1] = (double)(bench_load_now_ns() - start_ns);
    return is_right;
}

/* Starts a server and stores a row's samples. Returns: whether they are all there. */
static bool fill(struct bench_server *server, const struct bench_series_job *job,
                 struct bench_fleet *fleet, uint64_t steps, int64_t *ret_at_ms)
{
    static struct bench_writer writer;
    const struct bench_series_row *row = job->row;
    struct bench_schedule schedule = bench_series_schedule(row, HOURS);

    bench_writer_init(&writer, server, fleet, schedule, row->batch, row->link_count);
    bench_writer_run(&writer, 0, steps);
    bool is_right = bench_writer_is_right(&writer) &&
                    bench_look_is_whole(server, fleet, bench_look_span_of(&schedule, steps));
    bench_writer_fini(&writer);
    *ret_at_ms = bench_schedule_at(&schedule, steps - 1);
    return is_right;
}

static bool restart_often(struct bench_server *server, const struct bench_series_job *job,
                          const struct wanted *wanted, uint64_t *ret_numbers)
{
    double end_ns[TIMES];
    double start_ns[TIMES];
    double worst_ns = 0;
    uint32_t times = job->is_quick ? 1 : TIMES;
    bool holds_back = !job->is_quick || job->kind == BENCH_SERVER_VICTORIA;

    for (uint32_t i = 0; i < times; i++) {
        double ns[2];
        bench_server_settle(server);
        (void)usleep(holds_back ? REST_US : 0);
        if (!restart(server, job->row->is_killed ? SIGKILL : SIGTERM, wanted, ns)) {
            return false;
        }
        end_ns[i] = ns[0];
        start_ns[i] = ns[1];
        worst_ns = ns[1] > worst_ns ? ns[1] : worst_ns;
    }
    ret_numbers[RESTART_MEDIAN] = (uint64_t)bench_summarize(start_ns, times).median;
    ret_numbers[RESTART_WORST] = (uint64_t)worst_ns;
    ret_numbers[RESTART_END_MEDIAN] = (uint64_t)bench_summarize(end_ns, times).median;
    return true;
}

bool bench_series_restart(const struct bench_series_job *job, uint64_t *ret_numbers)
{
    struct bench_server_options options = bench_series_options(job, BENCH_SERIES_MEMORY_BYTES);
    uint64_t steps = job->is_quick ? QUICK_STEPS : job->row->steps;
    struct bench_server server;
    struct bench_fleet fleet;
    struct wanted wanted = {0};

    bench_server_pin_client();
    if (!bench_server_start(&options, &server)) {
        return false;
    }
    bench_fleet_init(&fleet, job->row->shape, bench_series_count(job), 0);
    bool is_right = fill(&server, job, &fleet, steps, &wanted.at_ms);
    wanted.query = bench_look_probe(&fleet, &wanted.value);
    ret_numbers[RESTART_SERIES] = fleet.series_count;
    ret_numbers[RESTART_SAMPLES] = steps * fleet.series_count;
    is_right = is_right && restart_often(&server, job, &wanted, ret_numbers);
    bench_fleet_fini(&fleet);
    bench_server_stop(&server);
    return is_right;
}
