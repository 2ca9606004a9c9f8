/*
 * Figures of the process, its memory, and its doors.
 *
 * Each part writes its families from figures that are kept anyway, read at one moment each: what is
 * scraped costs nothing between scrapes. On the executor, for reading the ledger keeps allocation
 * waiting for some microseconds, and /proc is read.
 *
 * Nothing that clients choose is a label, but names of tenants and their number is bounded: so is
 * the number of series.
 *
 * Locking: what the figures' owners take. Cost: about a millisecond, and 40 KiB of text.
 */
#include <serve/server_metrics.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <page/page.h>
#include <serve/door_http.h>
#include <serve/door_memcached.h>
#include <serve/door_resp.h>
#include <serve/observe/reporter.h>
#include <serve/resp/counts.h>
#include <serve/server_scrape.h>
#include <serve/server_state.h>

/* ---- the process ---------------------------------------------------------------------------- */

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* How many names a folder has. */
static uint64_t count_names(const char *path)
{
    DIR *folder = opendir(path);
    uint64_t count = 0;

    if (folder == NULL) {
        return 0;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(folder);
    return count;
}

static uint64_t cpu_ns(void)
{
    struct timespec time = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * Q_SECOND_NS + (uint64_t)time.tv_nsec;
}

static void write_process(struct serve_metrics *metrics, struct server *server)
{
    struct rlimit files = {0};
    uint64_t uptime_ns = sat_sub_u64(os_monotonic_ns(os_real()), server->begin_ns);

    (void)getrlimit(RLIMIT_NOFILE, &files);
    serve_metric_family(metrics, METRIC_quarry_build_info);
    serve_metric_u64(metrics, 1, "version", server->version, NULL);
    serve_metric_family(metrics, METRIC_quarry_start_time_seconds);
    serve_metric_double(metrics, seconds(sat_sub_u64(os_wall_ns(os_real()), uptime_ns)), NULL);
    serve_metric_family(metrics, METRIC_quarry_cpu_seconds_total);
    serve_metric_double(metrics, seconds(cpu_ns()), NULL);
    serve_metric_one(metrics, METRIC_quarry_resident_memory_bytes, os_resident_bytes());
    serve_metric_one(metrics, METRIC_quarry_open_fds, count_names("/proc/self/fd"));
    serve_metric_one(metrics, METRIC_quarry_max_fds, files.rlim_cur);
    serve_metric_one(metrics, METRIC_quarry_threads, count_names("/proc/self/task"));
    serve_metric_one(metrics, METRIC_quarry_reporter_up, reporter_is_there() ? 1 : 0);
}

/* The names that all of Prometheus' clients have for the same. */
static void write_standard(struct serve_metrics *metrics, struct server *server)
{
    uint64_t uptime_ns = sat_sub_u64(os_monotonic_ns(os_real()), server->begin_ns);
    struct rlimit files = {0};
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL || fscanf(file, "%llu", &pages) != 1) {
        pages = 0;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    (void)getrlimit(RLIMIT_NOFILE, &files);
    serve_metric_family(metrics, METRIC_process_cpu_seconds_total);
    serve_metric_double(metrics, seconds(cpu_ns()), NULL);
    serve_metric_one(metrics, METRIC_process_open_fds, count_names("/proc/self/fd"));
    serve_metric_one(metrics, METRIC_process_max_fds, files.rlim_cur);
    serve_metric_one(metrics, METRIC_process_resident_memory_bytes, os_resident_bytes());
    serve_metric_one(metrics, METRIC_process_virtual_memory_bytes,
                     pages * (uint64_t)sysconf(_SC_PAGESIZE));
    serve_metric_family(metrics, METRIC_process_start_time_seconds);
    serve_metric_double(metrics, seconds(sat_sub_u64(os_wall_ns(os_real()), uptime_ns)), NULL);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Rows that may come between counting and reading. */
#define MORE_ROWS 32u
/* Owners told one by one. */
#define OWNERS_MAX 64u

static void write_states(struct serve_metrics *metrics, const struct quarry_ledger *ledger)
{
    const struct {
        const char *state;
        uint64_t bytes;
    } states[] = {
        {"in_use", ledger->in_use_bytes},           {"cached", ledger->cached_bytes},
        {"free_backed", ledger->free_backed_bytes}, {"metadata", ledger->metadata_bytes},
        {"in_flight", ledger->in_flight_bytes},     {"set_aside", ledger->set_aside_bytes},
    };

    serve_metric_family(metrics, METRIC_quarry_memory_state_bytes);
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        serve_metric_u64(metrics, states[i].bytes, "state", states[i].state, NULL);
    }
    serve_metric_one(metrics, METRIC_quarry_memory_committed_bytes, ledger->committed_bytes);
    serve_metric_one(metrics, METRIC_quarry_memory_limit_bytes, ledger->limit_bytes);
    serve_metric_one(metrics, METRIC_quarry_memory_peak_bytes, ledger->peak_bytes);
    serve_metric_one(metrics, METRIC_quarry_memory_released_bytes, ledger->released_bytes);
}

/* The same by owner, all of it of one moment. What rows there was no room for is `other`. */
static void write_owners(struct serve_metrics *metrics, struct server *server,
                         const struct quarry_ledger *ledger, const struct quarry_ledger_row *rows,
                         size_t count)
{
    const struct {
        const char *state;
        uint64_t bytes;
    } states[] = {
        {"page_cache", ledger->cached_bytes},   {"page_free", ledger->free_backed_bytes},
        {"metadata", ledger->metadata_bytes},   {"in_flight", ledger->in_flight_bytes},
        {"set_aside", ledger->set_aside_bytes},
    };
    uint64_t by_owner[OWNERS_MAX] = {0};
    uint64_t other = ledger->in_use_bytes;

    for (size_t i = 0; i < count; i++) {
        if (rows[i].owner < OWNERS_MAX) {
            by_owner[rows[i].owner] += rows[i].in_use_bytes;
            other -= size_min_u64(other, rows[i].in_use_bytes);
        }
    }
    serve_metric_family(metrics, METRIC_quarry_memory_bytes);
    for (uint32_t owner = 0; owner < OWNERS_MAX; owner++) {
        if (by_owner[owner] != 0) {
            serve_metric_u64(metrics, by_owner[owner], "owner",
                             quarry_memory_owner_name(server->memory, owner), "state", "in_use",
                             NULL);
        }
    }
    serve_metric_u64(metrics, other, "owner", "other", "state", "in_use", NULL);
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        serve_metric_u64(metrics, states[i].bytes, "owner", "none", "state", states[i].state, NULL);
    }
}

