/*
 * What the scavenger may take from a chunk: groups the kernel can take back, the highest candidate,
 * huge pages kept whole. By named cases for every group size, and for random chunks against a
 * search page by page.
 */
#include <string.h>

#include <base/base.h>
#include <page/bits.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"
#include "unit/page/tree_fixture.h"

#define C          PAGE_CHUNK_PAGES
#define HUGE_PAGES 256u /* 2 MiB */

/* ---- groups --------------------------------------------------------------------------------- */

static uint64_t slow_fill_groups(uint64_t word, uint32_t group)
{
    uint64_t filled = 0;

    for (uint32_t i = 0; i < 64; i += group) {
        uint64_t mask = bits_mask_u64(i, group);
        filled |= word & mask ? mask : 0;
    }
    return filled;
}

static void check_fill_groups(uint64_t word)
{
    for (uint32_t group = 1; group <= 64; group *= 2) {
        uint64_t filled = page_bits_fill_groups(word, group);
        assert_true(filled == slow_fill_groups(word, group));
        assert_true(page_bits_fill_groups(filled, group) == filled);
    }
}

static void groups_fill_at_the_corners_of_every_size(void **state)
{
    (void)state;
    check_fill_groups(0);
    check_fill_groups(UINT64_MAX);
    check_fill_groups(UINT64_C(0x5555555555555555));
    check_fill_groups(UINT64_C(0xaaaaaaaaaaaaaaaa));
    check_fill_groups(UINT64_C(0x8000000100010001));
    for (uint32_t i = 0; i < 64; i++) {
        check_fill_groups(UINT64_C(1) << i);
        check_fill_groups(~(UINT64_C(1) << i));
        check_fill_groups(UINT64_MAX << i);
    }
}

static void groups_fill_in_random_words_as_one_by_one(void **state)
{
    (void)state;
    uint64_t random = 17;

    for (uint32_t round = 0; round < 5000; round++) {
        uint64_t dense = random_u64(&random);
        check_fill_groups(dense);
        check_fill_groups(dense & random_u64(&random) & random_u64(&random));
        check_fill_groups(dense | random_u64(&random) | random_u64(&random));
    }
}

static void a_group_of_one_page_changes_nothing(void **state)
{
    (void)state;
    uint64_t random = 19;

    for (uint32_t round = 0; round < 1000; round++) {
        uint64_t word = random_u64(&random);
        assert_true(page_bits_fill_groups(word, 1) == word);
    }
}

/* ---- candidates ----------------------------------------------------------------------------- */

struct chunk_bits {
    struct page_bits in_use;
    struct page_bits scavenged;
};

struct wish {
    uint32_t from, min_count, max_count, huge_count;
    bool is_dense_kept;
};

static void chunk_set(struct page_bits *bits, uint32_t first, uint32_t count)
{
    page_bits_set(bits, first, count);
}

static void expect(const struct chunk_bits *chunk, struct wish wish, uint32_t first, uint32_t count)
{
    struct page_bits_candidate found =
        page_bits_find_candidate(&chunk->in_use, &chunk->scavenged, wish.from, wish.min_count,
                                 wish.max_count, wish.huge_count, wish.is_dense_kept);

    assert_int_equal(found.count, count);
    if (count > 0) {
        assert_int_equal(found.first, first);
    }
}

/* From the top of the chunk, no huge pages. */
static struct wish plain(uint32_t min_count, uint32_t max_count)
{
    return (struct wish){C - 1, min_count, max_count, 0, false};
}

static struct chunk_bits all_free(void)
{
    return (struct chunk_bits){.in_use = {{0}}};
}

static struct chunk_bits all_in_use(void)
{
    struct chunk_bits chunk = all_free();
    page_bits_set_all(&chunk.in_use);
    return chunk;
}

static struct chunk_bits only_free(uint32_t first, uint32_t count)
{
    struct chunk_bits chunk = all_in_use();
    page_bits_clear(&chunk.in_use, first, count);
    return chunk;
}

