/*
 * Bitmaps of a chunk: setting, counting, summarising and finding, at the corners and for random
 * bitmaps, against loops over single bits.
 */
#include <string.h>

#include <base/base.h>
#include <page/bits.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"
#include "unit/page/tree_fixture.h"

#define C PAGE_CHUNK_PAGES

static struct page_bits bits_of(const struct fixture_run *runs)
{
    struct page_bits bits;

    page_bits_clear_all(&bits);
    for (; runs->count > 0; runs++) {
        page_bits_set(&bits, runs->first, runs->count);
    }
    return bits;
}

/* A bitmap of runs of random lengths, now and then of single random bits. */
static struct page_bits random_bits(uint64_t *random)
{
    struct page_bits bits;
    uint32_t mean = 1u << random_u64(random) % 9;
    bool is_set = random_u64(random) & 1;

    page_bits_clear_all(&bits);
    for (uint32_t i = 0; i < C;) {
        uint32_t length = 1 + (uint32_t)(random_u64(random) % mean);
        length = length < C - i ? length : C - i;
        if (is_set) {
            page_bits_set(&bits, i, length);
        }
        is_set = !is_set;
        i += length;
    }
    return bits;
}

/* ---- ranges of bits ------------------------------------------------------------------------- */

struct range_case {
    const char *name;
    struct fixture_run run;
};

static struct range_case range_cases[] = {
    {"the_lowest_bit_is_set_and_cleared", {0, 1}},
    {"the_highest_bit_is_set_and_cleared", {C - 1, 1}},
    {"bits_inside_are_set_and_cleared", {129, 5}},
    {"aligned_words_are_set_and_cleared", {128, 128}},
    {"bits_from_the_beginning_are_set_and_cleared", {0, 321}},
    {"bits_to_the_end_are_set_and_cleared", {C - 193, 193}},
    {"all_bits_are_set_and_cleared", {0, C}},
    {"a_range_of_no_bits_changes_nothing", {64, 0}},
    {"a_range_of_no_bits_at_the_end_changes_nothing", {C, 0}},
};

static void set_and_clear(void **state)
{
    const struct fixture_run run = ((const struct range_case *)*state)->run;
    struct page_bits bits;

    page_bits_clear_all(&bits);
    page_bits_set(&bits, run.first, run.count);
    for (uint32_t i = 0; i < C; i++) {
        assert_int_equal(page_bits_get(&bits, i), i >= run.first && i < run.first + run.count);
    }
    assert_int_equal(page_bits_count(&bits, 0, C), run.count);
    assert_int_equal(page_bits_count(&bits, run.first, run.count), run.count);
    assert_int_equal(page_bits_is_clear(&bits, run.first, run.count), run.count == 0);
    assert_true(page_bits_is_clear(&bits, 0, run.first));
    assert_true(page_bits_is_clear(&bits, run.first + run.count, C - run.first - run.count));
    page_bits_set_all(&bits);
    page_bits_clear(&bits, run.first, run.count);
    for (uint32_t i = 0; i < C; i++) {
        assert_int_equal(page_bits_get(&bits, i), i < run.first || i >= run.first + run.count);
    }
    assert_int_equal(page_bits_count(&bits, 0, C), C - run.count);
}

/* ---- counting ------------------------------------------------------------------------------- */

struct count_case {
    const char *name;
    struct fixture_run set[6];
    struct fixture_run counted;
    uint32_t count;
};

static struct count_case count_cases[] = {
    {"nothing_set_counts_none", {{0, 0}}, {0, C}, 0},
    {"all_set_counts_all", {{0, C}}, {0, C}, C},
    {"half_set_counts_half", {{0, C / 2}}, {0, C}, C / 2},
    {"all_set_counts_up_to_an_odd_bound", {{0, C}}, {0, 111}, 111},
    {"half_set_counts_up_to_an_odd_bound_in_the_middle", {{C / 2, C / 2}}, {C / 2 - 7, 111}, 104},
    {"scattered_runs_are_counted_in_part",
     {{1, 3}, {63, 2}, {100, 28}, {300, 1}, {511, 1}},
     {2, 400},
     2 + 2 + 28 + 1},
};

