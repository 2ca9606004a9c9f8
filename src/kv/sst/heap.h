/*
 * Small memory of tables: objects of a pool, charged to an account for as long as they live.
 */
#ifndef QUARRY_KV_SST_HEAP_H
#define QUARRY_KV_SST_HEAP_H

#include <quarry/lifetime.h>
#include <quarry/memory.h>

#include <base/base.h>

/* Where objects come from and who pays. Const. */
struct sst_heap {
    struct quarry_pool *pool;
    struct quarry_account *account;
};

/*
 * An object of `byte_count` bytes, aligned to 16. `ret_object`: own; end it with sst_heap_free and
 * the same number of bytes. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. Threads: any.
 */
enum quarry_status sst_heap_alloc(const struct sst_heap *heap, size_t byte_count,
                                  void **ret_object);
/* `object`: given; NULL does nothing. */
void sst_heap_free(const struct sst_heap *heap, void *object, size_t byte_count);

/* Bytes that grow. All-zero is an empty one. Its owner's alone. */
struct sst_buffer {
    char *bytes;
    size_t count, capacity;
};

/*
 * Sees to it that `extra` more bytes fit. What is there is kept; growing doubles.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: it is as it was.
 */
enum quarry_status sst_buffer_reserve_slow(const struct sst_heap *heap, struct sst_buffer *buffer,
                                           size_t extra);
static inline enum quarry_status sst_buffer_reserve(const struct sst_heap *heap,
                                                    struct sst_buffer *buffer, size_t extra)
{
    if (Q_LIKELY(extra <= buffer->capacity - buffer->count)) {
        return QUARRY_OK;
    }
    return sst_buffer_reserve_slow(heap, buffer, extra);
}
/* Errors: as sst_buffer_reserve. */
enum quarry_status sst_buffer_append(const struct sst_heap *heap, struct sst_buffer *buffer,
                                     const void *bytes, size_t byte_count);
/* Frees its memory; it is empty then. */
void sst_buffer_fini(const struct sst_heap *heap, struct sst_buffer *buffer);

#endif
