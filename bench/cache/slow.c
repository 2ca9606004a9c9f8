/*
 * Clients that hold things up, beside a load that does not.
 *
 *   writers   50 send a line and 50 a value, a byte every 100 ms, without end
 *   readers   100 ask 16 times for a value of 1 MiB and read nothing
 *   load      10,000/s, alone and then beside them
 *
 * Quarry is told to cut who takes longer than 2 s for a line, a value at less than 1 KiB/s after 2
 * s, and who takes nothing of an answer for 3 s; with --quick all are 1 s. memcached has no such
 * times, and Redis those of idle clients, so that the others cut nobody. What a server has resident
 * at most tells whether readers that do not read cost it their answers.
 *
 * That a connection was cut is learnt from its socket: closed, or reset.
 */
#include <bench/cache/rows.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/cache/steady.h>
#include <bench/malloc/worker.h>

#define MEMORY_BYTES   Q_MIB(256)
#define RATE           10000.0
#define RATE_QUICK     5000.0
#define SPAN_NS        (8 * Q_SECOND_NS)
#define ALONE_NS_QUICK (Q_SECOND_NS / 2)
#define SPAN_NS_QUICK  (4 * Q_SECOND_NS)
#define EACH           100u
#define EACH_QUICK     20u
#define BYTE_EVERY_NS  (100 * Q_MS_NS)
#define ASKED_TIMES    16u
#define BIG_NUMBER     (UINT64_C(1) << 31)
#define BIG_BYTES      1048576u
#define RECEIVE_BYTES  8192 /* what the kernel takes for a reader that does not read */

static const char *const settings[] = {"net.line_timeout=2s", "net.body_grace=2s",
                                       "net.body_rate_min=1k", "net.reader_timeout=3s", NULL};
static const char *const settings_quick[] = {"net.line_timeout=1s", "net.body_grace=1s",
                                             "net.body_rate_min=1k", "net.reader_timeout=1s", NULL};

enum side { WRITERS, READERS, SIDE_COUNT };

struct nuisance {
    int fd[SIDE_COUNT][EACH]; /* -1: it was cut */
    uint32_t each;
    uint32_t cut_count[SIDE_COUNT];
    uint64_t last_cut_ns[SIDE_COUNT]; /* since their begin */
    uint64_t begin_ns, next_byte_ns;
};

/* ---- those who do it ------------------------------------------------------------------------ */

static int open_one(const struct bench_server *server)
{
    int fd = bench_server_connect(server);

    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        bench_worker_die("the server refuses a connection");
    }
    return fd;
}