static void write_budget(struct serve_metrics *metrics, struct server *server,
                         const struct quarry_ledger *ledger)
{
    serve_metric_one(metrics, METRIC_quarry_memory_reserved_bytes, ledger->reserved_bytes);
    serve_metric_one(metrics, METRIC_quarry_memory_budget_bytes, ledger->limit_bytes);
    serve_metric_one(metrics, METRIC_quarry_memory_budget_headroom_bytes,
                     sat_sub_u64(ledger->limit_bytes, ledger->committed_bytes));
    serve_metric_one(metrics, METRIC_quarry_memory_pressure_level,
                     (uint64_t)quarry_memory_pressure(server->memory));
}

static void write_memory(struct serve_metrics *metrics, struct server *server)
{
    struct quarry_ledger ledger;
    size_t capacity = quarry_memory_ledger(server->memory, &ledger, NULL, 0) + MORE_ROWS;
    struct quarry_ledger_row *rows = calloc(capacity, sizeof *rows);
    size_t count = rows == NULL ? 0 : quarry_memory_ledger(server->memory, &ledger, rows, capacity);

    write_states(metrics, &ledger);
    serve_metric_family(metrics, METRIC_quarry_memory_owner_bytes);
    for (size_t i = 0; i < size_min(count, capacity); i++) {
        serve_metric_u64(metrics, rows[i].in_use_bytes, "owner",
                         quarry_memory_owner_name(server->memory, rows[i].owner), "lane",
                         rows[i].lane_name, NULL);
    }
    write_owners(metrics, server, &ledger, rows, size_min(count, capacity));
    write_budget(metrics, server, &ledger);
    free(rows);
}

/* A figure of every account. */
struct account_family {
    enum serve_metric metric;
    size_t at; /* of the figure */
};
#define ACCOUNT(field) offsetof(struct quarry_account_state, field)

static const struct account_family account_families[] = {
    {METRIC_quarry_account_charged_bytes, ACCOUNT(charged_bytes)},
    {METRIC_quarry_account_own_bytes, ACCOUNT(own_bytes)},
    {METRIC_quarry_account_peak_bytes, ACCOUNT(peak_bytes)},
    {METRIC_quarry_account_floor_bytes, ACCOUNT(floor_bytes)},
    {METRIC_quarry_account_ceiling_bytes, ACCOUNT(ceiling_bytes)},
    {METRIC_quarry_account_target_bytes, ACCOUNT(target_bytes)},
    {METRIC_quarry_account_refusals_total, ACCOUNT(refused_count)},
    {METRIC_quarry_account_reclaims_total, ACCOUNT(asked_count)},
    {METRIC_quarry_account_reclaimed_bytes_total, ACCOUNT(reclaimed_bytes)},
};

