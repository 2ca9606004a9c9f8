/*
 * Steps, bounds of classes, and shapes of pages.
 */
#include "unit/base/cmocka_all.h"

#include <page/page.h>
#include <slab/size.h>

static void every_size_is_in_the_step_whose_bounds_hold_it(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= QUARRY_SLAB_CELL_BYTES_MAX; bytes++) {
        uint64_t step = slab_step(bytes);
        assert_true(step < SLAB_STEPS);
        assert_true(bytes <= slab_step_bytes(step));
        assert_true(step == 0 || bytes > slab_step_bytes(step - 1));
    }
    assert_int_equal(slab_step_bytes(SLAB_STEPS - 1), QUARRY_SLAB_CELL_BYTES_MAX);
}

static void sizes_without_cells_have_steps_in_the_table(void **state)
{
    const size_t sizes[] = {0, QUARRY_SLAB_CELL_BYTES_MAX + 1, (size_t)1 << 40, SIZE_MAX};

    (void)state;
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_true(slab_step(sizes[i]) >= SLAB_STEPS);
        assert_true(slab_step(sizes[i]) < SLAB_STEPS_ANY);
    }
}

static void steps_are_a_part_of_a_doubling_or_four_bytes(void **state)
{
    (void)state;
    for (uint64_t step = 1; step < SLAB_STEPS; step++) {
        size_t bytes = slab_step_bytes(step), spacing = bytes - slab_step_bytes(step - 1);
        size_t doubling = (size_t)1 << bits_log2_floor_u64(bytes - 1);
        assert_int_equal(spacing, size_max(doubling / 128, 4));
        assert_int_equal(bytes % slab_alignment(bytes, 4), 0);
    }
}

static void check_bounds(uint32_t per_doubling, uint32_t grain_bytes)
{
    uint32_t bound_count = 0;

    for (uint64_t step = 0; step < SLAB_STEPS; step++) {
        uint64_t bound = slab_step_bound(step, per_doubling, grain_bytes);
        size_t bytes = slab_step_bytes(bound);
        assert_true(bound >= step && bound < step + SLAB_STEPS_PER_DOUBLING / 8);
        assert_int_equal(slab_step_bound(bound, per_doubling, grain_bytes), bound);
        assert_true(bytes >= SLAB_CELL_BYTES_MIN);
        assert_int_equal(bytes % slab_alignment(bytes, grain_bytes), 0);
        bound_count += bound == step && bytes > 1024;
    }
    assert_int_equal(bound_count, per_doubling * 9); /* 1 KiB to 512 KiB */
}

static void classes_are_so_many_in_a_doubling(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t per_doubling = (const uint32_t[]){8, 12, 16, 32}[i];
        check_bounds(per_doubling, 8);
        check_bounds(per_doubling, 4);
    }
}

static void cells_are_aligned_as_was_said(void **state)
{
    (void)state;
    assert_int_equal(slab_alignment(512, 8), 8);
    assert_int_equal(slab_alignment(513, 8), 16);
    assert_int_equal(slab_alignment(QUARRY_SLAB_FINE_BYTES_MAX, 4), 4);
    assert_int_equal(slab_alignment(QUARRY_SLAB_FINE_BYTES_MAX + 1, 4), 8);
}

/* Bytes of a page's end in a thousand of it. */
static uint64_t waste_permille(struct slab_shape shape, size_t cell_bytes)
{
    uint64_t bytes = (uint64_t)shape.page_count << PAGE_SHIFT;

    assert_true(shape.cell_count >= 1 && shape.cell_count <= UINT16_MAX + 1u);
    assert_true((uint64_t)shape.cell_count * cell_bytes <= bytes);
    return (bytes - (uint64_t)shape.cell_count * cell_bytes) * 1000 / bytes;
}

static void large_pages_waste_little_of_their_ends(void **state)
{
    (void)state;
    for (uint64_t step = slab_step(SLAB_CELL_BYTES_MIN); step < SLAB_STEPS; step++) {
        size_t cell_bytes = slab_step_bytes(step);
        struct slab_shape shape = slab_shape_choose(cell_bytes, SLAB_PAGE_PAGES_LARGE);
        uint64_t most = cell_bytes <= Q_KIB(4) ? 1 : 12;
        assert_in_range(shape.page_count, cell_bytes <= Q_KIB(64) ? 112 : 64, 136);
        assert_in_range(waste_permille(shape, cell_bytes), 0, most);
    }
}

static void first_pages_are_small(void **state)
{
    (void)state;
    for (uint64_t step = slab_step(SLAB_CELL_BYTES_MIN); step < SLAB_STEPS; step++) {
        size_t cell_bytes = slab_step_bytes(step);
        struct slab_shape shape = slab_shape_choose(cell_bytes, SLAB_PAGE_PAGES_FIRST);
        assert_true(shape.page_count <= 8 ||
                    shape.page_count == size_ceil_div(cell_bytes, PAGE_BYTES));
        (void)waste_permille(shape, cell_bytes);
    }
}

static void a_block_of_32_kib_with_its_header_fits_129_pages(void **state)
{
    struct slab_shape shape = slab_shape_choose(Q_KIB(32) + 64, SLAB_PAGE_PAGES_LARGE);

    (void)state;
    assert_true(waste_permille(shape, Q_KIB(32) + 64) <= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_is_in_the_step_whose_bounds_hold_it),
        cmocka_unit_test(sizes_without_cells_have_steps_in_the_table),
        cmocka_unit_test(steps_are_a_part_of_a_doubling_or_four_bytes),
        cmocka_unit_test(classes_are_so_many_in_a_doubling),
        cmocka_unit_test(cells_are_aligned_as_was_said),
        cmocka_unit_test(large_pages_waste_little_of_their_ends),
        cmocka_unit_test(first_pages_are_small),
        cmocka_unit_test(a_block_of_32_kib_with_its_header_fits_129_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
