/* Packed summaries: their fields, and the merge of eight against a walk over single pages. */
#include <stdlib.h>

#include <base/base.h>
#include <page/bits.h>
#include <page/summary.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define C PAGE_CHUNK_PAGES

static void check_fields(uint64_t start, uint64_t max, uint64_t end)
{
    uint64_t summary = page_summary_pack(start, max, end);

    assert_int_equal(page_summary_start(summary), start);
    assert_int_equal(page_summary_max(summary), max);
    assert_int_equal(page_summary_end(summary), end);
}

static void fields_come_back_as_they_were_packed(void **state)
{
    (void)state;
    uint64_t random = 1;

    check_fields(0, 0, 0);
    check_fields(1, 1, 0);
    check_fields(0, 1, 1);
    check_fields(0, 5, 0);
    check_fields(C, C, C);
    check_fields(0, PAGE_SUMMARY_FIELD_MASK, PAGE_SUMMARY_FIELD_MASK);
    check_fields(PAGE_SUMMARY_FIELD_MASK, PAGE_SUMMARY_FIELD_MASK, 0);
    check_fields(PAGE_SUMMARY_FIELD_MASK, PAGE_SUMMARY_FIELD_MASK, PAGE_SUMMARY_FIELD_MASK);
    for (uint32_t i = 0; i < 1000; i++) {
        check_fields(random_u64(&random) & PAGE_SUMMARY_FIELD_MASK,
                     random_u64(&random) & PAGE_SUMMARY_FIELD_MASK,
                     random_u64(&random) & PAGE_SUMMARY_FIELD_MASK);
    }
}

static void nothing_free_is_zero(void **state)
{
    (void)state;
    assert_true(page_summary_pack(0, 0, 0) == 0);
}

static void a_free_root_entry_is_one_bit_that_reads_as_three_counts(void **state)
{
    (void)state;
    uint64_t full = page_summary_full(PAGE_ROOT_SHIFT);

    assert_true(full == PAGE_SUMMARY_ALL_FREE);
    assert_int_equal(page_summary_start(full), UINT64_C(1) << 21);
    assert_int_equal(page_summary_max(full), UINT64_C(1) << 21);
    assert_int_equal(page_summary_end(full), UINT64_C(1) << 21);
}

static void levels_cover_16_gib_down_to_4_mib(void **state)
{
    (void)state;
    const uint64_t bytes[PAGE_LEVELS] = {Q_GIB(16), Q_GIB(2), Q_MIB(256), Q_MIB(32), Q_MIB(4)};

    for (uint32_t level = 0; level < PAGE_LEVELS; level++) {
        assert_int_equal(PAGE_BYTES << page_level_shift(level), bytes[level]);
    }
}

static void eight_full_children_make_a_full_parent_on_every_level(void **state)
{
    (void)state;
    for (uint32_t level = 1; level < PAGE_LEVELS; level++) {
        uint32_t shift = page_level_shift(level);
        uint64_t children[PAGE_FANOUT];
        for (uint32_t i = 0; i < PAGE_FANOUT; i++) {
            children[i] = page_summary_full(shift);
        }
        assert_true(page_summary_merge(children, shift) == page_summary_full(shift + 3));
        /* With one child in use the free ones on its sides are counted to its edges. */
        children[3] = 0;
        uint64_t merged = page_summary_merge(children, shift);
        assert_int_equal(page_summary_start(merged), UINT64_C(3) << shift);
        assert_int_equal(page_summary_max(merged), UINT64_C(4) << shift);
        assert_int_equal(page_summary_end(merged), UINT64_C(4) << shift);
    }
}

static void eight_children_in_use_make_a_parent_in_use(void **state)
{
    (void)state;
    const uint64_t children[PAGE_FANOUT] = {0};

    assert_true(page_summary_merge(children, PAGE_CHUNK_SHIFT) == 0);
}

static void a_run_over_the_edge_of_two_children_is_the_longest(void **state)
{
    (void)state;
    const uint64_t children[PAGE_FANOUT] = {
        [2] = page_summary_pack(0, 30, 30),
        [3] = page_summary_pack(20, 40, 7),
    };

    assert_true(page_summary_merge(children, PAGE_CHUNK_SHIFT) == page_summary_pack(0, 50, 0));
}

static void a_run_over_whole_children_is_the_longest(void **state)
{
    (void)state;
    const uint64_t children[PAGE_FANOUT] = {
        [0] = page_summary_pack(5, 6, 0),  [2] = page_summary_pack(0, 30, 30),
        [3] = page_summary_full(9),        [4] = page_summary_full(9),
        [5] = page_summary_pack(9, 60, 7), [7] = page_summary_pack(1, 100, 11),
    };

    assert_true(page_summary_merge(children, 9) == page_summary_pack(5, 30 + 2 * C + 9, 11));
}

/* ---- against a walk over pages -------------------------------------------------------------- */

/* The summary of `count` pages of which bit i of `in_use` says whether page i is. */
static uint64_t walk_pages(const struct page_bits *chunks, uint32_t chunk_count)
{
    uint32_t page_count = chunk_count * C, start = 0, max = 0, run = 0;
    bool is_start = true;

    for (uint32_t i = 0; i < page_count; i++) {
        if (page_bits_get(&chunks[i / C], i % C)) {
            is_start = false;
            run = 0;
        } else {
            run++;
            start += is_start;
            max = run > max ? run : max;
        }
    }
    return page_summary_pack(start, max, run);
}

static void random_children_merge_as_their_pages_lie(void **state)
{
    (void)state;
    uint64_t random = 7;
    struct page_bits chunks[PAGE_FANOUT];

    for (uint32_t round = 0; round < 2000; round++) {
        uint64_t children[PAGE_FANOUT];
        for (uint32_t i = 0; i < PAGE_FANOUT; i++) {
            uint32_t kind = (uint32_t)(random_u64(&random) % 4);
            page_bits_clear_all(&chunks[i]);
            if (kind == 0) {
                page_bits_set_all(&chunks[i]);
            }
            for (uint32_t set = 0; set < 4 * (kind / 2); set++) {
                page_bits_set(&chunks[i], (uint32_t)(random_u64(&random) % C), 1);
            }
            children[i] = page_bits_summarize(&chunks[i]);
        }
        assert_true(page_summary_merge(children, PAGE_CHUNK_SHIFT) ==
                    walk_pages(chunks, PAGE_FANOUT));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_come_back_as_they_were_packed),
        cmocka_unit_test(nothing_free_is_zero),
        cmocka_unit_test(a_free_root_entry_is_one_bit_that_reads_as_three_counts),
        cmocka_unit_test(levels_cover_16_gib_down_to_4_mib),
        cmocka_unit_test(eight_full_children_make_a_full_parent_on_every_level),
        cmocka_unit_test(eight_children_in_use_make_a_parent_in_use),
        cmocka_unit_test(a_run_over_the_edge_of_two_children_is_the_longest),
        cmocka_unit_test(a_run_over_whole_children_is_the_longest),
        cmocka_unit_test(random_children_merge_as_their_pages_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
