/*
 * Tables for people: a number, what it is, and nothing that wraps in 100 columns but stacks.
 *
 * Numbers of stacks are estimates from samples; those of the ledger, the rows and the classes are
 * counted.
 */
#include <cli/heap_text.h>

#include <cli/account_text.h>
#include <cli/cli.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Longest bucket of one unit, in ms: seconds from 4 s on, and so on. */
#define SECOND_MS UINT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

#define FRAME_INDENT    "                "
#define LIFETIME_FRAMES 4u

/* ---- ledger and waste ----------------------------------------------------------------------- */

static void print_bytes(FILE *file, uint64_t bytes, uint64_t whole, const char *what)
{
    char text[SIZE_TEXT_BYTES];

    fprintf(file, "  %10s  %5.1f %%  %s\n", size_format(bytes, text), figures_percent(bytes, whole),
            what);
}

void heap_text_waste(FILE *file, const struct figures *figures)
{
    uint64_t whole = figures->committed_bytes;

    for (uint32_t cause = 0; cause < WASTE_ROUNDING; cause++) {
        if (figures->waste_bytes[cause] > 0) {
            print_bytes(file, figures->waste_bytes[cause], whole, waste_names[cause]);
        }
    }
    if (figures->waste_bytes[WASTE_ROUNDING] > 0) {
        print_bytes(file, figures->waste_bytes[WASTE_ROUNDING], whole,
                    "rounding to size classes (estimated; inside the live objects)");
    }
}

void heap_text_ledger(FILE *file, const struct mem_stats_snapshot *snapshot)
{
    const struct figures figures = figures_of(snapshot);
    const struct quarry_ledger *ledger = &snapshot->totals->ledger;
    char committed[SIZE_TEXT_BYTES], limit[SIZE_TEXT_BYTES], peak[SIZE_TEXT_BYTES];

    fprintf(file, "committed %s, limit %s, peak %s\n",
            size_format(ledger->committed_bytes, committed),
            figures_limit(ledger->limit_bytes, limit), size_format(ledger->peak_bytes, peak));
    print_bytes(file, figures.object_bytes, figures.committed_bytes, "live objects");
    heap_text_waste(file, &figures);
    fprintf(file, "%" PRIu64 " allocations, %" PRIu64 " frees, %" PRIu64 " refused\n",
            snapshot->totals->alloc_count, snapshot->totals->free_count,
            snapshot->totals->refused_count);
}

