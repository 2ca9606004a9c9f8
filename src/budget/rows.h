/*
 * What the statistics segment shows of the budget.
 */
#ifndef QUARRY_BUDGET_ROWS_H
#define QUARRY_BUDGET_ROWS_H

#include <budget/tree.h>
#include <mem/mem.h>

/* A mem_census_accounts_function. `argument`: the tree. */
void budget_fill_census(void *argument, struct mem_census *census);

#endif
