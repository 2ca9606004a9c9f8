/*
 * An object heap on a simulated page heap, for tests: one at a time.
 */
#ifndef QUARRY_TESTS_UNIT_MEM_MEM_RIG_H
#define QUARRY_TESTS_UNIT_MEM_MEM_RIG_H

/* First: a parameter of its inline functions has the name of the page heap under test. */
#include <mem/mem.h>

#include "unit/page/simulated_heap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Under test between mem_begin and mem_end; `heap` is the page heap. */
extern struct mem_heap objects;

/* `limit_bytes`: 0: 4 GiB. */
void mem_begin(uint64_t limit_bytes);
/* Validates both heaps and ends them; nothing may be left. */
void mem_end(void);
/* Validates both heaps. No other thread is at work. */
void mem_check(void);

/* cmocka's setup and teardown with the defaults. */
int mem_set_up(void **state);
int mem_tear_down(void **state);

/* Those that must succeed. */
struct mem_lifetime *lifetime_make(const char *name);
struct mem_pool *pool_make(struct mem_lifetime *lifetime, const char *owner);
void *take(struct mem_pool *pool, size_t bytes);

/* In use by a pool's owner in its lifetime, as the ledger has it. */
uint64_t pool_pages(const struct mem_pool *pool);
/* The span of an object. */
struct mem_span *span_of(const void *object);

/* An object's bytes are a pattern of `seed`. */
void pattern_write(void *object, size_t bytes, uint64_t seed);
void pattern_check_prefix(const void *object, size_t bytes, uint64_t seed);
void pattern_check(const void *object, size_t bytes, uint64_t seed);

#endif
