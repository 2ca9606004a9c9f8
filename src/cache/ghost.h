/*
 * Ghosts: what was evicted not long ago, remembered by 16 bits of its hash. A key that comes back
 * while its ghost is here has been evicted too early. If it was from the small queue, it goes
 * straight to the main one; and which queue loses more of what comes back at once is the one that
 * is too short.
 *
 * A table is plain memory: buckets of 64 bytes, each with the fingerprints of the last 28 items
 * that the small queue has lost, and of the last 3 of the main one, whose hashes lead there.
 */
#ifndef QUARRY_CACHE_GHOST_H
#define QUARRY_CACHE_GHOST_H

#include <stdbool.h>
#include <stdint.h>

#include <quarry/status.h>

#include <base/base.h>

/* Fingerprints of a bucket, of each queue; the place of one more is taken by where the next go. */
#define CACHE_GHOSTS_PER_BUCKET 28u
#define CACHE_GHOSTS_OF_MAIN    3u

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

/* What is remembered of an item. */
enum cache_ghost {
    CACHE_GHOST_NONE = 0,
    CACHE_GHOST_OLD,     /* the small queue has lost it */
    CACHE_GHOST_YOUNG,   /* likewise, and few others since */
    CACHE_GHOST_OF_MAIN, /* the main queue has lost it, and few others since */
};

/*
 * Remembers an item that the small queue has lost, or the main one.
 *
 * `hash`: of its key. Threads: any; two at once in one bucket may lose one of both.
 * Cost: a cache line.
 */
void cache_ghost_note(struct cache_ghost_table *table, uint64_t hash);
void cache_ghost_note_main(struct cache_ghost_table *table, uint64_t hash);

/*
 * What is remembered of an item of the hash; it is forgotten.
 *
 * Returns: something by mistake for one in about 2,100 that never were. Threads: any. Cost: a cache
 * line.
 */
enum cache_ghost cache_ghost_take(struct cache_ghost_table *table, uint64_t hash);

/* Likewise, and it is remembered still. */
enum cache_ghost cache_ghost_find(const struct cache_ghost_table *table, uint64_t hash);

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
void cache_ghosts_note_main(struct cache_ghosts *ghosts, uint64_t hash);
enum cache_ghost cache_ghosts_take(struct cache_ghosts *ghosts, uint64_t hash);
bool cache_ghosts_have(const struct cache_ghosts *ghosts, uint64_t hash);
/* How many there can be. */
uint64_t cache_ghosts_capacity(const struct cache_ghosts *ghosts);

/*
 * Has one part as large as suits a tenant of so many items and bytes. Threads: one at a time, no
 * lock held. Cost: zeroes up to a megabyte, now and then.
 */
void cache_ghosts_turn(struct cache_ghosts *ghosts, uint64_t item_count, uint64_t item_bytes);

#endif
