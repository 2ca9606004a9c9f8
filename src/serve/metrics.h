/*
 * Figures as Prometheus reads them: the text format 0.0.4.
 *
 *     struct serve_metrics metrics = {.text = &call->body_out};
 *     serve_metric_family(&metrics, METRIC_quarry_net_connections);
 *     serve_metric_u64(&metrics, count, "door", "http", NULL);
 *
 * Threads: a writer is one thread's.
 */
#ifndef QUARRY_SERVE_METRICS_H
#define QUARRY_SERVE_METRICS_H

#include <serve/http/text.h>
#include <serve/metrics_table.h>

/* What it has to be, for who scrapes. */
#define SERVE_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct serve_metrics {
    struct http_text *text;
    const char *family; /* the one under way */
};

/* Begins a family: all of its samples follow. */
void serve_metric_family(struct serve_metrics *metrics, enum serve_metric metric);
/*
 * A sample of the family. Pairs of a label's name and its value follow, closed by NULL; values may
 * be any text.
 */
void serve_metric_u64(struct serve_metrics *metrics, uint64_t value, ...) __attribute__((sentinel));
void serve_metric_double(struct serve_metrics *metrics, double value, ...)
    __attribute__((sentinel));
/* The same of the family with an end to its name, "_sum". */
void serve_metric_part_u64(struct serve_metrics *metrics, const char *end, uint64_t value, ...)
    __attribute__((sentinel));
void serve_metric_part_double(struct serve_metrics *metrics, const char *end, double value, ...)
    __attribute__((sentinel));

/* A family of one sample. */
static inline void serve_metric_one(struct serve_metrics *metrics, enum serve_metric metric,
                                    uint64_t value)
{
    serve_metric_family(metrics, metric);
    serve_metric_u64(metrics, value, NULL);
}

#endif
