/*
 * Taking and giving cells, by the public door.
 */
#include "unit/slab/slab_rig.h"

#include "unit/base/random.h"

static void a_cell_is_found_by_its_ref_until_it_is_given(void **state)
{
    (void)state;
    quarry_ref ref = take_filled(100, 7);
    assert_int_not_equal(ref, QUARRY_REF_NIL);
    assert_true(is_filled(quarry_slab_data(slab, ref), 100, 7));
    assert_int_equal(quarry_slab_ref(slab, ref & QUARRY_REF48_MASK), ref);
    quarry_slab_give(slab, ref);
    assert_null(quarry_slab_data(slab, ref));
}

static void a_cell_that_is_taken_again_has_another_ref(void **state)
{
    (void)state;
    quarry_ref first = take_filled(100, 1);
    void *data = quarry_slab_data(slab, first);
    quarry_slab_give(slab, first);
    quarry_ref second = take_filled(100, 2);
    assert_ptr_equal(quarry_slab_data(slab, second), data);
    assert_int_equal(first & QUARRY_REF48_MASK, second & QUARRY_REF48_MASK);
    assert_int_not_equal(first, second);
    assert_null(quarry_slab_data(slab, first));
    quarry_slab_give(slab, second);
}

static void requests_of_every_step_get_cells_that_do_not_overlap(void **state)
{
    quarry_ref refs[SLAB_STEPS];

    (void)state;
    for (uint32_t step = 0; step < SLAB_STEPS; step++) {
        refs[step] = take_filled(slab_step_bytes(step), step);
    }
    slab_check();
    for (uint32_t step = 0; step < SLAB_STEPS; step++) {
        assert_true(is_filled(quarry_slab_data(slab, refs[step]), slab_step_bytes(step), step));
        quarry_slab_give(slab, refs[step]);
    }
}

static void sizes_that_no_cell_has_are_refused(void **state)
{
    struct quarry_cell cell = {NULL, 42};

    (void)state;
    assert_int_equal(quarry_slab_take(slab, 0, &cell), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_slab_take(slab, QUARRY_SLAB_CELL_BYTES_MAX + 1, &cell),
                     QUARRY_TOO_LARGE);
    assert_int_equal(quarry_slab_take(slab, SIZE_MAX, &cell), QUARRY_TOO_LARGE);
    assert_int_equal(cell.ref, 42);
    assert_int_equal(quarry_slab_take(slab, QUARRY_SLAB_CELL_BYTES_MAX, &cell), QUARRY_OK);
    quarry_slab_give(slab, cell.ref);
}

static void any_number_may_be_looked_up(void **state)
{
    uint64_t random = 1;

    (void)state;
    quarry_ref ref = take_filled(64, 1);
    for (uint32_t i = 0; i < 1000000; i++) {
        quarry_ref any = random_u64(&random) | UINT64_C(1) << (32 + 9 + i % 7);
        assert_null(quarry_slab_data(slab, any));
        assert_int_equal(quarry_slab_ref(slab, any), QUARRY_REF_NIL);
        any = random_u64(&random) % SLAB_CLASSES_MAX << 32 | (random_u64(&random) >> 32);
        assert_null(quarry_slab_data(slab, any)); /* generation 0 */
    }
    for (uint64_t generation = 0; generation <= UINT16_MAX; generation++) {
        quarry_ref other = (ref & QUARRY_REF48_MASK) | generation << 48;
        assert_true(other == ref || quarry_slab_data(slab, other) == NULL);
    }
    assert_null(quarry_slab_data(slab, QUARRY_REF_NIL));
    quarry_slab_give(slab, ref);
}

static void a_size_of_its_own_gets_just_its_cells(void **state)
{
    const size_t bytes = Q_KIB(32) + 64;

    (void)state;
    assert_int_equal(quarry_slab_add_size(slab, bytes), QUARRY_OK);
    quarry_ref exact = take_filled(bytes, 1);
    quarry_ref smaller = take_filled(bytes - 8, 2);
    quarry_ref below = take_filled(bytes - 1500, 3);
    quarry_ref larger = take_filled(bytes + 1, 4);
    assert_int_equal(quarry_slab_cell_bytes(slab, exact), bytes);
    assert_int_equal(quarry_slab_cell_bytes(slab, smaller), bytes);
    assert_int_equal(quarry_slab_cell_bytes(slab, below), Q_KIB(32));
    assert_int_equal(quarry_slab_cell_bytes(slab, larger), Q_KIB(34));
    for (uint32_t i = 0; i < 4; i++) {
        quarry_slab_give(slab, (quarry_ref[]){exact, smaller, below, larger}[i]);
    }
    assert_int_equal(quarry_slab_add_size(slab, 0), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_slab_add_size(slab, Q_MIB(1)), QUARRY_BAD_INPUT);
}

static void a_class_begins_small_and_its_pages_grow_with_it(void **state)
{
    struct quarry_slab_stats stats;

    (void)state;
    for (uint64_t key = 0; key < 16; key++) {
        index_put(key, 1024);
    }
    stats = slab_stats();
    assert_int_equal(stats.page_count, 1);
    assert_true(stats.page_bytes <= Q_KIB(72));
    for (uint64_t key = 16; key < 40000; key++) {
        index_put(key, 1024);
    }
    stats = slab_stats();
    assert_true(stats.page_count < 120);
    assert_true(stats.free_bytes + stats.cached_bytes < stats.live_bytes / 20);
    index_check();
    slab_check();
    index_clear();
}

static void cells_given_back_are_used_before_new_pages(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 20000; key++) {
        index_put(key, 208);
    }
    uint64_t page_bytes = slab_stats().page_bytes;
    for (uint32_t round = 0; round < 5; round++) {
        for (uint64_t key = round; key < 20000; key += 5) {
            index_remove(key);
        }
        for (uint64_t key = round; key < 20000; key += 5) {
            index_put(key, 208);
        }
    }
    assert_int_equal(slab_stats().page_bytes, page_bytes);
    index_check();
    index_clear();
}

static void a_slab_without_cells_keeps_a_page_a_class_until_trimmed(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 30000; key++) {
        index_put(key, 64 + key % 4 * 512);
    }
    index_clear();
    (void)quarry_slab_trim(slab);
    struct quarry_slab_stats stats = slab_stats();
    assert_int_equal(stats.page_count, 0);
    assert_int_equal(stats.page_bytes, 0);
    assert_int_equal(stats.live_count, 0);
    assert_true(stats.page_given_count > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, slab_set_up, slab_tear_down)
        TEST(a_cell_is_found_by_its_ref_until_it_is_given),
        TEST(a_cell_that_is_taken_again_has_another_ref),
        TEST(requests_of_every_step_get_cells_that_do_not_overlap),
        TEST(sizes_that_no_cell_has_are_refused),
        TEST(any_number_may_be_looked_up),
        TEST(a_size_of_its_own_gets_just_its_cells),
        TEST(a_class_begins_small_and_its_pages_grow_with_it),
        TEST(cells_given_back_are_used_before_new_pages),
        TEST(a_slab_without_cells_keeps_a_page_a_class_until_trimmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
