/*
 * `quarry bench slab`: the sitting.
 *
 * Each measurement is a child that holds no malloc of its own: Quarry's slab and arena are linked
 * into it, and a peer's malloc is preloaded and looked for in /proc/self/maps. Quarry's own malloc
 * is one of the peers: a slab has to be worth it.
 */
#include <bench/slab/slab.h>

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <base/base.h>

#include <bench/callgrind.h>
#include <bench/child.h>
#include <bench/sheet.h>
#include <bench/sheet_options.h>
#include <bench/slab/rows.h>
#include <bench/slab/subject.h>

#define PPM_PER_PERCENT 10000.0
#define ALL_COLUMNS     (BENCH_COLUMN(BENCH_SLAB_COLUMNS) - 1)

static const struct bench_form time_forms[] = {
    {"wall_ns_per_pair", "wall ns/pair", 1, true},
    {"cpu_ns_per_pair", "cpu ns/pair", 1, false},
    {"peak_rss_bytes", NULL, 1048576, false},
};
static const struct bench_form waste_forms[] = {
    {"cell_waste_percent", "cells, %", 1, true},
    {"resident_waste_percent", "resident, %", 1, true},
};
static const struct bench_form move_forms[] = {
    {"wall_us_per_page", "wall us/page", 1, false},
    {"pages_per_second", "pages/s", 1, false},
    {"lock_cpu_us_max", "lock cpu us", 1, false},
    {"checked_words", "10^6 words", 1e6, false},
};
static const struct bench_form count_forms[] = {
    {"instructions_per_pair", "instr/pair", 1, true},
};
#define FORM_COUNT(forms) (sizeof(forms) / sizeof(forms)[0])

/* "18446744073709551615" and its NUL. */
#define NUMBER_BYTES 21u

/* ---- one measurement ------------------------------------------------------------------------ */

static const char *preload_of(size_t column)
{
    const struct bench_subject *subject = bench_slab_column_subject(column);

    return subject == NULL ? NULL : bench_malloc_subject_preload(subject);
}

