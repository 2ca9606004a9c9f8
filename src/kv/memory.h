/*
 * Memory of a store's small structures: objects of a pool, charged to an account.
 *
 * What is charged is what the objects occupy, rounding included. Tests make every allocation fail
 * in turn by the account's ceiling.
 */
#ifndef QUARRY_KV_MEMORY_H
#define QUARRY_KV_MEMORY_H

#include <quarry/lifetime.h>

#include <base/base.h>

struct kv_memory {
    struct quarry_account *account; /* const; borrowed */
    struct quarry_pool *pool;       /* const; borrowed; of the account's owner */
};

/* A wait for memory that was refused, so far. All-zero has not begun. */
struct kv_memory_wait {
    uint64_t seen;     /* what had changed before the last try: kv_background_changes */
    uint64_t until_ns; /* once try_count is not 0 */
    uint32_t try_count;
    uint32_t idle_count; /* of them: while the background had nothing to do */
};

/*
 * Takes zeroed memory. Returns: own; give it back with kv_memory_give; NULL: there is none.
 * `byte_count`: from 1. Threads: any. Cost: an allocation, a charge.
 */
void *kv_memory_take(struct kv_memory *memory, size_t byte_count);
/* The same at a multiple of `align_bytes`, a power of two. */
void *kv_memory_take_aligned(struct kv_memory *memory, size_t byte_count, size_t align_bytes);
/* `object`: given; NULL does nothing. */
void kv_memory_give(struct kv_memory *memory, void *object);
/*
 * Makes room in an array that grows: `*array` of `*capacity` members has room for `count` of them
 * afterwards. Doubles it. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: as it was.
 */
enum quarry_status kv_memory_grow(struct kv_memory *memory, void **array, size_t *capacity,
                                  size_t count, size_t member_bytes);

#endif
