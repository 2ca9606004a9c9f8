/*
 * Buffers straight from the page heap, and the input that a connection is left with.
 *
 *     base                start                    start + count         capacity
 *      |  consumed         |  waits for its door    |  room              |
 *
 * There is no pool: a thread's page cache is one already, it gives pages back when they lie idle,
 * and a connection that has nothing waiting holds no buffer at all. So the charge, two locked
 * instructions a level, is paid by connections that are left with part of a request and by answers
 * that a reader did not take, never by a request that came and went in one piece.
 *
 * Locking: none; an input is its worker's.
 */
#include <serve/buffers.h>

#include <string.h>

void *serve_buffer_take(const struct serve_memory *memory, size_t bytes)
{
    uint64_t page_count = serve_buffer_bytes(bytes) / QUARRY_PAGE_BYTES;
    void *base = NULL;

    Q_ASSERT(page_count > 0);
    if (quarry_account_pages_alloc(memory->account, memory->lane, page_count, &base) != QUARRY_OK) {
        return NULL;
    }
    return base;
}

void *serve_buffer_take_zeroed(const struct serve_memory *memory, size_t bytes)
{
    void *base = serve_buffer_take(memory, bytes);

    if (base != NULL) {
        memset(base, 0, serve_buffer_bytes(bytes));
    }
    return base;
}

void serve_buffer_give(const struct serve_memory *memory, void *buffer)
{
    if (buffer != NULL) {
        quarry_account_pages_free(memory->account, memory->lane, buffer);
    }
}

/* ---- input ---------------------------------------------------------------------------------- */

static bool input_enlarge(const struct serve_memory *memory, struct serve_input *input,
                          size_t bytes)
{
    size_t capacity = serve_buffer_bytes(size_max(bytes, (size_t)input->capacity * 2));
    char *base = capacity > UINT32_MAX ? NULL : serve_buffer_take(memory, capacity);

    if (base == NULL) {
        return false;
    }
    if (input->count > 0) {
        memcpy(base, input->base + input->start, input->count);
    }
    serve_buffer_give(memory, input->base);
    *input =
        (struct serve_input){.base = base, .capacity = (uint32_t)capacity, .count = input->count};
    return true;
}

bool serve_input_reserve(const struct serve_memory *memory, struct serve_input *input, size_t more)
{
    if (more <= (size_t)input->capacity - input->start - input->count) {
        return true;
    }
    if (more > (size_t)input->capacity - input->count) {
        return input_enlarge(memory, input, input->count + more);
    }
    memmove(input->base, input->base + input->start, input->count);
    input->start = 0;
    return true;
}

bool serve_input_set(const struct serve_memory *memory, struct serve_input *input,
                     const char *bytes, size_t byte_count, size_t kept)
{
    Q_ASSERT(kept <= byte_count && kept <= input->count);
    input->count = (uint32_t)kept;
    if (!serve_input_reserve(memory, input, byte_count - kept)) {
        return false;
    }
    memcpy(input->base + input->start + kept, bytes + kept, byte_count - kept);
    input->count = (uint32_t)byte_count;
    return true;
}

void serve_input_clear(const struct serve_memory *memory, struct serve_input *input)
{
    serve_buffer_give(memory, input->base);
    *input = (struct serve_input){0};
}
