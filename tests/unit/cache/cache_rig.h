/*
 * A cache on a simulated page heap with memory behind it, for tests: one at a time.
 */
#ifndef QUARRY_TESTS_UNIT_CACHE_CACHE_RIG_H
#define QUARRY_TESTS_UNIT_CACHE_CACHE_RIG_H

#include "unit/page/simulated_heap.h"

#include <quarry/cache.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Under test between cache_begin and cache_end: the cache, and its default tenant. */
extern struct quarry_cache *cache;
extern struct quarry_cache_tenant *tenant;

/* `options`: NULL: 16 MiB, without a thread. */
void cache_begin(const struct quarry_cache_options *options);
/* Checks everything and closes; nothing may be left. */
void cache_end(void);
void cache_check(void);

/* cmocka's setup and teardown with the defaults. */
int cache_set_up(void **state);
int cache_tear_down(void **state);

struct quarry_cache_key key_of(const char *text);

/* Stores a text by a mode, and otherwise plainly. */
enum quarry_cache_outcome store(enum quarry_cache_mode mode, const char *key, const char *value);
/* Stores with options. Returns: the cas, which is written where it was stored. */
enum quarry_cache_outcome store_with(const char *key, const char *value,
                                     const struct quarry_cache_store_options *options,
                                     uint64_t *ret_cas);
/* Stores, which must succeed. Returns: the cas. */
uint64_t set(const char *key, const char *value);
uint64_t set_until(const char *key, const char *value, uint32_t expiry);

/* Gets by options; what was found is copied, and its key and value are not to be read. */
enum quarry_cache_outcome get_with(const char *key, const struct quarry_cache_get_options *options,
                                   struct quarry_cache_hit *ret_hit);
/* The item is there; tells of it. */
struct quarry_cache_hit hit_of(const char *key);
/* Without a trace. */
struct quarry_cache_hit peek(const char *key);
/* The whole value of a key as a text, NULL where there is none; valid until the next call. */
const char *value_of(const char *key);
bool is_there(const char *key);

/* Bytes told by a number: a value of any length, in one or many pieces. */
void fill(char *bytes, size_t byte_count, uint64_t number, uint64_t offset);
enum quarry_cache_outcome set_filled(const char *key, uint64_t number, uint64_t value_bytes);
/* Whether the key has just such a value. */
bool is_filled(const char *key, uint64_t number, uint64_t value_bytes);
/* Likewise of a hit, inside the epoch. */
bool hit_is_filled(const struct quarry_cache_hit *hit, uint64_t number);

struct quarry_cache_tenant_stats stats_now(void);
/* Moves the clock on. */
void wait_s(int64_t seconds);

#endif
