/*
 * A stretch of bytes that grows as it is written to: batches, records of a log that are put
 * together, results of merging.
 *
 * Grows by half, so that what is moved stays below three times what is written. Its memory is a
 * store's and charged; clearing keeps it.
 */
#ifndef QUARRY_KV_BUFFER_H
#define QUARRY_KV_BUFFER_H

#include <kv/key.h>
#include <kv/memory.h>

struct quarry_kv_buffer {
    struct kv_memory *memory; /* const */
    size_t byte_count_max;    /* const: more is QUARRY_TOO_LARGE */
    char *bytes;              /* NULL: none yet */
    size_t byte_count;
    size_t capacity;
};

/* `memory`: borrowed until kv_buffer_fini. Cost: nothing is allocated. */
void kv_buffer_init(struct quarry_kv_buffer *buffer, struct kv_memory *memory,
                    size_t byte_count_max);
void kv_buffer_fini(struct quarry_kv_buffer *buffer);

/* Empties it; its memory is kept. */
static inline void kv_buffer_clear(struct quarry_kv_buffer *buffer)
{
    buffer->byte_count = 0;
}

enum quarry_status kv_buffer_grow_slow(struct quarry_kv_buffer *buffer, size_t more_bytes);

/*
 * Makes room for `more_bytes` behind what is there. What was borrowed from the buffer is moved.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: as it was.
 */
static inline enum quarry_status kv_buffer_reserve(struct quarry_kv_buffer *buffer,
                                                   size_t more_bytes)
{
    if (Q_LIKELY(more_bytes <= buffer->capacity - buffer->byte_count)) {
        return QUARRY_OK;
    }
    return kv_buffer_grow_slow(buffer, more_bytes);
}

/* Borrowed until it grows or ends. */
static inline struct kv_slice kv_buffer_slice(const struct quarry_kv_buffer *buffer)
{
    return kv_slice(buffer->bytes, buffer->byte_count);
}

#endif
