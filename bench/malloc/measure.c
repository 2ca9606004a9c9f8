/*
 * The measured side of `quarry bench malloc`.
 *
 *   quarry-bench-child malloc SUBJECT probe
 *   quarry-bench-child malloc SUBJECT row ROW STEPS THREADS
 *   quarry-bench-child malloc SUBJECT spike ROW IDLE_NS
 *   quarry-bench-child malloc SUBJECT story before|after malloc|lifetimes SERIES PAUSE_NS
 *
 *   stdout of a row:    b ……………………………… e 1000000 52000000 …   numbers in the order of the struct
 *                       │ clock runs      │ clock has stopped
 *
 * Between the marks the parent watches the resident memory of this process, so that nothing here
 * does it. Rows of one size warm up before the first mark, with a 16th of their work; all others
 * begin cold, as programs do.
 *
 * Nothing is written to stdout by stdio before the last mark, and no table is allocated: malloc is
 * called by the workload alone, but for what libc and the start of threads call themselves.
 *
 * A child that hangs is killed by its own alarm.
 */
#include <bench/malloc/measure.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/child.h>
#include <bench/malloc/clock.h>
#include <bench/malloc/rows.h>
#include <bench/malloc/spike.h>
#include <bench/malloc/story.h>
#include <bench/malloc/subject.h>
#include <bench/perf_counter.h>

/* Longer than any measurement takes on a slow machine under valgrind. */
#define ALARM_SECONDS    600u
#define WARM_PART        16u
#define P999             9990u
#define STORY_SERIES_MAX UINT64_C(1000000)

static int wrong_line(void)
{
    (void)fputs("quarry-bench-child: malloc is run by `quarry bench malloc`; see its help\n",
                stderr);
    return 2;
}

static void write_mark(char mark)
{
    if (write(STDOUT_FILENO, &mark, 1) != 1) {
        bench_worker_die("nobody reads what is measured");
    }
}

/* ---- rows ----------------------------------------------------------------------------------- */

static struct bench_worker workers[BENCH_WORKERS_MAX];

static void init_workers(const struct bench_job *job)
{
    for (uint32_t i = 0; i < job->thread_count; i++) {
        bench_worker_init(&workers[i], i, job->row->sample_every);
    }
}

static void warm_up(const struct bench_job *job)
{
    struct bench_job less = *job;

    less.step_count = job->step_count / WARM_PART + 1;
    init_workers(&less);
    job->row->run(&less);
}

/* Adds up what the workers counted. `tick_ns`: nanoseconds in a tick. */
static void sum_up(const struct bench_job *job, double tick_ns, struct bench_malloc_sample *sample)
{
    static struct bench_histogram latency;

    for (uint32_t i = 0; i < job->thread_count; i++) {
        sample->operation_count += bench_worker_operations(&workers[i]);
        bench_histogram_merge(&latency, &workers[i].latency);
    }
    sample->p999_ns = (uint64_t)((double)bench_histogram_quantile(&latency, P999) * tick_ns);
}

static void measure(const struct bench_job *job, struct bench_malloc_sample *sample)
{
    if (job->row->group == BENCH_MICRO) {
        warm_up(job);
    }
    init_workers(job);
    struct bench_perf_counter counter = bench_perf_counter_open();
    uint64_t fault_count = bench_clock_faults();
    write_mark(BENCH_MARK_BEGIN);
    bench_perf_counter_start(&counter);
    uint64_t cpu_ns = bench_clock_cpu_ns();
    uint64_t wall_ns = os_monotonic_ns(os_real());
    uint64_t ticks = bench_ticks();
    job->row->run(job);
    ticks = bench_ticks() - ticks;
    sample->wall_ns = os_monotonic_ns(os_real()) - wall_ns;
    sample->cpu_ns = bench_clock_cpu_ns() - cpu_ns;
    sample->instruction_count = bench_perf_counter_close(&counter);
    write_mark(BENCH_MARK_END);
    sample->fault_count = bench_clock_faults() - fault_count;
    sample->peak_rss_bytes = bench_clock_peak_bytes();
    sum_up(job, ticks == 0 ? 0 : (double)sample->wall_ns / (double)ticks, sample);
}

