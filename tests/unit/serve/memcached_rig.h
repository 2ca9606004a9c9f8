/*
 * A memcached door over a cache, and one connection to it: over the reference cache
 * (memcached_rig.c with rig_reference.c), or over the real one (with rig_store.c).
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
/* A cache whose clock shows REFERENCE_START_SECONDS, and its end, which checks it. */
struct quarry_cache *rig_cache_create(void);
void rig_cache_close(struct quarry_cache *cache);
/* Conversations are split at every so many bytes: making the real cache takes a millisecond. */
extern const size_t rig_split_step;
/* How the cache keeps values; nothing where that is its own matter. */
void rig_set_pieces(struct rig *rig, size_t piece_bytes, bool refuses_pins);
/* Checks that nothing is left behind. */
void rig_close(struct rig *rig);

/* Another connection of everybody's. */
struct serve_connection *rig_connect(struct rig *rig);

/* Sends a text, and checks the answer. */
void rig_says(struct serve_connection *connection, const char *sent, const char *answered);

#endif
