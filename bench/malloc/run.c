/*
 * Command lines for children, and the numbers they answer with (measure.c has the form).
 */
#include <bench/malloc/run.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <base/base.h>

#include <bench/callgrind.h>
#include <bench/malloc/subject.h>

/* "18446744073709551615" and its NUL. */
#define NUMBER_BYTES 21u
#define TOGETHER_MAX 48u
/* The longer of two counted runs has so many times the steps of the shorter one. */
#define COUNT_LONGER 3u
/* A spike's process stays for so much longer than it is watched, so that the last point is seen. */
#define LINGER_NS (200 * Q_MS_NS)

static const char *number_text(uint64_t number, char text[NUMBER_BYTES])
{
    (void)snprintf(text, NUMBER_BYTES, "%" PRIu64, number);
    return text;
}

bool bench_malloc_run_probe(const struct bench_subject *subject)
{
    const char *argv[] = {bench_child_program(), "malloc", subject->name, "probe", NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    return bench_child_run(argv, bench_malloc_subject_preload(subject), true, output) == 0;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static bool read_sample(const char *text, struct bench_malloc_sample *ret_sample)
{
    uint64_t n[BENCH_MALLOC_SAMPLE_NUMBERS];

    if (!bench_child_numbers(text, n, BENCH_MALLOC_SAMPLE_NUMBERS) || n[0] == 0 || n[1] == 0) {
        return false;
    }
    *ret_sample = (struct bench_malloc_sample){n[0], n[1], n[2], n[3], n[4], n[5], n[6]};
    return true;
}

bool bench_malloc_run_row(const struct bench_subject *subject, const struct bench_malloc_row *row,
                          uint64_t step_count, uint32_t thread_count,
                          struct bench_malloc_round *ret_round)
{
    static struct bench_watch watch;
    char steps[NUMBER_BYTES];
    char threads[NUMBER_BYTES];
    const char *argv[] = {bench_child_program(),
                          "malloc",
                          subject->name,
                          "row",
                          row->name,
                          number_text(step_count, steps),
                          number_text(thread_count, threads),
                          NULL};

    if (!bench_watch_start(&watch, argv, bench_malloc_subject_preload(subject))) {
        return false;
    }
    while (bench_watch_step(&watch, 1)) {
    }
    bool is_done = bench_watch_finish(&watch) == 0 && watch.has_ended &&
                   read_sample(watch.output, &ret_round->sample);
    ret_round->rss_byte_ns = watch.byte_ns;
    return is_done;
}

/* ---- instructions --------------------------------------------------------------------------- */

/* All instructions of a child, and its operations. */
static bool count_once(const struct bench_subject *subject, const struct bench_malloc_row *row,
                       uint64_t step_count, uint64_t *ret_instructions, uint64_t *ret_operations)
{
    char steps[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    const char *argv[] = {bench_child_program(),          "malloc", subject->name, "row", row->name,
                          number_text(step_count, steps), "2",      NULL};
    struct bench_malloc_sample sample;

    if (!bench_child_callgrind(argv, bench_malloc_subject_preload(subject), output,
                               ret_instructions) ||
        strncmp(output, "be", 2) != 0 || !read_sample(output + 2, &sample)) {
        return false;
    }
    *ret_operations = sample.operation_count;
    return true;
}

bool bench_malloc_run_count(const struct bench_subject *subject, const struct bench_malloc_row *row,
                            double *ret_instructions)
{
    uint64_t instructions[2];
    uint64_t operations[2];

    Q_ASSERT(row->count_steps > 0);
    if (!count_once(subject, row, row->count_steps, &instructions[0], &operations[0]) ||
        !count_once(subject, row, COUNT_LONGER * row->count_steps, &instructions[1],
                    &operations[1]) ||
        instructions[1] <= instructions[0] || operations[1] <= operations[0]) {
        return false;
    }
    *ret_instructions =
        (double)(instructions[1] - instructions[0]) / (double)(operations[1] - operations[0]);
    return true;
}

/* ---- spikes --------------------------------------------------------------------------------- */

static void read_idle(const struct bench_watch *watch, uint64_t seconds,
                      struct bench_malloc_idler *idler)
{
    uint64_t n[BENCH_MALLOC_SPIKE_NUMBERS];

    idler->idle.point_count = bench_watch_point_count(seconds);
    idler->has_failed = idler->has_failed ||
                        !bench_child_numbers(watch->output, n, BENCH_MALLOC_SPIKE_NUMBERS) ||
                        watch->point_count < idler->idle.point_count;
    if (!idler->has_failed) {
        idler->idle.spike = (struct bench_malloc_spike){n[0], n[1], n[2], n[3], n[4], n[5]};
        idler->idle.rss_byte_ns = watch->byte_ns;
        memcpy(idler->idle.point_bytes, watch->point_bytes, sizeof watch->point_bytes);
    }
}

static bool start_spike(struct bench_watch *watch, const struct bench_malloc_idler *idler,
                        uint64_t seconds)
{
    char idle_ns[NUMBER_BYTES];
    const char *argv[] = {bench_child_program(),
                          "malloc",
                          idler->subject->name,
                          "spike",
                          idler->row->name,
                          number_text(seconds * Q_SECOND_NS + LINGER_NS, idle_ns),
                          NULL};

    return bench_watch_start(watch, argv, bench_malloc_subject_preload(idler->subject));
}

void bench_malloc_run_spikes(struct bench_malloc_idler *idler, size_t count, uint64_t seconds)
{
    static struct bench_watch watch[TOGETHER_MAX];
    size_t started = 0;

    Q_ASSERT(count <= TOGETHER_MAX);
    while (started < count) {
        struct bench_watch *latest = &watch[started];
        idler[started].has_failed = !start_spike(latest, &idler[started], seconds);
        latest->is_closed = idler[started].has_failed;
        started++;
        while (!latest->has_begun && !latest->is_closed) {
            (void)bench_watch_step(watch, started);
        }
    }
    while (bench_watch_step(watch, started)) {
    }
    for (size_t i = 0; i < count; i++) {
        if (!idler[i].has_failed) {
            idler[i].has_failed = bench_watch_finish(&watch[i]) != 0;
            read_idle(&watch[i], seconds, &idler[i]);
        }
    }
}

/* ---- stories -------------------------------------------------------------------------------- */

static bool start_story(struct bench_watch *watch, const struct bench_malloc_teller *teller)
{
    char series[NUMBER_BYTES];
    char pause_ns[NUMBER_BYTES];
    const char *argv[] = {bench_child_program(),
                          "malloc",
                          teller->subject->name,
                          "story",
                          teller->options.is_after ? "after" : "before",
                          teller->options.has_lifetimes ? "lifetimes" : "malloc",
                          number_text(teller->options.series_count, series),
                          number_text(teller->options.pause_ns, pause_ns),
                          NULL};

    return bench_watch_start(watch, argv, bench_malloc_subject_preload(teller->subject));
}

static bool read_hours(const char *text, struct bench_story_hour *hour)
{
    uint64_t n[3 * (BENCH_STORY_HOURS + 1)];

    if (!bench_child_numbers(text, n, sizeof n / sizeof n[0])) {
        return false;
    }
    for (size_t i = 0; i <= BENCH_STORY_HOURS; i++) {
        hour[i] = (struct bench_story_hour){n[3 * i], n[3 * i + 1], n[3 * i + 2]};
    }
    return true;
}

void bench_malloc_run_stories(struct bench_malloc_teller *teller, size_t count)
{
    static struct bench_watch watch[TOGETHER_MAX];

    Q_ASSERT(count <= TOGETHER_MAX);
    for (size_t i = 0; i < count; i++) {
        teller[i].has_failed = !start_story(&watch[i], &teller[i]);
        watch[i].is_closed = teller[i].has_failed;
    }
    while (bench_watch_step(watch, count)) {
    }
    for (size_t i = 0; i < count; i++) {
        if (!teller[i].has_failed) {
            bool is_done = bench_watch_finish(&watch[i]) == 0;
            teller[i].has_failed = !is_done || !read_hours(watch[i].output, teller[i].hour);
        }
    }
}
