/*
 * Emptying a page a few cells at a time.
 */
#include "unit/slab/slab_rig.h"

#define KEYS 400u

static struct slab_mover mover;

static void put_all(uint64_t count, size_t bytes)
{
    for (uint64_t key = 0; key < count; key++) {
        index_put(key, bytes);
    }
}

static enum quarry_status begin_at(quarry_ref ref, quarry_slab_move_function *move, bool may_grow)
{
    return slab_mover_begin(&mover, slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), move, NULL,
                            may_grow);
}

static bool is_in_page_of(quarry_ref ref, quarry_ref other)
{
    return QUARRY_REF_CLASS(ref) == QUARRY_REF_CLASS(other) &&
           QUARRY_REF_PAGE(ref) == QUARRY_REF_PAGE(other);
}

static void a_step_moves_no_more_cells_than_it_is_told(void **state)
{
    (void)state;
    put_all(KEYS, 100);
    quarry_ref ref = index_slots[1].ref;
    assert_int_equal(begin_at(ref, index_move, true), QUARRY_OK);
    assert_true(slab_mover_step(&mover, 10));
    assert_int_equal(mover.moved_count, 10);
    assert_int_equal(slab_stats().moved_count, 10);
    index_check();
    while (slab_mover_step(&mover, 10)) {
    }
    assert_int_equal(slab_mover_end(&mover), QUARRY_OK);
    assert_int_equal(mover.moved_count, KEYS);
    assert_null(quarry_slab_data(slab, ref));
    index_check();
    slab_check();
    index_clear();
}

static void nothing_is_taken_from_a_page_between_steps(void **state)
{
    (void)state;
    put_all(KEYS, 100);
    quarry_ref ref = index_slots[1].ref;
    assert_int_equal(begin_at(ref, index_move, true), QUARRY_OK);
    (void)slab_mover_step(&mover, 10);
    for (uint64_t key = KEYS; key < 2 * KEYS; key++) {
        index_put(key, 100);
        assert_false(is_in_page_of(index_slots[key].ref, ref));
    }
    assert_int_equal(
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), index_move, NULL),
        QUARRY_BUSY); /* one mover at a time, between its steps too */
    while (slab_mover_step(&mover, 64)) {
    }
    assert_int_equal(slab_mover_end(&mover), QUARRY_OK);
    index_check();
    index_clear();
}

static void a_page_that_is_left_half_emptied_is_as_any_other(void **state)
{
    (void)state;
    put_all(KEYS, 100);
    quarry_ref last = index_slots[KEYS - 1].ref;
    assert_int_equal(begin_at(last, index_move, true), QUARRY_OK);
    (void)slab_mover_step(&mover, 10);
    assert_int_equal(slab_mover_end(&mover), QUARRY_BUSY);
    slab_check();
    index_check();
    assert_int_equal(begin_at(index_slots[KEYS - 1].ref, index_move, true), QUARRY_OK);
    assert_int_equal(slab_mover_end(&mover), QUARRY_BUSY);
    index_clear();
}

static uint32_t asked_with_a_cell, asked_without;

/* Lets go of what has nowhere to move. */
static bool move_or_give(void *argument, quarry_ref old_ref, const void *old_data,
                         quarry_ref new_ref, void *new_data, size_t bytes)
{
    uint64_t key = *(const uint64_t *)old_data;

    if (new_data != NULL) {
        asked_with_a_cell++;
        return index_move(argument, old_ref, old_data, new_ref, new_data, bytes);
    }
    assert_int_equal(new_ref, QUARRY_REF_NIL);
    asked_without++;
    index_slots[key].ref = QUARRY_REF_NIL;
    quarry_slab_retire(slab, old_ref);
    return false;
}

/* Puts keys as long as the ceiling lets it. */
static uint64_t put_until_full(size_t bytes)
{
    struct quarry_cell cell;
    uint64_t key = 0;

    while (quarry_slab_take(slab, bytes, &cell) == QUARRY_OK) {
        quarry_slab_give(slab, cell.ref);
        index_put(key++, bytes);
        assert_true(key < INDEX_KEYS);
    }
    return key;
}

static void who_has_no_cell_to_move_to_may_let_go(void **state)
{
    (void)state;
    slab_begin(&(struct slab_setup){.ceiling_bytes = 2u << 20});
    uint64_t count = put_until_full(1000);
    quarry_ref ref = index_slots[count - 1].ref;
    asked_with_a_cell = asked_without = 0;

    assert_int_equal(begin_at(ref, move_or_give, false), QUARRY_OK);
    mover.asks_without_cell = true;
    while (slab_mover_step(&mover, 16)) {
    }
    assert_int_equal(slab_mover_end(&mover), QUARRY_OK);
    assert_true(asked_without > 16);
    assert_null(quarry_slab_data(slab, ref));
    index_check();
    slab_check();
    index_clear();
    slab_end();
}

static void without_that_it_stops_there(void **state)
{
    (void)state;
    slab_begin(&(struct slab_setup){.ceiling_bytes = 2u << 20});
    uint64_t count = put_until_full(1000);

    assert_int_equal(begin_at(index_slots[count - 1].ref, index_move, false), QUARRY_OK);
    while (slab_mover_step(&mover, 16)) {
    }
    assert_int_equal(slab_mover_end(&mover), QUARRY_NO_MEMORY);
    index_check();
    slab_check();
    index_clear();
    slab_end();
}

static void settling_frees_what_readers_have_left(void **state)
{
    (void)state;
    put_all(KEYS, 100);
    quarry_ref ref = index_slots[1].ref;
    quarry_epoch_enter(epoch);
    assert_int_equal(
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), index_move, NULL),
        QUARRY_OK);
    uint64_t page_count = slab_stats().page_count;
    assert_int_equal(slab_settle(slab), 0);
    quarry_epoch_leave(epoch);
    assert_true(slab_settle(slab) >= 65536 / 8 * 7);
    assert_int_equal(slab_stats().page_count, page_count - 1);
    index_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_step_moves_no_more_cells_than_it_is_told, slab_set_up,
                                        slab_tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_taken_from_a_page_between_steps, slab_set_up,
                                        slab_tear_down),
        cmocka_unit_test_setup_teardown(a_page_that_is_left_half_emptied_is_as_any_other,
                                        slab_set_up, slab_tear_down),
        cmocka_unit_test(who_has_no_cell_to_move_to_may_let_go),
        cmocka_unit_test(without_that_it_stops_there),
        cmocka_unit_test_setup_teardown(settling_frees_what_readers_have_left, slab_set_up,
                                        slab_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
