/*
 * The tables of rows and of geometric means, and their JSON.
 *
 *   row                     unit              quarry      glibc   jemalloc  …     ratio (best peer)
 *   larson                  wall ns/pair       9.12      37.30      16.70           0.92 (tcmalloc)
 *                           cpu ns/pair       …
 *                           p99.9 ns          …
 *                           peak MiB          …
 *                           MiB s             …                                     0.80 (glibc)
 *
 * A row is printed as soon as it has been measured. A subject that was not is "absent" in the
 * table, with the reason in the first lines; in JSON the reason stands in each of its lines.
 */
#include <bench/malloc/report.h>

#include <inttypes.h>

#include <base/base.h>

#define BENCH_NAME "malloc"
#define ROW_FORMAT "%-23s %-13s"
#define ALL        BENCH_GROUP_COUNT
/* Reading the clock takes 20 to 30 ns; shorter times than this differ by its grain. */
#define CLOCK_NS 50

struct figure_form {
    const char *key;  /* in JSON */
    const char *unit; /* in tables; NULL: not there */
    double divisor;   /* from the figure to that unit */
    enum bench_malloc_figure figure;
    bool is_whole; /* a count, of bytes or else */
};

static const struct figure_form forms[] = {
    {"wall_ns_per_pair", "wall ns/pair", 1, BENCH_WALL, false},
    {"cpu_ns_per_pair", "cpu ns/pair", 1, BENCH_CPU, false},
    {"p999_ns", "p99.9 ns", 1, BENCH_P999, true},
    {"peak_rss_bytes", "peak MiB", 1048576, BENCH_PEAK, true},
    {"rss_byte_seconds", "MiB s", 1048576, BENCH_RSS, false},
    {"faults", NULL, 1, BENCH_FAULTS, true},
    {"perf_instructions_per_pair", NULL, 1, BENCH_INSTRUCTIONS, false},
};
#define FORM_COUNT (sizeof forms / sizeof forms[0])

static const struct figure_form program_forms[] = {
    {"wall_seconds", "wall s", 1, BENCH_WALL, false},
    {"cpu_seconds", "cpu s", 1, BENCH_CPU, false},
    {"peak_rss_bytes", "peak MiB", 1048576, BENCH_PEAK, true},
};
#define PROGRAM_FORM_COUNT (sizeof program_forms / sizeof program_forms[0])

static const struct figure_form count_form = {"instructions_per_pair", "instr/pair", 1,
                                              BENCH_INSTRUCTIONS, false};

const struct bench_ratio_keys bench_ratio_plain = {"ratio", "best_peer", "is_loss"};
const struct bench_ratio_keys bench_ratio_rss = {"rss_ratio", "rss_best_peer", "rss_is_loss"};

/* ---- on what -------------------------------------------------------------------------------- */

static void machine_json(const struct bench_malloc_report *report)
{
    const struct bench_machine *machine = &report->machine;
    struct bench_json json = bench_json_begin(report->file, BENCH_NAME, "machine", "machine");

    bench_json_text(&json, "cpu_model", machine->cpu_model);
    bench_json_integer(&json, "cpu_count", machine->cpu_count);
    bench_json_integer(&json, "ram_bytes", machine->ram_bytes);
    bench_json_text(&json, "kernel", machine->kernel);
    bench_json_integer(&json, "rounds", report->round_count);
    bench_json_integer(&json, "threads", report->thread_count);
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        const struct bench_subject *subject = bench_malloc_subject_at(i);
        if (subject->package != NULL && report->subject[i].is_wanted) {
            char key[48];
            (void)snprintf(key, sizeof key, "%s_version", subject->name);
            bench_json_text(&json, key, report->subject[i].version);
        }
    }
    bench_json_end(&json);
}

static void subject_text(const struct bench_malloc_report *report, size_t index)
{
    const struct bench_subject *subject = bench_malloc_subject_at(index);
    const struct bench_presence *presence = &report->subject[index];

    if (!presence->is_wanted) {
        return;
    }
    (void)fprintf(report->file, "    %-10s %s%s", subject->name,
                  subject->package == NULL ? "this build" : presence->version,
                  presence->reason == NULL ? "" : "  absent: ");
    if (presence->reason != NULL) {
        (void)fputs(presence->reason, report->file);
    }
    (void)fputc('\n', report->file);
}

