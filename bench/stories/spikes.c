/*
 * The story of spikes: memory that a malloc holds between bursts, and what giving it back costs.
 *
 *   quarry   │█▁▁▁▁▁│█▁▁▁▁▁│█…        children, all at once, their bursts one after the other so
 *   glibc     │█▁▁▁▁▁│█▁▁▁▁▁│█…       that none works while another does
 *
 * A burst every 4 minutes is what a server sees that renders, compacts or reloads. A sitting has no
 * half hour for it: periods are compressed to 12 s, which is hard on those who wait before they
 * give back; --seconds 240 is the real thing.
 */
#include <bench/stories/story.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <base/base.h>

#include <bench/child.h>
#include <bench/malloc/run.h>
#include <bench/malloc/subject.h>
#include <bench/stories/looks.h>

#define BURSTS         5u
#define BURSTS_QUICK   2u
#define BYTES          Q_MIB(192)
#define BYTES_QUICK    Q_MIB(8)
#define PERIOD_SECONDS 12u
#define PERIOD_QUICK   1u
#define HEAD_NUMBERS   2u /* pairs, their nanoseconds of CPU */
#define NUMBER_BYTES   21u

static const struct stories_column columns[] = {
    {"rss_mean_mib", "resident, mean over time, MiB", 1, true},
    {"rss_idle_mib", "before the next burst, mean, MiB", 1, true},
    {"rss_peak_mib", "peak, MiB", 1, true},
    {"cpu_ns_per_pair", "CPU of a malloc with its free, ns", 1, true},
};

/* The sitting. */
struct spikes {
    uint64_t burst_count, period_ms, bytes;
    const char *absent_reason[BENCH_MALLOC_SUBJECTS];
    struct bench_child child[BENCH_MALLOC_SUBJECTS];
};

static void start(struct spikes *spikes, size_t index)
{
    const struct bench_subject *subject = bench_malloc_subject_at(index);
    char number[4][NUMBER_BYTES];
    uint64_t delay_ms = spikes->period_ms * index / BENCH_MALLOC_SUBJECTS;
    uint64_t given[] = {spikes->burst_count, spikes->period_ms, spikes->bytes, delay_ms};

    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(number[i], sizeof number[i], "%" PRIu64, given[i]);
    }
    const char *argv[] = {bench_child_program(),
                          "stories",
                          "bursts",
                          subject->name,
                          number[0],
                          number[1],
                          number[2],
                          number[3],
                          NULL};
    if (!bench_malloc_run_probe(subject)) {
        spikes->absent_reason[index] = "not installed";
    } else if (!bench_child_start(argv, bench_malloc_subject_preload(subject), false,
                                  &spikes->child[index])) {
        spikes->absent_reason[index] = "could not be started";
    }
}

/* The mean of what is left at the end of each period. */
static double idle_mib(const struct stories_looks *looks, const struct spikes *spikes)
{
    double sum = 0;

    for (uint64_t burst = 1; burst <= spikes->burst_count; burst++) {
        double end = (double)(burst * spikes->period_ms) / 1000;
        double last = 0;
        for (size_t i = 0; i < looks->count && looks->seconds[i] < end + 0.005; i++) {
            last = looks->mib[i];
        }
        sum += last;
    }
    return sum / (double)spikes->burst_count;
}

static void note_subject(struct stories_result *result, const struct spikes *spikes,
                         const struct stories_looks *looks, size_t index)
{
    const char *name = bench_malloc_subject_at(index)->name;
    enum stories_ink ink =
        index == BENCH_QUARRY ? STORIES_QUARRY : (enum stories_ink)(STORIES_PEER + index - 1);
    struct stories_row *row = &result->row[index];
    struct stories_line *line = stories_plot_line(&result->plot, name, ink);

    row->figure[0] = stories_looks_mean_mib(looks);
    row->figure[1] = idle_mib(looks, spikes);
    row->figure[2] = stories_looks_peak_mib(looks);
    row->figure[3] = (double)looks->head[1] / (double)looks->head[0];
    for (size_t i = 0; i < looks->count; i++) {
        stories_line_add(line, looks->seconds[i], looks->mib[i]);
    }
}

/* Waits for a subject and takes what it says. Returns: whether that makes sense. */
static bool finish(struct spikes *spikes, struct stories_result *result, size_t index)
{
    static struct stories_looks looks;
    struct stories_row *row =
        stories_row_add(result, bench_malloc_subject_at(index)->name, index == BENCH_QUARRY);
    struct rusage usage;

    row->absent_reason = spikes->absent_reason[index];
    if (row->absent_reason != NULL) {
        return true;
    }
    bool is_read = stories_looks_read(spikes->child[index].fd, HEAD_NUMBERS, &looks);
    if (bench_child_wait(&spikes->child[index], &usage) != 0 || !is_read || looks.head[0] == 0) {
        row->absent_reason = "its measurement failed";
        return false;
    }
    note_subject(result, spikes, &looks, index);
    return true;
}

bool stories_spikes(const struct stories_options *options, struct stories_result *result)
{
    static struct spikes spikes;
    uint64_t usual_seconds = options->is_quick ? PERIOD_QUICK : PERIOD_SECONDS;
    bool is_told = true;

    spikes = (struct spikes){
        .burst_count = options->is_quick ? BURSTS_QUICK : BURSTS,
        .period_ms = 1000 * (options->seconds != 0 ? options->seconds : usual_seconds),
        .bytes = (options->is_quick ? BYTES_QUICK : BYTES) * options->percent / 100,
    };
    spikes.bytes = size_max_u64(spikes.bytes, BYTES_QUICK);
    result->column = columns;
    result->column_count = sizeof columns / sizeof columns[0];
    result->plot.title = "Resident memory through bursts that keep 2 % of what they fill";
    result->plot.x_title = "time, seconds";
    result->plot.y_title = "resident, MiB";
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        start(&spikes, i);
    }
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        is_told = finish(&spikes, result, i) && is_told;
    }
    stories_note(result,
                 "%" PRIu64 " bursts of %" PRIu64 " MiB in objects of 16 to 1,039 bytes, one every "
                 "%.0f s, which stands for 4 minutes; a fiftieth survives each, scattered.",
                 spikes.burst_count, spikes.bytes >> 20, (double)spikes.period_ms / 1000);
    return is_told;
}
