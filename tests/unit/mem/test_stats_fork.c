/* A fork: the child has a segment of its own with what was in its parent's. */
#include "profile_rig.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/os/child.h"

#define SAMPLES 500u

static void plant_all(void)
{
    for (uint64_t i = 1; i <= SAMPLES; i++) {
        sample_plant(i * 64, 64 + i, 0xa000 + i % 7, 4);
    }
    for (uint64_t i = 1; i <= SAMPLES; i += 5) {
        (void)mem_profile_free(&profile, (void *)(i * 64));
    }
}

/* Ends the child: 0 when `body` returned true. cmocka's assertions would return into its loop. */
static void run_child(bool (*body)(void))
{
    bool is_fine = body();

    mem_profile_fini(&profile);
    mem_stats_fini(&stats);
    _exit(is_fine ? 0 : 1);
}

/*
 * Forks as a heap would. `in_parent` runs after the fork and before the child takes over, to show
 * what a parent can do in that moment. (The lock analysis cannot see that the child never returns.)
 */
static void fork_with(bool (*in_child)(void), void (*in_parent)(void)) Q_NO_THREAD_SAFETY_ANALYSIS
{
    int gate[2], status;
    char byte = 0;

    assert_int_equal(pipe(gate), 0);
    (void)fflush(NULL);
    mem_profile_fork_prepare(&profile);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(gate[1]);
        (void)!read(gate[0], &byte, 1);
        mem_profile_fork_child(&profile);
        run_child(in_child);
    }
    mem_profile_fork_parent(&profile);
    if (in_parent != NULL) {
        in_parent();
    }
    (void)close(gate[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(gate[0]);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Of the calling process' own segment. */
static bool snapshot_take(struct mem_stats_reader *reader, struct mem_stats_snapshot *ret_shot)
{
    struct quarry_error error = {0};

    if (mem_stats_attach((uint32_t)getpid(), reader, &error) == QUARRY_OK &&
        mem_stats_snapshot(reader, ret_shot, &error) == QUARRY_OK) {
        return true;
    }
    (void)fprintf(stderr, "%s\n", error.text);
    return false;
}

static bool is_balanced(const struct mem_stats_snapshot *shot)
{
    uint64_t weight = 0, sample_weight = 0, bytes = 0, sample_bytes = 0;

    for (uint32_t i = 0; i < shot->stack_count; i++) {
        weight += shot->stacks[i].alloc.weight - shot->stacks[i].free.weight;
        bytes += shot->stacks[i].alloc.bytes - shot->stacks[i].free.bytes;
    }
    for (uint32_t i = 0; i < shot->sample_count; i++) {
        sample_weight += shot->samples[i].weight;
        sample_bytes +=
            shot->samples[i].weight * shot->samples[i].usable_bytes >> MEM_STATS_WEIGHT_SHIFT;
    }
    return weight == sample_weight && bytes == sample_bytes;
}

static bool child_has_everything(void)
{
    struct mem_stats_reader reader;
    struct mem_stats_snapshot shot;

    return snapshot_take(&reader, &shot) && shot.head->pid == (uint32_t)getpid() &&
           shot.sample_count == SAMPLES * 4 / 5 && shot.stack_count == 7 && is_balanced(&shot) &&
           shot.head->fork_lost_count == 0 && shot.head->sampled_count == SAMPLES &&
           !shot.is_refreshed;
}

static bool child_refreshes(void)
{
    struct mem_stats_reader reader;
    struct mem_stats_snapshot shot;

    census.totals.live_bytes = Q_MIB(2);
    return mem_stats_refresh(&stats, &census) == QUARRY_OK && snapshot_take(&reader, &shot) &&
           shot.head->refresh_count == 1 && shot.module_count >= 3 &&
           shot.totals->observed_ns == 0 && shot.totals->peak_live_bytes == Q_MIB(2) &&
           strstr(shot.head->command, "test_mem_stats_fork") != NULL;
}

static void refreshes_of_a_child_begin_anew(void **state)
{
    (void)state;
    plant_all();
    census.totals.live_bytes = Q_MIB(5);
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
    os_sim_advance(&sim, Q_SECOND_NS);
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
    fork_with(child_refreshes, NULL);
}

static void a_child_carries_over_stacks_samples_and_counts(void **state)
{
    (void)state;
    plant_all();
    fork_with(child_has_everything, NULL);
}

static bool child_goes_its_own_way(void)
{
    bool is_fine = true;

    for (uint64_t i = 2; i <= SAMPLES; i += 5) {
        is_fine = is_fine && mem_profile_free(&profile, (void *)(i * 64));
    }
    sample_plant(1 << 30, 64, 0xffff, 2);
    struct mem_stats_reader reader;
    struct mem_stats_snapshot shot;
    return is_fine && snapshot_take(&reader, &shot) && shot.sample_count == SAMPLES * 3 / 5 + 1 &&
           shot.stack_count == 8 && is_balanced(&shot) &&
           mem_stats_refresh(&stats, &census) == QUARRY_OK;
}

static void what_a_child_does_is_not_seen_in_its_parent(void **state)
{
    (void)state;
    plant_all();
    assert_int_equal(mem_stats_refresh(&stats, &census), QUARRY_OK);
    fork_with(child_goes_its_own_way, NULL);
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_int_equal(shot.sample_count, SAMPLES * 4 / 5);
    assert_int_equal(shot.stack_count, 7);
    assert_int_equal(shot.head->refresh_count, 1);
    assert_int_equal(shot.head->pid, getpid());
    assert_balanced(&shot);
}

/* Frees a quarter of what is left, uses the records again, and adds stacks. */
static void parent_hurries(void)
{
    for (uint64_t i = 2; i <= SAMPLES; i += 5) {
        assert_true(mem_profile_free(&profile, (void *)(i * 64)));
    }
    for (uint64_t i = 0; i < 50; i++) {
        sample_plant((1 << 20) + i * 64, 4000, 0xcccc + i, 3);
    }
}

static bool child_has_what_was_left(void)
{
    struct mem_stats_reader reader;
    struct mem_stats_snapshot shot;
    bool is_fine = snapshot_take(&reader, &shot) && shot.sample_count == SAMPLES * 3 / 5 &&
                   shot.stack_count == 7 && is_balanced(&shot) &&
                   shot.head->fork_lost_count == SAMPLES / 5;

    for (uint64_t i = 1; i <= SAMPLES; i++) { /* 1, 6, … were freed before, 2, 7, … are lost */
        is_fine =
            is_fine && mem_profile_free(&profile, (void *)(i * 64)) == (i % 5 != 1 && i % 5 != 2);
    }
    return is_fine && profile.sample_index.count == 0;
}

static void a_parent_that_goes_on_meanwhile_leaves_the_child_balanced(void **state)
{
    (void)state;
    plant_all();
    fork_with(child_has_what_was_left, parent_hurries);
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_balanced(&shot);
}

static bool child_has_no_segment(void)
{
    return stats.segment.base == NULL && !mem_profile_free(&profile, (void *)64);
}

static void a_child_of_a_process_without_a_segment_has_none(void **state)
{
    (void)state;
    fork_with(child_has_no_segment, NULL);
}

static bool grandchild_has_everything(void)
{
    fork_with(child_has_everything, NULL);
    return child_has_everything();
}

static void a_grandchild_has_one_as_well(void **state)
{
    (void)state;
    plant_all();
    fork_with(grandchild_has_everything, NULL);
}

/* In a child, for a seccomp filter stays. */
static void fork_under_a_filter(void *argument)
{
    (void)argument;
    child_deny(SYS_shmget, 1);
    fork_with(child_has_everything, NULL);
}

static void under_a_filter_a_child_has_private_memory(void **state)
{
    (void)state;
    plant_all();
    assert_true(stats.segment.is_shared);
    child_assert_succeeds(fork_under_a_filter, NULL);
}

static bool private_child_is_apart(void)
{
    return !stats.segment.is_shared && child_goes_its_own_way();
}

static void begin_private_and_fork(void *argument)
{
    (void)argument;
    child_deny(SYS_shmget, 1);
    plant_all();
    fork_with(private_child_is_apart, NULL);
    CHILD_CHECK(mem_profile_free(&profile, (void *)(2 * 64)));
}

static void a_child_of_private_memory_keeps_it(void **state)
{
    (void)state;
    child_assert_succeeds(begin_private_and_fork, NULL);
}

/* Makes the child believe that only a part of its parent's segment was charged, and has no more. */
static void leave_no_room(void)
{
    uint64_t first_page = MEM_STATS_AT_STACKS / 4096, kept_pages = 40;

    for (uint64_t page = first_page + kept_pages; page < MEM_STATS_BYTES / 4096; page++) {
        stats.touched[page / 64] &= ~((uint64_t)1 << (page % 64));
    }
    (void)page_commit_set_limit(&heap->commit, 0); /* as low as it goes: to what is committed */
}

static bool child_begins_anew(void)
{
    struct mem_stats_reader reader;
    struct mem_stats_snapshot shot;
    bool is_empty = profile.stack_count == 0 && profile.sample_index.count == 0 &&
                    !mem_profile_free(&profile, (void *)128);

    (void)page_commit_set_limit(&heap->commit, Q_GIB(4));
    sample_plant(64, 100, 0xa001, 4);
    return is_empty && snapshot_take(&reader, &shot) && shot.sample_count == 1 &&
           shot.stack_count == 1 && shot.stacks[0].alloc.sampled_count == 1 && is_balanced(&shot);
}

static void a_child_without_room_begins_anew(void **state) Q_NO_THREAD_SAFETY_ANALYSIS
{
    int status;

    (void)state;
    for (uint64_t i = 1; i <= SAMPLES; i++) {
        sample_plant(i * 64, 64 + i, 0xa000 + i, 4);
    }
    (void)fflush(NULL);
    mem_profile_fork_prepare(&profile);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        leave_no_room();
        mem_profile_fork_child(&profile);
        _exit(child_begins_anew() ? 0 : 1);
    }
    mem_profile_fork_parent(&profile);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define FORK_TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FORK_TEST(a_child_carries_over_stacks_samples_and_counts),
        FORK_TEST(refreshes_of_a_child_begin_anew),
        FORK_TEST(what_a_child_does_is_not_seen_in_its_parent),
        FORK_TEST(a_parent_that_goes_on_meanwhile_leaves_the_child_balanced),
        FORK_TEST(a_child_of_a_process_without_a_segment_has_none),
        FORK_TEST(a_grandchild_has_one_as_well),
        FORK_TEST(under_a_filter_a_child_has_private_memory),
        FORK_TEST(a_child_of_private_memory_keeps_it),
        FORK_TEST(a_child_without_room_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