void bench_malloc_report_machine(struct bench_malloc_report *report)
{
    const struct bench_machine *machine = &report->machine;
    char ram[SIZE_TEXT_BYTES];

    if (report->is_json) {
        machine_json(report);
        return;
    }
    (void)fprintf(report->file,
                  "%" PRIu32 " × %s, %s, %s; %zu rounds, medians; %" PRIu32 " threads\n",
                  machine->cpu_count, machine->cpu_model, size_format(machine->ram_bytes, ram),
                  machine->kernel, report->round_count, report->thread_count);
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        subject_text(report, i);
    }
}

/* ---- parts ---------------------------------------------------------------------------------- */

struct bench_figures bench_malloc_figures(const struct bench_malloc_result *result,
                                          enum bench_malloc_figure figure)
{
    struct bench_figures figures;

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        figures.value[i] = result[i].absent_reason == NULL ? result[i].figure[figure].median : 0;
    }
    return figures;
}

void bench_malloc_report_head(const struct bench_malloc_report *report, const char *first)
{
    (void)fprintf(report->file, "\n" ROW_FORMAT, first, "");
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (report->subject[i].is_wanted) {
            (void)fprintf(report->file, " %10s", bench_malloc_subject_at(i)->name);
        }
    }
}

void bench_malloc_report_cell(const struct bench_malloc_report *report, const char *absent_reason,
                              double value)
{
    if (absent_reason != NULL) {
        (void)fprintf(report->file, " %10s", "absent");
    } else {
        int decimals = value < 1 ? 3 : value < 100 ? 2 : value < 10000 ? 1 : 0;
        (void)fprintf(report->file, " %10.*f", decimals, value);
    }
}

void bench_malloc_report_absent(const struct bench_malloc_report *report, const char *row,
                                size_t subject, const char *reason)
{
    if (report->subject[subject].is_wanted) {
        struct bench_json json =
            bench_json_begin(report->file, BENCH_NAME, row, bench_malloc_subject_at(subject)->name);
        bench_absent_json(&json, reason);
        bench_json_end(&json);
    }
}

/* Whether anybody has a figure. */
static bool is_known(const struct bench_figures *figures)
{
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (figures->value[i] > 0) {
            return true;
        }
    }
    return false;
}

/* What may be compared: times that are mostly the clock's are all the same. */
static struct bench_figures comparable(struct bench_figures figures,
                                       enum bench_malloc_figure figure)
{
    for (size_t i = 0; figure == BENCH_P999 && i < BENCH_MALLOC_SUBJECTS; i++) {
        if (figures.value[i] > 0 && figures.value[i] < CLOCK_NS) {
            figures.value[i] = CLOCK_NS;
        }
    }
    return figures;
}

static void print_line(const struct bench_malloc_report *report, const char *row, const char *unit,
                       const struct bench_malloc_result *result, const struct figure_form *form)
{
    struct bench_figures figures = bench_malloc_figures(result, form->figure);

    (void)fprintf(report->file, ROW_FORMAT, row, unit);
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (report->subject[i].is_wanted) {
            bench_malloc_report_cell(report, result[i].absent_reason,
                                     figures.value[i] / form->divisor);
        }
    }
    figures = comparable(figures, form->figure);
    bench_ratio_print(report->file, bench_figures_ratio(&figures));
    (void)fputc('\n', report->file);
}

