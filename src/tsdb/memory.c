/*
 * Objects of a pool, each charged as it is taken: what the pool says that it occupies, so that an
 * account's figure is that of real bytes.
 *
 * The object is there before its charge, for only the pool knows how large it becomes; a refused
 * charge gives it back at once. The memory's own limit holds before either. Sizes are within an
 * eighth of what was asked for; arrays that grow use all of what they got.
 *
 * Locking: none. Callers that hold the registry's mutex may call: its rank is below those of all
 * reclaimers, and no reclaimer takes it.
 */
#include <tsdb/memory.h>

#include <string.h>

/* What an array that grows begins with, in members. */
#define FIRST_CAPACITY 8u

/* Charges an object that has just been made, or gives it back. */
static void *charge(const struct tsdb_memory *memory, void *object)
{
    size_t byte_count = quarry_usable_size(memory->pool, object);

    Q_ASSERT(object != NULL && byte_count != 0);
    if (quarry_account_charge(memory->account, byte_count) != QUARRY_OK) {
        quarry_free(memory->pool, object);
        return NULL;
    }
    return object;
}

void *tsdb_memory_take(const struct tsdb_memory *memory, size_t byte_count)
{
    void *object;

    Q_ASSERT(byte_count != 0);
    if (quarry_pool_alloc(memory->pool, byte_count, &object) != QUARRY_OK) {
        return NULL;
    }
    return charge(memory, object);
}

void *tsdb_memory_take_zero(const struct tsdb_memory *memory, size_t byte_count)
{
    void *object;

    Q_ASSERT(byte_count != 0);
    if (quarry_pool_alloc_zero(memory->pool, byte_count, &object) != QUARRY_OK) {
        return NULL;
    }
    return charge(memory, object);
}

void *tsdb_memory_take_aligned(const struct tsdb_memory *memory, size_t byte_count,
                               size_t align_bytes)
{
    void *object;

    Q_ASSERT(byte_count != 0);
    if (quarry_pool_alloc_aligned(memory->pool, byte_count, align_bytes, &object) != QUARRY_OK) {
        return NULL;
    }
    object = charge(memory, object);
    if (object != NULL) {
        memset(object, 0, byte_count);
    }
    return object;
}

void tsdb_memory_give(const struct tsdb_memory *memory, void *object)
{
    if (object == NULL) {
        return;
    }
    size_t byte_count = quarry_usable_size(memory->pool, object);
    quarry_free(memory->pool, object);
    quarry_account_uncharge(memory->account, byte_count);
}

enum quarry_status tsdb_memory_grow(const struct tsdb_memory *memory, void **array,
                                    size_t *capacity, size_t count, size_t member_bytes)
{
    size_t wanted = size_max_u64(count, FIRST_CAPACITY), byte_count;

    Q_ASSERT(member_bytes != 0);
    if (count <= *capacity) {
        return QUARRY_OK;
    }
    wanted = size_max_u64(wanted, *capacity + *capacity / 2);
    if (!checked_mul_size(wanted, member_bytes, &byte_count)) {
        return QUARRY_TOO_LARGE;
    }
    void *grown = tsdb_memory_take(memory, byte_count);
    if (grown == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (*capacity != 0) {
        memcpy(grown, *array, *capacity * member_bytes);
    }
    tsdb_memory_give(memory, *array);
    *array = grown;
    *capacity = tsdb_memory_usable(memory, grown) / member_bytes;
    return QUARRY_OK;
}