static const char *account_name(const struct quarry_account_state *state)
{
    return state->name[0] == '\0' ? "all" : state->name;
}

/* What was refused and what was asked for, as families of the memory. Charges that the root refused
 * are its own; the pages' are of allocations that no account was asked about. */
static void write_asked(struct serve_metrics *metrics, struct server *server,
                        const struct quarry_account_state *states, size_t count)
{
    struct page_heap_counts counts;

    page_heap_read_counts((struct page_heap *)(void *)server->memory, &counts);
    serve_metric_family(metrics, METRIC_quarry_memory_refused_total);
    serve_metric_u64(metrics, counts.refused_count, "owner", "pages", NULL);
    for (size_t i = 0; i < count; i++) {
        serve_metric_u64(metrics, states[i].refused_count, "owner", account_name(&states[i]), NULL);
    }
    serve_metric_family(metrics, METRIC_quarry_memory_reclaim_total);
    for (size_t i = 0; i < count; i++) {
        serve_metric_u64(metrics, states[i].asked_count, "from", account_name(&states[i]), NULL);
    }
    serve_metric_family(metrics, METRIC_quarry_memory_reclaimed_bytes_total);
    for (size_t i = 0; i < count; i++) {
        serve_metric_u64(metrics, states[i].reclaimed_bytes, "from", account_name(&states[i]),
                         NULL);
    }
}

static void write_accounts(struct serve_metrics *metrics, struct server *server)
{
    size_t capacity = quarry_memory_accounts(server->memory, NULL, 0) + MORE_ROWS;
    struct quarry_account_state *states = calloc(capacity, sizeof *states);
    size_t count = states == NULL ? 0 : quarry_memory_accounts(server->memory, states, capacity);

    for (size_t i = 0; i < sizeof account_families / sizeof account_families[0]; i++) {
        const struct account_family *family = &account_families[i];

        serve_metric_family(metrics, family->metric);
        for (size_t j = 0; j < size_min(count, capacity); j++) {
            uint64_t value;
            memcpy(&value, (const char *)&states[j] + family->at, sizeof value);
            serve_metric_u64(metrics, value, "account", account_name(&states[j]), NULL);
        }
    }
    write_asked(metrics, server, states, size_min(count, capacity));
    free(states);
}

/* ---- the net -------------------------------------------------------------------------------- */

static void write_cuts(struct serve_metrics *metrics, const struct serve_counters *counters)
{
    const struct {
        const char *reason;
        uint64_t count;
    } cuts[] = {
        {"idle", counters->idle_count},
        {"no_memory", counters->no_memory_count},
        {"request_too_long", counters->too_long_count},
        {"slow_reader", counters->slow_reader_count},
        {"slow_writer", counters->slow_writer_count},
        {"tls", counters->tls_failed_count},
        {"tenant_limit", counters->refused_count},
        {"too_many", counters->turned_away_count},
    };

    serve_metric_family(metrics, METRIC_quarry_net_cuts_total);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        serve_metric_u64(metrics, cuts[i].count, "reason", cuts[i].reason, NULL);
    }
}

static void write_net(struct serve_metrics *metrics, struct server *server)
{
    struct serve_counters counters;

    serve_net_read_counters(server->net, &counters);
    serve_metric_one(metrics, METRIC_quarry_net_connections,
                     serve_net_connection_count(server->net));
    serve_metric_one(metrics, METRIC_quarry_net_connections_max,
                     atomic_load_relaxed_u64(&server->connections_max));
    serve_metric_one(metrics, METRIC_quarry_net_accepted_total, counters.accepted_count);
    serve_metric_one(metrics, METRIC_quarry_net_received_bytes_total, counters.received_bytes);
    serve_metric_one(metrics, METRIC_quarry_net_sent_bytes_total, counters.sent_bytes);
    serve_metric_one(metrics, METRIC_quarry_net_turns_total, counters.turn_count);
    serve_metric_one(metrics, METRIC_quarry_net_waiting_bytes, counters.waiting_bytes);
    serve_metric_family(metrics, METRIC_quarry_net_lag_max_seconds);
    serve_metric_double(metrics, seconds(counters.lag_max_ns), NULL);
    serve_metric_one(metrics, METRIC_quarry_net_no_descriptors_total, counters.no_descriptor_count);
    write_cuts(metrics, &counters);
}

