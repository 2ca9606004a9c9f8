/*
 * Figures of a page of /metrics: a table of names, and of labels where not all samples are meant.
 *
 * The page is read line by line: a name, labels between braces, a value. Values of labels may have
 * anything in them but a line's end: what is behind the last brace is the value. Tenants' names are
 * the only ones that are not the server's own, and no figure here asks for them.
 *
 * Locking: none; of one thread.
 */
#include <cli/server_figures.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 4096u

/* Which samples make a figure: all of a family, or those with a label. */
static const struct {
    const char *name, *label;
} wanted[SERVER_FIGURES] = {
    [SERVER_START_SECONDS] = {"quarry_start_time_seconds", NULL},
    [SERVER_CPU_SECONDS] = {"quarry_cpu_seconds_total", NULL},
    [SERVER_COMMITTED] = {"quarry_memory_committed_bytes", NULL},
    [SERVER_LIMIT] = {"quarry_memory_limit_bytes", NULL},
    [SERVER_PEAK] = {"quarry_memory_peak_bytes", NULL},
    [SERVER_PRESSURE] = {"quarry_memory_pressure_level", NULL},
    [SERVER_IN_USE] = {"quarry_memory_state_bytes", "state=\"in_use\""},
    [SERVER_CACHED] = {"quarry_memory_state_bytes", "state=\"cached\""},
    [SERVER_FREE] = {"quarry_memory_state_bytes", "state=\"free_backed\""},
    [SERVER_METADATA] = {"quarry_memory_state_bytes", "state=\"metadata\""},
    [SERVER_ASIDE] = {"quarry_memory_state_bytes", "state=\"set_aside\""},
    [SERVER_CONNECTIONS] = {"quarry_net_connections", NULL},
    [SERVER_CONNECTIONS_MAX] = {"quarry_net_connections_max", NULL},
    [SERVER_RECEIVED] = {"quarry_net_received_bytes_total", NULL},
    [SERVER_SENT] = {"quarry_net_sent_bytes_total", NULL},
    [SERVER_LAG_SECONDS] = {"quarry_net_lag_max_seconds", NULL},
    [SERVER_HTTP_ANSWERS] = {"quarry_http_answers_total", NULL},
    [SERVER_RESP_COMMANDS] = {"quarry_resp_commands_total", NULL},
    [SERVER_CACHE_SIZE] = {"quarry_cache_size_bytes", NULL},
    [SERVER_CACHE_BYTES] = {"quarry_cache_charged_bytes", NULL},
    [SERVER_CACHE_ITEMS] = {"quarry_cache_items", NULL},
    [SERVER_CACHE_HITS] = {"quarry_cache_tenant_hits_total", NULL},
    [SERVER_CACHE_MISSES] = {"quarry_cache_tenant_misses_total", NULL},
    [SERVER_CACHE_SETS] = {"quarry_cache_tenant_sets_total", NULL},
    [SERVER_CACHE_EVICTIONS] = {"quarry_cache_tenant_evictions_total", NULL},
    [SERVER_KV_BYTES] = {"quarry_kv_charged_bytes", NULL},
    [SERVER_KV_KEYS] = {"quarry_kv_keys_estimated", NULL},
    [SERVER_KV_PUTS] = {"quarry_kv_puts_total", NULL},
    [SERVER_KV_GETS] = {"quarry_kv_gets_total", NULL},
    [SERVER_KV_LEVEL0_FILES] = {"quarry_kv_level_files", "level=\"0\""},
    [SERVER_KV_MEMTABLES] = {"quarry_kv_memtables", NULL},
    [SERVER_KV_WAITED_SECONDS] = {"quarry_kv_delayed_seconds_total", NULL},
    [SERVER_TSDB_BYTES] = {"quarry_tsdb_charged_bytes", NULL},
    [SERVER_TSDB_SERIES] = {"quarry_tsdb_series", NULL},
    [SERVER_TSDB_SAMPLES] = {"quarry_tsdb_samples_total", NULL},
    [SERVER_TSDB_REFUSED] = {"quarry_tsdb_refused_samples_total", NULL},
    [SERVER_TSDB_WINDOWS] = {"quarry_tsdb_windows", NULL},
    [SERVER_SCRAPE_TARGETS] = {"quarry_scrape_targets", NULL},
    [SERVER_SCRAPE_FAILURES] = {"quarry_scrape_failures_total", NULL},
};