#define FOR_EACH_MIN(min) for (uint32_t min = 1; min <= 64; min *= 2)

static void a_free_chunk_is_taken_from_its_top(void **state)
{
    (void)state;
    struct chunk_bits chunk = all_free();

    FOR_EACH_MIN(min)
    {
        expect(&chunk, plain(min, min), C - min, min);
        expect(&chunk, plain(min, 2 * min), C - 2 * min, 2 * min);
        expect(&chunk, plain(min, C), 0, C);
        expect(&chunk, plain(min, UINT32_C(1) << 20), 0, C);
    }
}

static void a_scavenged_chunk_has_no_candidate(void **state)
{
    (void)state;
    struct chunk_bits chunk = all_free();

    page_bits_set_all(&chunk.scavenged);
    FOR_EACH_MIN(min)
    {
        expect(&chunk, plain(min, C), 0, 0);
    }
}

static void a_chunk_in_use_has_no_candidate(void **state)
{
    (void)state;
    struct chunk_bits chunk = all_in_use();

    FOR_EACH_MIN(min)
    {
        expect(&chunk, plain(min, C), 0, 0);
    }
}

static void a_chunk_half_in_use_and_half_scavenged_has_no_candidate(void **state)
{
    (void)state;
    struct chunk_bits chunk = all_free();

    for (uint32_t i = 0; i < C; i++) {
        chunk_set(i % 2 == 0 ? &chunk.in_use : &chunk.scavenged, i, 1);
    }
    expect(&chunk, plain(1, C), 0, 0);
}

static void a_candidate_at_the_start_is_found(void **state)
{
    (void)state;
    FOR_EACH_MIN(min)
    {
        struct chunk_bits chunk = only_free(0, min);
        expect(&chunk, plain(min, C), 0, min);
    }
}

static void a_candidate_at_the_end_is_found(void **state)
{
    (void)state;
    FOR_EACH_MIN(min)
    {
        struct chunk_bits chunk = only_free(C - min, min);
        expect(&chunk, plain(min, C), C - min, min);
    }
}

static void a_candidate_over_a_word_edge_is_found_whole(void **state)
{
    (void)state;
    for (uint32_t min = 1; min < 64; min *= 2) {
        struct chunk_bits chunk = only_free(128 - min, 2 * min);
        expect(&chunk, plain(min, C), 128 - min, 2 * min);
        expect(&chunk, plain(min, min), 128, min);
    }
}

static void a_candidate_reaches_the_bottom_over_many_words(void **state)
{
    (void)state;
    FOR_EACH_MIN(min)
    {
        struct chunk_bits chunk = only_free(0, 320);
        expect(&chunk, plain(min, C), 0, 320);
        expect(&chunk, plain(min, 192), 128, 192);
    }
}

static void a_pocket_between_pages_in_use_is_found(void **state)
{
    (void)state;
    FOR_EACH_MIN(min)
    {
        struct chunk_bits chunk = only_free(192, min);
        page_bits_clear(&chunk.in_use, 64, 64);
        expect(&chunk, plain(min, C), 192, min);
    }
}

static void a_pocket_between_scavenged_pages_is_found(void **state)
{
    (void)state;
    FOR_EACH_MIN(min)
    {
        struct chunk_bits chunk = all_free();
        page_bits_set_all(&chunk.scavenged);
        page_bits_clear(&chunk.scavenged, 320, min);
        expect(&chunk, plain(min, C), 320, min);
    }
}

static void a_greatest_count_of_none_takes_one_group(void **state)
{
    (void)state;
    struct chunk_bits chunk = all_free();

    FOR_EACH_MIN(min)
    {
        expect(&chunk, plain(min, 0), C - min, min);
    }
}

static void an_unaligned_greatest_count_is_rounded_up_to_groups(void **state)
{
    (void)state;
    struct chunk_bits chunk = all_free();

    FOR_EACH_MIN(min)
    {
        expect(&chunk, plain(min, min + 1), C - (min == 1 ? 2 : 2 * min), min == 1 ? 2 : 2 * min);
        expect(&chunk, plain(min, 1), C - min, min);
    }
}

