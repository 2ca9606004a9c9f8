/*
 * Accounts over a page heap on the simulated os, for tests.
 */
#ifndef QUARRY_TESTS_UNIT_BUDGET_BUDGET_RIG_H
#define QUARRY_TESTS_UNIT_BUDGET_BUDGET_RIG_H

#include "unit/page/simulated_heap.h"

#include <budget/budget.h>

/* The heap of simulated_heap.h as a memory. */
struct quarry_memory *memory_now(void);

/* An account that must come about; `parent` may be NULL. */
struct quarry_account *account_make(const struct quarry_account_options *options);
struct quarry_account *account_named(const char *name, struct quarry_account *parent);
enum quarry_status account_try_make(const struct quarry_account_options *options,
                                    struct quarry_account **ret_account);
struct quarry_account_state account_now(struct quarry_account *account);
uint64_t account_charged(struct quarry_account *account);

/* Fails the test unless the tree is valid. */
void budget_check(void);
/* The heap's clock moves by a generation, and the background work has a turn. */
void budget_turn(void);

/* ---- a thing that holds runs of pages, charged to its account ------------------------------- */

#define HOLDER_RUNS_MAX 4096u

/* Called in the order of `asked_order`. */
struct holder {
    struct quarry_account *account;
    struct page_lane *lane;
    uint64_t run_pages; /* of each run */
    void *run[HOLDER_RUNS_MAX];
    uint32_t run_count;
    uint64_t per_call_bytes; /* frees at most so much in a call; 0: what is wanted */
    uint64_t asked_bytes;    /* the last time */
    uint32_t asked_count;
    uint64_t target_bytes; /* as told; 0: never */
    struct quarry_account_value value;
    uint32_t value_count; /* how often it was asked */
};

/* Which holders were asked, in order; reset by holders_begin. */
extern struct holder *asked[64];
extern uint32_t asked_count;

void holders_begin(void);
/*
 * `options`: without functions and argument, which are the holder's: reclaim, and with `is_elastic`
 * the other two. Its runs have `run_pages` pages.
 */
void holder_init(struct holder *holder, const struct quarry_account_options *options,
                 struct page_lane *lane, uint64_t run_pages, bool is_elastic);
/* Takes `run_count` runs, all of which must be had. */
void holder_fill(struct holder *holder, uint32_t run_count);
/* Takes one, if it can be had. */
bool holder_take(struct holder *holder);
void holder_free(struct holder *holder, uint32_t run_count);
/* Frees all, and ends the account. */
void holder_fini(struct holder *holder);

#endif
