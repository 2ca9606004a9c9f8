/*
 * Arrays: each doubles when it is full, and moves what it has.
 *
 * Invariant: an array that could not grow is as it was.
 *
 * Locking: none. Cost: an allocation and a charge for each doubling.
 */
#include <tsdb/block_array.h>

#include <string.h>

/* What an array begins with, in members: less would be copied at once, more is wasted on most. */
#define FIRST_CAPACITY 16u

enum quarry_status block_array_reserve(struct tsdb_memory *memory, struct block_array *array,
                                       size_t count, size_t member_bytes)
{
    size_t wanted = array->capacity == 0 ? FIRST_CAPACITY : array->capacity, byte_count = 0;

    Q_ASSERT(member_bytes != 0 && array->count <= array->capacity);
    if (count <= array->capacity) {
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
    void *grown = tsdb_memory_take_zero(memory, byte_count);
    if (grown == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (array->capacity != 0) {
        memcpy(grown, array->members, array->capacity * member_bytes);
    }
    tsdb_memory_give(memory, array->members);
    array->members = grown;
    array->capacity = wanted;
    return QUARRY_OK;
}

enum quarry_status block_array_append(struct tsdb_memory *memory, struct block_array *array,
                                      const void *bytes, size_t byte_count)
{
    size_t count = 0;

    if (!checked_add_size(array->count, byte_count, &count)) {
        return QUARRY_TOO_LARGE;
    }
    enum quarry_status status = block_array_reserve(memory, array, count, 1);
    if (status == QUARRY_OK && byte_count != 0) {
        memcpy((uint8_t *)array->members + array->count, bytes, byte_count);
        array->count = count;
    }
    return status;
}

void block_array_fini(struct tsdb_memory *memory, struct block_array *array)
{
    tsdb_memory_give(memory, array->members);
    *array = (struct block_array){0};
}
