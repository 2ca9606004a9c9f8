/*
 * Sheets.
 *
 *   for each round                    as many as were asked for; one where a row is exact
 *     for each column                 beginning with another one each round
 *       measure                       a child process, as a rule
 *   medians of each figure → a row    printed at once
 *
 *   row                  unit              quarry       lru   hyperclock     ratio (best peer)
 *   mix_1t               wall ns/op         301.2*     1240.7       760.3      0.40 (hyperclock)
 *                        hit %               64.1        62.0        61.8
 *
 * The best of a ranked figure has a star. A ratio is the first column's figure divided by the best
 * of the others; the first ranked figure of a row is its main one, which is counted as won or lost
 * and whose ratio is "ratio" in JSON. A column that is a reference is measured and printed and
 * neither starred nor compared: it does other work than the rest.
 *
 * Figures that a column cannot have are NAN: blank in the table, left out in JSON. Lines without a
 * figure of anybody are left out, but for the first.
 */
#include <bench/sheet.h>

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/child.h>
#include <bench/json.h>
#include <bench/progress.h>
#include <bench/report_ratio.h>

#define NAME_FORMAT "%-27s %-13s"
#define OWN         0u

/* ---- on what -------------------------------------------------------------------------------- */

static bool has_version(const struct bench_column *column)
{
    return column->package != NULL || column->version != NULL;
}

static void column_version(const struct bench_column *column, char *text, size_t text_bytes)
{
    struct bench_subject subject = {.name = column->name, .package = column->package};

    if (column->version != NULL) {
        column->version(text, text_bytes);
        return;
    }
    bench_machine_version(&subject, text, text_bytes);
}

static void machine_json(const struct bench_sheet *sheet)
{
    const struct bench_machine *machine = &sheet->machine;
    struct bench_json json = bench_json_begin(sheet->file, sheet->bench, "machine", "machine");

    bench_json_text(&json, "cpu_model", machine->cpu_model);
    bench_json_integer(&json, "cpu_count", machine->cpu_count);
    bench_json_integer(&json, "ram_bytes", machine->ram_bytes);
    bench_json_text(&json, "kernel", machine->kernel);
    bench_json_integer(&json, "rounds", sheet->round_count);
    for (size_t i = 0; i < sheet->column_count; i++) {
        if (has_version(&sheet->column[i]) && sheet->is_wanted[i]) {
            char key[48];
            char version[64];
            column_version(&sheet->column[i], version, sizeof version);
            (void)snprintf(key, sizeof key, "%s_version", sheet->column[i].name);
            bench_json_text(&json, key, version);
        }
    }
    bench_json_end(&json);
}

static void column_text(const struct bench_sheet *sheet, size_t index)
{
    char version[64] = "this build";
    const char *reason = sheet->absent_reason[index];

    if (sheet->is_wanted[index]) {
        if (has_version(&sheet->column[index])) {
            column_version(&sheet->column[index], version, sizeof version);
        }
        (void)fprintf(sheet->file, "    %-14s %s%s%s\n", sheet->column[index].name, version,
                      reason == NULL ? "" : "  absent: ", reason == NULL ? "" : reason);
    }
}

bool bench_sheet_begin(struct bench_sheet *sheet)
{
    char ram[SIZE_TEXT_BYTES];

    if (access(bench_child_program(), X_OK) != 0) {
        (void)fprintf(stderr, "quarry bench %s: %s is missing, which measures\n", sheet->bench,
                      bench_child_program());
        return false;
    }
    Q_ASSERT(sheet->column_count > 0 && sheet->column_count <= BENCH_COLUMNS_MAX);
    Q_ASSERT(sheet->round_count > 0 && sheet->round_count <= BENCH_SHEET_ROUNDS);
    sheet->machine = bench_machine_read();
    if (sheet->is_json) {
        machine_json(sheet);
        return true;
    }
    (void)fprintf(sheet->file, "%" PRIu32 " × %s, %s, %s; %zu rounds, medians\n",
                  sheet->machine.cpu_count, sheet->machine.cpu_model,
                  size_format(sheet->machine.ram_bytes, ram), sheet->machine.kernel,
                  sheet->round_count);
    for (size_t i = 0; i < sheet->column_count; i++) {
        column_text(sheet, i);
    }
    return true;
}

