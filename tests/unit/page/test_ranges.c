/* The sorted list of grown ranges: joining, looking up, clamping. */
#include <base/base.h>
#include <page/ranges.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define CAPACITY 64

struct list {
    struct page_range storage[CAPACITY];
    struct page_ranges ranges;
};

static void list_init(struct list *list)
{
    list->ranges = (struct page_ranges){.range = list->storage, .capacity = CAPACITY};
}

static void add(struct list *list, uint32_t first, uint32_t end)
{
    page_ranges_add(&list->ranges, (struct page_range){first, end});
}

static void assert_range(const struct list *list, uint32_t i, uint32_t first, uint32_t end)
{
    assert_true(i < list->ranges.count);
    assert_int_equal(list->ranges.range[i].first, first);
    assert_int_equal(list->ranges.range[i].end, end);
}

static void an_empty_list_contains_nothing(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    assert_int_equal(page_ranges_find(&list.ranges, 0), 0);
    assert_false(page_ranges_contain(&list.ranges, (struct page_range){0, 1}));
    assert_true(page_ranges_clamp(&list.ranges, 0) == PAGE_NONE);
}

static void ranges_are_kept_in_order(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    add(&list, 20, 21);
    add(&list, 5, 9);
    add(&list, 12, 14);
    assert_int_equal(list.ranges.count, 3);
    assert_range(&list, 0, 5, 9);
    assert_range(&list, 1, 12, 14);
    assert_range(&list, 2, 20, 21);
}

static void a_range_joins_the_one_below(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    add(&list, 5, 9);
    add(&list, 20, 21);
    add(&list, 9, 10);
    assert_int_equal(list.ranges.count, 2);
    assert_range(&list, 0, 5, 10);
    assert_range(&list, 1, 20, 21);
}

static void a_range_joins_the_one_above(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    add(&list, 5, 9);
    add(&list, 20, 21);
    add(&list, 18, 20);
    assert_int_equal(list.ranges.count, 2);
    assert_range(&list, 0, 5, 9);
    assert_range(&list, 1, 18, 21);
}

static void a_range_joins_both_neighbours_and_the_rest_moves_down(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    add(&list, 0, 2);
    add(&list, 3, 5);
    add(&list, 7, 8);
    add(&list, 10, 11);
    add(&list, 2, 3);
    assert_int_equal(list.ranges.count, 3);
    assert_range(&list, 0, 0, 5);
    assert_range(&list, 1, 7, 8);
    assert_range(&list, 2, 10, 11);
}

static void a_joining_range_needs_no_room(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    add(&list, 0, 1);
    add(&list, 2, 3);
    list.ranges.capacity = 2;
    add(&list, 1, 2);
    add(&list, 3, 4);
    assert_int_equal(list.ranges.count, 1);
    assert_range(&list, 0, 0, 4);
}

static void looking_up_gives_the_first_range_that_ends_above(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    add(&list, 5, 9);
    add(&list, 12, 14);
    for (uint32_t chunk = 0; chunk < 16; chunk++) {
        uint32_t expected = chunk < 9 ? 0 : chunk < 14 ? 1 : 2;
        assert_int_equal(page_ranges_find(&list.ranges, chunk), expected);
    }
}

static void a_page_is_clamped_to_the_next_grown_one(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    add(&list, 5, 9);
    add(&list, 12, 14);
    assert_int_equal(page_ranges_clamp(&list.ranges, 0), 5 * 512);
    assert_int_equal(page_ranges_clamp(&list.ranges, 5 * 512), 5 * 512);
    assert_int_equal(page_ranges_clamp(&list.ranges, 9 * 512 - 1), 9 * 512 - 1);
    assert_int_equal(page_ranges_clamp(&list.ranges, 9 * 512), 12 * 512);
    assert_int_equal(page_ranges_clamp(&list.ranges, 13 * 512 + 7), 13 * 512 + 7);
    assert_true(page_ranges_clamp(&list.ranges, 14 * 512) == PAGE_NONE);
    assert_true(page_ranges_clamp(&list.ranges, PAGE_NONE) == PAGE_NONE);
    assert_true(page_ranges_clamp(&list.ranges, (uint64_t)PAGE_CHUNKS_MAX << 9) == PAGE_NONE);
}

static void a_range_is_contained_only_as_a_whole(void **state)
{
    (void)state;
    struct list list;

    list_init(&list);
    add(&list, 5, 9);
    add(&list, 12, 14);
    assert_true(page_ranges_contain(&list.ranges, (struct page_range){5, 9}));
    assert_true(page_ranges_contain(&list.ranges, (struct page_range){6, 7}));
    assert_false(page_ranges_contain(&list.ranges, (struct page_range){4, 6}));
    assert_false(page_ranges_contain(&list.ranges, (struct page_range){8, 10}));
    assert_false(page_ranges_contain(&list.ranges, (struct page_range){8, 13}));
    assert_false(page_ranges_contain(&list.ranges, (struct page_range){9, 12}));
    assert_false(page_ranges_contain(&list.ranges, (struct page_range){14, 15}));
}

/* 64 chunks joined in random order, compared with a set of chunks after each. */
static void random_orders_agree_with_a_set(void **state)
{
    (void)state;
    uint64_t random = 3;

    for (uint32_t round = 0; round < 500; round++) {
        struct list list;
        uint64_t set = 0;
        list_init(&list);
        for (uint32_t step = 0; step < 200; step++) {
            uint32_t chunk = (uint32_t)(random_u64(&random) % 64);
            if (set >> chunk & 1) {
                continue;
            }
            add(&list, chunk, chunk + 1);
            set |= UINT64_C(1) << chunk;
            uint64_t listed = 0;
            for (uint32_t i = 0; i < list.ranges.count; i++) {
                struct page_range range = list.ranges.range[i];
                assert_true(i == 0 || list.ranges.range[i - 1].end < range.first);
                listed |= bits_mask_u64(range.first, range.end - range.first);
            }
            assert_true(listed == set);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_contains_nothing),
        cmocka_unit_test(ranges_are_kept_in_order),
        cmocka_unit_test(a_range_joins_the_one_below),
        cmocka_unit_test(a_range_joins_the_one_above),
        cmocka_unit_test(a_range_joins_both_neighbours_and_the_rest_moves_down),
        cmocka_unit_test(a_joining_range_needs_no_room),
        cmocka_unit_test(looking_up_gives_the_first_range_that_ends_above),
        cmocka_unit_test(a_page_is_clamped_to_the_next_grown_one),
        cmocka_unit_test(a_range_is_contained_only_as_a_whole),
        cmocka_unit_test(random_orders_agree_with_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
