/*
 * The measured side of `quarry bench slab`.
 *
 *   quarry-bench-child slab SUBJECT probe
 *   quarry-bench-child slab SUBJECT row ROW STEPS → the numbers of the sample, in its order
 *
 * SUBJECT is "quarry", whose place is a slab or an arena, or the malloc of bench/slab/subject.h
 * that is preloaded. A child that hangs is killed by its own alarm.
 */
#include <bench/slab/slab.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/child.h>
#include <bench/malloc/clock.h>
#include <bench/slab/rows.h>
#include <bench/slab/subject.h>

/* Longer than any measurement takes on a slow machine under valgrind. */
#define ALARM_SECONDS 600u

static int wrong_line(void)
{
    (void)fputs("quarry-bench-child: slab is run by `quarry bench slab`; see its help\n", stderr);
    return 2;
}

static int child_row(bool is_quarry, char **argv)
{
    struct bench_slab_job job = {.row = bench_slab_row_find(argv[0])};
    struct bench_slab_sample sample = {0};
    struct bench_place place;

    if (job.row == NULL || !bench_child_numbers(argv[1], &job.step_count, 1) ||
        job.step_count == 0 || (!is_quarry && job.row->kind == BENCH_SLAB_MOVES)) {
        return wrong_line();
    }
    bench_place_init(&place, is_quarry ? job.row->place : BENCH_PLACE_MALLOC,
                     job.row->kind == BENCH_SLAB_MOVES);
    job.place = &place;
    job.row->run(&job, &sample);
    bench_place_fini(&place);
    sample.peak_rss_bytes = bench_clock_peak_bytes();
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                 " %" PRIu64 "\n",
                 sample.operation_count, sample.time.wall_ns, sample.time.cpu_ns,
                 sample.cell_waste_ppm, sample.resident_waste_ppm, sample.read_count,
                 sample.lock_ns, sample.peak_rss_bytes);
    return 0;
}

int bench_slab_child_main(int argc, char **argv)
{
    char path[4096];
    size_t column = argc < 3 ? BENCH_SLAB_COLUMNS : bench_slab_column_find(argv[1]);

    if (column == BENCH_SLAB_COLUMNS) {
        return wrong_line();
    }
    const struct bench_subject *subject = bench_slab_column_subject(column);
    if (subject != NULL && !bench_subject_is_in_force(subject, path, sizeof path)) {
        (void)fprintf(stderr, "quarry-bench-child: %s: malloc is in '%s'\n", argv[1], path);
        return BENCH_CHILD_ABSENT;
    }
    (void)alarm(ALARM_SECONDS);
    if (strcmp(argv[2], "row") == 0 && argc == 5) {
        return child_row(subject == NULL, argv + 3);
    }
    return strcmp(argv[2], "probe") == 0 && argc == 3 ? 0 : wrong_line();
}
