/*
 * `quarry bench malloc`: malloc beside its peers.
 */
#ifndef QUARRY_BENCH_MALLOC_MALLOC_H
#define QUARRY_BENCH_MALLOC_MALLOC_H

/* argv[0] is "malloc". Returns: the exit code, see bench.h. */
int bench_malloc_main(int argc, char **argv);

#endif
