/*
 * Servers of time series: their command lines, for bench/cache's server.
 */
#ifndef QUARRY_BENCH_TSDB_COMMAND_H
#define QUARRY_BENCH_TSDB_COMMAND_H

#include <bench/cache/server.h>
#include <bench/cache/server_command.h>

/* HTTP, of which a server that comes up is asked whether it is ready; it has no items. */
extern const struct bench_wire bench_series_wire;

/* Adds what a store of series needs to Quarry's command line. */
void bench_series_add_quarry(struct bench_command *command, const struct bench_server *server);
/* Fills an empty `command` with what starts a peer. Returns: the program, in static storage. */
const char *bench_series_command(struct bench_command *command, const struct bench_server *server);
/* A peer's version, as its changelog tells it; "unknown" when there is none. `text`: receives it,
 * cut.
 */
void bench_series_prometheus_version(char *text, size_t text_bytes);
void bench_series_victoria_version(char *text, size_t text_bytes);
/* Why a peer cannot be started, in static storage; NULL: it can. */
const char *bench_series_absence(enum bench_server_kind kind);

#endif
