/*
 * Growth of the tree: which ranges it joins, and which metadata it asks for. Each case grows chunks
 * in an order and names the ranges that must be there afterwards.
 */
#include <stdlib.h>

#include <base/base.h>
#include <page/tree.h>

#include "unit/base/cmocka_all.h"
#include "unit/page/tree_fixture.h"

#define BASE       UINT32_C(0x800)
#define FAR        (UINT32_C(1) << 20)
#define PIECES_MAX 8

/* Chunks [first, first + count), from BASE. A list ends with a count of 0. */
struct piece {
    uint32_t first;
    uint32_t count;
};

struct grow_case {
    const char *name;
    struct piece grown[PIECES_MAX];
    struct piece ranges[PIECES_MAX];
};

static struct grow_case grow_cases[] = {
    {"one_chunk_is_one_range", {{0, 1}}, {{0, 1}}},
    {"two_neighbours_grown_at_once_are_one_range", {{0, 2}}, {{0, 2}}},
    {"two_neighbours_grown_one_by_one_join", {{0, 1}, {1, 1}}, {{0, 2}}},
    {"five_neighbours_grown_one_by_one_join", {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}}, {{0, 5}}},
    {"neighbours_grown_downwards_join", {{3, 1}, {2, 1}, {1, 1}, {0, 1}}, {{0, 4}}},
    {"a_chunk_between_two_ranges_joins_both", {{0, 2}, {3, 4}, {2, 1}}, {{0, 7}}},
    {"chunks_0_2_4_stay_apart", {{0, 1}, {2, 1}, {4, 1}}, {{0, 1}, {2, 1}, {4, 1}}},
    {"chunks_4_0_2_are_sorted", {{4, 1}, {0, 1}, {2, 1}}, {{0, 1}, {2, 1}, {4, 1}}},
    {"mixed_neighbours_and_gaps_join_where_they_touch",
     {{0, 1}, {1, 1}, {2, 1}, {4, 1}, {6, 2}, {9, 1}, {10, 1}},
     {{0, 3}, {4, 1}, {6, 2}, {9, 2}}},
    {"wildly_spaced_chunks_stay_apart",
     {{0, 1}, {1, 1}, {0x10, 1}, {0x21, 1}},
     {{0, 2}, {0x10, 1}, {0x21, 1}}},
    {"chunks_2_to_the_20_apart_are_two_ranges", {{0, 1}, {FAR, 1}}, {{0, 1}, {FAR, 1}}},
    {"a_far_chunk_below_is_a_range_of_its_own", {{FAR, 1}, {0, 1}}, {{0, 1}, {FAR, 1}}},
    {"a_chunk_between_two_far_ones_is_a_range_of_its_own",
     {{0, 1}, {FAR, 1}, {FAR / 2, 1}},
     {{0, 1}, {FAR / 2, 1}, {FAR, 1}}},
    {"a_range_over_a_root_edge_is_one_range", {{0x7f0, 0x20}}, {{0x7f0, 0x20}}},
};

static void grow_and_compare(void **state)
{
    const struct grow_case *grow_case = *state;
    struct tree_fixture fixture;
    uint32_t chunk_count = 0, range_count = 0;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    for (const struct piece *piece = grow_case->grown; piece->count > 0; piece++) {
        tree_fixture_grow(&fixture, BASE + piece->first, piece->count);
        chunk_count += piece->count;
    }
    for (const struct piece *piece = grow_case->ranges; piece->count > 0; piece++) {
        const struct page_range *range = &fixture.tree.ranges.range[range_count++];
        assert_int_equal(range->first, BASE + piece->first);
        assert_int_equal(range->end, BASE + piece->first + piece->count);
    }
    assert_int_equal(fixture.tree.ranges.count, range_count);
    assert_int_equal(fixture.tree.free_pages, fixture_page(chunk_count, 0));
    assert_int_equal(fixture.tree.scavenged_pages, fixture_page(chunk_count, 0));
    assert_int_equal(fixture.tree.search_page, fixture_page(fixture.tree.ranges.range[0].first, 0));
    tree_fixture_close(&fixture);
}

