/*
 * `quarry bench cache`: the server beside memcached and Redis, from outside.
 */
#ifndef QUARRY_BENCH_CACHE_CACHE_H
#define QUARRY_BENCH_CACHE_CACHE_H

/* argv[0] is "cache". Returns: the exit code. */
int bench_cache_main(int argc, char **argv);

/* `quarry-bench-child cache …`: one measurement, in its process. */
int bench_load_child_main(int argc, char **argv);

#endif
