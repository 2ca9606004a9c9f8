/*
 * Ghosts: fingerprints in buckets.
 *
 *     bucket, 64 bytes   │ next │ f1 │ f2 │ … │ f28 │ m1 │ m2 │ m3 │      16 bits each; 0: none
 *
 * Fingerprints f are of items that the small queue has lost, m of those of the main one: the last
 * three of each to come to a bucket are a twentieth of the items there are, and one of them that
 * comes back would not have been missed by a queue that much longer. `next` has the place of the
 * next f in its lower byte, of the next m in its upper one.
 *
 * The bucket is chosen by the upper 32 bits of the hash, the fingerprint is its lowest 16. With
 * random hashes a bucket forgets an item after 28 ± 5.3 more evictions that lead there, so the
 * whole behaves as a queue whose end is blurred by 19 %: simulated, that costs nothing that can be
 * told from noise (docs/decisions/0015). 31 strangers in a bucket answer one question in 65,535 /
 * 31 wrongly, which sends an item to the main queue that the small one would have tried first.
 *
 * A tenant has one table for each 64 MiB or so that it may hold, each for a part of the hashes, so
 * that one is made in a moment. A table is replaced by an empty one when the tenant has outgrown
 * it, or become much smaller; what was in it is asked for still, until the new one is full.
 *
 * How many: a byte for each item, half as many ghosts as items; up to two where items are large, a
 * 256th of their bytes. Tables are made when the cache is full: nothing is evicted before.
 *
 * Invariants: (1) a fingerprint is never 0; (2) `next` is below 28 and below 3.
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

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <cache/types.h>

#define LANES_PER_WORD 4u
/* Of the way without SSE2. */
#define LANE_ONES  UINT64_C(0x0001000100010001)
#define LANE_HIGHS UINT64_C(0x8000800080008000)

static uint64_t fingerprint(uint64_t hash)
{
    uint64_t low = hash & 0xffff;

    return low == 0 ? 1 : low;
}

static uint64_t bucket_at(const struct cache_ghost_table *table, uint64_t hash)
{
    return (hash >> 32) * table->bucket_count >> 32;
}

static struct cache_ghost_bucket *bucket_of(struct cache_ghost_table *table, uint64_t hash)
{
    return &table->bucket[bucket_at(table, hash)];
}

/* Writes 16 bits of a bucket. */
static void lane_set(struct cache_ghost_bucket *bucket, uint32_t lane, uint64_t value)
{
    _Atomic uint64_t *word = &bucket->word[lane / LANES_PER_WORD];
    uint32_t shift = lane % LANES_PER_WORD * 16;

    Q_DCHECK(lane <= CACHE_GHOSTS_PER_BUCKET + CACHE_GHOSTS_OF_MAIN && value <= 0xffff);
    uint64_t rest = atomic_load_relaxed_u64(word) & ~(UINT64_C(0xffff) << shift);
    atomic_store_relaxed_u64(word, rest | value << shift);
}

/* A cursor of the bucket: for the lanes of the small queue, or of the main one. */
#define CURSOR_SMALL_SHIFT 0u
#define CURSOR_MAIN_SHIFT  8u

static uint32_t cursor_of(const struct cache_ghost_bucket *bucket, uint32_t shift)
{
    return (uint32_t)(atomic_load_relaxed_u64(&bucket->word[0]) >> shift & 0xff);
}

/* Enters a fingerprint at the cursor of its queue, whose lanes begin behind `first`. */
static void bucket_note(struct cache_ghost_bucket *bucket, uint64_t hash, uint32_t shift,
                        uint32_t first, uint32_t count)
{
    uint32_t next = cursor_of(bucket, shift);
    uint32_t other =
        (uint32_t)(atomic_load_relaxed_u64(&bucket->word[0]) & 0xffff) & ~(UINT32_C(0xff) << shift);

    Q_ASSERT(next < count); /* 2 */
    lane_set(bucket, first + next + 1, fingerprint(hash));
    lane_set(bucket, 0, other | (next + 1) % count << shift);
}

void cache_ghost_note(struct cache_ghost_table *table, uint64_t hash)
{
    bucket_note(bucket_of(table, hash), hash, CURSOR_SMALL_SHIFT, 0, CACHE_GHOSTS_PER_BUCKET);
}

void cache_ghost_note_main(struct cache_ghost_table *table, uint64_t hash)
{
    bucket_note(bucket_of(table, hash), hash, CURSOR_MAIN_SHIFT, CACHE_GHOSTS_PER_BUCKET,
                CACHE_GHOSTS_OF_MAIN);
}

