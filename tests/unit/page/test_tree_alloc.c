/*
 * Allocation of runs: each case brings chunks into a state, then asks for runs in an order, and
 * says for each which page it must begin at and how many of its pages had no backing.
 */
#include <stdio.h>

#include <base/base.h>
#include <page/tree.h>

#include "unit/base/cmocka_all.h"
#include "unit/page/tree_fixture.h"

/* The summary of chunk BASE is the last of its OS page of leaves. */
#define BASE             UINT32_C(0x1ff)
#define FAR              (UINT32_C(1) << 20)
#define C                PAGE_CHUNK_PAGES
#define AT(chunk, index) (((uint64_t)(BASE + (chunk)) << PAGE_CHUNK_SHIFT) + (index))
#define FAILS            PAGE_NONE

struct chunk_state {
    uint32_t chunk; /* from BASE */
    struct fixture_run in_use[4];
    struct fixture_run scavenged[4];
};

struct step {
    uint64_t page_count; /* 0 ends the list */
    uint64_t page;
    uint64_t scavenged;
};

struct alloc_case {
    const char *name;
    uint32_t chunk_count;
    struct chunk_state chunk[8];
    struct step step[10];
};

#define ALL                                                                                        \
    {                                                                                              \
        {                                                                                          \
            0, C                                                                                   \
        }                                                                                          \
    }
#define NONE                                                                                       \
    {                                                                                              \
        {                                                                                          \
            0, 0                                                                                   \
        }                                                                                          \
    }

