/*
 * Sums over a snapshot. Committed bytes are, by what they do:
 *
 *   | live | free | cached by threads | tails | large | page caches | free pages | metadata |
 *   |<------------- spans --------------------->|
 *   |<------------ objects and pages in use -------->|
 *
 * What is free in spans is not told apart by whether a bin lists the span: that a span waits in a
 * bin for the next allocation does not make its memory good for anything else.
 *
 * Totals, rows and ledger are counted one after the other while the program goes on, so that a
 * difference may come out below zero by a little: it is 0 then.
 */
#include <cli/figures.h>

#include <stdio.h>
#include <stdlib.h>

const char *const waste_names[WASTE_CAUSES] = {
    [WASTE_SPANS] = "free in spans",
    [WASTE_THREAD_CACHE] = "cached by threads",
    [WASTE_PAGE_CACHE] = "pages cached by threads",
    [WASTE_FREE] = "free pages not given back yet",
    [WASTE_TAILS] = "tails of spans",
    [WASTE_METADATA] = "metadata",
    [WASTE_ROUNDING] = "rounding to size classes",
};

const char *const waste_fields[WASTE_CAUSES] = {
    [WASTE_SPANS] = "span_free_bytes",        [WASTE_THREAD_CACHE] = "thread_cached_bytes",
    [WASTE_PAGE_CACHE] = "page_cached_bytes", [WASTE_FREE] = "free_backed_bytes",
    [WASTE_TAILS] = "span_tail_bytes",        [WASTE_METADATA] = "metadata_bytes",
    [WASTE_ROUNDING] = "rounding_bytes",
};

/* Rounding as the samples have it, in proportion to all live bytes, which are counted exactly. */
static uint64_t rounding_of(const struct mem_stats_snapshot *snapshot, uint64_t object_bytes)
{
    uint64_t usable = 0, requested = 0;

    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        struct stack_figures stack = stack_figures_of(&snapshot->stacks[i], i);
        usable = sat_add_u64(usable, stack.live_bytes);
        requested = sat_add_u64(requested, stack.live_requested_bytes);
    }
    if (usable == 0 || requested >= usable) {
        return 0;
    }
    return (uint64_t)((double)object_bytes * (double)(usable - requested) / (double)usable);
}

struct figures figures_of(const struct mem_stats_snapshot *snapshot)
{
    const struct mem_stats_totals *totals = snapshot->totals;
    const struct quarry_ledger *ledger = &totals->ledger;
    uint64_t span_used = sat_add_u64(sat_add_u64(totals->live_bytes, totals->thread_cached_bytes),
                                     totals->span_tail_bytes);
    struct figures figures = {
        .committed_bytes = ledger->committed_bytes,
        .object_bytes = sat_add_u64(totals->live_bytes, totals->large_bytes),
        .span_bytes = totals->span_bytes,
        .waste_bytes = {[WASTE_SPANS] = sat_sub_u64(totals->span_bytes, span_used),
                        [WASTE_THREAD_CACHE] = totals->thread_cached_bytes,
                        [WASTE_PAGE_CACHE] = ledger->cached_bytes,
                        [WASTE_FREE] = ledger->free_backed_bytes,
                        [WASTE_TAILS] = totals->span_tail_bytes,
                        [WASTE_METADATA] = ledger->metadata_bytes},
    };

    for (uint32_t cause = 0; cause < WASTE_ROUNDING; cause++) {
        figures.waste_sum_bytes = sat_add_u64(figures.waste_sum_bytes, figures.waste_bytes[cause]);
    }
    figures.waste_bytes[WASTE_ROUNDING] = rounding_of(snapshot, figures.object_bytes);
    return figures;
}

uint64_t figures_row_free(const struct mem_stats_row *row)
{
    return sat_sub_u64(row->span_bytes, row->live_bytes);
}

