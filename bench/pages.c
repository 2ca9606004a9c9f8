/*
 * `quarry bench pages`: the sitting.
 *
 *   for each row                     all of a row's figures lie close together in time
 *     for each round                 7 of them
 *       for each subject             beginning with another one each round
 *         one child                  warms up, measures, writes four numbers
 *     median, minimum and spread over the rounds of each subject
 *
 * Whatever slows the machine for a while (another process, its temperature, the host it runs on)
 * falls on all subjects of a row alike, and no subject is always the first after the pause.
 *
 * Spikes come last and one child after the other: an idle process beside them would be idle in
 * vain if another one filled 2 GiB.
 *
 * Instructions are counted twice for each row and subject, with different numbers of pairs, and the
 * difference is divided by the difference of the numbers: the start of the process, the making of
 * the heap and the warming up are the same in both and fall out. What remains of the noise is a
 * scavenger that wakes in one and not in the other.
 *
 * A child that fails makes its row and subject "absent", and the exit code 1.
 */
#include <bench/pages.h>

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <base/base.h>

#include <bench/callgrind.h>
#include <bench/options.h>
#include <bench/pages_child.h>
#include <bench/progress.h>
#include <bench/report.h>

/* Pairs of the two counted runs. */
#define COUNT_PAIRS_SHORT 1000u
#define COUNT_PAIRS_LONG  21000u

struct sitting {
    struct bench_options options;
    struct bench_report report;
    struct bench_result result[BENCH_SUBJECT_COUNT]; /* of the row at hand */
    bool has_failed;
};

static void find_subjects(struct sitting *sitting);
static void measure_rows(struct sitting *sitting);
static void count_rows(struct sitting *sitting);
static void measure_spikes(struct sitting *sitting);

int bench_pages_main(int argc, char **argv)
{
    static struct sitting sitting;
    struct quarry_error error = {0};

    if (bench_options_parse(argc, argv, &sitting.options, &error) != QUARRY_OK) {
        (void)fprintf(stderr, "quarry bench pages: %s; see --help\n", error.text);
        return 2;
    }
    if (sitting.options.is_help) {
        bench_options_help(stdout);
        return 0;
    }
    sitting.report = (struct bench_report){
        .file = stdout,
        .is_json = sitting.options.is_json,
        .round_count = sitting.options.round_count,
        .machine = bench_machine_read(),
    };
    find_subjects(&sitting);
    bench_report_machine(&sitting.report);
    if (sitting.options.has_instructions) {
        count_rows(&sitting);
    } else {
        measure_rows(&sitting);
        measure_spikes(&sitting);
    }
    bench_report_end(&sitting.report);
    return sitting.has_failed || fflush(stdout) != 0 ? 1 : 0;
}

/* ---- subjects and rows ---------------------------------------------------------------------- */

static void find_subjects(struct sitting *sitting)
{
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        const struct bench_subject *subject = bench_subject_at(i);
        struct bench_presence *presence = &sitting->report.subject[i];

        presence->is_wanted = sitting->options.is_wanted[i];
        if (presence->is_wanted) {
            presence->is_present = bench_child_probe(subject);
            presence->reason = presence->is_present ? NULL : "its malloc is not in force here";
            bench_machine_version(subject, presence->version, sizeof presence->version);
        }
    }
}

static bool is_row_wanted(const struct sitting *sitting, const char *name)
{
    return fnmatch(sitting->options.row_pattern, name, 0) == 0;
}

/* Forgets the last row: nothing has been measured, and who is not here never will be. */
static void begin_row(struct sitting *sitting)
{
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        sitting->result[i] = (struct bench_result){
            .absent_reason = sitting->report.subject[i].reason,
        };
    }
}

/* Likewise, for rows that mmap has no part in: their reports leave it out. */
static void begin_row_without_mmap(struct sitting *sitting)
{
    begin_row(sitting);
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (bench_subject_at(i)->kind == BENCH_MMAP) {
            sitting->result[i].absent_reason = "not measured in this row";
        }
    }
}

static bool is_measured(const struct sitting *sitting, size_t subject)
{
    return sitting->report.subject[subject].is_wanted &&
           sitting->result[subject].absent_reason == NULL;
}

static void note_failure(struct sitting *sitting, size_t subject)
{
    sitting->result[subject].absent_reason = "its measurement failed";
    sitting->has_failed = true;
}

/* ---- times ---------------------------------------------------------------------------------- */

static void measure_row(struct sitting *sitting, const struct bench_row *row)
{
    static double wall[BENCH_SUBJECT_COUNT][BENCH_ROUNDS_MAX];
    static double cpu[BENCH_SUBJECT_COUNT][BENCH_ROUNDS_MAX];
    struct bench_amount amount = {sitting->options.pair_count, sitting->options.target_ns};
    size_t round_count = sitting->options.round_count;

    begin_row(sitting);
    for (size_t n = 0; n < round_count * BENCH_SUBJECT_COUNT; n++) {
        size_t round = n / BENCH_SUBJECT_COUNT;
        size_t i = (n + round) % BENCH_SUBJECT_COUNT;
        struct bench_sample sample;
        if (!is_measured(sitting, i)) {
            continue;
        }
        if (!bench_child_sample(bench_subject_at(i), row, amount, &sample)) {
            note_failure(sitting, i);
            continue;
        }
        sitting->result[i].pair_count = sample.pair_count;
        wall[i][round] = (double)sample.wall_ns / (double)sample.pair_count;
        cpu[i][round] =
            (double)sample.cpu_ns / (double)sample.pair_count / (double)row->thread_count;
    }
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (is_measured(sitting, i)) {
            sitting->result[i].wall = bench_summarize(wall[i], round_count);
            sitting->result[i].cpu = bench_summarize(cpu[i], round_count);
        }
    }
}

