/*
 * The validator against trees that are wrong on purpose: it must name each kind of damage, and find
 * a sound tree sound again once the damage is undone.
 */
#include <string.h>

#include <base/base.h>
#include <page/tree.h>

#include "unit/base/cmocka_all.h"
#include "unit/page/tree_fixture.h"

#define BASE UINT32_C(0x1ff)
#define C    PAGE_CHUNK_PAGES

static struct tree_fixture fixture;

/* Three chunks, the first in use but for its last pages, and one far away. */
static void open_sound(void)
{
    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 3);
    tree_fixture_grow(&fixture, BASE + 100, 1);
    assert_int_equal(tree_fixture_alloc(&fixture, C - 8, NULL), fixture_page(BASE, 0));
    page_tree_free(&fixture.tree, fixture_page(BASE, C - 16), 8);
    tree_fixture_check(&fixture);
}

static void expect_corrupt(const char *text)
{
    struct quarry_error error = {0};

    assert_int_equal(page_tree_validate(&fixture.tree, &error), QUARRY_CORRUPT);
    assert_int_equal(error.status, QUARRY_CORRUPT);
    if (strstr(error.text, text) == NULL) {
        fail_msg("'%s' does not say '%s'", error.text, text);
    }
    assert_int_equal(page_tree_validate(&fixture.tree, NULL), QUARRY_CORRUPT);
}

/* Changes a word of the tree, expects that to be noticed, and puts it back. */
static void damage(uint64_t *word, uint64_t value, const char *text)
{
    uint64_t before = *word;

    *word = value;
    expect_corrupt(text);
    *word = before;
    tree_fixture_check(&fixture);
}

static void an_empty_tree_is_sound(void **state)
{
    (void)state;
    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_close(&fixture);
}

static void a_wrong_leaf_is_noticed(void **state)
{
    (void)state;
    open_sound();
    damage(&fixture.tree.level[4][BASE], 0, "chunk 511: summary 0");
    damage(&fixture.tree.level[4][BASE + 100], page_summary_pack(1, 2, 1), "chunk 611: summary");
    tree_fixture_close(&fixture);
}

static void a_wrong_summary_of_each_upper_level_is_noticed(void **state)
{
    (void)state;
    /* Below the root it is the parent that no longer agrees. */
    const char *const texts[] = {"level 0 entry 0", "level 0 entry 0", "level 1 entry 0",
                                 "level 2 entry 7"};

    open_sound();
    page_tree_freshen(&fixture.tree);
    for (uint32_t level = 0; level < PAGE_LEVELS - 1; level++) {
        uint32_t entry = BASE >> (page_level_shift(level) - PAGE_CHUNK_SHIFT);
        damage(&fixture.tree.level[level][entry], 0, texts[level]);
    }
    tree_fixture_close(&fixture);
}

static void a_page_in_use_and_scavenged_is_noticed(void **state)
{
    (void)state;
    struct page_tree *tree = &fixture.tree;

    open_sound();
    uint64_t *word = &tree->chunk[BASE].scavenged.word[2];
    damage(word, 1, "1544 scavenged; bitmaps 2048, 1552, 1545");
    tree->scavenged_pages++; /* when that count agrees, another tells */
    *word = 1;
    expect_corrupt("0 pages count as bare; 1 are in use and scavenged");
    *word = 0;
    tree->scavenged_pages--;
    damage(&tree->bare_pages, 3, "3 pages count as bare; 0 are in use and scavenged");
    tree_fixture_close(&fixture);
}

static void a_wrong_density_is_noticed(void **state)
{
    (void)state;
    _Atomic uint64_t *word;

    open_sound();
    word = &fixture.tree.index.chunk[BASE];
    uint64_t before = atomic_load_relaxed_u64(word);
    struct page_density density = page_density_unpack(before);
    density.in_use++;
    atomic_store_relaxed_u64(word, page_density_pack(density));
    expect_corrupt("density counts 497 pages in use, not 496");
    density.in_use--;
    density.flags = 0;
    atomic_store_relaxed_u64(word, page_density_pack(density));
    expect_corrupt("the scavenger is not told");
    atomic_store_relaxed_u64(word, before);
    tree_fixture_close(&fixture);
}

static void wrong_counts_are_noticed(void **state)
{
    (void)state;
    struct page_tree *tree = &fixture.tree;

    open_sound();
    damage(&tree->total_pages, tree->total_pages - C, "counts say 1536 pages");
    damage(&tree->free_pages, 0, "counts say 2048 pages, 0 free");
    damage(&tree->scavenged_pages, 1, "1 scavenged");
    tree_fixture_close(&fixture);
}

static void a_search_address_above_a_free_page_is_noticed(void **state)
{
    (void)state;
    struct page_tree *tree = &fixture.tree;

    open_sound();
    tree->search_page = fixture_page(BASE, C - 16);
    tree_fixture_check(&fixture);
    damage(&tree->search_page, fixture_page(BASE, C - 15), "search begins at page");
    damage(&tree->search_page, PAGE_NONE, "search begins at page");
    tree_fixture_close(&fixture);
}

static void a_search_address_that_was_never_grown_is_noticed(void **state)
{
    (void)state;
    open_sound();
    damage(&fixture.tree.search_page, fixture_page(BASE, 0) - 1, "which is not grown");
    tree_fixture_close(&fixture);
}

static void ranges_that_touch_or_lie_out_of_order_are_noticed(void **state)
{
    (void)state;
    struct page_range *range;

    open_sound();
    range = fixture.tree.ranges.range;
    range[0].end = BASE + 100;
    expect_corrupt("range 1 is [611, 612), out of order or touching");
    range[0].end = BASE;
    expect_corrupt("range 0 is [511, 511)");
    range[0].end = BASE + 3;
    range[1].end = fixture.tree.chunk_max + 1;
    expect_corrupt("range 1 is [611, ");
    range[1].end = BASE + 101;
    tree_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_tree_is_sound),
        cmocka_unit_test(a_wrong_leaf_is_noticed),
        cmocka_unit_test(a_wrong_summary_of_each_upper_level_is_noticed),
        cmocka_unit_test(a_page_in_use_and_scavenged_is_noticed),
        cmocka_unit_test(a_wrong_density_is_noticed),
        cmocka_unit_test(wrong_counts_are_noticed),
        cmocka_unit_test(a_search_address_above_a_free_page_is_noticed),
        cmocka_unit_test(a_search_address_that_was_never_grown_is_noticed),
        cmocka_unit_test(ranges_that_touch_or_lie_out_of_order_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
