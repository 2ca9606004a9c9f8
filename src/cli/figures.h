/*
 * What the raw figures of a heap come to: bytes by cause, and stacks in order.
 */
#ifndef QUARRY_CLI_FIGURES_H
#define QUARRY_CLI_FIGURES_H

#include <base/base.h>
#include <mem/mem.h>

/* Causes of waste: backed bytes that no object of the program uses. */
enum waste_cause {
    WASTE_SPANS,        /* free in spans: objects, and spans kept for the next ones */
    WASTE_THREAD_CACHE, /* free objects with threads */
    WASTE_PAGE_CACHE,   /* free pages with threads */
    WASTE_FREE,         /* free pages that have not gone back yet */
    WASTE_TAILS,        /* behind the last object of each span */
    WASTE_METADATA,     /* the heap's own structures */
    WASTE_ROUNDING,     /* usable but not asked for, estimated; part of the live bytes */
    WASTE_CAUSES,
};

/* Of a cause, for people and as a JSON field. */
extern const char *const waste_names[WASTE_CAUSES];
extern const char *const waste_fields[WASTE_CAUSES];

struct figures {
    uint64_t committed_bytes;
    uint64_t object_bytes; /* what the program holds: small and large objects, usable size */
    uint64_t span_bytes;
    uint64_t waste_bytes[WASTE_CAUSES];
    uint64_t waste_sum_bytes; /* without rounding, which is inside the objects */
};

/* Sums a snapshot up. Figures of different moments may contradict each other: nothing underflows.
 */
struct figures figures_of(const struct mem_stats_snapshot *snapshot);

/* Free bytes in the spans of a row. */
uint64_t figures_row_free(const struct mem_stats_row *row);
/* Bytes of a class' spans that are not in live objects. */
uint64_t figures_class_waste(const struct mem_stats_class *class);

/* One sampled stack, in whole objects and bytes. */
struct stack_figures {
    uint32_t index; /* in the snapshot */
    uint64_t live_bytes;
    uint64_t live_count;
    uint64_t live_requested_bytes;
    uint64_t alloc_bytes;
    uint64_t alloc_count;
    uint64_t freed_bytes;
    uint64_t pinned_span_bytes;
    uint64_t pinned_live_bytes;
};

enum stack_order { STACKS_BY_LIVE, STACKS_BY_ALLOC, STACKS_BY_PINNED };

struct stack_list {
    struct stack_figures *stack; /* own */
    uint32_t count;              /* those that have any of what they are ordered by */
};

/*
 * The stacks of a snapshot, most first. `ret_list`: own; end it with stack_list_fini.
 * Errors: NO_MEMORY. Cost: O(n log n).
 */
Q_NODISCARD enum quarry_status stack_list_init(const struct mem_stats_snapshot *snapshot,
                                               enum stack_order order, struct stack_list *ret_list);
void stack_list_fini(struct stack_list *list);

/* What the list is ordered by. */
uint64_t stack_weight(const struct stack_figures *stack, enum stack_order order);

struct stack_figures stack_figures_of(const struct mem_stats_stack *stack, uint32_t index);

/* Objects of a fixed-point weight, to the nearest. */
uint64_t figures_objects(uint64_t weight);

/* The name of an owner or a lifetime of a stack; "?" when no row explains it. */
const char *figures_owner_name(const struct mem_stats_snapshot *snapshot, uint32_t owner);
const char *figures_lifetime_name(const struct mem_stats_snapshot *snapshot, uint32_t lifetime);

/* A limit for people: "512 MiB", or "none". */
const char *figures_limit(uint64_t limit_bytes, char text[SIZE_TEXT_BYTES]);

/* `part` of `whole` in percent; 0 of nothing. */
double figures_percent(uint64_t part, uint64_t whole);

#endif
