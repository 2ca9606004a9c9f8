/*
 * A slab that tracks its cells says at its end which were not given back, and where they were
 * taken.
 */
#include "unit/slab/slab_rig.h"

static uint32_t told_count;
static uint64_t told_objects;

static void hear(void *argument, const struct ref_leak *leak)
{
    (void)argument;
    assert_string_equal(leak->kind, "cell");
    assert_string_equal(leak->owner, "cells");
    assert_true(leak->pc_count > 0);
    told_count++;
    told_objects ^= leak->object;
}

static int track_set_up(void **state)
{
    (void)state;
    told_count = 0;
    told_objects = 0;
    ref_leak_set_handler(hear, NULL);
    ref_leak_set_every(1);
    slab_begin(&(struct slab_setup){.tracks_cells = true});
    return 0;
}

static int track_tear_down(void **state)
{
    (void)state;
    ref_leak_set_handler(NULL, NULL);
    return 0;
}

static void cells_that_are_out_are_told_of(void **state)
{
    quarry_ref refs[100];

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(refs); i++) {
        refs[i] = take_filled(100, i);
    }
    for (uint32_t i = 2; i < COUNT_OF(refs); i++) {
        if (i % 2 == 0) {
            quarry_slab_give(slab, refs[i]);
        } else {
            quarry_slab_retire(slab, refs[i]);
        }
    }
    slab_end();
    assert_int_equal(told_count, 2);
    assert_int_equal(told_objects, refs[0] ^ refs[1]);
}

static void a_slab_whose_cells_were_all_given_is_silent(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 1000; key++) {
        index_put(key, 100);
    }
    index_check();
    index_clear();
    slab_end();
    assert_int_equal(told_count, 0);
}

static void a_cell_that_was_moved_is_told_of_once(void **state)
{
    (void)state;
    index_put(1, 100);
    quarry_ref ref = index_slots[1].ref;
    assert_int_equal(
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), index_move, NULL),
        QUARRY_OK);
    slab_end();
    assert_int_equal(told_count, 1);
    assert_int_equal(told_objects, ref); /* as it was taken */
}

/* As if another thread had found the new ref at once, and dropped its item. */
static bool move_and_drop(void *argument, quarry_ref old_ref, const void *old_data,
                          quarry_ref new_ref, void *new_data, size_t bytes)
{
    bool is_moved = index_move(argument, old_ref, old_data, new_ref, new_data, bytes);

    quarry_slab_retire(slab, new_ref);
    return is_moved;
}

static void a_cell_that_was_moved_and_given_at_once_is_not_told_of(void **state)
{
    (void)state;
    index_put(1, 100);
    quarry_ref ref = index_slots[1].ref;
    assert_int_equal(quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref),
                                           move_and_drop, NULL),
                     QUARRY_OK);
    assert_int_equal(slab_stats().live_count, 0);
    slab_end();
    assert_int_equal(told_count, 0);
}

static bool decline(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                    void *new_data, size_t bytes)
{
    (void)argument, (void)old_ref, (void)old_data, (void)new_ref, (void)new_data, (void)bytes;
    return false;
}

static void a_cell_that_was_not_moved_is_told_of_once(void **state)
{
    (void)state;
    index_put(1, 100);
    quarry_ref ref = index_slots[1].ref;
    assert_int_equal(
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), decline, NULL),
        QUARRY_BUSY);
    quarry_slab_give(slab, take_filled(100, 2)); /* of the page that it was to go to */
    slab_end();
    assert_int_equal(told_count, 1);
    assert_int_equal(told_objects, ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, track_set_up, track_tear_down)
        TEST(cells_that_are_out_are_told_of),
        TEST(a_slab_whose_cells_were_all_given_is_silent),
        TEST(a_cell_that_was_moved_is_told_of_once),
        TEST(a_cell_that_was_moved_and_given_at_once_is_not_told_of),
        TEST(a_cell_that_was_not_moved_is_told_of_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
