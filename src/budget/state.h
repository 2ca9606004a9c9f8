/*
 * Reading an account.
 */
#ifndef QUARRY_BUDGET_STATE_H
#define QUARRY_BUDGET_STATE_H

#include <budget/tree.h>

/* The tree's mutex is held. */
void budget_account_state(const struct quarry_account *account,
                          struct quarry_account_state *ret_state);

#endif