static void count_set_bits(void **state)
{
    const struct count_case *count_case = *state;
    struct page_bits bits = bits_of(count_case->set);
    struct fixture_run counted = count_case->counted;

    assert_int_equal(page_bits_count(&bits, counted.first, counted.count), count_case->count);
    assert_int_equal(page_bits_is_clear(&bits, counted.first, counted.count),
                     count_case->count == 0);
}

static void random_ranges_are_counted_as_bit_by_bit(void **state)
{
    (void)state;
    uint64_t random = 11;

    for (uint32_t round = 0; round < 5000; round++) {
        struct page_bits bits = random_bits(&random);
        uint32_t first = (uint32_t)(random_u64(&random) % (C + 1));
        uint32_t count = (uint32_t)(random_u64(&random) % (C - first + 1));
        uint32_t expected = 0;
        for (uint32_t i = first; i < first + count; i++) {
            expected += page_bits_get(&bits, i);
        }
        assert_int_equal(page_bits_count(&bits, first, count), expected);
        assert_int_equal(page_bits_is_clear(&bits, first, count), expected == 0);
    }
}

/* ---- summaries ------------------------------------------------------------------------------ */

struct summary_case {
    const char *name;
    struct fixture_run clear[6]; /* all else is set */
    uint32_t start, max, end;
};

static struct summary_case summary_cases[] = {
    {"no_clear_bit_sums_up_to_nothing", {{0, 0}}, 0, 0, 0},
    {"ten_clear_bits_at_the_start", {{0, 10}}, 10, 10, 0},
    {"forty_clear_bits_at_the_end", {{C - 40, 40}}, 0, 40, 40},
    {"eleven_at_the_start_and_23_at_the_end", {{0, 11}, {C - 23, 23}}, 11, 23, 23},
    {"four_at_the_ends_and_a_hundred_inside", {{0, 4}, {50, 100}, {C - 4, 4}}, 4, 100, 4},
    {"only_241_inside", {{57, 241}}, 0, 241, 0},
    {"the_longest_of_many_inside", {{0, 1}, {3, 16}, {64, 25}, {102, 2}, {C - 5, 5}}, 1, 25, 5},
    {"62_bits_inside_one_word", {{65, 62}, {0, 2}}, 2, 62, 0},
    {"62_bits_inside_a_word_and_61_at_the_start", {{0, 61}, {65, 62}}, 61, 62, 0},
    {"61_bits_inside_the_last_word", {{C - 62, 61}}, 0, 61, 0},
    {"one_clear_bit_inside_a_word", {{77, 1}}, 0, 1, 0},
    {"64_bits_over_a_word_edge", {{33, 64}}, 0, 64, 0},
    {"all_bits_clear", {{0, C}}, C, C, C},
    {"all_bits_but_the_first", {{1, C - 1}}, 0, C - 1, C - 1},
    {"all_bits_but_the_last", {{0, C - 1}}, C - 1, C - 1, 0},
};

static void summarize(void **state)
{
    const struct summary_case *summary_case = *state;
    struct page_bits bits;

    page_bits_set_all(&bits);
    for (const struct fixture_run *run = summary_case->clear; run->count > 0; run++) {
        page_bits_clear(&bits, run->first, run->count);
    }
    uint64_t summary = page_bits_summarize(&bits);
    assert_int_equal(page_summary_start(summary), summary_case->start);
    assert_int_equal(page_summary_max(summary), summary_case->max);
    assert_int_equal(page_summary_end(summary), summary_case->end);
}

static void random_bitmaps_sum_up_as_bit_by_bit(void **state)
{
    (void)state;
    uint64_t random = 5;

    for (uint32_t round = 0; round < 20000; round++) {
        struct page_bits bits = random_bits(&random);
        uint32_t start = 0, max = 0, run = 0;
        bool is_start = true;
        for (uint32_t i = 0; i < C; i++) {
            bool is_set = page_bits_get(&bits, i);
            is_start = is_start && !is_set;
            start += is_start;
            run = is_set ? 0 : run + 1;
            max = run > max ? run : max;
        }
        assert_true(page_bits_summarize(&bits) == page_summary_pack(start, max, run));
    }
}

