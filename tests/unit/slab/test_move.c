/*
 * Emptying pages: the cells stay what they are, under other refs.
 */
#include "unit/slab/slab_rig.h"

#include <string.h>

#include "unit/base/random.h"

/* Keeps one key of `each` of 4,000. */
static void thin_out(uint64_t each)
{
    for (uint64_t key = 0; key < 4000; key++) {
        index_put(key, 416);
    }
    for (uint64_t key = 0; key < 4000; key++) {
        if (key % each != 0) {
            index_remove(key);
        }
    }
}

static void a_page_that_is_moved_is_gone_and_its_cells_are_not(void **state)
{
    (void)state;
    thin_out(2);
    quarry_ref ref = index_slots[0].ref;
    uint64_t page_count = slab_stats().page_count;
    assert_int_equal(
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), index_move, NULL),
        QUARRY_OK);
    assert_int_not_equal(index_slots[0].ref, ref);
    assert_null(quarry_slab_data(slab, ref));
    assert_true(slab_stats().page_count < page_count);
    assert_true(slab_stats().moved_count > 0);
    index_check();
    slab_check();
    index_clear();
}

static void a_page_that_is_not_there_is_not_found(void **state)
{
    (void)state;
    quarry_ref ref = take_filled(100, 1);
    uint32_t class_id = QUARRY_REF_CLASS(ref);
    assert_int_equal(quarry_slab_move_page(slab, class_id, 1, index_move, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(quarry_slab_move_page(slab, class_id, 65535, index_move, NULL),
                     QUARRY_NOT_FOUND);
    assert_int_equal(quarry_slab_move_page(slab, 0, 0, index_move, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(quarry_slab_move_page(slab, 77, 0, index_move, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(quarry_slab_move_page(slab, UINT32_MAX, 0, index_move, NULL),
                     QUARRY_NOT_FOUND);
    quarry_slab_give(slab, ref);
}

static bool decline(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                    void *new_data, size_t bytes)
{
    (void)old_ref;
    (void)old_data;
    (void)new_ref;
    (void)new_data;
    (void)bytes;
    ++*(uint32_t *)argument;
    return false;
}

static void a_page_with_a_cell_that_is_pinned_stays_in_use(void **state)
{
    uint32_t asked_count = 0;

    (void)state;
    index_put(1, 100);
    quarry_ref ref = index_slots[1].ref;
    assert_int_equal(quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref),
                                           decline, &asked_count),
                     QUARRY_BUSY);
    assert_true(asked_count > 1);
    assert_int_equal(slab_stats().declined_count, asked_count);
    assert_int_equal(slab_stats().moved_count, 0);
    slab_check();
    quarry_ref other = take_filled(100, 2); /* in the same page, as before */
    assert_int_equal(QUARRY_REF_PAGE(other), QUARRY_REF_PAGE(ref));
    quarry_slab_give(slab, other);
    index_check();
    index_clear();
}

/* Lets go of the cell instead of having it moved. */
static bool give_it(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                    void *new_data, size_t bytes)
{
    uint64_t key = *(const uint64_t *)old_data;

    (void)argument;
    (void)new_ref;
    (void)new_data;
    (void)bytes;
    assert_int_equal(index_slots[key].ref, old_ref);
    index_slots[key].ref = QUARRY_REF_NIL;
    if (key % 2 == 0) {
        quarry_slab_give(slab, old_ref);
    } else {
        quarry_slab_retire(slab, old_ref);
    }
    return false;
}

static void cells_that_their_owner_gives_meanwhile_are_not_moved(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 100; key++) {
        index_put(key, 100);
    }
    quarry_ref ref = index_slots[1].ref;
    assert_int_equal(
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), give_it, NULL),
        QUARRY_OK);
    struct quarry_slab_stats stats = slab_stats();
    assert_int_equal(stats.live_count, 0);
    assert_int_equal(stats.moved_count, 0);
    slab_check();
}

static bool move_inside_a_move(void *argument, quarry_ref old_ref, const void *old_data,
                               quarry_ref new_ref, void *new_data, size_t bytes)
{
    assert_int_equal(quarry_slab_move_page(slab, QUARRY_REF_CLASS(old_ref),
                                           QUARRY_REF_PAGE(old_ref), index_move, NULL),
                     QUARRY_BUSY);
    return index_move(argument, old_ref, old_data, new_ref, new_data, bytes);
}

static void only_one_moves_at_a_time(void **state)
{
    (void)state;
    index_put(1, 100);
    quarry_ref ref = index_slots[1].ref;
    assert_int_equal(quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref),
                                           move_inside_a_move, NULL),
                     QUARRY_OK);
    index_check();
    index_clear();
}

