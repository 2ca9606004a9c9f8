/*
 * From the numbers that a child prints to figures, by kind of row; forms say how each is named and
 * whether less of it is better, in the order of the figures.
 *
 * Figures are per operation of the server and in its CPU time, since its throughput on one CPU is
 * the same figure turned round, and also holds where the client is the slower one.
 */
#include <bench/cache/figures.h>

#include <math.h>

#include <base/base.h>

static const struct bench_form closed_forms[] = {
    {"server_cpu_us_per_operation", "server us/op", 1, true},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"hit_percent", "hit %", 1, false},
    {"server_busy_percent", "server busy %", 1, false},
    {"client_busy_percent", "client busy %", 1, false},
};
static const struct bench_form calls_forms[] = {
    {"system_calls_per_operation", "calls/op", 1, true},
};
static const struct bench_form open_forms[] = {
    {"p999_us", "p99.9 us", 1, true},
    {"p50_us", "p50 us", 1, false},
    {"p99_us", "p99 us", 1, false},
    {"p9999_us", "p99.99 us", 1, false},
    {"worst_us", "worst us", 1, false},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"server_cpu_us_per_operation", "server us/op", 1, false},
};
static const struct bench_form long_forms[] = {
    {"p9999_us", "p99.99 us", 1, true},
    {"worst_us", "worst us", 1, true},
    {"p50_us", "p50 us", 1, false},
    {"p99_us", "p99 us", 1, false},
    {"p999_us", "p99.9 us", 1, false},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"server_cpu_us_per_operation", "server us/op", 1, false},
    {"resident_bytes", "resident MiB", 1048576, false},
};
static const struct bench_form fill_forms[] = {
    {"bytes_per_item", "limit/item", 1, true},
    {"overhead_bytes_per_item", "beside data", 1, false},
    {"resident_bytes_per_item", "resident/item", 1, true},
    {"items", "items", 1, false},
};
static const struct bench_form replay_forms[] = {
    {"miss_ratio", "miss ratio", 1, true},
    {"resident_bytes", "resident MiB", 1048576, false},
    {"limit_bytes", "limit MiB", 1048576, false},
    {"late_ms", "late ms", 1, false},
    {"runs", "runs", 1, false},
};
static const struct bench_form kill_forms[] = {
    {"ready_ms", "ready ms", 1, true},
    {"ready_worst_ms", "worst ms", 1, false},
    {"hit_before_percent", "hit % before", 1, false},
    {"hit_after_percent", "least after", 1, false},
    {"checked_values", "checked", 1, false},
    {"kills", "kills", 1, false},
};
static const struct bench_form shift_forms[] = {
    {"worst_us", "worst us", 1, true},
    {"p99_us", "p99 us", 1, false},
    {"p999_us", "p99.9 us", 1, false},
    {"hit_below_ms", "hits < 90 %, ms", 1, false},
    {"hit_alone_percent", "hit % alone", 1, false},
    {"hit_least_percent", "least", 1, false},
    {"errors", "errors", 1, false},
    {"stored_bytes", "stored MiB", 1048576, false},
};
static const struct bench_form tenants_forms[] = {
    {"p99_alone_us", "p99 us alone", 1, false},
    {"p99_beside_us", "beside", 1, false},
    {"worst_beside_us", "worst us", 1, false},
    {"hit_alone_percent", "hit % alone", 1, false},
    {"hit_beside_percent", "beside", 1, false},
    {"overshoot_bytes", "over quota KiB", 1024, false},
    {"flood_sets_per_second", "1000 floods/s", 1000, false},
};
static const struct bench_form idle_forms[] = {
    {"bytes_per_idle_connection", "bytes/idle", 1, true},
    {"peak_of_limit_percent", "peak % of limit", 1, true},
    {"resident_peak_bytes", "peak MiB", 1048576, false},
    {"p99_us", "p99 us", 1, false},
    {"p999_us", "p99.9 us", 1, true},
    {"worst_us", "worst us", 1, false},
    {"idle_connections", "idle", 1, false},
};
static const struct bench_form slow_forms[] = {
    {"p99_beside_us", "p99 us beside", 1, true},
    {"p99_alone_us", "alone", 1, false},
    {"worst_beside_us", "worst us", 1, false},
    {"writers_cut", "writers cut", 1, false},
    {"writers_cut_ms", "after ms", 1, false},
    {"readers_cut", "readers cut", 1, false},
    {"readers_cut_ms", "after ms", 1, false},
    {"resident_peak_bytes", "peak MiB", 1048576, false},
};
/* A closed loop whose operations wait for the disk: how long each holds a connection up. */
static const struct bench_form power_forms[] = {
    {"wall_us_per_operation", "us/op", 1, true},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"server_cpu_us_per_operation", "server us/op", 1, false},
    {"server_busy_percent", "server busy %", 1, false},
};
static const struct bench_form syncs_forms[] = {
    {"syncs_per_operation", "syncs/op", 1, true},
};
static const struct bench_form resident_forms[] = {
    {"resident_bytes", "resident MiB", 1048576, true},
    {"peak_bytes", "peak MiB", 1048576, true},
    {"limit_bytes", "limit MiB", 1048576, false},
    {"disk_bytes", "disk MiB", 1048576, false},
    {"server_cpu_us_per_set", "server us/set", 1, false},
    {"server_cpu_us_per_get", "server us/get", 1, false},
    {"items", "items", 1, false},
};
static const struct bench_form tool_forms[] = {
    {"server_cpu_us_per_operation", "server us/op", 1, true},
    {"operations_per_second", "1000 ops/s", 1000, false},
    {"p50_us", "p50 us", 1, false},
    {"p99_us", "p99 us", 1, false},
    {"worst_us", "worst us", 1, false},
};