static bool run_row(const struct bench_slab_row *row, size_t column, uint64_t step_count,
                    struct bench_slab_sample *ret_sample)
{
    char steps[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t n[BENCH_SLAB_SAMPLE_NUMBERS];
    const char *argv[] = {bench_child_program(),
                          "slab",
                          bench_slab_columns()[column].name,
                          "row",
                          row->name,
                          steps,
                          NULL};

    (void)snprintf(steps, sizeof steps, "%" PRIu64, step_count);
    if (bench_child_run(argv, preload_of(column), false, output) != 0 ||
        !bench_child_numbers(output, n, BENCH_SLAB_SAMPLE_NUMBERS) || n[0] == 0) {
        return false;
    }
    *ret_sample = (struct bench_slab_sample){n[0], {n[1], n[2]}, n[3], n[4], n[5], n[6], n[7]};
    return true;
}

/* The figures of each kind of row, in the order of its forms. */
static void times(const struct bench_slab_sample *sample, double *ret_figures)
{
    ret_figures[0] = (double)sample->time.wall_ns / (double)sample->operation_count;
    ret_figures[1] = (double)sample->time.cpu_ns / (double)sample->operation_count;
    ret_figures[2] = sample->peak_rss_bytes == 0 ? NAN : (double)sample->peak_rss_bytes;
}

static void wastes(const struct bench_slab_sample *sample, double *ret_figures)
{
    ret_figures[0] = (double)sample->cell_waste_ppm / PPM_PER_PERCENT;
    ret_figures[1] = (double)sample->resident_waste_ppm / PPM_PER_PERCENT;
}

static void moves(const struct bench_slab_sample *sample, double *ret_figures)
{
    double page_ns = (double)sample->time.wall_ns / (double)sample->operation_count;

    ret_figures[0] = page_ns / 1000;
    ret_figures[1] = (double)Q_SECOND_NS / page_ns;
    ret_figures[2] = (double)sample->lock_ns / 1000;
    ret_figures[3] = (double)sample->read_count;
}

/* How a kind of row is reported. */
struct kind {
    const struct bench_form *form;
    size_t form_count;
    void (*figures)(const struct bench_slab_sample *sample, double *ret_figures);
    uint32_t columns;
};

static const struct kind kinds[] = {
    [BENCH_SLAB_TIMES] = {time_forms, FORM_COUNT(time_forms), times, ALL_COLUMNS},
    [BENCH_SLAB_WASTE] = {waste_forms, FORM_COUNT(waste_forms), wastes, ALL_COLUMNS},
    [BENCH_SLAB_MOVES] = {move_forms, FORM_COUNT(move_forms), moves, BENCH_COLUMN(0)},
};

static bool measure(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                    size_t column, double *ret_figures)
{
    const struct bench_slab_row *its = row->context;
    struct bench_slab_sample sample;

    if (!run_row(its, column, sheet->is_quick ? its->quick_steps : its->full_steps, &sample)) {
        return false;
    }
    kinds[its->kind].figures(&sample, ret_figures);
    return true;
}

/* ---- instructions --------------------------------------------------------------------------- */

/* Steps are lives or batches too; so many pairs are in each. */
static double pairs_per_step(const struct bench_slab_row *row, size_t column)
{
    struct bench_slab_sample sample;

    return run_row(row, column, 1, &sample) ? (double)sample.operation_count / row->thread_count
                                            : NAN;
}

static bool measure_count(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                          size_t column, double *ret_figures)
{
    const struct bench_slab_row *its = row->context;
    const char *argv[] = {bench_child_program(),
                          "slab",
                          bench_slab_columns()[column].name,
                          "row",
                          its->name,
                          NULL,
                          NULL};
    double instructions = 0;

    (void)sheet;
    if (!bench_child_callgrind_steps(argv, 5, preload_of(column), its->count_steps,
                                     &instructions)) {
        return false;
    }
    ret_figures[0] = instructions / pairs_per_step(its, column);
    return !isnan(ret_figures[0]);
}

/* ---- the sitting ---------------------------------------------------------------------------- */

static void find_absent(struct bench_sheet *sheet)
{
    for (size_t i = 1; i < BENCH_SLAB_COLUMNS; i++) {
        const char *argv[] = {bench_child_program(), "slab", bench_slab_columns()[i].name, "probe",
                              NULL};
        char output[BENCH_CHILD_OUTPUT_BYTES];
        if (sheet->is_wanted[i] && bench_child_run(argv, preload_of(i), true, output) != 0) {
            sheet->absent_reason[i] = "its malloc is not in force here";
        }
    }
}

static void run_times(struct bench_sheet *sheet, const struct bench_slab_row *its)
{
    const struct kind *kind = &kinds[its->kind];
    struct bench_sheet_row row = {
        .name = its->name,
        .title = its->title,
        .form = kind->form,
        .form_count = kind->form_count,
        .columns = kind->columns,
        .measure = measure,
        .context = its,
    };

    bench_sheet_run(sheet, &row);
}

static void run_count(struct bench_sheet *sheet, const struct bench_slab_row *its, const char *name)
{
    struct bench_sheet_row row = {
        .name = name,
        .title = its->title,
        .form = count_forms,
        .form_count = FORM_COUNT(count_forms),
        .columns = ALL_COLUMNS,
        .is_exact = true,
        .measure = measure_count,
        .context = its,
    };

    bench_sheet_run(sheet, &row);
}

static void run_rows(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    size_t count = 0;
    const struct bench_slab_row *rows = bench_slab_rows(&count);

    for (size_t i = 0; i < count; i++) {
        char name[BENCH_ROW_NAME_BYTES];
        bool is_wanted = fnmatch(options->row_pattern, rows[i].name, 0) == 0;
        (void)snprintf(name, sizeof name, "instr_%s", rows[i].name);
        if (!options->has_instructions && is_wanted) {
            run_times(sheet, &rows[i]);
        } else if (options->has_instructions && rows[i].count_steps > 0 &&
                   (is_wanted || fnmatch(options->row_pattern, name, 0) == 0)) {
            run_count(sheet, &rows[i], name);
        }
    }
}

static const char help_head[] =
    "NAME\n"
    "    quarry bench slab - measure cells of a slab, and arenas, beside malloc\n"
    "\n"
    "SYNOPSIS\n"
    "    quarry bench slab [--json] [--quick] [--against LIST] [--rows PATTERN] [--rounds N]\n"
    "                      [--instructions]\n"
    "\n"
    "DESCRIPTION\n"
    "    Measures quarry_slab_take with quarry_slab_give, and quarry_arena_alloc, and the same "
    "work\n"
    "    by malloc and free of each library: every one put in by LD_PRELOAD into a process of its\n"
    "    own and then looked for in /proc/self/maps. Quarry's own malloc is one of them. Each "
    "round\n"
    "    goes over all subjects, beginning with another one each time; what is printed is the\n"
    "    median over the rounds.\n"
    "\n"
    "    wall ns/pair   elapsed time, divided by the pairs of all threads together\n"
    "    cpu ns/pair    user and system time of all threads\n"
    "    cells, %       what cells (malloc: malloc_usable_size) hold beyond what was asked for, "
    "in\n"
    "                   percent of that\n"
    "    resident, %    what the process has grown by beyond what was asked for, likewise\n"
    "    lock cpu us    the longest that a lock of the slab was held\n"
    "    10^6 words     words that a reader compared meanwhile; a wrong one fails the row\n"
    "\n"
    "    A pair is a take and its give; in arena_ rows an allocation: there is nothing to give, "
    "and\n"
    "    malloc's frees are not in its time. The best figure of a row has a star. A ratio is\n"
    "    Quarry's figure divided by the best malloc's: below 1 Quarry is ahead, above 1 the row "
    "is\n"
    "    marked LOSS.\n"
    "\n";

static const char help_tail[] =
    "\n" BENCH_SHEET_HELP_JSON
    "    Figures, by kind of row: wall_ns_per_pair, cpu_ns_per_pair, peak_rss_bytes;\n"
    "    cell_waste_percent, resident_waste_percent; wall_us_per_page, pages_per_second,\n"
    "    lock_cpu_us_max, checked_words; instructions_per_pair.\n"
    "\n" BENCH_HELP_EXIT "ENVIRONMENT\n"
    "    What peers read (MALLOC_ARENA_MAX, MALLOC_CONF, MIMALLOC_…, TCMALLOC_…) is passed on to\n"
    "    them. LD_PRELOAD is not.\n"
    "\n"
    "EXAMPLES\n"
    "    quarry bench slab --quick\n"
    "    quarry bench slab --rows 'arena_*'\n"
    "    quarry bench slab --rows 'pair_*' --against mimalloc,tcmalloc --instructions\n";

static void print_help(FILE *file)
{
    size_t count = 0;
    const struct bench_slab_row *rows = bench_slab_rows(&count);

    (void)fputs(help_head, file);
    bench_sheet_options_help(file, true);
    (void)fputs("ROWS\n", file);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "    %-20s  %s\n", rows[i].name, rows[i].title);
    }
    (void)fputs(help_tail, file);
}

static int sit(struct bench_sheet *sheet, const struct bench_sheet_options *options)
{
    find_absent(sheet);
    if (!bench_sheet_begin(sheet)) {
        return 1;
    }
    if (options->has_instructions && !bench_child_has_valgrind()) {
        bench_sheet_note(sheet, "instructions", "valgrind is absent: nothing is counted");
    } else {
        run_rows(sheet, options);
    }
    return bench_sheet_end(sheet);
}

int bench_slab_main(int argc, char **argv)
{
    const struct bench_sheet_program program = {
        .name = "slab",
        .column = bench_slab_columns(),
        .column_count = BENCH_SLAB_COLUMNS,
        .has_instructions = true,
        .print_help = print_help,
        .sit = sit,
    };

    return bench_sheet_main(&program, argc, argv);
}