/* The place of a fingerprint in the bucket; 0: it is not there. */
#if defined(__SSE2__) && !OS_UNDER_TSAN
/* Words are loaded whole, as all of x86's aligned loads of 16 bytes do. */
static uint32_t lane_of(const struct cache_ghost_bucket *bucket, uint64_t hash)
{
    const __m128i *word = (const __m128i *)(const void *)bucket;
    __m128i wanted = _mm_set1_epi16((short)(uint16_t)fingerprint(hash));
    __m128i low = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(&word[0]), wanted),
                                  _mm_cmpeq_epi16(_mm_load_si128(&word[1]), wanted));
    __m128i high = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(&word[2]), wanted),
                                   _mm_cmpeq_epi16(_mm_load_si128(&word[3]), wanted));
    uint32_t lanes = (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;

    lanes &= ~1u; /* where the next goes is no fingerprint */
    return lanes == 0 ? 0 : (uint32_t)__builtin_ctz(lanes);
}
#else
static uint32_t lane_of(const struct cache_ghost_bucket *bucket, uint64_t hash)
{
    uint64_t wanted = fingerprint(hash) * LANE_ONES;

    for (uint32_t i = 0; i < 8; i++) {
        uint64_t other = atomic_load_relaxed_u64(&bucket->word[i]) ^ wanted;
        if (i == 0) {
            other |= 0xffff; /* where the next goes is no fingerprint */
        }
        /* The lowest lane marked is one that is equal. */
        uint64_t equal = (other - LANE_ONES) & ~other & LANE_HIGHS;
        if (equal != 0) {
            return i * LANES_PER_WORD + bits_trailing_zeros_u64(equal) / 16;
        }
    }
    return 0;
}
#endif

/* What a fingerprint at that place says. */
static enum cache_ghost kind_of(const struct cache_ghost_bucket *bucket, uint32_t lane)
{
    if (lane == 0) {
        return CACHE_GHOST_NONE;
    }
    if (lane > CACHE_GHOSTS_PER_BUCKET) {
        return CACHE_GHOST_OF_MAIN;
    }
    uint32_t age = (cursor_of(bucket, CURSOR_SMALL_SHIFT) + CACHE_GHOSTS_PER_BUCKET - lane) %
                   CACHE_GHOSTS_PER_BUCKET;

    return age < CACHE_GHOSTS_OF_MAIN ? CACHE_GHOST_YOUNG : CACHE_GHOST_OLD;
}

enum cache_ghost cache_ghost_take(struct cache_ghost_table *table, uint64_t hash)
{
    struct cache_ghost_bucket *bucket = bucket_of(table, hash);
    uint32_t lane = lane_of(bucket, hash);

    if (lane != 0) {
        lane_set(bucket, lane, 0);
    }
    return kind_of(bucket, lane);
}

enum cache_ghost cache_ghost_find(const struct cache_ghost_table *table, uint64_t hash)
{
    const struct cache_ghost_bucket *bucket = &table->bucket[bucket_at(table, hash)];

    return kind_of(bucket, lane_of(bucket, hash));
}

/* ---- of a tenant ---------------------------------------------------------------------------- */

/* Of what a tenant may hold, for each part. */
#define PART_BYTES Q_MIB(64)
#define PARTS_MAX  4096u
/* Ghosts for a 256th of the bytes, but for as many bytes as items at least, and twice that at most.
 */
#define SHARE_OF_BYTES 256u

enum quarry_status cache_ghosts_init(struct cache_ghosts *ret_ghosts, struct quarry_cache *cache,
                                     uint64_t limit_bytes)
{
    uint64_t count = size_min_u64(size_max_u64(limit_bytes / PART_BYTES, 1), PARTS_MAX);

    *ret_ghosts = (struct cache_ghosts){.cache = cache, .part_count = (uint32_t)count};
    ret_ghosts->parts = cache_memory_take(cache, count * sizeof(*ret_ghosts->parts));
    return ret_ghosts->parts == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
}

static void table_free(struct cache_ghosts *ghosts, struct cache_ghost_table *table)
{
    if (table != NULL) {
        (void)atomic_sub_relaxed_u64(&ghosts->bytes, table->bytes);
        cache_memory_give(ghosts->cache, table, table->bytes);
    }
}

void cache_ghosts_fini(struct cache_ghosts *ghosts)
{
    for (uint32_t i = 0; i < ghosts->part_count && ghosts->parts != NULL; i++) {
        struct cache_ghost_part *part = &ghosts->parts[i];
        table_free(ghosts, atomic_load_relaxed_ptr(&part->table));
        table_free(ghosts, atomic_load_relaxed_ptr(&part->older));
        table_free(ghosts, part->retired);
    }
    cache_memory_give(ghosts->cache, ghosts->parts, ghosts->part_count * sizeof(*ghosts->parts));
    *ghosts = (struct cache_ghosts){0};
}

static struct cache_ghost_part *part_of(const struct cache_ghosts *ghosts, uint64_t hash)
{
    return &ghosts->parts[(hash >> 16 & 0xffff) * ghosts->part_count >> 16];
}

void cache_ghosts_note(struct cache_ghosts *ghosts, uint64_t hash)
{
    /* Acquire, here and below: pair with the release in part_replace. */
    struct cache_ghost_part *part = part_of(ghosts, hash);
    struct cache_ghost_table *table = atomic_load_acquire_ptr(&part->table);

    if (table != NULL) {
        atomic_bump_relaxed_u64(&part->noted_count, 1);
        cache_ghost_note(table, hash);
    }
}

