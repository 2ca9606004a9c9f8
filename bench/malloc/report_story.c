/*
 * The table of the restart story, and its JSON.
 *
 *   waste, MiB     live MiB     quarry      glibc  …
 *   hour 4             9.4        0.3        0.5
 *   …                                                  one process until the restart at hour 36
 *   hour 36           88.2        …
 *   restart           81.7        …                    another one: the snapshot has been read
 *   hour 40           88.0
 *   …
 *   waste ÷ live, mean and worst, before and after
 *
 * Waste is resident less live. Means are over hours with a full window or more: from hour 4 on, and
 * all after the restart. JSON has every hour.
 */
#include <bench/malloc/report.h>

#include <inttypes.h>
#include <string.h>

#include <base/base.h>

#define BENCH_NAME  "malloc"
#define ROW_BEFORE  "restart_before"
#define ROW_AFTER   "restart_after"
#define TABLE_EVERY 4u

/* Waste ÷ live over the hours of a phase. */
struct waste {
    double mean;
    double worst;
};

static int64_t waste_bytes(const struct bench_story_hour *hour)
{
    return (int64_t)hour->resident_bytes - (int64_t)hour->live_bytes;
}

static const char *row_of(size_t phase)
{
    return phase == 0 ? ROW_BEFORE : ROW_AFTER;
}

/* Hours are counted through both phases. */
static size_t hour_of(size_t phase, size_t index)
{
    return phase * BENCH_STORY_HOURS + index;
}

static struct waste sum_up(const struct bench_malloc_teller *teller)
{
    struct waste waste = {0, 0};
    size_t first = teller->options.is_after ? 0 : TABLE_EVERY;

    for (size_t i = first; i <= BENCH_STORY_HOURS; i++) {
        const struct bench_story_hour *hour = &teller->hour[i];
        Q_ASSERT(hour->live_bytes > 0);
        double ratio = (double)waste_bytes(hour) / (double)hour->live_bytes;
        waste.mean += ratio / (double)(BENCH_STORY_HOURS + 1 - first);
        waste.worst = ratio > waste.worst ? ratio : waste.worst;
    }
    return waste;
}

/* Means of a phase; a mean of nothing at all is 1e-6, for ratios' sake. */
static struct bench_figures means_of(struct bench_malloc_teller (*teller)[2],
                                     const char *const *absent_reason, size_t phase)
{
    struct bench_figures figures = {{0}};

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (absent_reason[i] == NULL) {
            double mean = sum_up(&teller[i][phase]).mean;
            figures.value[i] = mean > 1e-6 ? mean : 1e-6;
        }
    }
    return figures;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void hour_json(const struct bench_malloc_report *report, size_t subject, size_t phase,
                      size_t index, const struct bench_story_hour *hour)
{
    struct bench_json json = bench_json_begin(report->file, BENCH_NAME, row_of(phase),
                                              bench_malloc_subject_at(subject)->name);

    bench_json_integer(&json, "hour", hour_of(phase, index));
    bench_json_integer(&json, "live_bytes", hour->live_bytes);
    bench_json_integer(&json, "resident_bytes", hour->resident_bytes);
    bench_json_number(&json, "waste_bytes", (double)waste_bytes(hour));
    bench_json_end(&json);
}

static void phase_json(const struct bench_malloc_report *report, size_t subject,
                       const struct bench_malloc_teller *teller, size_t phase,
                       const struct bench_figures *means)
{
    struct waste waste = sum_up(teller);

    for (size_t i = 0; i <= BENCH_STORY_HOURS; i++) {
        hour_json(report, subject, phase, i, &teller->hour[i]);
    }
    struct bench_json json = bench_json_begin(report->file, BENCH_NAME, row_of(phase),
                                              bench_malloc_subject_at(subject)->name);
    bench_json_number(&json, "waste_per_live_mean", waste.mean);
    bench_json_number(&json, "waste_per_live_worst", waste.worst);
    bench_malloc_ratio_json(&json, means, subject, &bench_ratio_plain);
    bench_json_end(&json);
}

