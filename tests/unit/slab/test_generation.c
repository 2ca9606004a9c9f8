/*
 * Generations: refs that have ended stay stale, whatever becomes of their cells and pages.
 */
#include "unit/slab/slab_rig.h"

#define LIVES 32768u /* of a cell: its odd generations */

static void a_cell_is_set_aside_after_its_last_life(void **state)
{
    static quarry_ref refs[LIVES + 1];

    (void)state;
    for (uint32_t i = 0; i <= LIVES; i++) {
        refs[i] = take_filled(64, i);
        quarry_slab_give(slab, refs[i]);
    }
    for (uint32_t i = 0; i < LIVES; i++) {
        assert_int_equal(refs[i] & QUARRY_REF48_MASK, refs[0] & QUARRY_REF48_MASK);
        assert_int_equal(refs[i] >> 48, 2 * i + 1);
        assert_null(quarry_slab_data(slab, refs[i]));
    }
    assert_int_not_equal(refs[LIVES] & QUARRY_REF48_MASK, refs[0] & QUARRY_REF48_MASK);
    assert_int_equal(slab_stats().worn_count, 1);
    slab_check();
}

static void a_cell_retired_in_its_last_life_is_set_aside(void **state)
{
    (void)state;
    quarry_ref ref = QUARRY_REF_NIL;
    for (uint32_t i = 0; i < LIVES; i++) {
        ref = take_filled(64, i);
        if (i + 1 < LIVES) {
            quarry_slab_give(slab, ref);
        }
    }
    assert_int_equal(ref >> 48, 0xffff);
    quarry_slab_retire(slab, ref);
    assert_null(quarry_slab_data(slab, ref));
    slab_check();
    (void)quarry_slab_trim(slab);
    assert_null(quarry_slab_data(slab, ref));
    slab_check();
}

static void a_page_with_worn_cells_is_replaced_when_it_is_empty(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < LIVES; i++) {
        quarry_slab_give(slab, take_filled(64, i));
    }
    assert_int_equal(slab_stats().worn_count, 1);
    (void)quarry_slab_trim(slab);
    struct quarry_slab_stats stats = slab_stats();
    assert_int_equal(stats.worn_count, 0);
    assert_int_equal(stats.page_count, 0);
    assert_int_equal(stats.worn_page_count, 1);
    quarry_ref ref = take_filled(64, 1); /* of another number */
    assert_int_equal(QUARRY_REF_PAGE(ref), 1);
    quarry_slab_give(slab, ref);
}

static void refs_of_an_earlier_page_of_the_same_number_are_stale(void **state)
{
    enum { PAGES = 200 };
    quarry_ref refs[PAGES];

    (void)state;
    for (uint32_t i = 0; i < PAGES; i++) {
        refs[i] = take_filled(64, i);
        quarry_slab_give(slab, refs[i]);
        assert_true(quarry_slab_trim(slab) > 0);
        assert_int_equal(QUARRY_REF_PAGE(refs[i]), 0);
        for (uint32_t before = 0; before <= i; before++) {
            assert_null(quarry_slab_data(slab, refs[before]));
        }
    }
    quarry_ref ref = take_filled(64, 1);
    for (uint32_t i = 0; i < PAGES; i++) {
        assert_null(quarry_slab_data(slab, refs[i]));
    }
    quarry_slab_give(slab, ref);
}

static void a_number_that_is_used_up_waits_for_the_others(void **state)
{
    uint32_t round = 0;

    (void)state;
    for (; slab_stats().worn_page_count == 0 && round < 100000; round++) {
        quarry_slab_give(slab, take_filled(512, round));
        (void)quarry_slab_trim(slab);
    }
    assert_in_range(round, 1000, 40000);
    quarry_ref ref = take_filled(512, 1);
    assert_int_equal(QUARRY_REF_PAGE(ref), 1);
    assert_int_equal(ref >> 48, 1);
    quarry_slab_give(slab, ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, slab_set_up, slab_tear_down)
        TEST(a_cell_is_set_aside_after_its_last_life),
        TEST(a_cell_retired_in_its_last_life_is_set_aside),
        TEST(a_page_with_worn_cells_is_replaced_when_it_is_empty),
        TEST(refs_of_an_earlier_page_of_the_same_number_are_stale),
        TEST(a_number_that_is_used_up_waits_for_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
