/*
 * `quarry bench stories`: programs that each show one claim, in a table and a plot.
 */
#ifndef QUARRY_BENCH_STORIES_STORIES_H
#define QUARRY_BENCH_STORIES_STORIES_H

/* argv[0] is "stories". Returns: the exit code, see bench.h. */
int bench_stories_main(int argc, char **argv);

/* `quarry-bench-child stories …`: one subject of one story. Returns: the exit code. */
int bench_stories_child_main(int argc, char **argv);

#endif