static struct alloc_case alloc_cases[] = {
    {"one_page_at_a_time_from_an_empty_chunk",
     1,
     {{0, NONE, {{0, 1}, {2, 2}}}},
     {{1, AT(0, 0), 1}, {1, AT(0, 1), 0}, {1, AT(0, 2), 1}, {1, AT(0, 3), 1}, {1, AT(0, 4), 0}}},
    {"two_pages_at_a_time_from_an_empty_chunk",
     1,
     {{0, NONE, {{0, 3}, {7, 1}}}},
     {{2, AT(0, 0), 2}, {2, AT(0, 2), 1}, {2, AT(0, 4), 0}, {2, AT(0, 6), 1}, {2, AT(0, 8), 0}}},
    {"five_pages_at_a_time_from_an_empty_chunk",
     1,
     {{0, NONE, {{0, 8}, {9, 1}, {17, 5}}}},
     {{5, AT(0, 0), 5}, {5, AT(0, 5), 4}, {5, AT(0, 10), 0}, {5, AT(0, 15), 3}, {5, AT(0, 20), 2}}},
    {"sixty_four_pages_at_a_time_from_an_empty_chunk",
     1,
     {{0, NONE, {{21, 1}, {63, 65}}}},
     {{64, AT(0, 0), 2}, {64, AT(0, 64), 64}, {64, AT(0, 128), 0}}},
    {"sixty_five_pages_at_a_time_from_an_empty_chunk",
     1,
     {{0, NONE, {{129, 1}, {194, 2}}}},
     {{65, AT(0, 0), 0}, {65, AT(0, 65), 1}, {65, AT(0, 130), 1}, {65, AT(0, 195), 1}}},
    {"the_last_page_of_the_third_chunk_is_found",
     3,
     {{0, ALL, NONE}, {1, ALL, NONE}, {2, {{0, C - 1}}, {{C - 1, 1}}}},
     {{1, AT(2, C - 1), 1}, {1, FAILS, 0}}},
    {"a_chunk_255_further_is_found",
     2,
     {{0, ALL, NONE}, {0xff, NONE, {{0, 3}, {10, 1}}}},
     {{1, AT(0xff, 0), 1}, {10, AT(0xff, 1), 3}, {1, AT(0xff, 11), 0}}},
    {"two_pages_straddle_a_chunk_edge",
     2,
     {{0, {{0, C - 1}}, {{C - 1, 1}}}, {1, {{1, C - 1}}, NONE}},
     {{2, AT(0, C - 1), 1}, {1, FAILS, 0}}},
    {"five_pages_straddle_a_chunk_edge",
     2,
     {{0, {{0, C - 4}}, NONE}, {1, {{1, C - 1}}, {{0, 1}}}},
     {{5, AT(0, C - 4), 1}, {1, FAILS, 0}}},
    {"all_but_three_pages_then_what_is_left",
     1,
     {{0, NONE, ALL}},
     {{C - 3, AT(0, 0), C - 3},
      {C - 3, FAILS, 0},
      {1, AT(0, C - 3), 1},
      {2, AT(0, C - 2), 2},
      {1, FAILS, 0},
      {C - 3, FAILS, 0}}},
    {"a_whole_chunk", 1, {{0, NONE, {{0, C}}}}, {{C, AT(0, 0), C}, {C, FAILS, 0}, {1, FAILS, 0}}},
    {"a_chunk_of_pages_from_the_middle_of_a_chunk",
     2,
     {{0, {{0, C / 2}}, NONE}, {1, {{C / 2, C / 2}}, {{0, C / 2}}}},
     {{C, AT(0, C / 2), C / 2}, {C, FAILS, 0}, {1, FAILS, 0}}},
    {"a_chunk_and_a_page",
     2,
     {{0, NONE, ALL}, {1, NONE, ALL}},
     {{C + 1, AT(0, 0), C + 1},
      {C, FAILS, 0},
      {C - 1, AT(1, 1), C - 1},
      {C + 1, FAILS, 0},
      {1, FAILS, 0}}},
    {"two_chunks",
     2,
     {{0, NONE, {{0, 1}, {C - 1, 1}}}, {1, NONE, {{1, 6}}}},
     {{2 * C, AT(0, 0), 8}, {2 * C, FAILS, 0}, {1, FAILS, 0}}},
    {"two_chunks_pass_over_a_hole_and_smaller_runs_fill_it_later",
     3,
     {{0, NONE, {{0, 7}}}, {0x40, NONE, {{3, 5}}}, {0x41, NONE, {{0, 1}}}},
     {{2 * C, AT(0x40, 0), 6},
      {2 * C, FAILS, 0},
      {21, AT(0, 0), 7},
      {1, AT(0, 21), 0},
      {C - 22, AT(0, 22), 0},
      {1, FAILS, 0}}},
    {"two_chunks_of_pages_over_three_chunks",
     3,
     {{0, {{0, C / 2}}, {{C / 2, 1}}}, {1, NONE, {{7, 11}}}, {2, {{C / 2, C / 2}}, {{3, 5}}}},
     {{2 * C, AT(0, C / 2), 17}, {2 * C, FAILS, 0}, {1, FAILS, 0}}},
    {"five_quarters_of_a_chunk_at_a_time",
     3,
     {{0, NONE, NONE}, {1, NONE, NONE}, {2, NONE, ALL}},
     {{5 * C / 4, AT(0, 0), 0},
      {5 * C / 4, AT(1, C / 4), C / 2},
      {5 * C / 4, FAILS, 0},
      {C / 2, AT(2, C / 2), C / 2},
      {1, FAILS, 0}}},
    {"seven_chunks_and_five_pages",
     8,
     {{0, NONE, {{50, 1}}},
      {1, NONE, {{31, 1}}},
      {2, NONE, {{7, 1}}},
      {3, NONE, {{200, 1}}},
      {4, NONE, {{3, 1}}},
      {5, NONE, {{51, 1}}},
      {6, NONE, {{20, 2}}},
      {7, NONE, {{0, 6}}}},
     {{7 * C + 5, AT(0, 0), 13}, {7 * C + 5, FAILS, 0}, {C - 5, AT(7, 5), 1}, {1, FAILS, 0}}},
    {"a_chunk_at_the_edge_of_a_page_of_summaries_and_one_far_above",
     2,
     {{0, NONE, {{0, 1}}}, {FAR, NONE, {{C - 1, 1}}}},
     {{C - 1, AT(0, 0), 1},
      {1, AT(0, C - 1), 0},
      {C - 1, AT(FAR, 0), 0},
      {1, AT(FAR, C - 1), 1},
      {C - 1, FAILS, 0},
      {1, FAILS, 0}}},
    {"the_search_address_stays_in_grown_ranges_when_far_runs_are_taken_first",
     3,
     {{0, {{0, C - 1}}, {{C - 1, 1}}},
      {FAR + 0x503, {{0, C - 10}, {C - 1, 1}}, {{C - 10, 1}}},
      {2 * FAR, NONE, {{0, 100}}}},
     {{1, AT(0, C - 1), 1}, {100, AT(2 * FAR, 0), 100}, {9, AT(FAR + 0x503, C - 10), 1}}},
    {"a_failed_search_for_many_pages_keeps_the_single_ones",
     2,
     {{0, {{1, C - 2}}, NONE}, {5, {{0, 100}, {101, C - 101}}, {{100, 1}}}},
     {{2, FAILS, 0},
      {1, AT(0, 0), 0},
      {2, FAILS, 0},
      {1, AT(0, C - 1), 0},
      {1, AT(5, 100), 1},
      {1, FAILS, 0}}},
    {"a_run_over_the_edge_of_a_family_of_eight_is_found",
     2,
     {{0, {{0, C - 200}}, NONE}, {1, {{100, C - 100}}, {{99, 1}}}},
     {{300, AT(0, C - 200), 1}, {1, FAILS, 0}}},
};

