/*
 * A memcached door over a reference cache, and one connection to it.
 */
#ifndef QUARRY_TESTS_MEMCACHED_RIG_H
#define QUARRY_TESTS_MEMCACHED_RIG_H

#include "unit/serve/fake_connection.h"
#include "unit/serve/reference_cache.h"

#include <serve/door_memcached.h>

struct rig {
    struct quarry_cache *cache;
    struct serve_connection *connection;
};

/* Everybody may do everything; no login. */
void rig_open(struct rig *rig);
/* Likewise; the reader takes so many bytes a turn, 0 being all. */
void rig_open_slow(struct rig *rig, size_t taken_a_turn);
/* With settings whose cache is filled in; `options` may be NULL. */
void rig_open_with(struct rig *rig, struct memcached_settings *settings,
                   const struct fake_options *options);
/* How the cache keeps values. */
void rig_set_pieces(struct rig *rig, size_t piece_bytes, bool refuses_pins);
/* Checks that nothing is left behind. */
void rig_close(struct rig *rig);

/* Another connection of everybody's. */
struct serve_connection *rig_connect(struct rig *rig);

/* Sends a text, and checks the answer. */
void rig_says(struct serve_connection *connection, const char *sent, const char *answered);

#endif