static void runs_shorter_than_a_group_are_passed_over(void **state)
{
    (void)state;
    for (uint32_t min = 2; min <= 64; min *= 2) {
        struct chunk_bits chunk = only_free(64, min);
        page_bits_clear(&chunk.in_use, 448, min - 1);
        page_bits_clear(&chunk.in_use, 256, min / 2);
        expect(&chunk, plain(min, C), 64, min);
    }
}

static void runs_that_hold_no_aligned_group_are_passed_over(void **state)
{
    (void)state;
    for (uint32_t min = 2; min <= 64; min *= 2) {
        /* Twice a group less two pages, one page past a boundary: no aligned group inside. */
        struct chunk_bits chunk = only_free(320 + 1, 2 * min - 2);
        page_bits_clear(&chunk.in_use, 128, min);
        expect(&chunk, plain(min, C), 128, min);
    }
}

static void ragged_ends_of_a_run_are_left(void **state)
{
    (void)state;
    for (uint32_t min = 2; min <= 32; min *= 2) {
        struct chunk_bits chunk = only_free(128 - 1, 2 * min + 2);
        expect(&chunk, plain(min, C), 128, 2 * min);
    }
}

static void pages_above_the_start_of_the_search_are_not_taken(void **state)
{
    (void)state;
    struct chunk_bits chunk = all_free();

    expect(&chunk, (struct wish){300, 1, 10, 0, false}, 291, 10);
    expect(&chunk, (struct wish){63, 1, 10, 0, false}, 54, 10);
    expect(&chunk, (struct wish){64, 1, 10, 0, false}, 55, 10);
    expect(&chunk, (struct wish){0, 1, 10, 0, false}, 0, 1);
    /* The group of the start is searched whole. */
    expect(&chunk, (struct wish){300, 8, 8, 0, false}, 296, 8);
    chunk = only_free(400, 20);
    expect(&chunk, (struct wish){399, 1, C, 0, false}, 0, 0);
    expect(&chunk, (struct wish){400, 1, C, 0, false}, 400, 1);
}

/* ---- huge pages ----------------------------------------------------------------------------- */

static struct wish huge(uint32_t min_count, uint32_t max_count)
{
    return (struct wish){C - 1, min_count, max_count, HUGE_PAGES, false};
}

static void a_free_huge_page_at_the_bottom_is_taken_whole(void **state)
{
    (void)state;
    FOR_EACH_MIN(min)
    {
        struct chunk_bits chunk = only_free(0, HUGE_PAGES);
        expect(&chunk, huge(min, min), 0, HUGE_PAGES);
        expect(&chunk, huge(min, HUGE_PAGES - 1), 0, HUGE_PAGES);
    }
}

static void a_free_huge_page_in_the_middle_is_taken_whole(void **state)
{
    (void)state;
    /* Huge pages of 128 pages: the second of four, and room on its sides. */
    FOR_EACH_MIN(min)
    {
        struct chunk_bits chunk = only_free(64, 256);
        struct wish wish = {C - 1, min, 64, 128, false};
        expect(&chunk, wish, 256, 64);
        wish.max_count = 65;
        expect(&chunk, wish, 128, 192);
        wish.max_count = 192;
        expect(&chunk, wish, 128, 192);
    }
}

static void a_free_huge_page_at_the_top_is_taken_whole(void **state)
{
    (void)state;
    FOR_EACH_MIN(min)
    {
        struct chunk_bits chunk = only_free(HUGE_PAGES, HUGE_PAGES);
        expect(&chunk, huge(min, 1), HUGE_PAGES, HUGE_PAGES);
        chunk = all_free();
        expect(&chunk, huge(min, 1), HUGE_PAGES, HUGE_PAGES);
        expect(&chunk, huge(min, HUGE_PAGES + 1), 0, C);
    }
}

