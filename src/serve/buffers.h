/*
 * Buffers: runs of pages that the account `net` is charged for.
 */
#ifndef QUARRY_SERVE_BUFFERS_H
#define QUARRY_SERVE_BUFFERS_H

#include <quarry/memory.h>

#include <base/base.h>

/* Where all of the net's memory comes from. Const after the net was created. */
struct serve_memory {
    struct quarry_memory *memory;
    struct quarry_account *account;
    struct quarry_lane *lane;
};

/*
 * Takes a buffer of at least `bytes`. What is in it is arbitrary. Threads: any.
 * Returns: NULL: no memory. Cost: as quarry_pages_alloc, and the charge.
 */
void *serve_buffer_take(const struct serve_memory *memory, size_t bytes);
/* As serve_buffer_take, all zero. */
void *serve_buffer_take_zeroed(const struct serve_memory *memory, size_t bytes);
/* Any thread gives any buffer back; NULL does nothing. */
void serve_buffer_give(const struct serve_memory *memory, void *buffer);
/* How large a buffer for so many bytes is. */
static inline size_t serve_buffer_bytes(size_t bytes)
{
    return size_align_up(bytes, QUARRY_PAGE_BYTES);
}

/*
 * What a connection has received and its door has not consumed: a run that holds it in one stretch.
 * All zero is an empty one, without memory.
 */
struct serve_input {
    char *base; /* NULL: no memory held */
    uint32_t capacity;
    uint32_t start; /* of what is in it */
    uint32_t count;
};

/*
 * Makes room for `more` bytes behind what is there, which moves if it must. At least doubles what
 * it has to enlarge. Returns: false: no memory, and all is as it was.
 */
bool serve_input_reserve(const struct serve_memory *memory, struct serve_input *input, size_t more);
/* What is there is now `bytes`, the first `kept` of which are in it already, at its start. */
bool serve_input_set(const struct serve_memory *memory, struct serve_input *input,
                     const char *bytes, size_t byte_count, size_t kept);
/* Gives its memory back. */
void serve_input_clear(const struct serve_memory *memory, struct serve_input *input);

#endif
