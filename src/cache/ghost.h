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

#include <base/base.h>

/* Fingerprints of a bucket; the place of one is taken by where the next goes. */
#define CACHE_GHOSTS_PER_BUCKET 31u

struct cache_ghost_bucket {
    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t word[8];
};
_Static_assert(sizeof(struct cache_ghost_bucket) == Q_CACHE_LINE_BYTES, "one line");

/* A table over buckets that somebody else owns; all zero is without ghosts. */
struct cache_ghost_table {
    struct cache_ghost_bucket *buckets; /* NULL: none */
    uint64_t bucket_count;
};

/*
 * Remembers an item that has been evicted.
 *
 * `hash`: of its key. Threads: any; two at once in one bucket may lose one of both.
 * Cost: a cache line.
 */
void cache_ghost_note(const struct cache_ghost_table *table, uint64_t hash);

/*
 * Whether an item of the hash is remembered; if so it is forgotten.
 *
 * Returns: true by mistake for one in about 2,100 that never were. Threads: any. Cost: a cache
 * line.
 */
bool cache_ghost_take(const struct cache_ghost_table *table, uint64_t hash);

#endif