static void a_huge_page_that_is_partly_used_is_not_extended_to(void **state)
{
    (void)state;
    struct chunk_bits chunk = only_free(HUGE_PAGES + 64, HUGE_PAGES - 64);

    FOR_EACH_MIN(min)
    {
        expect(&chunk, huge(min, 64), C - 64, 64);
    }
    chunk = only_free(HUGE_PAGES, HUGE_PAGES - 64);
    expect(&chunk, huge(1, 64), C - 128, 64);
}

static void a_huge_page_as_large_as_the_chunk_is_taken_whole(void **state)
{
    (void)state;
    struct chunk_bits chunk = all_free();
    struct wish wish = {C - 1, 1, 1, C, false};

    expect(&chunk, wish, 0, C);
    chunk_set(&chunk.scavenged, 0, 1);
    expect(&chunk, wish, C - 1, 1);
}

/* 496 of 512 pages of a chunk, 248 of 256 of a huge page. */
static void a_dense_huge_page_is_left_whole_in_the_background_only(void **state)
{
    (void)state;
    const struct wish background = {C - 1, 1, C, HUGE_PAGES, true};
    const struct wish forced = {C - 1, 1, C, HUGE_PAGES, false};
    struct chunk_bits chunk = only_free(C - 8, 8);

    expect(&chunk, background, 0, 0);
    expect(&chunk, forced, C - 8, 8);
    page_bits_clear(&chunk.in_use, C - 9, 1);
    expect(&chunk, background, C - 9, 9);
}

static void the_background_takes_beside_a_dense_huge_page(void **state)
{
    (void)state;
    const struct wish background = {C - 1, 1, C, HUGE_PAGES, true};
    struct chunk_bits chunk = only_free(C - 8, 8);

    page_bits_clear(&chunk.in_use, HUGE_PAGES - 20, 20);
    expect(&chunk, background, HUGE_PAGES - 20, 20);
    /* A run that reaches into the dense one from below ends at its edge. */
    page_bits_clear(&chunk.in_use, HUGE_PAGES, 4);
    page_bits_set(&chunk.in_use, C - 8, 4);
    expect(&chunk, background, HUGE_PAGES - 20, 20);
}

static void scavenged_pages_do_not_make_a_huge_page_dense(void **state)
{
    (void)state;
    const struct wish background = {C - 1, 1, C, HUGE_PAGES, true};
    struct chunk_bits chunk = only_free(HUGE_PAGES, HUGE_PAGES);

    chunk_set(&chunk.scavenged, HUGE_PAGES, HUGE_PAGES - 3);
    expect(&chunk, background, C - 3, 3);
}

/* ---- against a search page by page ---------------------------------------------------------- */

static bool slow_is_dense(const struct chunk_bits *chunk, uint32_t page, uint32_t huge_count)
{
    uint32_t in_use = 0, first = page - page % huge_count;

    for (uint32_t i = first; i < first + huge_count; i++) {
        in_use += page_bits_get(&chunk->in_use, i);
    }
    return in_use * 32 >= huge_count * 31;
}

static bool slow_can_take(const struct chunk_bits *chunk, uint32_t page, struct wish wish)
{
    uint32_t first = page - page % wish.min_count;

    if (page > (wish.from | (wish.min_count - 1))) {
        return false;
    }
    for (uint32_t i = first; i < first + wish.min_count; i++) {
        if (page_bits_get(&chunk->in_use, i) || page_bits_get(&chunk->scavenged, i)) {
            return false;
        }
    }
    return !(wish.is_dense_kept && wish.huge_count >= 64 &&
             slow_is_dense(chunk, page, wish.huge_count));
}

static void check_candidate(const struct chunk_bits *chunk, struct wish wish)
{
    uint32_t end = C, bottom, first;

    while (end > 0 && !slow_can_take(chunk, end - 1, wish)) {
        end--;
    }
    if (end == 0) {
        expect(chunk, wish, 0, 0);
        return;
    }
    for (bottom = end; bottom > 0 && slow_can_take(chunk, bottom - 1, wish); bottom--) {
    }
    /* One group, and then as many as the greatest count asks for. */
    first = end - wish.min_count;
    while (first > bottom && end - first < wish.max_count) {
        first -= wish.min_count;
    }
    if (wish.huge_count > 0) {
        uint32_t huge_first = first - first % wish.huge_count;
        bool is_inside = huge_first >= bottom && huge_first + wish.huge_count <= end;
        first = is_inside ? huge_first : first;
    }
    expect(chunk, wish, first, end - first);
}

