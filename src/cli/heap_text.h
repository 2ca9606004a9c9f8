/*
 * The figures of a heap as tables for people.
 */
#ifndef QUARRY_CLI_HEAP_TEXT_H
#define QUARRY_CLI_HEAP_TEXT_H

#include <cli/figures.h>
#include <cli/process.h>
#include <cli/symbols.h>

#include <stdio.h>

/* Committed bytes by what they do, one a line, and the waste by cause. */
void heap_text_ledger(FILE *file, const struct mem_stats_snapshot *snapshot);
/* The waste by cause alone, what there is of each. */
void heap_text_waste(FILE *file, const struct figures *figures);
/* The budget: pressure, what is set aside, the tree of accounts. */
void heap_text_accounts(FILE *file, const struct mem_stats_snapshot *snapshot);
/* Owners × lifetimes with their fragmentation. */
void heap_text_rows(FILE *file, const struct mem_stats_snapshot *snapshot);
/* The classes that have spans, most waste first; at most `class_max`. */
void heap_text_classes(FILE *file, const struct mem_stats_snapshot *snapshot, uint32_t class_max);

/*
 * The first `stack_max` stacks by that order, each with `frame_max` frames.
 * Errors: NO_MEMORY.
 */
Q_NODISCARD enum quarry_status heap_text_stacks(FILE *file,
                                                const struct mem_stats_snapshot *snapshot,
                                                struct symbols *symbols, enum stack_order order,
                                                uint32_t stack_max, uint32_t frame_max);

/*
 * The frames of a stack, one a line behind `indent`, functions that were inlined too; "and n more"
 * stands for what is beyond `frame_max`.
 */
void heap_text_frames(FILE *file, struct symbols *symbols, const struct mem_stats_stack *stack,
                      const char *indent, uint32_t frame_max);

/* How old objects were when they were freed, for the stacks that allocated most. Errors: NO_MEMORY.
 */
Q_NODISCARD enum quarry_status heap_text_lifetimes(FILE *file,
                                                   const struct mem_stats_snapshot *snapshot,
                                                   struct symbols *symbols, uint32_t stack_max);

/* Room for the text of an age's bucket. */
#define AGE_TEXT_BYTES 32

/* "under 1 ms", "16 ms to 64 ms", … "3 days or more". `bucket`: below MEM_STATS_AGE_BUCKETS. */
const char *heap_text_age(uint32_t bucket, char text[AGE_TEXT_BYTES]);

/* Indices of the classes that have spans, most waste first. Returns: how many. */
uint32_t heap_text_sort_classes(const struct mem_stats_snapshot *snapshot,
                                uint32_t ret_index[MEM_STATS_CLASSES_MAX]);
/* Indices of the rows, most fragmentation first. Returns: how many. */
uint32_t heap_text_sort_rows(const struct mem_stats_snapshot *snapshot,
                             uint32_t ret_index[MEM_STATS_ROWS_MAX]);

#endif
