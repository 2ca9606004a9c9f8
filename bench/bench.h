/*
 * The door of `bench`: `quarry bench …`, which measures Quarry beside what else is installed.
 */
#ifndef QUARRY_BENCH_BENCH_H
#define QUARRY_BENCH_BENCH_H

/*
 * All benchmarks: name, blanks that make names alike long in a list, what it does.
 * bench_NAME_main runs it.
 */
#define BENCH_LIST(X)                                                                              \
    X(pages, "     ", "the page heap beside malloc libraries and mmap")                            \
    X(malloc, "    ", "malloc beside glibc's, jemalloc, mimalloc and tcmalloc; real programs")     \
    X(slab, "      ", "cells of a slab and arenas beside malloc")                                  \
    X(blocks, "    ", "what caches of blocks keep, and how fast they are, beside RocksDB's")       \
    X(cache, "     ", "the server beside memcached and Redis, from outside")                       \
    X(kv, "        ", "the ordered store beside RocksDB and LevelDB")                              \
    X(resp, "      ", "the ordered store behind RESP beside Redis, from outside")                  \
    X(tsdb, "      ", "the time-series store beside Prometheus and VictoriaMetrics")               \
    X(promql, "    ", "queries, beside Prometheus and VictoriaMetrics")                            \
    X(stories, "   ", "claims, each with a table and a plot")

/* A line of such a list, for a text that is put together when it is compiled. */
#define BENCH_LIST_LINE(name, blanks, summary) "    " #name blanks "  " summary "\n"

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
