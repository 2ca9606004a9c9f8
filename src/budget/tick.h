/*
 * What the page heap calls: when bytes do not fit, and a few times a second.
 */
#ifndef QUARRY_BUDGET_TICK_H
#define QUARRY_BUDGET_TICK_H

#include <budget/tree.h>

/* A page_reclaim_function. `argument`: the tree. See reclaim.c. */
uint64_t budget_reclaim(void *argument, uint64_t wanted_bytes);
/*
 * Asks the accounts in the subtree of `top` for memory, in order. No lock held. Asks nobody from
 * inside an account. Returns: what they said they freed.
 */
uint64_t budget_ask(struct budget *budget, struct quarry_account *top, uint64_t wanted_bytes);
/* Asks below every account that is above its ceiling: one that was lowered. */
void budget_ask_over_ceilings(struct budget *budget);
/* What accounts could give, with all floors kept, in bytes. */
uint64_t budget_spare_bytes(struct budget *budget);

/* A page_tick_function. `argument`: the tree. */
void budget_tick(void *argument);

/*
 * The halves of a tick: memory is shifted and targets are told; the level is set and listeners are
 * called. `now_ns`: by the heap's monotonic clock.
 */
/* Returns whether any account had hits to tell. */
bool budget_arbitrate(struct budget *budget, uint64_t now_ns);
void budget_press(struct budget *budget, uint64_t now_ns);
/* Whether the calling thread is inside a listener. */
bool budget_is_told(const struct budget_listener *listener);

#endif
