/*
 * A cache without a thread on a simulated page heap with memory behind it, for tests of what goes
 * and what stays: one at a time. Keys and values are made of numbers.
 */
#ifndef QUARRY_TESTS_CACHE_POLICY_RIG_H
#define QUARRY_TESTS_CACHE_POLICY_RIG_H

#include "unit/page/simulated_heap.h"

#include <cache/policy.h>
#include <cache/policy_parts.h>

/* Under test between policy_begin and policy_end. */
extern struct quarry_cache *cache;
extern struct quarry_cache_tenant *tenant; /* the default one */

/*
 * Sizes of zero are 64 MiB, in a memory of 4 GiB; a thread only when `has_thread`. With
 * `disk_bytes` the items lie in a file, on a disk of so many.
 */
struct policy_setup {
    uint64_t size_bytes, limit_bytes, value_bytes_max, disk_bytes;
    bool never_evicts, has_thread;
};
void policy_begin(const struct policy_setup *setup);
void policy_check(void);
/* Checks and closes; nothing may be left. */
void policy_end(void);

/* cmocka's setup and teardown: 16 MiB. */
int policy_set_up(void **state);
int policy_tear_down(void **state);

struct quarry_cache_tenant *policy_tenant(const char *name, uint64_t quota_bytes,
                                          uint64_t share_bytes);

/* Stores key `n` with a value of `bytes` that tells the number; 0 expiry is never. */
enum quarry_cache_outcome put_to(struct quarry_cache_tenant *to, uint64_t n, size_t bytes,
                                 uint32_t expiry);
enum quarry_cache_outcome put(uint64_t n, size_t bytes);
/* Whether key `n` is there; its value is checked. A read. */
bool get_from(struct quarry_cache_tenant *from, uint64_t n);
bool get(uint64_t n);
/* Of keys [first, last), how many are there, without leaving a trace. */
uint64_t count_of(struct quarry_cache_tenant *from, uint64_t first, uint64_t last);

/* Turns until there is nothing to do. Returns: how many. */
uint32_t turn_all(void);

struct quarry_cache_tenant_stats stats_of(const struct quarry_cache_tenant *of);
struct quarry_cache_stats stats_now(void);

#endif
