/*
 * The table of the restart story, and its JSON.
 *
 *   waste, MiB     live MiB     quarry      glibc  …   lifetimes      pages
 *   hour 4             9.4        0.3        0.5             0.4        0.2
 *   …                                                  one process until the restart at hour 36
 *   hour 36           88.2        …
 *   restart           81.7        …                    another one: the snapshot has been read
 *   hour 40           88.0
 *   …
 *   waste ÷ live, mean and worst, before and after
 *   a lifetime per window ÷ best peer
 *
 * Waste is resident less live. Means are over hours with a full window or more: from hour 4 on, and
 * all after the restart. JSON has every hour.
 *
 * The store with a lifetime per window has two figures: "lifetimes" is resident less live, as for
 * everybody else, and alone compared with peers. "pages" is what its ledger says of the windows'
 * pages, less live: rounding and holes, without the heap's own structures and without pages that
 * are free but not given back. No peer has such a figure. Its worst is over all hours that have
 * something live, the first ones, which are mostly rounding, too.
 */
#include <bench/malloc/report.h>

#include <inttypes.h>
#include <string.h>

#include <base/base.h>

#define BENCH_NAME  "malloc"
#define ROW_BEFORE  "restart_before"
#define ROW_AFTER   "restart_after"
#define TABLE_EVERY 4u
/* Quarry's other store, in JSON. */
#define LIFETIMES_NAME "quarry, a lifetime per window"

/* Waste ÷ live over the hours of a phase. */
struct waste {
    double mean;
    double worst;
};

typedef int64_t waste_of(const struct bench_story_hour *hour);

static int64_t resident_waste(const struct bench_story_hour *hour)
{
    return (int64_t)hour->resident_bytes - (int64_t)hour->live_bytes;
}

static int64_t page_waste(const struct bench_story_hour *hour)
{
    return (int64_t)hour->page_bytes - (int64_t)hour->live_bytes;
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

/* `first`: the first hour of a phase that begins with nothing. */
static struct waste sum_up(const struct bench_malloc_teller *teller, waste_of *bytes_of,
                           size_t first)
{
    struct waste waste = {0, 0};

    first = teller->options.is_after ? 0 : first;
    for (size_t i = first; i <= BENCH_STORY_HOURS; i++) {
        const struct bench_story_hour *hour = &teller->hour[i];
        Q_ASSERT(hour->live_bytes > 0);
        double ratio = (double)bytes_of(hour) / (double)hour->live_bytes;
        waste.mean += ratio / (double)(BENCH_STORY_HOURS + 1 - first);
        waste.worst = ratio > waste.worst ? ratio : waste.worst;
    }
    return waste;
}

static struct waste resident_sum(const struct bench_malloc_teller *teller)
{
    return sum_up(teller, resident_waste, TABLE_EVERY);
}

static struct waste page_sum(const struct bench_malloc_teller *teller)
{
    return (struct waste){.mean = sum_up(teller, page_waste, TABLE_EVERY).mean,
                          .worst = sum_up(teller, page_waste, 1).worst};
}

/* A mean of nothing at all is 1e-6, for ratios' sake. */
static double mean_of(const struct bench_malloc_teller *teller)
{
    double mean = resident_sum(teller).mean;

    return mean > 1e-6 ? mean : 1e-6;
}

static struct bench_figures means_of(const struct bench_malloc_story *story, size_t phase)
{
    struct bench_figures figures = {{0}};

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (story->absent_reason[i] == NULL) {
            figures.value[i] = mean_of(&story->teller[i][phase]);
        }
    }
    return figures;
}

/* Likewise, with Quarry's lifetimes in the place of its malloc. */
static struct bench_figures lifetimes_means_of(const struct bench_malloc_story *story, size_t phase)
{
    struct bench_figures figures = means_of(story, phase);

