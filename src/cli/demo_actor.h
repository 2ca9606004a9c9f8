/*
 * An actor of the demonstration: one lane, and the runs that are held in it.
 */
#ifndef QUARRY_CLI_DEMO_ACTOR_H
#define QUARRY_CLI_DEMO_ACTOR_H

#include <base/base.h>
#include <page/page.h>

/* What an actor is like. */
struct demo_role {
    const char *lane;
    const char *owner;
    uint32_t run_pages_min, run_pages_max;
    uint32_t churn_percent; /* of its runs, freed and allocated anew each tick */
};

struct demo_actor {
    /* const after init */
    const struct demo_role *role;
    struct page_lane *lane;
    uint32_t owner;
    uint32_t run_capacity;
    void **run; /* own */
    /* the thread that plays */
    uint32_t run_count;
    uint64_t held_pages;
    uint64_t target_pages;
    uint64_t pages_per_tick;
    uint32_t random;
    _Atomic uint64_t *allocated_bytes; /* counter of the whole demonstration */
};

/*
 * `allocated_bytes`: borrowed until fini; adds what is allocated.
 * Errors: those of page_lane_create and page_ledger_register; NO_MEMORY.
 */
enum quarry_status demo_actor_init(struct demo_actor *actor, const struct demo_role *role,
                                   struct page_heap *heap, _Atomic uint64_t *allocated_bytes,
                                   struct quarry_error *error);
/* The heap is gone, or ends the lane. */
void demo_actor_fini(struct demo_actor *actor);

/* Wants `bytes` from now on, and `bytes_per_tick` at most at once. */
void demo_actor_aim(struct demo_actor *actor, uint64_t bytes, uint64_t bytes_per_tick);
/* Allocates and touches towards the target, and replaces some runs. Refusals end the tick. */
void demo_actor_tick(struct demo_actor *actor);
/* Frees some of its runs, of whatever age. Returns: bytes freed. */
uint64_t demo_actor_free(struct demo_actor *actor, uint64_t wanted_bytes);
/* Ends the lane's lifetime, and wants nothing any more. */
void demo_actor_end(struct demo_actor *actor);

#endif
