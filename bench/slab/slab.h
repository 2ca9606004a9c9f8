/*
 * `quarry bench slab`: cells of a slab, and arenas, beside malloc.
 */
#ifndef QUARRY_BENCH_SLAB_SLAB_H
#define QUARRY_BENCH_SLAB_SLAB_H

/* argv[0] is "slab". Returns: the exit code. */
int bench_slab_main(int argc, char **argv);

/* `quarry-bench-child slab …`: one measurement, in its process. */
int bench_slab_child_main(int argc, char **argv);

#endif
