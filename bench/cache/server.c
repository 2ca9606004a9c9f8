/*
 * Starting servers.
 *
 *   CPU 0   quarry serve … --threads 1 │ memcached … -t 1 │ redis-server …
 *   CPU n   quarry-bench-child, the client: the last CPU
 *
 * One worker thread each, on a CPU of its own: what is compared is what a request costs, and with
 * one CPU for the server that cost is also its throughput. Threads besides the worker (memcached
 * has five) share the worker's CPU and are in its time. CPU time is that of the process' own clock,
 * to the nanosecond; /proc/PID/stat counts the same in hundredths of a second.
 *
 * Everything a server writes goes into a directory made for it, on /dev/shm where that can be
 * written to: memcached's memory file must lie on such a file system, and then Quarry's does too.
 * Its output goes to `log` in it, whose end is shown when the server does not come up. The kernel
 * ends a server whose client has died (PR_SET_PDEATHSIG), so that an interrupted benchmark leaves
 * none.
 */
#include <bench/cache/server.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/server_command.h>
#include <bench/child.h>
#include <bench/malloc/worker.h>
#include <bench/tsdb/command.h>

#define WAIT_STEP_US        200u
#define WAIT_STEPS          150000u /* 30 s to come up */
#define END_STEPS           300000u /* 60 s to end */
#define ANSWER_BYTES        65536u
#define MEMCACHED_LEAST_MIB 8u
#define SETTLE_STEP_US      200000u
#define SETTLE_STEPS        100u          /* 20 s */
#define SETTLE_CPU_NS       (2 * Q_MS_NS) /* 1 % of a step */

static const char *const names[BENCH_SERVER_KIND_COUNT] = {"quarry", "memcached", "redis",
                                                           "prometheus", "victoria-metrics"};

const char *bench_server_name(enum bench_server_kind kind)
{
    Q_ASSERT(kind < BENCH_SERVER_KIND_COUNT);
    return names[kind];
}

enum bench_server_kind bench_server_find(const char *name)
{
    enum bench_server_kind kind = BENCH_SERVER_QUARRY;

    while (kind < BENCH_SERVER_KIND_COUNT && strcmp(names[kind], name) != 0) {
        kind++;
    }
    return kind;
}

const char *bench_server_absence(enum bench_server_kind kind, const char *quarry)
{
    const char *memcached[] = {"memcached", "-V", NULL};
    const char *serve[] = {quarry, "serve", "--help", NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    if (kind == BENCH_SERVER_PROMETHEUS || kind == BENCH_SERVER_VICTORIA) {
        return bench_series_absence(kind);
    }
    if (kind == BENCH_SERVER_REDIS) {
        return access(BENCH_REDIS_PROGRAM, X_OK) == 0 ? NULL : "redis-tools is not installed";
    }
    if (kind == BENCH_SERVER_MEMCACHED) {
        return bench_child_run(memcached, NULL, true, output) == 0 ? NULL
                                                                   : "memcached is not installed";
    }
    return bench_child_run(serve, NULL, true, output) == 0 ? NULL : "this build serves no cache";
}

/* ---- processors ----------------------------------------------------------------------------- */

/* Pins this process to the first or last of the CPUs it may use. */
static void pin(bool is_last)
{
    cpu_set_t allowed;
    cpu_set_t one;
    size_t found = CPU_SETSIZE;

    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return;
    }
    for (size_t cpu = 0; cpu < CPU_SETSIZE && (is_last || found == CPU_SETSIZE); cpu++) {
        found = CPU_ISSET(cpu, &allowed) ? cpu : found;
    }
    CPU_ZERO(&one);
    CPU_SET(found, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
}

static cpu_set_t all_cpus; /* as they were before the client pinned itself */
static bool is_pinned;

void bench_server_pin_client(void)
{
    is_pinned = sched_getaffinity(0, sizeof all_cpus, &all_cpus) == 0;
    pin(true);
}

/* ---- coming up ------------------------------------------------------------------------------ */

/* In the new process: becomes the server. */
Q_NORETURN static void become(const char *program, struct bench_command *command,
                              const char *directory)
{
    char log[BENCH_DIRECTORY_PATH_BYTES + 8];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (is_pinned) {
        (void)sched_setaffinity(0, sizeof all_cpus, &all_cpus);
    }
    pin(false);
    (void)snprintf(log, sizeof log, "%s/log", directory);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_RDONLY);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    (void)execvp(program, command->word);
    (void)dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
    _exit(127);
}

