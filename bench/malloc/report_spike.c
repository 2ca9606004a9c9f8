/*
 * The table of a spike by seconds, and its JSON.
 *
 *   spike_256b: RSS in MiB …
 *                in use      0 s      1 s      2 s …    CPU ms  fill ms  free ms   survivors MiB
 *   quarry        268.1    266.3     40.2     30.1        1.2    210.0     40.1             0.0
 *   …
 *   ratio                   1.00     0.16 …
 *
 * What only Quarry can do has its line alone; the ratio is to the peers of the row that names them.
 *
 * CPU time is that of the idle process. Filling and freeing is told and not compared: it is done
 * once, and most of it is the kernel's page faults.
 */
#include <bench/malloc/report.h>

#include <inttypes.h>

#include <base/base.h>

#define BENCH_NAME "malloc"

static double mib(uint64_t bytes)
{
    return (double)bytes / (double)Q_MIB(1);
}

static struct bench_figures figures_at(const struct bench_malloc_result *result, size_t point)
{
    struct bench_figures figures;

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        figures.value[i] =
            result[i].absent_reason == NULL ? (double)result[i].idle.point_bytes[point] : 0;
    }
    return figures;
}

/* As many points as anybody has. */
static size_t point_count_of(const struct bench_malloc_result *result)
{
    size_t count = 0;

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (result[i].absent_reason == NULL) {
            count = size_max(count, result[i].idle.point_count);
        }
    }
    return count;
}

static void point_json(const struct bench_malloc_report *report,
                       const struct bench_malloc_spike_row *row,
                       const struct bench_malloc_result *result, size_t subject, size_t point)
{
    const struct bench_malloc_idle *idle = &result[subject].idle;
    struct bench_figures figures = figures_at(result, point);
    struct bench_json json = bench_json_begin(report->file, BENCH_NAME, row->name,
                                              bench_malloc_subject_at(subject)->name);

    bench_json_integer(&json, "at_seconds", bench_watch_point_seconds(point));
    bench_json_integer(&json, "rss_bytes", idle->point_bytes[point]);
    bench_json_integer(&json, "full_rss_bytes", idle->spike.full_rss_bytes);
    bench_json_integer(&json, "survivor_bytes", idle->spike.survivor_count * row->bytes);
    bench_json_integer(&json, "fill_wall_ns", idle->spike.fill_ns);
    bench_json_integer(&json, "free_wall_ns", idle->spike.free_ns);
    bench_json_integer(&json, "idle_cpu_ns", idle->spike.idle_cpu_ns);
    bench_json_text(&json, "ranked", "rss_bytes");
    bench_malloc_ratio_json(&json, &figures, subject, &bench_ratio_plain);
    bench_json_end(&json);
}

/* Whether a subject has lines of its own in a row. */
static bool is_shown(const struct bench_malloc_report *report,
                     const struct bench_malloc_spike_row *row, size_t subject)
{
    return report->subject[subject].is_wanted &&
           (row->peers_row == NULL || subject == BENCH_QUARRY);
}

static void spike_json(const struct bench_malloc_report *report,
                       const struct bench_malloc_spike_row *row,
                       const struct bench_malloc_result *result)
{
    if (row->peers_row != NULL && result[BENCH_QUARRY].absent_reason != NULL) {
        bench_malloc_report_absent(report, row->name, BENCH_QUARRY,
                                   result[BENCH_QUARRY].absent_reason);
    }
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (!is_shown(report, row, i) || result[i].absent_reason != NULL) {
            continue;
        }
        for (size_t point = 0; point < result[i].idle.point_count; point++) {
            point_json(report, row, result, i, point);
        }
    }
}

static void print_subject(const struct bench_malloc_report *report,
                          const struct bench_malloc_spike_row *row,
                          const struct bench_malloc_result *result, size_t subject)
{
    const struct bench_malloc_idle *idle = &result[subject].idle;

    (void)fprintf(report->file, "    %-10s", bench_malloc_subject_at(subject)->name);
    if (result[subject].absent_reason != NULL) {
        (void)fprintf(report->file, " %9s\n", "absent");
        return;
    }
    (void)fprintf(report->file, " %9.1f", mib(idle->spike.full_rss_bytes));
    for (size_t point = 0; point < idle->point_count; point++) {
        (void)fprintf(report->file, " %9.1f", mib(idle->point_bytes[point]));
    }
    (void)fprintf(report->file, " %9.2f %9.1f %9.1f %13.1f\n",
                  (double)idle->spike.idle_cpu_ns / (double)Q_MS_NS,
                  (double)idle->spike.fill_ns / (double)Q_MS_NS,
                  (double)idle->spike.free_ns / (double)Q_MS_NS,
                  mib(idle->spike.survivor_count * row->bytes));
}

static void print_ratios(const struct bench_malloc_report *report,
                         const struct bench_malloc_spike_row *row,
                         const struct bench_malloc_result *result, size_t point_count)
{
    bool has_loss = false;

    (void)fprintf(report->file, "    %-10s %9s", "ratio", "");
    for (size_t point = 0; point < point_count; point++) {
        struct bench_figures figures = figures_at(result, point);
        struct bench_ratio ratio = bench_figures_ratio(&figures);
        if (ratio.is_known) {
            (void)fprintf(report->file, " %8.2f%c", ratio.ratio,
                          bench_ratio_is_loss(ratio) ? '*' : ' ');
            has_loss = has_loss || bench_ratio_is_loss(ratio);
        }
    }
    (void)fprintf(report->file, "  quarry ÷ best peer%s%s%s\n",
                  row->peers_row == NULL ? "" : " of ",
                  row->peers_row == NULL ? "" : row->peers_row, has_loss ? "; * LOSS" : "");
}

static void spike_text(const struct bench_malloc_report *report,
                       const struct bench_malloc_spike_row *row,
                       const struct bench_malloc_result *result)
{
    size_t point_count = point_count_of(result);

    (void)fprintf(report->file,
                  "%s: RSS in MiB with everything in use, then freed and idle\n    %-10s %9s",
                  row->name, "", "in use");
    for (size_t point = 0; point < point_count; point++) {
        (void)fprintf(report->file, " %7" PRIu64 " s", bench_watch_point_seconds(point));
    }
    (void)fprintf(report->file, " %9s %9s %9s %13s\n", "CPU ms", "fill ms", "free ms",
                  "survivors MiB");
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (is_shown(report, row, i)) {
            print_subject(report, row, result, i);
        }
    }
    if (result[BENCH_QUARRY].absent_reason == NULL) {
        print_ratios(report, row, result, point_count);
    }
    (void)fflush(report->file);
}

void bench_malloc_report_spike(struct bench_malloc_report *report,
                               const struct bench_malloc_spike_row *row,
                               const struct bench_malloc_result *result)
{
    if (report->is_json) {
        spike_json(report, row, result);
    } else {
        spike_text(report, row, result);
    }
}
