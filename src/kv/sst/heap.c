/*
 * Small memory of tables.
 *
 * Every object is charged before it is taken, by the bytes asked for; who frees it says how many
 * they were, so objects carry no header. Buffers double, from 256 bytes on.
 *
 * Locking: none; pools and accounts have their own. Cost: a pool's object and two charges.
 */
#include <kv/sst/heap.h>

#include <string.h>

#define BUFFER_BYTES_MIN ((size_t)256)

enum quarry_status sst_heap_alloc(const struct sst_heap *heap, size_t byte_count, void **ret_object)
{
    enum quarry_status status = quarry_account_charge(heap->account, byte_count);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_pool_alloc_aligned(heap->pool, byte_count, 16, ret_object);
    if (status != QUARRY_OK) {
        quarry_account_uncharge(heap->account, byte_count);
    }
    return status;
}

void sst_heap_free(const struct sst_heap *heap, void *object, size_t byte_count)
{
    if (object == NULL) {
        return;
    }
    quarry_free(heap->pool, object);
    quarry_account_uncharge(heap->account, byte_count);
}

enum quarry_status sst_buffer_reserve_slow(const struct sst_heap *heap, struct sst_buffer *buffer,
                                           size_t extra)
{
    size_t wanted;
    void *bytes;

    Q_ASSERT(buffer->count <= buffer->capacity);
    if (!checked_add_size(buffer->count, extra, &wanted) || wanted > SIZE_MAX / 4) {
        return QUARRY_TOO_LARGE;
    }
    size_t capacity =
        buffer->capacity < BUFFER_BYTES_MIN / 2 ? BUFFER_BYTES_MIN : buffer->capacity * 2;
    capacity = capacity < wanted ? wanted : capacity;
    enum quarry_status status = sst_heap_alloc(heap, capacity, &bytes);
    if (status != QUARRY_OK && capacity > wanted) {
        capacity = wanted; /* doubling was a luxury */
        status = sst_heap_alloc(heap, capacity, &bytes);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (buffer->count != 0) {
        memcpy(bytes, buffer->bytes, buffer->count);
    }
    sst_heap_free(heap, buffer->bytes, buffer->capacity);
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return QUARRY_OK;
}

enum quarry_status sst_buffer_append(const struct sst_heap *heap, struct sst_buffer *buffer,
                                     const void *bytes, size_t byte_count)
{
    enum quarry_status status = sst_buffer_reserve(heap, buffer, byte_count);

    if (status != QUARRY_OK) {
        return status;
    }
    if (byte_count != 0) {
        memcpy(buffer->bytes + buffer->count, bytes, byte_count);
    }
    buffer->count += byte_count;
    return QUARRY_OK;
}

void sst_buffer_fini(const struct sst_heap *heap, struct sst_buffer *buffer)
{
    sst_heap_free(heap, buffer->bytes, buffer->capacity);
    *buffer = (struct sst_buffer){0};
}
