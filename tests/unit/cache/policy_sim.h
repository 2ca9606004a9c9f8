/*
 * Policies of eviction on plain arrays, for comparing what share of a trace's requests each misses.
 * Sizes are in bytes; nothing is charged but the items' own.
 */
#ifndef QUARRY_TESTS_CACHE_POLICY_SIM_H
#define QUARRY_TESTS_CACHE_POLICY_SIM_H

#include <stdint.h>

#include "unit/cache/policy_trace.h"

/* What can be chosen in the S3-FIFO of this cache. */
struct policy_choice {
    const char *name;
    uint32_t small_percent; /* of the bytes, for the small queue */
    uint32_t promoted_at;   /* frequency with which an item leaves that for the main queue */
    bool second_chance;     /* one that has been hit, and less often, goes through it again, once */
    uint32_t ghost_percent; /* ghosts, of the items */
    uint32_t main_first;    /* frequency of who enters the main queue: 0, 1, or POLICY_BY_HAND */
    uint32_t small_percent_max; /* the small queue's share follows the ghosts up to it; 0: not */
};
/* 1 where the hand will come by within half a turn, else 0. */
#define POLICY_BY_HAND 9u

/* Each returns the misses in a thousand requests. */
double policy_lru(const struct policy_trace *trace, uint64_t capacity_bytes);
/* memcached's: hot 20 %, warm 40 %, cold. */
double policy_segmented(const struct policy_trace *trace, uint64_t capacity_bytes);
/* S3-FIFO as published: queues, exact ghosts. */
double policy_s3fifo(const struct policy_trace *trace, uint64_t capacity_bytes);
/* That of the cache: ghosts by fingerprint, and a hand over the index in place of the main queue.
 */
double policy_hand(const struct policy_trace *trace, uint64_t capacity_bytes,
                   const struct policy_choice *choice);

#endif
