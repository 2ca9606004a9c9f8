/*
 * The structures of a cache. Not part of the door.
 *
 *     quarry_cache ─┬─ account, lane, epoch, slab
 *                   ├─ tenants by id ─┬─ index             (index.h)
 *                   │                 ├─ stripes of counts
 *                   │                 └─ queues, ghosts    (policy.h)
 *                   ├─ policy         refill, expiry, rebalancing, the account (policy.h)
 *                   └─ file           (warm.h)
 */
#ifndef QUARRY_CACHE_TYPES_H
#define QUARRY_CACHE_TYPES_H

#include <quarry/cache.h>
#include <quarry/epoch.h>
#include <quarry/slab.h>

#include <base/base.h>
#include <budget/budget.h>
#include <cache/index.h>
#include <cache/item.h>
#include <os/os.h>
#include <page/page.h>
#include <ref/ref.h>
#include <slab/slab.h>

/* ---- counts --------------------------------------------------------------------------------- */

/* What is counted by tenant. The first ones are levels: sums of what came and what went. */
enum cache_count {
    CACHE_COUNT_ITEMS,
    CACHE_COUNT_ITEM_BYTES,
    CACHE_COUNT_REQUEST_BYTES,
    CACHE_COUNT_LEVELS, /* the rest only grow, and can be reset */
    CACHE_COUNT_TOTAL_ITEMS = CACHE_COUNT_LEVELS,
    CACHE_COUNT_GET_HITS,
    CACHE_COUNT_GET_MISSES,
    CACHE_COUNT_GET_EXPIRED,
    CACHE_COUNT_GET_FLUSHED,
    CACHE_COUNT_TOUCH_HITS,
    CACHE_COUNT_TOUCH_MISSES,
    CACHE_COUNT_DELETE_HITS,
    CACHE_COUNT_DELETE_MISSES,
    CACHE_COUNT_INCR_HITS,
    CACHE_COUNT_INCR_MISSES,
    CACHE_COUNT_DECR_HITS,
    CACHE_COUNT_DECR_MISSES,
    CACHE_COUNT_CAS_HITS,
    CACHE_COUNT_CAS_MISSES,
    CACHE_COUNT_CAS_BADVAL,
    CACHE_COUNT_SETS,
    CACHE_COUNT_TOO_LARGE,
    CACHE_COUNT_NO_MEMORY,
    CACHE_COUNT_EVICTIONS,
    CACHE_COUNT_EVICTED_UNFETCHED,
    CACHE_COUNT_EVICTED_BYTES,
    CACHE_COUNT_EXPIRED,
    CACHE_COUNT_EXPIRED_UNFETCHED,
    CACHE_COUNT_GHOST_HITS,
    CACHE_COUNT_PROMOTED,
    CACHE_COUNTS,
};

/* Counts of the threads whose number leads here: in lines of its own. */
struct cache_stripe {
    _Atomic uint64_t count[CACHE_COUNTS];
} Q_ALIGNED(Q_CACHE_LINE_BYTES);

/* ---- a tenant ------------------------------------------------------------------------------- */

struct cache_policy_tenant;
struct cache_policy;
struct cache_file;

#define CACHE_TENANTS_MAX     65535u
#define CACHE_TENANTS_DEFAULT 1024u
#define CACHE_NAME_BYTES      32u

struct quarry_cache_tenant {
    /* const after init */
    struct quarry_cache *cache;
    uint64_t secret; /* seed of its keys' hashes */
    struct cache_stripe *stripes;
    uint32_t stripe_mask;
    uint32_t id; /* the default one has 0 */

    struct cache_index index;
    struct cache_policy_tenant *policy; /* of evict; const after init */

    /* atomic */
    _Atomic uint64_t quota_bytes;      /* as set; 0: the cache's */
    _Atomic uint64_t share_bytes;      /* as set; 0: an equal part */
    _Atomic uint64_t flushed_sequence; /* items up to it are gone */
    _Atomic uint32_t flush_at;         /* a flush that is to come; 0: none */
    _Atomic uint32_t is_flushing;      /* a flush is taking its number */
    _Atomic uint32_t is_parked;        /* a file had it, and nobody has added it yet */
    _Atomic uint32_t evicted_age;      /* seconds, of the last evicted */
    _Atomic uint64_t pending_bytes;    /* cells of writes that are not committed */
    _Atomic uint64_t pinned_bytes;     /* cells that are pinned, in the index or not */

    _Atomic(void *) prefixes; /* prefixes.c; NULL: nobody has counted */
    _Atomic(void *) hot_keys; /* hot_keys.c; likewise */

    char name[CACHE_NAME_BYTES];         /* const after init */
    uint64_t counted_from[CACHE_COUNTS]; /* guarded by tenants_mutex: at the last reset */
};

/* ---- a cache -------------------------------------------------------------------------------- */

#define CACHE_SMALL_SIZES 7u /* free lists of 64 bytes to 4 KiB */