/* ---- measuring ------------------------------------------------------------------------------ */

/* Whether a column has a place in the row. */
static bool is_of(const struct bench_sheet *sheet, const struct bench_sheet_row *row, size_t column)
{
    return sheet->is_wanted[column] && (row->columns & BENCH_COLUMN(column)) != 0;
}

static void measure_rounds(struct bench_sheet *sheet, const struct bench_sheet_row *row,
                           size_t round_count, struct bench_sheet_cell *cell)
{
    static double value[BENCH_COLUMNS_MAX][BENCH_FIGURES_MAX][BENCH_SHEET_ROUNDS];

    for (size_t n = 0; n < round_count * sheet->column_count; n++) {
        size_t round = n / sheet->column_count;
        size_t i = (n + round) % sheet->column_count;
        double figure[BENCH_FIGURES_MAX];
        if (cell[i].absent_reason != NULL) {
            continue;
        }
        for (size_t f = 0; f < row->form_count; f++) {
            figure[f] = NAN;
        }
        bench_progress_show(row->name, sheet->column[i].name);
        if (!row->measure(sheet, row, i, figure)) {
            cell[i].absent_reason = "its measurement failed";
            sheet->has_failed = true;
        }
        for (size_t f = 0; f < row->form_count; f++) {
            value[i][f][round] = figure[f];
        }
    }
    bench_progress_end();
    for (size_t i = 0; i < sheet->column_count; i++) {
        for (size_t f = 0; cell[i].absent_reason == NULL && f < row->form_count; f++) {
            cell[i].figure[f] = bench_summarize(value[i][f], round_count);
        }
    }
}

/* ---- ranking -------------------------------------------------------------------------------- */

/* The medians of one figure; NAN where there is none, or none to be compared. */
struct ranking {
    double value[BENCH_COLUMNS_MAX];
    size_t best;      /* BENCH_COLUMNS_MAX: nobody */
    size_t best_peer; /* likewise, but for the first column */
};

static struct ranking rank(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                           const struct bench_sheet_cell *cell, size_t figure)
{
    struct ranking ranking = {.best = BENCH_COLUMNS_MAX, .best_peer = BENCH_COLUMNS_MAX};

    for (size_t i = 0; i < sheet->column_count; i++) {
        bool is_compared = cell[i].absent_reason == NULL && (row->reference & BENCH_COLUMN(i)) == 0;
        double value = is_compared ? cell[i].figure[figure].median : NAN;
        ranking.value[i] = value;
        if (isnan(value)) {
            continue;
        }
        if (ranking.best == BENCH_COLUMNS_MAX || value < ranking.value[ranking.best]) {
            ranking.best = i;
        }
        if (i != OWN &&
            (ranking.best_peer == BENCH_COLUMNS_MAX || value < ranking.value[ranking.best_peer])) {
            ranking.best_peer = i;
        }
    }
    return ranking;
}

static struct bench_ratio ratio_of(const struct bench_sheet *sheet, const struct ranking *ranking)
{
    size_t peer = ranking->best_peer;

    if (peer == BENCH_COLUMNS_MAX || !(ranking->value[OWN] > 0) || !(ranking->value[peer] > 0)) {
        return (struct bench_ratio){.is_known = false};
    }
    return (struct bench_ratio){true, ranking->value[OWN] / ranking->value[peer],
                                sheet->column[peer].name};
}

/* The figure that the row is about; form_count when it ranks none. */
static size_t main_figure(const struct bench_sheet_row *row)
{
    size_t figure = 0;

    while (figure < row->form_count && !row->form[figure].is_ranked) {
        figure++;
    }
    return figure;
}

/* ---- tables --------------------------------------------------------------------------------- */

