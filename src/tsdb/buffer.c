/*
 * Buffers: each doubles when it is full, and moves what it has.
 *
 * Invariant: a buffer that could not grow is as it was.
 *
 * Locking: none; a buffer is one thread's. Cost: an allocation and a charge for each doubling.
 */
#include <tsdb/buffer.h>

#include <string.h>

/* What a buffer begins with. Doubling it saves one move of the first bytes. */
#define FIRST_BYTES 256u

void tsdb_buffer_fini(struct tsdb_buffer *buffer)
{
    tsdb_memory_give(buffer->memory, buffer->bytes);
    *buffer = (struct tsdb_buffer){.memory = buffer->memory};
}

enum quarry_status tsdb_buffer_grow_slow(struct tsdb_buffer *buffer, size_t more_bytes)
{
    size_t wanted = 0, capacity = buffer->capacity == 0 ? FIRST_BYTES : buffer->capacity;

    if (!checked_add_size(buffer->byte_count, more_bytes, &wanted)) {
        return QUARRY_TOO_LARGE;
    }
    while (capacity < wanted) {
        if (!checked_mul_size(capacity, 2, &capacity)) {
            return QUARRY_TOO_LARGE;
        }
    }
    uint8_t *bytes = tsdb_memory_take(buffer->memory, capacity);
    if (bytes == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (buffer->byte_count != 0) {
        memcpy(bytes, buffer->bytes, buffer->byte_count);
    }
    tsdb_memory_give(buffer->memory, buffer->bytes);
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return QUARRY_OK;
}
