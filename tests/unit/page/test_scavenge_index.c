/*
 * Where the scavenger looks next. Fifteen ways of marking pages as freed, each found from the top
 * down by both modes; density and generations; and raises of a cursor that a finder must not undo.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>
#include <page/scavenge_index.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define C      PAGE_CHUNK_PAGES
#define BASE   UINT32_C(3)
#define CHUNKS UINT32_C(64)

struct fixture {
    struct page_scavenge_index index;
    _Atomic uint64_t chunk[BASE + CHUNKS];
};

static void fixture_init(struct fixture *fixture)
{
    memset(fixture->chunk, 0, sizeof(fixture->chunk));
    page_scavenge_index_init(&fixture->index, fixture->chunk);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        page_scavenge_index_grow(&fixture->index, BASE + i);
    }
}

/* Pages [first, end), counted from chunk BASE, are taken and freed. */
static void mark(struct fixture *fixture, uint32_t first, uint32_t end)
{
    while (first < end) {
        uint32_t index = first % C;
        uint32_t count = end - first < C - index ? end - first : C - index;
        page_scavenge_index_alloc(&fixture->index, BASE + first / C, count);
        page_scavenge_index_free(&fixture->index, BASE + first / C, index, count);
        first += count;
    }
}

static void expect(struct fixture *fixture, enum page_scavenge_mode mode, uint32_t chunk,
                   uint32_t from)
{
    uint32_t found_chunk, found_from;

    assert_true(page_scavenge_index_find(&fixture->index, mode, &found_chunk, &found_from));
    assert_int_equal(found_chunk, BASE + chunk);
    assert_int_equal(found_from, from);
}

static void expect_nothing(struct fixture *fixture, enum page_scavenge_mode mode)
{
    uint32_t chunk, from;

    assert_false(page_scavenge_index_find(&fixture->index, mode, &chunk, &from));
}

/* Finds `chunk`, again when asked again, and takes all it has. */
static void expect_and_empty(struct fixture *fixture, enum page_scavenge_mode mode, uint32_t chunk,
                             uint32_t from)
{
    expect(fixture, mode, chunk, from);
    expect(fixture, mode, chunk, from);
    page_scavenge_index_set_empty(&fixture->index, BASE + chunk);
}

/* ---- fifteen patterns ----------------------------------------------------------------------- */

struct pattern {
    const char *name[2]; /* by mode */
    uint32_t first, end; /* pages from chunk BASE */
    uint32_t step;       /* marked piece by piece of so many pages; 0: at once */
    uint32_t times;
};

#define NAMES(text)                                                                                \
    {                                                                                              \
        text "_in_the_background", text "_when_forced"                                             \
    }

static struct pattern patterns[] = {
    {NAMES("nothing_is_found_where_nothing_was_freed"), 0, 0, 0, 1},
    {NAMES("one_page_is_found"), 3, 4, 0, 1},
    {NAMES("the_first_page_is_found"), 0, 1, 0, 1},
    {NAMES("several_pages_are_found"), 9, 14, 0, 1},
    {NAMES("a_whole_chunk_is_found"), 0, C, 0, 1},
    {NAMES("the_last_page_is_found"), C - 1, C, 0, 1},
    {NAMES("two_chunks_are_found"), 128, C + 128, 0, 1},
    {NAMES("two_chunks_higher_up_are_found"), 7 * C + 128, 8 * C + 129, 0, 1},
    {NAMES("seven_chunks_are_found"), 6 * C + 11, 13 * C + 15, 0, 1},
    {NAMES("thirty_two_chunks_are_found"), 0, 32 * C, 0, 1},
    {NAMES("thirty_two_chunks_higher_up_are_found"), 3 * C, 35 * C, 0, 1},
    {NAMES("chunks_marked_one_by_one_are_found"), 0, 32 * C, C, 1},
    {NAMES("a_chunk_marked_twice_is_found_once"), 0, C, 0, 2},
    {NAMES("thirty_two_chunks_marked_twice_are_found_once"), 0, 32 * C, 0, 2},
    {NAMES("chunks_higher_up_marked_twice_are_found_once"), 3 * C, 35 * C, C, 2},
};

