/*
 * Finding a key in tables, inline: for the index, and for the calls that a server lives on.
 *
 * index.c has the essay, and says why a reader needs no lock.
 */
#ifndef QUARRY_CACHE_INDEX_FIND_H
#define QUARRY_CACHE_INDEX_FIND_H

#include <string.h>

#if defined(__SSE4_1__)
#include <smmintrin.h>
#endif

#include <cache/index_table.h>

/* ---- slots by tag --------------------------------------------------------------------------- */

/* The bits of cache_bucket_match: two for each word of a bucket, of which the lower is used. */
#define CACHE_MATCH_BITS 0x5554u

/* The words of a bucket with this tag; empty ones may be among them, for tag 0. */
static inline uint32_t cache_bucket_match(const struct cache_bucket *bucket, uint64_t tag)
{
#if defined(__SSE4_1__) && !OS_UNDER_TSAN
    /*
     * Tags are in the upper halves of the words, which are loaded whole, as all of x86's aligned
     * loads of 16 bytes do; the slots that match are loaded again.
     */
    const __m128 *pair = (const __m128 *)(const void *)bucket;
    __m128i mask = _mm_set1_epi32((int)(uint32_t)(CACHE_SLOT_TAG_MASK >> 32));
    __m128i wanted = _mm_set1_epi32((int)(uint32_t)(tag >> 32));
    __m128i low = _mm_castps_si128(_mm_shuffle_ps(pair[0], pair[1], 0xdd));
    __m128i high = _mm_castps_si128(_mm_shuffle_ps(pair[2], pair[3], 0xdd));
    __m128i same = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_and_si128(low, mask), wanted),
                                   _mm_cmpeq_epi32(_mm_and_si128(high, mask), wanted));
    atomic_compiler_barrier(); /* what is asked for next is loaded after it, as x86 does */
    return (uint32_t)_mm_movemask_epi8(same) & CACHE_MATCH_BITS;
#else
    uint32_t slots = 0;

    for (uint32_t i = 0; i < CACHE_BUCKET_SLOTS; i++) {
        uint64_t seen = cache_slot_load(&bucket->slot[i]);
        slots |= (uint32_t)(((seen ^ tag) & CACHE_SLOT_TAG_MASK) == 0) << (2 * i + 2);
    }
    return slots;
#endif
}

/* The words of a bucket that are empty, likewise. */
static inline uint32_t cache_bucket_empty(const struct cache_bucket *bucket)
{
#if defined(__SSE4_1__) && !OS_UNDER_TSAN
    /* Ids of classes begin with 1: a slot is empty if its upper half is 0. */
    const __m128 *pair = (const __m128 *)(const void *)bucket;
    __m128i zero = _mm_setzero_si128();
    __m128i low = _mm_castps_si128(_mm_shuffle_ps(pair[0], pair[1], 0xdd));
    __m128i high = _mm_castps_si128(_mm_shuffle_ps(pair[2], pair[3], 0xdd));
    __m128i same = _mm_packs_epi32(_mm_cmpeq_epi32(low, zero), _mm_cmpeq_epi32(high, zero));
    return (uint32_t)_mm_movemask_epi8(same) & CACHE_MATCH_BITS;
#else
    uint32_t slots = 0;

    for (uint32_t i = 0; i < CACHE_BUCKET_SLOTS; i++) {
        slots |= (uint32_t)(atomic_load_relaxed_u64(&bucket->slot[i]) == 0) << (2 * i + 2);
    }
    return slots;
#endif
}

