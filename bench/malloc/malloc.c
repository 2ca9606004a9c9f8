/*
 * `quarry bench malloc`: the sitting.
 *
 *   for each row                     all of a row's figures lie close together in time
 *     for each round                 5 of them
 *       for each subject             beginning with another one each round
 *         one child                  does a fixed amount of work; we watch its memory
 *     medians over the rounds of each subject
 *   spikes                           filled one after the other, idle together
 *   geometric means
 *
 * Whatever slows the machine for a while falls on all subjects of a row alike, and no subject is
 * always the first after the pause.
 *
 * Spikes are idle together because 24 of them would take 12 minutes one after the other. Each has
 * freed its memory before the next begins; an idle process is disturbed by a busy one only in how
 * soon it runs when it wakes. How many are held at once is bounded by half of the machine's memory.
 *
 * Instructions are counted twice for each row and subject, with different numbers of steps, and the
 * difference is divided by the difference of the pairs: starting the process falls out.
 *
 * A child that fails makes its row and subject "absent", and the exit code 1.
 */
#include <bench/malloc/malloc.h>

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/callgrind.h>
#include <bench/malloc/options.h>
#include <bench/malloc/programs.h>
#include <bench/malloc/report.h>
#include <bench/progress.h>

/* Threads of a threaded row: as many as CPUs, within these bounds. */
#define THREADS_MIN 2u
/* Memory that a spike's process may take. */
#define SPIKE_PROCESS_BYTES Q_MIB(320)
#define SPIKE_ROWS_MAX      8u
#define STORY_SERIES        8000u
#define STORY_SERIES_QUICK  1000u
#define STORY_PAUSE_NS      (150 * Q_MS_NS)
#define STORY_PAUSE_QUICK   (10 * Q_MS_NS)

struct sitting {
    struct bench_malloc_options options;
    struct bench_malloc_report report;
    struct bench_malloc_result result[BENCH_MALLOC_SUBJECTS]; /* of the row at hand */
    bool has_failed;
};

static void find_subjects(struct sitting *sitting);
static void measure_rows(struct sitting *sitting);
static void measure_spikes(struct sitting *sitting);
static void count_rows(struct sitting *sitting);
static void tell_story(struct sitting *sitting);
static void measure_programs(struct sitting *sitting);

static void sit(struct sitting *sitting)
{
    if (sitting->options.has_story) {
        tell_story(sitting);
    } else if (sitting->options.has_programs) {
        measure_programs(sitting);
        bench_malloc_report_end(&sitting->report);
    } else if (sitting->options.has_instructions) {
        count_rows(sitting);
        bench_malloc_report_end(&sitting->report);
    } else {
        measure_rows(sitting);
        measure_spikes(sitting);
        bench_malloc_report_end(&sitting->report);
    }
}

int bench_malloc_main(int argc, char **argv)
{
    static struct sitting sitting;
    struct quarry_error error = {0};

    if (bench_malloc_options_parse(argc, argv, &sitting.options, &error) != QUARRY_OK) {
        (void)fprintf(stderr, "quarry bench malloc: %s; see --help\n", error.text);
        return 2;
    }
    if (sitting.options.is_help) {
        bench_malloc_options_help(stdout);
        return 0;
    }
    if (access(bench_child_program(), X_OK) != 0) {
        (void)fprintf(stderr, "quarry bench malloc: %s is missing, which measures\n",
                      bench_child_program());
        return 1;
    }
    sitting.report = (struct bench_malloc_report){
        .file = stdout,
        .is_json = sitting.options.is_json,
        .round_count = sitting.options.round_count,
        .machine = bench_machine_read(),
    };
    sitting.report.thread_count = (uint32_t)size_min(
        size_max(sitting.report.machine.cpu_count, THREADS_MIN), BENCH_WORKERS_MAX);
    find_subjects(&sitting);
    bench_malloc_report_machine(&sitting.report);
    sit(&sitting);
    return sitting.has_failed || fflush(stdout) != 0 ? 1 : 0;
}

/* ---- subjects and rows ---------------------------------------------------------------------- */

static const char *why_absent(const struct bench_subject *subject)
{
    const char *preload = bench_malloc_subject_preload(subject);

    if (bench_malloc_run_probe(subject)) {
        return NULL;
    }
    if (preload != NULL && preload[0] == '/' && access(preload, R_OK) != 0) {
        return "lib/libquarry-malloc.so is not there";
    }
    return "its malloc is not in force here";
}

static void find_subjects(struct sitting *sitting)
{
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        const struct bench_subject *subject = bench_malloc_subject_at(i);
        struct bench_presence *presence = &sitting->report.subject[i];

        presence->is_wanted = sitting->options.is_wanted[i];
        if (presence->is_wanted) {
            presence->reason = why_absent(subject);
            presence->is_present = presence->reason == NULL;
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
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        const struct bench_presence *presence = &sitting->report.subject[i];
        sitting->result[i] = (struct bench_malloc_result){
            .absent_reason = presence->is_wanted ? presence->reason : "not asked for",
        };
    }
}

