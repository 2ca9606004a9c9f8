/*
 * What a tenant loses next: its two queues, and taking items out of them.
 */
#ifndef QUARRY_CACHE_HAND_H
#define QUARRY_CACHE_HAND_H

#include <cache/ghost.h>
#include <cache/queue.h>
#include <cache/types.h>

/* A tenant's queues: the small one in a list, the main one in its index under a clock's hand. */
struct cache_hand {
    struct quarry_cache_tenant *tenant; /* const */
    /* atomic; each may be below 0 for a moment, and is written by every set */
    _Atomic uint64_t small_bytes Q_ALIGNED(Q_CACHE_LINE_BYTES);
    _Atomic uint64_t main_bytes;
    _Atomic uint64_t small_count;

    struct cache_queue small Q_ALIGNED(Q_CACHE_LINE_BYTES);
    struct cache_ghosts ghosts;
    _Atomic uint64_t cursor;      /* of the hand: see cache_index_look */
    _Atomic uint64_t small_share; /* of the bytes, for the small queue: of 2^32 */

    /* atomic, figures for the account: see account.c */
    _Atomic uint64_t ghost_hits; /* keys that came back */
    _Atomic uint64_t kept_count; /* items that the hand found used once more, and left */
    _Atomic uint64_t seen_bytes; /* of those, and of those that it took */
};

/* What came of looking for something to evict. */
struct cache_evicted {
    uint64_t bytes;
    uint32_t items;
    uint32_t work; /* entries and buckets looked at */
};

/* How far to look. */
struct cache_evict_limits {
    uint64_t bytes; /* enough: until so many are free */
    uint32_t items; /* and no more than so many are gone, but for a bucket's */
    uint32_t work;
};

/* `order`: of the queue's lock. Errors: QUARRY_NO_MEMORY. */
enum quarry_status cache_hand_init(struct cache_hand *ret_hand, struct quarry_cache_tenant *tenant,
                                   uint32_t order);
void cache_hand_fini(struct cache_hand *hand);

/* Bytes of cells in both queues, or one. */
uint64_t cache_hand_small_bytes(const struct cache_hand *hand);
uint64_t cache_hand_main_bytes(const struct cache_hand *hand);
static inline uint64_t cache_hand_bytes(const struct cache_hand *hand)
{
    return cache_hand_small_bytes(hand) + cache_hand_main_bytes(hand);
}

/* An item of the small queue is its youngest. Inside the epoch, no lock held. */
void cache_hand_push(struct cache_hand *hand, uint64_t hash, uint64_t ref48, uint64_t bytes);

/* Has the small queue's share follow a key that came back. Cost: some 20 ns, for few of them. */
void cache_hand_follow(struct cache_hand *hand, enum cache_ghost ghost);

/*
 * Evicts by S3-FIFO: what is new and was not asked for twice, or what the hand finds unused; and
 * removes what it meets that has expired or was flushed.
 *
 * Threads: any; inside the epoch, no lock held. Cost: O(work), a few cache misses each.
 */
struct cache_evicted cache_hand_evict(struct cache_hand *hand,
                                      const struct cache_evict_limits *limits);

/*
 * Takes what is stale out of the small queue where that has grown much longer than it has items.
 * Returns: entries looked at. Inside the epoch, no lock held.
 */
uint32_t cache_hand_tidy(struct cache_hand *hand, uint32_t work);

/*
 * Has as many ghosts as suit the tenant, if anything of it is evicted now, or was. Of the turn;
 * inside the epoch.
 */
void cache_hand_see_ghosts(struct cache_hand *hand);

/* Why an item is to go without being evicted: CACHE_GONE_EVICTED: it need not. In the index. */
enum cache_gone cache_hand_why(const struct quarry_cache_tenant *tenant,
                               const struct cache_item *item, uint32_t head);

#endif