/* A name of the process, fit for a terminal. */
static const char *copy_name(const char *name, char copy[MEM_STATS_NAME_BYTES])
{
    (void)snprintf(copy, MEM_STATS_NAME_BYTES, "%s", name);
    return cli_make_printable(copy);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int compare_rows(const void *one, const void *other, void *argument)
{
    const struct mem_stats_snapshot *snapshot = argument;
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    uint64_t a_free = figures_row_free(&snapshot->rows[a]);
    uint64_t b_free = figures_row_free(&snapshot->rows[b]);

    if (a_free != b_free) {
        return a_free > b_free ? -1 : 1;
    }
    return a < b ? -1 : a > b;
}

uint32_t heap_text_sort_rows(const struct mem_stats_snapshot *snapshot,
                             uint32_t ret_index[MEM_STATS_ROWS_MAX])
{
    struct mem_stats_snapshot borrowed = *snapshot;

    Q_ASSERT(snapshot->row_count <= MEM_STATS_ROWS_MAX);
    for (uint32_t i = 0; i < snapshot->row_count; i++) {
        ret_index[i] = i;
    }
    qsort_r(ret_index, snapshot->row_count, sizeof(ret_index[0]), compare_rows, &borrowed);
    return snapshot->row_count;
}

void heap_text_rows(FILE *file, const struct mem_stats_snapshot *snapshot)
{
    uint32_t index[MEM_STATS_ROWS_MAX];
    uint32_t count = heap_text_sort_rows(snapshot, index);
    char spans[SIZE_TEXT_BYTES], live[SIZE_TEXT_BYTES], large[SIZE_TEXT_BYTES],
        wasted[SIZE_TEXT_BYTES];

    fputs("  owner            lifetime              spans        live       large  fragmentation"
          "     sparse spans\n",
          file);
    for (uint32_t i = 0; i < count; i++) {
        const struct mem_stats_row *row = &snapshot->rows[index[i]];
        uint64_t row_free = figures_row_free(row);
        char owner[MEM_STATS_NAME_BYTES], lifetime[MEM_STATS_NAME_BYTES];
        fprintf(file,
                "  %-16.16s %-16.16s %10s  %10s  %10s  %10s %3.0f %%  %" PRIu64 " of %" PRIu64 "\n",
                copy_name(row->owner_name, owner), copy_name(row->lifetime_name, lifetime),
                size_format(row->span_bytes, spans), size_format(row->live_bytes, live),
                size_format(row->large_bytes, large), size_format(row_free, wasted),
                figures_percent(row_free, row->span_bytes), row->sparse_span_count,
                row->span_count);
    }
}

/* ---- accounts ------------------------------------------------------------------------------- */

void heap_text_accounts(FILE *file, const struct mem_stats_snapshot *snapshot)
{
    char line[ACCOUNT_TEXT_BYTES];

    fprintf(file, "  %s\n", account_text_budget(snapshot, line));
    if (snapshot->account_count > 0) {
        fprintf(file, "  %s\n", account_text_heading);
    }
    for (uint32_t i = 0; i < snapshot->account_count; i++) {
        fprintf(file, "  %s\n", account_text_line(&snapshot->accounts[i], line));
    }
}

/* ---- classes -------------------------------------------------------------------------------- */

static int compare_classes(const void *one, const void *other, void *argument)
{
    const struct mem_stats_snapshot *snapshot = argument;
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    uint64_t a_waste = figures_class_waste(&snapshot->classes[a]);
    uint64_t b_waste = figures_class_waste(&snapshot->classes[b]);

    if (a_waste != b_waste) {
        return a_waste > b_waste ? -1 : 1;
    }
    return a < b ? -1 : a > b;
}

uint32_t heap_text_sort_classes(const struct mem_stats_snapshot *snapshot,
                                uint32_t ret_index[MEM_STATS_CLASSES_MAX])
{
    struct mem_stats_snapshot borrowed = *snapshot;
    uint32_t count = 0;

    Q_ASSERT(snapshot->class_count <= MEM_STATS_CLASSES_MAX);
    for (uint32_t i = 0; i < snapshot->class_count; i++) {
        if (snapshot->classes[i].span_count > 0) {
            ret_index[count++] = i;
        }
    }
    qsort_r(ret_index, count, sizeof(ret_index[0]), compare_classes, &borrowed);
    return count;
}

void heap_text_classes(FILE *file, const struct mem_stats_snapshot *snapshot, uint32_t class_max)
{
    uint32_t index[MEM_STATS_CLASSES_MAX];
    uint32_t count = heap_text_sort_classes(snapshot, index);
    char wasted[SIZE_TEXT_BYTES], tails[SIZE_TEXT_BYTES];

    fputs("     size       spans        live      room    full       waste       tails\n", file);
    for (uint32_t i = 0; i < count && i < class_max; i++) {
        const struct mem_stats_class *class = &snapshot->classes[index[i]];
        fprintf(
            file,
            "  %7" PRIu64 "  %10" PRIu64 "  %10" PRIu64 "  %8" PRIu64 "  %4.0f %%  %10s  %10s\n",
            class->object_bytes, class->span_count, class->live_count, class->capacity_count,
            figures_percent(class->live_count, class->capacity_count),
            size_format(figures_class_waste(class), wasted), size_format(class->tail_bytes, tails));
    }
    if (count > class_max) {
        fprintf(file, "  and %u more\n", count - class_max);
    }
}

/* ---- stacks --------------------------------------------------------------------------------- */

void heap_text_frames(FILE *file, struct symbols *symbols, const struct mem_stats_stack *stack,
                      const char *indent, uint32_t frame_max)
{
    char text[SYMBOL_TEXT_BYTES];
    uint32_t printed = 0, count = 0;

    if (stack->depth == 0) {
        fprintf(file, "%sno stack could be taken\n", indent);
    }
    for (uint32_t i = 0; i < stack->depth; i++) {
        uint32_t inlined_count = symbols_inlined_count(symbols, stack->pc[i]);
        for (uint32_t j = 0; j < inlined_count && printed < frame_max; j++, printed++) {
            fprintf(file, "%s%s\n", indent, symbols_describe(symbols, stack->pc[i], j, text));
        }
        count += inlined_count;
    }
    if (count > printed) {
        fprintf(file, "%sand %u more\n", indent, count - printed);
    }
}

static void print_stack_line(FILE *file, const struct mem_stats_snapshot *snapshot,
                             const struct stack_figures *figures, enum stack_order order)
{
    const struct mem_stats_stack *stack = &snapshot->stacks[figures->index];
    char bytes[SIZE_TEXT_BYTES], live[SIZE_TEXT_BYTES];
    char owner[MEM_STATS_NAME_BYTES], lifetime[MEM_STATS_NAME_BYTES];

    (void)size_format(stack_weight(figures, order), bytes);
    (void)copy_name(figures_owner_name(snapshot, stack->owner), owner);
    (void)copy_name(figures_lifetime_name(snapshot, stack->lifetime), lifetime);
    switch (order) {
    case STACKS_BY_LIVE:
        fprintf(file, "  %10s  in %" PRIu64 " objects (%s, %s)\n", bytes, figures->live_count,
                owner, lifetime);
        break;
    case STACKS_BY_ALLOC:
        fprintf(file, "  %10s  in %" PRIu64 " allocations, %s still alive (%s, %s)\n", bytes,
                figures->alloc_count, size_format(figures->live_bytes, live), owner, lifetime);
        break;
    case STACKS_BY_PINNED:
        fprintf(file, "  %10s  pinned by %s of live objects (%s, %s)\n", bytes,
                size_format(figures->pinned_live_bytes, live), owner, lifetime);
        break;
    }
}

enum quarry_status heap_text_stacks(FILE *file, const struct mem_stats_snapshot *snapshot,
                                    struct symbols *symbols, enum stack_order order,
                                    uint32_t stack_max, uint32_t frame_max)
{
    struct stack_list list;
    enum quarry_status status = stack_list_init(snapshot, order, &list);

    if (status != QUARRY_OK) {
        return status;
    }
    for (uint32_t i = 0; i < list.count && i < stack_max; i++) {
        print_stack_line(file, snapshot, &list.stack[i], order);
        heap_text_frames(file, symbols, &snapshot->stacks[list.stack[i].index], FRAME_INDENT,
                         frame_max);
    }
    if (list.count == 0) {
        fputs("              none\n", file);
    } else if (list.count > stack_max) {
        fprintf(file, "              and %u more\n", list.count - stack_max);
    }
    stack_list_fini(&list);
    return QUARRY_OK;
}

/* ---- ages ----------------------------------------------------------------------------------- */

/* "250 ms", "4 s", "17 min": the nearest unit that is at least 1. */
static void format_ms(uint64_t ms, char text[12])
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = {{DAY_MS, "d"}, {HOUR_MS, "h"}, {MINUTE_MS, "min"}, {SECOND_MS, "s"}, {1, "ms"}};
    size_t i = 0;

    while (ms < units[i].ms) {
        i++;
    }
    (void)snprintf(text, 12, "%" PRIu64 " %s", ms / units[i].ms, units[i].unit);
}

