/*
 * Pages for who needs them: emptying the page of the slab that is worth least, a little at a time.
 */
#ifndef QUARRY_CACHE_REBALANCE_H
#define QUARRY_CACHE_REBALANCE_H

#include <cache/types.h>

/* What goes of a page though it is worth keeping, where it cannot move. */
enum cache_force {
    CACHE_FORCE_NONE,
    CACHE_FORCE_USED, /* what was used */
    CACHE_FORCE_ALL,  /* and what is of tenants within their share */
};

#define CACHE_STUCK_MAX 8u

struct cache_rebalance {
    _Atomic uint32_t claimed; /* somebody is at it */

    /* by whoever has claimed it */
    struct quarry_cache *cache;
    bool is_emptying; /* `mover` has a page */
    bool has_room;    /* all that its page has can move */
    enum cache_force force;
    /* Pages that could not be emptied lately: class << 16 | page; 0: none. Not chosen again. */
    uint32_t stuck[CACHE_STUCK_MAX];
    _Atomic uint32_t failed_count; /* pages that could not be emptied, since one was */
    uint64_t cursor;               /* where the search for a page goes on */
    uint32_t rounds;               /* of the search, since a page was found */
    uint64_t random;
    uint64_t page_bytes;              /* of the page that is emptied */
    uint32_t asked_count, kept_count; /* items of the page that were decided on; that stayed */
    struct slab_mover mover;

    /* atomic, figures */
    _Atomic uint64_t emptied_count, emptied_bytes, failed_total, evicted_count;
};

void cache_rebalance_init(struct cache_rebalance *ret_rebalance, struct quarry_cache *cache);
/* Leaves the page that is being emptied as it is. Nobody else is at it any more. */
void cache_rebalance_fini(struct cache_rebalance *rebalance);

/* What came of a step. */
enum cache_rebalance_step {
    CACHE_REBALANCE_BUSY,    /* somebody else is at it */
    CACHE_REBALANCE_NOTHING, /* there is no page that could be emptied */
    CACHE_REBALANCE_MORE,    /* goes on with the next call */
    CACHE_REBALANCE_DONE,    /* a page has been emptied: it is free when its readers have left */
};

/*
 * Chooses a page to empty, or goes on with the one that was chosen: for up to `work` cells.
 *
 * `spared_class`: of whose pages none is chosen; 0: of any. `is_urgent`: somebody waits, and
 * nothing is spared that stands in the way. Threads: any; no lock held.
 */
enum cache_rebalance_step cache_rebalance_step(struct cache_rebalance *rebalance,
                                               uint32_t spared_class, bool is_urgent,
                                               uint32_t work);

/* Whether one page after the other could not be emptied. A hint. */
bool cache_rebalance_is_futile(const struct cache_rebalance *rebalance);

#endif
