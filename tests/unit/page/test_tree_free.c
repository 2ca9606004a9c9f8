/*
 * Freeing: every case leaves exactly the pages free that it freed, in bitmaps and summaries, and
 * the next allocations find them lowest first.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <base/base.h>
#include <page/tree.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/death.h"
#include "unit/page/tree_fixture.h"

#define BASE   UINT32_C(0x7fe) /* four chunks from here lie on both sides of an edge of level 1 */
#define C      PAGE_CHUNK_PAGES
#define CHUNKS 5
#define PAGES  (CHUNKS * C)

/* Which pages of the chunks should be free, by page; compared with the tree bit by bit. */
struct expected_pages {
    bool is_free[PAGES];
};

static void compare_pages(struct tree_fixture *fixture, const struct expected_pages *expected)
{
    uint64_t base = fixture_page(BASE, 0), free_pages = 0;

    for (uint32_t i = 0; i < PAGES; i++) {
        if (page_tree_is_free(&fixture->tree, base + i, 1) != expected->is_free[i]) {
            fail_msg("page %u: free is not %d", i, expected->is_free[i]);
        }
        free_pages += expected->is_free[i];
    }
    assert_int_equal(fixture->tree.free_pages, free_pages);
    tree_fixture_check(fixture);
}

static void open_full(struct tree_fixture *fixture)
{
    tree_fixture_open(fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(fixture, BASE, CHUNKS);
    assert_int_equal(tree_fixture_alloc(fixture, PAGES, NULL), fixture_page(BASE, 0));
    assert_int_equal(tree_fixture_alloc(fixture, 1, NULL), PAGE_NONE);
}

static void free_at(struct tree_fixture *fixture, struct expected_pages *expected, uint32_t first,
                    uint32_t count)
{
    page_tree_free(&fixture->tree, fixture_page(BASE, first), count);
    memset(expected->is_free + first, true, count);
    compare_pages(fixture, expected);
}

/* ---- runs of many sizes --------------------------------------------------------------------- */

struct size_case {
    uint32_t page_count;
    char name[64];
};

static struct size_case size_cases[] = {
    {1, ""},  {2, ""},  {3, ""},    {4, ""},    {5, ""},    {8, ""},
    {16, ""}, {64, ""}, {1024, ""}, {1025, ""}, {2048, ""}, {2049, ""},
};

/* Two runs with a run in use between them, freed highest first, then taken again lowest first. */
static void free_two_runs(void **state)
{
    const uint32_t page_count = ((const struct size_case *)*state)->page_count;
    struct expected_pages expected = {{false}};
    struct tree_fixture fixture;
    uint64_t base = fixture_page(BASE, 0);

    open_full(&fixture);
    uint32_t top = PAGES - page_count;
    uint32_t high = 2 * page_count + 1 < top ? 2 * page_count + 1 : top;
    free_at(&fixture, &expected, high, page_count);
    assert_int_equal(fixture.tree.search_page, base + high);
    if (high >= page_count) {
        free_at(&fixture, &expected, 0, page_count);
        assert_int_equal(fixture.tree.search_page, base);
        assert_int_equal(tree_fixture_alloc(&fixture, page_count, NULL), base);
    }
    assert_int_equal(tree_fixture_alloc(&fixture, page_count, NULL), base + high);
    assert_int_equal(tree_fixture_alloc(&fixture, 1, NULL), PAGE_NONE);
    tree_fixture_close(&fixture);
}

/* ---- places --------------------------------------------------------------------------------- */

struct place_case {
    const char *name;
    struct fixture_run freed[6];
    struct fixture_run taken[6]; /* what the runs are when taken again, lowest first */
};

static struct place_case place_cases[] = {
    {"a_page_in_the_middle_of_a_chunk", {{C / 2, 1}}, {{C / 2, 1}}},
    {"the_first_page_of_a_chunk", {{C, 1}}, {{C, 1}}},
    {"the_last_page_of_a_chunk", {{2 * C - 1, 1}}, {{2 * C - 1, 1}}},
    {"middle_first_and_last_page_of_three_chunks",
     {{C / 2, 1}, {C, 1}, {3 * C - 1, 1}},
     {{C / 2, 1}, {C, 1}, {3 * C - 1, 1}}},
    {"last_and_first_page_over_a_chunk_edge_join", {{2 * C - 1, 1}, {2 * C, 1}}, {{2 * C - 1, 2}}},
    {"a_run_over_a_chunk_edge", {{C - 3, 7}}, {{C - 3, 7}}},
    {"a_run_over_a_word_edge", {{60, 9}}, {{60, 9}}},
    {"a_run_from_middle_to_middle_over_two_edges", {{C / 2, 2 * C}}, {{C / 2, 2 * C}}},
    {"three_runs_freed_out_of_order_join", {{C + 20, 10}, {C, 10}, {C + 10, 10}}, {{C, 30}}},
    {"whole_chunks_freed_one_by_one_join", {{3 * C, C}, {C, C}, {2 * C, C}, {0, C}}, {{0, 4 * C}}},
    {"all_chunks_at_once", {{0, PAGES}}, {{0, PAGES}}},
};

static void free_and_take_again(void **state)
{
    const struct place_case *place_case = *state;
    struct expected_pages expected = {{false}};
    struct tree_fixture fixture;

    open_full(&fixture);
    for (const struct fixture_run *run = place_case->freed; run->count > 0; run++) {
        free_at(&fixture, &expected, run->first, run->count);
    }
    for (const struct fixture_run *run = place_case->taken; run->count > 0; run++) {
        uint64_t scavenged = 1;
        uint64_t page = tree_fixture_alloc(&fixture, run->count, &scavenged);
        assert_int_equal(page, fixture_page(BASE, run->first));
        assert_int_equal(scavenged, 0); /* freed pages are still backed */
        tree_fixture_check(&fixture);
    }
    assert_int_equal(tree_fixture_alloc(&fixture, 1, NULL), PAGE_NONE);
    tree_fixture_close(&fixture);
}

/* ---- single cases --------------------------------------------------------------------------- */

static void eight_chunks_come_and_go_three_times_then_one_page_then_eight_again(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    uint64_t base = fixture_page(BASE, 0), scavenged;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 8);
    for (uint32_t round = 0; round < 3; round++) {
        assert_int_equal(tree_fixture_alloc(&fixture, 8 * C, &scavenged), base);
        assert_int_equal(scavenged, round == 0 ? 8 * C : 0);
        tree_fixture_check(&fixture);
        page_tree_free(&fixture.tree, base, 8 * C);
        tree_fixture_check(&fixture);
    }
    assert_int_equal(tree_fixture_alloc(&fixture, 1, NULL), base);
    assert_int_equal(tree_fixture_alloc(&fixture, 8 * C, NULL), PAGE_NONE);
    page_tree_free(&fixture.tree, base, 1);
    assert_int_equal(tree_fixture_alloc(&fixture, 8 * C, NULL), base);
    tree_fixture_close(&fixture);
}

