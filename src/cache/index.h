/*
 * A tenant's index: from the hash of a key to where the item lies. index.c has the essay.
 */
#ifndef QUARRY_CACHE_INDEX_H
#define QUARRY_CACHE_INDEX_H

#include <quarry/cache.h>

#include <base/base.h>
#include <os/os.h>
#include <cache/item.h>

struct quarry_cache;
struct slab_page;

/* ---- slots ---------------------------------------------------------------------------------- */

/*
 *     63..62     61   60 ...... 48  47 .............. 0
 *     frequency  M    tag           ref48                      0: empty
 *
 * M: the item is in the main queue; else in the small one. Frequency: 0 to 3. The tag is the lowest
 * 13 bits of the hash; what the place of a slot says comes from its highest.
 */
#define CACHE_SLOT_TAG_SHIFT       48
#define CACHE_SLOT_TAG_MASK        (UINT64_C(0x1fff) << CACHE_SLOT_TAG_SHIFT)
#define CACHE_SLOT_MAIN            (UINT64_C(1) << 61)
#define CACHE_SLOT_FREQUENCY_SHIFT 62
#define CACHE_SLOT_FREQUENCY_ONE   (UINT64_C(1) << CACHE_SLOT_FREQUENCY_SHIFT)
#define CACHE_SLOT_FREQUENCY_MAX   3u
/* Of who joins the main queue: as if used once, so that the hand does not take it at its first
 * turn.
 */
#define CACHE_SLOT_JOINS_MAIN (CACHE_SLOT_MAIN | CACHE_SLOT_FREQUENCY_ONE)

static inline uint64_t cache_slot_tag(uint64_t hash)
{
    return hash << CACHE_SLOT_TAG_SHIFT & CACHE_SLOT_TAG_MASK;
}
static inline uint64_t cache_slot_ref(uint64_t slot)
{
    return slot & QUARRY_REF48_MASK;
}
static inline bool cache_slot_is_main(uint64_t slot)
{
    return (slot & CACHE_SLOT_MAIN) != 0;
}
static inline uint32_t cache_slot_frequency(uint64_t slot)
{
    return (uint32_t)(slot >> CACHE_SLOT_FREQUENCY_SHIFT);
}

/*
 * Makes the frequency one more, or one less, unless the slot has changed since it was `seen`.
 * Inside the epoch. Returns: the slot as it now is; 0: it had changed, and is left.
 */
static inline uint64_t cache_slot_raise(_Atomic uint64_t *slot, uint64_t seen)
{
    Q_DCHECK(cache_slot_frequency(seen) < CACHE_SLOT_FREQUENCY_MAX);
    uint64_t after = seen + CACHE_SLOT_FREQUENCY_ONE;
    /* Relaxed: the frequency orders nothing. */
    return atomic_cas_relaxed_u64(slot, &seen, after) ? after : 0;
}
static inline uint64_t cache_slot_lower(_Atomic uint64_t *slot, uint64_t seen)
{
    Q_DCHECK(cache_slot_frequency(seen) > 0);
    uint64_t after = seen - CACHE_SLOT_FREQUENCY_ONE;
    /* Relaxed: the frequency orders nothing. */
    return atomic_cas_relaxed_u64(slot, &seen, after) ? after : 0;
}

/* ---- buckets and tables --------------------------------------------------------------------- */

#define CACHE_BUCKET_SLOTS 7u

struct cache_bucket {
    _Atomic uint32_t lock;   /* 0 free, 1 taken, 2 taken and somebody may sleep on it */
    _Atomic uint32_t passed; /* items that lie past this bucket; CACHE_BUCKET_MOVED */
    _Atomic uint64_t slot[CACHE_BUCKET_SLOTS];
} Q_ALIGNED(Q_CACHE_LINE_BYTES);
Q_STATIC_ASSERT(sizeof(struct cache_bucket) == 64, "a bucket is a cache line");

/* In `passed`: the keys of this home are in the next table. Written under the bucket's lock. */
#define CACHE_BUCKET_MOVED (1u << 31)