void cache_ghosts_note_main(struct cache_ghosts *ghosts, uint64_t hash)
{
    struct cache_ghost_table *table = atomic_load_acquire_ptr(&part_of(ghosts, hash)->table);

    if (table != NULL) {
        cache_ghost_note_main(table, hash);
    }
}

enum cache_ghost cache_ghosts_take(struct cache_ghosts *ghosts, uint64_t hash)
{
    struct cache_ghost_part *part = part_of(ghosts, hash);
    struct cache_ghost_table *table = atomic_load_acquire_ptr(&part->table);
    struct cache_ghost_table *older = atomic_load_acquire_ptr(&part->older);
    enum cache_ghost ghost = table == NULL ? CACHE_GHOST_NONE : cache_ghost_take(table, hash);

    return ghost != CACHE_GHOST_NONE || older == NULL ? ghost : cache_ghost_take(older, hash);
}

bool cache_ghosts_have(const struct cache_ghosts *ghosts, uint64_t hash)
{
    const struct cache_ghost_part *part = part_of(ghosts, hash);
    const struct cache_ghost_table *table = atomic_load_acquire_ptr(&part->table);
    const struct cache_ghost_table *older = atomic_load_acquire_ptr(&part->older);

    return (table != NULL && cache_ghost_find(table, hash) != CACHE_GHOST_NONE) ||
           (older != NULL && cache_ghost_find(older, hash) != CACHE_GHOST_NONE);
}

uint64_t cache_ghosts_capacity(const struct cache_ghosts *ghosts)
{
    return atomic_load_relaxed_u64(&ghosts->bytes) / sizeof(struct cache_ghost_bucket) *
           CACHE_GHOSTS_PER_BUCKET;
}

/* Buckets for a part of a tenant of so many items. */
static uint64_t buckets_wanted(const struct cache_ghosts *ghosts, uint64_t item_count,
                               uint64_t item_bytes)
{
    uint64_t bytes = item_bytes / SHARE_OF_BYTES;

    bytes = size_min_u64(size_max_u64(bytes, item_count), 2 * item_count);
    return bytes / ghosts->part_count / sizeof(struct cache_ghost_bucket) + 1;
}

/* What nobody can be in any more goes. Returns: whether there is nothing that waits. */
static bool part_settle(struct cache_ghosts *ghosts, struct cache_ghost_part *part)
{
    if (part->retired == NULL) {
        return true;
    }
    if (!ref_epoch_is_past(ghosts->cache->epoch, part->retired_stamp)) {
        ref_epoch_advance(ghosts->cache->epoch);
        return false;
    }
    table_free(ghosts, part->retired);
    part->retired = NULL;
    return true;
}

/* The table is now this one, and the one before it is asked still; or none is, for NULL. */
static void part_shift(struct cache_ghosts *ghosts, struct cache_ghost_part *part,
                       struct cache_ghost_table *table)
{
    Q_ASSERT(part->retired == NULL);
    part->retired = atomic_load_relaxed_ptr(&part->older);
    if (table == NULL) {
        atomic_store_release_ptr(&part->older, NULL);
    } else {
        atomic_store_release_ptr(&part->older, atomic_load_relaxed_ptr(&part->table));
        atomic_store_release_ptr(&part->table, table);
        atomic_store_relaxed_u64(&part->noted_count, 0);
    }
    part->retired_stamp = ref_epoch_now(ghosts->cache->epoch);
}

static void part_replace(struct cache_ghosts *ghosts, struct cache_ghost_part *part,
                         uint64_t bucket_count)
{
    uint64_t bytes = cache_ghost_table_bytes(bucket_count);
    struct cache_ghost_table *table = cache_memory_take(ghosts->cache, bytes);

    if (table == NULL) {
        return; /* the one that is there serves */
    }
    table->bucket_count = bucket_count;
    table->bytes = bytes;
    (void)atomic_add_relaxed_u64(&ghosts->bytes, bytes);
    part_shift(ghosts, part, table);
}

/* Whether all that is in the older table would have been forgotten by now. */
static bool part_is_past(const struct cache_ghost_part *part)
{
    const struct cache_ghost_table *table = atomic_load_relaxed_ptr(&part->table);

    return atomic_load_relaxed_ptr(&part->older) != NULL &&
           atomic_load_relaxed_u64(&part->noted_count) >
               table->bucket_count * CACHE_GHOSTS_PER_BUCKET;
}

void cache_ghosts_turn(struct cache_ghosts *ghosts, uint64_t item_count, uint64_t item_bytes)
{
    struct cache_ghost_part *part = &ghosts->parts[ghosts->next_part++ % ghosts->part_count];
    const struct cache_ghost_table *table = atomic_load_relaxed_ptr(&part->table);
    uint64_t wanted = buckets_wanted(ghosts, item_count, item_bytes);

    if (!part_settle(ghosts, part)) {
        return;
    }
    if (table == NULL || wanted > table->bucket_count + table->bucket_count / 2 ||
        wanted < table->bucket_count / 4) {
        part_replace(ghosts, part, wanted + wanted / 4);
    } else if (part_is_past(part)) {
        part_shift(ghosts, part, NULL);
    }
}
