/*
 * `quarry-bench-child`: the program that measures.
 *
 *   quarry-bench-child pages …      one measurement of `quarry bench pages`
 *   quarry-bench-child malloc …     one of `quarry bench malloc`
 *   quarry-bench-child slab …       one of `quarry bench slab`
 *   quarry-bench-child blocks …     one of `quarry bench blocks`: Quarry's caches, and policies
 *   quarry-bench-child cache …      one of `quarry bench cache`: the client, and a server beside it
 *   quarry-bench-child resp …       one of `quarry bench resp`: likewise
 *   quarry-bench-child tsdb …       one of `quarry bench tsdb`: likewise
 *   quarry-bench-child stories …    one subject of `quarry bench stories`
 *
 * It is apart from `quarry` because it must not hold a malloc: a definition in the program itself
 * goes before any that is preloaded. It is for `quarry bench` to run; a person may run such a line
 * too, under perf or a debugger with LD_PRELOAD set by hand, but nothing is promised about it.
 */
#include <stdio.h>
#include <string.h>

#include <bench/blocks/blocks.h>
#include <bench/cache/cache.h>
#include <bench/malloc/measure.h>
#include <bench/pages_child.h>
#include <bench/slab/slab.h>
#include <bench/stories/stories.h>
#include <bench/tsdb/tsdb.h>

struct measurement {
    const char *name;
    int (*run)(int argc, char **argv);
};

static const struct measurement measurements[] = {
    {"pages", bench_pages_child_main}, {"malloc", bench_malloc_child_main},
    {"slab", bench_slab_child_main},   {"blocks", bench_blocks_child_main},
    {"cache", bench_load_child_main},  {"resp", bench_load_child_main},
    {"tsdb", bench_series_child_main}, {"stories", bench_stories_child_main},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof measurements / sizeof measurements[0]; i++) {
        if (strcmp(argv[1], measurements[i].name) == 0) {
            return measurements[i].run(argc - 1, argv + 1);
        }
    }
    (void)fputs("quarry-bench-child is run by `quarry bench`; see its help\n", stderr);
    return 2;
}