/* Buckets of the hashes that begin with `prefix`, of `depth` bits. */
struct cache_table {
    /* const while published */
    uint32_t bucket_count;
    uint32_t depth;
    uint64_t prefix; /* in the highest bits */
    uint64_t page_count;
    /* atomic */
    _Atomic(void *) next[2];     /* what it grows into, by the next bit of the hash; or NULL */
    _Atomic uint32_t used_count; /* slots, and those promised to what is still to be moved in */
    _Atomic uint32_t claimed;    /* homes that somebody moves or has moved */
    _Atomic uint32_t moved;      /* homes that are moved */
    _Atomic uint32_t owed[2];    /* of what was promised by next[], what has not come to it */
    uint32_t step_count;         /* const while published: how many steps homes have */
    struct cache_bucket bucket[];
};
Q_STATIC_ASSERT(sizeof(struct cache_table) == 64, "buckets begin at a line");

struct cache_directory {
    uint32_t bits;
    uint32_t reserved;
    uint64_t bytes;
    _Atomic(void *) table[]; /* struct cache_table *, by the highest bits of the hash */
};

/* What readers may still be in. */
struct cache_retired {
    void *base;
    uint64_t bytes;
    uint64_t stamp;
};
/*
 * A growth leaves a table and a directory; the next begins when there is room for its two, and
 * where there is none for long items go though there is memory. So many are some 10 ms of
 * insertions by one thread, or of a reader that stays; up to 64 KiB each meanwhile.
 */
#define CACHE_RETIRED_MAX 16u

struct cache_index {
    _Atomic(void *) directory;  /* struct cache_directory * */
    struct quarry_cache *cache; /* const */
    _Atomic(void *) growing;    /* the table that grows: one at a time; CACHE_INDEX_CLAIMED */
    _Atomic uint64_t bytes;     /* of its pages */
    _Atomic uint64_t slot_count;
    _Atomic uint64_t grown_count;
    _Atomic uint32_t starved_count; /* growths that found no memory, since one did */
    _Atomic uint64_t looked_at;     /* a hash of the table that a turn looks at next */
    struct os_mutex mutex;
    /* guarded by mutex */
    uint32_t retired_count;
    struct cache_retired retired[CACHE_RETIRED_MAX];
};

enum quarry_status cache_index_init(struct cache_index *index, struct quarry_cache *cache);
/*
 * Has an empty index begin with room for so many items, so that it does not grow while they come.
 * Nobody is in it. Errors: NO_MEMORY: as it was.
 */
enum quarry_status cache_index_presize(struct cache_index *index, uint64_t item_count);
/* Nobody is in it. What it refers to is the caller's. */
void cache_index_fini(struct cache_index *index);

/* ---- reading, inside the epoch -------------------------------------------------------------- */

/* An item that was found: where its slot was, and what was in it. */
struct cache_found {
    _Atomic uint64_t *slot;
    uint64_t seen;
    struct cache_item *item; /* NULL: there is none */
    struct slab_page *page;  /* of its cell; NULL where the item is of no index */
    const char *key;         /* likewise */
    uint32_t head;
};

/* The item of a key, expired and flushed ones as well. Without a lock. */
struct cache_found cache_index_find(const struct quarry_cache_tenant *tenant,
                                    const struct quarry_cache_key *key);

/* The slot that holds this very ref, as it was at some moment; 0: none did. Without a lock. */
uint64_t cache_index_slot(const struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48);

/* See quarry_cache_prefetch. */
void cache_index_prefetch(const struct quarry_cache_tenant *tenant, uint64_t hash);
void cache_index_prefetch_item(const struct quarry_cache_tenant *tenant, uint64_t hash);

/*
 * The slots of a bucket, for the clock's hand: `*cursor` is a place in the space of hashes, which
 * means the same however the index has grown meanwhile, and is moved on by a bucket; after the last
 * one it is 0. An item that is there throughout is seen in each round, or where the index grows
 * once twice or not.
 *
 * Returns: how many were written, up to CACHE_BUCKET_SLOTS. `slots` are valid until leave.
 */
struct cache_slot_view {
    _Atomic uint64_t *slot;
    uint64_t seen;
};
uint32_t cache_index_look(const struct cache_index *index, uint64_t *cursor,
                          struct cache_slot_view *slots);

