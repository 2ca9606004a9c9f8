/*
 * Ghosts: what was evicted not long ago, remembered by 16 bits of its hash. A key that comes back
 * while its ghost is here has been evicted too early, and goes straight to the main queue.
 *
 * A table is plain memory: buckets of 64 bytes, each with the fingerprints of the last 31 items
 * evicted whose hashes lead there, the oldest replaced first.
 */
#ifndef QUARRY_CACHE_GHOST_H
#define QUARRY_CACHE_GHOST_H

#include <stdbool.h>
#include <stdint.h>

#include <quarry/status.h>

#include <base/base.h>

/* Fingerprints of a bucket; the place of one is taken by where the next goes. */
#define CACHE_GHOSTS_PER_BUCKET 31u

struct cache_ghost_bucket {
    _Atomic uint64_t word[8] Q_ALIGNED(Q_CACHE_LINE_BYTES);
};
_Static_assert(sizeof(struct cache_ghost_bucket) == Q_CACHE_LINE_BYTES, "one line");

/* A table; its memory is whoever made it's. All zero but the count of buckets, it is empty. */
struct cache_ghost_table {
    uint64_t bucket_count; /* const */
    uint64_t bytes;        /* const: of the table */
    struct cache_ghost_bucket bucket[];
};

static inline uint64_t cache_ghost_table_bytes(uint64_t bucket_count)
{
    return sizeof(struct cache_ghost_table) + bucket_count * sizeof(struct cache_ghost_bucket);
}

/*
 * Remembers an item that has been evicted.
 *
 * `hash`: of its key. Threads: any; two at once in one bucket may lose one of both.
 * Cost: a cache line.
 */
void cache_ghost_note(struct cache_ghost_table *table, uint64_t hash);

/*
 * Whether an item of the hash is remembered; if so it is forgotten.
 *
 * Returns: true by mistake for one in about 2,100 that never were. Threads: any. Cost: a cache
 * line.
 */
bool cache_ghost_take(struct cache_ghost_table *table, uint64_t hash);

/* Likewise, and it is remembered still. */
bool cache_ghost_has(const struct cache_ghost_table *table, uint64_t hash);

/* ---- of a tenant ---------------------------------------------------------------------------- */

struct quarry_cache;

/* The ghosts of a part of the hashes: a table, and the one before it, which is only asked. */
struct cache_ghost_part {
    _Atomic(void *) table, older;      /* struct cache_ghost_table *; or NULL */
    _Atomic uint64_t noted_count;      /* since the table is there, but for races */
    struct cache_ghost_table *retired; /* of the turn: readers may be in it */
    uint64_t retired_stamp;
};

/* All of a tenant's. */
struct cache_ghosts {
    struct quarry_cache *cache;     /* const; borrowed */
    uint32_t part_count;            /* const */
    uint32_t next_part;             /* of the turn: which is looked at next */
    struct cache_ghost_part *parts; /* const; own */
    _Atomic uint64_t bytes;         /* of tables */
};

/* Errors: QUARRY_NO_MEMORY. `limit_bytes`: the most that the tenant may hold, as far as known. */
enum quarry_status cache_ghosts_init(struct cache_ghosts *ret_ghosts, struct quarry_cache *cache,
                                     uint64_t limit_bytes);
void cache_ghosts_fini(struct cache_ghosts *ghosts);

/* As above. Threads: inside the epoch. */
void cache_ghosts_note(struct cache_ghosts *ghosts, uint64_t hash);
bool cache_ghosts_take(struct cache_ghosts *ghosts, uint64_t hash);
bool cache_ghosts_have(const struct cache_ghosts *ghosts, uint64_t hash);
/* How many there can be. */
uint64_t cache_ghosts_capacity(const struct cache_ghosts *ghosts);

/*
 * Has one part as large as suits a tenant of so many items and bytes. Threads: one at a time, no
 * lock held. Cost: zeroes up to a megabyte, now and then.
 */
void cache_ghosts_turn(struct cache_ghosts *ghosts, uint64_t item_count, uint64_t item_bytes);

#endif
