/*
 * Looking from outside.
 *
 * The probe of a fleet is a name whose series have whole numbers as values: a sum of these is the
 * same in whatever order they are added up, so that right is the same bits for every server.
 */
#include <bench/tsdb/look.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/worker.h>

#define STEP_US        500000u
#define SETTLE_STEPS   60u /* 30 s */
#define SETTLED_STEPS  3u  /* in a row */
#define SETTLED_PART   512u
#define PATIENCE_STEPS 600u /* 60 s */
#define LOOK_US        100000u

char *bench_look_escape(char *at, const char *text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (isalnum(byte) || byte == '_' || byte == '.' || byte == '-') {
            *at++ = *text;
        } else {
            *at++ = '%';
            *at++ = digits[byte >> 4];
            *at++ = digits[byte & 15];
        }
    }
    *at = '\0';
    return at;
}

bool bench_look_value(struct bench_http *http, const char *query, int64_t at_ms, double *ret_value)
{
    char target[BENCH_LOOK_TARGET_BYTES] = "/api/v1/query?query=";
    const char *body = NULL;
    size_t bytes = 0;

    Q_ASSERT(3 * strlen(query) + 64 < sizeof target);
    char *end = bench_look_escape(target + strlen(target), query);
    (void)snprintf(end, 32, "&time=%" PRId64 ".%03d", at_ms / 1000, (int)(at_ms % 1000));
    if (bench_http_get(http, target, &body, &bytes) != 200) {
        return false;
    }
    const char *found = strstr(body, "\"value\":[");
    found = found == NULL ? NULL : strstr(found, ",\"");
    *ret_value = found == NULL ? 0 : strtod(found + 2, NULL);
    return found != NULL;
}

double bench_look_metric(struct bench_http *http, const char *prefix)
{
    const char *body = NULL;
    size_t bytes = 0;
    double sum = 0;

    if (bench_http_get(http, "/metrics", &body, &bytes) != 200) {
        bench_worker_die("the server does not tell its metrics");
    }
    for (const char *line = body; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        const char *value = end == NULL ? NULL : memrchr(line, ' ', (size_t)(end - line));
        if (value != NULL && strncmp(line, prefix, strlen(prefix)) == 0) {
            sum += strtod(value, NULL);
        }
        line = end == NULL ? NULL : end + 1;
    }
    return sum;
}

/* ---- whether all of it is there ------------------------------------------------------------- */

static const char *probe_name(const struct bench_fleet *fleet)
{
    switch (fleet->shape) {
    case BENCH_FLEET_NODE:
        return "node_netstat_slow_total";
    case BENCH_FLEET_HISTOGRAM:
        return "request_duration_seconds_bucket";
    case BENCH_FLEET_TSBS:
    default:
        return "cpu_usage_user";
    }
}

const char *bench_look_probe(const struct bench_fleet *fleet, double *ret_sum)
{
    static char query[128];
    struct bench_fleet_part probe = bench_fleet_probe(fleet->shape);
    double sum = 0;

    for (uint32_t host = 0; host < fleet->series_count; host += fleet->host_series) {
        for (uint32_t i = 0; i < probe.count; i++) {
            sum += fleet->series[host + probe.first + i].value;
        }
    }
    (void)snprintf(query, sizeof query, "sum(%s)", probe_name(fleet));
    *ret_sum = sum;
    return query;
}

/* Whether a query has that value, at once or later. */
static bool comes_to(struct bench_http *http, const char *query, int64_t at_ms, double wanted)
{
    double value = 0;
    bool has_value = false;

    for (uint32_t step = 0; step < PATIENCE_STEPS; step++) {
        has_value = bench_look_value(http, query, at_ms, &value);
        if (has_value && value == wanted) {
            return true;
        }
        (void)usleep(LOOK_US);
    }
    (void)fprintf(stderr, "%s is %.17g instead of %.17g\n", query, has_value ? value : 0.0, wanted);
    return false;
}

struct bench_look_span bench_look_span_of(const struct bench_schedule *schedule, uint64_t steps)
{
    return (struct bench_look_span){schedule->begin_ms, bench_schedule_at(schedule, steps - 1),
                                    steps};
}

bool bench_look_is_whole(const struct bench_server *server, const struct bench_fleet *fleet,
                         struct bench_look_span span)
{
    char query[192];
    struct bench_http http;
    double sum = 0;
    uint64_t hosts = fleet->series_count / fleet->host_series;
    double samples = (double)(hosts * bench_fleet_probe(fleet->shape).count * span.steps);
    uint64_t seconds = ((uint64_t)(span.last_ms - span.first_ms) + 1999) / 1000;

    if (!bench_http_open(&http, server)) {
        return false;
    }
    const char *probe = bench_look_probe(fleet, &sum);
    (void)snprintf(query, sizeof query, "sum(count_over_time(%s[%" PRIu64 "s]))", probe_name(fleet),
                   seconds);
    bool is_whole = comes_to(&http, query, span.last_ms, samples) &&
                    (fleet->churn_steps != 0 || comes_to(&http, probe, span.last_ms, sum));
    bench_http_close(&http);
    return is_whole;
}

/* ---- memory --------------------------------------------------------------------------------- */

uint64_t bench_look_settled_bytes(const struct bench_server *server, bool is_quick)
{
    bench_server_settle(server);
    uint64_t before = bench_server_rss_bytes(server);
    uint32_t still = is_quick ? SETTLED_STEPS : 0;
    for (uint32_t step = 0; step < SETTLE_STEPS && still < SETTLED_STEPS; step++) {
        (void)usleep(STEP_US);
        uint64_t now = bench_server_rss_bytes(server);
        uint64_t change = now > before ? now - before : before - now;
        still = change * SETTLED_PART <= now ? still + 1 : 0;
        before = now;
    }
    return before;
}