static void mark_pattern(struct fixture *fixture, const struct pattern *pattern)
{
    for (uint32_t time = 0; time < pattern->times; time++) {
        uint32_t step = pattern->step > 0 ? pattern->step : pattern->end - pattern->first;
        for (uint32_t at = pattern->first; at < pattern->end; at += step) {
            mark(fixture, at, at + step);
        }
    }
}

static void find_pattern(struct fixture *fixture, enum page_scavenge_mode mode,
                         const struct pattern *pattern)
{
    uint32_t from = (pattern->end - 1) % C;

    for (uint32_t end = pattern->end; end > pattern->first; end = (end - 1) / C * C) {
        expect_and_empty(fixture, mode, (end - 1) / C, from);
        from = C - 1;
    }
    expect_nothing(fixture, mode);
    expect_nothing(fixture, mode);
}

static void background_finds_from_the_next_generation_on(void **state)
{
    struct fixture fixture;

    fixture_init(&fixture);
    mark_pattern(&fixture, *state);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
    page_scavenge_index_next_generation(&fixture.index);
    find_pattern(&fixture, PAGE_SCAVENGE_BACKGROUND, *state);
    page_scavenge_index_next_generation(&fixture.index);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
}

static void forced_finds_at_once(void **state)
{
    struct fixture fixture;

    fixture_init(&fixture);
    mark_pattern(&fixture, *state);
    find_pattern(&fixture, PAGE_SCAVENGE_FORCED, *state);
    page_scavenge_index_next_generation(&fixture.index);
    expect_nothing(&fixture, PAGE_SCAVENGE_FORCED);
}

/* ---- interleaved ---------------------------------------------------------------------------- */

static void forced_finds_each_chunk_as_it_is_marked(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    for (uint32_t i = 0; i < 32; i++) {
        mark(&fixture, i * C, i * C + C);
        expect_and_empty(&fixture, PAGE_SCAVENGE_FORCED, i, C - 1);
        expect_nothing(&fixture, PAGE_SCAVENGE_FORCED);
    }
}

static void background_finds_each_chunk_a_generation_after_it_is_marked(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    for (uint32_t i = 0; i < 32; i++) {
        mark(&fixture, i * C, i * C + C);
        expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
        page_scavenge_index_next_generation(&fixture.index);
        expect_and_empty(&fixture, PAGE_SCAVENGE_BACKGROUND, i, C - 1);
    }
}

static void a_free_above_a_forced_search_is_found_before_what_is_left_below(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    mark(&fixture, 2 * C, 2 * C + 9);
    mark(&fixture, 20 * C, 20 * C + 9);
    expect_and_empty(&fixture, PAGE_SCAVENGE_FORCED, 20, 8);
    expect(&fixture, PAGE_SCAVENGE_FORCED, 2, C - 1);
    mark(&fixture, 10 * C, 10 * C + 5);
    mark(&fixture, 30 * C, 30 * C + 5);
    expect_and_empty(&fixture, PAGE_SCAVENGE_FORCED, 30, 4);
    expect_and_empty(&fixture, PAGE_SCAVENGE_FORCED, 10, C - 1);
    expect_and_empty(&fixture, PAGE_SCAVENGE_FORCED, 2, C - 1);
    expect_nothing(&fixture, PAGE_SCAVENGE_FORCED);
}

static void a_free_below_the_cursor_does_not_move_it(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    mark(&fixture, 20 * C, 20 * C + 9);
    mark(&fixture, 2 * C, 2 * C + 9);
    expect_and_empty(&fixture, PAGE_SCAVENGE_FORCED, 20, 8);
    expect_and_empty(&fixture, PAGE_SCAVENGE_FORCED, 2, C - 1);
    expect_nothing(&fixture, PAGE_SCAVENGE_FORCED);
}

