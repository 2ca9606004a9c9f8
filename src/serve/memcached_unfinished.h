/*
 * Values that have begun to come and are not whole: how many there may be, and who waits until
 * there are fewer.
 */
#ifndef QUARRY_SERVE_MEMCACHED_UNFINISHED_H
#define QUARRY_SERVE_MEMCACHED_UNFINISHED_H

#include <serve/memcached.h>

/* With the door, before there are connections, and when there are none any more. */
void memcached_unfinished_open(void);
void memcached_unfinished_close(void);

/*
 * Asks for a place for the value of the connection's state, in MEMCACHED_QUEUED; a second time when
 * the connection has been told.
 *
 * Returns: whether it may begin now; memcached_unfinished_end gives the place back. False: it
 * waits: a posted function tells the connection, so that its door is run again. A value that is
 * larger than any may be gets no place and does not wait: who begins it is refused. Threads: the
 * connection's worker, as all below. Cost: two atomics; a lock if others wait.
 */
bool memcached_unfinished_may_begin(struct memcached_turn *turn);
/* A value is whole, or will not be; those who waited for its place are told. */
void memcached_unfinished_end(struct memcached_storing *storing);
/* The connection of one in MEMCACHED_QUEUED closes. */
void memcached_unfinished_forget(struct memcached_storing *storing);

/* How many wait. Threads: any. */
uint64_t memcached_unfinished_waiting(void);

#endif