static void a_page_that_is_read_goes_when_the_reader_has_left(void **state)
{
    (void)state;
    thin_out(4);
    (void)quarry_slab_trim(slab);
    quarry_ref ref = index_slots[0].ref;
    uint64_t page_count = slab_stats().page_count;
    quarry_epoch_enter(epoch);
    const void *data = quarry_slab_data(slab, ref);
    assert_int_equal(
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), index_move, NULL),
        QUARRY_OK);
    assert_int_equal(slab_stats().page_count, page_count);
    assert_true(slab_stats().limbo_count > 0);
    assert_true(is_filled(data, 416, 0));
    slab_check();
    assert_int_equal(
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), index_move, NULL),
        QUARRY_NOT_FOUND);
    quarry_epoch_leave(epoch);
    assert_true(quarry_slab_trim(slab) > 0);
    assert_int_equal(slab_stats().page_count, page_count - 1);
    index_check();
    index_clear();
}

static void compacting_gives_back_what_is_free(void **state)
{
    (void)state;
    thin_out(8);
    struct quarry_slab_stats before = slab_stats();
    uint64_t bytes = quarry_slab_compact(slab, UINT64_MAX, index_move, NULL);
    struct quarry_slab_stats after = slab_stats();
    assert_int_equal(before.page_bytes - after.page_bytes, bytes);
    assert_true(after.page_bytes < before.page_bytes / 4);
    assert_true(after.free_bytes <= Q_KIB(72));
    index_check();
    slab_check();
    assert_int_equal(quarry_slab_compact(slab, UINT64_MAX, index_move, NULL), 0);
    index_clear();
}

static void compacting_stops_at_what_is_wanted(void **state)
{
    (void)state;
    thin_out(8);
    (void)quarry_slab_trim(slab);
    uint64_t bytes = quarry_slab_compact(slab, Q_KIB(100), index_move, NULL);
    assert_in_range(bytes, Q_KIB(100), Q_KIB(400));
    index_check();
    index_clear();
}

/* Each page has a cell that stays: whoever compacts asks once for each of a few, and goes. */
static void compacting_leaves_a_page_at_the_first_cell_that_is_declined(void **state)
{
    uint32_t asked_count = 0;

    (void)state;
    thin_out(8);
    (void)quarry_slab_trim(slab);
    uint64_t page_count = slab_stats().page_count;
    assert_true(page_count > 20);
    assert_int_equal(quarry_slab_compact(slab, UINT64_MAX, decline, &asked_count), 0);
    assert_int_equal(asked_count, 16);
    assert_int_equal(slab_stats().page_count, page_count);
    assert_int_equal(slab_stats().moved_count, 0);
    index_check();
    slab_check();
    assert_true(quarry_slab_compact(slab, UINT64_MAX, index_move, NULL) > 0);
    index_clear();
}

static void compacting_what_is_full_does_nothing(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 4000; key++) {
        index_put(key, 416);
    }
    (void)quarry_slab_trim(slab);
    uint64_t moved_count = slab_stats().moved_count;
    (void)quarry_slab_compact(slab, UINT64_MAX, index_move, NULL);
    assert_true(slab_stats().moved_count - moved_count < 1000);
    index_check();
    index_clear();
}

static void the_live_refs_of_pages_are_those_of_the_owner(void **state)
{
    struct quarry_slab_page page;
    uint64_t cursor = 0, found = 0;
    quarry_ref refs[100];

    (void)state;
    thin_out(3);
    while (quarry_slab_next_page(slab, &cursor, &page)) {
        uint32_t cell = 0;
        size_t count;
        while ((count = quarry_slab_live_refs(slab, page.class_id, page.page, &cell, refs, 100)) !=
               0) {
            for (size_t i = 0; i < count; i++) {
                uint64_t key = *(const uint64_t *)quarry_slab_data(slab, refs[i]);
                assert_int_equal(index_slots[key].ref, refs[i]);
            }
            found += count;
        }
    }
    assert_int_equal(found, slab_stats().live_count);
    uint32_t cell = 0;
    assert_int_equal(quarry_slab_live_refs(slab, 0, 0, &cell, refs, 100), 0);
    assert_int_equal(quarry_slab_live_refs(slab, 99999, 0, &cell, refs, 100), 0);
    index_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, slab_set_up, slab_tear_down)
        TEST(a_page_that_is_moved_is_gone_and_its_cells_are_not),
        TEST(a_page_that_is_not_there_is_not_found),
        TEST(a_page_with_a_cell_that_is_pinned_stays_in_use),
        TEST(cells_that_their_owner_gives_meanwhile_are_not_moved),
        TEST(only_one_moves_at_a_time),
        TEST(a_page_that_is_read_goes_when_the_reader_has_left),
        TEST(compacting_gives_back_what_is_free),
        TEST(compacting_stops_at_what_is_wanted),
        TEST(compacting_leaves_a_page_at_the_first_cell_that_is_declined),
        TEST(compacting_what_is_full_does_nothing),
        TEST(the_live_refs_of_pages_are_those_of_the_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
