/*
 * The benchmarks as a program of their own: `quarry_bench_tool bench …` is `quarry bench …`.
 */
#include <stdio.h>
#include <string.h>

#include <bench/bench.h>

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "bench") != 0) {
        (void)fprintf(stderr, "usage: quarry_bench_tool bench …\n");
        return 2;
    }
    return bench_main(argc - 1, argv + 1);
}
