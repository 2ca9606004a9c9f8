/*
 * The picture of `quarry top`:
 *
 *   process 123: redis-server                                           q quits  12:00:01
 *   budget  ████████▓▓▒▒░░························   312 MiB of 512 MiB, 61 %
 *   █ live 240 MiB  ▓ free in spans 31 MiB  ▒ cached 9 MiB  ░ free 20 MiB  m metadata 3 MiB
 *   allocations 120,000/s ...
 *   pressure none  set aside 4 MiB of 4 MiB ...                 where there is a budget of accounts
 *
 *   findings
 *   owner   lifetime   spans   live   large   fragmentation   sparse
 *   ...                                             the tables share the rows that are left
 *
 * The bar is the limit when at least a sixteenth of it is used; else the peak, for a limit of all
 * of the machine's memory would leave an empty bar.
 */
#include <cli/top_picture.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cli/account_text.h>
#include <cli/figures.h>
#include <cli/heap_text.h>

#define GAP           2u
#define BAR_COLUMN    8u
#define BAR_OF_LIMIT  16u /* the bar is the limit from 1 / 16 of it on */
#define BAR_TEXT_MIN  30u
#define BAR_WIDTH_MIN 10u
#define TABLES        6u
#define STACK_COLUMN  26u

enum part {
    PART_LIVE,
    PART_SPANS,
    PART_CACHED,
    PART_FREE,
    PART_ASIDE,
    PART_METADATA,
    PART_UNUSED,
    PARTS
};

enum table { TABLE_FINDINGS, TABLE_ROWS, TABLE_ACCOUNTS, TABLE_CLASSES, TABLE_LIVE, TABLE_PINNED };

struct part_look {
    const char *name;
    enum canvas_colour colour;
    uint32_t unicode;
    uint32_t ascii;
};

static const struct part_look part_looks[PARTS] = {
    [PART_LIVE] = {"live ", CANVAS_IN_USE, 0x2588, '#'},
    [PART_SPANS] = {"free in spans ", CANVAS_PARTLY, 0x2593, ':'},
    [PART_CACHED] = {"cached ", CANVAS_CACHED, 0x2592, '+'},
    [PART_FREE] = {"free ", CANVAS_FREE, 0x2591, '-'},
    [PART_ASIDE] = {"set aside ", CANVAS_CACHED, 0x25a4, 's'},
    [PART_METADATA] = {"metadata ", CANVAS_METADATA, 0x2591, 'm'},
    [PART_UNUSED] = {"", CANVAS_DIM, 0xb7, '.'},
};

struct drawing {
    struct canvas *canvas;
    const struct top_picture *picture;
    const struct mem_stats_snapshot *snapshot;
    uint64_t part_bytes[PARTS];
    uint32_t row;
};

static uint32_t glyph_of(const struct drawing *d, enum part part)
{
    return d->picture->is_ascii ? part_looks[part].ascii : part_looks[part].unicode;
}

/* ---- the top -------------------------------------------------------------------------------- */

static void draw_title(struct drawing *d)
{
    const char *note = d->picture->note;
    uint32_t note_length = (uint32_t)strlen(note);
    uint32_t end = canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, "process %u: %s",
                               d->picture->process->pid, d->snapshot->head->command);

    if (note_length > 0 && note_length + GAP < d->canvas->width) {
        uint32_t column = d->canvas->width - note_length;
        for (uint32_t i = column - GAP; end > column - GAP && i < column; i++) {
            canvas_put(d->canvas, d->row, i, CANVAS_PLAIN, ' ');
        }
        (void)canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "%s", note);
    }
    d->row++;
}

static void sum_parts(struct drawing *d)
{
    const struct figures figures = figures_of(d->snapshot);
    const uint64_t *waste = figures.waste_bytes;

    d->part_bytes[PART_LIVE] = figures.object_bytes;
    d->part_bytes[PART_SPANS] = sat_add_u64(waste[WASTE_SPANS], waste[WASTE_TAILS]);
    d->part_bytes[PART_CACHED] = sat_add_u64(waste[WASTE_THREAD_CACHE], waste[WASTE_PAGE_CACHE]);
    d->part_bytes[PART_FREE] = waste[WASTE_FREE];
    d->part_bytes[PART_ASIDE] = d->snapshot->totals->ledger.set_aside_bytes;
    d->part_bytes[PART_METADATA] = waste[WASTE_METADATA];
}

