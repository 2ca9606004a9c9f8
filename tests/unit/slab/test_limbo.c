/*
 * Retired cells are taken again when those who may be reading them have left, and not before.
 */
#include "unit/slab/slab_rig.h"

static void a_retired_cell_is_as_it_was_while_a_reader_is_inside(void **state)
{
    (void)state;
    quarry_epoch_enter(epoch);
    quarry_ref ref = take_filled(128, 1);
    const void *data = quarry_slab_data(slab, ref);
    quarry_slab_retire(slab, ref);
    assert_null(quarry_slab_data(slab, ref));
    for (uint64_t key = 0; key < 5000; key++) {
        index_put(key, 128);
    }
    for (uint64_t key = 0; key < 5000; key++) {
        quarry_slab_retire(slab, index_slots[key].ref);
        index_slots[key].ref = QUARRY_REF_NIL;
    }
    for (uint64_t key = 0; key < 5000; key++) {
        index_put(key, 128);
    }
    assert_true(is_filled(data, 128, 1));
    assert_int_equal(slab_stats().limbo_count, 5001);
    assert_int_equal(slab_stats().limbo_bytes, 5001 * 128);
    slab_check();
    quarry_epoch_leave(epoch);
    index_clear();
}

static void retired_cells_are_taken_again_when_readers_have_left(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        for (uint64_t key = 0; key < 5000; key++) {
            index_put(key, 128);
        }
        for (uint64_t key = 0; key < 5000; key++) {
            quarry_slab_retire(slab, index_slots[key].ref);
            index_slots[key].ref = QUARRY_REF_NIL;
        }
    }
    assert_true(slab_stats().page_bytes < Q_MIB(1));
    assert_true(slab_stats().limbo_count <= SLAB_LIMBO_CELLS);
    slab_check();
}

static void what_overflowed_while_a_reader_was_inside_is_used_after(void **state)
{
    (void)state;
    quarry_epoch_enter(epoch);
    for (uint32_t i = 0; i < 20000; i++) {
        quarry_slab_retire(slab, take_filled(128, i));
    }
    quarry_epoch_leave(epoch);
    uint64_t page_bytes = slab_stats().page_bytes;
    assert_true(page_bytes >= 20000 * 128);
    for (uint64_t key = 0; key < 18000; key++) {
        index_put(key, 128);
    }
    assert_true(slab_stats().page_bytes <= page_bytes);
    index_check();
    slab_check();
    index_clear();
}

static void large_cells_do_not_wait_with_a_thread(void **state)
{
    (void)state;
    quarry_epoch_enter(epoch);
    for (uint32_t i = 0; i < 20; i++) {
        quarry_slab_retire(slab, take_filled(Q_KIB(512), i));
    }
    slab_check();
    struct quarry_slab_page page;
    uint64_t cursor = 0, limbo_count = 0;
    while (quarry_slab_next_page(slab, &cursor, &page)) {
        limbo_count += page.limbo_count;
    }
    assert_int_equal(slab_stats().limbo_count, 20);
    assert_true(limbo_count >= 18);
    quarry_epoch_leave(epoch);
    assert_true(quarry_slab_trim(slab) >= Q_MIB(10));
    assert_int_equal(slab_stats().page_bytes, 0);
}

static int without_epoch_set_up(void **state)
{
    (void)state;
    slab_begin(&(struct slab_setup){.has_no_epoch = true});
    return 0;
}

static void without_an_epoch_retiring_is_giving(void **state)
{
    (void)state;
    quarry_ref first = take_filled(128, 1);
    quarry_slab_retire(slab, first);
    assert_null(quarry_slab_data(slab, first));
    quarry_ref second = take_filled(128, 1);
    assert_int_equal(first & QUARRY_REF48_MASK, second & QUARRY_REF48_MASK);
    assert_int_equal(slab_stats().limbo_count, 0);
    quarry_slab_give(slab, second);
}

static void no_ref_is_retired_and_given_for_nothing(void **state)
{
    (void)state;
    quarry_slab_retire(slab, QUARRY_REF_NIL);
    quarry_slab_give(slab, QUARRY_REF_NIL);
    quarry_ref ref = take_filled(64, 1); /* by now the thread has magazines */
    quarry_slab_retire(slab, QUARRY_REF_NIL);
    quarry_slab_give(slab, QUARRY_REF_NIL);
    quarry_slab_give(slab, ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, slab_set_up, slab_tear_down)
        TEST(a_retired_cell_is_as_it_was_while_a_reader_is_inside),
        TEST(retired_cells_are_taken_again_when_readers_have_left),
        TEST(what_overflowed_while_a_reader_was_inside_is_used_after),
        TEST(large_cells_do_not_wait_with_a_thread),
        TEST(no_ref_is_retired_and_given_for_nothing),
        cmocka_unit_test_setup_teardown(without_an_epoch_retiring_is_giving, without_epoch_set_up,
                                        slab_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
