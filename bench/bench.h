/*
 * The door of `bench`: `quarry bench …`, which measures Quarry beside what else is installed.
 */
#ifndef QUARRY_BENCH_BENCH_H
#define QUARRY_BENCH_BENCH_H

/*
 * Runs one benchmark, or prints help.
 *
 * `argc`, `argv`: as main has them, without the program's name: argv[0] is "bench". Borrowed.
 *
 * A benchmark runs each measurement in a child: libexec/quarry/quarry-bench-child, in the tree that
 * /proc/self/exe lies in the bin of.
 *
 * Returns: the exit code. 0: measured; 1: a measurement failed; 2: a wrong command line.
 * Errors: told on stderr. Threads: the main thread, once, before others exist.
 */
int bench_main(int argc, char **argv);

#endif
