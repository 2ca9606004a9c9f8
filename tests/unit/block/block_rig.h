/*
 * A block cache on a simulated page heap with memory behind it, for tests: one at a time.
 */
#ifndef QUARRY_TESTS_UNIT_BLOCK_BLOCK_RIG_H
#define QUARRY_TESTS_UNIT_BLOCK_BLOCK_RIG_H

#include "unit/page/simulated_heap.h"

#include <quarry/block.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Under test between cache_begin and cache_end. */
extern struct quarry_block_cache *cache;
/* A namespace, and what lookups are made for. */
extern uint64_t store;
extern const struct quarry_block_tag data_tag;
extern const struct quarry_block_tag background_tag;

/* `limit_bytes`: of the memory; 0: 4 GiB. `options`: NULL: one shard of 1 MiB. */
void cache_begin(uint64_t limit_bytes, const struct quarry_block_cache_options *options);
/* Checks everything and closes; nothing may be left. */
void cache_end(void);
void cache_check(void);

/* cmocka's setup and teardown with the defaults. */
int cache_set_up(void **state);
int cache_tear_down(void **state);

/* The key of number `n`: 100 blocks of a file. */
struct quarry_block_key key_of(uint64_t n);

/* A block of which every word is told by the number, and that check. */
struct quarry_block block_make(uint64_t n, size_t bytes);
void block_fill(const struct quarry_block *block, uint64_t n);
bool block_is_right(const struct quarry_block *block, uint64_t n);
void block_check(const struct quarry_block *block, uint64_t n);

/* Makes a block and enters it; the reference is given up. */
enum quarry_status enter(uint64_t n, size_t bytes);
/* Looks it up, checks it, gives it up. */
bool is_there(uint64_t n);
/* Without being seen. */
bool is_there_quietly(uint64_t n);

struct quarry_block_stats stats_now(void);

#endif