/* Runs are set where all is clear and cleared where all is set, as a tree takes and frees them. */
static void summaries_follow_each_run_that_is_set_or_cleared(void **state)
{
    (void)state;
    uint64_t random = 43;

    for (uint32_t round = 0; round < 2000; round++) {
        struct page_bits bits = random_bits(&random);
        uint64_t summary = page_bits_summarize(&bits);
        for (uint32_t step = 0; step < 20; step++) {
            uint32_t first = (uint32_t)(random_u64(&random) % C);
            uint32_t most = 1 + (uint32_t)(random_u64(&random) % 200), count = 1;
            bool is_set = page_bits_get(&bits, first);
            while (count < most && first + count < C &&
                   page_bits_get(&bits, first + count) == is_set) {
                count++;
            }
            if (is_set) {
                page_bits_clear(&bits, first, count);
                summary = page_bits_summary_after_clear(&bits, summary, first, count);
            } else {
                page_bits_set(&bits, first, count);
                summary = page_bits_summary_after_set(&bits, summary, first, count);
            }
            assert_true(summary == page_bits_summarize(&bits));
        }
    }
}

/* ---- finding -------------------------------------------------------------------------------- */

struct find_case {
    const char *name;
    struct fixture_run set[4];
    uint32_t count;
    uint32_t found;
};

static struct find_case find_cases[] = {
    {"one_page_in_an_empty_chunk", {{0, 0}}, 1, 0},
    {"two_pages_in_an_empty_chunk", {{0, 0}}, 2, 0},
    {"five_pages_in_an_empty_chunk", {{0, 0}}, 5, 0},
    {"64_pages_in_an_empty_chunk", {{0, 0}}, 64, 0},
    {"65_pages_in_an_empty_chunk", {{0, 0}}, 65, 0},
    {"a_whole_chunk_in_an_empty_chunk", {{0, 0}}, C, 0},
    {"one_page_in_a_full_chunk_is_not_found", {{0, C}}, 1, PAGE_BITS_NONE},
    {"65_pages_in_a_full_chunk_are_not_found", {{0, C}}, 65, PAGE_BITS_NONE},
    {"one_page_fits_exactly", {{0, C / 2 - 3}, {C / 2 - 2, C / 2 + 2}}, 1, C / 2 - 3},
    {"two_pages_fit_exactly", {{0, C / 2 - 3}, {C / 2 - 1, C / 2 + 1}}, 2, C / 2 - 3},
    {"five_pages_fit_exactly", {{0, C / 2 - 3}, {C / 2 + 2, C / 2 - 2}}, 5, C / 2 - 3},
    {"65_pages_fit_exactly", {{0, C / 2 - 31}, {C / 2 + 34, C / 2 - 34}}, 65, C / 2 - 31},
    {"161_pages_after_a_blocker_of_one_page", {{0, 185}, {331, 1}}, 161, 332},
    {"the_last_page", {{0, C - 1}}, 1, C - 1},
    {"all_but_one_page_do_not_fit_around_a_blocker", {{1, 1}}, C - 1, PAGE_BITS_NONE},
    {"63_pages_inside_a_word", {{0, 65}, {128, C - 128}}, 63, 65},
};

static void find_a_run(void **state)
{
    const struct find_case *find_case = *state;
    struct page_bits bits = bits_of(find_case->set);
    uint32_t first_clear;

    assert_int_equal(page_bits_find(&bits, find_case->count, 0, &first_clear), find_case->found);
    uint32_t expected = 0;
    while (expected < C && page_bits_get(&bits, expected)) {
        expected++;
    }
    assert_int_equal(first_clear, expected < C ? expected : PAGE_BITS_NONE);
}

static uint32_t slow_find(const struct page_bits *bits, uint32_t count)
{
    uint32_t run = 0;

    for (uint32_t i = 0; i < C; i++) {
        run = page_bits_get(bits, i) ? 0 : run + 1;
        if (run == count) {
            return i + 1 - count;
        }
    }
    return PAGE_BITS_NONE;
}