void bench_malloc_ratio_json(struct bench_json *json, const struct bench_figures *figures,
                             size_t subject, const struct bench_ratio_keys *keys)
{
    struct bench_ratio best = bench_figures_ratio(figures);
    double against = bench_figures_against(figures, subject);

    if (subject == BENCH_QUARRY && best.is_known) {
        bench_json_number(json, keys->ratio, best.ratio);
        bench_json_text(json, keys->best_peer, best.best_peer);
        bench_json_bool(json, keys->is_loss, bench_ratio_is_loss(best));
    } else if (subject != BENCH_QUARRY && against > 0) {
        bench_json_number(json, keys->ratio, against);
    }
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* A figure that was measured. */
static void figure_json(struct bench_json *json, const struct figure_form *form, double value)
{
    if (value > 0 && form->is_whole) {
        bench_json_integer(json, form->key, (uint64_t)value);
    } else if (value > 0) {
        bench_json_number(json, form->key, value);
    }
}

static void row_json(const struct bench_malloc_report *report, const char *row,
                     enum bench_group group, const struct bench_malloc_result *result,
                     size_t subject)
{
    const struct bench_malloc_result *its = &result[subject];
    struct bench_figures wall = bench_malloc_figures(result, BENCH_WALL);
    struct bench_figures rss = bench_malloc_figures(result, BENCH_RSS);
    struct bench_json json =
        bench_json_begin(report->file, BENCH_NAME, row, bench_malloc_subject_at(subject)->name);

    bench_json_text(&json, "group", bench_group_name(group));
    bench_json_integer(&json, "rounds", group == BENCH_SPIKES ? 1 : report->round_count);
    bench_json_integer(&json, "operations_per_round", its->operation_count);
    for (size_t i = 0; i < FORM_COUNT; i++) {
        figure_json(&json, &forms[i], its->figure[forms[i].figure].median);
    }
    if (its->figure[BENCH_WALL].median > 0) {
        bench_json_number(&json, "wall_min_ns_per_pair", its->figure[BENCH_WALL].min);
        bench_json_number(&json, "wall_spread_percent", its->figure[BENCH_WALL].spread_percent);
    }
    bench_json_text(&json, "ranked", "wall_ns_per_pair rss_byte_seconds");
    bench_malloc_ratio_json(&json, &wall, subject, &bench_ratio_plain);
    bench_malloc_ratio_json(&json, &rss, subject, &bench_ratio_rss);
    bench_json_end(&json);
}

static void begin_table(struct bench_malloc_report *report)
{
    if (!report->has_head) {
        bench_malloc_report_head(report, "row");
        (void)fputs("   ratio (best peer)\n", report->file);
        report->has_head = true;
    }
}

/* Lines without a figure of anybody are left out. */
static void row_text(struct bench_malloc_report *report, const char *row,
                     const struct bench_malloc_result *result, const struct figure_form *form,
                     size_t form_count)
{
    const char *name = row;

    begin_table(report);
    for (size_t i = 0; i < form_count; i++) {
        struct bench_figures figures = bench_malloc_figures(result, form[i].figure);
        if (form[i].unit != NULL && is_known(&figures)) {
            print_line(report, name, form[i].unit, result, &form[i]);
            name = "";
        }
    }
    if (name == row) {
        (void)fprintf(report->file, "%-23s absent\n", row);
    }
    (void)fflush(report->file);
}

void bench_malloc_report_row(struct bench_malloc_report *report, const char *row,
                             enum bench_group group, const struct bench_malloc_result *result)
{
    struct bench_figures wall = bench_malloc_figures(result, BENCH_WALL);
    struct bench_figures rss = bench_malloc_figures(result, BENCH_RSS);

    bench_score_add(&report->wall[group], &wall);
    bench_score_add(&report->wall[ALL], &wall);
    bench_score_add(&report->rss[group], &rss);
    bench_score_add(&report->rss[ALL], &rss);
    if (!report->is_json) {
        row_text(report, row, result, forms, FORM_COUNT);
        return;
    }
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (result[i].absent_reason != NULL) {
            bench_malloc_report_absent(report, row, i, result[i].absent_reason);
        } else if (report->subject[i].is_wanted) {
            row_json(report, row, group, result, i);
        }
    }
}

/* ---- programs ------------------------------------------------------------------------------- */

