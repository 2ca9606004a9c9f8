/*
 * Expiry by the pages of the slab, and sweeping after a flush. expire.c has the essay.
 */
#ifndef QUARRY_CACHE_EXPIRE_H
#define QUARRY_CACHE_EXPIRE_H

#include <cache/types.h>

/* Levels of a class' table: the first is for 16 pages, each next one for twice as many. */
#define CACHE_EXPIRY_LEVELS 13u

struct cache_expiry_class {
    _Atomic(void *) level[CACHE_EXPIRY_LEVELS]; /* _Atomic uint32_t *, by page; NULL: none yet */
};

struct cache_expiry {
    /* atomic */
    _Atomic(void *) class[SLAB_CLASSES_MAX]; /* struct cache_expiry_class *; NULL: none yet */
    _Atomic uint32_t has_unknown;            /* something was noted that there was no place for */
    _Atomic uint64_t crawled_count;          /* items looked at, ever */
    _Atomic uint64_t bytes;                  /* of the tables */

    /* of the turn */
    uint32_t scan_second;           /* that was the last to begin or go on with a scan */
    uint32_t lag_seconds;           /* a minimum has been past for so long before a visit */
    uint32_t scan_class, scan_page; /* where it is; class 0: at its end */
    bool is_visiting;               /* the page of the scan */
    uint32_t visit_cursor;
    uint64_t unknown_cursor; /* pages that are given a place */
    int64_t credit;          /* items that may be looked at in this second */
};

/* Of a tenant: what is left from before its last flush. Of the turn. */
struct cache_sweep {
    uint64_t cursor;
    uint64_t sequence;      /* of the flush that is swept after */
    uint64_t grown_count;   /* of the index, when the round began */
    uint32_t rounds;        /* for this flush */
    uint64_t done_sequence; /* of the last one that was */
};

void cache_expiry_fini(struct quarry_cache *cache);

/*
 * The item or its expiry is new: its page's minimum is no later from here on. Not for those that
 * never expire. `ref48`: of the item's cell. Threads: any, under a bucket's lock too. Cost: a few
 * instructions.
 */
void cache_expire_noted(struct quarry_cache *cache, uint64_t ref48, uint32_t expiry);
/* Has a place for the minimum of the cell's page. No lock held. Cost: two loads, but at first. */
void cache_expire_prepare(struct quarry_cache *cache, uint64_t ref48);

/* Looks at up to about `work` items. Returns: how many; 0: nothing is due. No lock held. */
uint32_t cache_expire_turn(struct quarry_cache *cache, uint32_t work);
/* Likewise goes on with sweeping a tenant after a flush. In buckets; inside the epoch. */
uint32_t cache_sweep_turn(struct quarry_cache_tenant *tenant, uint32_t work);

#endif