static void show_log(const struct bench_server *server)
{
    char path[BENCH_DIRECTORY_PATH_BYTES + 8];
    char text[2048];

    (void)snprintf(path, sizeof path, "%s/log", server->directory.path);
    FILE *file = fopen(path, "re");
    size_t count = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    text[count] = '\0';
    (void)fprintf(stderr, "%s did not come up; it said: %s\n",
                  bench_server_name(server->options.kind), text);
    if (file != NULL) {
        (void)fclose(file);
    }
}

/* A port of loopback that nobody has just now. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, bytes) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) {
        bench_worker_die("no free port");
    }
    (void)close(fd);
    return ntohs(address.sin_port);
}

static int connect_tcp(const struct bench_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int connect_unix(const struct bench_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", server->directory.path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Whether an answer to `request` begins with `wanted`. */
static bool says(int fd, const char *request, const char *wanted)
{
    char answer[256];
    ssize_t count = -1;

    if (send(fd, request, strlen(request), MSG_NOSIGNAL) > 0) {
        count = recv(fd, answer, sizeof answer, 0);
    }
    return count >= (ssize_t)strlen(wanted) && memcmp(answer, wanted, strlen(wanted)) == 0;
}

/* A login by text: the value is the user and his password. */
static bool log_in(int fd, const char *user)
{
    char request[128];

    (void)snprintf(request, sizeof request, "set auth 0 0 %zu\r\n%s %s\r\n", 2 * strlen(user) + 1,
                   user, user);
    return says(fd, request, "STORED");
}

int bench_server_connect(const struct bench_server *server)
{
    int fd = server->options.is_tcp ? connect_tcp(server) : connect_unix(server);

    if (fd >= 0 && server->user != NULL && !log_in(fd, server->user)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

bool bench_server_answers(const struct bench_server *server, int fd)
{
    return says(fd, server->wire->hello, server->wire->hello_answer);
}

/* Whether a new connection is answered. */
static bool is_up(const struct bench_server *server)
{
    int fd = bench_server_connect(server);
    bool answers = fd >= 0 && bench_server_answers(server, fd);

    if (fd >= 0) {
        (void)close(fd);
    }
    return answers;
}

bool bench_server_begin(struct bench_server *server)
{
    struct bench_command command = {.count = 0};
    const char *program = bench_server_command(&command, server);

    Q_ASSERT(server->pid == 0);
    server->pid = fork();
    if (server->pid == 0) {
        become(program, &command, server->directory.path);
    }
    if (server->pid < 0 || clock_getcpuclockid(server->pid, &server->clock) != 0) {
        bench_worker_die("no process for a server");
    }
    for (uint32_t step = 0; step < WAIT_STEPS; step++) {
        if (is_up(server)) {
            return true;
        }
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            break;
        }
        (void)usleep(WAIT_STEP_US);
    }
    show_log(server);
    return false;
}

static const struct bench_wire *wire_of(const struct bench_server_options *options)
{
    if (options->store == BENCH_STORE_SERIES) {
        return &bench_series_wire;
    }
    bool speaks_resp = options->kind == BENCH_SERVER_REDIS || options->store != BENCH_STORE_NONE;
    return speaks_resp ? &bench_wire_redis : &bench_wire_memcached;
}

/* Where there is one for stores, theirs are made in it. */
static void make_directory(struct bench_server *server)
{
    const char *parent = server->options.parent;

    if (parent == NULL) {
        bench_directory_make(&server->directory);
    } else if (!bench_directory_make_below(&server->directory, parent)) {
        bench_worker_die("no directory for a store");
    }
}

bool bench_server_start(const struct bench_server_options *options, struct bench_server *ret_server)
{
    struct bench_server server = {.options = *options};

    server.options.memory_bytes =
        size_max_u64(options->memory_bytes, MEMCACHED_LEAST_MIB * Q_MIB(1));
    Q_ASSERT(options->store == BENCH_STORE_NONE || options->kind != BENCH_SERVER_MEMCACHED);
    server.wire = wire_of(options);
    server.port = options->is_tcp ? free_port() : 0;
    make_directory(&server);
    if (!bench_server_begin(&server)) {
        bench_server_stop(&server);
        return false;
    }
    *ret_server = server;
    return true;
}

/* ---- going away ----------------------------------------------------------------------------- */

void bench_server_end(struct bench_server *server, int signal)
{
    uint32_t step = 0;

    if (server->pid == 0) {
        return;
    }
    (void)kill(server->pid, signal);
    while (waitpid(server->pid, NULL, WNOHANG) == 0 && step < END_STEPS) {
        (void)usleep(WAIT_STEP_US);
        step++;
    }
    if (step == END_STEPS) {
        (void)kill(server->pid, SIGKILL);
        (void)waitpid(server->pid, NULL, 0);
    }
    server->pid = 0;
}

void bench_server_stop(struct bench_server *server)
{
    bench_server_end(server, SIGKILL);
    bench_directory_remove(&server->directory);
}

/* ---- watching ------------------------------------------------------------------------------- */

uint64_t bench_server_cpu_ns(const struct bench_server *server)
{
    struct timespec now = {0};

    if (clock_gettime(server->clock, &now) != 0) {
        bench_worker_die("the server has gone");
    }
    return (uint64_t)now.tv_sec * Q_SECOND_NS + (uint64_t)now.tv_nsec;
}

void bench_server_settle(const struct bench_server *server)
{
    for (uint32_t step = 0; step < SETTLE_STEPS; step++) {
        uint64_t before_ns = bench_server_cpu_ns(server);
        (void)usleep(SETTLE_STEP_US);
        if (bench_server_cpu_ns(server) - before_ns < SETTLE_CPU_NS) {
            return;
        }
    }
    (void)fprintf(stderr, "%s: still at work 20 s after it was filled\n",
                  bench_server_name(server->options.kind));
}

/* A line of /proc/PID/status that is in KiB. */
static uint64_t status_bytes(const struct bench_server *server, const char *key)
{
    char path[64];
    char line[256];
    uint64_t kib = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", server->pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            kib = strtoull(line + strlen(key), NULL, 10);
        }
    }
    if (kib == 0) {
        bench_worker_die("the server's memory cannot be read");
    }
    (void)fclose(file);
    return kib * 1024;
}

