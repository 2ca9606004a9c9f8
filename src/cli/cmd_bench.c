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
    "Benchmarks:\n"
    "  pages      the page heap against mmap and the page-multiples of glibc, jemalloc,\n"
    "             mimalloc and tcmalloc; and how memory comes back after a spike\n"
    "  malloc     malloc against glibc, jemalloc, mimalloc, tcmalloc and tbbmalloc: workloads,\n"
    "             spikes, a restarted store, real programs; time and resident memory\n"
    "\n"
    "--json prints one object a line; --quick takes a fraction of the time.\n";

const struct cli_command cli_command_bench = {
    .name = "bench",
    .summary = "measures Quarry beside what else is installed",
    .help = help,
    .run = bench_main,
};