struct form_list {
    const struct bench_form *form;
    size_t count;
};
#define FORMS(forms)                                                                               \
    {                                                                                              \
        (forms), sizeof(forms) / sizeof(forms)[0]                                                  \
    }

static const struct form_list forms_of_kind[BENCH_LOAD_KIND_COUNT] = {
    [BENCH_LOAD_CLOSED] = FORMS(closed_forms), [BENCH_LOAD_CALLS] = FORMS(calls_forms),
    [BENCH_LOAD_OPEN] = FORMS(open_forms),     [BENCH_LOAD_FILL] = FORMS(fill_forms),
    [BENCH_LOAD_REPLAY] = FORMS(replay_forms), [BENCH_LOAD_KILL] = FORMS(kill_forms),
    [BENCH_LOAD_SHIFT] = FORMS(shift_forms),   [BENCH_LOAD_TENANTS] = FORMS(tenants_forms),
    [BENCH_LOAD_IDLE] = FORMS(idle_forms),     [BENCH_LOAD_SLOW] = FORMS(slow_forms),
    [BENCH_LOAD_SYNCS] = FORMS(syncs_forms),   [BENCH_LOAD_RESIDENT] = FORMS(resident_forms),
    [BENCH_LOAD_TOOL] = FORMS(tool_forms),
};
static const struct form_list forms_of_long = FORMS(long_forms);
static const struct form_list forms_of_power = FORMS(power_forms);

static void closed_figures(const double *n, double *figure)
{
    figure[0] = n[CLOSED_CPU_NS] / n[CLOSED_OPERATIONS] / 1000;
    figure[1] = n[CLOSED_OPERATIONS] * (double)Q_SECOND_NS / n[CLOSED_WALL_NS];
    figure[2] = n[CLOSED_GETS] > 0 ? 100 * n[CLOSED_HITS] / n[CLOSED_GETS] : NAN;
    figure[3] = 100 * n[CLOSED_CPU_NS] / n[CLOSED_WALL_NS];
    figure[4] = 100 * n[CLOSED_CLIENT_NS] / n[CLOSED_WALL_NS];
}

static void calls_figures(const double *n, double *figure)
{
    figure[0] = n[CALLS_CALLS] / n[CALLS_OPERATIONS];
}

static void open_figures(const double *n, double rate, double *figure)
{
    figure[0] = n[OPEN_P999] / 1000;
    figure[1] = n[OPEN_P50] / 1000;
    figure[2] = n[OPEN_P99] / 1000;
    figure[3] = n[OPEN_P9999] / 1000;
    figure[4] = n[OPEN_WORST] / 1000;
    figure[5] = rate;
    figure[6] = n[OPEN_CPU_NS] / n[OPEN_OPERATIONS] / 1000;
}

