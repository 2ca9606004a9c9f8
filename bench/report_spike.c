/*
 * The table of a spike, and its JSON.
 *
 *   spike_256mib: RSS in MiB …
 *                  full      0 s      1 s      2 s …    CPU ms   % of one CPU   % of all CPUs
 *   quarry        260.1    258.3     40.2     30.1        1.2           0.12            0.06
 *   …
 *   ratio                   1.00     0.16 …
 *   quarry committed at most … of … : never above the limit
 *
 * CPU time is what the whole process used from the last free to the last point.
 */
#include <bench/report.h>

#include <inttypes.h>

#include <base/base.h>

#include <bench/report_ratio.h>

#define BENCH_NAME "pages"

static double figure_rss(const struct bench_result *result, size_t index)
{
    Q_ASSERT(index < result->spike.point_count);
    return (double)result->spike.point[index].rss_bytes;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (double)Q_MIB(1);
}

/* CPU time in percent of the time of one CPU; 0 at the first point, before any time has passed. */
static double cpu_percent(const struct bench_spike_point *point)
{
    if (point->at_seconds == 0) {
        return 0;
    }
    return 100 * (double)point->cpu_ns / (double)point->wall_ns;
}

static bool is_shown(const struct bench_report *report, size_t subject)
{
    return report->subject[subject].is_wanted && bench_subject_at(subject)->kind != BENCH_MMAP;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void point_json(const struct bench_report *report, const char *row,
                       const struct bench_result *result, size_t subject, size_t index)
{
    const struct bench_spike *spike = &result[subject].spike;
    const struct bench_spike_point *point = &spike->point[index];
    struct bench_json json =
        bench_json_begin(report->file, BENCH_NAME, row, bench_subject_at(subject)->name);

    bench_json_integer(&json, "at_seconds", point->at_seconds);
    bench_json_integer(&json, "rss_bytes", point->rss_bytes);
    bench_json_integer(&json, "full_rss_bytes", spike->full_rss_bytes);
    bench_json_integer(&json, "fill_wall_ns", spike->fill_ns);
    bench_json_integer(&json, "free_wall_ns", spike->free_ns);
    bench_json_integer(&json, "cpu_ns", point->cpu_ns);
    bench_json_number(&json, "cpu_percent_of_one", cpu_percent(point));
    bench_json_number(&json, "cpu_percent_of_all", cpu_percent(point) / report->machine.cpu_count);
    if (point->limit_bytes != 0) {
        bench_json_integer(&json, "committed_bytes", point->committed_bytes);
        bench_json_integer(&json, "committed_peak_bytes", point->peak_bytes);
        bench_json_integer(&json, "limit_bytes", point->limit_bytes);
    }
    bench_json_text(&json, "ranked", "rss_bytes");
    bench_ratio_json(&json, report, result, subject, figure_rss, index);
    bench_json_end(&json);
}

static void spike_json(const struct bench_report *report, const char *row,
                       const struct bench_result *result)
{
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (!is_shown(report, i)) {
            continue;
        }
        if (result[i].absent_reason != NULL) {
            struct bench_json json =
                bench_json_begin(report->file, BENCH_NAME, row, bench_subject_at(i)->name);
            bench_absent_json(&json, result[i].absent_reason);
            bench_json_end(&json);
        }
        for (size_t index = 0;
             result[i].absent_reason == NULL && index < result[i].spike.point_count; index++) {
            point_json(report, row, result, i, index);
        }
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

static void print_spike_head(FILE *file, const char *row, const struct bench_spike *spike)
{
    (void)fprintf(
        file,
        "\n%s: RSS in MiB with runs of a page in use, then freed, then idle for so long;\n"
        "CPU time of the process while idle\n%-10s %9s",
        row, "", "in use");
    for (size_t i = 0; i < spike->point_count; i++) {
        (void)fprintf(file, " %7" PRIu64 " s", spike->point[i].at_seconds);
    }
    (void)fprintf(file, " %9s %9s %9s\n", "CPU ms", "% of one", "% of all");
}

static void print_spike_line(const struct bench_report *report, size_t subject,
                             const struct bench_result *result)
{
    const struct bench_spike *spike = &result->spike;

    (void)fprintf(report->file, "%-10s", bench_subject_at(subject)->name);
    if (result->absent_reason != NULL) {
        (void)fprintf(report->file, " %9s\n", "absent");
        return;
    }
    (void)fprintf(report->file, " %9.1f", mib(spike->full_rss_bytes));
    for (size_t i = 0; i < spike->point_count; i++) {
        (void)fprintf(report->file, " %9.1f", mib(spike->point[i].rss_bytes));
    }
    const struct bench_spike_point *last = &spike->point[spike->point_count - 1];
    (void)fprintf(report->file, " %9.2f %9.3f %9.3f\n", (double)last->cpu_ns / (double)Q_MS_NS,
                  cpu_percent(last), cpu_percent(last) / report->machine.cpu_count);
}

static void print_spike_ratios(const struct bench_report *report, const struct bench_result *result)
{
    const struct bench_spike *spike = &result[BENCH_QUARRY].spike;
    bool has_loss = false;

    (void)fprintf(report->file, "%-10s %9s", "ratio", "");
    for (size_t i = 0; i < spike->point_count; i++) {
        struct bench_ratio ratio = bench_ratio_of(report, result, figure_rss, i);
        if (ratio.is_known) {
            (void)fprintf(report->file, " %8.2f%c", ratio.ratio,
                          bench_ratio_is_loss(ratio) ? '*' : ' ');
            has_loss = has_loss || bench_ratio_is_loss(ratio);
        }
    }
    (void)fprintf(report->file, "  quarry ÷ best peer%s\n", has_loss ? "; * LOSS" : "");
}

static void print_spike_budget(FILE *file, const struct bench_spike *spike)
{
    const struct bench_spike_point *last = &spike->point[spike->point_count - 1];

    (void)fprintf(file, "quarry committed at most %.1f MiB of its limit of %.1f MiB: %s\n",
                  mib(last->peak_bytes), mib(last->limit_bytes),
                  last->peak_bytes <= last->limit_bytes ? "never above it" : "ABOVE ITS LIMIT");
}

/* Any spike that was measured, for its points; Quarry's own, with none, when there is no other. */
static const struct bench_spike *measured_spike(const struct bench_result *result)
{
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (result[i].absent_reason == NULL) {
            return &result[i].spike;
        }
    }
    return &result[BENCH_QUARRY].spike;
}

static void spike_text(const struct bench_report *report, const char *row,
                       const struct bench_result *result)
{
    const struct bench_result *own = &result[BENCH_QUARRY];

    print_spike_head(report->file, row, measured_spike(result));
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (is_shown(report, i)) {
            print_spike_line(report, i, &result[i]);
        }
    }
    if (own->absent_reason == NULL) {
        print_spike_ratios(report, result);
        print_spike_budget(report->file, &own->spike);
    }
    (void)fflush(report->file);
}

void bench_report_spike(struct bench_report *report, const char *row,
                        const struct bench_result *result)
{
    const struct bench_result *own = &result[BENCH_QUARRY];

    for (size_t i = 0; own->absent_reason == NULL && i < own->spike.point_count; i++) {
        bench_ratio_count(&report->rss, bench_ratio_of(report, result, figure_rss, i));
    }
    if (report->is_json) {
        spike_json(report, row, result);
    } else {
        spike_text(report, row, result);
    }
}