static void a_free_above_a_background_search_waits_for_the_next_generation(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    mark(&fixture, 5 * C, 5 * C + 9);
    page_scavenge_index_next_generation(&fixture.index);
    mark(&fixture, 5 * C + 100, 5 * C + 120);
    mark(&fixture, 9 * C, 9 * C + 1);
    expect(&fixture, PAGE_SCAVENGE_BACKGROUND, 5, 8);
    page_scavenge_index_next_generation(&fixture.index);
    expect_and_empty(&fixture, PAGE_SCAVENGE_BACKGROUND, 9, 0);
    expect_and_empty(&fixture, PAGE_SCAVENGE_BACKGROUND, 5, C - 1);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
}

static void growth_below_is_searched_too(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    mark(&fixture, 5, 6);
    page_scavenge_index_grow(&fixture.index, 1);
    page_scavenge_index_alloc(&fixture.index, 1, 4);
    page_scavenge_index_free(&fixture.index, 1, 0, 4);
    expect_and_empty(&fixture, PAGE_SCAVENGE_FORCED, 0, 5);
    uint32_t chunk, from;
    assert_true(page_scavenge_index_find(&fixture.index, PAGE_SCAVENGE_FORCED, &chunk, &from));
    assert_int_equal(chunk, 1);
}

/* ---- density -------------------------------------------------------------------------------- */

/* Chunk 1 with `in_use` pages in use, after a free, a generation ago. */
static void open_used(struct fixture *fixture, uint32_t in_use)
{
    fixture_init(fixture);
    page_scavenge_index_alloc(&fixture->index, BASE + 1, in_use + 1);
    page_scavenge_index_free(&fixture->index, BASE + 1, in_use, 1);
    page_scavenge_index_next_generation(&fixture->index);
}

static void a_chunk_of_495_pages_in_use_is_taken_in_the_background(void **state)
{
    (void)state;
    struct fixture fixture;

    open_used(&fixture, 495);
    expect(&fixture, PAGE_SCAVENGE_BACKGROUND, 1, 495);
}

static void a_chunk_of_496_pages_in_use_is_taken_by_force_only(void **state)
{
    (void)state;
    struct fixture fixture;

    open_used(&fixture, 496);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
    expect(&fixture, PAGE_SCAVENGE_FORCED, 1, 496);
}

static void a_chunk_that_was_dense_rests_for_a_generation(void **state)
{
    (void)state;
    struct fixture fixture;

    open_used(&fixture, 500);
    /* It thins out in this generation: the last one saw 500 pages in use. */
    page_scavenge_index_free(&fixture.index, BASE + 1, 100, 400);
    mark(&fixture, 40 * C, 40 * C + 1);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
    page_scavenge_index_next_generation(&fixture.index);
    expect_and_empty(&fixture, PAGE_SCAVENGE_BACKGROUND, 40, 0);
    expect(&fixture, PAGE_SCAVENGE_BACKGROUND, 1, C - 1);
}

static void a_chunk_that_was_thin_and_is_dense_now_is_left(void **state)
{
    (void)state;
    struct fixture fixture;

    open_used(&fixture, 100);
    page_scavenge_index_alloc(&fixture.index, BASE + 1, 396);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
}

static void a_full_chunk_has_nothing_even_for_force(void **state)
{
    (void)state;
    struct fixture fixture;

    open_used(&fixture, 511);
    expect(&fixture, PAGE_SCAVENGE_FORCED, 1, 511);
    page_scavenge_index_alloc(&fixture.index, BASE + 1, 1);
    expect_nothing(&fixture, PAGE_SCAVENGE_FORCED);
}

static void pages_freed_without_backing_offer_nothing(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    page_scavenge_index_alloc(&fixture.index, BASE + 1, C);
    page_scavenge_index_free_scavenged(&fixture.index, BASE + 1, C);
    expect_nothing(&fixture, PAGE_SCAVENGE_FORCED);
    page_scavenge_index_next_generation(&fixture.index);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
    assert_int_equal(page_density_unpack(fixture.chunk[BASE + 1]).in_use, 0);
}

