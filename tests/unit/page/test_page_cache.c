/*
 * The block of a page cache: which pages it is filled with, which it hands out, and what goes back.
 *
 * A lane is filled to the last page, its first block in single pages; then a pattern of that block
 * is freed straight to the tree, so that the next refill finds exactly the pattern.
 */
#include "unit/page/simulated_heap.h"

#include <string.h>

#include "unit/base/random.h"

#define LANE_PAGES  (Q_GIB(1) / PAGE_BYTES)
#define CHUNK_PAGES ((uint64_t)PAGE_CHUNK_PAGES)
#define NO_PAGE     UINT32_MAX

static struct page_lane *lane;
static uint32_t owner;

static int set_up(void **state)
{
    (void)heap_set_up(state);
    lane = lane_make("patterned");
    owner = owner_make("test");
    /* The thread and its cache take metadata, which is not to be counted later. */
    page_free(lane, take_pages(lane, owner, 1));
    (void)page_heap_trim(heap);
    return 0;
}

/* Every page in use: block 0 in single pages, what is above in one run. */
static void fill_lane(void)
{
    for (uint64_t page = 0; page < PAGE_BLOCK_PAGES; page++) {
        assert_ptr_equal(take_from_tree(lane, owner, 1), page_lane_address(lane, page));
    }
    (void)take_from_tree(lane, owner, LANE_PAGES - PAGE_BLOCK_PAGES);
}

static void free_pattern(uint64_t pattern)
{
    for (; pattern != 0; pattern &= pattern - 1) {
        page_lane_free(lane, page_lane_address(lane, bits_trailing_zeros_u64(pattern)));
    }
}

/* Frees `pattern` of block 0; the pages of `scavenged`, a part of it, have lost their backing. */
static void make_pattern(uint64_t pattern, uint64_t scavenged)
{
    assert_int_equal(scavenged & ~pattern, 0);
    fill_lane();
    free_pattern(scavenged);
    assert_int_equal(page_heap_trim(heap), (uint64_t)bits_count_u64(scavenged) << PAGE_SHIFT);
    free_pattern(pattern & ~scavenged);
}

static uint32_t naive_find(uint64_t free, uint32_t page_count)
{
    for (uint32_t first = 0; first + page_count <= 64; first++) {
        uint64_t mask = bits_mask_u64(first, page_count);
        if ((free & mask) == mask) {
            return first;
        }
    }
    return NO_PAGE;
}

/* Allocates, and checks page, knowledge of zero and the ledger's sum against the masks. */
static void check_step(uint64_t *free, uint64_t *scavenged, uint32_t page_count)
{
    uint32_t expected = naive_find(*free, page_count);
    struct page_run run = page_alloc(lane, owner, page_count);

    if (expected == NO_PAGE) {
        assert_null(run.base);
        assert_int_equal(run.status, QUARRY_NO_ADDRESS);
    } else {
        uint64_t mask = bits_mask_u64(expected, page_count);
        assert_ptr_equal(run.base, page_lane_address(lane, expected));
        assert_int_equal(run.is_zero, (*scavenged & mask) == mask);
        *free &= ~mask;
        *scavenged &= ~mask;
    }
    heap_check();
}

static void check_steps(uint64_t free, uint64_t scavenged, const uint32_t *page_counts,
                        size_t step_count)
{
    make_pattern(free, scavenged);
    for (size_t i = 0; i < step_count; i++) {
        check_step(&free, &scavenged, page_counts[i]);
    }
}