/* Parts are rounded where they end, so that they add up. */
static void draw_bar(struct drawing *d, uint32_t width, uint64_t whole_bytes)
{
    double end_bytes = 0.0;
    uint32_t column = 0;

    for (uint32_t part = 0; part < PARTS; part++) {
        end_bytes += (double)d->part_bytes[part];
        double share = whole_bytes == 0 ? 0.0 : end_bytes / (double)whole_bytes;
        uint32_t end = part == PART_UNUSED || share > 1.0 ? width : (uint32_t)(share * width + 0.5);
        for (; column < end; column++) {
            canvas_put(d->canvas, d->row, BAR_COLUMN + column, part_looks[part].colour,
                       glyph_of(d, (enum part)part));
        }
    }
}

static void draw_budget(struct drawing *d)
{
    const struct quarry_ledger *ledger = &d->snapshot->totals->ledger;
    char committed[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES], peak[SIZE_TEXT_BYTES], text[80];
    bool is_of_limit = ledger->committed_bytes >= ledger->limit_bytes / BAR_OF_LIMIT;
    uint64_t whole = is_of_limit ? ledger->limit_bytes : ledger->peak_bytes;

    (void)snprintf(text, sizeof(text), "%s, limit %s, peak %s",
                   size_format(ledger->committed_bytes, committed),
                   figures_limit(ledger->limit_bytes, limit),
                   size_format(ledger->peak_bytes, peak));
    uint32_t text_width = (uint32_t)size_max(strlen(text), BAR_TEXT_MIN);
    uint32_t taken = BAR_COLUMN + GAP + text_width;
    uint32_t bar_width = d->canvas->width > taken ? d->canvas->width - taken : 0;
    (void)canvas_text(d->canvas, d->row, 0, CANVAS_STRONG, is_of_limit ? "budget" : "peak");
    if (bar_width >= BAR_WIDTH_MIN) {
        draw_bar(d, bar_width, whole);
        (void)canvas_text(d->canvas, d->row, BAR_COLUMN + bar_width + GAP, CANVAS_PLAIN, "%s",
                          text);
    } else {
        (void)canvas_text(d->canvas, d->row, BAR_COLUMN, CANVAS_PLAIN, "%s", text);
    }
    d->row++;
}

static void draw_parts(struct drawing *d)
{
    char text[SIZE_TEXT_BYTES];
    uint32_t column = 0;

    for (uint32_t part = 0; part < PART_UNUSED; part++) {
        const struct part_look *look = &part_looks[part];
        if (part == PART_ASIDE && d->part_bytes[part] == 0) {
            continue;
        }
        (void)size_format(d->part_bytes[part], text);
        uint32_t length = (uint32_t)(2 + strlen(look->name) + strlen(text));
        if (column > 0 && column + length > d->canvas->width) {
            d->row++;
            column = 0;
        }
        canvas_put(d->canvas, d->row, column, look->colour, glyph_of(d, (enum part)part));
        column =
            canvas_text(d->canvas, d->row, column + 2, CANVAS_PLAIN, "%s%s", look->name, text) +
            GAP;
    }
    d->row++;
}

static void draw_counts(struct drawing *d)
{
    const struct mem_stats_totals *totals = d->snapshot->totals;
    char mean[SIZE_TEXT_BYTES];
    uint32_t column = canvas_text(d->canvas, d->row, 0, CANVAS_PLAIN, "allocations %" PRIu64,
                                  totals->alloc_count);

    if (d->picture->allocations_per_s >= 0.0) {
        column = canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, " (%.0f/s)",
                             d->picture->allocations_per_s);
    }
    column = canvas_text(d->canvas, d->row, column, CANVAS_PLAIN,
                         "  frees %" PRIu64 "  refused %" PRIu64 "  threads %" PRIu64,
                         totals->free_count, totals->refused_count, totals->thread_count);
    if (d->snapshot->head->sample_mean_bytes == 0) {
        column = canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "  sampling off");
    } else {
        column = canvas_text(d->canvas, d->row, column, CANVAS_PLAIN, "  a sample in %s",
                             size_format(d->snapshot->head->sample_mean_bytes, mean));
    }
    if (d->picture->process->is_stale) {
        (void)canvas_text(d->canvas, d->row, column, CANVAS_STRONG, "  figures are %.0f s old",
                          (double)d->picture->process->age_ns / (double)Q_SECOND_NS);
    }
    d->row++;
}

