/*
 * The tables of times and of instructions, and their JSON.
 *
 *   row                     unit              quarry     glibc  jemalloc  …       ratio (best peer)
 *   pair_cache_1            wall ns/pair        9.12     11.80     14.03            0.77 (glibc)
 *                           min ns/pair         9.01     …
 *                           spread %             3.1     …
 *                           cpu ns/pair         9.13     …                          0.77 (glibc)
 *
 * A row is printed as soon as it has been measured. A subject that was not is "absent" in the
 * table, with the reason in the first lines; in JSON the reason stands in each of its lines.
 */
#include <bench/report.h>

#include <inttypes.h>

#include <base/base.h>

#include <bench/report_ratio.h>

#define BENCH_NAME "pages"

/* Columns of a table. */
#define ROW_FORMAT "%-23s %-13s"

/* ---- on what -------------------------------------------------------------------------------- */

static void machine_json(const struct bench_report *report)
{
    const struct bench_machine *machine = &report->machine;
    struct bench_json json = bench_json_begin(report->file, BENCH_NAME, "machine", "machine");

    bench_json_text(&json, "cpu_model", machine->cpu_model);
    bench_json_integer(&json, "cpu_count", machine->cpu_count);
    bench_json_integer(&json, "ram_bytes", machine->ram_bytes);
    bench_json_text(&json, "kernel", machine->kernel);
    bench_json_integer(&json, "rounds", report->round_count);
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        const struct bench_subject *subject = bench_subject_at(i);
        if (subject->package != NULL && report->subject[i].is_wanted) {
            char key[48];
            (void)snprintf(key, sizeof key, "%s_version", subject->name);
            bench_json_text(&json, key, report->subject[i].version);
        }
    }
    bench_json_end(&json);
}

static void machine_text(const struct bench_report *report)
{
    const struct bench_machine *machine = &report->machine;
    char ram[SIZE_TEXT_BYTES];

    (void)fprintf(report->file, "%" PRIu32 " × %s, %s, %s; %zu rounds, medians\n",
                  machine->cpu_count, machine->cpu_model, size_format(machine->ram_bytes, ram),
                  machine->kernel, report->round_count);
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        const struct bench_subject *subject = bench_subject_at(i);
        const struct bench_presence *presence = &report->subject[i];
        if (subject->package == NULL || !presence->is_wanted) {
            continue;
        }
        (void)fprintf(
            report->file, "%-10s %s%s%s\n", subject->name, presence->version,
            presence->is_present ? "" : " absent: ", presence->is_present ? "" : presence->reason);
    }
}

void bench_report_machine(struct bench_report *report)
{
    if (report->is_json) {
        machine_json(report);
    } else {
        machine_text(report);
    }
    (void)fflush(report->file);
}

/* ---- tables --------------------------------------------------------------------------------- */

static double figure_wall(const struct bench_result *result, size_t index)
{
    (void)index;
    return result->wall.median;
}
static double figure_wall_min(const struct bench_result *result, size_t index)
{
    (void)index;
    return result->wall.min;
}
static double figure_spread(const struct bench_result *result, size_t index)
{
    (void)index;
    return result->wall.spread_percent;
}
static double figure_cpu(const struct bench_result *result, size_t index)
{
    (void)index;
    return result->cpu.median;
}
static double figure_instructions(const struct bench_result *result, size_t index)
{
    (void)index;
    return result->instructions;
}
static double figure_perf(const struct bench_result *result, size_t index)
{
    (void)index;
    return result->perf_instructions;
}

static void print_head(const struct bench_report *report, bool has_mmap)
{
    (void)fprintf(report->file, "\n" ROW_FORMAT, "row", "unit");
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        const struct bench_subject *subject = bench_subject_at(i);
        if (report->subject[i].is_wanted && (has_mmap || subject->kind != BENCH_MMAP)) {
            (void)fprintf(report->file, " %10s", subject->name);
        }
    }
    (void)fputs("   ratio (best peer)\n", report->file);
}

/* A cell of ten columns, with as many decimals as there is room and reason for. */
static void print_cell(FILE *file, const struct bench_result *result, double value)
{
    if (result->absent_reason != NULL) {
        (void)fprintf(file, " %10s", "absent");
    } else {
        int decimals = value < 100 ? 2 : value < 10000 ? 1 : 0;
        (void)fprintf(file, " %10.*f", decimals, value);
    }
}

static void print_line(const struct bench_report *report, const char *row, const char *unit,
                       const struct bench_result *result, bench_figure *figure, bool has_mmap)
{
    (void)fprintf(report->file, ROW_FORMAT, row, unit);
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (report->subject[i].is_wanted && (has_mmap || bench_subject_at(i)->kind != BENCH_MMAP)) {
            print_cell(report->file, &result[i], figure(&result[i], 0));
        }
    }
}

/* ---- times ---------------------------------------------------------------------------------- */

static void pairs_json(const struct bench_report *report, const char *row,
                       const struct bench_result *result)
{
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (!report->subject[i].is_wanted) {
            continue;
        }
        struct bench_json json =
            bench_json_begin(report->file, BENCH_NAME, row, bench_subject_at(i)->name);
        if (result[i].absent_reason != NULL) {
            bench_absent_json(&json, result[i].absent_reason);
        } else {
            bench_json_integer(&json, "rounds", report->round_count);
            bench_json_integer(&json, "pairs_per_round", result[i].pair_count);
            bench_json_number(&json, "wall_ns_per_pair", result[i].wall.median);
            bench_json_number(&json, "wall_min_ns_per_pair", result[i].wall.min);
            bench_json_number(&json, "wall_spread_percent", result[i].wall.spread_percent);
            bench_json_number(&json, "cpu_ns_per_pair", result[i].cpu.median);
            bench_json_number(&json, "cpu_min_ns_per_pair", result[i].cpu.min);
            bench_json_number(&json, "cpu_spread_percent", result[i].cpu.spread_percent);
            bench_json_text(&json, "ranked", "wall_ns_per_pair cpu_ns_per_pair");
            bench_ratio_json(&json, report, result, i, figure_wall, 0);
        }
        bench_json_end(&json);
    }
}