static void long_figures(const double *n, double rate, double *figure)
{
    figure[0] = n[OPEN_P9999] / 1000;
    figure[1] = n[OPEN_WORST] / 1000;
    figure[2] = n[OPEN_P50] / 1000;
    figure[3] = n[OPEN_P99] / 1000;
    figure[4] = n[OPEN_P999] / 1000;
    figure[5] = rate;
    figure[6] = n[OPEN_CPU_NS] / n[OPEN_OPERATIONS] / 1000;
    figure[7] = n[OPEN_RSS];
}

static void fill_figures(const double *n, double *figure)
{
    figure[0] = n[FILL_LIMIT_BYTES] / n[FILL_ITEMS];
    figure[1] = figure[0] - n[FILL_DATA_BYTES];
    figure[2] = n[FILL_RSS_BYTES] / n[FILL_ITEMS];
    figure[3] = n[FILL_ITEMS];
}

static void replay_figures(const double *n, double *figure)
{
    figure[0] = n[REPLAY_MISSES] / n[REPLAY_GETS];
    figure[1] = n[REPLAY_RSS_BYTES];
    figure[2] = n[REPLAY_MEMORY_BYTES];
    figure[3] = n[REPLAY_LATE_NS] / 1e6;
    figure[4] = n[REPLAY_RUNS];
}

static void kill_figures(const double *n, double *figure)
{
    figure[0] = n[KILL_READY_MEDIAN] / 1e6;
    figure[1] = n[KILL_READY_WORST] / 1e6;
    figure[2] = n[KILL_HIT_BEFORE_PPM] / 1e4;
    figure[3] = n[KILL_HIT_AFTER_PPM] / 1e4;
    figure[4] = n[KILL_CHECKED];
    figure[5] = n[KILL_COUNT];
}

static void shift_figures(const double *n, double *figure)
{
    figure[0] = n[SHIFT_WORST] / 1000;
    figure[1] = n[SHIFT_P99] / 1000;
    figure[2] = n[SHIFT_P999] / 1000;
    figure[3] = n[SHIFT_BELOW_NS] / 1e6;
    figure[4] = n[SHIFT_HIT_ALONE_PPM] / 1e4;
    figure[5] = n[SHIFT_HIT_LEAST_PPM] / 1e4;
    figure[6] = n[SHIFT_ERRORS];
    figure[7] = n[SHIFT_STORED_BYTES];
}

static void tenants_figures(const double *n, double *figure)
{
    figure[0] = n[TENANTS_P99_ALONE] / 1000;
    figure[1] = n[TENANTS_P99_BESIDE] / 1000;
    figure[2] = n[TENANTS_WORST_BESIDE] / 1000;
    figure[3] = n[TENANTS_HIT_ALONE_PPM] / 1e4;
    figure[4] = n[TENANTS_HIT_BESIDE_PPM] / 1e4;
    figure[5] = n[TENANTS_OVERSHOOT_BYTES];
    figure[6] = n[TENANTS_FLOOD_RATE];
}

static void idle_figures(const double *n, double *figure)
{
    figure[0] = (n[IDLE_BYTES_AFTER] - n[IDLE_BYTES_BEFORE]) / n[IDLE_COUNT];
    figure[1] = 100 * n[IDLE_BYTES_PEAK] / n[IDLE_LIMIT_BYTES];
    figure[2] = n[IDLE_BYTES_PEAK];
    figure[3] = n[IDLE_P99] / 1000;
    figure[4] = n[IDLE_P999] / 1000;
    figure[5] = n[IDLE_WORST] / 1000;
    figure[6] = n[IDLE_COUNT];
}

/* When the last of so many was cut: nobody knows of none. */
static double cut_ms(double count, double last_ns)
{
    return count > 0 ? last_ns / 1e6 : NAN;
}