/* ---- doors ---------------------------------------------------------------------------------- */

static void write_listeners(struct serve_metrics *metrics, const struct server *server)
{
    static const struct serve_door *const doors[] = {&memcached_door, &resp_door, &http_door};

    serve_metric_family(metrics, METRIC_quarry_door_listeners);
    for (size_t i = 0; i < sizeof doors / sizeof doors[0]; i++) {
        uint64_t count = 0;
        for (uint32_t j = 0; j < server->listener_count; j++) {
            count += server->doors[j] == doors[i] ? 1 : 0;
        }
        serve_metric_u64(metrics, count, "door", doors[i]->name, NULL);
    }
}

static uint64_t answers_of(const struct http_route_counts *row)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < HTTP_CLASSES; i++) {
        sum += row->answers[i];
    }
    return sum;
}

static void write_http(struct serve_metrics *metrics)
{
    static const char *const classes[HTTP_CLASSES] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    struct http_route_counts rows[HTTP_ROUTES_MAX + 1];
    size_t count = http_read_counts(rows, sizeof rows / sizeof rows[0]);

    serve_metric_family(metrics, METRIC_quarry_http_answers_total);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 1; j < HTTP_CLASSES; j++) {
            serve_metric_u64(metrics, rows[i].answers[j], "route",
                             rows[i].path == NULL ? "none" : rows[i].path, "code", classes[j],
                             NULL);
        }
    }
    serve_metric_family(metrics, METRIC_quarry_http_duration_seconds);
    for (size_t i = 0; i < count; i++) {
        const char *path = rows[i].path == NULL ? "none" : rows[i].path;
        serve_metric_part_double(metrics, "_sum", seconds(rows[i].duration_ns), "route", path,
                                 NULL);
        serve_metric_part_u64(metrics, "_count", answers_of(&rows[i]), "route", path, NULL);
    }
}

/* Every octave of the counts is a bucket. Calls may be counted meanwhile: the last is all that were
 * seen in buckets. */
static void write_resp(struct serve_metrics *metrics)
{
    uint64_t counts[RESP_BUCKETS] = {0}, duration_ns = 0, below = 0;
    struct resp_command_counts command;
    struct resp_histogram histogram;
    char end[32];

    for (size_t i = 0; i < resp_command_count(); i++) {
        resp_counts_read(resp_command_at(i), &command);
        if (command.calls > 0) {
            resp_counts_read_histogram(resp_command_at(i), &histogram);
            duration_ns += command.duration_ns;
            for (uint32_t j = 0; j < RESP_BUCKETS; j++) {
                counts[j] += histogram.buckets[j];
            }
        }
    }
    serve_metric_one(metrics, METRIC_quarry_resp_commands_total, resp_counts_total());
    serve_metric_family(metrics, METRIC_quarry_resp_duration_seconds);
    for (uint32_t i = 0; i < RESP_BUCKETS; i++) {
        below += counts[i];
        if (i % RESP_BUCKETS_OCTAVE == 0 && i + 1 < RESP_BUCKETS) {
            (void)snprintf(end, sizeof end, "%.9g", seconds(resp_histogram_end_ns(i)));
            serve_metric_part_u64(metrics, "_bucket", below, "le", end, NULL);
        }
    }
    serve_metric_part_u64(metrics, "_bucket", below, "le", "+Inf", NULL);
    serve_metric_part_double(metrics, "_sum", seconds(duration_ns), NULL);
    serve_metric_part_u64(metrics, "_count", below, NULL);
}

static void write_doors(struct serve_metrics *metrics, struct server *server)
{
    write_listeners(metrics, server);
    if (server->has_http) {
        write_http(metrics);
    }
    if (server->has_resp) {
        write_resp(metrics);
    }
}

/* ---- all of them ---------------------------------------------------------------------------- */

void server_write_metrics(struct server *server, struct http_text *text)
{
    static void (*const parts[])(struct serve_metrics *, struct server *) = {
        write_process,     write_standard,      write_memory,          server_metrics_heap,
        write_accounts,    write_net,           write_doors,           server_metrics_cache,
        server_metrics_kv, server_metrics_tsdb, server_metrics_scrape,
    };
    struct serve_metrics metrics = {.text = text};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        parts[i](&metrics, server);
    }
}

enum http_outcome server_answer_metrics(struct http_call *call)
{
    call->content_type = SERVE_METRICS_TYPE;
    server_write_metrics(call->argument, &call->body_out);
    return HTTP_DONE;
}
