/*
 * The threads of a store: the one that takes its turns, and the one that offers windows.
 */
#ifndef QUARRY_TSDB_BACKGROUND_H
#define QUARRY_TSDB_BACKGROUND_H

#include <stdbool.h>
#include <stdint.h>

#include <quarry/status.h>

struct quarry_tsdb;
struct tsdb_background;

/* What a thread does. */
struct tsdb_background_work {
    const char *name; /* the thread's */
    /* Does a piece of it. Returns: whether there was one. */
    bool (*turn)(struct quarry_tsdb *tsdb);
    /* When there is none: how long until there may be. */
    uint64_t (*wait_ns)(struct quarry_tsdb *tsdb);
};

/*
 * Starts a thread.
 *
 * `work`: borrowed until it is stopped.
 * `ret_background`: own; end it with tsdb_background_stop.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY (threads).
 */
enum quarry_status tsdb_background_start(struct quarry_tsdb *tsdb,
                                         const struct tsdb_background_work *work,
                                         struct tsdb_background **ret_background);

/* Ends it, when the piece of work it is at is done. `background`: given; NULL does nothing. */
void tsdb_background_stop(struct tsdb_background *background);

/* There may be something to do. Threads: any. Cost: an addition; a system call when it sleeps. */
void tsdb_background_wake(struct tsdb_background *background);

#endif
