/*
 * Offering windows before they are purged: to whoever wants to keep what is in them elsewhere.
 */
#ifndef QUARRY_TSDB_OFFER_H
#define QUARRY_TSDB_OFFER_H

#include <tsdb/store.h>

/* How far a window has come; of struct tsdb_window. */
enum tsdb_offer {
    TSDB_OFFER_NONE,
    TSDB_OFFER_FAILED, /* ahead of time: it is tried once more when it must go */
    TSDB_OFFER_WANTED, /* it must go, and somebody waits */
    TSDB_OFFER_OVER,   /* it failed, or took too long: it may go all the same */
    TSDB_OFFER_PART, /* taken while it was open: it may go; if it does not, again once it is sealed
                      */
    TSDB_OFFER_TAKEN,
};

/*
 * Has the windows below a number offered, and waits for that as long as the options say; whoever
 * was not answered by then is passed over. Nothing without options.before_purge.
 * Threads: any, outside the epoch, without a view and the turn's mutex.
 */
void tsdb_offer_before(struct quarry_tsdb *tsdb, int32_t number_min);

/* Whether a window may be purged. */
bool tsdb_offer_is_over(const struct quarry_tsdb *tsdb, const struct tsdb_window *window);

/* Windows below a number that nobody has taken; 0 without options.before_purge. */
uint32_t tsdb_offer_untaken_count(struct quarry_tsdb *tsdb, int32_t number_min);

/*
 * Offers a window that must go, or will be the next, once the store is ready. Returns: whether
 * there was one.
 * Threads: one does it at a time; others find nothing. Outside the epoch, without locks.
 */
bool tsdb_offer_turn(struct quarry_tsdb *tsdb);

/* When there is nothing to do: how long until there may be, unless somebody wakes the thread. */
uint64_t tsdb_offer_wait_ns(struct quarry_tsdb *tsdb);

#endif