static void story_json(const struct bench_malloc_report *report,
                       struct bench_malloc_teller (*teller)[2], const char *const *absent_reason)
{
    for (size_t phase = 0; phase < 2; phase++) {
        struct bench_figures means = means_of(teller, absent_reason, phase);
        for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
            if (absent_reason[i] != NULL) {
                bench_malloc_report_absent(report, row_of(phase), i, absent_reason[i]);
            } else if (report->subject[i].is_wanted) {
                phase_json(report, i, &teller[i][phase], phase, &means);
            }
        }
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

/* What was live at an hour is the same for all; 0 when nobody was measured. */
static uint64_t live_bytes_at(struct bench_malloc_teller (*teller)[2],
                              const char *const *absent_reason, size_t phase, size_t index)
{
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (absent_reason[i] == NULL) {
            return teller[i][phase].hour[index].live_bytes;
        }
    }
    return 0;
}

static void print_hour(const struct bench_malloc_report *report,
                       struct bench_malloc_teller (*teller)[2], const char *const *absent_reason,
                       size_t phase, size_t index)
{
    char name[24] = "restart";

    if (phase == 0 || index > 0) {
        (void)snprintf(name, sizeof name, "hour %zu", hour_of(phase, index));
    }
    (void)fprintf(report->file, "%-23s %13.1f", name,
                  (double)live_bytes_at(teller, absent_reason, phase, index) / (double)Q_MIB(1));
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (report->subject[i].is_wanted) {
            const struct bench_story_hour *hour = &teller[i][phase].hour[index];
            bench_malloc_report_cell(report, absent_reason[i],
                                     (double)waste_bytes(hour) / (double)Q_MIB(1));
        }
    }
    (void)fputc('\n', report->file);
}

static void print_waste(const struct bench_malloc_report *report,
                        struct bench_malloc_teller (*teller)[2], const char *const *absent_reason,
                        size_t phase)
{
    struct bench_figures means = means_of(teller, absent_reason, phase);

    (void)fprintf(report->file, "%-23s %-13s",
                  phase == 0 ? "waste ÷ live, before" : "waste ÷ live, after", " mean");
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (report->subject[i].is_wanted) {
            bench_malloc_report_cell(report, absent_reason[i], means.value[i]);
        }
    }
    bench_ratio_print(report->file, bench_figures_ratio(&means));
    (void)fprintf(report->file, "\n%-23s %-13s", "", "worst");
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (report->subject[i].is_wanted) {
            bench_malloc_report_cell(report, absent_reason[i],
                                     absent_reason[i] == NULL ? sum_up(&teller[i][phase]).worst
                                                              : 0);
        }
    }
    (void)fputc('\n', report->file);
}

static void story_text(const struct bench_malloc_report *report,
                       struct bench_malloc_teller (*teller)[2], const char *const *absent_reason)
{
    (void)fputs("\nresident beyond live, MiB; a restart from a snapshot at hour 36", report->file);
    bench_malloc_report_head(report, "time           live MiB");
    (void)fputc('\n', report->file);
    for (size_t phase = 0; phase < 2; phase++) {
        for (size_t i = phase == 0 ? TABLE_EVERY : 0; i <= BENCH_STORY_HOURS; i += TABLE_EVERY) {
            print_hour(report, teller, absent_reason, phase, i);
        }
    }
    print_waste(report, teller, absent_reason, 0);
    print_waste(report, teller, absent_reason, 1);
}

void bench_malloc_report_story(struct bench_malloc_report *report,
                               struct bench_malloc_teller (*teller)[2],
                               const char *const *absent_reason)
{
    if (report->is_json) {
        story_json(report, teller, absent_reason);
    } else {
        story_text(report, teller, absent_reason);
    }
}
