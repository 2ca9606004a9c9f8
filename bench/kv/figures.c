/*
 * Figures of rows. Of those that are ranked less is better; the first is the one rows are lost by.
 */
#include <bench/kv/figures.h>

#include <math.h>

#include <base/base.h>

#define MIB 1048576

static const struct bench_form work_forms[] = {
    {"cpu_us_per_operation", "cpu us/op", 1, true},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"p99_us", "p99 us", 1, false},
    {"p9999_us", "p99.99 us", 1, true},
    {"worst_us", "longest us", 1, false},
    {"write_amplification", "written/user", 1, true},
    {"space_amplification", "disk/live", 1, true},
    {"peak_rss_bytes", "peak MiB", MIB, false},
};
static const struct bench_form budget_forms[] = {
    {"peak_of_allowed_percent", "peak % of allowed", 1, true},
    {"peak_rss_bytes", "peak MiB", MIB, false},
    {"refused_reads_ppm", "refused/1e6 reads", 1, false},
    {"refused_writes_ppm", "refused/1e6 puts", 1, false},
    {"writes_per_second", "1000 puts/s", 1000, false},
    {"read_p9999_us", "read p99.99 us", 1, true},
    {"write_worst_us", "longest put us", 1, false},
    {"cpu_seconds", "cpu s", 1, false},
};
static const struct bench_form open_forms[] = {
    {"open_ms", "ms", 1, true},
    {"cpu_ms", "cpu ms", 1, true},
    {"peak_rss_bytes", "peak MiB", MIB, true},
    {"first_read_us", "first read us", 1, false},
    {"disk_bytes", "disk MiB", MIB, false},
    {"files", "files", 1, false},
    {"lost_keys", "lost", 1, false},
};
#define COUNT_OF(forms) (sizeof(forms) / sizeof(forms)[0])
Q_STATIC_ASSERT(COUNT_OF(work_forms) <= BENCH_FIGURES_MAX, "a sheet has room for them");
Q_STATIC_ASSERT(COUNT_OF(budget_forms) <= BENCH_FIGURES_MAX, "a sheet has room for them");

const struct bench_form *bench_kv_forms(enum bench_kv_kind kind, size_t *ret_count)
{
    switch (kind) {
    case BENCH_KV_WORK:
        *ret_count = COUNT_OF(work_forms);
        return work_forms;
    case BENCH_KV_BUDGET:
        *ret_count = COUNT_OF(budget_forms);
        return budget_forms;
    case BENCH_KV_RECOVER:
    case BENCH_KV_FILES:
        *ret_count = COUNT_OF(open_forms);
        return open_forms;
    case BENCH_KV_KIND_COUNT:
    default:
        Q_UNREACHABLE();
    }
}

/* NAN of nothing. */
static double ratio(double a, double b)
{
    return b > 0 ? a / b : NAN;
}

static void work_figures(const double *n, double *figure)
{
    figure[0] = n[WORK_CPU_NS] / n[WORK_OPERATIONS] / 1000;
    figure[1] = n[WORK_OPERATIONS] * (double)Q_SECOND_NS / n[WORK_WALL_NS];
    figure[2] = n[WORK_P99] / 1000;
    figure[3] = n[WORK_P9999] / 1000;
    figure[4] = n[WORK_WORST] / 1000;
    figure[5] = ratio(n[WORK_WRITTEN_BYTES], n[WORK_USER_BYTES]);
    figure[6] = ratio(n[WORK_DISK_BYTES], n[WORK_LIVE_BYTES]);
    figure[7] = n[WORK_RSS_BYTES];
}

static void budget_figures(const double *n, double *figure)
{
    figure[0] = 100 * n[BUDGET_RSS_BYTES] / n[BUDGET_ALLOWED_BYTES];
    figure[1] = n[BUDGET_RSS_BYTES];
    figure[2] = ratio(1e6 * n[BUDGET_REFUSED_READS], n[BUDGET_READS]);
    figure[3] = ratio(1e6 * n[BUDGET_REFUSED_WRITES], n[BUDGET_WRITES]);
    figure[4] = n[BUDGET_WRITES] * (double)Q_SECOND_NS / n[BUDGET_WALL_NS];
    figure[5] = n[BUDGET_P9999] / 1000;
    figure[6] = n[BUDGET_WORST] / 1000;
    figure[7] = n[BUDGET_CPU_NS] / (double)Q_SECOND_NS;
}

static void open_figures(const double *n, double *figure)
{
    figure[0] = n[OPEN_WALL_NS] / (double)Q_MS_NS;
    figure[1] = n[OPEN_CPU_NS] / (double)Q_MS_NS;
    figure[2] = n[OPEN_RSS_BYTES];
    figure[3] = n[OPEN_FIRST_NS] / 1000;
    figure[4] = n[OPEN_DISK_BYTES];
    figure[5] = n[OPEN_FILES];
    figure[6] = n[OPEN_LOST];
}

void bench_kv_figures(enum bench_kv_kind kind, const uint64_t *numbers, double *ret_figures)
{
    double n[BENCH_KV_NUMBERS];

    for (size_t i = 0; i < BENCH_KV_NUMBERS; i++) {
        n[i] = (double)numbers[i];
    }
    switch (kind) {
    case BENCH_KV_WORK:
        work_figures(n, ret_figures);
        break;
    case BENCH_KV_BUDGET:
        budget_figures(n, ret_figures);
        break;
    case BENCH_KV_RECOVER:
    case BENCH_KV_FILES:
        open_figures(n, ret_figures);
        break;
    case BENCH_KV_KIND_COUNT:
    default:
        Q_UNREACHABLE();
    }
}
