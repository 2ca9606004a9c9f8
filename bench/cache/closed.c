/*
 * Closed loops: 64 connections where the row does not say, each with `pipeline` requests under way,
 * as fast as it goes.
 *
 *   fill │ warm-up 0.3 s │ measured, 2 s │ the answers that are still awaited
 *                        ▲               ▲
 *                  CPU, answers     CPU, answers      difference ÷ difference: CPU per operation
 *
 * The clock is read at one request in 64. Where the client is the slower of the two (pipelines of
 * gets, at some two million a second) the server idles a part of its CPU; its CPU time per
 * operation is then still that of the work, and operations per second are the client's: the
 * client's own time is told as well, so that this can be seen.
 *
 * System calls are counted in a run of their own, by strace: what it makes of each call takes
 * longer than the call, so that more requests are found ready at each wait than otherwise. It is
 * the same for all, and makes their counts lower, never higher.
 */
#include <bench/cache/rows.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/clock.h>
#include <bench/malloc/worker.h>

#define WARM_UP_NS        (3 * Q_SECOND_NS / 10)
#define MEASURED_NS       (2 * Q_SECOND_NS)
#define MEASURED_NS_QUICK (Q_SECOND_NS / 4)
#define CLOCK_EVERY       64u

/* What has been done by a moment. */
struct moment {
    uint64_t now_ns, cpu_ns, client_ns;
    uint64_t answers, gets, hits;
};

struct closed {
    struct bench_population *population;
    uint64_t until_clock;
    uint64_t begin_ns, end_ns; /* of what is measured */
    struct moment total;       /* counts so far */
    struct moment at_begin, at_end;
};

static struct moment moment_of(const struct closed *closed, uint64_t now_ns)
{
    struct moment moment = closed->total;

    moment.now_ns = now_ns;
    moment.cpu_ns = bench_server_cpu_ns(&closed->population->server);
    moment.client_ns = bench_clock_cpu_ns();
    return moment;
}

/* Returns: whether it goes on. */
static bool look_at_clock(struct closed *closed)
{
    uint64_t now_ns = bench_load_now_ns();

    closed->until_clock = CLOCK_EVERY;
    if (closed->at_begin.now_ns == 0 && now_ns >= closed->begin_ns) {
        closed->at_begin = moment_of(closed, now_ns);
    } else if (closed->at_end.now_ns == 0 && now_ns >= closed->end_ns) {
        /* Never at the same look: who was kept from the CPU for all of it still measures something.
         */
        closed->at_end = moment_of(closed, now_ns);
    }
    return closed->at_end.now_ns == 0;
}

static bool closed_next(void *context, struct bench_link *link)
{
    struct closed *closed = context;

    if (closed->at_end.now_ns != 0 || (--closed->until_clock == 0 && !look_at_clock(closed))) {
        return false;
    }
    bench_population_next(closed->population, link, 0);
    return true;
}

static void closed_answered(void *context, struct bench_link *link,
                            const struct bench_awaited *awaited, const struct bench_answer *answer)
{
    struct closed *closed = context;

    (void)link;
    closed->total.answers++;
    closed->total.gets += awaited->wanted == BENCH_REPLY_HIT;
    closed->total.hits += answer->reply == BENCH_REPLY_HIT;
}

bool bench_load_closed(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    static struct bench_population population;
    struct closed closed = {.population = &population, .until_clock = CLOCK_EVERY};
    struct bench_loop loop = {job->row->pipeline, closed_next, closed_answered, &closed};

    if (!bench_population_init(&population, job)) {
        return false;
    }
    closed.begin_ns = bench_load_now_ns() + WARM_UP_NS;
    closed.end_ns = closed.begin_ns + (job->is_quick ? MEASURED_NS_QUICK : MEASURED_NS);
    bench_links_run(&population.links, &loop);
    ret_numbers[CLOSED_OPERATIONS] = closed.at_end.answers - closed.at_begin.answers;
    ret_numbers[CLOSED_CPU_NS] = closed.at_end.cpu_ns - closed.at_begin.cpu_ns;
    ret_numbers[CLOSED_WALL_NS] = closed.at_end.now_ns - closed.at_begin.now_ns;
    ret_numbers[CLOSED_HITS] = closed.at_end.hits - closed.at_begin.hits;
    ret_numbers[CLOSED_GETS] = closed.at_end.gets - closed.at_begin.gets;
    ret_numbers[CLOSED_CLIENT_NS] = closed.at_end.client_ns - closed.at_begin.client_ns;
    return bench_population_fini(&population);
}