static int child_row(char **argv)
{
    struct bench_malloc_sample sample = {0};
    struct bench_job job = {.row = bench_malloc_row_find(argv[0]), .worker = workers};
    uint64_t thread_count = 0;

    if (job.row == NULL || !bench_child_numbers(argv[1], &job.step_count, 1) ||
        !bench_child_numbers(argv[2], &thread_count, 1) || thread_count < 2 ||
        thread_count > BENCH_WORKERS_MAX) {
        return wrong_line();
    }
    job.thread_count = job.row->is_threaded ? (uint32_t)thread_count : 1;
    measure(&job, &sample);
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                 "\n",
                 sample.operation_count, sample.wall_ns, sample.cpu_ns, sample.instruction_count,
                 sample.p999_ns, sample.peak_rss_bytes, sample.fault_count);
    return 0;
}

/* ---- spikes and stories --------------------------------------------------------------------- */

static void mark_begin(void)
{
    write_mark(BENCH_MARK_BEGIN);
}

static int child_spike(char **argv)
{
    const struct bench_malloc_spike_row *row = bench_malloc_spike_find(argv[0]);
    struct bench_malloc_spike spike;
    uint64_t idle_ns = 0;

    if (row == NULL || !bench_child_numbers(argv[1], &idle_ns, 1)) {
        return wrong_line();
    }
    bench_malloc_spike_run(row, idle_ns, mark_begin, &spike);
    write_mark(BENCH_MARK_END);
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                 spike.object_count, spike.survivor_count, spike.full_rss_bytes, spike.fill_ns,
                 spike.free_ns, spike.idle_cpu_ns);
    return 0;
}

static int child_story(char **argv)
{
    struct bench_story_hour hour[BENCH_STORY_HOURS + 1];
    struct bench_story_options options = {.is_after = strcmp(argv[0], "after") == 0,
                                          .has_lifetimes = strcmp(argv[1], "lifetimes") == 0};

    if ((!options.is_after && strcmp(argv[0], "before") != 0) ||
        (!options.has_lifetimes && strcmp(argv[1], "malloc") != 0) ||
        !bench_child_numbers(argv[2], &options.series_count, 1) ||
        !bench_child_numbers(argv[3], &options.pause_ns, 1) || options.series_count == 0 ||
        options.series_count > STORY_SERIES_MAX) {
        return wrong_line();
    }
    write_mark(BENCH_MARK_BEGIN);
    bench_story_run(&options, hour);
    write_mark(BENCH_MARK_END);
    for (size_t i = 0; i <= BENCH_STORY_HOURS; i++) {
        (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", hour[i].live_bytes,
                     hour[i].resident_bytes, hour[i].page_bytes);
    }
    return 0;
}

int bench_malloc_child_main(int argc, char **argv)
{
    char path[4096];
    const struct bench_subject *subject = argc < 3 ? NULL : bench_malloc_subject_find(argv[1]);

    if (subject == NULL) {
        return wrong_line();
    }
    if (!bench_subject_is_in_force(subject, path, sizeof path)) {
        (void)fprintf(stderr, "quarry-bench-child: %s: malloc is in '%s'\n", subject->name, path);
        return BENCH_CHILD_ABSENT;
    }
    (void)alarm(ALARM_SECONDS);
    if (strcmp(argv[2], "row") == 0 && argc == 6) {
        return child_row(argv + 3);
    }
    if (strcmp(argv[2], "spike") == 0 && argc == 5) {
        return child_spike(argv + 3);
    }
    if (strcmp(argv[2], "story") == 0 && argc == 7) {
        return child_story(argv + 3);
    }
    return strcmp(argv[2], "probe") == 0 && argc == 3 ? 0 : wrong_line();
}
