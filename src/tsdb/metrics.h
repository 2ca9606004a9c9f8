/*
 * Limits of metrics: how many series one name may have, how often they are sampled, how long they
 * are kept.
 */
#ifndef QUARRY_TSDB_METRICS_H
#define QUARRY_TSDB_METRICS_H

#include <quarry/tsdb.h>

#include <base/base.h>
#include <os/os.h>

#include <tsdb/types.h>

/* Buckets of the table. Metrics with limits are named by a configuration: some tens. */
#define TSDB_METRIC_BUCKETS 256u

/* A metric with limits. */
struct tsdb_metric {
    struct tsdb_metric *next;                          /* const: in its bucket */
    _Atomic uint64_t series_count, samples_per_second; /* UINT64_MAX: no bound */
    _Atomic int64_t retention_ms;                      /* INT64_MAX: no bound */
    _Atomic uint64_t pending_count;                    /* series that are being made */
    _Atomic uint64_t second, sample_count;             /* of the wall's clock, and samples in it */
    uint32_t name_bytes;                               /* const, as what follows */
    uint16_t tenant;
    char name[];
};

struct tsdb_metrics {
    _Atomic uint64_t count;
    _Atomic(void *) buckets[TSDB_METRIC_BUCKETS];
    struct os_mutex mutex; /* of who changes them */
};

void tsdb_metrics_init(struct quarry_tsdb *tsdb);
void tsdb_metrics_fini(struct quarry_tsdb *tsdb);

/* The limits of a metric; of that of some labels; of a series'. Returns: borrowed until the end;
 * NULL: it has none. Threads: any; for a series inside the epoch, or who keeps it. Cost: a load
 * while no metric has limits; else a hash of the name. */
struct tsdb_metric *tsdb_metric_find(struct quarry_tsdb *tsdb, uint16_t tenant,
                                     struct tsdb_slice name);
struct tsdb_metric *tsdb_metric_of_labels(struct quarry_tsdb *tsdb, uint16_t tenant,
                                          const struct tsdb_labels *labels);
struct tsdb_metric *tsdb_metric_of_series(struct quarry_tsdb *tsdb, uint32_t id);

/*
 * Whether a metric may have one more series. If so it is pending until tsdb_metric_end_series.
 *
 * `metric`: NULL: it may. Threads: any. Series are never more than the limit; of two that are made
 * at the same time the last may be refused wrongly.
 */
bool tsdb_metric_begin_series(struct quarry_tsdb *tsdb, struct tsdb_metric *metric);
void tsdb_metric_end_series(struct tsdb_metric *metric);

/* Counts samples that are about to be appended. Returns: false: they are too many for this second,
 * and none is counted. Giving back: when they were not appended. */
bool tsdb_metric_take_samples(struct tsdb_metric *metric, int64_t wall_ms, uint64_t count);
void tsdb_metric_give_samples(struct tsdb_metric *metric, int64_t wall_ms, uint64_t count);

/* From when on samples of a series are kept, by its metric; INT64_MIN: all. As above. */
int64_t tsdb_metric_min_ms(struct quarry_tsdb *tsdb, uint32_t id);

#endif
