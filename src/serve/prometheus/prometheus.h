/*
 * The doors through which Prometheus and its relatives reach the time-series store.
 *
 * Handlers of routes, for the executor: each may take as long as its request is large. `store`:
 * borrowed until the answer has ended. `tenant`: whose series.
 */
#ifndef QUARRY_SERVE_PROMETHEUS_H
#define QUARRY_SERVE_PROMETHEUS_H

#include <serve/http/http.h>
#include <serve/tsdb_store.h>

/* Remote write 1.0 and 2.0. The route takes bodies in a coding of their own (HTTP_CODING_OWN). */
enum http_outcome prometheus_write(struct http_call *call, struct serve_tsdb *store,
                                   uint16_t tenant);
/* Remote read, in samples and as a stream of chunks. Likewise. */
enum http_outcome prometheus_read(struct http_call *call, struct serve_tsdb *store,
                                  uint16_t tenant);
/* The newest samples of what match[] selects, in the text format. */
enum http_outcome prometheus_federate(struct http_call *call, struct serve_tsdb *store,
                                      uint16_t tenant);
/* A page of metrics: the text format, or OpenMetrics, by its Content-Type. */
enum http_outcome prometheus_import(struct http_call *call, struct serve_tsdb *store,
                                    uint16_t tenant);

#endif