static void draw_pressure(struct drawing *d)
{
    char line[ACCOUNT_TEXT_BYTES];

    if (account_text_has_budget(d->snapshot)) {
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_PLAIN, "%s",
                          account_text_budget(d->snapshot, line));
    }
}

/* ---- tables --------------------------------------------------------------------------------- */

static void draw_heading(struct drawing *d, const char *text)
{
    d->row++;
    (void)canvas_text(d->canvas, d->row++, 0, CANVAS_STRONG, "%s", text);
}

/* A line each: what is cut, `quarry doctor` says in full. */
static void draw_findings(struct drawing *d, uint32_t row_max)
{
    const struct doctor_report *report = d->picture->report;

    draw_heading(d, "findings");
    if (report->count == 0) {
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_DIM, "%s",
                          report->is_too_small ? "too small to judge" : "nothing is wrong");
    }
    for (uint32_t i = 0; i < report->count && i < row_max; i++) {
        const struct doctor_finding *finding = &report->finding[i];
        uint32_t column = canvas_text(
            d->canvas, d->row, 0, finding->severity == DOCTOR_NOTE ? CANVAS_DIM : CANVAS_STRONG,
            "%s %s: ", doctor_severity_names[finding->severity], finding->cause);
        (void)canvas_text(d->canvas, d->row++, column, CANVAS_PLAIN, "%.500s", finding->text);
    }
}

static void draw_rows(struct drawing *d, uint32_t row_max)
{
    uint32_t index[MEM_STATS_ROWS_MAX];
    uint32_t count = heap_text_sort_rows(d->snapshot, index);
    char spans[SIZE_TEXT_BYTES], live[SIZE_TEXT_BYTES], large[SIZE_TEXT_BYTES],
        wasted[SIZE_TEXT_BYTES];

    draw_heading(d, "owner         lifetime           spans       live      large"
                    "  fragmentation   sparse spans");
    for (uint32_t i = 0; i < count && i < row_max; i++) {
        const struct mem_stats_row *row = &d->snapshot->rows[index[i]];
        uint64_t row_free = figures_row_free(row);
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_PLAIN,
                          "%-13.13s %-13.13s %10s %10s %10s %10s %3.0f %%  %" PRIu64 " of %" PRIu64,
                          row->owner_name, row->lifetime_name, size_format(row->span_bytes, spans),
                          size_format(row->live_bytes, live), size_format(row->large_bytes, large),
                          size_format(row_free, wasted), figures_percent(row_free, row->span_bytes),
                          row->sparse_span_count, row->span_count);
    }
}

static void draw_accounts(struct drawing *d, uint32_t row_max)
{
    char line[ACCOUNT_TEXT_BYTES];

    if (d->snapshot->account_count == 0) {
        return;
    }
    draw_heading(d, account_text_heading);
    for (uint32_t i = 0; i < d->snapshot->account_count && i < row_max; i++) {
        (void)canvas_text(d->canvas, d->row++, 0, CANVAS_PLAIN, "%s",
                          account_text_line(&d->snapshot->accounts[i], line));
    }
}

static void draw_classes(struct drawing *d, uint32_t row_max)
{
    uint32_t index[MEM_STATS_CLASSES_MAX];
    uint32_t count = heap_text_sort_classes(d->snapshot, index);
    char wasted[SIZE_TEXT_BYTES];

    draw_heading(d, "   size       spans        live        room   full       waste");
    for (uint32_t i = 0; i < count && i < row_max; i++) {
        const struct mem_stats_class *class = &d->snapshot->classes[index[i]];
        (void)canvas_text(
            d->canvas, d->row++, 0, CANVAS_PLAIN,
            "%7" PRIu64 "  %10" PRIu64 "  %10" PRIu64 "  %10" PRIu64 "  %3.0f %%  %10s",
            class->object_bytes, class->span_count, class->live_count, class->capacity_count,
            figures_percent(class->live_count, class->capacity_count),
            size_format(figures_class_waste(class), wasted));
    }
}

