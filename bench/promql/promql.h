/*
 * `quarry bench promql`: queries, beside Prometheus and VictoriaMetrics.
 */
#ifndef QUARRY_BENCH_PROMQL_PROMQL_H
#define QUARRY_BENCH_PROMQL_PROMQL_H

/* argv[0] is "promql". Returns: the exit code. */
int bench_promql_main(int argc, char **argv);

#endif