static bool is_measured(const struct sitting *sitting, size_t subject)
{
    return sitting->result[subject].absent_reason == NULL;
}

static void note_failure(struct sitting *sitting, size_t subject)
{
    sitting->result[subject].absent_reason = "its measurement failed";
    sitting->has_failed = true;
}

/* ---- times and memory ----------------------------------------------------------------------- */

/* The figures of each round of the row at hand. */
static double figures[BENCH_MALLOC_SUBJECTS][BENCH_MALLOC_FIGURES][BENCH_ROUNDS_MAX];

static void note_round(size_t subject, size_t round, const struct bench_malloc_round *measured)
{
    const struct bench_malloc_sample *sample = &measured->sample;
    double(*figure)[BENCH_ROUNDS_MAX] = figures[subject];
    double pair_count = (double)sample->operation_count / 2;

    figure[BENCH_WALL][round] = (double)sample->wall_ns / pair_count;
    figure[BENCH_CPU][round] = (double)sample->cpu_ns / pair_count;
    figure[BENCH_P999][round] = (double)sample->p999_ns;
    figure[BENCH_PEAK][round] = (double)sample->peak_rss_bytes;
    figure[BENCH_RSS][round] = measured->rss_byte_ns / (double)Q_SECOND_NS;
    figure[BENCH_FAULTS][round] = (double)sample->fault_count;
    figure[BENCH_INSTRUCTIONS][round] = (double)sample->instruction_count / pair_count;
}

static void summarize(struct sitting *sitting, size_t subject)
{
    for (size_t i = 0; i < BENCH_MALLOC_FIGURES; i++) {
        sitting->result[subject].figure[i] =
            bench_summarize(figures[subject][i], sitting->options.round_count);
    }
}

static void measure_row(struct sitting *sitting, const struct bench_malloc_row *row)
{
    uint64_t step_count = sitting->options.is_quick ? row->quick_steps : row->full_steps;

    begin_row(sitting);
    for (size_t n = 0; n < sitting->options.round_count * BENCH_MALLOC_SUBJECTS; n++) {
        size_t round = n / BENCH_MALLOC_SUBJECTS;
        size_t i = (n + round) % BENCH_MALLOC_SUBJECTS;
        struct bench_malloc_round measured;
        if (!is_measured(sitting, i)) {
            continue;
        }
        if (!bench_malloc_run_row(bench_malloc_subject_at(i), row, step_count,
                                  sitting->report.thread_count, &measured)) {
            note_failure(sitting, i);
            continue;
        }
        sitting->result[i].operation_count = measured.sample.operation_count;
        note_round(i, round, &measured);
    }
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (is_measured(sitting, i)) {
            summarize(sitting, i);
        }
    }
}

static void measure_rows(struct sitting *sitting)
{
    size_t row_count = 0;
    const struct bench_malloc_row *rows = bench_malloc_rows(&row_count);

    for (size_t i = 0; i < row_count; i++) {
        if (is_row_wanted(sitting, rows[i].name)) {
            bench_progress_show(rows[i].name, "");
            measure_row(sitting, &rows[i]);
            bench_progress_end();
            bench_malloc_report_row(&sitting->report, rows[i].name, rows[i].group, sitting->result);
        }
    }
}

/* ---- spikes --------------------------------------------------------------------------------- */

/* The spikes of a sitting, row by row. */
struct spikes {
    size_t count;
    struct bench_malloc_idler idler[SPIKE_ROWS_MAX * BENCH_MALLOC_SUBJECTS];
};

/* Whether a row that was asked for takes its peers from `row`. */
static bool is_peers_row(const struct sitting *sitting, const struct bench_malloc_spike_row *row)
{
    size_t row_count = 0;
    const struct bench_malloc_spike_row *rows = bench_malloc_spike_rows(&row_count);

    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].peers_row != NULL && strcmp(rows[i].peers_row, row->name) == 0 &&
            is_row_wanted(sitting, rows[i].name)) {
            return true;
        }
    }
    return false;
}

static bool is_spike_wanted(const struct sitting *sitting, const struct bench_malloc_spike_row *row,
                            size_t subject)
{
    if (subject == BENCH_QUARRY) {
        return is_row_wanted(sitting, row->name);
    }
    return row->peers_row == NULL &&
           (is_row_wanted(sitting, row->name) || is_peers_row(sitting, row));
}

