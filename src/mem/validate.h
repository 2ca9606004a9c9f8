/*
 * Checking a whole object heap.
 */
#ifndef QUARRY_MEM_VALIDATE_H
#define QUARRY_MEM_VALIDATE_H

#include <mem/heap.h>

/*
 * Checks every structure against every other: each span is in one list or current in one bin, and
 * on the map where it lies and nowhere else; its bitmaps agree with each other and with its bin;
 * mail and unused records are all accounted for; and the pages of spans and large objects are those
 * that the page heap's ledger has.
 *
 * `error`: says the first difference; may be NULL.
 * Returns: QUARRY_OK or QUARRY_CORRUPT. Threads: no other thread uses the heap meanwhile; slow
 * paths wait, but what threads have in hand would show as a difference. Cost: O(lanes' pages).
 */
enum quarry_status mem_heap_validate(struct mem_heap *heap, struct quarry_error *error);

/*
 * The same in the child of a fork, which may have lost what other threads had in hand when it was
 * made: pages and records of spans about to be entered or freed, and letters about to be sent.
 */
enum quarry_status mem_heap_validate_child(struct mem_heap *heap, struct quarry_error *error);

#endif
