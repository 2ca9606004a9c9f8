/*
 * What becomes of those who misuse blocks; and forks.
 */
#include "unit/block/block_rig.h"

#include <string.h>

#include "unit/os/child.h"

static struct quarry_memory *memory_of_heap(void)
{
    return (struct quarry_memory *)(void *)heap;
}

static void release_twice(void *argument)
{
    struct quarry_block block = *(struct quarry_block *)argument, same = block;

    quarry_block_release(cache, &block);
    quarry_block_release(cache, &same);
}

static void a_block_released_twice_ends_the_program(void **state)
{
    (void)state;
    struct quarry_block block = block_make(1, 4096);

    child_assert_aborts(release_twice, &block, "the block was released already");
    quarry_block_release(cache, &block);
}

static void enter_what_is_shared(void *argument)
{
    struct quarry_block *block = argument;
    struct quarry_block_key key = key_of(1);

    (void)quarry_block_acquire(cache, block);
    (void)quarry_block_cache_put(cache, &key, data_tag, block);
}

static void entering_what_others_hold_ends_the_program(void **state)
{
    (void)state;
    struct quarry_block block = block_make(1, 4096);

    child_assert_aborts(enter_what_is_shared, &block, "a block that others hold is entered");
    quarry_block_release(cache, &block);
}

static void enter_again(void *argument)
{
    struct quarry_block_key key = key_of(1);

    (void)quarry_block_cache_put(cache, &key, data_tag, argument);
    (void)quarry_block_cache_erase(cache, &key);
    (void)quarry_block_cache_put(cache, &key, data_tag, argument);
}

static void entering_a_block_twice_ends_the_program(void **state)
{
    (void)state;
    struct quarry_block block = block_make(1, 4096);

    child_assert_aborts(enter_again, &block, "a block is entered twice");
    quarry_block_release(cache, &block);
}

static void unreserve_too_much(void *argument)
{
    (void)argument;
    quarry_block_cache_reserve(cache, 1000);
    quarry_block_cache_unreserve(cache, 1001);
}

static void unreserving_more_than_was_reserved_ends_the_program(void **state)
{
    (void)state;
    child_assert_aborts(unreserve_too_much, NULL, "more is unreserved than was reserved");
}

static void look_up_a_kind_that_is_none(void *argument)
{
    struct quarry_block_key key = key_of(1);
    struct quarry_block block = {0};

    (void)argument;
    (void)quarry_block_cache_get(cache, &key, (struct quarry_block_tag){.kind = 250}, &block);
}

static void a_kind_that_is_none_ends_the_program(void **state)
{
    (void)state;
    child_assert_aborts(look_up_a_kind_that_is_none, NULL, "QUARRY_BLOCK_KINDS");
}

#ifdef QUARRY_DEBUG_CHECKS
static void a_freed_payload_is_poisoned(void **state)
{
    (void)state;
    struct quarry_block block = block_make(1, 4096);
    const uint8_t *byte = block.data;

    quarry_block_release(cache, &block);
    for (size_t i = 0; i < 4096; i++) {
        assert_int_equal(byte[i], 0xcc);
    }
}
#endif

static void read_in_child(void *argument)
{
    CHILD_CHECK(block_is_right(argument, 5));
}

static void a_child_reads_what_its_parent_held(void **state)
{
    (void)state;
    struct quarry_block block = {0};
    struct quarry_block_key key = key_of(5);

    assert_int_equal(enter(5, 4096), QUARRY_OK);
    assert_true(quarry_block_cache_get(cache, &key, data_tag, &block));
    child_assert_succeeds(read_in_child, &block);
    block_check(&block, 5);
    quarry_block_release(cache, &block);
    for (uint64_t n = 0; n < 1000; n++) { /* the parent goes on */
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
}

static uint64_t cache_asked_count(void)
{
    struct quarry_account_state states[4];
    size_t count = quarry_memory_accounts(memory_of_heap(), states, COUNT_OF(states));
    size_t i = 0;

    while (i < count && strcmp(states[i].name, "block") != 0) {
        i++;
    }
    Q_ASSERT(i < count);
    return states[i].asked_count;
}

static void take_all(void *lane)
{
    uint64_t asked_count = cache_asked_count();
    void *run;

    while (quarry_pages_alloc(lane, owner_make("other"), 16, &run) == QUARRY_OK) {
    }
    CHILD_CHECK(cache_asked_count() == asked_count);
}

static void a_child_that_is_short_of_memory_does_not_ask_the_cache(void **state)
{
    (void)state;
    struct page_lane *lane = lane_make("other");

    for (uint64_t n = 0; n < 200; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    child_assert_succeeds(take_all, lane);
}

static int set_up_small(void **state)
{
    (void)state;
    cache_begin(Q_MIB(16), NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_released_twice_ends_the_program, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(entering_what_others_hold_ends_the_program, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(entering_a_block_twice_ends_the_program, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(unreserving_more_than_was_reserved_ends_the_program,
                                        cache_set_up, cache_tear_down),
#ifdef QUARRY_DEBUG_CHECKS
        cmocka_unit_test_setup_teardown(a_freed_payload_is_poisoned, cache_set_up, cache_tear_down),
#endif
        cmocka_unit_test_setup_teardown(a_child_reads_what_its_parent_held, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_kind_that_is_none_ends_the_program, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_child_that_is_short_of_memory_does_not_ask_the_cache,
                                        set_up_small, cache_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