/* Memory of a cache's own structures; memory.c. */
struct cache_memory {
    struct os_mutex mutex;
    /* guarded by mutex */
    void *free[CACHE_SMALL_SIZES];
    _Atomic uint64_t taken_bytes; /* of whole pages */
};

/* What the cache's thread is told. */
enum cache_thread_word { CACHE_THREAD_REST, CACHE_THREAD_WAKE, CACHE_THREAD_END };

struct quarry_cache {
    /* const after init: what every call reads */
    struct quarry_epoch *epoch;
    struct quarry_slab *slab;
    struct os *os;
    struct quarry_cache_tenant *default_tenant;
    struct cache_policy *policy; /* of evict */
    struct cache_file *file;     /* of warm; NULL: anonymous memory */
    quarry_cache_observe_function *observe;
    void *observe_argument;
    bool never_evicts;
    bool has_no_thread;

    /* atomic: read by every call, written once a second */
    _Atomic uint32_t now Q_ALIGNED(Q_CACHE_LINE_BYTES);
    _Atomic uint64_t size_bytes;
    _Atomic uint64_t value_bytes_max;
    _Atomic uint64_t target_bytes; /* what the budget wants it to hold; 0: no wish */

    /* atomic: written by every change */
    _Atomic uint64_t sequence Q_ALIGNED(Q_CACHE_LINE_BYTES); /* the last that was given */

    /* const after init */
    struct quarry_memory *heap Q_ALIGNED(Q_CACHE_LINE_BYTES);
    struct quarry_lane *lane;        /* of the slab's pages */
    struct quarry_lane *memory_lane; /* of all else; the same where there is no file */
    struct quarry_account *account;
    uint64_t own_bytes;
    uint64_t floor_bytes;
    uint64_t wall_base_s;       /* Unix seconds when it was made */
    uint64_t monotonic_base_ns; /* and the monotonic clock then */
    uint32_t tenants_max;
    uint32_t stripe_count;
    char name[QUARRY_NAME_BYTES];
    struct quarry_cache_recovery recovery;

    struct cache_memory memory;
    struct os_mutex tenants_mutex; /* adding, removing and naming tenants */
    /* written under tenants_mutex; struct quarry_cache_tenant *, by id */
    _Atomic(void *) *tenant;
    _Atomic uint32_t tenant_count;
    _Atomic uint32_t tenant_limit; /* ids in use are below it */
    _Atomic int64_t clock_shift_s;

    struct os_mutex turn_mutex; /* one turn at a time; none while a tenant goes */
    uint32_t turn_tenant;       /* guarded by turn_mutex: whose index is next */

    struct os_thread thread; /* by the owner, when has_no_thread is false */
    void *stack;
    _Atomic uint32_t thread_word; /* CACHE_THREAD_…; it sleeps on it */
};

/* ---- what all files use --------------------------------------------------------------------- */

static inline struct cache_stripe *cache_stripe_of(const struct quarry_cache_tenant *tenant)
{
    return &tenant->stripes[os_thread_id() & tenant->stripe_mask];
}
/* Levels may sink: `amount` wraps. */
static inline void cache_stripe_add(struct cache_stripe *stripe, enum cache_count what,
                                    uint64_t amount)
{
    /* Relaxed: figures. */
    (void)atomic_add_relaxed_u64(&stripe->count[what], amount);
}
static inline void cache_count_add(const struct quarry_cache_tenant *tenant, enum cache_count what,
                                   uint64_t amount)
{
    cache_stripe_add(cache_stripe_of(tenant), what, amount);
}
static inline void cache_count(const struct quarry_cache_tenant *tenant, enum cache_count what)
{
    cache_count_add(tenant, what, 1);
}
uint64_t cache_count_read(const struct quarry_cache_tenant *tenant, enum cache_count what);

static inline uint32_t cache_now(const struct quarry_cache *cache)
{
    return atomic_load_relaxed_u32(&cache->now);
}
/* The tenant of an id, or NULL. Inside the epoch. */
static inline struct quarry_cache_tenant *cache_tenant_of(const struct quarry_cache *cache,
                                                          uint32_t id)
{
    /* Acquire: pairs with the release of who adds it. */
    return id < cache->tenants_max ? atomic_load_acquire_ptr(&cache->tenant[id]) : NULL;
}
static inline uint64_t cache_hash(const struct quarry_cache_tenant *tenant, const void *key,
                                  size_t bytes)
{
    return hash_xxh3_u64(key, bytes, tenant->secret);
}

/* Pages or smaller pieces for structures, zero when taken; charged. No lock held. NULL: none. */
void *cache_memory_take(struct quarry_cache *cache, size_t bytes);
/* `bytes`: as taken. `base`: given; NULL does nothing. */
void cache_memory_give(struct quarry_cache *cache, void *base, size_t bytes);

/* ---- items in use: store.c ------------------------------------------------------------------ */

/* Where an item of the cache lies. The ref is of a cell in use; inside the epoch. */
static inline struct cache_item *cache_item_at(const struct quarry_cache *cache, uint64_t ref48)
{
    return slab_data_unchecked(cache->slab, ref48);
}
/* Bytes of the item's cells, extents and all: what it is charged. */
uint64_t cache_item_charge(const struct quarry_cache *cache, uint64_t ref48,
                           const struct cache_item *item, uint32_t head);