#define CHECK_STEPS(free, scavenged, ...)                                                          \
    check_steps(free, scavenged, (const uint32_t[]){__VA_ARGS__},                                  \
                sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* ---- taking from the block ------------------------------------------------------------------ */

static void an_empty_cache_has_no_run_of_any_of_14_sizes(void **state)
{
    (void)state;
    CHECK_STEPS(0, 0, 1, 2, 3, 4, 5, 8, 11, 12, 13, 14, 15, 16, 32, 64);
}

static void the_lowest_page_alone_is_found_once(void **state)
{
    (void)state;
    CHECK_STEPS(1, 0, 2, 1, 1, 5, 10);
}

static void the_lowest_page_alone_and_scavenged_is_known_to_be_zero(void **state)
{
    (void)state;
    CHECK_STEPS(1, 1, 4, 1, 1, 5, 10);
}

static void the_highest_page_alone_is_found_once(void **state)
{
    (void)state;
    CHECK_STEPS((uint64_t)1 << 63, 0, 5, 1, 1, 2);
}

static void the_highest_page_alone_and_scavenged_is_known_to_be_zero(void **state)
{
    (void)state;
    CHECK_STEPS((uint64_t)1 << 63, (uint64_t)1 << 63, 4, 1, 1, 5, 10);
}

static void swiss_cheese_gives_single_pages_lowest_first(void **state)
{
    (void)state;
    CHECK_STEPS(0x20005555, 0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2);
}

static void scavenged_swiss_cheese_gives_zero_pages(void **state)
{
    (void)state;
    CHECK_STEPS(0x20005555, 0x20005505, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1);
}

static void pairs_are_found_and_nothing_longer(void **state)
{
    (void)state;
    CHECK_STEPS((uint64_t)0x3333 << 31, 0, 3, 2, 2, 2, 2, 2, 1);
}

static void scavenged_pairs_are_zero_when_both_pages_are(void **state)
{
    (void)state;
    CHECK_STEPS((uint64_t)0x3333 << 31, (uint64_t)0x3030 << 31, 3, 2, 1, 2, 2, 1, 1);
}

static void pairs_and_single_pages_mix(void **state)
{
    (void)state;
    CHECK_STEPS(0x3333, 0x0013, 1, 2, 2, 1, 1, 2, 1);
}

static void fifty_three_high_pages_come_out_of_the_tree(void **state)
{
    (void)state;
    CHECK_STEPS(UINT64_MAX << 11, 0, 53, 1);
}

static void fifty_three_scavenged_high_pages_are_zero(void **state)
{
    (void)state;
    CHECK_STEPS(UINT64_MAX << 11, UINT64_MAX << 11, 54, 53, 1);
}

static void fifty_three_pages_fit_a_whole_block_with_eleven_left(void **state)
{
    (void)state;
    CHECK_STEPS(UINT64_MAX, 0, 53, 12, 11, 1);
}

static void a_whole_block_is_taken_by_one_run(void **state)
{
    (void)state;
    CHECK_STEPS(UINT64_MAX, 0, 64, 1);
}

static void a_whole_scavenged_block_is_taken_by_one_run(void **state)
{
    (void)state;
    CHECK_STEPS(UINT64_MAX, UINT64_MAX, 64, 1, 64);
}

static void a_long_run_gets_the_pages_that_the_cache_took_for_a_short_one(void **state)
{
    (void)state;
    CHECK_STEPS(UINT64_MAX, 0, 3, 53, 8, 1);
}

static void mixed_sizes_in_21_steps(void **state)
{
    (void)state;
    CHECK_STEPS(0xe1fdff3f87bfdfff, 0xe100003f00bf000f, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3,
                2, 1, 3, 2, 1, 1, 2, 1);
}

/* ---- giving the block back ------------------------------------------------------------------ */

static void check_flushed(uint64_t free, uint64_t scavenged)
{
    uint64_t committed_bytes = heap_committed();
    uint64_t cached_unbacked = bits_count_u64(own_cache(lane)->block.scavenged);
    const struct page_chunk *chunk = &lane->tree.chunk[0];

    page_caches_flush_all(heap);
    assert_int_equal(~chunk->in_use.word[0], free);
    assert_int_equal(chunk->scavenged.word[0], scavenged);
    assert_int_equal(heap_committed(), committed_bytes - (cached_unbacked << PAGE_SHIFT));
    assert_int_equal(own_cache(lane)->block.free, 0);
    assert_int_equal(heap_totals().cached_bytes, 0);
    heap_check();
}

static void flushing_an_empty_cache_changes_nothing(void **state)
{
    (void)state;
    make_pattern(1, 0);
    page_lane_free(lane, take_pages(lane, owner, 1));
    check_flushed(1, 0);
    check_flushed(1, 0);
}

static void flushing_a_full_block_restores_every_bit(void **state)
{
    (void)state;
    make_pattern(UINT64_MAX, UINT64_MAX);
    struct page_run run = page_alloc(lane, owner, 1);
    assert_true(run.is_zero);
    assert_int_equal(own_cache(lane)->block.free, UINT64_MAX << 1);
    assert_int_equal(own_cache(lane)->block.scavenged, UINT64_MAX << 1);
    check_flushed(UINT64_MAX << 1, UINT64_MAX << 1);
}

static void flushing_100_random_blocks_restores_every_bit(void **state)
{
    (void)state;
    uint64_t seed = 7;

    fill_lane();
    for (int i = 0; i < 100; i++) {
        uint64_t free = random_u64(&seed);
        free &= random_u64(&seed); /* a quarter of the bits */
        uint64_t scavenged = free & random_u64(&seed);
        if (free == 0) {
            continue;
        }
        free_pattern(scavenged);
        (void)page_heap_trim(heap);
        free_pattern(free & ~scavenged);
        (void)take_pages(lane, owner, 1);
        uint64_t lowest = free & -free;
        check_flushed(free & ~lowest, scavenged & ~lowest);
        for (uint64_t rest = free & ~lowest; rest != 0; rest &= rest - 1) {
            assert_ptr_equal(take_from_tree(lane, owner, 1),
                             page_lane_address(lane, bits_trailing_zeros_u64(rest)));
        }
    }
}

/* ---- filling the block ---------------------------------------------------------------------- */

static void check_refilled(uint64_t first_page, uint64_t free, uint64_t scavenged)
{
    const struct page_cache *cache = own_cache(lane);

    assert_int_equal(cache->block.first_page, first_page);
    assert_int_equal(cache->block.free, free);
    assert_int_equal(cache->block.scavenged, scavenged);
    heap_check();
}

static void four_refills_of_a_free_lane_take_four_blocks_in_a_row(void **state)
{
    (void)state;
    uint64_t refill_count = lane->counters.refill_count;
    for (uint64_t block = 0; block < 4; block++) {
        for (uint64_t i = 0; i < PAGE_BLOCK_PAGES; i++) {
            uint64_t page = block * PAGE_BLOCK_PAGES + i;
            assert_ptr_equal(take_pages(lane, owner, 1), page_lane_address(lane, page));
        }
        check_refilled(block * PAGE_BLOCK_PAGES, 0, 0);
    }
    assert_int_equal(lane->counters.refill_count - refill_count, 4);
}

static void the_last_block_of_the_third_chunk_is_found(void **state)
{
    (void)state;
    (void)take_from_tree(lane, owner, 3 * CHUNK_PAGES - PAGE_BLOCK_PAGES);
    uint64_t first_page = 3 * CHUNK_PAGES - PAGE_BLOCK_PAGES;
    assert_ptr_equal(take_pages(lane, owner, 1), page_lane_address(lane, first_page));
    check_refilled(first_page, UINT64_MAX << 1, UINT64_MAX << 1);
    /* The search address stays at the block's last page: the one after it is not grown. */
    assert_int_equal(lane->tree.search_page, 3 * CHUNK_PAGES - 1);
}

static void a_far_chunk_with_a_few_scavenged_pages_is_found(void **state)
{
    (void)state;
    uint64_t far_page = LANE_PAGES - PAGE_BLOCK_PAGES;

    (void)take_from_tree(lane, owner, far_page);
    (void)take_from_tree(lane, owner, 31);
    char *middle = take_from_tree(lane, owner, 2);
    (void)take_from_tree(lane, owner, 10);
    char *top = take_from_tree(lane, owner, 21);
    page_lane_free(lane, middle);
    assert_int_equal(page_heap_trim(heap), 2 * PAGE_BYTES);
    page_lane_free(lane, top);
    assert_ptr_equal(take_pages(lane, owner, 1), middle);
    check_refilled(far_page, ((uint64_t)1 << 32) | UINT64_MAX << 43, (uint64_t)1 << 32);
}

static void a_sparse_single_page_comes_before_32_pages_of_the_next_block(void **state)
{
    (void)state;
    (void)take_from_tree(lane, owner, 32);
    char *single = take_from_tree(lane, owner, 1);
    (void)take_from_tree(lane, owner, 31);
    char *low = take_from_tree(lane, owner, 2), *pair = take_from_tree(lane, owner, 2);
    char *high = take_from_tree(lane, owner, 28);
    (void)take_from_tree(lane, owner, LANE_PAGES - 96);
    page_lane_free(lane, single);
    page_lane_free(lane, pair);
    (void)page_heap_trim(heap);
    page_lane_free(lane, low);
    page_lane_free(lane, high);

    assert_ptr_equal(take_pages(lane, owner, 1), single);
    check_refilled(0, 0, 0);
    assert_ptr_equal(take_pages(lane, owner, 1), low);
    check_refilled(64, 0xfffffffe, 0xc);
}

static void three_refills_of_a_full_lane_fail(void **state)
{
    (void)state;
    fill_lane();
    for (int i = 0; i < 3; i++) {
        struct page_run run = page_alloc(lane, owner, 1);
        assert_null(run.base);
        assert_int_equal(run.status, QUARRY_NO_ADDRESS);
        assert_int_equal(lane->tree.search_page, PAGE_NONE);
        check_refilled(PAGE_NONE, 0, 0);
    }
}

static void pages_without_backing_are_charged_by_the_refill(void **state)
{
    (void)state;
    make_pattern(0xff00ff, 0x0f000f);
    uint64_t committed_bytes = heap_committed();
    (void)take_pages(lane, owner, 1);
    check_refilled(0, 0xff00fe, 0x0f000e);
    assert_int_equal(heap_committed() - committed_bytes, 8 * PAGE_BYTES);
    for (int i = 0; i < 15; i++) {
        (void)take_pages(lane, owner, 1);
    }
    assert_int_equal(heap_committed() - committed_bytes, 8 * PAGE_BYTES);
}

static void a_refill_without_budget_takes_backed_pages_and_leaves_the_others_scavenged(void **state)
{
    (void)state;
    make_pattern(0xff00ff, 0x0f000f);
    assert_int_equal(page_heap_set_limit(heap, heap_committed() + 4 * PAGE_BYTES), QUARRY_OK);
    uint64_t committed_bytes = heap_committed();
    assert_ptr_equal(take_pages(lane, owner, 1), page_lane_address(lane, 4));
    check_refilled(0, 0xf000e0, 0);
    assert_int_equal(lane->tree.chunk[0].scavenged.word[0], 0x0f000f);
    assert_int_equal(heap_committed(), committed_bytes);
    /* Nothing of the block was skipped for good: the search address still finds page 0. */
    assert_int_equal(lane->tree.search_page, 0);
    for (int i = 0; i < 7; i++) {
        (void)take_pages(lane, owner, 1);
    }
    assert_ptr_equal(take_pages(lane, owner, 1), page_lane_address(lane, 0));
}

#define in_a_heap(test) cmocka_unit_test_setup_teardown(test, set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_heap(an_empty_cache_has_no_run_of_any_of_14_sizes),
        in_a_heap(the_lowest_page_alone_is_found_once),
        in_a_heap(the_lowest_page_alone_and_scavenged_is_known_to_be_zero),
        in_a_heap(the_highest_page_alone_is_found_once),
        in_a_heap(the_highest_page_alone_and_scavenged_is_known_to_be_zero),
        in_a_heap(swiss_cheese_gives_single_pages_lowest_first),
        in_a_heap(scavenged_swiss_cheese_gives_zero_pages),
        in_a_heap(pairs_are_found_and_nothing_longer),
        in_a_heap(scavenged_pairs_are_zero_when_both_pages_are),
        in_a_heap(pairs_and_single_pages_mix),
        in_a_heap(fifty_three_high_pages_come_out_of_the_tree),
        in_a_heap(fifty_three_scavenged_high_pages_are_zero),
        in_a_heap(fifty_three_pages_fit_a_whole_block_with_eleven_left),
        in_a_heap(a_whole_block_is_taken_by_one_run),
        in_a_heap(a_whole_scavenged_block_is_taken_by_one_run),
        in_a_heap(a_long_run_gets_the_pages_that_the_cache_took_for_a_short_one),
        in_a_heap(mixed_sizes_in_21_steps),
        in_a_heap(flushing_an_empty_cache_changes_nothing),
        in_a_heap(flushing_a_full_block_restores_every_bit),
        in_a_heap(flushing_100_random_blocks_restores_every_bit),
        in_a_heap(four_refills_of_a_free_lane_take_four_blocks_in_a_row),
        in_a_heap(the_last_block_of_the_third_chunk_is_found),
        in_a_heap(a_far_chunk_with_a_few_scavenged_pages_is_found),
        in_a_heap(a_sparse_single_page_comes_before_32_pages_of_the_next_block),
        in_a_heap(three_refills_of_a_full_lane_fail),
        in_a_heap(pages_without_backing_are_charged_by_the_refill),
        in_a_heap(a_refill_without_budget_takes_backed_pages_and_leaves_the_others_scavenged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
