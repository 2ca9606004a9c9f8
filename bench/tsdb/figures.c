/*
 * From the numbers that a child prints to figures, by kind of row; the first ranked one is what the
 * row is about. What a subject does not tell stays NAN.
 */
#include <bench/tsdb/figures.h>

#include <math.h>

#include <base/base.h>

static const struct bench_form ingest_forms[] = {
    {"server_cpu_ns_per_sample", "server ns/sample", 1, true},
    {"samples_per_cpu_second", "k samples/CPU s", 1000, false},
    {"samples_per_second", "k samples/s", 1000, false},
    {"client_busy_percent", "client busy %", 1, false},
    {"server_cpu_ns_per_new_series", "ns/new series", 1, true},
    {"resident_bytes", "resident MiB", 1048576, true},
    {"resident_bytes_per_series", "resident B/series", 1, false},
    {"body_bytes_per_sample", NULL, 1, false},
};

static void ingest_figures(const double *n, double *f)
{
    f[0] = n[INGEST_CPU_NS] / n[INGEST_SAMPLES];
    f[1] = n[INGEST_SAMPLES] / n[INGEST_CPU_NS] * 1e9;
    f[2] = n[INGEST_SAMPLES] / n[INGEST_WALL_NS] * 1e9;
    f[3] = n[INGEST_CLIENT_NS] / n[INGEST_WALL_NS] * 100;
    f[4] = n[INGEST_NEW_CPU_NS] / n[INGEST_SERIES];
    f[5] = n[INGEST_RSS_AFTER];
    f[6] = (n[INGEST_RSS_AFTER] - n[INGEST_RSS_BEFORE]) / n[INGEST_SERIES];
    f[7] = n[INGEST_BODY_BYTES] / n[INGEST_SAMPLES];
}

static const struct bench_form resident_forms[] = {
    {"resident_bytes_per_series", "resident B/series", 1, true},
    {"resident_bytes", "resident MiB", 1048576, false},
    {"peak_bytes", "peak MiB", 1048576, false},
    {"series", NULL, 1, false},
};

static void resident_figures(const double *n, double *f)
{
    f[0] = (n[RESIDENT_RSS_AFTER] - n[RESIDENT_RSS_BEFORE]) / n[RESIDENT_SERIES];
    f[1] = n[RESIDENT_RSS_AFTER];
    f[2] = n[RESIDENT_RSS_PEAK];
    f[3] = n[RESIDENT_SERIES];
}

static const struct bench_form samples_forms[] = {
    {"sealed_resident_bytes_per_sample", "sealed B/sample", 1, true},
    {"open_resident_bytes_per_sample", "open B/sample", 1, true},
    {"sealed_store_bytes_per_sample", "its columns' B/sample", 1, false},
    {"open_store_bytes_per_sample", "its chains' B/sample", 1, false},
    {"resident_bytes", "resident MiB", 1048576, false},
    {"peak_bytes", "peak MiB", 1048576, false},
};

static void samples_figures(const double *n, double *f)
{
    f[0] = (n[SAMPLES_RSS_SEALED] - n[SAMPLES_RSS_FIRST]) / n[SAMPLES_SEALED];
    f[1] = (n[SAMPLES_RSS_OPEN] - n[SAMPLES_RSS_FIRST]) / n[SAMPLES_OPEN];
    f[2] = n[SAMPLES_STORE_SEALED] > 0 ? n[SAMPLES_STORE_SEALED] / n[SAMPLES_SEALED] : NAN;
    f[3] = n[SAMPLES_STORE_OPEN] > 0 ? n[SAMPLES_STORE_OPEN] / n[SAMPLES_OPEN] : NAN;
    f[4] = n[SAMPLES_RSS_SEALED];
    f[5] = n[SAMPLES_RSS_PEAK];
}

static const struct bench_form restart_forms[] = {
    {"first_right_answer_ms", "to right answer, ms", 1, true},
    {"first_right_answer_worst_ms", "the worst, ms", 1, true},
    {"end_ms", "its end, ms", 1, false},
    {"series", NULL, 1, false},
    {"samples", NULL, 1, false},
};

