/*
 * Memory of one query.
 *
 *     newest ──> chunk ──> chunk ──> chunk ──> NULL
 *                header    header    header
 *                used…     used…     used…
 *                free      (lost)    (lost)
 *
 * Chunks are objects of the pool. The first has CHUNK_FIRST bytes, so that a small query costs
 * little; each next one is twice as long up to CHUNK_MOST, which bounds what is lost at the end of
 * one. What is longer than a quarter of the next chunk gets a chunk of its own length.
 *
 * Invariants:
 *  1. charged_bytes is the sum of what the chunks occupy, those of memories within it among them,
 *     and never above grant_bytes.
 *  2. What was refused stays refused, so that a caller may look once, at the end of many takes.
 */
#include <promql/memory.h>

#include <quarry/memory.h>

#include <string.h>

#define CHUNK_FIRST ((size_t)4096)
#define CHUNK_MOST  ((size_t)1024 * 1024)
#define ALIGN       ((size_t)16)

struct promql_chunk {
    struct promql_chunk *older;
    size_t used_bytes, room_bytes; /* behind the header */
    size_t charged_bytes;          /* all of it */
};

/* Where a chunk's room begins. */
#define HEADER_BYTES ((sizeof(struct promql_chunk) + ALIGN - 1) & ~(ALIGN - 1))

void promql_memory_init(struct promql_memory *memory, struct quarry_account *account,
                        struct quarry_pool *pool, uint64_t grant_bytes)
{
    *memory = (struct promql_memory){.account = account, .pool = pool, .grant_bytes = grant_bytes};
}

void promql_memory_init_within(struct promql_memory *memory, struct promql_memory *outer)
{
    Q_ASSERT(outer->within == NULL); /* one within another is enough */
    promql_memory_init(memory, outer->account, outer->pool, outer->grant_bytes);
    memory->within = outer;
}

/* Counts what was charged, here and where the grant is. */
static void count(struct promql_memory *memory, uint64_t bytes)
{
    for (struct promql_memory *of = memory; of != NULL; of = of->within) {
        of->charged_bytes += bytes;
        of->peak_bytes = size_max_u64(of->peak_bytes, of->charged_bytes);
        Q_ASSERT(of->charged_bytes <= of->grant_bytes); /* invariant 1 */
    }
}

static void drop_newest(struct promql_memory *memory)
{
    struct promql_chunk *chunk = memory->newest;
    size_t charged_bytes = chunk->charged_bytes;

    memory->newest = chunk->older;
    quarry_free(memory->pool, chunk);
    quarry_account_uncharge(memory->account, charged_bytes);
    for (struct promql_memory *of = memory; of != NULL; of = of->within) {
        of->charged_bytes -= charged_bytes;
    }
}

void promql_memory_fini(struct promql_memory *memory)
{
    while (memory->newest != NULL) {
        drop_newest(memory);
    }
    Q_ASSERT(memory->charged_bytes == 0);
}

static void *refuse(struct promql_memory *memory)
{
    memory->is_refused = true;
    return NULL;
}

/* Adds a chunk with room for `bytes`. Returns: false: it may not. */
static bool grow(struct promql_memory *memory, size_t bytes)
{
    size_t next = memory->newest == NULL ? CHUNK_FIRST : memory->newest->charged_bytes * 2;
    const struct promql_memory *granted = memory->within != NULL ? memory->within : memory;
    uint64_t left_bytes = granted->grant_bytes - granted->charged_bytes;
    uint64_t asked_bytes = HEADER_BYTES + (uint64_t)bytes;

    next = next > CHUNK_MOST ? CHUNK_MOST : next < CHUNK_FIRST ? CHUNK_FIRST : next;
    if (bytes <= next / 4) {
        asked_bytes = next <= left_bytes ? next : left_bytes; /* the last one is what is left */
    }
    if (asked_bytes < HEADER_BYTES + (uint64_t)bytes || asked_bytes > left_bytes) {
        return false;
    }
    struct promql_chunk *chunk = quarry_alloc(memory->pool, (size_t)asked_bytes);
    if (chunk == NULL) {
        return false;
    }
    size_t usable_bytes = quarry_usable_size(memory->pool, chunk);
    usable_bytes = usable_bytes <= left_bytes ? usable_bytes : (size_t)left_bytes;
    if (quarry_account_charge(memory->account, usable_bytes) != QUARRY_OK) {
        quarry_free(memory->pool, chunk);
        return false;
    }
    *chunk = (struct promql_chunk){.older = memory->newest,
                                   .room_bytes = usable_bytes - HEADER_BYTES,
                                   .charged_bytes = usable_bytes};
    memory->newest = chunk;
    count(memory, usable_bytes);
    return true;
}

void *promql_memory_take(struct promql_memory *memory, size_t bytes)
{
    if (Q_UNLIKELY(memory->is_refused || bytes > SIZE_MAX / 2)) {
        return refuse(memory);
    }
    size_t rounded = (bytes + ALIGN - 1) & ~(ALIGN - 1);
    struct promql_chunk *chunk = memory->newest;
    if (Q_UNLIKELY(chunk == NULL || chunk->room_bytes - chunk->used_bytes < rounded)) {
        if (!grow(memory, rounded)) {
            return refuse(memory);
        }
        chunk = memory->newest;
    }
    void *taken = (char *)chunk + HEADER_BYTES + chunk->used_bytes;
    chunk->used_bytes += rounded;
    return taken;
}

void *promql_memory_take_zero(struct promql_memory *memory, size_t count, size_t member_bytes)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, member_bytes, &bytes)) {
        return refuse(memory);
    }
    void *taken = promql_memory_take(memory, bytes);
    return taken == NULL ? NULL : memset(taken, 0, bytes);
}

char *promql_memory_copy(struct promql_memory *memory, const char *bytes, size_t count)
{
    char *copy = count == SIZE_MAX ? refuse(memory) : promql_memory_take(memory, count + 1);

    if (copy != NULL) {
        memcpy(copy, bytes, count);
        copy[count] = '\0';
    }
    return copy;
}

struct promql_mark promql_memory_mark(const struct promql_memory *memory)
{
    return (struct promql_mark){.chunk = memory->newest,
                                .used_bytes =
                                    memory->newest == NULL ? 0 : memory->newest->used_bytes};
}

void promql_memory_release(struct promql_memory *memory, struct promql_mark mark)
{
    while (memory->newest != mark.chunk) {
        drop_newest(memory);
    }
    if (mark.chunk != NULL) {
        Q_ASSERT(mark.chunk->used_bytes >= mark.used_bytes);
        mark.chunk->used_bytes = mark.used_bytes;
    }
}
