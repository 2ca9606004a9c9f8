/*
 * Figures of a server, as its HTTP door tells them: one look.
 *
 * What it does not tell (a store that is off, a user who may not ask) is 0 or nothing; what was
 * told is as it came, cut to the sizes here and printable.
 */
#ifndef QUARRY_CLI_SERVER_FIGURES_H
#define QUARRY_CLI_SERVER_FIGURES_H

#include <cli/tsdb_http.h>

/* Figures of /metrics that are shown; the sums over their labels. */
enum server_figure {
    SERVER_START_SECONDS,
    SERVER_CPU_SECONDS,
    SERVER_COMMITTED,
    SERVER_LIMIT,
    SERVER_PEAK,
    SERVER_PRESSURE,
    SERVER_IN_USE, /* states of committed memory */
    SERVER_CACHED,
    SERVER_FREE,
    SERVER_METADATA,
    SERVER_ASIDE,
    SERVER_CONNECTIONS,
    SERVER_CONNECTIONS_MAX,
    SERVER_RECEIVED,
    SERVER_SENT,
    SERVER_LAG_SECONDS,
    SERVER_HTTP_ANSWERS,
    SERVER_RESP_COMMANDS,
    SERVER_CACHE_SIZE,
    SERVER_CACHE_BYTES,
    SERVER_CACHE_ITEMS,
    SERVER_CACHE_HITS,
    SERVER_CACHE_MISSES,
    SERVER_CACHE_SETS,
    SERVER_CACHE_EVICTIONS,
    SERVER_KV_BYTES,
    SERVER_KV_KEYS,
    SERVER_KV_PUTS,
    SERVER_KV_GETS,
    SERVER_KV_LEVEL0_FILES,
    SERVER_KV_MEMTABLES,
    SERVER_KV_WAITED_SECONDS,
    SERVER_TSDB_BYTES,
    SERVER_TSDB_SERIES,
    SERVER_TSDB_SAMPLES,
    SERVER_TSDB_REFUSED,
    SERVER_TSDB_WINDOWS,
    SERVER_SCRAPE_TARGETS,
    SERVER_SCRAPE_FAILURES,
    SERVER_FIGURES,
};

#define SERVER_BUCKETS_MAX  64u
#define SERVER_OWNERS_MAX   64u
#define SERVER_NAME_BYTES   32u
#define SERVER_FINDINGS_MAX 64u
#define SERVER_TEXT_BYTES   640u

struct server_bucket {
    double end_seconds; /* infinite for the last */
    double below_count;
};

struct server_owner {
    char name[SERVER_NAME_BYTES];
    uint64_t in_use_bytes;
};

struct server_finding {
    char severity[SERVER_NAME_BYTES], cause[SERVER_NAME_BYTES];
    char text[SERVER_TEXT_BYTES];
};

struct server_figures {
    uint64_t monotonic_ns; /* when they were read, here */
    double wall_seconds;
    double value[SERVER_FIGURES];
    struct server_bucket bucket[SERVER_BUCKETS_MAX]; /* of RESP's durations */
    uint32_t bucket_count;
    struct server_owner owner[SERVER_OWNERS_MAX]; /* most first */
    uint32_t owner_count;
};

struct server_findings {
    bool is_told; /* an administrator may ask; who may not is told nothing */
    struct server_finding finding[SERVER_FINDINGS_MAX];
    uint32_t count;
};

/* Reads a page of /metrics. Lines that make no sense are passed over. `ret_figures`: zero before.
 */
void server_figures_parse(const char *text, size_t length, struct server_figures *ret_figures);

/*
 * Asks for figures, and for findings.
 * Returns: an exit code; with http->quiet_timeout_s what is wrong is in http->fault.
 */
int server_figures_ask(struct tsdb_http *http, struct server_figures *ret_figures);
int server_findings_ask(struct tsdb_http *http, struct server_findings *ret_findings);

/* How much a second between two looks; below 0: not known. */
double server_rate(const struct server_figures *before, const struct server_figures *now,
                   enum server_figure figure);
/* The time that 99 of 100 commands took less than, between two looks; below 0: not known. */
double server_p99_seconds(const struct server_figures *before, const struct server_figures *now);

#endif
