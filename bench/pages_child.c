/*
 * What passes between `quarry bench pages` and its children.
 *
 *   quarry-bench-child pages SUBJECT probe
 *   quarry-bench-child pages SUBJECT row ROW PAIRS TARGET_NS  → pairs wall_ns cpu_ns instructions
 *   quarry-bench-child pages SUBJECT spike BYTES SECONDS      → full_rss fill_ns free_ns, and for
 *                                                               each point its fields in order
 *
 * Numbers in decimal on stdout. Both sides are the same program, so the form has no version. A
 * person may run such a line too, under perf or a debugger, with LD_PRELOAD set by hand; it is not
 * in the help because nothing about it is promised.
 *
 * A child that hangs is killed by its own alarm, and fails.
 */
#include <bench/pages_child.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/callgrind.h>
#include <bench/child.h>

/* Longer than any measurement takes on a slow machine under valgrind. */
#define ALARM_SECONDS 600u
/* "18446744073709551615" and its NUL. */
#define NUMBER_BYTES 21u

/* ---- the child ------------------------------------------------------------------------------ */

static int wrong_line(void)
{
    (void)fputs("quarry-bench-child: pages is run by `quarry bench pages`; see its help\n", stderr);
    return 2;
}

static int child_row(const struct bench_subject *subject, char **argv)
{
    const struct bench_row *row = bench_row_find(argv[0]);
    struct bench_amount amount;

    if (row == NULL || !bench_child_numbers(argv[1], &amount.pair_count, 1) ||
        !bench_child_numbers(argv[2], &amount.target_ns, 1)) {
        return wrong_line();
    }
    struct bench_sample sample = bench_row_measure(row, subject, amount);
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", sample.pair_count,
                 sample.wall_ns, sample.cpu_ns, sample.instruction_count);
    return 0;
}

static int child_spike(const struct bench_subject *subject, char **argv)
{
    uint64_t bytes = 0;
    uint64_t seconds = 0;
    struct bench_spike spike;

    if (subject->kind == BENCH_MMAP || !bench_child_numbers(argv[0], &bytes, 1) ||
        !bench_child_numbers(argv[1], &seconds, 1)) {
        return wrong_line();
    }
    bench_spike_measure(subject, bytes, seconds, &spike);
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", spike.full_rss_bytes, spike.fill_ns,
                 spike.free_ns);
    for (size_t i = 0; i < spike.point_count; i++) {
        const struct bench_spike_point *point = &spike.point[i];
        (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                     " %" PRIu64 "\n",
                     point->at_seconds, point->rss_bytes, point->wall_ns, point->cpu_ns,
                     point->committed_bytes, point->peak_bytes, point->limit_bytes);
    }
    return 0;
}

int bench_pages_child_main(int argc, char **argv)
{
    char path[4096];
    const struct bench_subject *subject = argc < 3 ? NULL : bench_subject_find(argv[1]);

    if (subject == NULL) {
        return wrong_line();
    }
    if (!bench_subject_is_in_force(subject, path, sizeof path)) {
        (void)fprintf(stderr, "quarry bench: %s: malloc is in '%s'\n", subject->name, path);
        return BENCH_CHILD_ABSENT;
    }
    (void)alarm(ALARM_SECONDS);
    if (strcmp(argv[2], "row") == 0 && argc == 6) {
        return child_row(subject, argv + 3);
    }
    if (strcmp(argv[2], "spike") == 0 && argc == 5) {
        return child_spike(subject, argv + 3);
    }
    return strcmp(argv[2], "probe") == 0 && argc == 3 ? 0 : wrong_line();
}

/* ---- the parent ----------------------------------------------------------------------------- */

static const char *number_text(uint64_t number, char text[NUMBER_BYTES])
{
    (void)snprintf(text, NUMBER_BYTES, "%" PRIu64, number);
    return text;
}

bool bench_child_probe(const struct bench_subject *subject)
{
    const char *argv[] = {bench_child_program(), "pages", subject->name, "probe", NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    return bench_child_run(argv, subject->preload, true, output) == 0;
}

bool bench_child_sample(const struct bench_subject *subject, const struct bench_row *row,
                        struct bench_amount amount, struct bench_sample *ret_sample)
{
    char pairs[NUMBER_BYTES];
    char target[NUMBER_BYTES];
    const char *argv[] = {bench_child_program(),
                          "pages",
                          subject->name,
                          "row",
                          row->name,
                          number_text(amount.pair_count, pairs),
                          number_text(amount.target_ns, target),
                          NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t numbers[4];

    if (bench_child_run(argv, subject->preload, false, output) != 0 ||
        !bench_child_numbers(output, numbers, 4) || numbers[0] == 0) {
        return false;
    }
    *ret_sample = (struct bench_sample){numbers[0], numbers[1], numbers[2], numbers[3]};
    return true;
}

bool bench_child_spike(const struct bench_subject *subject, uint64_t bytes, uint64_t seconds,
                       struct bench_spike *ret_spike)
{
    char size[NUMBER_BYTES];
    char duration[NUMBER_BYTES];
    const char *argv[] = {
        bench_child_program(),          "pages", subject->name, "spike", number_text(bytes, size),
        number_text(seconds, duration), NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t numbers[BENCH_SPIKE_HEAD_NUMBERS + BENCH_SPIKE_POINTS_MAX * BENCH_SPIKE_POINT_NUMBERS];
    size_t point_count = bench_spike_point_count(seconds);

    if (bench_child_run(argv, subject->preload, false, output) != 0 ||
        !bench_child_numbers(output, numbers,
                             BENCH_SPIKE_HEAD_NUMBERS + point_count * BENCH_SPIKE_POINT_NUMBERS)) {
        return false;
    }
    *ret_spike = (struct bench_spike){numbers[0], numbers[1], numbers[2], point_count, {{0}}};
    for (size_t i = 0; i < point_count; i++) {
        const uint64_t *n = &numbers[BENCH_SPIKE_HEAD_NUMBERS + i * BENCH_SPIKE_POINT_NUMBERS];
        ret_spike->point[i] = (struct bench_spike_point){n[0], n[1], n[2], n[3], n[4], n[5], n[6]};
    }
    return true;
}

bool bench_child_count(const struct bench_subject *subject, const struct bench_row *row,
                       uint64_t pair_count, uint64_t *ret_instruction_count)
{
    char pairs[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    const char *argv[] = {bench_child_program(),          "pages", subject->name, "row", row->name,
                          number_text(pair_count, pairs), "0",     NULL};

    return bench_child_callgrind(argv, subject->preload, output, ret_instruction_count);
}