static void random_bitmaps_are_searched_as_bit_by_bit(void **state)
{
    (void)state;
    uint64_t random = 9;

    for (uint32_t round = 0; round < 20000; round++) {
        struct page_bits bits = random_bits(&random);
        uint32_t count = 1 + (uint32_t)(random_width_u64(&random) % C);
        uint32_t first = slow_find(&bits, 1), first_clear;
        uint32_t expected = slow_find(&bits, count);
        assert_int_equal(page_bits_find(&bits, count, 0, &first_clear), expected);
        assert_int_equal(first_clear, first);
        /* From any place at or below the first clear bit. */
        uint32_t from = (uint32_t)(random_u64(&random) % (first < C ? first + 1 : C));
        assert_int_equal(page_bits_find(&bits, count, from, &first_clear), expected);
        assert_int_equal(first_clear, first);
    }
}

/* ---- finding in a word ---------------------------------------------------------------------- */

static void a_full_word_holds_runs_of_every_length_and_an_empty_one_none(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 64; count++) {
        assert_int_equal(page_bits_find_in_word(UINT64_MAX, count), 0);
        assert_int_equal(page_bits_find_in_word(0, count), 64);
    }
}

struct word_case {
    const char *name;
    uint64_t word;
    uint32_t count;
    uint32_t found;
};

static struct word_case word_cases[] = {
    {"the_highest_bit_of_a_word", UINT64_C(0x8000000000000000), 1, 63},
    {"two_bits_of_a_word_before_longer_runs", UINT64_C(0xc000010001030000), 2, 16},
    {"three_bits_of_a_word_before_others", UINT64_C(0xe000030001070000), 3, 16},
    {"sixteen_bits_low_in_a_word", UINT64_C(0xffff03ff0107ffff), 16, 0},
    {"sixteen_bits_that_a_word_does_not_have", UINT64_C(0x0fff03ff01079fff), 16, 64},
    {"two_bits_at_the_top_of_a_word", UINT64_C(0xc000000000000000), 2, 62},
    {"63_bits_at_the_top_of_a_word", UINT64_MAX << 1, 63, 1},
    {"64_bits_that_a_word_lacks_by_one", UINT64_MAX << 1, 64, 64},
};

static void find_in_word(void **state)
{
    const struct word_case *word_case = *state;

    assert_int_equal(page_bits_find_in_word(word_case->word, word_case->count), word_case->found);
}

static void random_words_are_searched_as_bit_by_bit(void **state)
{
    (void)state;
    uint64_t random = 13;

    for (uint32_t round = 0; round < 2000; round++) {
        uint64_t word = random_bits(&random).word[3];
        for (uint32_t count = 1; count <= 64; count++) {
            uint32_t expected = 64;
            for (uint32_t i = 0; i + count <= 64 && expected == 64; i++) {
                uint64_t run = bits_mask_u64(i, count);
                expected = (word & run) == run ? i : 64;
            }
            assert_int_equal(page_bits_find_in_word(word, count), expected);
        }
    }
}

/* ---- running -------------------------------------------------------------------------------- */

static const struct CMUnitTest single_tests[] = {
    cmocka_unit_test(random_ranges_are_counted_as_bit_by_bit),
    cmocka_unit_test(random_bitmaps_sum_up_as_bit_by_bit),
    cmocka_unit_test(summaries_follow_each_run_that_is_set_or_cleared),
    cmocka_unit_test(random_bitmaps_are_searched_as_bit_by_bit),
    cmocka_unit_test(a_full_word_holds_runs_of_every_length_and_an_empty_one_none),
    cmocka_unit_test(random_words_are_searched_as_bit_by_bit),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ADD_CASES(cases, body)                                                                     \
    for (size_t i = 0; i < COUNT(cases); i++) {                                                    \
        tests[count++] = (struct CMUnitTest){(cases)[i].name, body, NULL, NULL, &(cases)[i]};      \
    }

int main(void)
{
    struct CMUnitTest tests[COUNT(range_cases) + COUNT(count_cases) + COUNT(summary_cases) +
                            COUNT(find_cases) + COUNT(word_cases) + COUNT(single_tests)];
    size_t count = 0;

    ADD_CASES(range_cases, set_and_clear);
    ADD_CASES(count_cases, count_set_bits);
    ADD_CASES(summary_cases, summarize);
    ADD_CASES(find_cases, find_a_run);
    ADD_CASES(word_cases, find_in_word);
    memcpy(tests + count, single_tests, sizeof(single_tests));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
