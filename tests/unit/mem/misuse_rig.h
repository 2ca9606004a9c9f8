/*
 * An object heap over a simulated page heap with real backing, for tests of what happens to those
 * who misuse it: one at a time, with an observer that counts.
 */
#ifndef QUARRY_TESTS_UNIT_MEM_MISUSE_RIG_H
#define QUARRY_TESTS_UNIT_MEM_MISUSE_RIG_H

/* First: a parameter of their inline functions has the name of the page heap under test. */
#include <mem/hardened.h>
#include <mem/mem.h>
#include <mem/validate.h>

#include "unit/os/child.h"
#include "unit/page/simulated_heap.h"

/* Under test between objects_begin and objects_end. */
extern struct mem_heap objects;
extern struct mem_pool *pool; /* its general one */

/* What the observer was told. */
extern _Atomic uint64_t allocated_count; /* samples that began */
extern _Atomic uint64_t freed_count;     /* of those, samples that ended */
extern _Atomic uint64_t strange_count;   /* reports that fit none: begun twice, or twice ended */

/* `options`: pages and name are filled in. `gap_bytes`: between samples; 0: none at all. */
void objects_begin(struct mem_heap_options options, uint64_t gap_bytes, uint64_t limit_bytes);
/* Checks both heaps and ends them; everything charged must have been given back. */
void objects_end(void);
/* Checks both, and goes on. */
void objects_check(void);

/* An object that there must be, opaque to the compiler. */
void *take(size_t bytes);
void *opaque(void *pointer);

/* Fills bytes with a pattern of `seed`, and checks it. */
void pattern_fill(void *base, size_t bytes, unsigned seed);
bool pattern_holds(const void *base, size_t bytes, unsigned seed);

#endif
