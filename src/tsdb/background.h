/*
 * The thread of a store that takes its turns.
 */
#ifndef QUARRY_TSDB_BACKGROUND_H
#define QUARRY_TSDB_BACKGROUND_H

#include <quarry/status.h>

struct quarry_tsdb;
struct tsdb_background;

/*
 * Starts the thread.
 *
 * `ret_background`: own; end it with tsdb_background_stop.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY (threads).
 */
enum quarry_status tsdb_background_start(struct quarry_tsdb *tsdb,
                                         struct tsdb_background **ret_background);

/* Ends it, when the piece of work it is at is done. `background`: given; NULL does nothing. */
void tsdb_background_stop(struct tsdb_background *background);

/* There may be something to do. Threads: any. Cost: an addition; a system call when it sleeps. */
void tsdb_background_wake(struct tsdb_background *background);

#endif
