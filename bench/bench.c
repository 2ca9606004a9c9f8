/*
 * `quarry bench NAME …`: which benchmarks there are.
 */
#include <bench/bench.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <bench/blocks/blocks.h>
#include <bench/cache/cache.h>
#include <bench/kv/kv.h>
#include <bench/malloc/malloc.h>
#include <bench/pages.h>
#include <bench/promql/promql.h>
#include <bench/resp/resp.h>
#include <bench/slab/slab.h>
#include <bench/stories/stories.h>
#include <bench/tsdb/tsdb.h>

struct benchmark {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

static const struct benchmark benchmarks[] = {
    {"pages", "the page heap beside malloc libraries and mmap", bench_pages_main},
    {"malloc", "malloc in Quarry and other libraries: twelve workloads", bench_malloc_main},
    {"slab", "cells of a slab and arenas beside malloc", bench_slab_main},
    {"blocks", "what caches of blocks keep, and how fast they are", bench_blocks_main},
    {"cache", "the server beside memcached and Redis, from outside", bench_cache_main},
    {"kv", "the ordered store beside RocksDB and LevelDB", bench_kv_main},
    {"resp", "the ordered store behind RESP beside Redis", bench_resp_main},
    {"tsdb", "the time-series store beside Prometheus and VictoriaMetrics", bench_tsdb_main},
    {"promql", "queries, beside Prometheus and VictoriaMetrics", bench_promql_main},
    {"stories", "claims, each with a table and a plot", bench_stories_main},
};

static void print_help(FILE *file)
{
    (void)fputs("NAME\n"
                "    quarry bench - measure Quarry beside what else is installed\n"
                "\n"
                "SYNOPSIS\n"
                "    quarry bench NAME [--json] [--quick] [option...]\n"
                "    quarry bench NAME --help\n"
                "\n"
                "BENCHMARKS\n",
                file);
    for (size_t i = 0; i < sizeof benchmarks / sizeof benchmarks[0]; i++) {
        (void)fprintf(file, "    %-10s  %s\n", benchmarks[i].name, benchmarks[i].summary);
    }
}

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int bench_main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (is_help(argv[1])) {
        print_help(stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof benchmarks / sizeof benchmarks[0]; i++) {
        if (strcmp(argv[1], benchmarks[i].name) == 0) {
            return benchmarks[i].run(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "quarry bench: there is no benchmark '%s'; see quarry bench --help\n",
                  argv[1]);
    return 2;
}