/*
 * The items of a stretch of hashes from *cursor on, which is moved to its end; UINT64_MAX at the
 * last. Each that is there throughout is told of in just one round, also when the index grows.
 *
 * Returns: how many were written of those that fit; 0 may be told before the end.
 */
uint32_t cache_index_next(struct quarry_cache_tenant *tenant, uint64_t *cursor, uint64_t *refs,
                          uint32_t capacity);

/* ---- changing, inside the epoch ------------------------------------------------------------- */

/* The lock of a key's home bucket. Short; nothing is called, taken or given back under it. */
struct cache_lock {
    struct cache_table *table;
    struct cache_bucket *home;
    uint32_t home_index;
    bool wants_growth; /* an insertion has found the table fuller than it should be */
};

void cache_index_lock(struct quarry_cache_tenant *tenant, uint64_t hash,
                      struct cache_lock *ret_lock);
void cache_index_unlock(struct cache_lock *lock);

/* As cache_index_find, for the holder of the lock. */
struct cache_found cache_index_find_locked(const struct quarry_cache_tenant *tenant,
                                           const struct cache_lock *lock,
                                           const struct quarry_cache_key *key);
/* The item whose key has this hash. */
struct cache_found cache_index_find_hash_locked(const struct quarry_cache_tenant *tenant,
                                                const struct cache_lock *lock, uint64_t hash);
/* The slot that holds this very ref, or NULL. */
_Atomic uint64_t *cache_index_slot_locked(const struct cache_lock *lock, uint64_t hash,
                                          uint64_t ref48);
/* False: there is no slot free near the home: grow, or make room, without the lock. */
bool cache_index_insert_locked(struct cache_lock *lock, uint64_t hash, uint64_t ref48,
                               bool is_main);
/* Empties the slot. Returns: what was in it. */
uint64_t cache_index_remove_locked(struct cache_lock *lock, _Atomic uint64_t *slot);
/* Has the slot say another ref; M and frequency stay. Returns: what it says. */
uint64_t cache_index_repoint_locked(_Atomic uint64_t *slot, uint64_t ref48);
/* Likewise for an item that takes the place of another: to be stored anew is a use as well. */
uint64_t cache_index_replace_locked(_Atomic uint64_t *slot, uint64_t ref48);

/*
 * Takes an item out, if a slot still holds this very ref. The caller owns the cell then.
 * Returns: the slot as it was; 0: it was not there.
 */
uint64_t cache_index_remove(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48);
/*
 * Puts an item into the main queue. `frequency`: with which it begins there.
 * False: it is not there, or in it already.
 */
bool cache_index_promote(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                         uint32_t frequency);
/*
 * Enters what recovery has found; nobody else uses the tenant's keys. Returns: QUARRY_EXISTS: there
 * is an item of the key, and `*ret_ref48` is it; QUARRY_NO_MEMORY.
 */
enum quarry_status cache_index_restore(struct quarry_cache_tenant *tenant, uint64_t hash,
                                       uint64_t ref48, bool is_main, uint64_t *ret_ref48);

/* ---- growing -------------------------------------------------------------------------------- */

/* Whether there is something for cache_index_grow to do after what was done under the lock. */
static inline bool cache_index_wants_growth(const struct cache_index *index,
                                            const struct cache_lock *lock)
{
    /* Relaxed: a hint. */
    return lock->wants_growth || atomic_load_relaxed_ptr(&index->growing) != NULL;
}
/* Begins to grow, or does a part of it. Short. Without a lock, and better outside the epoch. */
void cache_index_grow(struct quarry_cache_tenant *tenant, uint64_t hash);
/* Does a part of a growth under way, and frees what has grown. Returns: whether there is more. */
bool cache_index_turn(struct quarry_cache_tenant *tenant);
/*
 * After an insertion found no room: grows at once, or evicts what lies there. Outside locks, inside
 * the epoch or not. Returns: false: neither is possible.
 */
bool cache_index_make_room(struct quarry_cache_tenant *tenant, uint64_t hash);

#endif
