/*
 * The table of a shard: from a key to its block or its ghost, read without a lock.
 */
#ifndef QUARRY_BLOCK_TABLE_H
#define QUARRY_BLOCK_TABLE_H

#include <base/base.h>

/*
 * A slot of 64 bits:
 *
 *     63 ........... 45   44    43 ................ 0
 *     tag of the hash      0    address of a block / 8
 *     tag of the hash      1    number of a ghost's entry        all zero: empty
 */
#define BLOCK_SLOT_TAG_SHIFT 45
#define BLOCK_SLOT_GHOST     (UINT64_C(1) << 44)
#define BLOCK_SLOT_PLACE     (BLOCK_SLOT_GHOST - 1)

/* Seven, and a word for what went on to the next bucket, are a line. */
#define BLOCK_BUCKET_SLOTS 7u

struct block_bucket {
    _Atomic uint64_t slot[BLOCK_BUCKET_SLOTS];
    _Atomic uint64_t passed_count; /* entries that found no room here, and lie in a later bucket */
};
Q_STATIC_ASSERT(sizeof(struct block_bucket) == Q_CACHE_LINE_BYTES, "a bucket is a line");

/* Buckets of the smallest table: one page. */
#define BLOCK_TABLE_LOG2_MIN 7u
/* And of the largest: 2^26 buckets are 4 GiB. */
#define BLOCK_TABLE_LOG2_MAX 26u

/*
 * Where the buckets are, and how many: the address of a page, with their logarithm in the bits that
 * are zero in it. One word, so that a reader has both of the same table.
 */
typedef uintptr_t block_table;

static inline struct block_bucket *block_table_buckets(block_table table)
{
    return (struct block_bucket *)(table & ~(uintptr_t)63);
}

static inline uint64_t block_table_mask(block_table table)
{
    return (UINT64_C(1) << (table & 63)) - 1;
}

static inline uint64_t block_slot_tag(uint64_t hash)
{
    /* Bits 19 to 37 of the hash: the bucket is below, the shard above. */
    return (hash << 26) & ~(BLOCK_SLOT_GHOST | BLOCK_SLOT_PLACE);
}

static inline uint64_t block_slot_block(uint64_t hash, const void *header)
{
    Q_DCHECK(((uintptr_t)header & 7) == 0 && (uintptr_t)header >> 47 == 0);
    return block_slot_tag(hash) | (uintptr_t)header >> 3;
}

static inline uint64_t block_slot_ghost(uint64_t hash, uint32_t entry)
{
    return block_slot_tag(hash) | BLOCK_SLOT_GHOST | entry;
}

static inline bool block_slot_is_ghost(uint64_t slot)
{
    return (slot & BLOCK_SLOT_GHOST) != 0;
}

static inline void *block_slot_header(uint64_t slot)
{
    return (void *)(uintptr_t)((slot & BLOCK_SLOT_PLACE) << 3);
}

static inline uint32_t block_slot_entry(uint64_t slot)
{
    return (uint32_t)slot;
}

/*
 * Vector loads look at seven slots in twenty instructions and no branch. They are not atomic in the
 * language's sense, so they only choose which slots are worth an atomic load; x86 loads each
 * aligned half of such a vector as a whole. ThreadSanitizer would see a race, and gets the loop.
 */
#if defined(__SSE4_1__) && !defined(__SANITIZE_THREAD__)
#define BLOCK_TABLE_HAS_VECTORS 1
typedef uint64_t block_pair_of_slots __attribute__((vector_size(16), may_alias));
typedef double block_pair_of_doubles __attribute__((vector_size(16)));

static inline uint32_t block_pair_matches(const volatile block_pair_of_slots *pair,
                                          block_pair_of_slots tag)
{
    block_pair_of_slots is_equal = (block_pair_of_slots)((*pair >> BLOCK_SLOT_TAG_SHIFT) == tag);

    return (uint32_t)__builtin_ia32_movmskpd((block_pair_of_doubles)is_equal);
}
#endif