static void program_json(const struct bench_malloc_report *report, const char *row,
                         const struct bench_malloc_result *result, size_t subject)
{
    struct bench_figures wall = bench_malloc_figures(result, BENCH_WALL);
    struct bench_figures peak = bench_malloc_figures(result, BENCH_PEAK);
    struct bench_json json =
        bench_json_begin(report->file, BENCH_NAME, row, bench_malloc_subject_at(subject)->name);

    bench_json_text(&json, "group", bench_group_name(BENCH_PROGRAMS));
    bench_json_integer(&json, "rounds", report->round_count);
    for (size_t i = 0; i < PROGRAM_FORM_COUNT; i++) {
        figure_json(&json, &program_forms[i],
                    result[subject].figure[program_forms[i].figure].median);
    }
    bench_json_text(&json, "ranked", "wall_seconds peak_rss_bytes");
    bench_malloc_ratio_json(&json, &wall, subject, &bench_ratio_plain);
    bench_malloc_ratio_json(&json, &peak, subject, &bench_ratio_rss);
    bench_json_end(&json);
}

void bench_malloc_report_program(struct bench_malloc_report *report, const char *row,
                                 const struct bench_malloc_result *result)
{
    struct bench_figures wall = bench_malloc_figures(result, BENCH_WALL);
    struct bench_figures peak = bench_malloc_figures(result, BENCH_PEAK);

    bench_score_add(&report->wall[BENCH_PROGRAMS], &wall);
    bench_score_add(&report->wall[ALL], &wall);
    bench_score_add(&report->rss[BENCH_PROGRAMS], &peak);
    bench_score_add(&report->rss[ALL], &peak);
    if (!report->is_json) {
        row_text(report, row, result, program_forms, PROGRAM_FORM_COUNT);
        return;
    }
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (result[i].absent_reason != NULL) {
            bench_malloc_report_absent(report, row, i, result[i].absent_reason);
        } else if (report->subject[i].is_wanted) {
            program_json(report, row, result, i);
        }
    }
}

/* ---- instructions --------------------------------------------------------------------------- */

static void count_json(const struct bench_malloc_report *report, const char *row,
                       const struct bench_malloc_result *result, size_t subject)
{
    struct bench_figures figures = bench_malloc_figures(result, BENCH_INSTRUCTIONS);
    struct bench_json json =
        bench_json_begin(report->file, BENCH_NAME, row, bench_malloc_subject_at(subject)->name);

    bench_json_number(&json, "instructions_per_pair", figures.value[subject]);
    bench_json_text(&json, "ranked", "instructions_per_pair");
    bench_json_text(&json, "counted_by", "callgrind");
    bench_malloc_ratio_json(&json, &figures, subject, &bench_ratio_plain);
    bench_json_end(&json);
}

void bench_malloc_report_count(struct bench_malloc_report *report, const char *row,
                               const struct bench_malloc_result *result)
{
    struct bench_figures figures = bench_malloc_figures(result, BENCH_INSTRUCTIONS);

    bench_score_add(&report->instructions, &figures);
    if (!report->is_json) {
        begin_table(report);
        print_line(report, row, "instr/pair", result, &count_form);
        (void)fflush(report->file);
        return;
    }
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (result[i].absent_reason != NULL) {
            bench_malloc_report_absent(report, row, i, result[i].absent_reason);
        } else if (report->subject[i].is_wanted) {
            count_json(report, row, result, i);
        }
    }
}

/* ---- notes and the end ---------------------------------------------------------------------- */

void bench_malloc_report_note(struct bench_malloc_report *report, const char *row, const char *text)
{
    if (report->is_json) {
        bench_malloc_report_absent(report, row, BENCH_QUARRY, text);
    } else {
        (void)fprintf(report->file, "\n%s: %s\n", row, text);
    }
}

static const char *score_name(size_t group)
{
    return group == ALL ? "all" : bench_group_name((enum bench_group)group);
}

static void mean_json(const struct bench_malloc_report *report, const char *figure, size_t group,
                      size_t subject, const char *against, const struct bench_geomean *mean)
{
    if (mean->count == 0) {
        return;
    }
    struct bench_json json = bench_json_begin(report->file, BENCH_NAME, "geometric_mean",
                                              bench_malloc_subject_at(subject)->name);
    bench_json_text(&json, "figure", figure);
    bench_json_text(&json, "group", score_name(group));
    bench_json_text(&json, "against", against);
    bench_json_integer(&json, "rows", mean->count);
    bench_json_number(&json, "ratio", bench_geomean_value(mean));
    bench_json_end(&json);
}