const char *heap_text_age(uint32_t bucket, char text[AGE_TEXT_BYTES])
{
    char from[12], to[12];

    Q_ASSERT(bucket < MEM_STATS_AGE_BUCKETS);
    if (bucket == 0) {
        (void)snprintf(text, AGE_TEXT_BYTES, "under 1 ms");
        return text;
    }
    format_ms((uint64_t)1 << (2 * (bucket - 1)), from);
    format_ms((uint64_t)1 << (2 * bucket), to);
    if (bucket + 1 == MEM_STATS_AGE_BUCKETS) {
        (void)snprintf(text, AGE_TEXT_BYTES, "%s or more", from);
    } else {
        (void)snprintf(text, AGE_TEXT_BYTES, "%s to %s", from, to);
    }
    return text;
}

static void print_ages(FILE *file, const struct mem_stats_stack *stack,
                       const struct stack_figures *figures)
{
    char bytes[SIZE_TEXT_BYTES], age[AGE_TEXT_BYTES];

    for (uint32_t i = 0; i < MEM_STATS_AGE_BUCKETS; i++) {
        if (stack->age[i].bytes > 0) {
            fprintf(file, "    %10s  freed at %s\n", size_format(stack->age[i].bytes, bytes),
                    heap_text_age(i, age));
        }
    }
    if (figures->live_bytes > 0) {
        fprintf(file, "    %10s  alive\n", size_format(figures->live_bytes, bytes));
    }
}

enum quarry_status heap_text_lifetimes(FILE *file, const struct mem_stats_snapshot *snapshot,
                                       struct symbols *symbols, uint32_t stack_max)
{
    struct stack_list list;
    enum quarry_status status = stack_list_init(snapshot, STACKS_BY_ALLOC, &list);

    if (status != QUARRY_OK) {
        return status;
    }
    for (uint32_t i = 0; i < list.count && i < stack_max; i++) {
        const struct mem_stats_stack *stack = &snapshot->stacks[list.stack[i].index];
        print_stack_line(file, snapshot, &list.stack[i], STACKS_BY_ALLOC);
        print_ages(file, stack, &list.stack[i]);
        heap_text_frames(file, symbols, stack, FRAME_INDENT, LIFETIME_FRAMES);
    }
    if (list.count == 0) {
        fputs("              none\n", file);
    }
    stack_list_fini(&list);
    return QUARRY_OK;
}
