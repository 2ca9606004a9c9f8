/*
 * Objects of a pool, each charged as it is taken: what the pool says that it occupies, so that an
 * account's figure is that of real bytes.
 *
 * The object is there before its charge, for only the pool knows how large it becomes; a refused
 * charge gives it back at once. The memory's own limit holds before either.
 */
#include <kv/memory.h>

#include <string.h>

/* What an array that grows begins with, in members. */
#define FIRST_CAPACITY 8u

void *kv_memory_take(struct kv_memory *memory, size_t byte_count)
{
    void *object = NULL;

    Q_ASSERT(byte_count != 0);
    if (quarry_pool_alloc_zero(memory->pool, byte_count, &object) != QUARRY_OK) {
        return NULL;
    }
    if (quarry_account_charge(memory->account, quarry_usable_size(memory->pool, object)) !=
        QUARRY_OK) {
        quarry_free(memory->pool, object);
        return NULL;
    }
    return object;
}

void *kv_memory_take_aligned(struct kv_memory *memory, size_t byte_count, size_t align_bytes)
{
    void *object;

    Q_ASSERT(byte_count != 0);
    if (quarry_pool_alloc_aligned(memory->pool, byte_count, align_bytes, &object) != QUARRY_OK) {
        return NULL;
    }
    if (quarry_account_charge(memory->account, quarry_usable_size(memory->pool, object)) !=
        QUARRY_OK) {
        quarry_free(memory->pool, object);
        return NULL;
    }
    memset(object, 0, byte_count);
    return object;
}

void kv_memory_give(struct kv_memory *memory, void *object)
{
    if (object == NULL) {
        return;
    }
    size_t byte_count = quarry_usable_size(memory->pool, object);
    quarry_free(memory->pool, object);
    quarry_account_uncharge(memory->account, byte_count);
}

enum quarry_status kv_memory_grow(struct kv_memory *memory, void **array, size_t *capacity,
                                  size_t count, size_t member_bytes)
{
    size_t wanted = *capacity == 0 ? FIRST_CAPACITY : *capacity, byte_count = 0;

    if (count <= *capacity) {
        return QUARRY_OK;
    }
    while (wanted < count) {
        if (!checked_mul_size(wanted, 2, &wanted)) {
            return QUARRY_TOO_LARGE;
        }
    }
    if (!checked_mul_size(wanted, member_bytes, &byte_count)) {
        return QUARRY_TOO_LARGE;
    }
    void *grown = kv_memory_take(memory, byte_count);
    if (grown == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (*capacity != 0) {
        memcpy(grown, *array, *capacity * member_bytes);
    }
    kv_memory_give(memory, *array);
    *array = grown;
    *capacity = wanted;
    return QUARRY_OK;
}
