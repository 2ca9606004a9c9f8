/*
 * Values that are out.
 *
 *     held[0]      the store's address, and what is held, in its low bits
 *     held[1 … 3]  the block; or the layer; or the copy
 *
 * What is held counts towards the quota of pinned bytes, a block with all of it, a layer with the
 * value. Beyond the quota the value is copied; where there is no memory for a copy either, it is
 * held all the same: a read does not fail for the quota.
 *
 * Invariants:
 *   1. value_count is the number of values that are out.
 *   2. HOLDS_QUOTA: the bytes were added to the store's pins.
 *
 * Locking: none. Cost: three locked instructions, and as many when it is released.
 */
#include <kv/lookup.h>

#define HOLDS_BLOCK 1u
#define HOLDS_LAYER 2u
#define HOLDS_COPY  3u
#define HOLDS_MASK  3u
#define HOLDS_QUOTA 4u

Q_STATIC_ASSERT(sizeof(struct quarry_block) <= 3 * sizeof(uint64_t), "a block fits behind a word");
Q_STATIC_ASSERT(_Alignof(struct quarry_kv) >= 8, "three low bits of its address are free");

static void hold(struct quarry_kv *kv, const struct kv_lookup *lookup, unsigned holds,
                 struct quarry_kv_value *value)
{
    value->bytes = lookup->value.count == 0 ? "" : lookup->value.bytes;
    value->byte_count = lookup->value.count;
    memset(value->held, 0, sizeof(value->held));
    value->held[0] = (uint64_t)(uintptr_t)kv | holds;
    /* Relaxed: closing comes after all reads. */
    (void)atomic_add_relaxed_u32(&kv->value_count, 1);
}

/* Copies a value, so that nothing else is held. Returns: false: there is no memory for it. */
static bool try_copy(struct quarry_kv *kv, const struct kv_lookup *lookup,
                     struct quarry_kv_value *value)
{
    size_t byte_count = lookup->value.count;
    void *copy = kv_memory_take(&kv->small[KV_PART_READ], byte_count + 1);

    if (copy == NULL) {
        return false;
    }
    if (byte_count != 0) {
        memcpy(copy, lookup->value.bytes, byte_count);
    }
    hold(kv, lookup, HOLDS_COPY, value);
    value->bytes = copy;
    value->held[1] = (uint64_t)(uintptr_t)copy;
    return true;
}

static void hold_layer(struct quarry_kv *kv, const struct kv_lookup *lookup,
                       struct quarry_kv_value *value)
{
    bool has_quota = kv_pins_try_add(&kv->pins, lookup->value.count);

    if (!has_quota && try_copy(kv, lookup, value)) {
        return;
    }
    kv_layer_acquire(lookup->layer);
    hold(kv, lookup, HOLDS_LAYER | (has_quota ? HOLDS_QUOTA : 0), value);
    value->held[1] = (uint64_t)(uintptr_t)lookup->layer;
}

static void hold_block(struct quarry_kv *kv, struct kv_lookup *lookup,
                       struct quarry_kv_value *value)
{
    struct quarry_block *block = &lookup->entry.block;
    bool has_quota = kv_pins_try_add(&kv->pins, quarry_block_bytes(block));

    if (!has_quota && try_copy(kv, lookup, value)) {
        return;
    }
    hold(kv, lookup, HOLDS_BLOCK | (has_quota ? HOLDS_QUOTA : 0), value);
    memcpy(&value->held[1], block, sizeof(*block));
    *block = (struct quarry_block){0};
}

/* The buffer's memory becomes the value's. */
static void hold_merged(struct quarry_kv *kv, struct kv_lookup *lookup,
                        struct quarry_kv_value *value)
{
    hold(kv, lookup, HOLDS_COPY, value);
    value->held[1] = (uint64_t)(uintptr_t)lookup->merged.bytes;
    lookup->merged.bytes = NULL;
    lookup->merged.byte_count = lookup->merged.capacity = 0;
}

enum quarry_status kv_value_hold(struct quarry_kv *kv, struct kv_lookup *lookup,
                                 struct quarry_kv_value *value)
{
    switch (lookup->place) {
    case KV_PLACE_LAYER:
        hold_layer(kv, lookup, value);
        return QUARRY_OK;
    case KV_PLACE_BLOCK:
        hold_block(kv, lookup, value);
        return QUARRY_OK;
    case KV_PLACE_MERGED:
        hold_merged(kv, lookup, value);
        return QUARRY_OK;
    case KV_PLACE_BATCH:
        /* A batch may grow, and move. */
        return try_copy(kv, lookup, value) ? QUARRY_OK : QUARRY_NO_MEMORY;
    case KV_PLACE_NONE:
        break;
    }
    Q_ASSERT_MSG(false, "nothing was found");
    return QUARRY_NOT_FOUND;
}

void quarry_kv_value_release(struct quarry_kv_value *value)
{
    struct quarry_kv *kv = (struct quarry_kv *)(uintptr_t)(value->held[0] & ~UINT64_C(7));
    unsigned holds = (unsigned)value->held[0] & HOLDS_MASK;
    bool has_quota = (value->held[0] & HOLDS_QUOTA) != 0;
    uint64_t quota_bytes = value->byte_count;

    if (kv == NULL) {
        return;
    }
    if (holds == HOLDS_BLOCK) {
        struct quarry_block block;
        memcpy(&block, &value->held[1], sizeof(block));
        quota_bytes = has_quota ? quarry_block_bytes(&block) : 0;
        quarry_block_release(kv->cache, &block);
    } else if (holds == HOLDS_LAYER) {
        kv_layer_release((struct kv_layer *)(uintptr_t)value->held[1]);
    } else {
        kv_memory_give(&kv->small[KV_PART_READ], (void *)(uintptr_t)value->held[1]);
    }
    if (has_quota) {
        kv_pins_remove(&kv->pins, quota_bytes);
    }
    *value = (struct quarry_kv_value){0};
    /* Release: what was let go of is so before the store is closed. */
    (void)atomic_sub_release_u32(&kv->value_count, 1);
}