static void a_chunk_passed_over_is_left_to_force_until_its_next_free(void **state)
{
    (void)state;
    struct fixture fixture;

    open_used(&fixture, 100);
    expect(&fixture, PAGE_SCAVENGE_BACKGROUND, 1, 100);
    page_scavenge_index_pass_over(&fixture.index, BASE + 1);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
    page_scavenge_index_next_generation(&fixture.index);
    expect_nothing(&fixture, PAGE_SCAVENGE_BACKGROUND);
    expect(&fixture, PAGE_SCAVENGE_FORCED, 1, 100);
    page_scavenge_index_free(&fixture.index, BASE + 1, 7, 1);
    page_scavenge_index_next_generation(&fixture.index);
    expect(&fixture, PAGE_SCAVENGE_BACKGROUND, 1, 7);
}

static void the_generation_may_wrap(void **state)
{
    (void)state;
    struct fixture fixture;

    fixture_init(&fixture);
    atomic_store_relaxed_u32(&fixture.index.generation, UINT32_MAX);
    mark(&fixture, 3 * C, 3 * C + 2);
    page_scavenge_index_next_generation(&fixture.index);
    assert_int_equal(atomic_load_relaxed_u32(&fixture.index.generation), 0);
    expect(&fixture, PAGE_SCAVENGE_BACKGROUND, 3, 1);
}

static void check_pack(struct page_density density)
{
    struct page_density back = page_density_unpack(page_density_pack(density));

    assert_int_equal(back.in_use, density.in_use);
    assert_int_equal(back.last_in_use, density.last_in_use);
    assert_int_equal(back.flags, density.flags);
    assert_int_equal(back.generation, density.generation);
}

static void density_words_hold_every_extreme(void **state)
{
    (void)state;
    const uint32_t all_flags = (1u << PAGE_DENSITY_FLAG_BITS) - 1;
    uint64_t random = 31;

    check_pack((struct page_density){0, 0, 0, 0});
    check_pack((struct page_density){C, 0, 0, 0});
    check_pack((struct page_density){0, C, 0, 0});
    check_pack((struct page_density){0, 0, all_flags, 0});
    check_pack((struct page_density){0, 0, 0, UINT32_MAX});
    check_pack((struct page_density){C, C, all_flags, UINT32_MAX});
    for (uint32_t i = 0; i < 1000; i++) {
        check_pack((struct page_density){
            (uint32_t)(random_u64(&random) % (C + 1)), (uint32_t)(random_u64(&random) % (C + 1)),
            (uint32_t)random_u64(&random) & all_flags, (uint32_t)random_u64(&random)});
    }
}

/* ---- a raise against a finder --------------------------------------------------------------- */

/* Wide enough for a search to be under way still when the free comes. */
#define WIDE_CHUNKS (UINT32_C(1) << 18)
#define RACES       100

/* One thread searches a wide index for each turn it is given. */
struct race {
    struct page_scavenge_index index;
    enum page_scavenge_mode mode;
    _Atomic uint32_t asked;   /* searches asked for */
    _Atomic uint32_t started; /* searches begun */
    _Atomic uint32_t ended;   /* searches done */
};

static void *search_again_and_again(void *argument)
{
    struct race *race = argument;
    uint32_t chunk, from;

    for (uint32_t turn = 1; turn <= RACES; turn++) {
        /* Acquire: pairs with the release in race_turn. */
        while (atomic_load_acquire_u32(&race->asked) < turn) {
            (void)sched_yield();
        }
        atomic_store_release_u32(&race->started, turn);
        (void)page_scavenge_index_find(&race->index, race->mode, &chunk, &from);
        atomic_store_release_u32(&race->ended, turn);
    }
    return NULL;
}

/* The highest chunk, which has nothing, is freed while a search from there is on its way down. */
static void race_turn(struct race *race, uint32_t turn, uint64_t delay)
{
    const uint32_t high = WIDE_CHUNKS - 1;

    page_scavenge_index_alloc(&race->index, high, 1);
    page_scavenge_index_free(&race->index, high, C - 1, 1);
    page_scavenge_index_set_empty(&race->index, high);
    page_scavenge_index_next_generation(&race->index);
    page_scavenge_index_alloc(&race->index, high, 1);
    atomic_store_release_u32(&race->asked, turn);
    while (atomic_load_acquire_u32(&race->started) < turn) {
        (void)sched_yield();
    }
    for (_Atomic uint64_t spent = 0; spent < delay; spent++) {
    }
    page_scavenge_index_free(&race->index, high, C - 1, 1);
    page_scavenge_index_next_generation(&race->index);
    /* Acquire: pairs with the release in search_again_and_again. */
    while (atomic_load_acquire_u32(&race->ended) < turn) {
        (void)sched_yield();
    }
}