    figures.value[BENCH_QUARRY] =
        story->lifetimes_reason == NULL ? mean_of(&story->lifetimes[phase]) : 0;
    return figures;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void pages_json(struct bench_json *json, const struct bench_story_hour *hour)
{
    bench_json_integer(json, "page_bytes", hour->page_bytes);
    bench_json_number(json, "page_waste_bytes", (double)page_waste(hour));
    if (hour->live_bytes > 0) {
        bench_json_number(json, "page_waste_per_live",
                          (double)page_waste(hour) / (double)hour->live_bytes);
    }
}

static void hour_json(const struct bench_malloc_report *report, const char *name,
                      const struct bench_malloc_teller *teller, size_t phase, size_t index)
{
    const struct bench_story_hour *hour = &teller->hour[index];
    struct bench_json json = bench_json_begin(report->file, BENCH_NAME, row_of(phase), name);

    bench_json_integer(&json, "hour", hour_of(phase, index));
    bench_json_integer(&json, "live_bytes", hour->live_bytes);
    bench_json_integer(&json, "resident_bytes", hour->resident_bytes);
    bench_json_number(&json, "waste_bytes", (double)resident_waste(hour));
    if (teller->options.has_lifetimes) {
        pages_json(&json, hour);
    }
    bench_json_end(&json);
}

static void phase_json(const struct bench_malloc_report *report, const char *name,
                       const struct bench_malloc_teller *teller, size_t phase, size_t subject,
                       const struct bench_figures *means)
{
    struct waste waste = resident_sum(teller);

    for (size_t i = 0; i <= BENCH_STORY_HOURS; i++) {
        hour_json(report, name, teller, phase, i);
    }
    struct bench_json json = bench_json_begin(report->file, BENCH_NAME, row_of(phase), name);
    bench_json_number(&json, "waste_per_live_mean", waste.mean);
    bench_json_number(&json, "waste_per_live_worst", waste.worst);
    if (teller->options.has_lifetimes) {
        struct waste pages = page_sum(teller);
        bench_json_number(&json, "page_waste_per_live_mean", pages.mean);
        bench_json_number(&json, "page_waste_per_live_worst", pages.worst);
    }
    if (teller->options.has_lifetimes) {
        bench_json_bool(&json, "is_reference", true); /* Quarry's too, and another program */
    } else {
        bench_json_text(&json, "ranked", "waste_per_live_mean");
    }
    bench_malloc_ratio_json(&json, means, subject, &bench_ratio_plain);
    bench_json_end(&json);
}

static void lifetimes_json(const struct bench_malloc_report *report,
                           const struct bench_malloc_story *story, size_t phase)
{
    struct bench_figures means = lifetimes_means_of(story, phase);

    if (story->lifetimes_reason == NULL) {
        phase_json(report, LIFETIMES_NAME, &story->lifetimes[phase], phase, BENCH_QUARRY, &means);
        return;
    }
    struct bench_json json =
        bench_json_begin(report->file, BENCH_NAME, row_of(phase), LIFETIMES_NAME);
    bench_absent_json(&json, story->lifetimes_reason);
    bench_json_end(&json);
}

static void story_json(const struct bench_malloc_report *report,
                       const struct bench_malloc_story *story)
{
    for (size_t phase = 0; phase < BENCH_STORY_PHASES; phase++) {
        struct bench_figures means = means_of(story, phase);
        for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
            if (story->absent_reason[i] != NULL) {
                bench_malloc_report_absent(report, row_of(phase), i, story->absent_reason[i]);
            } else if (report->subject[i].is_wanted) {
                phase_json(report, bench_malloc_subject_at(i)->name, &story->teller[i][phase],
                           phase, i, &means);
            }
        }
        lifetimes_json(report, story, phase);
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

/* What was live at an hour is the same for all; 0 when nobody was measured. */
static uint64_t live_bytes_at(const struct bench_malloc_story *story, size_t phase, size_t index)
{
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (story->absent_reason[i] == NULL) {
            return story->teller[i][phase].hour[index].live_bytes;
        }
    }
    return 0;
}

/* The cells of a line: of the subjects that are wanted, and two of Quarry's lifetimes. */
static void print_cells(const struct bench_malloc_report *report,
                        const struct bench_malloc_story *story,
                        const double figure[BENCH_MALLOC_SUBJECTS], double lifetimes, double pages)
{
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (report->subject[i].is_wanted) {
            bench_malloc_report_cell(report, story->absent_reason[i], figure[i]);
        }
    }
    bench_malloc_report_cell(report, story->lifetimes_reason, lifetimes);
    bench_malloc_report_cell(report, story->lifetimes_reason, pages);
}

