/*
 * Where hashes lead in tables: for the files of the index alone.
 */
#ifndef QUARRY_CACHE_INDEX_TABLE_H
#define QUARRY_CACHE_INDEX_TABLE_H

#include <cache/types.h>

/* In `growing`: somebody is about to begin, or to end, a growth. */
#define CACHE_INDEX_CLAIMED ((void *)(uintptr_t)1)

/*
 * Pages of a table; with its head, a page less one bucket is 127. While a table grows its old and
 * its new form are there at once, and one or two before it may wait for readers: with 64 KiB that
 * is little beside the whole from some 50,000 items on.
 */
#define CACHE_TABLE_PAGES_MAX    8u
#define CACHE_TABLE_PAGE_BUCKETS ((uint32_t)(QUARRY_PAGE_BYTES / sizeof(struct cache_bucket)))

static inline struct cache_directory *cache_directory_of(const struct cache_index *index)
{
    /* Acquire: pairs with the release in index_grow.c. */
    return atomic_load_acquire_ptr(&index->directory);
}

/* The oldest table that may have the hash. */
static inline struct cache_table *cache_table_of(const struct cache_index *index, uint64_t hash)
{
    const struct cache_directory *directory = cache_directory_of(index);
    /* Acquire: as above. Two shifts, for one by 64 is none. */
    return atomic_load_acquire_ptr(&directory->table[hash >> 1 >> (63 - directory->bits)]);
}

static inline uint32_t cache_table_home(const struct cache_table *table, uint64_t hash)
{
    return (uint32_t)((hash << table->depth >> 32) * table->bucket_count >> 32);
}

static inline uint32_t cache_table_bit(const struct cache_table *table, uint64_t hash)
{
    return (uint32_t)(hash >> (63 - table->depth)) & 1;
}

/* What the table grows into, where the hash is then; NULL: it does not grow. */
static inline struct cache_table *cache_table_next(const struct cache_table *table, uint64_t hash)
{
    /* Acquire: pairs with the release in index_grow.c. */
    return atomic_load_acquire_ptr(&table->next[cache_table_bit(table, hash)]);
}

/* next[1] is published last: when it is there, both are. */
static inline bool cache_table_is_growing(const struct cache_table *table)
{
    return atomic_load_acquire_ptr(&table->next[1]) != NULL;
}

/*
 * Buckets in which the items of a home may lie: at 0.9 one in 10^5 lies past the twentieth. A
 * table has more of them, and an odd number, so that the steps of a home, a power of two, lead to
 * none twice.
 */
#define CACHE_TABLE_REACH 64u

/* From bucket to bucket in which the items of a home lie: its own, so that runs of full ones do not
 * grow together. */
static inline uint32_t cache_table_step(const struct cache_table *table, uint32_t home)
{
    return 1u << ((uint64_t)(home * UINT32_C(0x9e3779b1)) * table->step_count >> 32);
}
static inline uint32_t cache_table_following(const struct cache_table *table, uint32_t bucket,
                                             uint32_t step)
{
    uint32_t next = bucket + step;
    return next >= table->bucket_count ? next - table->bucket_count : next;
}

static inline uint32_t cache_table_slots(const struct cache_table *table)
{
    return table->bucket_count * CACHE_BUCKET_SLOTS;
}

/* Used slots from which on it grows: a load of 0.9. */
static inline uint32_t cache_table_threshold(const struct cache_table *table)
{
    return cache_table_slots(table) / 20 * 18;
}

/* Acquire: pairs with the release of who enters an item: what is behind its ref is seen. */
static inline uint64_t cache_slot_load(const _Atomic uint64_t *slot)
{
    return atomic_load_acquire_u64(slot);
}

/* Items that lie past the bucket; acquire: see index.c, invariant 3. */
static inline uint32_t cache_bucket_passed(const struct cache_bucket *bucket)
{
    return atomic_load_acquire_u32(&bucket->passed) & ~CACHE_BUCKET_MOVED;
}
static inline bool cache_bucket_is_moved(const struct cache_bucket *bucket)
{
    return (atomic_load_acquire_u32(&bucket->passed) & CACHE_BUCKET_MOVED) != 0;
}

/* The first hash after those of a bucket; 0: past the last of all. */
static inline uint64_t cache_table_range_end(const struct cache_table *table, uint32_t bucket)
{
    /* The first x of 32 bits for which x * count >> 32 is the following bucket. */
    uint64_t x = (((uint64_t)(bucket + 1) << 32) + table->bucket_count - 1) / table->bucket_count;

    /* Of the last bucket x is 2^32, and in the last table the sum wraps to 0. */
    return table->prefix + (x << (32 - table->depth));
}

void cache_bucket_lock_slow(struct cache_bucket *bucket);
void cache_bucket_unlock_slow(struct cache_bucket *bucket);

static inline void cache_bucket_lock(struct cache_bucket *bucket)
{
    uint32_t expected = 0;
    /* Pairs with the release in cache_bucket_unlock. */
    if (Q_UNLIKELY(!atomic_cas_acquire_u32(&bucket->lock, &expected, 1))) {
        cache_bucket_lock_slow(bucket);
    }
}
static inline void cache_bucket_unlock(struct cache_bucket *bucket)
{
    uint32_t expected = 1;
    /* Pairs with the acquire in cache_bucket_lock and its slow half. */
    if (Q_UNLIKELY(!atomic_cas_release_u32(&bucket->lock, &expected, 0))) {
        cache_bucket_unlock_slow(bucket);
    }
}

/*
 * Places a slot's value in the first bucket of its home that has room. The home's lock is held, of
 * this table or of the one that it grows out of. `used_count` is the caller's.
 */
bool cache_table_place(struct cache_table *table, uint32_t home, uint64_t value);
/* Takes the value out of a slot of that home. */
uint64_t cache_table_clear(struct cache_table *table, uint32_t home, _Atomic uint64_t *slot);

/* Moves what has its home there into the next table; the home's lock is held. */
void cache_table_move_home(struct quarry_cache_tenant *tenant, struct cache_table *table,
                           uint32_t home);

/* A table of so many pages. NULL: there is no memory. No lock held. */
struct cache_table *cache_table_create(struct cache_index *index, uint32_t page_count,
                                       uint32_t depth, uint64_t prefix);

#endif