static void plan_spikes(struct sitting *sitting, struct spikes *spikes)
{
    size_t row_count = 0;
    const struct bench_malloc_spike_row *rows = bench_malloc_spike_rows(&row_count);

    Q_ASSERT(row_count <= SPIKE_ROWS_MAX);
    begin_row(sitting);
    for (size_t n = 0; n < row_count * BENCH_MALLOC_SUBJECTS; n++) {
        const struct bench_malloc_spike_row *row = &rows[n / BENCH_MALLOC_SUBJECTS];
        size_t subject = n % BENCH_MALLOC_SUBJECTS;
        if (is_spike_wanted(sitting, row, subject) && is_measured(sitting, subject)) {
            spikes->idler[spikes->count++] = (struct bench_malloc_idler){
                .subject = bench_malloc_subject_at(subject), .row = row};
        }
    }
}

/* The result of one spike, as figures of its row. */
static void note_spike(struct sitting *sitting, const struct bench_malloc_idler *idler)
{
    size_t subject = (size_t)(idler->subject - bench_malloc_subject_at(0));
    struct bench_malloc_result *result = &sitting->result[subject];
    const struct bench_malloc_spike *spike = &idler->idle.spike;

    if (idler->has_failed) {
        note_failure(sitting, subject);
        return;
    }
    result->idle = idler->idle;
    result->operation_count = 2 * spike->object_count - spike->survivor_count;
    double full_bytes = (double)spike->full_rss_bytes;
    double byte_seconds = idler->idle.rss_byte_ns / (double)Q_SECOND_NS;
    result->figure[BENCH_PEAK] = bench_summarize(&full_bytes, 1);
    result->figure[BENCH_RSS] = bench_summarize(&byte_seconds, 1);
}

/* Whether a spike stands in the report of a row. */
static bool is_spike_of(const struct bench_malloc_idler *idler,
                        const struct bench_malloc_spike_row *row)
{
    bool is_peer = idler->subject != bench_malloc_subject_at(BENCH_QUARRY);

    return is_peer && row->peers_row != NULL ? strcmp(idler->row->name, row->peers_row) == 0
                                             : idler->row == row;
}

/*
 * Rows that were asked for, also those that nobody is there to be measured in. What only Quarry can
 * do is in no mean: its peers would count twice.
 */
static void report_spikes(struct sitting *sitting, const struct spikes *spikes)
{
    size_t row_count = 0;
    const struct bench_malloc_spike_row *rows = bench_malloc_spike_rows(&row_count);

    for (const struct bench_malloc_spike_row *row = rows; row < rows + row_count; row++) {
        if (!is_row_wanted(sitting, row->name)) {
            continue;
        }
        begin_row(sitting);
        for (size_t i = 0; i < spikes->count; i++) {
            if (is_spike_of(&spikes->idler[i], row)) {
                note_spike(sitting, &spikes->idler[i]);
            }
        }
        if (row->peers_row == NULL) {
            bench_malloc_report_row(&sitting->report, row->name, BENCH_SPIKES, sitting->result);
        }
        bench_malloc_report_spike(&sitting->report, row, sitting->result);
    }
}

static void measure_spikes(struct sitting *sitting)
{
    static struct spikes spikes;
    size_t together = (size_t)size_min_u64(
        size_max_u64(sitting->report.machine.ram_bytes / 2 / SPIKE_PROCESS_BYTES, 1),
        SPIKE_ROWS_MAX * BENCH_MALLOC_SUBJECTS);

    plan_spikes(sitting, &spikes);
    for (size_t done = 0; done < spikes.count; done += together) {
        bench_progress_show("spikes", "");
        bench_malloc_run_spikes(&spikes.idler[done], size_min(together, spikes.count - done),
                                sitting->options.idle_seconds);
    }
    bench_progress_end();
    report_spikes(sitting, &spikes);
}

/* ---- instructions --------------------------------------------------------------------------- */

static void count_row(struct sitting *sitting, const struct bench_malloc_row *row)
{
    begin_row(sitting);
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        double for_operation = 0;
        if (!is_measured(sitting, i)) {
            continue;
        }
        bench_progress_show(row->name, bench_malloc_subject_at(i)->name);
        if (bench_malloc_run_count(bench_malloc_subject_at(i), row, &for_operation)) {
            double for_pair = 2 * for_operation;
            sitting->result[i].figure[BENCH_INSTRUCTIONS] = bench_summarize(&for_pair, 1);
        } else {
            note_failure(sitting, i);
        }
    }
    bench_progress_end();
}

static void count_rows(struct sitting *sitting)
{
    size_t row_count = 0;
    const struct bench_malloc_row *rows = bench_malloc_rows(&row_count);

    if (!bench_child_has_valgrind()) {
        bench_malloc_report_note(&sitting->report, "instructions",
                                 "valgrind is absent: nothing is counted");
        return;
    }
    for (size_t i = 0; i < row_count; i++) {
        char name[BENCH_ROW_NAME_BYTES];
        (void)snprintf(name, sizeof name, "instr_%s", rows[i].name);
        if (rows[i].count_steps > 0 &&
            (is_row_wanted(sitting, rows[i].name) || is_row_wanted(sitting, name))) {
            count_row(sitting, &rows[i]);
            bench_malloc_report_count(&sitting->report, name, sitting->result);
        }
    }
}

