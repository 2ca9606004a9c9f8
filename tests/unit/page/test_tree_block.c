/*
 * Blocks for page caches: the aligned 64 pages around the lowest free page, taken whole or in part
 * and given back.
 */
#include <base/base.h>
#include <page/tree.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"
#include "unit/page/tree_fixture.h"

#define BASE             UINT32_C(0x1ff)
#define FAR              (UINT32_C(1) << 20)
#define C                PAGE_CHUNK_PAGES
#define AT(chunk, index) (((uint64_t)(BASE + (chunk)) << PAGE_CHUNK_SHIFT) + (index))

static const struct fixture_run none[] = {{0, 0}};
static const struct fixture_run all[] = {{0, C}, {0, 0}};

static struct page_block expect_block(struct tree_fixture *fixture, uint64_t first_page,
                                      uint64_t free_pages, uint64_t scavenged)
{
    struct page_block block = page_tree_peek_block(&fixture->tree);

    assert_int_equal(block.first_page, first_page);
    assert_true(block.free == free_pages);
    assert_true(block.scavenged == scavenged);
    return block;
}

/* Takes the whole block that must come next, and checks where the search address goes. */
static struct page_block take_block(struct tree_fixture *fixture, uint64_t first_page,
                                    uint64_t free_pages, uint64_t scavenged)
{
    struct page_block block = expect_block(fixture, first_page, free_pages, scavenged);

    page_tree_take_block(&fixture->tree, block, block.free);
    assert_int_equal(fixture->tree.search_page, first_page + PAGE_BLOCK_PAGES - 1);
    tree_fixture_check(fixture);
    return block;
}

static void expect_no_block(struct tree_fixture *fixture)
{
    assert_int_equal(page_tree_peek_block(&fixture->tree).first_page, PAGE_NONE);
}

