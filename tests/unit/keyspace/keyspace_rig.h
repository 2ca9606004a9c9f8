/*
 * Keyspaces for tests: a memory, a file system in memory, a clock that the test moves, and the
 * calls that must succeed. Keys and values are texts.
 */
#ifndef QUARRY_TESTS_UNIT_KEYSPACE_KEYSPACE_RIG_H
#define QUARRY_TESTS_UNIT_KEYSPACE_KEYSPACE_RIG_H

#include "unit/base/cmocka_all.h"

#include <quarry/vfs.h>

#include <keyspace/keyspace.h>

/* Where the clock begins. */
#define RIG_NOW_MS UINT64_C(1700000000000)

struct keyspace_rig {
    struct quarry_memory *memory;
    struct quarry_vfs *disk, *vfs; /* a memory one, and one that fails over it */
    struct keyspace *keyspace;
    struct quarry_kv_options options; /* of the store; the test may change them before it opens */
    struct keyspace_options keyspace_options;
    _Atomic(uint64_t) now_ms;
};
extern struct keyspace_rig rig;
extern const struct keyspace_scope rig_scope; /* the default one */

int rig_set_up(void **state); /* with a keyspace open */
int rig_tear_down(void **state);
void rig_open(void);
enum quarry_status rig_try_open(struct quarry_error *error);
void rig_close(void);
void rig_reopen(void);

struct quarry_kv_slice rig_text(const char *text);

/* A change of one key of the default scope, and its end. */
void rig_begin(struct keyspace_change *change, const char *key);
enum quarry_status rig_try_begin(struct keyspace_change *change, const char *key, uint32_t flags);
void rig_commit(struct keyspace_change *change);

void rig_put(const char *key, const char *value, uint64_t expires_ms);
void rig_delete(const char *key);
/* `value`: NULL: there must be none. */
void rig_expect(const char *key, const char *value);
void rig_expect_in(const struct keyspace_scope *scope, const char *key, const char *value);
/* What a change sees. */
void rig_expect_get(struct keyspace_change *change, const char *key, const char *value);
uint64_t rig_expiry(const char *key); /* of a key that is there */
uint64_t rig_count(void);

/* A row of numbers by chance. */
uint64_t rig_random(uint64_t *seed);
uint64_t rig_below(uint64_t *seed, uint64_t bound);

#endif
