/*
 * Fleets: hosts that have series, whose labels and values are made from numbers.
 */
#ifndef QUARRY_BENCH_TSDB_FLEET_H
#define QUARRY_BENCH_TSDB_FLEET_H

#include <stddef.h>
#include <stdint.h>

enum bench_fleet_shape {
    BENCH_FLEET_TSBS, /* ten figures of a CPU for each host, eight labels, whole numbers to 100 */
    BENCH_FLEET_NODE, /* a thousand series for each host, as node_exporter has them */
    BENCH_FLEET_HISTOGRAM, /* twelve buckets of a latency for each host */
};
#define BENCH_FLEET_TSBS_SERIES      10u
#define BENCH_FLEET_NODE_SERIES      1000u
#define BENCH_FLEET_HISTOGRAM_SERIES 12u

/* Room for the labels of any series, written as protobuf. */
#define BENCH_FLEET_LABELS_BYTES 512u

struct bench_fleet_series {
    uint64_t random;
    double value; /* as it was told last */
    int64_t state;
};

struct bench_fleet {
    enum bench_fleet_shape shape;
    uint32_t series_count;
    uint32_t host_series;              /* of one host */
    uint32_t churn_steps;              /* a host is another one after so many steps; 0: never */
    uint64_t first_host;               /* the number of the first */
    struct bench_fleet_series *series; /* owned */
};

/*
 * Makes a fleet of whole hosts: `series_count` is rounded up. The same arguments make the same
 * fleet. Ends the process when there is no memory.
 */
void bench_fleet_init(struct bench_fleet *fleet, enum bench_fleet_shape shape,
                      uint32_t series_count, uint32_t churn_steps);
void bench_fleet_fini(struct bench_fleet *fleet);

/* The number of the host that a series belongs to at a step. */
uint64_t bench_fleet_host(const struct bench_fleet *fleet, uint32_t index, uint64_t step);
/* Writes the labels of a series, sorted, as fields of a TimeSeries of remote write. Returns: the
 * end. */
char *bench_fleet_put_labels(const struct bench_fleet *fleet, uint32_t index, uint64_t step,
                             char *at);
/* Takes a series to its next step. Returns: its value there. */
double bench_fleet_next(struct bench_fleet *fleet, uint32_t index);
/* Series of a host that have one name and whole numbers as values: of the TSBS shape one. */
struct bench_fleet_part {
    uint32_t first, count;
};
struct bench_fleet_part bench_fleet_probe(enum bench_fleet_shape shape);
/* How many series of a host never change. */
uint32_t bench_fleet_constant_count(enum bench_fleet_shape shape);

#endif
