/*
 * `quarry bench pages`: the page heap beside its peers.
 */
#ifndef QUARRY_BENCH_PAGES_H
#define QUARRY_BENCH_PAGES_H

/* argv[0] is "pages". Returns: the exit code, see bench.h. */
int bench_pages_main(int argc, char **argv);

#endif
