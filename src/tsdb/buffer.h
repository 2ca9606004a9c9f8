/*
 * Bytes that grow as they are written, of a charged memory.
 */
#ifndef QUARRY_TSDB_BUFFER_H
#define QUARRY_TSDB_BUFFER_H

#include <tsdb/memory.h>

/* All-zero but for `memory` is empty. */
struct tsdb_buffer {
    const struct tsdb_memory *memory; /* const; borrowed */
    uint8_t *bytes;                   /* own; NULL: none yet */
    size_t byte_count;
    size_t capacity;
};

/* Gives its bytes back; it is empty and may be used again. */
void tsdb_buffer_fini(struct tsdb_buffer *buffer);
/*
 * Makes room for `more_bytes` behind what is there; what was borrowed from the buffer moves.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: as it was. Cost: doubles.
 */
enum quarry_status tsdb_buffer_grow_slow(struct tsdb_buffer *buffer, size_t more_bytes);

static inline enum quarry_status tsdb_buffer_reserve(struct tsdb_buffer *buffer, size_t more_bytes)
{
    if (Q_LIKELY(more_bytes <= buffer->capacity - buffer->byte_count)) {
        return QUARRY_OK;
    }
    return tsdb_buffer_grow_slow(buffer, more_bytes);
}

#endif
