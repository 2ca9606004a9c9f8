/*
 * A store put together by hand: memtables and batches that are written to, files that are made of
 * them, and a model of what is in it, as it is now and as snapshots have it. No log, no manifest
 * and no background, so that a test decides where everything lies.
 */
#ifndef QUARRY_TESTS_UNIT_KV_READ_RIG_H
#define QUARRY_TESTS_UNIT_KV_READ_RIG_H

#include "unit/base/cmocka_all.h"

#include <kv/lookup.h>
#include <kv/merge_iterator.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Keys that are used: in the store's order once it has begun. */
#define RIG_KEYS      64u
#define RIG_SNAPSHOTS 8u

/* What each key has; NULL: nothing. */
struct rig_state {
    char *values[RIG_KEYS];
    size_t counts[RIG_KEYS];
};

struct rig_snapshot {
    const struct quarry_kv_snapshot *snapshot; /* NULL: free */
    struct rig_state state;
};

struct rig {
    struct quarry_kv *kv;
    struct kv_slice keys[RIG_KEYS];
    struct rig_state now;
    struct rig_snapshot snapshots[RIG_SNAPSHOTS];
    uint64_t random;
    uint64_t opened_count; /* tables */
};
extern struct rig rig;

struct rig_options {
    const struct quarry_kv_comparator *comparator; /* NULL: memcmp's */
    uint32_t prefix_bytes;
    uint64_t pins_bytes; /* the quota; 0: a lot */
    bool has_no_reserve;
    uint64_t seed;
};
void rig_begin(const struct rig_options *options);
/* Nothing is out; all memory has been given back. */
void rig_end(void);

uint64_t rig_random(void);
uint64_t rig_below(uint64_t bound);

/* Changes, to the store and to the model. Keys are indexes; a range is [from, to). */
void rig_put(uint32_t key, const char *bytes, size_t count);
void rig_delete(uint32_t key);
void rig_single_delete(uint32_t key);
void rig_merge(uint32_t key, const char *operand);
void rig_delete_range(uint32_t from, uint32_t to);
/* One at random, a batch of several as a layer of its own included. */
void rig_change(void);
/* A new memtable. */
void rig_rotate(void);
/* The oldest layer that is not written to becomes a file of level 0, if there is one. */
void rig_flush(void);
/* All files of a level and the next become files of the next: nothing is left out. */
void rig_compact(uint32_t level);
/* Some of all that. */
void rig_live(uint32_t step_count);

void rig_snapshot_take(uint32_t slot);
void rig_snapshot_release(uint32_t slot);
/* What a key has, as of a snapshot or now (NULL). */
struct kv_slice rig_expected(const struct rig_state *state, uint32_t key);

/* Closes tables and empties the cache, as far as nobody holds them. */
void rig_cool(void);
/* What the store's account may charge beyond what it does; UINT64_MAX: anything. */
void rig_allow(uint64_t bytes);

#endif