uint64_t figures_class_waste(const struct mem_stats_class *class)
{
    uint64_t span_bytes =
        sat_mul_u64(sat_mul_u64(class->span_count, class->span_pages), QUARRY_PAGE_BYTES);

    return sat_sub_u64(span_bytes, sat_mul_u64(class->live_count, class->object_bytes));
}

/* ---- stacks --------------------------------------------------------------------------------- */

uint64_t figures_objects(uint64_t weight)
{
    return sat_add_u64(weight, MEM_STATS_WEIGHT_ONE / 2) >> MEM_STATS_WEIGHT_SHIFT;
}

struct stack_figures stack_figures_of(const struct mem_stats_stack *stack, uint32_t index)
{
    const struct mem_stats_flow *alloc = &stack->alloc, *freed = &stack->free;

    return (struct stack_figures){
        .index = index,
        .live_bytes = sat_sub_u64(alloc->bytes, freed->bytes),
        .live_count = figures_objects(sat_sub_u64(alloc->weight, freed->weight)),
        .live_requested_bytes = sat_sub_u64(alloc->requested_bytes, freed->requested_bytes),
        .alloc_bytes = alloc->bytes,
        .alloc_count = figures_objects(alloc->weight),
        .freed_bytes = freed->bytes,
        .pinned_span_bytes = stack->pinned_span_bytes,
        .pinned_live_bytes = stack->pinned_live_bytes,
    };
}

uint64_t stack_weight(const struct stack_figures *stack, enum stack_order order)
{
    switch (order) {
    case STACKS_BY_LIVE:
        return stack->live_bytes;
    case STACKS_BY_ALLOC:
        return stack->alloc_bytes;
    case STACKS_BY_PINNED:
        return stack->pinned_span_bytes;
    }
    Q_UNREACHABLE();
}

/* More first; equals by their place, so that the order stands still from look to look. */
static int compare_stacks(const void *one, const void *other, void *argument)
{
    const struct stack_figures *a = one, *b = other;
    enum stack_order order = *(const enum stack_order *)argument;
    uint64_t a_weight = stack_weight(a, order), b_weight = stack_weight(b, order);

    if (a_weight != b_weight) {
        return a_weight > b_weight ? -1 : 1;
    }
    return a->index < b->index ? -1 : a->index > b->index;
}

enum quarry_status stack_list_init(const struct mem_stats_snapshot *snapshot,
                                   enum stack_order order, struct stack_list *ret_list)
{
    struct stack_list list = {
        .stack = calloc(snapshot->stack_count + 1, sizeof(struct stack_figures)),
    };

    if (list.stack == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (uint32_t i = 0; i < snapshot->stack_count; i++) {
        struct stack_figures stack = stack_figures_of(&snapshot->stacks[i], i);
        if (stack_weight(&stack, order) > 0) {
            list.stack[list.count++] = stack;
        }
    }
    qsort_r(list.stack, list.count, sizeof(list.stack[0]), compare_stacks, &order);
    *ret_list = list;
    return QUARRY_OK;
}

void stack_list_fini(struct stack_list *list)
{
    free(list->stack);
    *list = (struct stack_list){0};
}

/* ---- names and shares ----------------------------------------------------------------------- */

const char *figures_owner_name(const struct mem_stats_snapshot *snapshot, uint32_t owner)
{
    const char *name = mem_stats_owner_name(snapshot, owner);

    return name != NULL ? name : "?";
}

const char *figures_lifetime_name(const struct mem_stats_snapshot *snapshot, uint32_t lifetime)
{
    const char *name = mem_stats_lifetime_name(snapshot, lifetime);

    return name != NULL ? name : "?";
}

const char *figures_limit(uint64_t limit_bytes, char text[SIZE_TEXT_BYTES])
{
    if (limit_bytes >= PAGE_COMMIT_LIMIT_MAX_BYTES) {
        (void)snprintf(text, SIZE_TEXT_BYTES, "none");
        return text;
    }
    return size_format(limit_bytes, text);
}

double figures_percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0.0 : 100.0 * (double)part / (double)whole;
}