static void print_head(struct bench_sheet *sheet, const struct bench_sheet_row *row)
{
    if (sheet->head == row->form && sheet->head_columns == row->columns) {
        return;
    }
    sheet->head = row->form;
    sheet->head_columns = row->columns;
    (void)fprintf(sheet->file, "\n" NAME_FORMAT, "row", "");
    for (size_t i = 0; i < sheet->column_count; i++) {
        if (is_of(sheet, row, i)) {
            (void)fprintf(sheet->file, " %13s ", sheet->column[i].name);
        }
    }
    (void)fputs("  ratio (best of the others)\n", sheet->file);
}

static void print_value(const struct bench_sheet *sheet, const struct bench_sheet_cell *cell,
                        double value, bool is_best)
{
    if (cell->absent_reason != NULL) {
        (void)fprintf(sheet->file, " %13s ", "absent");
    } else if (isnan(value)) {
        (void)fprintf(sheet->file, " %13s ", "");
    } else {
        int decimals = fabs(value) < 1 ? 4 : fabs(value) < 100 ? 2 : fabs(value) < 10000 ? 1 : 0;
        (void)fprintf(sheet->file, " %13.*f%c", decimals, value, is_best ? '*' : ' ');
    }
}

static void print_figure(struct bench_sheet *sheet, const struct bench_sheet_row *row,
                         const struct bench_sheet_cell *cell, size_t figure)
{
    const struct bench_form *form = &row->form[figure];
    struct ranking ranking = rank(sheet, row, cell, figure);

    (void)fprintf(sheet->file, NAME_FORMAT, figure == 0 ? row->name : "", form->unit);
    for (size_t i = 0; i < sheet->column_count; i++) {
        if (is_of(sheet, row, i)) {
            print_value(sheet, &cell[i], cell[i].figure[figure].median / form->divisor,
                        form->is_ranked && i == ranking.best);
        }
    }
    if (form->is_ranked) {
        bench_ratio_print(sheet->file, ratio_of(sheet, &ranking));
    }
    (void)fputc('\n', sheet->file);
}

/* Whether anybody has a figure. */
static bool is_known(const struct bench_sheet *sheet, const struct bench_sheet_cell *cell,
                     size_t figure)
{
    for (size_t i = 0; i < sheet->column_count; i++) {
        if (cell[i].absent_reason == NULL && !isnan(cell[i].figure[figure].median)) {
            return true;
        }
    }
    return false;
}

/* The first line is there in any case, for the row's name. */
static void print_row(struct bench_sheet *sheet, const struct bench_sheet_row *row,
                      const struct bench_sheet_cell *cell)
{
    print_head(sheet, row);
    for (size_t f = 0; f < row->form_count; f++) {
        if (row->form[f].unit != NULL && (f == 0 || is_known(sheet, cell, f))) {
            print_figure(sheet, row, cell, f);
        }
    }
    (void)fflush(sheet->file);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* The ratio of the main figure: in Quarry's line to the best of the others, in theirs to them. */
static void ratio_json(struct bench_json *json, const struct bench_sheet *sheet,
                       const struct bench_sheet_row *row, const struct bench_sheet_cell *cell,
                       size_t column)
{
    size_t figure = main_figure(row);

    if (figure == row->form_count) {
        return;
    }
    struct ranking ranking = rank(sheet, row, cell, figure);
    struct bench_ratio best = ratio_of(sheet, &ranking);
    bench_json_bool(json, "is_best", column == ranking.best);
    if (column == OWN && best.is_known) {
        bench_json_number(json, "ratio", best.ratio);
        bench_json_text(json, "best_peer", best.best_peer);
        bench_json_bool(json, "is_loss", bench_ratio_is_loss(best));
    } else if (column != OWN && ranking.value[OWN] > 0 && ranking.value[column] > 0) {
        bench_json_number(json, "ratio", ranking.value[OWN] / ranking.value[column]);
    }
}

/* Which figures are compared, the main one first: what a reader of many sheets goes by. */
static void ranked_json(struct bench_json *json, const struct bench_sheet_row *row, size_t column)
{
    char text[BENCH_FIGURES_MAX * 32] = "";

    if ((row->reference & BENCH_COLUMN(column)) != 0) {
        bench_json_bool(json, "is_reference", true);
        return;
    }
    for (size_t f = 0; f < row->form_count; f++) {
        if (row->form[f].is_ranked) {
            size_t used = strlen(text);
            (void)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " " : "",
                           row->form[f].key);
        }
    }
    if (text[0] != '\0') {
        bench_json_text(json, "ranked", text);
    }
}