static void restart_figures(const double *n, double *f)
{
    f[0] = n[RESTART_MEDIAN] / 1e6;
    f[1] = n[RESTART_WORST] / 1e6;
    f[2] = n[RESTART_END_MEDIAN] / 1e6;
    f[3] = n[RESTART_SERIES];
    f[4] = n[RESTART_SAMPLES];
}

static const struct bench_form cardinality_forms[] = {
    {"peak_percent_of_budget", "peak, % of budget", 1, true},
    {"p99_before_ms", "p99 before, ms", 1, false},
    {"p99_during_ms", "p99 during, ms", 1, true},
    {"p99_after_ms", "p99 after, ms", 1, true},
    {"new_series_taken", "k series taken", 1000, false},
    {"new_series_offered_per_minute", "k offered/minute", 1000, false},
    {"answers_429", "answers 429", 1, false},
    {"answers_wrong", "wrong answers", 1, false},
};

static void cardinality_figures(const double *n, double *f)
{
    f[0] = n[CARDINALITY_RSS_PEAK] / n[CARDINALITY_LIMIT] * 100;
    f[1] = n[CARDINALITY_P99_BEFORE] / 1e6;
    f[2] = n[CARDINALITY_P99_DURING] / 1e6;
    f[3] = n[CARDINALITY_P99_AFTER] / 1e6;
    f[4] = n[CARDINALITY_TAKEN];
    f[5] = n[CARDINALITY_OFFERED] / n[CARDINALITY_NS] * 60e9;
    f[6] = n[CARDINALITY_BUSY];
    f[7] = n[CARDINALITY_OTHER];
}

static const struct bench_form hours_forms[] = {
    {"peak_bytes", "peak MiB", 1048576, true},
    {"steady_bytes", "steady MiB", 1048576, true},
    {"peak_by_steady", "peak ÷ steady", 1, true},
    {"server_cpu_ns_per_sample", "server ns/sample", 1, true},
    {"waste_percent", "pages - live, %", 1, false},
    {"purged_pages_kept_percent", "purged, kept %", 1, false},
    {"restart_ms", "restart, ms", 1, true},
    {"purged_windows", NULL, 1, false},
};

static void hours_figures(const double *n, double *f)
{
    f[0] = n[HOURS_PEAK];
    f[1] = n[HOURS_STEADY];
    f[2] = n[HOURS_PEAK] / n[HOURS_STEADY];
    f[3] = n[HOURS_CPU_NS] / n[HOURS_SAMPLES];
    f[4] = n[HOURS_LIVE_BYTES] > 0 ? n[HOURS_WASTE_BYTES] / n[HOURS_LIVE_BYTES] * 100 : NAN;
    f[5] = n[HOURS_PURGED_BYTES] > 0 ? n[HOURS_KEPT_BYTES] / n[HOURS_PURGED_BYTES] * 100 : NAN;
    f[6] = n[HOURS_RESTART_NS] / 1e6;
    f[7] = n[HOURS_LIVE_BYTES] > 0 ? n[HOURS_PURGED_WINDOWS] : NAN;
}

struct form_set {
    const struct bench_form *form;
    size_t count;
    void (*figures)(const double *n, double *ret_figures);
};
#define FORMS(name)                                                                                \
    {                                                                                              \
        name##_forms, sizeof name##_forms / sizeof name##_forms[0], name##_figures                 \
    }

static const struct form_set form_sets[BENCH_SERIES_KIND_COUNT] = {
    [BENCH_SERIES_INGEST] = FORMS(ingest),   [BENCH_SERIES_RESIDENT] = FORMS(resident),
    [BENCH_SERIES_SAMPLES] = FORMS(samples), [BENCH_SERIES_RESTART] = FORMS(restart),
    [BENCH_SERIES_HOURS] = FORMS(hours),     [BENCH_SERIES_CARDINALITY] = FORMS(cardinality),
};

const struct bench_form *bench_series_forms(const struct bench_series_row *row, size_t *ret_count)
{
    *ret_count = form_sets[row->kind].count;
    return form_sets[row->kind].form;
}

void bench_series_figures(const struct bench_series_row *row, const double *n, double *ret_figures)
{
    form_sets[row->kind].figures(n, ret_figures);
}
