/*
 * Command lines of servers of time series.
 *
 * Their packages start services when they are installed, so that they may just as well lie unpacked
 * in build/peers beside the build, where `make test` leaves Prometheus. PATH is looked at first.
 *
 *   prometheus         the receiver of remote writes on, the snapshot of its head at the end on, as
 *                      it restarts faster with it; an empty configuration: it scrapes nobody
 *   victoria-metrics   no cache of answers, which would answer the second time without looking; as
 *                      many series in a query as there are
 *   quarry             no scraping of itself, whose samples are of today and would be ahead of all
 *                      that is backdated
 */
#include <bench/tsdb/command.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/child.h>

#define RETENTION_HOURS (15 * 24u) /* Prometheus' own */

struct peer {
    const char *package;
    const char *program;
    const char *reason; /* why it is absent */
};

static const struct peer peers[BENCH_SERVER_KIND_COUNT] = {
    [BENCH_SERVER_PROMETHEUS] = {"prometheus", "prometheus",
                                 "prometheus is neither in PATH nor in build/peers"},
    [BENCH_SERVER_VICTORIA] = {"victoria-metrics", "victoria-metrics",
                               "victoria-metrics is neither in PATH nor in build/peers"},
};

const struct bench_wire bench_series_wire = {
    .hello = "GET /-/ready HTTP/1.1\r\nHost: localhost\r\n\r\n",
    .hello_answer = "HTTP/1.1 200",
};

/* Looks for a program in the directories of PATH. Returns: whether it is there. */
static bool find_in_path(const char *program, char path[BENCH_CHILD_PATH_BYTES])
{
    const char *at = getenv("PATH");

    while (at != NULL && *at != '\0') {
        size_t bytes = strcspn(at, ":");
        (void)snprintf(path, BENCH_CHILD_PATH_BYTES, "%.*s/%s", (int)bytes, at, program);
        if (bytes < BENCH_CHILD_PATH_BYTES / 2 && access(path, X_OK) == 0) {
            return true;
        }
        at += bytes + (at[bytes] == ':');
    }
    return false;
}

/* Whether the peer's program is in the directory in which packages are unpacked. */
static bool find_unpacked(const struct peer *peer, const char *directory,
                          char path[BENCH_CHILD_PATH_BYTES])
{
    int bytes = snprintf(path, BENCH_CHILD_PATH_BYTES, "%s/%s/usr/bin/%s", directory, peer->package,
                         peer->program);

    return bytes > 0 && bytes < (int)BENCH_CHILD_PATH_BYTES && access(path, X_OK) == 0;
}

/* This program lies in bin, or in libexec/quarry. Returns: where the peer's is, in static storage;
 * NULL: nowhere. */
static const char *find(const struct peer *peer)
{
    static char path[BENCH_CHILD_PATH_BYTES];
    const char *told = getenv("QUARRY_BENCH_PEERS");
    char beside[BENCH_CHILD_PATH_BYTES];

    Q_ASSERT(peer->program != NULL);
    if (find_in_path(peer->program, path)) {
        return path;
    }
    if (told != NULL) {
        return find_unpacked(peer, told, path) ? path : NULL;
    }
    bench_child_beside("../peers", beside);
    if (find_unpacked(peer, beside, path)) {
        return path;
    }
    bench_child_beside("../../peers", beside);
    return find_unpacked(peer, beside, path) ? path : NULL;
}

const char *bench_series_absence(enum bench_server_kind kind)
{
    return find(&peers[kind]) != NULL ? NULL : peers[kind].reason;
}

/* The package's version is in its changelog, beside the program, installed or unpacked. */
static void find_version(enum bench_server_kind kind, char *text, size_t text_bytes)
{
    static const char script[] = "zcat \"$(dirname \"$0\")/../share/doc/$1/changelog.Debian.gz\" | "
                                 "sed -n '1s/^[^(]*(\\([^)]*\\)).*/\\1/p'";
    const char *argv[] = {"sh", "-c", script, find(&peers[kind]), peers[kind].package, NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES] = "";

    bool is_told = argv[3] != NULL && bench_child_run(argv, NULL, true, output) == 0;
    output[strcspn(output, "\n")] = '\0';
    (void)snprintf(text, text_bytes, "%.40s", is_told && output[0] != '\0' ? output : "unknown");
}

void bench_series_prometheus_version(char *text, size_t text_bytes)
{
    find_version(BENCH_SERVER_PROMETHEUS, text, text_bytes);
}

void bench_series_victoria_version(char *text, size_t text_bytes)
{
    find_version(BENCH_SERVER_VICTORIA, text, text_bytes);
}

void bench_series_add_quarry(struct bench_command *command, const struct bench_server *server)
{
    bench_command_add(command, "--memcached=off");
    bench_command_add(command, "--resp=off");
    bench_command_add(command, "--http=127.0.0.1:%u", server->port);
    bench_command_add(command, "--set=tsdb.self_scrape=off");
}

static void add_prometheus(struct bench_command *command, const struct bench_server *server)
{
    uint32_t hours = server->options.retention_hours;

    bench_command_add(command, "prometheus");
    bench_command_add(command, "--config.file=/dev/null");
    bench_command_add(command, "--web.listen-address=127.0.0.1:%u", server->port);
    bench_command_add(command, "--web.enable-remote-write-receiver");
    bench_command_add(command, "--enable-feature=memory-snapshot-on-shutdown");
    bench_command_add(command, "--storage.tsdb.path=%s/data", server->directory.path);
    bench_command_add(command, "--storage.tsdb.retention.time=%" PRIu32 "h",
                      hours == 0 ? RETENTION_HOURS : hours);
    bench_command_add(command, "--query.max-samples=2000000000");
    bench_command_add(command, "--query.timeout=10m");
    bench_command_add(command, "--log.level=warn");
}

static void add_victoria(struct bench_command *command, const struct bench_server *server)
{
    bench_command_add(command, "victoria-metrics");
    bench_command_add(command, "-httpListenAddr=127.0.0.1:%u", server->port);
    bench_command_add(command, "-storageDataPath=%s/data", server->directory.path);
    bench_command_add(command, "-retentionPeriod=1"); /* a month, its least but for days */
    bench_command_add(command, "-search.disableCache");
    bench_command_add(command, "-search.maxUniqueTimeseries=100000000");
    bench_command_add(command, "-search.maxQueryDuration=10m");
    bench_command_add(command, "-search.maxSamplesPerQuery=2000000000");
    bench_command_add(command, "-loggerLevel=WARN");
}

const char *bench_series_command(struct bench_command *command, const struct bench_server *server)
{
    enum bench_server_kind kind = server->options.kind;
    const char *program = find(&peers[kind]);

    (kind == BENCH_SERVER_PROMETHEUS ? add_prometheus : add_victoria)(command, server);
    return program != NULL ? program : peers[kind].program;
}
