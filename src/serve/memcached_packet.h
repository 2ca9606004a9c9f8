/*
 * What the storing of values needs of the binary protocol.
 */
#ifndef QUARRY_SERVE_MEMCACHED_PACKET_H
#define QUARRY_SERVE_MEMCACHED_PACKET_H

#include <serve/memcached.h>

/* Answers a packet that stored, or was to. */
enum memcached_step memcached_packet_stored(struct memcached_turn *turn,
                                            const struct memcached_storing *storing,
                                            enum quarry_cache_outcome outcome,
                                            const struct quarry_cache_stored *stored);
/* A login that had to be verified has ended. */
enum memcached_step memcached_packet_login_done(struct memcached_turn *turn, bool is_granted);

#endif