static void measure_rows(struct sitting *sitting)
{
    size_t row_count = 0;
    const struct bench_row *rows = bench_rows(&row_count);

    for (size_t i = 0; i < row_count; i++) {
        if (is_row_wanted(sitting, rows[i].name)) {
            bench_progress_show(rows[i].name, "");
            measure_row(sitting, &rows[i]);
            bench_progress_end();
            bench_report_pairs(&sitting->report, rows[i].name, sitting->result);
        }
    }
}

/* ---- instructions --------------------------------------------------------------------------- */

static bool is_counted(const struct bench_row *row)
{
    return row->thread_count == 1 && strncmp(row->name, "pair_", 5) == 0;
}

/* Callgrind's instructions per pair; false when a run failed. */
static bool count_by_callgrind(const struct bench_subject *subject, const struct bench_row *row,
                               double *ret_instructions)
{
    uint64_t first = 0;
    uint64_t second = 0;

    if (!bench_child_count(subject, row, COUNT_PAIRS_SHORT, &first) ||
        !bench_child_count(subject, row, COUNT_PAIRS_LONG, &second) || second <= first) {
        return false;
    }
    *ret_instructions = (double)(second - first) / (COUNT_PAIRS_LONG - COUNT_PAIRS_SHORT);
    return true;
}

static void count_row(struct sitting *sitting, const struct bench_row *row, bool has_valgrind)
{
    struct bench_amount amount = {.pair_count = COUNT_PAIRS_LONG};
    struct bench_sample sample;

    begin_row_without_mmap(sitting);
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        const struct bench_subject *subject = bench_subject_at(i);
        struct bench_result *result = &sitting->result[i];
        if (!is_measured(sitting, i)) {
            continue;
        }
        bench_progress_show(row->name, subject->name);
        if (bench_child_sample(subject, row, amount, &sample)) {
            result->perf_instructions =
                (double)sample.instruction_count / (double)sample.pair_count;
        }
        if (has_valgrind && !count_by_callgrind(subject, row, &result->instructions)) {
            note_failure(sitting, i);
        } else if (!has_valgrind && result->perf_instructions <= 0) {
            result->absent_reason = "no valgrind, and no counter of instructions";
        }
    }
    bench_progress_end();
}

static void count_rows(struct sitting *sitting)
{
    size_t row_count = 0;
    const struct bench_row *rows = bench_rows(&row_count);
    bool has_valgrind = bench_child_has_valgrind();

    if (!has_valgrind) {
        bench_report_note(&sitting->report, "instructions",
                          "valgrind is absent: nothing is counted by callgrind");
    }
    for (size_t i = 0; i < row_count; i++) {
        char name[BENCH_ROW_NAME_BYTES];
        (void)snprintf(name, sizeof name, "instr_%s", rows[i].name);
        if (is_counted(&rows[i]) &&
            (is_row_wanted(sitting, rows[i].name) || is_row_wanted(sitting, name))) {
            count_row(sitting, &rows[i], has_valgrind);
            bench_report_counts(&sitting->report, name, sitting->result);
        }
    }
}

/* ---- spikes --------------------------------------------------------------------------------- */

/* "spike_256mib", "spike_2gib". */
static void name_spike(uint64_t bytes, char name[BENCH_ROW_NAME_BYTES])
{
    if (bytes % Q_GIB(1) == 0) {
        (void)snprintf(name, BENCH_ROW_NAME_BYTES, "spike_%" PRIu64 "gib", bytes / Q_GIB(1));
    } else {
        (void)snprintf(name, BENCH_ROW_NAME_BYTES, "spike_%" PRIu64 "mib", bytes / Q_MIB(1));
    }
}

static void measure_spike(struct sitting *sitting, const char *name, uint64_t bytes)
{
    begin_row_without_mmap(sitting);
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        const struct bench_subject *subject = bench_subject_at(i);
        if (!is_measured(sitting, i)) {
            continue;
        }
        bench_progress_show(name, subject->name);
        if (!bench_child_spike(subject, bytes, sitting->options.spike_seconds,
                               &sitting->result[i].spike)) {
            note_failure(sitting, i);
        }
    }
    bench_progress_end();
    bench_report_spike(&sitting->report, name, sitting->result);
}

static void measure_spikes(struct sitting *sitting)
{
    for (size_t i = 0; i < 2; i++) {
        uint64_t bytes = sitting->options.spike_bytes[i];
        char name[BENCH_ROW_NAME_BYTES];

        name_spike(bytes, name);
        if (bytes == 0 || !is_row_wanted(sitting, name)) {
            continue;
        }
        if (sitting->report.machine.ram_bytes < 2 * bytes) {
            bench_report_note(&sitting->report, name,
                              "left out: the machine has less than twice as much memory");
            continue;
        }
        measure_spike(sitting, name, bytes);
    }
}
