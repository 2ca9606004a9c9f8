/*
 * Arenas on a simulated page heap, for tests: one lane and one account, checked and torn down.
 */
#ifndef QUARRY_TESTS_UNIT_ARENA_ARENA_RIG_H
#define QUARRY_TESTS_UNIT_ARENA_ARENA_RIG_H

/* First: a parameter of its inline functions has the name of the page heap under test. */
#include <arena/arena.h>

#include "unit/page/simulated_heap.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Valid between rig_begin and rig_end. */
extern struct page_lane *lane;
extern struct quarry_account *account; /* without a ceiling */
extern uint32_t owner;                 /* the account's */

void rig_begin(const struct heap_setup *setup);
/* Everything has been destroyed: nothing may be charged. */
void rig_end(void);
/* Validates, and holds the account to the pages its owner has. No other thread is at work. */
void rig_check(void);

/* cmocka's setup and teardown; the second with memory that faults where it is not committed. */
int rig_set_up(void **state);
int rig_set_up_real(void **state);
int rig_tear_down(void **state);

struct quarry_memory *memory(void);
/* For the lane and the account. */
struct quarry_arena_options rig_options(uint64_t capacity_bytes);
/* What must succeed. */
struct quarry_arena *arena_of(uint64_t capacity_bytes);
struct quarry_arena_keeper *keeper_make(void);
struct quarry_arena *take_arena(struct quarry_arena_keeper *keeper, uint64_t capacity_bytes);
uint32_t take_bytes(struct quarry_arena *arena, size_t bytes, size_t align_bytes);

struct quarry_arena_state state_of(const struct quarry_arena *arena);
uint64_t charged_bytes(void);
/* Takes granules until it is told why not. */
enum quarry_status fill(struct quarry_arena *arena);

#endif
