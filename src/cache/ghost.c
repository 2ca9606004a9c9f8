/*
 * Ghosts: fingerprints in buckets.
 *
 *     bucket, 64 bytes   │ next │ f1 │ f2 │ f3 │ … │ f31 │      16 bits each; 0: none
 *
 * The bucket is chosen by the upper 32 bits of the hash, the fingerprint is its lowest 16. With
 * random hashes a bucket forgets an item after 31 ± 5.6 more evictions that lead there, so the
 * whole behaves as a queue whose end is blurred by 18 %: simulated, that costs nothing that can be
 * told from noise (docs/decisions/0015). 31 strangers in a bucket answer one question in 65,535 /
 * 31 wrongly, which sends an item to the main queue that the small one would have tried first.
 *
 * Invariants: (1) a fingerprint is never 0; (2) `next` is below 31.
 *
 * Locking: none. Words are read and written whole and relaxed; a race loses a ghost or brings one
 * back, and neither is worth an atomic instruction.
 *
 * Rejected: a ring of 4-byte fingerprints with a table over it, 6 to 8 bytes a ghost; a filter of
 * two generations, which forgets half of all ghosts at once and cannot forget one that was found.
 *
 * Source: the ghost queue of S3-FIFO (SOSP 2023).
 */
#include <cache/ghost.h>

#define LANES_PER_WORD 4u
#define LANE_ONES      UINT64_C(0x0001000100010001)
#define LANE_HIGHS     UINT64_C(0x8000800080008000)

static uint64_t fingerprint(uint64_t hash)
{
    uint64_t low = hash & 0xffff;

    return low == 0 ? 1 : low;
}

static struct cache_ghost_bucket *bucket_of(const struct cache_ghost_table *table, uint64_t hash)
{
    return &table->buckets[(hash >> 32) * table->bucket_count >> 32];
}

/* Writes 16 bits of a bucket. */
static void lane_set(struct cache_ghost_bucket *bucket, uint32_t lane, uint64_t value)
{
    _Atomic uint64_t *word = &bucket->word[lane / LANES_PER_WORD];
    uint32_t shift = lane % LANES_PER_WORD * 16;

    Q_DCHECK(lane <= CACHE_GHOSTS_PER_BUCKET && value <= 0xffff);
    uint64_t rest = atomic_load_relaxed_u64(word) & ~(UINT64_C(0xffff) << shift);
    atomic_store_relaxed_u64(word, rest | value << shift);
}

void cache_ghost_note(const struct cache_ghost_table *table, uint64_t hash)
{
    if (table->bucket_count == 0) {
        return;
    }
    struct cache_ghost_bucket *bucket = bucket_of(table, hash);
    uint32_t next = (uint32_t)(atomic_load_relaxed_u64(&bucket->word[0]) & 0xffff);

    Q_ASSERT(next < CACHE_GHOSTS_PER_BUCKET); /* 2 */
    lane_set(bucket, next + 1, fingerprint(hash));
    lane_set(bucket, 0, (next + 1) % CACHE_GHOSTS_PER_BUCKET);
}

bool cache_ghost_take(const struct cache_ghost_table *table, uint64_t hash)
{
    if (table->bucket_count == 0) {
        return false;
    }
    struct cache_ghost_bucket *bucket = bucket_of(table, hash);
    uint64_t wanted = fingerprint(hash) * LANE_ONES;

    for (uint32_t i = 0; i < 8; i++) {
        uint64_t other = atomic_load_relaxed_u64(&bucket->word[i]) ^ wanted;
        if (i == 0) {
            other |= 0xffff; /* where the next goes is no fingerprint */
        }
        /* The lowest lane marked is one that is equal. */
        uint64_t equal = (other - LANE_ONES) & ~other & LANE_HIGHS;
        if (equal != 0) {
            lane_set(bucket, i * LANES_PER_WORD + bits_trailing_zeros_u64(equal) / 16, 0);
            return true;
        }
    }
    return false;
}
