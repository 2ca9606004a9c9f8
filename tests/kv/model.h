/*
 * What a store should be: a sorted array of keys and values, every earlier one of which can be kept
 * at the price of an array of pointers. Slow, short, and right by inspection.
 *
 * A *state* is what the keys were at a moment. It is changed by its only owner; one that is shared
 * is copied first. Threads: one.
 */
#ifndef QUARRY_TESTS_KV_MODEL_H
#define QUARRY_TESTS_KV_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include <quarry/kv.h>

struct model_entry {
    uint32_t reference_count;
    uint32_t put_count; /* since it was last deleted; of a merge two: no single delete may follow */
    struct quarry_kv_slice key, value;
};

struct model_state {
    uint32_t reference_count;
    bool is_reverse; /* keys fall by memcmp */
    uint32_t count, capacity;
    struct model_entry **entries;
};

/* How a change is made. */
enum change_kind { CHANGE_PUT, CHANGE_DELETE, CHANGE_SINGLE, CHANGE_RANGE, CHANGE_MERGE };
struct change {
    enum change_kind kind;
    struct quarry_kv_slice key;
    struct quarry_kv_slice value; /* of a range: its end */
};

struct quarry_kv_slice slice_of(const void *bytes, size_t byte_count);
bool slices_are_same(struct quarry_kv_slice a, struct quarry_kv_slice b);
/* Below, equal to or above 0. */
int slice_compare(struct quarry_kv_slice a, struct quarry_kv_slice b, bool is_reverse);

/* Empty; one reference. */
struct model_state *model_create(bool is_reverse);
struct model_state *model_share(struct model_state *state);
void model_drop(struct model_state *state); /* NULL does nothing */

/* Changes a state, which is copied first if others have it. `*state`: a reference. */
void model_apply(struct model_state **state, const struct change *change);

/* Index of the first key not before one; of the key itself, or UINT32_MAX. */
uint32_t model_lower_bound(const struct model_state *state, struct quarry_kv_slice key);
uint32_t model_find(const struct model_state *state, struct quarry_kv_slice key);

/* The same for the same keys and values, and hardly ever for others. */
uint64_t model_hash(const struct model_state *state);
#define MODEL_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t model_hash_pair(uint64_t hash, struct quarry_kv_slice key, struct quarry_kv_slice value);

#endif