uint64_t bench_server_rss_bytes(const struct bench_server *server)
{
    return status_bytes(server, "VmRSS:");
}

uint64_t bench_server_peak_bytes(const struct bench_server *server)
{
    return status_bytes(server, "VmHWM:");
}

void bench_server_forget_peak(const struct bench_server *server)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/clear_refs", server->pid);
    FILE *file = fopen(path, "we");
    if (file == NULL || fputs("5", file) < 0 || fclose(file) != 0) {
        bench_worker_die("the server's peak cannot be reset");
    }
}

/* Whether an answer to `stats` is whole. */
static bool is_whole(const struct bench_wire *wire, const char *text, size_t count)
{
    struct bench_answer answer;

    if (wire->stats_end == NULL) {
        return wire->take(text, count, &answer) > 0;
    }
    size_t bytes = strlen(wire->stats_end);
    return count >= bytes && memcmp(text + count - bytes, wire->stats_end, bytes) == 0;
}

uint64_t bench_server_counter_of(const struct bench_server *server, const char *request,
                                 const char *name)
{
    static char text[ANSWER_BYTES];
    const struct bench_wire *wire = server->wire;
    size_t count = 0;
    int fd = bench_server_connect(server);
    ssize_t got = send(fd, request, strlen(request), MSG_NOSIGNAL);

    while (got > 0 && !is_whole(wire, text, count)) {
        got = recv(fd, text + count, sizeof text - 1 - count, 0);
        count += got > 0 ? (size_t)got : 0;
    }
    text[count] = '\0';
    (void)close(fd);
    const char *found = strstr(text, name);
    if (found == NULL && server->wire != &bench_wire_redis) { /* which leaves out zeros */
        bench_worker_die("the server does not tell its counters");
    }
    return found == NULL ? 0 : strtoull(found + strlen(name), NULL, 10);
}

uint64_t bench_server_counter(const struct bench_server *server, const char *name)
{
    return bench_server_counter_of(server, server->wire->stats, name);
}