static void thirty_three_alternating_chunks_are_as_many_ranges(void **state)
{
    (void)state;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    for (uint32_t i = 0; i < 33; i++) {
        tree_fixture_grow(&fixture, BASE + 2 * i, 1);
    }
    assert_int_equal(fixture.tree.ranges.count, 33);
    for (uint32_t i = 0; i < 33; i++) {
        assert_int_equal(fixture.tree.ranges.range[i].first, BASE + 2 * i);
        assert_int_equal(fixture.tree.ranges.range[i].end, BASE + 2 * i + 1);
    }
    assert_int_equal(tree_fixture_alloc(&fixture, PAGE_CHUNK_PAGES + 1, NULL), PAGE_NONE);
    tree_fixture_close(&fixture);
}

/* One OS page holds 512 ranges; the list is full when every other chunk has been grown. */
static void every_other_chunk_may_be_a_range_and_every_gap_may_close(void **state)
{
    (void)state;
    const uint32_t chunk_max = UINT32_C(1) << (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT);
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, chunk_max);
    assert_int_equal(fixture.layout.chunk_max, chunk_max);
    for (uint32_t chunk = 0; chunk < chunk_max; chunk += 2) {
        tree_fixture_grow(&fixture, chunk, 1);
    }
    assert_int_equal(fixture.tree.ranges.count, chunk_max / 2);
    for (uint32_t chunk = 1; chunk < chunk_max; chunk += 2) {
        tree_fixture_grow(&fixture, chunk, 1);
    }
    assert_int_equal(fixture.tree.ranges.count, 1);
    assert_int_equal(tree_fixture_alloc(&fixture, fixture_page(chunk_max, 0), NULL), 0);
    tree_fixture_close(&fixture);
}

static void the_first_and_the_last_chunk_of_the_index_space_can_be_used(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    uint64_t last = fixture_page(PAGE_CHUNKS_MAX - 1, 0);

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, PAGE_CHUNKS_MAX - 1, 1);
    assert_int_equal(tree_fixture_alloc(&fixture, 512, NULL), last);
    assert_int_equal(tree_fixture_alloc(&fixture, 1, NULL), PAGE_NONE);
    tree_fixture_check(&fixture);
    tree_fixture_grow(&fixture, 0, 1);
    assert_int_equal(tree_fixture_alloc(&fixture, 1, NULL), 0);
    assert_false(page_tree_is_free(&fixture.tree, last, 1024));
    assert_false(page_tree_is_free(&fixture.tree, UINT64_MAX, 2));
    tree_fixture_close(&fixture);
}

static void growing_lowers_the_search_address_only_when_below_it(void **state)
{
    (void)state;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    assert_int_equal(fixture.tree.search_page, PAGE_NONE);
    tree_fixture_grow(&fixture, BASE, 1);
    assert_int_equal(tree_fixture_alloc(&fixture, 8, NULL), fixture_page(BASE, 0));
    uint64_t search_page = fixture.tree.search_page;
    tree_fixture_grow(&fixture, BASE + 4, 1);
    assert_int_equal(fixture.tree.search_page, search_page);
    tree_fixture_grow(&fixture, BASE - 4, 1);
    assert_int_equal(fixture.tree.search_page, fixture_page(BASE - 4, 0));
    tree_fixture_close(&fixture);
}

static void a_whole_root_entry_free_is_one_bit(void **state)
{
    (void)state;
    const uint32_t root_chunks = UINT32_C(1) << (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT);
    struct tree_fixture fixture;
    struct page_tree *tree = &fixture.tree;

    tree_fixture_open(&fixture, 4 * root_chunks);
    tree_fixture_grow(&fixture, root_chunks / 2, 2 * root_chunks);
    assert_true(tree->level[0][1] == PAGE_SUMMARY_ALL_FREE);
    assert_int_equal(page_summary_end(tree->level[0][0]), PAGE_SUMMARY_ROOT_PAGES / 2);
    assert_int_equal(page_summary_start(tree->level[0][2]), PAGE_SUMMARY_ROOT_PAGES / 2);
    /* A run of every length up to the whole, over both edges of the root entry. */
    uint64_t base = fixture_page(root_chunks / 2, 0);
    assert_int_equal(page_tree_find(tree, PAGE_SUMMARY_ROOT_PAGES).page, base);
    assert_int_equal(page_tree_find(tree, 2 * PAGE_SUMMARY_ROOT_PAGES).page, base);
    assert_int_equal(page_tree_find(tree, 2 * PAGE_SUMMARY_ROOT_PAGES + 1).page, PAGE_NONE);
    assert_int_equal(tree_fixture_alloc(&fixture, 2 * PAGE_SUMMARY_ROOT_PAGES, NULL), base);
    tree_fixture_close(&fixture);
}

