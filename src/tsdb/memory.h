/*
 * Memory of the store's structures: objects of a pool, charged to an account.
 *
 * What is charged is what the objects occupy, rounding included. Each call charges before it
 * returns and fails as a whole, so tests make every allocation fail in turn by the account's
 * ceiling.
 */
#ifndef QUARRY_TSDB_MEMORY_H
#define QUARRY_TSDB_MEMORY_H

#include <quarry/lifetime.h>

#include <base/base.h>

struct tsdb_memory {
    struct quarry_account *account; /* const; borrowed */
    struct quarry_pool *pool;       /* const; borrowed; of the account's owner */
};

/*
 * Takes memory, whose contents are anything; and zeroed memory.
 *
 * `byte_count`: from 1. Returns: own; give it back with tsdb_memory_give. NULL: there is none.
 * Threads: any. Cost: an allocation, a charge.
 */
void *tsdb_memory_take(const struct tsdb_memory *memory, size_t byte_count);
void *tsdb_memory_take_zero(const struct tsdb_memory *memory, size_t byte_count);
/* The latter at a multiple of `align_bytes`, a power of two. */
void *tsdb_memory_take_aligned(const struct tsdb_memory *memory, size_t byte_count,
                               size_t align_bytes);

/* `object`: given; NULL does nothing. */
void tsdb_memory_give(const struct tsdb_memory *memory, void *object);

/*
 * Has an array that grows hold `count` members or more: `*array` of `*capacity` members. Grows by
 * half.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: it is as it was.
 */
enum quarry_status tsdb_memory_grow(const struct tsdb_memory *memory, void **array,
                                    size_t *capacity, size_t count, size_t member_bytes);

/* How many bytes an object may use: those asked for, and what rounding added. */
static inline size_t tsdb_memory_usable(const struct tsdb_memory *memory, const void *object)
{
    return quarry_usable_size(memory->pool, object);
}

#endif
