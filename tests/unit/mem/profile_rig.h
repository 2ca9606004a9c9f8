/*
 * A profile over a simulated page heap, for tests: one at a time. The segment is real.
 */
#ifndef QUARRY_TESTS_UNIT_MEM_PROFILE_RIG_H
#define QUARRY_TESTS_UNIT_MEM_PROFILE_RIG_H

#include "unit/page/simulated_heap.h"

#include <mem/census.h>
#include <mem/profile.h>
#include <mem/profile_table.h>
#include <mem/stats_page.h>

/* Under test between rig_begin and rig_end. */
extern struct mem_stats stats;
extern struct mem_profile profile;
extern struct mem_census census; /* all zero at the beginning, but for the heap */

void rig_begin(uint64_t mean_bytes, uint64_t limit_bytes);
/* With a limit that leaves `room_bytes` beside the page heap's own. Returns: the limit. */
uint64_t rig_begin_with_room(uint64_t room_bytes);
/* Checks that everything charged is given back, and the heap sound. */
void rig_end(void);

/* cmocka's setup and teardown: a mean of 512 KiB, a limit of 4 GiB. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/* Records a sample of `bytes` whose stack is `depth` made-up addresses from `pc` on. */
void sample_plant(uint64_t address, uint64_t bytes, uint64_t pc, uint32_t depth);

/* The segment's state by way of a reader that lives until the next call or rig_end. */
struct mem_stats_snapshot rig_snapshot(void);

/* The stack whose innermost address is `pc`; fails the test when there is none. */
const struct mem_stats_stack *stack_of(const struct mem_stats_snapshot *snapshot, uint64_t pc);

/* Fails the test unless each stack's allocated minus freed is the sum over its live samples. */
void assert_balanced(const struct mem_stats_snapshot *snapshot);

/* Bytes estimated alive, over all stacks. */
uint64_t live_bytes_of(const struct mem_stats_snapshot *snapshot);

#endif