/* Growing chunk by chunk asks for the OS pages that growing at once does, none more and none less.
 */
static void growing_piecemeal_asks_for_the_same_metadata_as_growing_at_once(void **state)
{
    (void)state;
    struct tree_fixture whole, pieces;

    tree_fixture_open(&whole, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&whole, BASE, 1200);
    tree_fixture_open(&pieces, PAGE_CHUNKS_MAX);
    for (uint32_t i = 0; i < 1200; i += 3) {
        tree_fixture_grow(&pieces, BASE + i, 1);
        tree_fixture_grow(&pieces, BASE + i + 1, 2);
    }
    assert_int_equal(whole.named_pages, pieces.named_pages);
    assert_memory_equal(whole.named, pieces.named, whole.bitmap_bytes);
    tree_fixture_close(&whole);
    tree_fixture_close(&pieces);
}

static void metadata_is_a_twentieth_of_a_percent_of_what_is_grown(void **state)
{
    (void)state;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    uint64_t before = fixture.named_pages;
    tree_fixture_grow(&fixture, 0, 4096);
    uint64_t bytes = (fixture.named_pages - before) * FIXTURE_OS_PAGE_BYTES;
    /* 128 bytes of bitmaps, 9.14 of summaries, 8 of density and 2,048 of run heads a chunk. */
    assert_in_range(bytes, 4096 * (128 + 9 + 8 + 2048), 4096 * (128 + 9 + 8 + 2048) + 32768);
    tree_fixture_close(&fixture);
}

/* The scavenger's finder walks the chunks without the lock that guards the ranges. */
static void the_scavenger_looks_down_over_a_gap_of_2_to_the_20_chunks(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    struct page_scavenge_index *index = &fixture.tree.index;
    uint32_t chunk, from;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE + FAR, 1);
    tree_fixture_grow(&fixture, BASE, 1);
    tree_fixture_grow(&fixture, BASE + FAR / 3, 1);
    tree_fixture_take_at(&fixture, fixture_page(BASE, 0), 7);
    tree_fixture_take_at(&fixture, fixture_page(BASE + FAR, 0), 9);
    page_tree_free(&fixture.tree, fixture_page(BASE, 0), 7);
    page_tree_free(&fixture.tree, fixture_page(BASE + FAR, 0), 9);
    assert_true(page_scavenge_index_find(index, PAGE_SCAVENGE_FORCED, &chunk, &from));
    assert_int_equal(chunk, BASE + FAR);
    assert_int_equal(from, 8);
    tree_fixture_take_at(&fixture, fixture_page(BASE + FAR, 0), 9);
    page_tree_free_scavenged(&fixture.tree, fixture_page(BASE + FAR, 0), 9);
    page_scavenge_index_set_empty(index, chunk);
    assert_true(page_scavenge_index_find(index, PAGE_SCAVENGE_FORCED, &chunk, &from));
    assert_int_equal(chunk, BASE);
    assert_int_equal(from, PAGE_CHUNK_PAGES - 1);
    tree_fixture_close(&fixture);
}

static const struct CMUnitTest single_tests[] = {
    cmocka_unit_test(the_scavenger_looks_down_over_a_gap_of_2_to_the_20_chunks),
    cmocka_unit_test(thirty_three_alternating_chunks_are_as_many_ranges),
    cmocka_unit_test(every_other_chunk_may_be_a_range_and_every_gap_may_close),
    cmocka_unit_test(the_first_and_the_last_chunk_of_the_index_space_can_be_used),
    cmocka_unit_test(growing_lowers_the_search_address_only_when_below_it),
    cmocka_unit_test(a_whole_root_entry_free_is_one_bit),
    cmocka_unit_test(growing_piecemeal_asks_for_the_same_metadata_as_growing_at_once),
    cmocka_unit_test(metadata_is_a_twentieth_of_a_percent_of_what_is_grown),
};

int main(void)
{
    enum { CASES = sizeof(grow_cases) / sizeof(grow_cases[0]) };
    enum { SINGLES = sizeof(single_tests) / sizeof(single_tests[0]) };
    struct CMUnitTest tests[CASES + SINGLES];

    for (size_t i = 0; i < CASES; i++) {
        tests[i] =
            (struct CMUnitTest){grow_cases[i].name, grow_and_compare, NULL, NULL, &grow_cases[i]};
    }
    for (size_t i = 0; i < SINGLES; i++) {
        tests[CASES + i] = single_tests[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
