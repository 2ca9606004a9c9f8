/*
 * `quarry bench tsdb`: the time-series store beside Prometheus and VictoriaMetrics, from outside.
 */
#ifndef QUARRY_BENCH_TSDB_TSDB_H
#define QUARRY_BENCH_TSDB_TSDB_H

/* argv[0] is "tsdb". Returns: the exit code. */
int bench_tsdb_main(int argc, char **argv);

/* `quarry-bench-child tsdb …`: one measurement, in its process. */
int bench_series_child_main(int argc, char **argv);

#endif