static void scores_json(const struct bench_malloc_report *report, const char *figure,
                        const struct bench_score *score)
{
    for (size_t group = 0; group <= ALL; group++) {
        for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
            if (i != BENCH_QUARRY) {
                mean_json(report, figure, group, BENCH_QUARRY, bench_malloc_subject_at(i)->name,
                          &score[group].against_peer[i]);
            }
            mean_json(report, figure, group, i, "best_of_row", &score[group].against_best[i]);
        }
    }
}

static void print_means(const struct bench_malloc_report *report, const char *figure,
                        const char *group, const struct bench_geomean *mean, bool has_quarry)
{
    (void)fprintf(report->file, ROW_FORMAT, figure, group);
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (!report->subject[i].is_wanted) {
            continue;
        }
        if (mean[i].count == 0 || (i == BENCH_QUARRY && !has_quarry)) {
            (void)fprintf(report->file, " %10s", "");
        } else {
            (void)fprintf(report->file, " %10.3f", bench_geomean_value(&mean[i]));
        }
    }
    (void)fputc('\n', report->file);
}

static unsigned mean_count(const struct bench_score *score)
{
    unsigned count = 0;

    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        count += score->against_best[i].count;
    }
    return count;
}

/* Those groups that have rows at all. */
static void scores_text(const struct bench_malloc_report *report, const char *figure,
                        const struct bench_score *score, bool is_against_best)
{
    for (size_t group = 0; group <= ALL; group++) {
        if (mean_count(&score[group]) > 0) {
            print_means(report, figure, score_name(group),
                        is_against_best ? score[group].against_best : score[group].against_peer,
                        is_against_best);
        }
    }
}

static void print_tally(const struct bench_malloc_report *report, const char *what,
                        const struct bench_score *score)
{
    if (score->tally.row_count > 0) {
        (void)fprintf(report->file,
                      "%-13s ahead of or level with every peer in %u of %u, behind in %u\n", what,
                      score->tally.row_count - score->tally.loss_count, score->tally.row_count,
                      score->tally.loss_count);
    }
}

/* One table of means: of Quarry against peers, or of all against the best. */
static void print_scores(const struct bench_malloc_report *report, bool is_against_best,
                         const char *what)
{
    const struct bench_score *counted = &report->instructions;

    bench_malloc_report_head(report, "geometric mean of");
    (void)fprintf(report->file, "   %s\n", what);
    scores_text(report, "wall time", report->wall, is_against_best);
    scores_text(report, "resident memory", report->rss, is_against_best);
    if (mean_count(counted) > 0) {
        print_means(report, "instructions", "",
                    is_against_best ? counted->against_best : counted->against_peer,
                    is_against_best);
    }
}

static void end_text(const struct bench_malloc_report *report)
{
    unsigned count = mean_count(&report->rss[ALL]) + mean_count(&report->instructions);

    if (count > 0 && report->rss[ALL].tally.row_count + report->instructions.tally.row_count > 0) {
        print_scores(report, false, "quarry ÷ peer; below 1 Quarry is ahead");
    }
    if (count > 0) {
        print_scores(report, true, "subject ÷ best of the row; 1 is the best");
        (void)fputc('\n', report->file);
    }
    print_tally(report, "wall time", &report->wall[ALL]);
    print_tally(report, "resident", &report->rss[ALL]);
    print_tally(report, "instructions", &report->instructions);
}

void bench_malloc_report_end(struct bench_malloc_report *report)
{
    if (!report->is_json) {
        end_text(report);
        return;
    }
    scores_json(report, "wall", report->wall);
    scores_json(report, "rss", report->rss);
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        mean_json(report, "instructions", ALL, BENCH_QUARRY, bench_malloc_subject_at(i)->name,
                  &report->instructions.against_peer[i]);
        mean_json(report, "instructions", ALL, i, "best_of_row",
                  &report->instructions.against_best[i]);
    }
}
