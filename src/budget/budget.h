/*
 * The door of `budget`: accounts, who shifts memory between them, pressure. Most of it is public,
 * in quarry/memory.h. Other folders include this header and no other of the folder.
 */
#ifndef QUARRY_BUDGET_BUDGET_H
#define QUARRY_BUDGET_BUDGET_H

#include <quarry/memory.h>

#include <budget/arbiter.h>
#include <budget/tick.h>
#include <budget/tree.h>

#endif