/* The hash of an item's key. */
static inline uint64_t cache_item_hash(const struct quarry_cache_tenant *tenant,
                                       const struct cache_item *item, uint32_t head)
{
    return cache_hash(tenant, cache_item_key(item, head), item->key_bytes);
}

/* Whether an item is there for nobody any more. */
static inline bool cache_item_is_expired(const struct quarry_cache *cache,
                                         const struct cache_item *item, uint32_t head)
{
    uint32_t expiry = cache_item_expiry(item, head);

    return expiry != 0 && expiry <= cache_now(cache);
}
static inline bool cache_item_is_flushed(const struct quarry_cache_tenant *tenant,
                                         const struct cache_item *item)
{
    /* Acquire: pairs with the release in quarry_cache_flush. */
    uint64_t flushed = atomic_load_acquire_u64(&tenant->flushed_sequence);

    return Q_UNLIKELY(flushed != 0) &&
           cache_item_sequence(item, atomic_load_relaxed_u64(&tenant->cache->sequence)) <= flushed;
}

/* Why an item goes. */
enum cache_gone {
    CACHE_GONE_EVICTED,
    CACHE_GONE_EXPIRED,
    CACHE_GONE_FLUSHED,
    CACHE_GONE_DELETED,
};

/*
 * The item is no item any more to who finds its cell otherwise, the next process above all. Under
 * the lock of its bucket, before the index says so: what anybody was told of since is not undone by
 * a kill.
 */
static inline void cache_item_end(struct cache_item *item)
{
    /* Release: it is over before anything that follows from that. */
    (void)atomic_and_release_u32(&item->head, ~CACHE_HEAD_VALID);
}

/*
 * Ends an item that has just been taken out of the index, without VALID: its figures, its queue's,
 * its cells are retired, or left to the last who unpins it. `slot`: as it was. Inside the epoch, no
 * lock held.
 */
void cache_item_drop(struct quarry_cache_tenant *tenant, uint64_t slot);
/*
 * The cells of an item that is out of the index, and whose figures are done: retired, or left to
 * the last who unpins it. `page`: of its cell.
 */
void cache_item_let_go(struct quarry_cache *cache, struct slab_page *page, uint64_t ref48,
                       struct cache_item *item, uint32_t head);
/*
 * Drops one that a growing index has no room for, as if it were evicted, but nobody is told: the
 * lock of its home is held. What it retires to comes after that lock.
 */
void cache_item_strand(struct quarry_cache_tenant *tenant, uint64_t slot);
/*
 * All of it for an item that is to go for `why`: takes it out of the index, if it is there under
 * this very ref; tells the observer; counts; drops it. Inside the epoch, no lock held.
 *
 * Returns: the bytes of its cells; 0: it was not there.
 */
uint64_t cache_item_remove(struct quarry_cache_tenant *tenant, uint64_t hash, uint64_t ref48,
                           enum cache_gone why);

/* What quarry_slab_move_page wants; `argument` is the cache. Inside the epoch, no lock held. */
bool cache_item_move(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                     void *new_data, size_t bytes);

/*
 * Whose item or extent lies in a cell, for who wants to empty a page: finds the key by which the
 * index knows it. `ret_ref48`: the item, that is, the head of an extent's. Inside the epoch.
 *
 * Returns: false: nobody's: free, or of a write that is under way.
 */
bool cache_item_whose(struct quarry_cache *cache, uint64_t ref48,
                      struct quarry_cache_tenant **ret_tenant, uint64_t *ret_hash,
                      uint64_t *ret_ref48);

/* Bits of a hash that tell one item that has lain in a cell from another: of a queue's entries. */
#define CACHE_GUESS_HASH_MASK 0x7fffu
/*
 * The slot of the item of a tenant that lies in a cell, if its key's hash ends in these bits; no
 * extents. `ret_hash`: written where it is there. Inside the epoch. Returns: 0: there is none.
 */
uint64_t cache_item_guess_slot(struct quarry_cache_tenant *tenant, uint64_t ref48,
                               uint32_t hash_bits, uint64_t *ret_hash);

/* Fills in what a hit says of an item. Inside the epoch. */
void cache_hit_fill(const struct quarry_cache_tenant *tenant, uint64_t ref48,
                    const struct cache_item *item, uint32_t head, struct quarry_cache_hit *ret_hit);

/* ---- clock and turns: cache.c --------------------------------------------------------------- */

/* Reads the machine's clock, moves `now` on, and lets flushes begin that are due. */
void cache_clock_tick(struct quarry_cache *cache);
/* Waits until all who are inside the epoch now have left. The caller is not inside. */
void cache_wait_for_readers(struct quarry_cache *cache);
/* Has the cache's thread begin its next turn at once. Threads: any, under any lock. */
void cache_wake(struct quarry_cache *cache);

#endif