static void arrange_chunks(struct tree_fixture *fixture, const struct alloc_case *alloc_case)
{
    tree_fixture_open(fixture, PAGE_CHUNKS_MAX);
    for (uint32_t i = 0; i < alloc_case->chunk_count; i++) {
        const struct chunk_state *chunk = &alloc_case->chunk[i];
        tree_fixture_arrange(fixture, BASE + chunk->chunk, chunk->in_use, chunk->scavenged);
    }
}

static void run_steps(void **state)
{
    const struct alloc_case *alloc_case = *state;
    struct tree_fixture fixture;

    arrange_chunks(&fixture, alloc_case);
    for (const struct step *step = alloc_case->step; step->page_count > 0; step++) {
        uint64_t scavenged = 0;
        uint64_t page = tree_fixture_alloc(&fixture, step->page_count, &scavenged);
        assert_int_equal(page, step->page);
        assert_int_equal(scavenged, step->scavenged);
        tree_fixture_check(&fixture);
    }
    tree_fixture_close(&fixture);
}

/* ---- exhaustion ----------------------------------------------------------------------------- */

struct exhaust_case {
    uint32_t page_count;
    char name[64];
};

static struct exhaust_case exhaust_cases[] = {
    {1, ""},  {2, ""},  {3, ""},    {4, ""},    {5, ""},    {8, ""},
    {16, ""}, {64, ""}, {1024, ""}, {1025, ""}, {2048, ""}, {2049, ""},
};

/* Four chunks give as many runs as fit, lowest first, and then none. */
static void exhaust_four_chunks(void **state)
{
    const struct exhaust_case *exhaust_case = *state;
    const uint64_t page_count = exhaust_case->page_count;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 4);
    uint64_t run_count = 4 * C / page_count;
    for (uint64_t i = 0; i < run_count; i++) {
        assert_int_equal(tree_fixture_alloc(&fixture, page_count, NULL), AT(0, i * page_count));
    }
    tree_fixture_check(&fixture);
    for (uint32_t again = 0; again < 2; again++) {
        assert_int_equal(tree_fixture_alloc(&fixture, page_count, NULL), FAILS);
    }
    assert_int_equal(fixture.tree.free_pages, 4 * C - run_count * page_count);
    /* What is left is one run at the top. */
    if (4 * C % page_count != 0) {
        uint64_t rest = 4 * C % page_count;
        assert_int_equal(tree_fixture_alloc(&fixture, rest, NULL), AT(0, 4 * C - rest));
    }
    assert_int_equal(tree_fixture_alloc(&fixture, 1, NULL), FAILS);
    assert_int_equal(fixture.tree.search_page, PAGE_NONE);
    tree_fixture_close(&fixture);
}

/* ---- alignment ------------------------------------------------------------------------------ */

struct align_case {
    const char *name;
    struct chunk_state chunk[2]; /* chunks 0x200 and 0x201: the first is aligned to 2^18 pages */
    uint64_t page_count;
    uint64_t align_pages;
    uint64_t page; /* from the first chunk */
};

#define ALIGNED_BASE UINT32_C(0x200)

static struct align_case align_cases[] = {
    {"an_aligned_first_fit_is_taken", {{0, NONE, NONE}, {1, NONE, NONE}}, 3, 64, 0},
    {"an_alignment_of_one_page_is_first_fit", {{0, {{0, 7}}, NONE}, {1, ALL, NONE}}, 3, 1, 7},
    {"a_wider_run_holds_the_aligned_one", {{0, {{0, 7}}, NONE}, {1, ALL, NONE}}, 8, 8, 8},
    {"an_aligned_run_may_begin_in_the_next_chunk", {{0, {{0, 1}}, NONE}, {1, NONE, NONE}}, C, C, C},
    {"a_run_too_short_to_be_wide_may_still_hold_an_aligned_one",
     {{0, {{0, 5}, {6, 2}, {24, C - 24}}, NONE}, {1, ALL, NONE}},
     16,
     8,
     8},
    {"only_an_exact_aligned_run_is_left",
     {{0, {{0, 1}, {3, 61}, {128, C - 128}}, NONE}, {1, ALL, NONE}},
     64,
     64,
     64},
    {"a_run_that_is_long_enough_but_nowhere_aligned_fails",
     {{0, {{0, 1}, {8, C - 8}}, NONE}, {1, ALL, NONE}},
     4,
     8,
     FAILS},
    {"no_run_long_enough_fails", {{0, {{0, 8}, {16, C - 16}}, NONE}, {1, ALL, NONE}}, 9, 8, FAILS},
};