static void a_page_comes_and_goes_in_a_full_tree(void **state)
{
    (void)state;
    struct tree_fixture fixture;

    open_full(&fixture);
    for (uint32_t page = 0; page < PAGES; page += 67) {
        uint64_t at = fixture_page(BASE, page);
        page_tree_free(&fixture.tree, at, 1);
        assert_int_equal(tree_fixture_alloc(&fixture, 1, NULL), at);
        assert_int_equal(tree_fixture_alloc(&fixture, 1, NULL), PAGE_NONE);
    }
    tree_fixture_close(&fixture);
}

static void pages_freed_as_scavenged_are_found_so(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    uint64_t at = fixture_page(BASE, C - 5), scavenged;

    open_full(&fixture);
    page_tree_free_scavenged(&fixture.tree, at, 3);
    page_tree_free(&fixture.tree, at + 3, 4);
    page_tree_free_scavenged(&fixture.tree, at + 7, 3);
    assert_int_equal(fixture.tree.free_pages, 10);
    assert_int_equal(fixture.tree.scavenged_pages, 6);
    assert_int_equal(page_tree_count_scavenged(&fixture.tree, at, 10), 6);
    tree_fixture_check(&fixture);
    assert_int_equal(tree_fixture_alloc(&fixture, 9, &scavenged), at);
    assert_int_equal(scavenged, 5);
    tree_fixture_close(&fixture);
}