/* ---- the story ------------------------------------------------------------------------------ */

/* Runs the phases of a store together. Returns: whether both came to their end. */
static bool run_phases(const struct sitting *sitting, const struct bench_subject *subject,
                       bool has_lifetimes, struct bench_malloc_teller *teller)
{
    bool is_quick = sitting->options.is_quick;

    for (size_t phase = 0; phase < BENCH_STORY_PHASES; phase++) {
        teller[phase] = (struct bench_malloc_teller){
            .subject = subject,
            .options = {.is_after = phase == 1,
                        .has_lifetimes = has_lifetimes,
                        .series_count = is_quick ? STORY_SERIES_QUICK : STORY_SERIES,
                        .pause_ns = is_quick ? STORY_PAUSE_QUICK : STORY_PAUSE_NS},
        };
    }
    bench_progress_show("restart", subject->name);
    bench_malloc_run_stories(teller, BENCH_STORY_PHASES);
    return !teller[0].has_failed && !teller[1].has_failed;
}

static void tell_lifetimes(struct sitting *sitting, struct bench_malloc_story *story)
{
    const struct bench_subject *quarry = bench_malloc_subject_at(BENCH_QUARRY);

    story->lifetimes_reason = sitting->report.subject[BENCH_QUARRY].reason;
    if (story->lifetimes_reason == NULL && !run_phases(sitting, quarry, true, story->lifetimes)) {
        story->lifetimes_reason = "its measurement failed";
        sitting->has_failed = true;
    }
}

static void tell_story(struct sitting *sitting)
{
    static struct bench_malloc_story story;

    begin_row(sitting);
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (is_measured(sitting, i) &&
            !run_phases(sitting, bench_malloc_subject_at(i), false, story.teller[i])) {
            note_failure(sitting, i);
        }
        story.absent_reason[i] = sitting->result[i].absent_reason;
    }
    tell_lifetimes(sitting, &story);
    bench_progress_end();
    bench_malloc_report_story(&sitting->report, &story);
}

/* ---- programs ------------------------------------------------------------------------------- */

static void note_program(size_t subject, size_t round, const struct bench_program_run *run)
{
    for (size_t i = 0; i < BENCH_MALLOC_FIGURES; i++) {
        figures[subject][i][round] = 0;
    }
    figures[subject][BENCH_WALL][round] = (double)run->wall_ns / (double)Q_SECOND_NS;
    figures[subject][BENCH_CPU][round] = (double)run->cpu_ns / (double)Q_SECOND_NS;
    figures[subject][BENCH_PEAK][round] = (double)run->peak_rss_bytes;
}

static void measure_program(struct sitting *sitting, const struct bench_program *program,
                            const char *folder)
{
    begin_row(sitting);
    for (size_t n = 0; n < sitting->options.round_count * BENCH_MALLOC_SUBJECTS; n++) {
        size_t round = n / BENCH_MALLOC_SUBJECTS;
        size_t i = (n + round) % BENCH_MALLOC_SUBJECTS;
        struct bench_program_run run;
        if (!is_measured(sitting, i)) {
            continue;
        }
        bench_progress_show(program->name, bench_malloc_subject_at(i)->name);
        if (bench_program_run(program, folder, sitting->options.is_quick,
                              bench_malloc_subject_at(i), &run)) {
            note_program(i, round, &run);
        } else {
            note_failure(sitting, i);
        }
    }
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (is_measured(sitting, i)) {
            summarize(sitting, i);
        }
    }
    bench_progress_end();
    bench_malloc_report_program(&sitting->report, program->name, sitting->result);
}

static void measure_programs(struct sitting *sitting)
{
    char folder[64];
    size_t count = 0;
    const struct bench_program *programs = bench_programs(&count);

    if (!bench_program_folder_make(folder, sizeof folder)) {
        (void)fputs("quarry bench malloc: no folder for the programs' inputs\n", stderr);
        sitting->has_failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char reason[64];
        if (!is_row_wanted(sitting, programs[i].name)) {
            continue;
        }
        (void)snprintf(reason, sizeof reason, "%s is not installed", programs[i].tool);
        if (!bench_program_is_installed(&programs[i])) {
            bench_malloc_report_note(&sitting->report, programs[i].name, reason);
        } else if (bench_program_prepare(&programs[i], folder, sitting->options.is_quick)) {
            measure_program(sitting, &programs[i], folder);
        } else {
            bench_malloc_report_note(&sitting->report, programs[i].name, "no room for its input");
            sitting->has_failed = true;
        }
    }
    bench_program_folder_remove(folder);
}
