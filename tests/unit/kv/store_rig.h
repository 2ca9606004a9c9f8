/*
 * Stores for tests: a memory, a file system in memory, and the calls of a store that must succeed.
 */
#ifndef QUARRY_TESTS_UNIT_KV_STORE_RIG_H
#define QUARRY_TESTS_UNIT_KV_STORE_RIG_H

#include "unit/base/cmocka_all.h"

#include <quarry/kv.h>
#include <quarry/memory.h>
#include <quarry/vfs.h>

#include <base/base.h>

/* Valid between store_set_up and store_tear_down, which finds out whether all was given back. */
extern struct quarry_memory *rig_memory;
extern struct quarry_vfs *rig_disk; /* in memory */

int store_set_up(void **state);
int store_tear_down(void **state);

/* Another disk in place of rig_disk: the one of a loss of power. `kept_percent`: see vfs.h. */
void store_lose_power(uint32_t kept_percent, uint64_t seed);

/* Small memtables, no threads, the rig's disk, made if it is not there. */
struct quarry_kv_options store_options(void);
/* Opens "/db"; it must. NULL: store_options(). */
struct quarry_kv *store_open(const struct quarry_kv_options *options);
/* The status of the same, and what it says. */
enum quarry_status store_try_open(const struct quarry_kv_options *options,
                                  struct quarry_error *error);
void store_close(struct quarry_kv *kv);

void store_put(struct quarry_kv *kv, const char *key, const char *value);
void store_delete(struct quarry_kv *kv, const char *key);
/* `value`: NULL: there must be none. */
void store_expect(struct quarry_kv *kv, const char *key, const char *value);

/* Keys "key000012" with values "value 12 of 3" and filling: many, in a few calls. */
void store_put_number(struct quarry_kv *kv, uint32_t number, uint32_t round, size_t value_bytes);
/* Whether the key is there with the value of this round. */
bool store_has_number(struct quarry_kv *kv, uint32_t number, uint32_t round, size_t value_bytes);

/* How many files of a directory end so. */
uint32_t store_count_files(const char *directory, const char *end);

#endif