/* The first slot of a match that is not empty. */
static inline _Atomic uint64_t *cache_bucket_matched(struct cache_bucket *bucket, uint32_t slots)
{
    /* The lowest bit is at twice the number of the word, the lock's being 0. */
    uint64_t offset = (uint64_t)(uint32_t)__builtin_ctz(slots) * (sizeof(uint64_t) / 2);
    return (_Atomic uint64_t *)(void *)((char *)bucket + offset);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static inline uint64_t cache_load_u64(const char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
    return word;
}
static inline uint32_t cache_load_u32(const char *bytes)
{
    uint32_t word;

    memcpy(&word, bytes, sizeof(word));
    return word;
}

static inline bool cache_is_same_short(const char *a, const char *b, uint32_t byte_count)
{
    if (byte_count >= sizeof(uint32_t)) {
        uint32_t last = byte_count - (uint32_t)sizeof(uint32_t);
        return cache_load_u32(a) == cache_load_u32(b) &&
               cache_load_u32(a + last) == cache_load_u32(b + last);
    }
    for (uint32_t i = 0; i < byte_count; i++) {
        if (a[i] != b[i]) {
            return false;
        }
    }
    return true;
}

/* As memcmp, without the call: most keys are three words or four, the last of which overlap. */
static inline bool cache_is_same(const char *a, const char *b, uint32_t byte_count)
{
    if (Q_UNLIKELY(byte_count < sizeof(uint64_t))) {
        return cache_is_same_short(a, b, byte_count);
    }
    uint32_t last = byte_count - (uint32_t)sizeof(uint64_t);
    for (uint32_t i = 0; i < last; i += (uint32_t)sizeof(uint64_t)) {
        if (Q_UNLIKELY(cache_load_u64(a + i) != cache_load_u64(b + i))) {
            return false;
        }
    }
    return cache_load_u64(a + last) == cache_load_u64(b + last);
}

/* ---- tables --------------------------------------------------------------------------------- */

/* The page of a slot's item, and the item. The slot is not empty. */
static inline struct slab_page *cache_slot_page(const struct quarry_cache *cache, uint64_t seen)
{
    const struct slab_tables *tables = (const struct slab_tables *)(const void *)cache->slab;
    /* Acquire: as in slab_data_unchecked. */
    const struct slab_table *table =
        atomic_load_acquire_ptr(&tables->table[QUARRY_REF_CLASS(seen)]);

    return atomic_load_acquire_ptr(&table->page[QUARRY_REF_PAGE(seen)]);
}

/* Looks in one bucket. */
static Q_ALWAYS_INLINE bool cache_bucket_find(const struct quarry_cache *cache,
                                              struct cache_bucket *bucket,
                                              const struct quarry_cache_key *key,
                                              struct cache_found *found)
{
    uint32_t slots = cache_bucket_match(bucket, cache_slot_tag(key->hash));

    for (; slots != 0; slots &= slots - 1) {
        _Atomic uint64_t *slot = cache_bucket_matched(bucket, slots);
        uint64_t seen = cache_slot_load(slot);
        /* Whatever has come since it matched is told apart by its key. */
        if (Q_UNLIKELY(seen == 0)) {
            continue;
        }
        struct slab_page *page = cache_slot_page(cache, seen);
        struct cache_item *item = slab_page_cell(page, QUARRY_REF_CELL(seen));
        uint32_t head = cache_item_head(item);
        const char *text = cache_item_key(item, head);
        if (Q_LIKELY(item->key_bytes == key->byte_count &&
                     cache_is_same(text, key->bytes, key->byte_count))) {
            *found = (struct cache_found){slot, seen, item, page, text, head};
            return true;
        }
    }
    return false;
}

/* Looks in one table, from the bucket behind the home on. */
bool cache_table_find_behind(const struct quarry_cache *cache, struct cache_table *table,
                             uint32_t home, const struct quarry_cache_key *key,
                             struct cache_found *ret_found);
/* What is left of cache_find_locked after the home. */
struct cache_found cache_find_behind_locked(const struct quarry_cache *cache,
                                            const struct cache_lock *lock,
                                            const struct quarry_cache_key *key);
/* What is left of a search after the home: the rest of the table, then what it grows into. */
struct cache_found cache_tables_find(const struct quarry_cache *cache, struct cache_table *table,
                                     const struct quarry_cache_key *key);

/* The bucket behind one of the buckets of a home. */
static inline struct cache_bucket *cache_bucket_behind(struct cache_table *table, uint64_t hash,
                                                       const struct cache_bucket *bucket)
{
    uint32_t step = cache_table_step(table, cache_table_home(table, hash));

    return &table->bucket[cache_table_following(table, (uint32_t)(bucket - table->bucket), step)];
}

/* As cache_index_find: what lies in its home, or next to it, is found without a call. */
static Q_ALWAYS_INLINE struct cache_found cache_find(const struct quarry_cache_tenant *tenant,
                                                     const struct quarry_cache_key *key)
{
    struct cache_table *table = cache_table_of(&tenant->index, key->hash);
    struct cache_bucket *bucket = &table->bucket[cache_table_home(table, key->hash)];
    struct cache_found found;

    for (;;) {
        if (Q_LIKELY(cache_bucket_find(tenant->cache, bucket, key, &found))) {
            return found;
        }
        if (cache_bucket_passed(bucket) == 0 ||
            bucket != &table->bucket[cache_table_home(table, key->hash)]) {
            return cache_tables_find(tenant->cache, table, key);
        }
        bucket = cache_bucket_behind(table, key->hash, bucket);
    }
}

/* ---- locks ---------------------------------------------------------------------------------- */

/* The home is not locked: locks where the key is to be now, moving its home there if need be. */
void cache_lock_home_slow(struct quarry_cache_tenant *tenant, struct cache_table *table,
                          uint64_t hash, struct cache_lock *ret_lock);

/* As cache_index_lock. */
static inline void cache_lock_home(struct quarry_cache_tenant *tenant, uint64_t hash,
                                   struct cache_lock *ret_lock)
{
    struct cache_table *table = cache_table_of(&tenant->index, hash);
    uint32_t home = cache_table_home(table, hash);
    struct cache_bucket *bucket = &table->bucket[home];

    cache_bucket_lock(bucket);
    if (Q_LIKELY(!cache_table_is_growing(table))) {
        *ret_lock = (struct cache_lock){table, bucket, home, false};
        return;
    }
    cache_bucket_unlock(bucket);
    cache_lock_home_slow(tenant, table, hash, ret_lock);
}

/* As cache_index_find_locked. */
static Q_ALWAYS_INLINE struct cache_found cache_find_locked(const struct quarry_cache *cache,
                                                            const struct cache_lock *lock,
                                                            const struct quarry_cache_key *key)
{
    struct cache_found found;

    if (cache_bucket_find(cache, lock->home, key, &found)) {
        return found;
    }
    return cache_bucket_passed(lock->home) == 0 ? (struct cache_found){0}
                                                : cache_find_behind_locked(cache, lock, key);
}

#endif
