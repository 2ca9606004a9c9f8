/*
 * The arbiter: what each elastic account should hold.
 */
#ifndef QUARRY_BUDGET_ARBITER_H
#define QUARRY_BUDGET_ARBITER_H

#include <budget/tree.h>

/* At most this part of the room moves in one tick: all of it in 13 s. */
#define BUDGET_STEP_PART 64u
/* A move must bring this many times the hits that it costs. */
#define BUDGET_MOVE_RATIO 1.25
/* And have done so for this many ticks, so that a burst moves nothing. */
#define BUDGET_MOVE_TICKS 3u

/* A new elastic account, just linked, gets its part. The tree's mutex is held. */
void budget_arbiter_join_locked(struct quarry_account *account);
/* Sets every target anew. The tree's mutex is held. */
void budget_arbiter_distribute_locked(struct budget *budget);
/* Where the limit is another than targets were set for, sets them anew and tells them. */
void budget_arbiter_follow_limit(struct budget *budget);

/* ---- sharing: share.c ----------------------------------------------------------------------- */

/* Brings the scratch of the whole tree up to date, from the leaves. */
void budget_share_gather(struct quarry_account *account);
/* Sets the weights of all elastic accounts to their shares; after budget_share_gather. */
void budget_share_weigh(struct quarry_account *root);
/* The part that shares give one account of the room for elastic ones, 0 to 1; after gathering. */
double budget_share_fraction(const struct quarry_account *account);
/*
 * Divides `bytes` among the elastic accounts by weight, within all floors and ceilings, and sets
 * their targets; after gathering. Where floors want more than there is, they get it.
 */
void budget_share_divide(struct quarry_account *root, uint64_t bytes);

#endif