static void begin_writer(int fd, bool has_value)
{
    const char *text = has_value ? "set slow 0 0 1000\r\n" : "get slo";

    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void begin_reader(const struct bench_server *server, int fd, const struct bench_item *big)
{
    char request[BENCH_WIRE_ROOM_BYTES];
    int bytes = RECEIVE_BYTES;
    size_t count = (size_t)(server->wire->put_get(request, big) - request);

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    for (uint32_t i = 0; i < ASKED_TIMES; i++) {
        (void)send(fd, request, count, MSG_NOSIGNAL);
    }
}

static void begin_all(struct nuisance *nuisance, const struct bench_server *server,
                      const struct bench_item *big)
{
    for (uint32_t i = 0; i < nuisance->each; i++) {
        nuisance->fd[WRITERS][i] = open_one(server);
        begin_writer(nuisance->fd[WRITERS][i], i % 2 == 0);
        nuisance->fd[READERS][i] = open_one(server);
        begin_reader(server, nuisance->fd[READERS][i], big);
    }
    nuisance->begin_ns = bench_load_now_ns();
    nuisance->next_byte_ns = nuisance->begin_ns;
}

/* Whether its server has closed it. */
static bool is_cut(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLRDHUP};

    return poll(&one, 1, 0) > 0 && (one.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void look_at(struct nuisance *nuisance, enum side side, uint32_t i)
{
    int *fd = &nuisance->fd[side][i];

    if (is_cut(*fd)) {
        (void)close(*fd);
        *fd = -1;
        nuisance->cut_count[side]++;
        nuisance->last_cut_ns[side] = bench_load_now_ns() - nuisance->begin_ns;
    }
}

/* Each that is left: the next byte of a writer, and whether it was cut. A hundred at a time. */
static void step_all(struct nuisance *nuisance)
{
    if (bench_load_now_ns() < nuisance->next_byte_ns) {
        return;
    }
    nuisance->next_byte_ns += BYTE_EVERY_NS;
    for (uint32_t i = 0; i < nuisance->each; i++) {
        if (nuisance->fd[WRITERS][i] >= 0) {
            (void)send(nuisance->fd[WRITERS][i], "w", 1, MSG_NOSIGNAL);
            look_at(nuisance, WRITERS, i);
        }
        if (nuisance->fd[READERS][i] >= 0) {
            look_at(nuisance, READERS, i);
        }
    }
}

static void end_all(struct nuisance *nuisance)
{
    for (uint32_t i = 0; i < nuisance->each; i++) {
        for (uint32_t side = 0; side < SIDE_COUNT; side++) {
            if (nuisance->fd[side][i] >= 0) {
                (void)close(nuisance->fd[side][i]);
            }
        }
    }
}

/* ---- the row -------------------------------------------------------------------------------- */

/* Stores the value that readers ask for. */
static struct bench_item store_big(struct bench_steady *steady, uint32_t key_bytes)
{
    struct bench_item big = {
        .number = BIG_NUMBER, .key_bytes = key_bytes, .value_bytes = BIG_BYTES};

    bench_link_set(&steady->links.link[0], &big, 0);
    bench_link_flush(&steady->links, &steady->links.link[0]);
    bench_steady_rest(steady);
    return big;
}

static void run_beside(struct bench_steady *steady, struct nuisance *nuisance,
                       struct bench_span *span, uint64_t ns)
{
    bench_steady_begin(steady, span);
    while (bench_steady_elapsed_ns(steady) < ns) {
        bench_steady_step(steady);
        step_all(nuisance);
    }
    bench_steady_rest(steady);
}

static void tell(const struct bench_span *alone, const struct bench_span *beside,
                 const struct nuisance *nuisance, uint64_t *ret_numbers)
{
    ret_numbers[SLOW_P99_ALONE] = bench_histogram_quantile(&alone->latency, 9900);
    ret_numbers[SLOW_P99_BESIDE] = bench_histogram_quantile(&beside->latency, 9900);
    ret_numbers[SLOW_WORST_BESIDE] = beside->latency.max;
    ret_numbers[SLOW_WRITERS_CUT] = nuisance->cut_count[WRITERS];
    ret_numbers[SLOW_READERS_CUT] = nuisance->cut_count[READERS];
    ret_numbers[SLOW_WRITERS_NS] = nuisance->last_cut_ns[WRITERS];
    ret_numbers[SLOW_READERS_NS] = nuisance->last_cut_ns[READERS];
}

bool bench_load_slow(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct bench_server server;
    static struct bench_steady steady;
    static struct bench_span alone, beside;
    struct nuisance nuisance = {.each = job->is_quick ? EACH_QUICK : EACH};
    struct bench_server_options options = {
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = MEMORY_BYTES,
        .is_tcp = true,
        .item_bytes_max = 2 * BIG_BYTES,
        .settings = job->is_quick ? settings_quick : settings,
    };
    struct bench_steady_options load = {
        .link_count = 8,
        .key_bytes = job->row->key_bytes,
        .value_bytes = job->row->value_bytes,
        .set_permille = job->row->set_permille,
        .key_count = job->row->key_count / (job->is_quick ? 10 : 1),
        .skew = BENCH_LOAD_SKEW,
        .rate = job->is_quick ? RATE_QUICK : RATE,
    };

    bench_server_pin_client();
    if (!bench_server_start(&options, &server)) {
        return false;
    }
    bench_steady_init(&steady, &server, &load);
    struct bench_item big = store_big(&steady, load.key_bytes);
    bench_server_settle(&server);
    bench_steady_alone(&steady, &alone, job->is_quick ? ALONE_NS_QUICK : SPAN_NS);
    begin_all(&nuisance, &server, &big);
    run_beside(&steady, &nuisance, &beside, job->is_quick ? SPAN_NS_QUICK : SPAN_NS);
    tell(&alone, &beside, &nuisance, ret_numbers);
    ret_numbers[SLOW_BYTES_PEAK] = bench_server_peak_bytes(&server);
    uint64_t errors = bench_steady_errors(&steady);
    end_all(&nuisance);
    bench_steady_fini(&steady);
    bench_server_stop(&server);
    return bench_load_is_right(job, errors);
}