/* A bit for each slot of the bucket that has the tag, or had it a moment ago. */
static inline uint32_t block_bucket_matches(const struct block_bucket *bucket, uint64_t tag)
{
    uint32_t matches = 0;

#ifdef BLOCK_TABLE_HAS_VECTORS
    const volatile block_pair_of_slots *pairs = (const volatile void *)bucket;
    block_pair_of_slots both = {tag >> BLOCK_SLOT_TAG_SHIFT, tag >> BLOCK_SLOT_TAG_SHIFT};
    matches = block_pair_matches(&pairs[0], both) | block_pair_matches(&pairs[1], both) << 2 |
              block_pair_matches(&pairs[2], both) << 4 | block_pair_matches(&pairs[3], both) << 6;
    matches &= (1u << BLOCK_BUCKET_SLOTS) - 1;
#else
    for (uint32_t i = 0; i < BLOCK_BUCKET_SLOTS; i++) {
        /* Relaxed: looked at again. */
        uint64_t slot = atomic_load_relaxed_u64(&bucket->slot[i]);
        matches |= (uint32_t)((slot ^ tag) >> BLOCK_SLOT_TAG_SHIFT == 0) << i;
    }
#endif
    return matches;
}

/* Where in a table a search is. */
struct block_cursor {
    struct block_bucket *buckets;
    uint64_t mask;
    uint64_t bucket;
    uint64_t tag;
    uint32_t matches; /* slots of the bucket that are to be looked at */
};

static inline struct block_cursor block_table_begin(block_table table, uint64_t hash)
{
    struct block_cursor cursor = {.buckets = block_table_buckets(table),
                                  .mask = block_table_mask(table),
                                  .tag = block_slot_tag(hash)};

    cursor.bucket = hash & cursor.mask;
    cursor.matches = block_bucket_matches(&cursor.buckets[cursor.bucket], cursor.tag);
    return cursor;
}

static inline void block_table_prefetch(block_table table, uint64_t hash)
{
    __builtin_prefetch(&block_table_buckets(table)[hash & block_table_mask(table)]);
}

/*
 * The next slot with the tag.
 *
 * `ret_slot`: where it is. Returns: what was in it; 0: there is no more.
 * Acquire: pairs with the release in block_slot_set, and so with the filling of the block.
 */
static inline uint64_t block_table_next(struct block_cursor *cursor, _Atomic uint64_t **ret_slot)
{
    for (;;) {
        struct block_bucket *bucket = &cursor->buckets[cursor->bucket];
        while (cursor->matches != 0) {
            _Atomic uint64_t *place = &bucket->slot[bits_trailing_zeros_u32(cursor->matches)];
            cursor->matches &= cursor->matches - 1;
            uint64_t slot = atomic_load_acquire_u64(place);
            if (Q_LIKELY((slot ^ cursor->tag) >> BLOCK_SLOT_TAG_SHIFT == 0 && slot != 0)) {
                *ret_slot = place;
                return slot;
            }
        }
        /* Relaxed: an entry that comes or goes meanwhile may be missed. */
        if (Q_LIKELY(atomic_load_relaxed_u64(&bucket->passed_count) == 0)) {
            return 0;
        }
        cursor->bucket = (cursor->bucket + 1) & cursor->mask;
        cursor->matches = block_bucket_matches(&cursor->buckets[cursor->bucket], cursor->tag);
    }
}

/* Publishes; the lock is held. Release: pairs with the acquire in block_table_next. */
static inline void block_slot_set(_Atomic uint64_t *place, uint64_t slot)
{
    atomic_store_release_u64(place, slot);
}

/* The rest with the lock held. */

/* Slots that may be in use before there should be a larger table: 5/8. */
static inline uint64_t block_table_room(block_table table)
{
    return (block_table_mask(table) + 1) * BLOCK_BUCKET_SLOTS * 5 / 8;
}

static inline size_t block_table_bytes(uint32_t buckets_log2)
{
    return sizeof(struct block_bucket) << buckets_log2;
}

/* `pages`: zero, block_table_bytes of them. */
static inline block_table block_table_make(void *pages, uint32_t buckets_log2)
{
    Q_ASSERT(((uintptr_t)pages & 63) == 0 && buckets_log2 <= BLOCK_TABLE_LOG2_MAX);
    return (uintptr_t)pages | buckets_log2;
}

/* Enters what is not there. There is room. */
void block_table_add(block_table table, uint64_t hash, uint64_t slot);
/* Where a slot is. Returns: NULL: nowhere. */
_Atomic uint64_t *block_table_find(block_table table, uint64_t hash, uint64_t slot);
/* Removes one that is there. */
void block_table_remove(block_table table, uint64_t hash, uint64_t slot);
/* Slots in use, and NULL or what is wrong. */
const char *block_table_validate(block_table table, uint64_t *ret_used);

#endif
