/*
 * Looking at a server of series from outside: values by queries, counters, memory that has settled.
 */
#ifndef QUARRY_BENCH_TSDB_LOOK_H
#define QUARRY_BENCH_TSDB_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/tsdb/http.h>
#include <bench/tsdb/writer.h>

/* Room for a target of any query of the benchmarks. */
#define BENCH_LOOK_TARGET_BYTES 4096u

/* Writes a text as a part of a target, escaped. Returns: its end, a NUL. `room`: three times the
 * text's bytes and one. */
char *bench_look_escape(char *at, const char *text);

/*
 * Asks an instant query whose answer has one series. Returns: whether it had one; its value.
 * Cost: an answer.
 */
bool bench_look_value(struct bench_http *http, const char *query, int64_t at_ms, double *ret_value);
/* The sum of all lines of /metrics that begin with `prefix`. Quarry's; 0: there is none. */
double bench_look_metric(struct bench_http *http, const char *prefix);

/* The time of a fleet's samples. */
struct bench_look_span {
    int64_t first_ms, last_ms;
    uint64_t steps; /* from the one to the other, both included */
};
struct bench_look_span bench_look_span_of(const struct bench_schedule *schedule, uint64_t steps);

/*
 * Whether a fleet's samples can all be asked for: waits until those of its probe are counted right,
 * 60 s at most, since some servers show what they took only later; then compares the sum of the
 * last values, which is not to be known of a fleet with churn. Says on stderr what is wrong.
 */
bool bench_look_is_whole(const struct bench_server *server, const struct bench_fleet *fleet,
                         struct bench_look_span span);
/* The query for the sum of a fleet's probe, and the value that it must have after the last step. */
const char *bench_look_probe(const struct bench_fleet *fleet, double *ret_sum);

/* Waits until the server does nothing and its resident bytes hardly change, 30 s at most; when it
 * is quick until it does nothing. Returns: these. */
uint64_t bench_look_settled_bytes(const struct bench_server *server, bool is_quick);

#endif
