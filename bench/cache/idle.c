/*
 * Many connections: 10,000 that ask for nothing, and 1,000 that come and work when the server's
 * memory is full of items.
 *
 *   10,000 connect, each is answered │ fill, 1.5 × memory │ 1,000 more, 10,000/s
 *   ▲                                ▲                                         ▲
 *   resident                     resident                        peak, latencies
 *
 * Quarry is told one number for everything it has (--memory), memcached and Redis theirs for items;
 * the peak is what was ever resident, of which the part of that number is told. What the kernel
 * keeps for sockets is in no process' memory.
 */
#include <bench/cache/rows.h>

#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/flood.h>
#include <bench/cache/population.h>
#include <bench/cache/steady.h>
#include <bench/malloc/worker.h>

#define MEMORY_BYTES       Q_MIB(256)
#define MEMORY_BYTES_QUICK Q_MIB(64)
#define IDLE_QUICK         500u
#define ACTIVE             1000u
#define ACTIVE_QUICK       100u
#define RATE               10000.0
#define RATE_QUICK         5000.0
#define SPAN_NS            (10 * Q_SECOND_NS)
#define SPAN_NS_QUICK      (Q_SECOND_NS / 2)
#define FLOOD_VALUE        1000u
#define SPARE_COUNT        64u /* files of either process that are no connections of these */

struct crowd {
    uint32_t idle_count, active_count;
    int fd[BENCH_LOAD_IDLE_COUNT];
};

/* Lets this process, and servers that it starts, have so many files. */
static void allow_files(uint64_t count)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max < count) {
        bench_worker_die("this user may not open as many connections");
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* One after the other, each answered, so that the server has seen all of them. */
static void connect_idle(struct crowd *crowd, const struct bench_server *server)
{
    for (uint32_t i = 0; i < crowd->idle_count; i++) {
        crowd->fd[i] = bench_server_connect(server);
        if (crowd->fd[i] < 0 || !bench_server_answers(server, crowd->fd[i])) {
            bench_worker_die("the server refuses a connection");
        }
    }
}

/* They must still be there: none was cut for others' sake. */
static void check_idle(const struct crowd *crowd, const struct bench_server *server)
{
    for (uint32_t i = 0; i < crowd->idle_count; i++) {
        if (!bench_server_answers(server, crowd->fd[i])) {
            bench_worker_die("the server has closed a connection that was idle");
        }
        (void)close(crowd->fd[i]);
    }
}

static void fill(const struct bench_server *server)
{
    static struct bench_flood flood;
    uint64_t bytes = server->options.memory_bytes + server->options.memory_bytes / 2;

    bench_flood_init(&flood, server, 4);
    bench_flood_alone(&flood, FLOOD_VALUE, bytes);
    bench_flood_fini(&flood);
    bench_server_settle(server);
}

/* The active ones: their connections, their keys, their schedule. Returns: errors. */
static uint64_t run_active(const struct bench_load_job *job, const struct bench_server *server,
                           const struct crowd *crowd, uint64_t *ret_numbers)
{
    static struct bench_steady steady;
    static struct bench_span span;
    struct bench_steady_options load = {
        .link_count = crowd->active_count,
        .key_bytes = job->row->key_bytes,
        .value_bytes = job->row->value_bytes,
        .set_permille = job->row->set_permille,
        .key_count = job->row->key_count / (job->is_quick ? 50 : 1),
        .skew = BENCH_LOAD_SKEW,
        .rate = job->is_quick ? RATE_QUICK : RATE,
    };

    bench_steady_init(&steady, server, &load);
    bench_steady_alone(&steady, &span, job->is_quick ? SPAN_NS_QUICK : SPAN_NS);
    ret_numbers[IDLE_P99] = bench_histogram_quantile(&span.latency, 9900);
    ret_numbers[IDLE_P999] = bench_histogram_quantile(&span.latency, 9990);
    ret_numbers[IDLE_WORST] = span.latency.max;
    uint64_t errors = bench_steady_errors(&steady);
    bench_steady_fini(&steady);
    return errors;
}

bool bench_load_idle(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct bench_server server;
    static struct crowd crowd;
    struct bench_server_options options = {
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = job->is_quick ? MEMORY_BYTES_QUICK : MEMORY_BYTES,
        .is_whole = true,
        .is_tcp = true,
    };

    crowd.idle_count = job->is_quick ? IDLE_QUICK : BENCH_LOAD_IDLE_COUNT;
    crowd.active_count = job->is_quick ? ACTIVE_QUICK : ACTIVE;
    options.connection_count = crowd.idle_count + crowd.active_count + SPARE_COUNT;
    allow_files(options.connection_count + SPARE_COUNT);
    bench_server_pin_client();
    if (!bench_server_start(&options, &server)) {
        return false;
    }
    ret_numbers[IDLE_BYTES_BEFORE] = bench_server_rss_bytes(&server);
    connect_idle(&crowd, &server);
    ret_numbers[IDLE_BYTES_AFTER] = bench_server_rss_bytes(&server);
    fill(&server);
    uint64_t errors = run_active(job, &server, &crowd, ret_numbers);
    ret_numbers[IDLE_BYTES_PEAK] = bench_server_peak_bytes(&server);
    ret_numbers[IDLE_LIMIT_BYTES] = bench_server_limit_bytes(&server.options);
    ret_numbers[IDLE_COUNT] = crowd.idle_count;
    check_idle(&crowd, &server);
    bench_server_stop(&server);
    return bench_load_is_right(job, errors);
}