static void random_chunks_are_searched_as_page_by_page(void **state)
{
    (void)state;
    const uint32_t huge_counts[] = {0, 64, 128, 256, 512};
    uint64_t random = 23;

    for (uint32_t round = 0; round < 20000; round++) {
        struct chunk_bits chunk = all_free();
        uint32_t mean = 1u << random_u64(&random) % 9;
        uint32_t weight = (uint32_t)(random_u64(&random) % 40); /* of pages in use */
        for (uint32_t i = 0; i < C;) {
            uint32_t length = 1 + (uint32_t)(random_u64(&random) % mean);
            uint32_t kind = (uint32_t)(random_u64(&random) % (2 + weight));
            length = length < C - i ? length : C - i;
            if (kind > 0) {
                chunk_set(kind == 1 ? &chunk.scavenged : &chunk.in_use, i, length);
            }
            i += length;
        }
        struct wish wish = {
            .from = random_u64(&random) % 4 == 0 ? (uint32_t)(random_u64(&random) % C) : C - 1,
            .min_count = 1u << random_u64(&random) % 7,
            .max_count = (uint32_t)(random_u64(&random) % (C + 2)),
            .huge_count = huge_counts[random_u64(&random) % 5],
            .is_dense_kept = random_u64(&random) & 1,
        };
        check_candidate(&chunk, wish);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_fill_at_the_corners_of_every_size),
        cmocka_unit_test(groups_fill_in_random_words_as_one_by_one),
        cmocka_unit_test(a_group_of_one_page_changes_nothing),
        cmocka_unit_test(a_free_chunk_is_taken_from_its_top),
        cmocka_unit_test(a_scavenged_chunk_has_no_candidate),
        cmocka_unit_test(a_chunk_in_use_has_no_candidate),
        cmocka_unit_test(a_chunk_half_in_use_and_half_scavenged_has_no_candidate),
        cmocka_unit_test(a_candidate_at_the_start_is_found),
        cmocka_unit_test(a_candidate_at_the_end_is_found),
        cmocka_unit_test(a_candidate_over_a_word_edge_is_found_whole),
        cmocka_unit_test(a_candidate_reaches_the_bottom_over_many_words),
        cmocka_unit_test(a_pocket_between_pages_in_use_is_found),
        cmocka_unit_test(a_pocket_between_scavenged_pages_is_found),
        cmocka_unit_test(a_greatest_count_of_none_takes_one_group),
        cmocka_unit_test(an_unaligned_greatest_count_is_rounded_up_to_groups),
        cmocka_unit_test(runs_shorter_than_a_group_are_passed_over),
        cmocka_unit_test(runs_that_hold_no_aligned_group_are_passed_over),
        cmocka_unit_test(ragged_ends_of_a_run_are_left),
        cmocka_unit_test(pages_above_the_start_of_the_search_are_not_taken),
        cmocka_unit_test(a_free_huge_page_at_the_bottom_is_taken_whole),
        cmocka_unit_test(a_free_huge_page_in_the_middle_is_taken_whole),
        cmocka_unit_test(a_free_huge_page_at_the_top_is_taken_whole),
        cmocka_unit_test(a_huge_page_that_is_partly_used_is_not_extended_to),
        cmocka_unit_test(a_huge_page_as_large_as_the_chunk_is_taken_whole),
        cmocka_unit_test(a_dense_huge_page_is_left_whole_in_the_background_only),
        cmocka_unit_test(the_background_takes_beside_a_dense_huge_page),
        cmocka_unit_test(scavenged_pages_do_not_make_a_huge_page_dense),
        cmocka_unit_test(random_chunks_are_searched_as_page_by_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