/* ---- system calls --------------------------------------------------------------------------- */

#define CALLS_OPERATIONS_FULL  30000u
#define CALLS_OPERATIONS_QUICK 3000u
#define ATTACH_STEP_US         1000u
#define ATTACH_STEPS           5000u

struct counting {
    struct bench_population *population;
    uint64_t left;
};

static bool counting_next(void *context, struct bench_link *link)
{
    struct counting *counting = context;

    if (counting->left == 0) {
        return false;
    }
    counting->left--;
    bench_population_next(counting->population, link, 0);
    return true;
}

/* Whether somebody traces the process. */
static bool is_traced(pid_t pid)
{
    char path[64];
    char line[256];
    bool found = false;

    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        int tracer = 0;
        found = sscanf(line, "TracerPid: %d", &tracer) == 1 && tracer != 0;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

/* Starts strace on all threads of the server, for what `filter` says. Returns: its id, or -1. */
static pid_t attach(const struct bench_server *server, const char *path, const char *filter)
{
    char target[16];
    pid_t pid = 0;

    (void)snprintf(target, sizeof target, "%d", server->pid);
    pid = fork();
    if (pid == 0) {
        (void)execlp("strace", "strace", "-c", "-f", "-qq", "-o", path, "-e", filter, "-p", target,
                     (char *)NULL);
        _exit(127);
    }
    for (uint32_t step = 0; step < ATTACH_STEPS; step++) {
        if (is_traced(server->pid)) {
            (void)usleep(100 * ATTACH_STEP_US); /* the other threads, too */
            return pid;
        }
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            return -1;
        }
        (void)usleep(ATTACH_STEP_US);
    }
    return pid;
}

/* The calls in the last line of strace's table: percent, seconds, usecs per call, calls … total. */
static bool read_total(const char *path, uint64_t *ret_calls)
{
    char line[256];
    bool found = false;
    FILE *file = fopen(path, "re");

    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found =
            strstr(line, " total") != NULL && sscanf(line, "%*f %*f %*u %" SCNu64, ret_calls) == 1;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

static bool count_calls(const struct bench_load_job *job, const char *filter, uint64_t *ret_numbers)
{
    static struct bench_population population;
    struct counting counting = {.population = &population};
    struct bench_loop loop = {job->row->pipeline, counting_next, NULL, &counting};
    char path[BENCH_DIRECTORY_PATH_BYTES + 16];

    if (!bench_population_init(&population, job)) {
        return false;
    }
    (void)snprintf(path, sizeof path, "%s/calls", population.server.directory.path);
    pid_t tracer = attach(&population.server, path, filter);
    if (tracer < 0) {
        bench_worker_die("strace cannot be attached to the server");
    }
    ret_numbers[CALLS_OPERATIONS] = job->is_quick ? CALLS_OPERATIONS_QUICK : CALLS_OPERATIONS_FULL;
    counting.left = ret_numbers[CALLS_OPERATIONS];
    bench_links_run(&population.links, &loop);
    (void)kill(tracer, SIGINT);
    (void)waitpid(tracer, NULL, 0);
    if (!read_total(path, &ret_numbers[CALLS_CALLS])) {
        bench_worker_die("strace has not told how many calls there were");
    }
    return bench_population_fini(&population);
}

bool bench_load_calls(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    return count_calls(job, "trace=all", ret_numbers);
}

bool bench_load_syncs(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    return count_calls(job, "trace=fsync,fdatasync,sync_file_range,msync", ret_numbers);
}
