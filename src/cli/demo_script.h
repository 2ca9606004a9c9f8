/*
 * What happens in the demonstration, and when.
 */
#ifndef QUARRY_CLI_DEMO_SCRIPT_H
#define QUARRY_CLI_DEMO_SCRIPT_H

#include <cli/demo.h>
#include <cli/demo_actor.h>

#define DEMO_LIMIT_BYTES Q_MIB(256)
/* Actors move once in this time. */
#define DEMO_TICK_NS (50 * Q_MS_NS)

enum demo_part {
    DEMO_GENERAL,
    DEMO_REQUEST,
    DEMO_WINDOW_1,
    DEMO_WINDOW_2,
    DEMO_WINDOW_3,
    DEMO_SLAB,
    DEMO_PARTS,
};

extern const struct demo_role demo_roles[DEMO_PARTS];

/* The stage. Belongs to the thread that plays. */
struct demo_stage {
    struct page_heap *heap;
    struct demo_actor actor[DEMO_PARTS];
    _Atomic uint64_t *reclaimed_bytes; /* counter of the whole demonstration */
    uint32_t step;                     /* next to be played */
    uint64_t cycle;                    /* how often all of it has been played */
    /* when the last step began */
    uint64_t mark_returned_bytes;
    uint64_t mark_reclaimed_bytes;
    uint64_t mark_held_bytes; /* what it freed or ended */
};

/* Plays what is due at `elapsed_ns`, and moves the actors. Writes what is happening now. */
void demo_script_tick(struct demo_stage *stage, uint64_t elapsed_ns,
                      char sentence[DEMO_SENTENCE_BYTES]);

/* The reclaimer of the slab-like actor, with the stage as its argument. */
uint64_t demo_script_reclaim(void *argument, uint64_t wanted_bytes);

#endif
