/*
 * Values on their way in, for all three forms of a request.
 */
#ifndef QUARRY_SERVE_MEMCACHED_STORE_H
#define QUARRY_SERVE_MEMCACHED_STORE_H

#include <serve/memcached.h>

/*
 * Stores a value that comes behind the cursor, with a line end behind it unless it is of a packet.
 *
 * `storing`: how, and how to answer; all but its `write` is written. The cursor is moved behind
 * the value; where it has not come whole, the connection is left in MEMCACHED_VALUE.
 */
enum memcached_step memcached_store_value(struct memcached_turn *turn,
                                          const struct memcached_storing *storing,
                                          const struct quarry_cache_key *key, uint64_t value_bytes);

/* Answers a store. `stored`: of a success; may be NULL of another outcome. */
enum memcached_step memcached_stored(struct memcached_turn *turn,
                                     const struct memcached_storing *storing,
                                     enum quarry_cache_outcome outcome,
                                     const struct quarry_cache_stored *stored);

/* Gives up a value that is coming: the connection closes. */
void memcached_store_abort(struct memcached_state *state);

#endif
