/*
 * All owners of memory at once, on one small budget that is halved under them.
 *
 * Each actor is one thread that takes and gives memory of its kind as fast as it can, up to an
 * appetite: a share of what the limit is at the moment. It expects to be refused, and to find what
 * it holds as it left it. The watch looks on: committed bytes and resident bytes against the limit,
 * many times a second; and changes the limit.
 *
 *     actor      takes                                gives when asked    share of the limit
 *     blocks     a cache of blocks, 64 B to 100 KiB   yes, by reclaimer   what is left
 *     cells      a slab behind an index, with movers  yes, by reclaimer   what is left
 *     arenas     arenas of 1 to 8 MiB, one spare      the spare           1/16
 *     windows    lifetimes with pools, ended whole    no                  1/16
 *     requests   bursts of objects                    no                  1/32
 *     pages      runs of 1 to 600 pages               no                  1/16
 */
#ifndef QUARRY_TESTS_MIX_MIX_H
#define QUARRY_TESTS_MIX_MIX_H

#include <pthread.h>

#include <quarry/memory.h>
#include <quarry/status.h>

#include <base/base.h>

#include "unit/base/random.h"

struct mix {
    /* const while actors run */
    struct quarry_memory *memory;
    uint64_t full_limit_bytes; /* the watch sets this, or half of it */

    /* atomic */
    _Atomic uint32_t is_over;
    _Atomic uint64_t limit_bytes; /* what actors take their shares of: lowered before the limit */
};

/* What one actor did. Written by it alone; read when it has ended. */
struct mix_actor {
    struct mix *mix;
    uint64_t random;
    uint64_t done_count;    /* operations that gave or took memory */
    uint64_t refused_count; /* answered by QUARRY_NO_MEMORY */
    uint64_t checked_count; /* contents read and compared */
};

typedef void mix_actor_function(struct mix_actor *actor);

mix_actor_function mix_blocks_run;
mix_actor_function mix_cells_run;
mix_actor_function mix_arenas_run;
mix_actor_function mix_windows_run;
mix_actor_function mix_requests_run;
mix_actor_function mix_pages_run;

/* What the watch saw. */
struct mix_watch {
    uint64_t sample_count;
    uint64_t change_count;    /* limits set */
    uint64_t refused_count;   /* limits that could not be set */
    uint64_t slowest_ns;      /* of the halvings */
    int64_t committed_over;   /* the most that committed bytes were above the limit; below: < 0 */
    int64_t resident_over;    /* likewise resident bytes, of the heap and all else of the process */
    uint64_t committed_bytes; /* at the last sample */
    uint64_t validation_count; /* whole heaps found sound */
};

/* Looks on for `seconds`, by the calling thread. `other_bytes`: resident before the memory was
 * made: the program itself. */
void mix_watch_run(struct mix *mix, uint64_t seconds, uint64_t other_bytes,
                   struct mix_watch *ret_watch);

static inline bool mix_is_over(struct mix *mix)
{
    return atomic_load_relaxed_u32(&mix->is_over) != 0;
}

/* The bytes that an actor with 1/`part` of the limit may hold now. */
static inline uint64_t mix_appetite(struct mix *mix, uint64_t part)
{
    return atomic_load_relaxed_u64(&mix->limit_bytes) / part;
}

static inline uint64_t mix_random(struct mix_actor *actor)
{
    return random_u64(&actor->random);
}

/* From `min` to `max`, the small ones more often: the logarithm is even. */
static inline uint64_t mix_random_size(struct mix_actor *actor, uint64_t min, uint64_t max)
{
    uint64_t size = max;

    while (size / 2 >= min && (mix_random(actor) & 1) != 0) {
        size /= 2;
    }
    return min + mix_random(actor) % (size - min + 1);
}

/* Writes a pattern that `mark` alone decides, into the first and last words and one in 4 KiB. */
void mix_fill(void *data, uint64_t bytes, uint64_t mark);
/* Ends the program when it is not there any more. */
void mix_check(struct mix_actor *actor, const void *data, uint64_t bytes, uint64_t mark);
/* Counts a refusal; ends the program at any other failure. Returns: whether it was a success. */
bool mix_is_ok(struct mix_actor *actor, enum quarry_status status);

#endif