static void race_a_free_against_a_finder(enum page_scavenge_mode mode)
{
    _Atomic uint64_t *chunk = calloc(WIDE_CHUNKS, sizeof(*chunk));
    struct race race = {.mode = mode};
    uint32_t lost = 0, found, from;
    uint64_t random = 37;
    pthread_t thread;

    assert_non_null(chunk);
    page_scavenge_index_init(&race.index, chunk);
    page_scavenge_index_grow(&race.index, 0);
    page_scavenge_index_grow(&race.index, WIDE_CHUNKS - 1);
    page_scavenge_index_alloc(&race.index, 0, 1);
    page_scavenge_index_free(&race.index, 0, 0, 1);
    assert_int_equal(pthread_create(&thread, NULL, search_again_and_again, &race), 0);
    for (uint32_t turn = 1; turn <= RACES; turn++) {
        race_turn(&race, turn, random_u64(&random) % 2000);
        bool is_found = page_scavenge_index_find(&race.index, mode, &found, &from);
        lost += !is_found || found != WIDE_CHUNKS - 1;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(lost, 0);
    free(chunk);
}

static void a_finder_on_its_way_down_does_not_undo_a_free_behind_it(void **state)
{
    (void)state;
    race_a_free_against_a_finder(PAGE_SCAVENGE_FORCED);
}

static void a_finder_on_its_way_down_does_not_undo_a_new_generation(void **state)
{
    (void)state;
    race_a_free_against_a_finder(PAGE_SCAVENGE_BACKGROUND);
}

/* ---- running -------------------------------------------------------------------------------- */

static const struct CMUnitTest single_tests[] = {
    cmocka_unit_test(forced_finds_each_chunk_as_it_is_marked),
    cmocka_unit_test(background_finds_each_chunk_a_generation_after_it_is_marked),
    cmocka_unit_test(a_free_above_a_forced_search_is_found_before_what_is_left_below),
    cmocka_unit_test(a_free_below_the_cursor_does_not_move_it),
    cmocka_unit_test(a_free_above_a_background_search_waits_for_the_next_generation),
    cmocka_unit_test(growth_below_is_searched_too),
    cmocka_unit_test(a_chunk_of_495_pages_in_use_is_taken_in_the_background),
    cmocka_unit_test(a_chunk_of_496_pages_in_use_is_taken_by_force_only),
    cmocka_unit_test(a_chunk_that_was_dense_rests_for_a_generation),
    cmocka_unit_test(a_chunk_that_was_thin_and_is_dense_now_is_left),
    cmocka_unit_test(a_full_chunk_has_nothing_even_for_force),
    cmocka_unit_test(pages_freed_without_backing_offer_nothing),
    cmocka_unit_test(a_chunk_passed_over_is_left_to_force_until_its_next_free),
    cmocka_unit_test(the_generation_may_wrap),
    cmocka_unit_test(density_words_hold_every_extreme),
    cmocka_unit_test(a_finder_on_its_way_down_does_not_undo_a_free_behind_it),
    cmocka_unit_test(a_finder_on_its_way_down_does_not_undo_a_new_generation),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int main(void)
{
    struct CMUnitTest tests[2 * COUNT(patterns) + COUNT(single_tests)];
    size_t count = 0;

    for (size_t i = 0; i < COUNT(patterns); i++) {
        tests[count++] = (struct CMUnitTest){patterns[i].name[PAGE_SCAVENGE_BACKGROUND],
                                             background_finds_from_the_next_generation_on, NULL,
                                             NULL, &patterns[i]};
        tests[count++] = (struct CMUnitTest){patterns[i].name[PAGE_SCAVENGE_FORCED],
                                             forced_finds_at_once, NULL, NULL, &patterns[i]};
    }
    memcpy(tests + count, single_tests, sizeof(single_tests));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
