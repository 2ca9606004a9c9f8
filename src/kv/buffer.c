/*
 * Buffers that grow by half.
 *
 *     | byte_count: written | capacity: room |
 *
 * Invariants: byte_count <= capacity <= byte_count_max, but that the pool may give more.
 * Cost: what is written is copied less than three times. Locking: none; one thread's.
 *
 * Rejected: doubling: for a batch of some hundred MiB, the old and the new at once are then half as
 * much again as with a half, inside the same budget.
 */
#include <kv/buffer.h>

/* The first room: a batch of a few short changes. */
#define FIRST_BYTES 256u

void kv_buffer_init(struct quarry_kv_buffer *buffer, struct kv_memory *memory,
                    size_t byte_count_max)
{
    *buffer = (struct quarry_kv_buffer){.memory = memory, .byte_count_max = byte_count_max};
}

void kv_buffer_fini(struct quarry_kv_buffer *buffer)
{
    kv_memory_give(buffer->memory, buffer->bytes);
    buffer->bytes = NULL;
    buffer->byte_count = buffer->capacity = 0;
}

enum quarry_status kv_buffer_grow_slow(struct quarry_kv_buffer *buffer, size_t more_bytes)
{
    size_t wanted = 0, capacity;

    if (!checked_add_size(buffer->byte_count, more_bytes, &wanted) ||
        wanted > buffer->byte_count_max) {
        return QUARRY_TOO_LARGE;
    }
    capacity = size_max(size_max(buffer->capacity + buffer->capacity / 2, wanted), FIRST_BYTES);
    capacity = size_max(size_min(capacity, buffer->byte_count_max), wanted);
    char *grown = kv_memory_take(buffer->memory, capacity);
    if (grown == NULL && capacity > wanted) {
        capacity = wanted; /* a half more was a luxury */
        grown = kv_memory_take(buffer->memory, capacity);
    }
    if (grown == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (buffer->byte_count != 0) {
        memcpy(grown, buffer->bytes, buffer->byte_count);
    }
    kv_memory_give(buffer->memory, buffer->bytes);
    buffer->bytes = grown;
    buffer->capacity = capacity;
    return QUARRY_OK;
}

enum quarry_status quarry_kv_buffer_append(struct quarry_kv_buffer *buffer, const void *bytes,
                                           size_t byte_count)
{
    enum quarry_status status = kv_buffer_reserve(buffer, byte_count);

    if (status == QUARRY_OK && byte_count != 0) {
        memcpy(buffer->bytes + buffer->byte_count, bytes, byte_count);
        buffer->byte_count += byte_count;
    }
    return status;
}