static void four_blocks_of_a_free_chunk_follow_each_other(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run scavenged[] = {{1, 1}, {64, 64}, {191, 1}, {0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, BASE, none, scavenged);
    take_block(&fixture, AT(0, 0), UINT64_MAX, 2);
    take_block(&fixture, AT(0, 64), UINT64_MAX, UINT64_MAX);
    take_block(&fixture, AT(0, 128), UINT64_MAX, UINT64_C(1) << 63);
    take_block(&fixture, AT(0, 192), UINT64_MAX, 0);
    assert_int_equal(fixture.tree.free_pages, C - 256);
    assert_int_equal(fixture.tree.scavenged_pages, 0);
    tree_fixture_close(&fixture);
}

static void the_last_block_of_the_third_chunk_is_found(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run in_use[] = {{0, C - 64}, {0, 0}};
    const struct fixture_run scavenged[] = {{C - 64, 64}, {0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, BASE, all, none);
    tree_fixture_arrange(&fixture, BASE + 1, all, none);
    tree_fixture_arrange(&fixture, BASE + 2, in_use, scavenged);
    take_block(&fixture, AT(2, C - 64), UINT64_MAX, UINT64_MAX);
    expect_no_block(&fixture);
    tree_fixture_close(&fixture);
}

static void a_block_of_a_far_chunk_keeps_what_was_scavenged(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run in_use[] = {{10, 20}, {0, 0}};
    const struct fixture_run scavenged[] = {{0, 4}, {40, 30}, {0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, BASE, all, none);
    tree_fixture_arrange(&fixture, BASE + FAR, in_use, scavenged);
    take_block(&fixture, AT(FAR, 0), ~bits_mask_u64(10, 20),
               bits_mask_u64(0, 4) | bits_mask_u64(40, 24));
    assert_int_equal(fixture.tree.scavenged_pages, 6);
    tree_fixture_close(&fixture);
}

static void a_single_page_is_a_block_and_then_the_next_32(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run in_use[] = {{0, 33}, {34, 62}, {128, C - 128}, {0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, BASE, in_use, none);
    take_block(&fixture, AT(0, 0), UINT64_C(1) << 33, 0);
    take_block(&fixture, AT(0, 64), bits_mask_u64(32, 32), 0);
    expect_no_block(&fixture);
    tree_fixture_close(&fixture);
}

static void a_full_tree_has_no_block_however_often_asked(void **state)
{
    (void)state;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    expect_no_block(&fixture);
    tree_fixture_arrange(&fixture, BASE, all, none);
    for (uint32_t again = 0; again < 3; again++) {
        expect_no_block(&fixture);
        page_tree_note_exhausted(&fixture.tree, 1);
        assert_int_equal(fixture.tree.search_page, PAGE_NONE);
    }
    tree_fixture_close(&fixture);
}

static void the_last_block_of_all_leaves_the_search_address_grown(void **state)
{
    (void)state;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 1);
    for (uint32_t i = 0; i < C; i += PAGE_BLOCK_PAGES) {
        take_block(&fixture, AT(0, i), UINT64_MAX, UINT64_MAX);
    }
    assert_int_equal(fixture.tree.search_page, AT(0, C - 1));
    expect_no_block(&fixture);
    tree_fixture_close(&fixture);
}

static void a_part_of_a_block_leaves_the_rest_and_its_backing_alone(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run scavenged[] = {{0, 32}, {0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, BASE, none, scavenged);
    struct page_block block = expect_block(&fixture, AT(0, 0), UINT64_MAX, bits_mask_u64(0, 32));
    page_tree_take_block(&fixture.tree, block, bits_mask_u64(24, 16));
    assert_int_equal(fixture.tree.search_page, AT(0, 0));
    assert_int_equal(fixture.tree.scavenged_pages, 24);
    expect_block(&fixture, AT(0, 0), ~bits_mask_u64(24, 16), bits_mask_u64(0, 24));
    tree_fixture_close(&fixture);
}

static void a_block_that_is_full_is_passed_over(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run in_use[] = {{0, 130}, {0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, BASE, in_use, none);
    take_block(&fixture, AT(0, 128), UINT64_MAX << 2, 0);
    tree_fixture_close(&fixture);
}

static void pages_below_a_taken_block_can_be_freed_and_found(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run in_use[] = {{0, 70}, {0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, BASE, in_use, none);
    take_block(&fixture, AT(0, 64), UINT64_MAX << 6, 0);
    page_tree_free(&fixture.tree, AT(0, 5), 1);
    page_tree_free(&fixture.tree, AT(0, 66), 1);
    take_block(&fixture, AT(0, 0), UINT64_C(1) << 5, 0);
    take_block(&fixture, AT(0, 64), UINT64_C(1) << 2, 0);
    tree_fixture_close(&fixture);
}

/* ---- giving back ---------------------------------------------------------------------------- */

static void giving_back_nothing_changes_nothing(void **state)
{
    (void)state;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 1);
    struct page_block block = take_block(&fixture, AT(0, 0), UINT64_MAX, UINT64_MAX);
    block.free = 0;
    page_tree_give_block(&fixture.tree, block);
    assert_int_equal(fixture.tree.free_pages, C - 64);
    assert_int_equal(fixture.tree.scavenged_pages, C - 64);
    assert_int_equal(fixture.tree.search_page, AT(0, 63));
    tree_fixture_close(&fixture);
}

static void a_whole_block_comes_back_as_it_was(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    const struct fixture_run scavenged[] = {{3, 7}, {0, 0}};

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_arrange(&fixture, BASE, none, scavenged);
    struct page_block block = take_block(&fixture, AT(0, 0), UINT64_MAX, bits_mask_u64(3, 7));
    page_tree_give_block(&fixture.tree, block);
    assert_int_equal(fixture.tree.free_pages, C);
    assert_int_equal(fixture.tree.scavenged_pages, 7);
    assert_int_equal(fixture.tree.search_page, AT(0, 0));
    expect_block(&fixture, AT(0, 0), UINT64_MAX, bits_mask_u64(3, 7));
    tree_fixture_close(&fixture);
}

static void pages_used_in_the_meantime_come_back_one_by_one(void **state)
{
    (void)state;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 1);
    struct page_block block = take_block(&fixture, AT(0, 0), UINT64_MAX, UINT64_MAX);
    /* The holder used the pages 8 to 11, which are backed since. */
    block.free &= ~bits_mask_u64(8, 4);
    block.scavenged &= ~bits_mask_u64(8, 4);
    page_tree_give_block(&fixture.tree, block);
    tree_fixture_check(&fixture);
    assert_false(page_tree_is_free(&fixture.tree, AT(0, 8), 1));
    page_tree_free(&fixture.tree, AT(0, 8), 4);
    assert_int_equal(page_tree_count_scavenged(&fixture.tree, AT(0, 0), C), C - 4);
    assert_int_equal(tree_fixture_alloc(&fixture, C, NULL), AT(0, 0));
    tree_fixture_close(&fixture);
}

static void backed_pages_of_a_block_are_offered_to_the_scavenger(void **state)
{
    (void)state;
    struct tree_fixture fixture;
    struct page_tree *tree = &fixture.tree;
    uint32_t chunk, from;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 1);
    struct page_block block = take_block(&fixture, AT(0, 0), UINT64_MAX, UINT64_MAX);
    page_tree_give_block(tree, block);
    assert_false(page_scavenge_index_find(&tree->index, PAGE_SCAVENGE_FORCED, &chunk, &from));
    block = take_block(&fixture, AT(0, 0), UINT64_MAX, UINT64_MAX);
    block.scavenged &= ~(UINT64_C(1) << 40 | 1);
    page_tree_give_block(tree, block);
    assert_true(page_scavenge_index_find(&tree->index, PAGE_SCAVENGE_FORCED, &chunk, &from));
    assert_int_equal(chunk, BASE);
    assert_int_equal(from, 40);
    tree_fixture_close(&fixture);
}

static void random_blocks_come_back_as_their_masks_say(void **state)
{
    (void)state;
    uint64_t random = 29;
    struct tree_fixture fixture;

    tree_fixture_open(&fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&fixture, BASE, 1);
    for (uint32_t round = 0; round < 100; round++) {
        struct page_block block = page_tree_peek_block(&fixture.tree);
        uint64_t before_free = block.free, before_scavenged = block.scavenged;
        page_tree_take_block(&fixture.tree, block, block.free);
        tree_fixture_check(&fixture);
        /* Some pages get backed while they are held, and are freed by hand afterwards. */
        uint64_t used = random_u64(&random) & before_free;
        block.free &= ~used;
        block.scavenged &= ~used;
        page_tree_give_block(&fixture.tree, block);
        tree_fixture_check(&fixture);
        for (uint32_t i = 0; i < 64; i++) {
            if (used >> i & 1) {
                page_tree_free(&fixture.tree, block.first_page + i, 1);
            }
        }
        expect_block(&fixture, block.first_page, before_free, before_scavenged & ~used);
        if (round % 10 == 9) {
            /* Go on with the next block, all scavenged still. */
            block = page_tree_peek_block(&fixture.tree);
            uint64_t kept = bits_mask_u64((uint32_t)(random_u64(&random) % 60), 4) & block.free;
            page_tree_take_block(&fixture.tree, block, block.free);
            page_tree_free(&fixture.tree, block.first_page + bits_trailing_zeros_u64(kept), 1);
            tree_fixture_check(&fixture);
            assert_int_not_equal(tree_fixture_alloc(&fixture, 1, NULL), PAGE_NONE);
        }
        if (fixture.tree.free_pages == 0) {
            page_tree_free_range(&fixture.tree, (struct page_range){BASE, BASE + 1});
        }
    }
    tree_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_blocks_of_a_free_chunk_follow_each_other),
        cmocka_unit_test(the_last_block_of_the_third_chunk_is_found),
        cmocka_unit_test(a_block_of_a_far_chunk_keeps_what_was_scavenged),
        cmocka_unit_test(a_single_page_is_a_block_and_then_the_next_32),
        cmocka_unit_test(a_full_tree_has_no_block_however_often_asked),
        cmocka_unit_test(the_last_block_of_all_leaves_the_search_address_grown),
        cmocka_unit_test(a_part_of_a_block_leaves_the_rest_and_its_backing_alone),
        cmocka_unit_test(a_block_that_is_full_is_passed_over),
        cmocka_unit_test(pages_below_a_taken_block_can_be_freed_and_found),
        cmocka_unit_test(giving_back_nothing_changes_nothing),
        cmocka_unit_test(a_whole_block_comes_back_as_it_was),
        cmocka_unit_test(pages_used_in_the_meantime_come_back_one_by_one),
        cmocka_unit_test(backed_pages_of_a_block_are_offered_to_the_scavenger),
        cmocka_unit_test(random_blocks_come_back_as_their_masks_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