static void slow_figures(const double *n, double *figure)
{
    figure[0] = n[SLOW_P99_BESIDE] / 1000;
    figure[1] = n[SLOW_P99_ALONE] / 1000;
    figure[2] = n[SLOW_WORST_BESIDE] / 1000;
    figure[3] = n[SLOW_WRITERS_CUT];
    figure[4] = cut_ms(n[SLOW_WRITERS_CUT], n[SLOW_WRITERS_NS]);
    figure[5] = n[SLOW_READERS_CUT];
    figure[6] = cut_ms(n[SLOW_READERS_CUT], n[SLOW_READERS_NS]);
    figure[7] = n[SLOW_BYTES_PEAK];
}

static void power_figures(const double *n, double *figure)
{
    figure[0] = n[CLOSED_WALL_NS] / n[CLOSED_OPERATIONS] / 1000;
    figure[1] = n[CLOSED_OPERATIONS] * (double)Q_SECOND_NS / n[CLOSED_WALL_NS];
    figure[2] = n[CLOSED_CPU_NS] / n[CLOSED_OPERATIONS] / 1000;
    figure[3] = 100 * n[CLOSED_CPU_NS] / n[CLOSED_WALL_NS];
}

static void resident_figures(const double *n, double *figure)
{
    figure[0] = n[RESIDENT_BYTES];
    figure[1] = n[RESIDENT_PEAK_BYTES];
    figure[2] = n[RESIDENT_LIMIT_BYTES] > 0 ? n[RESIDENT_LIMIT_BYTES] : NAN;
    figure[3] = n[RESIDENT_DISK_BYTES];
    figure[4] = n[RESIDENT_SETS_CPU_NS] / n[RESIDENT_ITEMS] / 1000;
    figure[5] = n[RESIDENT_GETS_CPU_NS] / n[RESIDENT_GETS] / 1000;
    figure[6] = n[RESIDENT_ITEMS];
}

static void tool_figures(const double *n, double *figure)
{
    figure[0] = n[TOOL_CPU_NS] / n[TOOL_OPERATIONS] / 1000;
    figure[1] = n[TOOL_MILLI_RATE] / 1000;
    figure[2] = n[TOOL_P50] / 1000;
    figure[3] = n[TOOL_P99] / 1000;
    figure[4] = n[TOOL_WORST] / 1000;
}

/* ---- by kind -------------------------------------------------------------------------------- */

static bool waits_for_disk(const struct bench_load_row *row)
{
    return row->kind == BENCH_LOAD_CLOSED && row->store == BENCH_STORE_POWER;
}

const struct bench_form *bench_load_forms(const struct bench_load_row *row, size_t *ret_count)
{
    const struct form_list *forms = row->is_long ? &forms_of_long : &forms_of_kind[row->kind];

    if (waits_for_disk(row)) {
        forms = &forms_of_power;
    }
    *ret_count = forms->count;
    return forms->form;
}

void bench_load_figures(const struct bench_load_row *row, const double *n, double rate,
                        double *ret_figures)
{
    switch (row->kind) {
    case BENCH_LOAD_CLOSED:
        (waits_for_disk(row) ? power_figures : closed_figures)(n, ret_figures);
        break;
    case BENCH_LOAD_CALLS:
    case BENCH_LOAD_SYNCS:
        calls_figures(n, ret_figures);
        break;
    case BENCH_LOAD_OPEN:
        (row->is_long ? long_figures : open_figures)(n, rate, ret_figures);
        break;
    case BENCH_LOAD_FILL:
        fill_figures(n, ret_figures);
        break;
    case BENCH_LOAD_REPLAY:
        replay_figures(n, ret_figures);
        break;
    case BENCH_LOAD_KILL:
        kill_figures(n, ret_figures);
        break;
    case BENCH_LOAD_SHIFT:
        shift_figures(n, ret_figures);
        break;
    case BENCH_LOAD_TENANTS:
        tenants_figures(n, ret_figures);
        break;
    case BENCH_LOAD_IDLE:
        idle_figures(n, ret_figures);
        break;
    case BENCH_LOAD_SLOW:
        slow_figures(n, ret_figures);
        break;
    case BENCH_LOAD_RESIDENT:
        resident_figures(n, ret_figures);
        break;
    case BENCH_LOAD_TOOL:
        tool_figures(n, ret_figures);
        break;
    case BENCH_LOAD_KIND_COUNT:
    default:
        Q_UNREACHABLE();
    }
}
