/*
 * Turns: making windows, sealing, purging, removing series; one thing at a time.
 */
#ifndef QUARRY_TSDB_TURN_H
#define QUARRY_TSDB_TURN_H

#include <tsdb/store.h>

/*
 * Has a window of a number; purges those that are too old beside it.
 *
 * Helps sealing first, where more windows are open than there should be.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY, QUARRY_NO_ADDRESS: there is no such window.
 * Threads: any, outside the epoch, without a view.
 */
enum quarry_status tsdb_turn_make_window(struct quarry_tsdb *tsdb, int32_t number);

/* What may be given up for memory. */
enum tsdb_relief {
    TSDB_RELIEF_SEAL,  /* what has ended, before late samples can no longer come */
    TSDB_RELIEF_PURGE, /* and the oldest window, if the options allow it */
};

/*
 * Gives up a piece of what may be given up. Returns: false: there is nothing.
 * Threads: any, outside the epoch, without a view.
 */
bool tsdb_turn_relieve(struct quarry_tsdb *tsdb, enum tsdb_relief relief);

/* Whether the store's time has come to where a window is to be sealed. Cost: two loads. */
bool tsdb_turn_is_due(struct quarry_tsdb *tsdb);

/* When there is nothing to do: how long until there may be, unless somebody wakes the thread. */
uint64_t tsdb_turn_wait_ns(struct quarry_tsdb *tsdb);

/*
 * Has a window that is sealed be open again, so that it is filled; what of it is being sealed is
 * sealed first. One that is open, or is not there, stays as it is.
 *
 * Errors: those of making a window; QUARRY_BUSY: requests are in a shard that is to be sealed.
 * Threads: outside the epoch, without a view. Cost: a look at all series of the window, or sealing
 * the rest of it.
 */
enum quarry_status tsdb_turn_fill_window(struct quarry_tsdb *tsdb, int32_t number);

/*
 * Seals what of a window is open, whatever its time is; one that is not there is sealed.
 *
 * Errors: QUARRY_NO_MEMORY; QUARRY_BUSY: requests are in it, or readers do not leave.
 * Threads: as above. Cost: sealing it.
 */
enum quarry_status tsdb_turn_seal_window(struct quarry_tsdb *tsdb, int32_t number);

#endif