/* How far the rounds of the first figure are apart. */
static void spread_json(struct bench_json *json, const char *key,
                        const struct bench_summary *summary)
{
    char name[64];

    (void)snprintf(name, sizeof name, "%s_min", key);
    bench_json_number(json, name, summary->min);
    (void)snprintf(name, sizeof name, "%s_spread_percent", key);
    bench_json_number(json, name, summary->spread_percent);
}

static void cell_json(const struct bench_sheet *sheet, const struct bench_sheet_row *row,
                      const struct bench_sheet_cell *cell, size_t column)
{
    struct bench_json json =
        bench_json_begin(sheet->file, sheet->bench, row->name, sheet->column[column].name);
    const struct bench_sheet_cell *its = &cell[column];

    if (its->absent_reason != NULL) {
        bench_absent_json(&json, its->absent_reason);
        bench_json_end(&json);
        return;
    }
    bench_json_integer(&json, "rounds", row->is_exact ? 1 : sheet->round_count);
    for (size_t f = 0; f < row->form_count; f++) {
        if (!isnan(its->figure[f].median)) {
            bench_json_number(&json, row->form[f].key, its->figure[f].median);
        }
    }
    if (!row->is_exact) {
        spread_json(&json, row->form[0].key, &its->figure[0]);
    }
    ranked_json(&json, row, column);
    ratio_json(&json, sheet, row, cell, column);
    bench_json_end(&json);
}

/* ---- the whole ------------------------------------------------------------------------------ */

void bench_sheet_run(struct bench_sheet *sheet, const struct bench_sheet_row *row)
{
    struct bench_sheet_cell cell[BENCH_COLUMNS_MAX] = {{0}};
    size_t figure = main_figure(row);

    Q_ASSERT(row->form_count > 0 && row->form_count <= BENCH_FIGURES_MAX);
    for (size_t i = 0; i < sheet->column_count; i++) {
        cell[i].absent_reason =
            is_of(sheet, row, i) ? sheet->absent_reason[i] : "not measured in this row";
    }
    measure_rounds(sheet, row, row->is_exact ? 1 : sheet->round_count, cell);
    if (figure < row->form_count) {
        struct ranking ranking = rank(sheet, row, cell, figure);
        bench_ratio_count(&sheet->tally, ratio_of(sheet, &ranking));
    }
    if (!sheet->is_json) {
        print_row(sheet, row, cell);
        return;
    }
    for (size_t i = 0; i < sheet->column_count; i++) {
        if (is_of(sheet, row, i)) {
            cell_json(sheet, row, cell, i);
        }
    }
}

void bench_sheet_note(struct bench_sheet *sheet, const char *row, const char *text)
{
    if (sheet->is_json) {
        struct bench_json json =
            bench_json_begin(sheet->file, sheet->bench, row, sheet->column[OWN].name);
        bench_absent_json(&json, text);
        bench_json_end(&json);
    } else {
        (void)fprintf(sheet->file, "\n%s: %s\n", row, text);
    }
}

int bench_sheet_end(struct bench_sheet *sheet)
{
    if (!sheet->is_json && sheet->tally.row_count > 0) {
        (void)fprintf(sheet->file,
                      "\n%s ahead of or level with all others in %u of %u, behind in %u\n",
                      sheet->column[OWN].name, sheet->tally.row_count - sheet->tally.loss_count,
                      sheet->tally.row_count, sheet->tally.loss_count);
    }
    return sheet->has_failed || fflush(sheet->file) != 0 ? 1 : 0;
}