static void find_aligned(void **state)
{
    const struct align_case *align_case = *state;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    for (uint32_t i = 0; i < 2; i++) {
        const struct chunk_state *chunk = &align_case->chunk[i];
        tree_fixture_arrange(&fixture, ALIGNED_BASE + chunk->chunk, chunk->in_use,
                             chunk->scavenged);
    }
    struct page_found found =
        page_tree_find_aligned(&fixture.tree, align_case->page_count, align_case->align_pages);
    if (align_case->page == FAILS) {
        assert_int_equal(found.page, PAGE_NONE);
    } else {
        assert_int_equal(found.page, fixture_page(ALIGNED_BASE, align_case->page));
        page_tree_take(
            &fixture.tree, found, align_case->page_count,
            page_tree_count_scavenged(&fixture.tree, found.page, align_case->page_count));
    }
    tree_fixture_close(&fixture);
}

/* Far ranges on both sides of a hole: looking at every run must step over it. */
static void aligned_runs_are_found_beyond_a_hole(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run first[] = {{0, 1}, {6, C - 6}, {0, 0}};
    const struct fixture_run second[] = {{0, 8}, {13, C - 13}, {0, 0}};
    const struct fixture_run none[] = {{0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, 0x200, first, none);
    tree_fixture_arrange(&fixture, 0x200 + FAR, second, none);
    assert_int_equal(page_tree_find_aligned(&fixture.tree, 5, 16).page, PAGE_NONE);
    struct page_found found = page_tree_find_aligned(&fixture.tree, 4, 4);
    assert_int_equal(found.page, fixture_page(0x200 + FAR, 8));
    page_tree_take(&fixture.tree, found, 4,
                   page_tree_count_scavenged(&fixture.tree, found.page, 4));
    tree_fixture_close(&fixture);
}

static void stretches_name_the_free_and_the_backed_pages_in_order(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run low_used[] = {{10, 20}, {0, 0}};
    const struct fixture_run low_scavenged[] = {{40, 60}, {0, 0}};
    const struct fixture_run high_used[] = {{5, C - 5}, {0, 0}};
    const struct fixture_run none[] = {{0, 0}};
    const struct page_stretch free_pages[] = {
        {AT(0, 0), 10}, {AT(0, 30), C - 30 + 5}, {AT(9, 0), 5}};
    const struct page_stretch backed[] = {
        {AT(0, 0), 10}, {AT(0, 30), 10}, {AT(0, 100), C - 100 + 5}, {AT(9, 0), 5}};
    struct page_stretch stretch = {0, 0};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    assert_false(page_tree_next_free(&fixture.tree, 0, &stretch));
    tree_fixture_arrange(&fixture, BASE, low_used, low_scavenged);
    tree_fixture_arrange(&fixture, BASE + 1, high_used, none);
    tree_fixture_arrange(&fixture, BASE + 9, high_used, none);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(
            page_tree_next_free(&fixture.tree, stretch.page + stretch.page_count, &stretch));
        assert_memory_equal(&stretch, &free_pages[i], sizeof(stretch));
    }
    assert_false(page_tree_next_free(&fixture.tree, stretch.page + stretch.page_count, &stretch));
    stretch = (struct page_stretch){0, 0};
    for (uint32_t i = 0; i < 4; i++) {
        assert_true(
            page_tree_next_backed(&fixture.tree, stretch.page + stretch.page_count, &stretch));
        assert_memory_equal(&stretch, &backed[i], sizeof(stretch));
    }
    assert_false(page_tree_next_backed(&fixture.tree, PAGE_NONE, &stretch));
    tree_fixture_close(&fixture);
}

static const struct CMUnitTest single_tests[] = {
    cmocka_unit_test(aligned_runs_are_found_beyond_a_hole),
    cmocka_unit_test(stretches_name_the_free_and_the_backed_pages_in_order),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int main(void)
{
    struct CMUnitTest
        tests[COUNT(alloc_cases) + COUNT(exhaust_cases) + COUNT(align_cases) + COUNT(single_tests)];
    size_t count = 0;

    for (size_t i = 0; i < COUNT(alloc_cases); i++) {
        tests[count++] =
            (struct CMUnitTest){alloc_cases[i].name, run_steps, NULL, NULL, &alloc_cases[i]};
    }
    for (size_t i = 0; i < COUNT(exhaust_cases); i++) {
        struct exhaust_case *exhaust_case = &exhaust_cases[i];
        (void)snprintf(exhaust_case->name, sizeof(exhaust_case->name),
                       "runs_of_%u_exhaust_four_chunks", exhaust_case->page_count);
        tests[count++] =
            (struct CMUnitTest){exhaust_case->name, exhaust_four_chunks, NULL, NULL, exhaust_case};
    }
    for (size_t i = 0; i < COUNT(align_cases); i++) {
        tests[count++] =
            (struct CMUnitTest){align_cases[i].name, find_aligned, NULL, NULL, &align_cases[i]};
    }
    for (size_t i = 0; i < COUNT(single_tests); i++) {
        tests[count++] = single_tests[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
