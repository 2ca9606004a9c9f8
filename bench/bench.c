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
    int (*run)(int argc, char **argv);
};

#define BENCHMARK(name, blanks, summary) {#name, bench_##name##_main},
static const struct benchmark benchmarks[] = {BENCH_LIST(BENCHMARK)};
#undef BENCHMARK

static const char help[] = "NAME\n"
                           "    quarry bench - measure Quarry beside what else is installed\n"
                           "\n"
                           "SYNOPSIS\n"
                           "    quarry bench NAME [--json] [--quick] [option...]\n"
                           "    quarry bench NAME --help\n"
                           "\n"
                           "BENCHMARKS\n" BENCH_LIST(BENCH_LIST_LINE);

static bool is_help(const char *word)
{
    return strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int bench_main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fputs(help, stderr);
        return 2;
    }
    if (is_help(argv[1])) {
        (void)fputs(help, stdout);
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
