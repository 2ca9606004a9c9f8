/*
 * The small queue of a tenant: refs of new items in the order in which they came.
 *
 * An entry names an item by its ref48 and 15 bits of its key's hash, and has a bit for the queue's
 * owner. Items that go, or move, leave their entry behind; who takes it out sees that it is stale.
 */
#ifndef QUARRY_CACHE_QUEUE_H
#define QUARRY_CACHE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include <base/base.h>
#include <os/os.h>

/*
 *     63 … 49  48      47 …… 0
 *     hash     second  ref48
 */
#define CACHE_ENTRY_HASH_SHIFT 49
#define CACHE_ENTRY_SECOND     (UINT64_C(1) << 48)

static inline uint64_t cache_entry_make(uint64_t ref48, uint64_t hash, bool is_second)
{
    return hash << CACHE_ENTRY_HASH_SHIFT | (is_second ? CACHE_ENTRY_SECOND : 0) |
           (ref48 & ((UINT64_C(1) << 48) - 1));
}
static inline uint64_t cache_entry_ref(uint64_t entry)
{
    return entry & ((UINT64_C(1) << 48) - 1);
}
static inline bool cache_entry_is_second(uint64_t entry)
{
    return (entry & CACHE_ENTRY_SECOND) != 0;
}
/* The lowest bits of the hash of the item's key. */
static inline uint32_t cache_entry_hash(uint64_t entry)
{
    return (uint32_t)(entry >> CACHE_ENTRY_HASH_SHIFT);
}
/* False: the entry is of another item that has lain in the cell. */
static inline bool cache_entry_is_of(uint64_t entry, uint64_t hash)
{
    return cache_entry_hash(entry) == (hash & 0x7fff);
}

struct quarry_cache;

/* Chunks are pieces of the cache's memory: the first ones small, for tenants of a few items. */
#define CACHE_CHUNK_BYTES_FIRST 256u
#define CACHE_CHUNK_BYTES_MAX   4096u

struct cache_queue_chunk {
    struct cache_queue_chunk *next; /* the next younger one */
    uint32_t bytes;                 /* of the piece */
    uint32_t capacity;              /* entries */
    uint32_t first;                 /* entries before it are taken */
    uint32_t end;                   /* entries from it on are not written */
    uint64_t entry[];
};
Q_STATIC_ASSERT(sizeof(struct cache_queue_chunk) == 24, "three words before the entries");

struct cache_queue {
    struct quarry_cache *cache; /* const after init; borrowed */

    struct os_mutex mutex; /* rank CACHE_QUEUE */
    /* guarded by mutex */
    struct cache_queue_chunk *oldest, *youngest; /* NULL: none */
    struct cache_queue_chunk *spare;             /* empty, kept for the next; NULL: none */

    /* atomic; written under mutex */
    _Atomic uint64_t count; /* entries, stale ones too */
    _Atomic uint64_t bytes; /* of chunks */
};

/* `cache`: borrowed until cache_queue_fini. `order`: of the mutex among queues'. */
void cache_queue_init(struct cache_queue *ret_queue, struct quarry_cache *cache, uint32_t order);
/* Gives its memory back. Nobody uses it any more. */
void cache_queue_fini(struct cache_queue *queue);

/*
 * Adds an entry as the youngest.
 *
 * Returns: false: there was no memory, and it was not added. Cost: a lock; a piece of memory once
 * in 509.
 */
bool cache_queue_push(struct cache_queue *queue, uint64_t entry);

/*
 * Takes the oldest entries out, up to `capacity`. Returns: how many; fewer at the end of a chunk, 0
 * only when there are none. Cost: a lock.
 */
uint32_t cache_queue_pop(struct cache_queue *queue, uint64_t *entries, uint32_t capacity);

#endif