static void a_range_is_freed_whole_whatever_its_pages_were(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    struct page_tree *tree = &fixture.tree;
    uint64_t base = fixture_page(BASE, 0);

    open_full(&fixture);
    page_tree_free_scavenged(tree, base + C + 7, 100);
    page_tree_free(tree, base + 2 * C - 9, 20);
    page_tree_free_range(tree, (struct page_range){BASE + 1, BASE + 4});
    tree_fixture_check(&fixture);
    assert_int_equal(tree->free_pages, 3 * C);
    assert_int_equal(tree->scavenged_pages, 100);
    page_tree_free_range(tree, (struct page_range){BASE + 1, BASE + 4});
    assert_int_equal(tree->free_pages, 3 * C);
    assert_int_equal(tree_fixture_alloc(&fixture, 3 * C, NULL), base + C);
    tree_fixture_close(&fixture);
}

static void a_range_freed_whole_is_offered_to_the_scavenger_up_to_its_last_page(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    struct page_tree *tree = &fixture.tree;
    uint32_t chunk, from;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 1);
    tree_fixture_take_at(&fixture, fixture_page(BASE, C - 12), 12);
    page_tree_free_range(tree, (struct page_range){BASE, BASE + 1});
    assert_true(page_scavenge_index_find(&tree->index, PAGE_SCAVENGE_FORCED, &chunk, &from));
    assert_int_equal(chunk, BASE);
    assert_int_equal(from, C - 1);
    tree_fixture_close(&fixture);
}

static void free_pages_are_known_by_range(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct page_tree *tree = &fixture.tree;
    uint64_t base = fixture_page(BASE, 0);

    open_full(&fixture);
    page_tree_free(&fixture.tree, base + C - 2, C + 4);
    assert_true(page_tree_is_free(tree, base + C - 2, C + 4));
    assert_false(page_tree_is_free(tree, base + C - 3, 2));
    assert_false(page_tree_is_free(tree, base + C - 2, C + 5));
    assert_false(page_tree_is_free(tree, base + C, 0));
    assert_false(page_tree_is_free(tree, base + PAGES, 1));
    assert_false(page_tree_is_free(tree, base - 1, 1));
    tree_fixture_close(&fixture);
}

#ifdef QUARRY_DEBUG_CHECKS
static void free_twice(void)
{
    struct tree_fixture fixture;

    open_full(&fixture);
    page_tree_free(&fixture.tree, fixture_page(BASE, 3), 5);
    page_tree_free(&fixture.tree, fixture_page(BASE, 7), 1);
}

static void take_what_is_in_use(void)
{
    struct tree_fixture fixture;

    open_full(&fixture);
    tree_fixture_take_at(&fixture, fixture_page(BASE, 3), 1);
}

static void freeing_twice_and_taking_twice_die_in_debug_builds(void **state)
{
    (void)state;
    struct death death;

    death_watch(free_twice, &death);
    assert_int_equal(death.signal, SIGABRT);
    assert_non_null(strstr(death.text, "chunk_free"));
    death_watch(take_what_is_in_use, &death);
    assert_int_equal(death.signal, SIGABRT);
    assert_non_null(strstr(death.text, "page_tree_take"));
}
#endif

static const struct CMUnitTest single_tests[] = {
    cmocka_unit_test(eight_chunks_come_and_go_three_times_then_one_page_then_eight_again),
    cmocka_unit_test(a_page_comes_and_goes_in_a_full_tree),
    cmocka_unit_test(pages_freed_as_scavenged_are_found_so),
    cmocka_unit_test(a_range_is_freed_whole_whatever_its_pages_were),
    cmocka_unit_test(a_range_freed_whole_is_offered_to_the_scavenger_up_to_its_last_page),
    cmocka_unit_test(free_pages_are_known_by_range),
#ifdef QUARRY_DEBUG_CHECKS
    cmocka_unit_test(freeing_twice_and_taking_twice_die_in_debug_builds),
#endif
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int main(void)
{
    struct CMUnitTest tests[COUNT(size_cases) + COUNT(place_cases) + COUNT(single_tests)];
    size_t count = 0;

    for (size_t i = 0; i < COUNT(size_cases); i++) {
        struct size_case *size_case = &size_cases[i];
        (void)snprintf(size_case->name, sizeof(size_case->name),
                       "runs_of_%u_are_freed_and_found_again", size_case->page_count);
        tests[count++] = (struct CMUnitTest){size_case->name, free_two_runs, NULL, NULL, size_case};
    }
    for (size_t i = 0; i < COUNT(place_cases); i++) {
        tests[count++] = (struct CMUnitTest){place_cases[i].name, free_and_take_again, NULL, NULL,
                                             &place_cases[i]};
    }
    for (size_t i = 0; i < COUNT(single_tests); i++) {
        tests[count++] = single_tests[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
