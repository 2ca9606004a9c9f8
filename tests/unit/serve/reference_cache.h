/*
 * A cache as plain as can be, behind the calls of quarry/cache.h: an array of items that is
 * searched from its begin, memory from malloc, a clock that stands still unless it is moved.
 *
 * It says what a call means where the real one says how it is done fast: the tests of the doors run
 * on it, and model tests compare the real one with it. It never evicts, and serves one thread.
 */
#ifndef QUARRY_TESTS_REFERENCE_CACHE_H
#define QUARRY_TESTS_REFERENCE_CACHE_H

#include <quarry/cache.h>

/* What its clock shows at first. */
#define REFERENCE_START_SECONDS 1795000000u

/* A cache; `value_bytes_max` 0 is the default. Ended by quarry_cache_close. */
struct quarry_cache *reference_cache_create(uint64_t value_bytes_max);

/* The next `count` takings of memory for a value fail, after `skip` that do not. */
void reference_cache_fail(struct quarry_cache *cache, uint64_t skip, uint64_t count);
/* Values above so many bytes come in pieces of so many; 0: all in one. */
void reference_cache_set_piece_bytes(struct quarry_cache *cache, size_t piece_bytes);
/* How many pins there are. */
uint64_t reference_cache_pins(const struct quarry_cache *cache);
/* How many writes have been begun and not ended. */
uint64_t reference_cache_writes(const struct quarry_cache *cache);
/* Pins are refused from here on, or allowed. */
void reference_cache_refuse_pins(struct quarry_cache *cache, bool refuses);

#endif
