/*
 * What a cache and a tenant have of the policy: its parts, put together.
 */
#ifndef QUARRY_CACHE_POLICY_PARTS_H
#define QUARRY_CACHE_POLICY_PARTS_H

#include <cache/expire.h>
#include <cache/hand.h>
#include <cache/need.h>
#include <cache/rebalance.h>
#include <cache/refill.h>

/* What a turn does at most, in items, buckets and the like: up to a microsecond each. */
#define CACHE_TURN_WORK 224u

struct cache_policy_tenant {
    struct cache_hand hand;
    struct cache_sweep sweep;
};

struct cache_policy {
    struct cache_levels levels;
    struct cache_expiry expiry;
    struct cache_rebalance rebalance;
    struct cache_need need;

    /* of the turn */
    uint32_t own_second;       /* when a page was last taken of the class that had grown last */
    uint64_t emptied_seen;     /* pages emptied, as of those that have become free */
    bool has_evicted_for_need; /* in the turn before */
    uint64_t need_evicted_bytes, need_stamp;  /* for who waits, since that epoch */
    uint64_t coming_from_bytes, coming_stamp; /* of pages emptied, those since that epoch */
    uint32_t unsettled_turns; /* turns that made room, since it was looked for such */
    uint32_t next_tenant;     /* whose ghosts and sweep are looked at next */
    uint64_t told_ghost_hits, told_kept_count, told_seen_bytes; /* of the account's last question */

    /* atomic */
    _Atomic uint64_t giving_bytes; /* that the account was asked for, and has not given yet */
    _Atomic uint32_t work_max;     /* of a turn, so far */
};

/* The calling thread is taking memory for a cache: whoever asks that cache for some gets none. */
extern _Thread_local uint32_t cache_policy_depth;

/* It is inside the epoch, but will leave it to try again where there is no memory. */
extern _Thread_local bool cache_policy_can_retry;

/* Whether the calling thread is inside the epoch: what it evicts is not free before it leaves. */
static inline bool cache_is_inside(const struct quarry_cache *cache)
{
    const struct ref_epoch_reader *reader =
        (const void *)((const char *)&ref_epoch_thread + cache->epoch->reader_offset);

    /* Relaxed: the thread's own. */
    return (atomic_load_relaxed_u64(&reader->state) & REF_EPOCH_DEPTH_MASK) != 0;
}

#endif
