/* What a store should be: see model.h. */
#include "kv/model.h"

#include <stdlib.h>
#include <string.h>

#include <base/assert.h>

struct quarry_kv_slice slice_of(const void *bytes, size_t byte_count)
{
    return (struct quarry_kv_slice){.bytes = bytes, .byte_count = byte_count};
}

int slice_compare(struct quarry_kv_slice a, struct quarry_kv_slice b, bool is_reverse)
{
    size_t common = a.byte_count < b.byte_count ? a.byte_count : b.byte_count;
    int order = common == 0 ? 0 : memcmp(a.bytes, b.bytes, common);

    if (order == 0) {
        order = (a.byte_count > b.byte_count) - (a.byte_count < b.byte_count);
    }
    return is_reverse ? -order : order;
}

bool slices_are_same(struct quarry_kv_slice a, struct quarry_kv_slice b)
{
    return a.byte_count == b.byte_count && slice_compare(a, b, false) == 0;
}

static void *allocate(size_t byte_count)
{
    void *bytes = malloc(byte_count == 0 ? 1 : byte_count);

    Q_ASSERT(bytes != NULL);
    return bytes;
}

/* ---- entries ---- */

/* With a value of two parts, joined by a comma where `is_merged`. */
static struct model_entry *entry_create(const struct change *change,
                                        const struct model_entry *merged_with)
{
    size_t base = merged_with == NULL ? 0 : merged_with->value.byte_count + 1;
    size_t key = change->key.byte_count, value = change->value.byte_count;
    struct model_entry *entry = allocate(sizeof *entry + key + base + value + 1);
    char *bytes = (char *)(entry + 1);

    if (key > 0) {
        memcpy(bytes, change->key.bytes, key);
    }
    if (merged_with != NULL) {
        memcpy(bytes + key, merged_with->value.bytes, base - 1);
        bytes[key + base - 1] = ',';
    }
    if (value > 0) {
        memcpy(bytes + key + base, change->value.bytes, value);
    }
    *entry = (struct model_entry){.reference_count = 1,
                                  .key = slice_of(bytes, key),
                                  .value = slice_of(bytes + key, base + value)};
    return entry;
}

static void entry_drop(struct model_entry *entry)
{
    if (--entry->reference_count == 0) {
        free(entry);
    }
}

/* ---- states ---- */

struct model_state *model_create(bool is_reverse)
{
    struct model_state *state = allocate(sizeof *state);

    *state = (struct model_state){.reference_count = 1, .is_reverse = is_reverse};
    return state;
}

struct model_state *model_share(struct model_state *state)
{
    state->reference_count++;
    return state;
}

void model_drop(struct model_state *state)
{
    if (state == NULL || --state->reference_count > 0) {
        return;
    }
    for (uint32_t i = 0; i < state->count; i++) {
        entry_drop(state->entries[i]);
    }
    free(state->entries);
    free(state);
}

static struct model_state *own(struct model_state **state)
{
    struct model_state *old = *state;

    if (old->reference_count == 1) {
        return old;
    }
    struct model_state *copy = model_create(old->is_reverse);
    copy->capacity = copy->count = old->count;
    copy->entries = allocate((size_t)old->count * sizeof(struct model_entry *));
    for (uint32_t i = 0; i < old->count; i++) {
        copy->entries[i] = old->entries[i];
        copy->entries[i]->reference_count++;
    }
    model_drop(old);
    *state = copy;
    return copy;
}

uint32_t model_lower_bound(const struct model_state *state, struct quarry_kv_slice key)
{
    uint32_t low = 0, high = state->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(state->entries[middle]->key, key, state->is_reverse) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t model_find(const struct model_state *state, struct quarry_kv_slice key)
{
    uint32_t index = model_lower_bound(state, key);

    return index < state->count && slices_are_same(state->entries[index]->key, key) ? index
                                                                                    : UINT32_MAX;
}

static void remove_entries(struct model_state *state, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        entry_drop(state->entries[i]);
    }
    for (uint32_t i = to; i < state->count; i++) {
        state->entries[from + i - to] = state->entries[i];
    }
    state->count -= to - from;
}

static void insert_entry(struct model_state *state, uint32_t at, struct model_entry *entry)
{
    if (state->count == state->capacity) {
        state->capacity = state->capacity == 0 ? 64 : 2 * state->capacity;
        state->entries =
            realloc(state->entries, (size_t)state->capacity * sizeof(struct model_entry *));
        Q_ASSERT(state->entries != NULL);
    }
    for (uint32_t i = state->count; i > at; i--) {
        state->entries[i] = state->entries[i - 1];
    }
    state->entries[at] = entry;
    state->count++;
}

static void put(struct model_state *state, const struct change *change)
{
    uint32_t at = model_lower_bound(state, change->key);
    bool is_there = at < state->count && slices_are_same(state->entries[at]->key, change->key);
    struct model_entry *old = is_there ? state->entries[at] : NULL;
    bool is_merge = change->kind == CHANGE_MERGE;
    struct model_entry *entry = entry_create(change, is_merge ? old : NULL);

    entry->put_count = (old == NULL ? 0 : old->put_count) + (is_merge ? 2 : 1);
    if (is_there) {
        entry_drop(old);
        state->entries[at] = entry;
    } else {
        insert_entry(state, at, entry);
    }
}

void model_apply(struct model_state **shared, const struct change *change)
{
    struct model_state *state = own(shared);
    uint32_t from = model_lower_bound(state, change->key);

    switch (change->kind) {
    case CHANGE_PUT:
    case CHANGE_MERGE:
        put(state, change);
        break;
    case CHANGE_DELETE:
    case CHANGE_SINGLE:
        if (model_find(state, change->key) != UINT32_MAX) {
            remove_entries(state, from, from + 1);
        }
        break;
    case CHANGE_RANGE: {
        uint32_t to = model_lower_bound(state, change->value);
        if (from < to) {
            remove_entries(state, from, to);
        }
        break;
    }
    }
}

/* ---- hashes ---- */

static uint64_t hash_bytes(uint64_t hash, struct quarry_kv_slice slice)
{
    const uint8_t *bytes = slice.bytes;

    for (size_t i = 0; i < slice.byte_count; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    }
    return (hash ^ slice.byte_count ^ UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0x100000001b3);
}

uint64_t model_hash_pair(uint64_t hash, struct quarry_kv_slice key, struct quarry_kv_slice value)
{
    return hash_bytes(hash_bytes(hash, key), value);
}

uint64_t model_hash(const struct model_state *state)
{
    uint64_t hash = MODEL_HASH_START;

    for (uint32_t i = 0; i < state->count; i++) {
        hash = model_hash_pair(hash, state->entries[i]->key, state->entries[i]->value);
    }
    return hash;
}