static double mib(int64_t bytes)
{
    return (double)bytes / (double)Q_MIB(1);
}

static void print_hour(const struct bench_malloc_report *report,
                       const struct bench_malloc_story *story, size_t phase, size_t index)
{
    const struct bench_story_hour *hour = &story->lifetimes[phase].hour[index];
    double figure[BENCH_MALLOC_SUBJECTS];
    char name[24] = "restart";

    if (phase == 0 || index > 0) {
        (void)snprintf(name, sizeof name, "hour %zu", hour_of(phase, index));
    }
    (void)fprintf(report->file, "%-23s %13.1f", name,
                  mib((int64_t)live_bytes_at(story, phase, index)));
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        figure[i] = mib(resident_waste(&story->teller[i][phase].hour[index]));
    }
    print_cells(report, story, figure, mib(resident_waste(hour)), mib(page_waste(hour)));
    (void)fputc('\n', report->file);
}

/* Of a phase that was told; else nothing. */
static struct waste known_sum(const char *absent_reason, const struct bench_malloc_teller *teller,
                              struct waste (*sum)(const struct bench_malloc_teller *teller))
{
    return absent_reason == NULL ? sum(teller) : (struct waste){0, 0};
}

static void print_waste(const struct bench_malloc_report *report,
                        const struct bench_malloc_story *story, size_t phase)
{
    struct bench_figures means = means_of(story, phase);
    const struct bench_malloc_teller *own = &story->lifetimes[phase];
    struct waste lifetimes = known_sum(story->lifetimes_reason, own, resident_sum);
    struct waste pages = known_sum(story->lifetimes_reason, own, page_sum);
    double worst[BENCH_MALLOC_SUBJECTS];

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        worst[i] = known_sum(story->absent_reason[i], &story->teller[i][phase], resident_sum).worst;
    }
    (void)fprintf(report->file, "%-23s %-13s",
                  phase == 0 ? "waste ÷ live, before" : "waste ÷ live, after", " mean");
    print_cells(report, story, means.value, lifetimes.mean, pages.mean);
    bench_ratio_print(report->file, bench_figures_ratio(&means));
    (void)fprintf(report->file, "\n%-23s %-13s", "", "worst");
    print_cells(report, story, worst, lifetimes.worst, pages.worst);
    (void)fputc('\n', report->file);
}

static void print_lifetimes(const struct bench_malloc_report *report,
                            const struct bench_malloc_story *story)
{
    (void)fputs("lifetimes: quarry, a lifetime per window; pages: of these, in use beyond live by "
                "the ledger\n",
                report->file);
    if (story->lifetimes_reason != NULL) {
        return;
    }
    for (size_t phase = 0; phase < BENCH_STORY_PHASES; phase++) {
        struct bench_figures means = lifetimes_means_of(story, phase);
        (void)fprintf(report->file, "lifetimes ÷ best peer, %s", phase == 0 ? "before" : "after ");
        bench_ratio_print(report->file, bench_figures_ratio(&means));
        (void)fputc('\n', report->file);
    }
}

static void story_text(const struct bench_malloc_report *report,
                       const struct bench_malloc_story *story)
{
    (void)fputs("\nresident beyond live, MiB; a restart from a snapshot at hour 36", report->file);
    bench_malloc_report_head(report, "time           live MiB");
    (void)fprintf(report->file, " %10s %10s\n", "lifetimes", "pages");
    for (size_t phase = 0; phase < BENCH_STORY_PHASES; phase++) {
        for (size_t i = phase == 0 ? TABLE_EVERY : 0; i <= BENCH_STORY_HOURS; i += TABLE_EVERY) {
            print_hour(report, story, phase, i);
        }
    }
    print_waste(report, story, 0);
    print_waste(report, story, 1);
    print_lifetimes(report, story);
}

void bench_malloc_report_story(struct bench_malloc_report *report,
                               const struct bench_malloc_story *story)
{
    if (report->is_json) {
        story_json(report, story);
    } else {
        story_text(report, story);
    }
}