static void pairs_text(struct bench_report *report, const char *row,
                       const struct bench_result *result, struct bench_ratio wall,
                       struct bench_ratio cpu)
{
    if (!report->has_pair_head) {
        print_head(report, true);
        report->has_pair_head = true;
    }
    print_line(report, row, "wall ns/pair", result, figure_wall, true);
    bench_ratio_print(report->file, wall);
    (void)fputc('\n', report->file);
    print_line(report, "", "min ns/pair", result, figure_wall_min, true);
    (void)fputc('\n', report->file);
    print_line(report, "", "spread %", result, figure_spread, true);
    (void)fputc('\n', report->file);
    print_line(report, "", "cpu ns/pair", result, figure_cpu, true);
    bench_ratio_print(report->file, cpu);
    (void)fputc('\n', report->file);
    (void)fflush(report->file);
}

void bench_report_pairs(struct bench_report *report, const char *row,
                        const struct bench_result *result)
{
    struct bench_ratio wall = bench_ratio_of(report, result, figure_wall, 0);
    struct bench_ratio cpu = bench_ratio_of(report, result, figure_cpu, 0);

    bench_ratio_count(&report->wall, wall);
    bench_ratio_count(&report->cpu, cpu);
    if (report->is_json) {
        pairs_json(report, row, result);
    } else {
        pairs_text(report, row, result, wall, cpu);
    }
}

/* ---- instructions --------------------------------------------------------------------------- */

static void counts_json_line(const struct bench_report *report, const char *row,
                             const struct bench_result *result, size_t subject)
{
    struct bench_json json =
        bench_json_begin(report->file, BENCH_NAME, row, bench_subject_at(subject)->name);

    if (result[subject].absent_reason != NULL) {
        bench_absent_json(&json, result[subject].absent_reason);
    } else {
        bool has_callgrind = result[subject].instructions > 0;
        bench_figure *figure = has_callgrind ? figure_instructions : figure_perf;
        bench_json_number(&json, "instructions_per_pair", figure(&result[subject], 0));
        bench_json_text(&json, "ranked", "instructions_per_pair");
        bench_json_text(&json, "counted_by", has_callgrind ? "callgrind" : "perf_event");
        if (has_callgrind && result[subject].perf_instructions > 0) {
            bench_json_number(&json, "perf_instructions_per_pair",
                              result[subject].perf_instructions);
        }
        bench_ratio_json(&json, report, result, subject, figure, 0);
    }
    bench_json_end(&json);
}

static void counts_text(struct bench_report *report, const char *row,
                        const struct bench_result *result, struct bench_ratio ratio)
{
    if (!report->has_count_head) {
        print_head(report, false);
        report->has_count_head = true;
    }
    bool has_perf = result[BENCH_QUARRY].perf_instructions > 0;
    if (!has_perf || result[BENCH_QUARRY].instructions > 0) {
        print_line(report, row, "instr/pair", result, figure_instructions, false);
        bench_ratio_print(report->file, ratio);
        (void)fputc('\n', report->file);
    }
    if (has_perf) {
        print_line(report, row, "perf in./pair", result, figure_perf, false);
        (void)fputc('\n', report->file);
    }
    (void)fflush(report->file);
}

void bench_report_counts(struct bench_report *report, const char *row,
                         const struct bench_result *result)
{
    bool has_callgrind = result[BENCH_QUARRY].instructions > 0;
    struct bench_ratio ratio =
        bench_ratio_of(report, result, has_callgrind ? figure_instructions : figure_perf, 0);

    bench_ratio_count(&report->counted, ratio);
    if (!report->is_json) {
        counts_text(report, row, result, ratio);
        return;
    }
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (report->subject[i].is_wanted && bench_subject_at(i)->kind != BENCH_MMAP) {
            counts_json_line(report, row, result, i);
        }
    }
}

/* ---- notes and the end ---------------------------------------------------------------------- */

void bench_report_note(struct bench_report *report, const char *row, const char *text)
{
    if (report->is_json) {
        struct bench_json json =
            bench_json_begin(report->file, BENCH_NAME, row, bench_subject_at(BENCH_QUARRY)->name);
        bench_absent_json(&json, text);
        bench_json_end(&json);
    } else {
        (void)fprintf(report->file, "\n%s: %s\n", row, text);
    }
}

static void print_tally(const struct bench_report *report, const char *what,
                        const struct bench_tally *tally)
{
    if (tally->row_count > 0) {
        (void)fprintf(report->file,
                      "%-13s ahead of or level with every peer in %u of %u, behind in %u\n", what,
                      tally->row_count - tally->loss_count, tally->row_count, tally->loss_count);
    }
}

void bench_report_end(struct bench_report *report)
{
    if (report->is_json) {
        return;
    }
    (void)fputc('\n', report->file);
    print_tally(report, "wall time", &report->wall);
    print_tally(report, "CPU time", &report->cpu);
    print_tally(report, "instructions", &report->counted);
    print_tally(report, "resident", &report->rss);
}