/* A stack on one line: from the frame that says most, outwards, as far as the line goes. */
static void draw_frames(struct drawing *d, const struct mem_stats_stack *stack)
{
    uint32_t column = STACK_COLUMN;
    char text[SYMBOL_TEXT_BYTES];

    if (stack->depth == 0) {
        (void)canvas_text(d->canvas, d->row, column, CANVAS_DIM, "no stack could be taken");
        return;
    }
    struct symbol_spot first = symbols_notable(d->picture->symbols, stack);
    for (uint32_t i = first.frame; i < stack->depth && column < d->canvas->width; i++) {
        uint32_t inlined_count = symbols_inlined_count(d->picture->symbols, stack->pc[i]);
        for (uint32_t j = i == first.frame ? first.inlined : 0; j < inlined_count; j++) {
            bool is_first = column == STACK_COLUMN;
            column = canvas_text(d->canvas, d->row, column, is_first ? CANVAS_PLAIN : CANVAS_DIM,
                                 "%s%s", is_first ? "" : " < ",
                                 symbols_describe(d->picture->symbols, stack->pc[i], j, text));
        }
    }
}

static void draw_stacks(struct drawing *d, const struct stack_list *list, enum stack_order order,
                        uint32_t row_max)
{
    char bytes[SIZE_TEXT_BYTES], other[SIZE_TEXT_BYTES];

    draw_heading(d, order == STACKS_BY_LIVE ? "      live   objects     stack (estimated)"
                                            : "    pinned        by     stack (estimated)");
    for (uint32_t i = 0; i < list->count && i < row_max; i++) {
        const struct stack_figures *stack = &list->stack[i];
        if (order == STACKS_BY_LIVE) {
            (void)snprintf(other, sizeof(other), "%" PRIu64, stack->live_count);
        } else {
            (void)size_format(stack->pinned_live_bytes, other);
        }
        (void)canvas_text(d->canvas, d->row, 0, CANVAS_PLAIN, "%10s %10s",
                          size_format(stack_weight(stack, order), bytes), other);
        draw_frames(d, &d->snapshot->stacks[stack->index]);
        d->row++;
    }
}

/* Gives each table a row in turn until all are used up or no table wants more. */
static void share_rows(uint32_t row_count, const uint32_t wanted[TABLES],
                       uint32_t ret_given[TABLES])
{
    bool has_given = true;

    memset(ret_given, 0, TABLES * sizeof(ret_given[0]));
    while (row_count > 0 && has_given) {
        has_given = false;
        for (uint32_t i = 0; i < TABLES && row_count > 0; i++) {
            if (ret_given[i] < wanted[i]) {
                ret_given[i]++;
                row_count--;
                has_given = true;
            }
        }
    }
}

static void draw_tables(struct drawing *d, const struct stack_list *live,
                        const struct stack_list *pinned)
{
    uint32_t index[MEM_STATS_CLASSES_MAX];
    const uint32_t wanted[TABLES] = {
        [TABLE_FINDINGS] = (uint32_t)size_max(d->picture->report->count, 1),
        [TABLE_ROWS] = d->snapshot->row_count,
        [TABLE_ACCOUNTS] = d->snapshot->account_count,
        [TABLE_CLASSES] = heap_text_sort_classes(d->snapshot, index),
        [TABLE_LIVE] = live->count,
        [TABLE_PINNED] = pinned->count,
    };
    uint32_t given[TABLES];
    uint32_t table_count = TABLES - (wanted[TABLE_ACCOUNTS] == 0);
    uint32_t used = d->row + 2 * table_count; /* a blank row and a heading for each */

    share_rows(d->canvas->height > used ? d->canvas->height - used : 0, wanted, given);
    draw_findings(d, given[TABLE_FINDINGS]);
    draw_rows(d, given[TABLE_ROWS]);
    draw_accounts(d, given[TABLE_ACCOUNTS]);
    draw_classes(d, given[TABLE_CLASSES]);
    draw_stacks(d, live, STACKS_BY_LIVE, given[TABLE_LIVE]);
    draw_stacks(d, pinned, STACKS_BY_PINNED, given[TABLE_PINNED]);
}

enum quarry_status top_picture_draw(struct canvas *canvas, const struct top_picture *picture)
{
    struct drawing d = {
        .canvas = canvas, .picture = picture, .snapshot = &picture->process->snapshot};
    struct stack_list live = {0}, pinned = {0};
    enum quarry_status status = stack_list_init(d.snapshot, STACKS_BY_LIVE, &live);

    if (status == QUARRY_OK) {
        status = stack_list_init(d.snapshot, STACKS_BY_PINNED, &pinned);
    }
    if (status == QUARRY_OK) {
        sum_parts(&d);
        draw_title(&d);
        draw_budget(&d);
        draw_parts(&d);
        draw_counts(&d);
        draw_pressure(&d);
        draw_tables(&d, &live, &pinned);
    }
    stack_list_fini(&live);
    stack_list_fini(&pinned);
    return status;
}
