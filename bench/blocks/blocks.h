/*
 * `quarry bench blocks`: which blocks a cache keeps, and how fast it is.
 */
#ifndef QUARRY_BENCH_BLOCKS_BLOCKS_H
#define QUARRY_BENCH_BLOCKS_BLOCKS_H

/* argv[0] is "blocks". Returns: the exit code. */
int bench_blocks_main(int argc, char **argv);

/* `quarry-bench-child blocks …`: one measurement, in its process. */
int bench_blocks_child_main(int argc, char **argv);

#endif
