/*
 * `quarry bench`: the benchmarks, which are a library of their own (bench/).
 *
 * The command line goes to it as it is. A benchmark measures in children, which are a program of
 * their own without Quarry's malloc.
 */
#include <cli/cli.h>

#include <bench/bench.h>

static const char help[] =
    "usage: quarry bench BENCHMARK [--json] [--quick] [OPTION...]\n"
    "       quarry bench BENCHMARK --help\n"
    "\n"
    "Measures Quarry beside what else is installed, every row, losses included.\n"
    "\n"
    "Benchmarks:\n" BENCH_LIST(
        BENCH_LIST_LINE) "\n"
                         "--json prints one object a line; --quick takes a fraction of the time.\n";

const struct cli_command cli_command_bench = {
    .name = "bench",
    .summary = "measures Quarry beside what else is installed",
    .help = help,
    .run = bench_main,
};
