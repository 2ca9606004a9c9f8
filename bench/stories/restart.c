/*
 * The story of the restart: a store of time series is started from a snapshot and runs for 36
 * simulated hours; what its process holds beyond what lives, hour by hour.
 *
 * The store, its hours and its snapshot are those of `quarry bench malloc --story restart`
 * (bench/malloc/story.c); here is the phase after the restart, in which a malloc shows what it made
 * of a snapshot that came in one order and dies in another.
 *
 * Two subjects at a time: they sleep more than they work, and memory is what is looked at.
 */
#include <bench/stories/story.h>

#include <math.h>

#include <base/base.h>

#include <bench/malloc/run.h>
#include <bench/malloc/subject.h>

#define SERIES       8000u
#define SERIES_QUICK 400u
#define PAUSE_NS     (150 * Q_MS_NS)
#define PAUSE_QUICK  (5 * Q_MS_NS)
#define TOGETHER     2u
/* The usual subjects, and Quarry with lifetimes as one more. */
#define TELLERS_MAX (BENCH_MALLOC_SUBJECTS + 1)

static const struct stories_column columns[] = {
    {"waste_mean_mib", "beyond what lives, mean, MiB", 1, true},
    {"waste_worst_mib", "worst hour, MiB", 1, true},
    {"waste_per_live_mean", "÷ live, mean", 3, true},
    {"live_end_mib", "live at the end, MiB", 1, false},
};

/* What is told, and which rows it makes. */
struct restart {
    size_t count;
    struct bench_malloc_teller teller[TELLERS_MAX];
    struct stories_row *row[TELLERS_MAX];
    enum stories_ink ink[TELLERS_MAX];
};

static void plan(struct restart *restart, const struct stories_options *options,
                 struct stories_result *result, size_t index, bool has_lifetimes)
{
    const struct bench_subject *subject = bench_malloc_subject_at(index);
    bool is_quarry = index == BENCH_QUARRY;
    struct stories_row *row =
        stories_row_add(result, has_lifetimes ? "quarry, lifetimes" : subject->name, is_quarry);
    uint64_t series_count = options->is_quick ? SERIES_QUICK : SERIES;

    if (!bench_malloc_run_probe(subject)) {
        row->absent_reason = "not installed";
        return;
    }
    restart->row[restart->count] = row;
    restart->ink[restart->count] = has_lifetimes ? STORIES_QUARRY
                                   : is_quarry   ? STORIES_QUARRY_TOO
                                                 : (enum stories_ink)(STORIES_PEER + index - 1);
    restart->teller[restart->count++] = (struct bench_malloc_teller){
        .subject = subject,
        .options = {.is_after = true,
                    .has_lifetimes = has_lifetimes,
                    .series_count = size_max_u64(series_count * options->percent / 100, 1),
                    .pause_ns = options->is_quick ? PAUSE_QUICK : PAUSE_NS},
    };
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (double)Q_MIB(1);
}

/* Of an hour; below 0 where the kernel counts less than lives, untouched pages. */
static double waste_mib(const struct bench_story_hour *hour)
{
    return mib(hour->resident_bytes) - mib(hour->live_bytes);
}

static void note_teller(struct stories_result *result, const struct bench_malloc_teller *teller,
                        struct stories_row *row, enum stories_ink ink)
{
    struct stories_line *line = stories_plot_line(&result->plot, row->name, ink);
    double sum = 0;
    double relative_sum = 0;
    double worst = -INFINITY;

    for (size_t i = 0; i <= BENCH_STORY_HOURS; i++) {
        const struct bench_story_hour *hour = &teller->hour[i];
        double waste = waste_mib(hour);
        stories_line_add(line, (double)i, fmax(waste, 0));
        sum += waste;
        relative_sum += hour->live_bytes > 0 ? waste / mib(hour->live_bytes) : 0;
        worst = fmax(worst, waste);
    }
    row->figure[0] = sum / (BENCH_STORY_HOURS + 1);
    row->figure[1] = worst;
    row->figure[2] = relative_sum / (BENCH_STORY_HOURS + 1);
    row->figure[3] = mib(teller->hour[BENCH_STORY_HOURS].live_bytes);
}

bool stories_restart(const struct stories_options *options, struct stories_result *result)
{
    static struct restart restart;
    bool is_told = true;

    restart = (struct restart){0};
    result->column = columns;
    result->column_count = sizeof columns / sizeof columns[0];
    result->plot.title = "A store restarted from a snapshot: memory held beyond what lives";
    result->plot.x_title = "simulated hours since the restart";
    result->plot.y_title = "resident − live, MiB";
    plan(&restart, options, result, BENCH_QUARRY, true);
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (bench_malloc_subject_is_usual(i)) {
            plan(&restart, options, result, i, false);
        }
    }
    for (size_t i = 0; i < restart.count; i += TOGETHER) {
        bench_malloc_run_stories(&restart.teller[i], size_min(TOGETHER, restart.count - i));
    }
    for (size_t i = 0; i < restart.count; i++) {
        if (restart.teller[i].has_failed) {
            restart.row[i]->absent_reason = "its measurement failed";
            is_told = false;
        } else {
            note_teller(result, &restart.teller[i], restart.row[i], restart.ink[i]);
        }
    }
    return is_told;
}
