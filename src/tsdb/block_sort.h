/*
 * Sorting what does not fit into memory: records in place, and a heap of runs to merge.
 */
#ifndef QUARRY_TSDB_BLOCK_SORT_H
#define QUARRY_TSDB_BLOCK_SORT_H

#include <base/base.h>

struct block_record {
    uint64_t key;     /* compared first */
    uint64_t payload; /* by `tie`, when the keys are equal */
};

/* Orders records of one key: less than, equal to, above 0. */
typedef int block_tie_function(const void *argument, uint64_t a_payload, uint64_t b_payload);

/* Payloads as numbers. */
int block_tie_number(const void *argument, uint64_t a_payload, uint64_t b_payload);

/* Sorts in place; equal ones in any order. Cost: O(n log n), expected; no memory but the stack. */
void block_sort(struct block_record *records, size_t count, block_tie_function *tie,
                const void *argument);

/* Orders runs by what is next in them. */
typedef int block_run_function(const void *argument, uint32_t a_run, uint32_t b_run);

/* A heap of runs that still have something. `runs`: the caller's, room for all of them. */
struct block_heap {
    uint32_t *runs;
    size_t count;
    block_run_function *compare;
    const void *argument;
};

void block_heap_push(struct block_heap *heap, uint32_t run);
/* The run whose next is least. */
static inline uint32_t block_heap_top(const struct block_heap *heap)
{
    return heap->runs[0];
}
/* The top run has gone on to what is next in it. */
void block_heap_settle(struct block_heap *heap);
/* The top run has nothing more. */
void block_heap_pop(struct block_heap *heap);

#endif