/* ---- a page of /metrics --------------------------------------------------------------------- */

static void take_bucket(const char *labels, double value, struct server_figures *figures)
{
    const char *end = strstr(labels, "le=\"");

    if (end != NULL && figures->bucket_count < SERVER_BUCKETS_MAX) {
        figures->bucket[figures->bucket_count++] =
            (struct server_bucket){.end_seconds = strtod(end + 4, NULL), .below_count = value};
    }
}

static void take_sample(const char *name, const char *labels, double value,
                        struct server_figures *figures)
{
    if (strcmp(name, "quarry_resp_duration_seconds_bucket") == 0) {
        take_bucket(labels, value, figures);
        return;
    }
    for (size_t i = 0; i < SERVER_FIGURES; i++) {
        if (strcmp(name, wanted[i].name) == 0 &&
            (wanted[i].label == NULL || strstr(labels, wanted[i].label) != NULL)) {
            figures->value[i] += value;
        }
    }
}

/* `line`: closed by NUL; is cut into its parts. */
static void take_line(char *line, struct server_figures *figures)
{
    char *brace = strchr(line, '{'), *labels_end = brace == NULL ? NULL : strrchr(line, '}');
    char *name_end = brace != NULL ? brace : strchr(line, ' ');
    char *value = labels_end != NULL ? labels_end + 1 : name_end;
    char *value_end = NULL;

    if (line[0] == '#' || name_end == NULL || (brace != NULL && labels_end == NULL)) {
        return;
    }
    double number = strtod(value, &value_end);
    if (value_end == value || !isfinite(number)) {
        return;
    }
    if (labels_end != NULL) {
        *labels_end = '\0';
    }
    *name_end = '\0';
    take_sample(line, brace == NULL ? "" : brace + 1, number, figures);
}

void server_figures_parse(const char *text, size_t length, struct server_figures *ret_figures)
{
    char line[LINE_BYTES];

    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t bytes = end == NULL ? length : (size_t)(end - text);

        if (bytes < sizeof line) {
            memcpy(line, text, bytes);
            line[bytes] = '\0';
            take_line(line, ret_figures);
        }
        size_t taken = end == NULL ? bytes : bytes + 1;
        text += taken;
        length -= taken;
    }
}

/* ---- between two looks ---------------------------------------------------------------------- */

double server_rate(const struct server_figures *before, const struct server_figures *now,
                   enum server_figure figure)
{
    if (before == NULL || now->monotonic_ns <= before->monotonic_ns ||
        now->value[figure] < before->value[figure]) {
        return -1.0; /* a counter that fell is that of a server which was started again */
    }
    return (now->value[figure] - before->value[figure]) * (double)Q_SECOND_NS /
           (double)(now->monotonic_ns - before->monotonic_ns);
}

double server_p99_seconds(const struct server_figures *before, const struct server_figures *now)
{
    uint32_t count = now->bucket_count;

    if (before == NULL || count == 0 || before->bucket_count != count) {
        return -1.0;
    }
    double all = now->bucket[count - 1].below_count - before->bucket[count - 1].below_count;
    for (uint32_t i = 0; i < count && all > 0; i++) {
        double below = now->bucket[i].below_count - before->bucket[i].below_count;
        if (below >= 0.99 * all) {
            /* Of the last bucket only its beginning is known. */
            return isfinite(now->bucket[i].end_seconds) || i == 0 ? now->bucket[i].end_seconds
                                                                  : now->bucket[i - 1].end_seconds;
        }
    }
    return -1.0;
}
