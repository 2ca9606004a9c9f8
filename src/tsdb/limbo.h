/*
 * Limbo: memory out of reach that readers may still look at.
 *
 *     retire ──> fresh ──(turn)──> waiting ──(past, turn)──> given back
 *
 * Two lists and one stamp: all that was retired between two turns waits together. What waits is
 * linked through itself, so that retiring cannot fail.
 */
#ifndef QUARRY_TSDB_LIMBO_H
#define QUARRY_TSDB_LIMBO_H

#include <ref/ref.h>

#include <tsdb/memory.h>

/* The beginning of an object that will be retired; its own use of it ends with that. */
struct tsdb_retired {
    struct tsdb_retired *next;
};

struct tsdb_limbo {
    const struct tsdb_memory *memory; /* const; borrowed */
    struct quarry_epoch *epoch;       /* const; borrowed */
    /* guarded by the owner's lock */
    struct tsdb_retired *fresh, *waiting;
    uint64_t stamp;                 /* of what waits; 0: nothing does */
    _Atomic uint64_t retired_bytes; /* of both lists; read without the lock */
};

/*
 * `memory`: borrowed, what retired objects were taken from. `epoch`: borrowed, the readers'.
 */
void tsdb_limbo_init(struct tsdb_limbo *limbo, const struct tsdb_memory *memory,
                     struct quarry_epoch *epoch);

/* Gives all of it back at once: there are no readers any more. */
void tsdb_limbo_fini(struct tsdb_limbo *limbo);

/* `retired`: given; out of readers' reach by now. Errors: none. Cost: a look at its size. */
static inline void tsdb_limbo_retire(struct tsdb_limbo *limbo, struct tsdb_retired *retired)
{
    atomic_bump_relaxed_u64(&limbo->retired_bytes, tsdb_memory_usable(limbo->memory, retired));
    retired->next = limbo->fresh;
    limbo->fresh = retired;
}

/* Bytes that wait for readers, and for turns. Threads: any. */
static inline uint64_t tsdb_limbo_retired_bytes(const struct tsdb_limbo *limbo)
{
    return atomic_load_relaxed_u64(&limbo->retired_bytes); /* only a number */
}

/*
 * One turn: what waits is given back if all who could see it have left, and then what is fresh
 * waits in its stead.
 *
 * Returns: whether what had waited before, or nothing, is gone; what was retired outside of limbo
 * at the same time may go on likewise. Cost: O(what is given back).
 */
bool tsdb_limbo_turn(struct tsdb_limbo *limbo);

#endif
