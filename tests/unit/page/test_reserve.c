/*
 * What is set aside: who may have it, that nobody else can, and that the books show it.
 */
#include "unit/page/simulated_heap.h"

#include <pthread.h>

#include "unit/base/random.h"
#include "unit/os/child.h"

#define RESERVE_PAGES 16u
#define THIEVES       2u

static struct page_lane *lane;
static uint32_t owner;
static void *filler;

static int set_up(void **state)
{
    (void)heap_set_up(state);
    lane = lane_make("lane");
    owner = owner_make("test");
    page_free(lane, take_pages(lane, owner, 1));
    (void)page_heap_trim(heap);
    filler = take_from_tree(lane, owner, 256);
    return 0;
}

/* Sets pages aside, and leaves room for `page_count` more. */
static void set_aside(uint64_t reserve_pages, uint64_t page_count)
{
    assert_int_equal(page_heap_set_reserve(heap, reserve_pages << PAGE_SHIFT), QUARRY_OK);
    assert_int_equal(page_heap_set_limit(heap, heap_committed() + (page_count << PAGE_SHIFT)),
                     QUARRY_OK);
}

static uint64_t set_aside_pages(void)
{
    return heap_totals().set_aside_bytes >> PAGE_SHIFT;
}

static bool try_take(uint64_t page_count, void **ret_base)
{
    struct page_run run = page_lane_alloc(lane, owner, page_count, 1);

    *ret_base = run.base;
    return run.status == QUARRY_OK;
}

static void turn(void)
{
    os_sim_advance(&sim, PAGE_GENERATION_NS);
    page_scavenger_tick(heap);
    (void)page_scavenger_run(heap);
}

/* ---- the books ------------------------------------------------------------------------------ */

static void what_is_set_aside_is_a_state_of_the_ledger(void **state)
{
    (void)state;
    uint64_t before_bytes = heap_committed();

    assert_int_equal(set_aside_pages(), 0);
    assert_int_equal(page_heap_set_reserve(heap, Q_MIB(1) + 1), QUARRY_OK);
    assert_int_equal(heap_totals().set_aside_bytes, Q_MIB(1) + Q_KIB(4));
    assert_int_equal(heap_committed() - before_bytes, Q_MIB(1) + Q_KIB(4));
    heap_check();
    assert_int_equal(page_heap_set_reserve(heap, Q_KIB(64)), QUARRY_OK);
    assert_int_equal(heap_totals().set_aside_bytes, Q_KIB(64));
    assert_int_equal(page_heap_set_reserve(heap, 0), QUARRY_OK);
    assert_int_equal(heap_committed(), before_bytes);
    page_free(lane, filler);
}

static void more_than_half_of_the_limit_is_refused(void **state)
{
    (void)state;
    assert_int_equal(page_heap_set_reserve(heap, Q_GIB(2) + 1), QUARRY_TOO_LARGE);
    assert_int_equal(page_heap_set_reserve(heap, UINT64_MAX), QUARRY_TOO_LARGE);
    assert_int_equal(page_heap_set_reserve(heap, Q_GIB(2)), QUARRY_OK);
    heap_check();
    assert_int_equal(page_heap_set_reserve(heap, 0), QUARRY_OK);
    page_free(lane, filler);
}

static void a_reserve_that_does_not_fit_is_refused_and_the_old_one_stands(void **state)
{
    (void)state;
    set_aside(4, 2);
    assert_int_equal(page_heap_set_reserve(heap, 7 << PAGE_SHIFT), QUARRY_NO_MEMORY);
    assert_int_equal(set_aside_pages(), 4);
    assert_int_equal(page_heap_set_reserve(heap, 6 << PAGE_SHIFT), QUARRY_OK);
    assert_int_equal(set_aside_pages(), 6);
    heap_check();
    page_free(lane, filler);
}

static void a_limit_below_the_reserve_is_refused(void **state)
{
    (void)state;
    page_free(lane, filler);
    assert_int_equal(page_heap_set_reserve(heap, Q_MIB(8)), QUARRY_OK);
    assert_int_equal(page_heap_set_limit(heap, Q_MIB(8)), QUARRY_NO_MEMORY);
    assert_int_equal(page_heap_set_limit(heap, Q_MIB(16)), QUARRY_OK);
    heap_check();
}

/* ---- paying --------------------------------------------------------------------------------- */

static void threads_inside_have_it_and_others_do_not(void **state)
{
    (void)state;
    void *first, *second, *third;

    set_aside(2, 0);
    assert_false(try_take(1, &first));
    page_reserve_enter(heap);
    assert_true(try_take(1, &first));
    assert_true(try_take(1, &second));
    assert_false(try_take(1, &third)); /* used up */
    page_reserve_leave(heap);
    assert_int_equal(set_aside_pages(), 0);
    heap_check();
    page_free(lane, first);
    page_free(lane, second);
    page_free(lane, filler);
}

static void it_pays_only_what_the_budget_has_no_room_for(void **state)
{
    (void)state;
    void *base;

    set_aside(4, 3);
    page_reserve_enter(heap);
    assert_true(try_take(3, &base)); /* there was room */
    assert_int_equal(set_aside_pages(), 4);
    page_free(lane, base);
    (void)page_heap_trim(heap);
    assert_true(try_take(5, &base)); /* more than either of the two */
    page_reserve_leave(heap);
    heap_check();
    assert_true(set_aside_pages() <= 2);
    assert_true(heap_committed() <= page_commit_read(&heap->commit).limit_bytes);
    page_free(lane, base);
    page_free(lane, filler);
}

static void what_is_too_much_takes_nothing(void **state)
{
    (void)state;
    void *base;

    set_aside(4, 0);
    page_reserve_enter(heap);
    assert_false(try_take(5, &base));
    assert_int_equal(set_aside_pages(), 4);
    page_reserve_leave(heap);
    heap_check();
    page_free(lane, filler);
}

static uint64_t gives_the_filler(void *argument, uint64_t wanted_bytes)
{
    (void)argument, (void)wanted_bytes;
    if (filler == NULL) {
        return 0;
    }
    page_free(lane, filler);
    filler = NULL;
    return 256 << PAGE_SHIFT;
}

static void reclaiming_comes_before_it(void **state)
{
    (void)state;
    void *base;

    assert_int_equal(page_heap_add_reclaimer(heap, 1, gives_the_filler, NULL), QUARRY_OK);
    set_aside(4, 0);
    page_reserve_enter(heap);
    assert_true(try_take(4, &base));
    page_reserve_leave(heap);
    assert_null(filler);
    assert_int_equal(set_aside_pages(), 4);
    page_free(lane, base);
    page_heap_remove_reclaimer(heap, gives_the_filler, NULL);
}

static void being_inside_nests(void **state)
{
    (void)state;
    void *first, *second;

    set_aside(2, 0);
    page_reserve_enter(heap);
    page_reserve_enter(heap);
    page_reserve_leave(heap);
    assert_true(try_take(1, &first));
    page_reserve_leave(heap);
    assert_false(try_take(1, &second));
    page_free(lane, first);
    page_free(lane, filler);
}

static void leave_twice(void *argument)
{
    (void)argument;
    page_reserve_enter(heap);
    page_reserve_leave(heap);
    page_reserve_leave(heap);
}

static void leaving_what_was_not_entered_ends_the_program(void **state)
{
    (void)state;
    child_assert_aborts(leave_twice, NULL, "is_inside");
    page_free(lane, filler);
}

/* A thread that never left a heap that is gone is not inside its successor. */
static void a_heap_that_is_gone_is_not_entered_any_more(void **state)
{
    (void)state;
    page_reserve_enter(heap);
    page_free(lane, filler);
    heap_restart(&(struct heap_setup){0});
    lane = lane_make("lane");
    owner = owner_make("test");
    filler = take_from_tree(lane, owner, 256);
    set_aside(2, 0);
    void *base;
    assert_false(try_take(1, &base));
    page_free(lane, filler);
}

/* ---- filling up again ----------------------------------------------------------------------- */

static void it_is_filled_up_again_when_there_is_room(void **state)
{
    (void)state;
    void *base;

    set_aside(4, 0);
    page_reserve_enter(heap);
    assert_true(try_take(3, &base));
    page_reserve_leave(heap);
    turn();
    assert_int_equal(set_aside_pages(), 1); /* no room yet */
    page_free(lane, base);
    (void)page_heap_trim(heap);
    turn();
    assert_int_equal(set_aside_pages(), 4);
    heap_check();
    page_free(lane, filler);
}

static void room_for_a_part_fills_a_part(void **state)
{
    (void)state;
    void *base;

    set_aside(4, 0);
    page_reserve_enter(heap);
    assert_true(try_take(4, &base));
    page_reserve_leave(heap);
    assert_int_equal(page_heap_set_limit(heap, heap_committed() + (2 << PAGE_SHIFT)), QUARRY_OK);
    turn();
    assert_int_equal(set_aside_pages(), 2);
    heap_check();
    page_free(lane, base);
    page_free(lane, filler);
}

/* No generation passes, and nobody is inside: it is filled by the page on its way to the kernel. */
static void what_goes_back_to_the_kernel_fills_it_first(void **state)
{
    (void)state;
    void *base, *other;

    set_aside(4, 0);
    page_reserve_enter(heap);
    assert_true(try_take(3, &base));
    page_reserve_leave(heap);
    page_free(lane, base);
    (void)page_heap_trim(heap);
    assert_int_equal(set_aside_pages(), 4);
    assert_false(try_take(1, &other));
    heap_check();
    page_free(lane, filler);
}

static void leaving_fills_it_from_what_is_free(void **state)
{
    (void)state;
    void *base;

    set_aside(4, 0);
    page_reserve_enter(heap);
    assert_true(try_take(3, &base));
    assert_int_equal(page_heap_set_limit(heap, heap_committed() + (8 << PAGE_SHIFT)), QUARRY_OK);
    assert_int_equal(set_aside_pages(), 1);
    page_reserve_leave(heap);
    assert_int_equal(set_aside_pages(), 4);
    heap_check();
    page_free(lane, base);
    page_free(lane, filler);
}

static void restoring_makes_room_for_it(void **state)
{
    (void)state;
    void *base;

    set_aside(4, 0);
    page_reserve_enter(heap);
    assert_true(try_take(4, &base));
    page_reserve_leave(heap);
    page_reserve_restore(heap);
    assert_int_equal(set_aside_pages(), 0); /* nobody gives any */
    assert_int_equal(page_heap_add_reclaimer(heap, 1, gives_the_filler, NULL), QUARRY_OK);
    page_reserve_restore(heap);
    assert_null(filler);
    assert_int_equal(set_aside_pages(), 4);
    heap_check();
    page_heap_remove_reclaimer(heap, gives_the_filler, NULL);
    page_free(lane, base);
}

static void what_several_add_is_the_sum(void **state)
{
    (void)state;

    assert_int_equal(page_heap_set_reserve(heap, Q_KIB(64)), QUARRY_OK);
    assert_int_equal(page_heap_add_reserve(heap, Q_KIB(32)), QUARRY_OK);
    assert_int_equal(page_heap_add_reserve(heap, Q_KIB(16)), QUARRY_OK);
    assert_int_equal(heap_totals().set_aside_bytes, Q_KIB(112));
    assert_int_equal(page_heap_set_reserve(heap, Q_KIB(8)), QUARRY_OK); /* its own part alone */
    assert_int_equal(heap_totals().set_aside_bytes, Q_KIB(56));
    assert_int_equal(page_heap_add_reserve(heap, Q_GIB(2)), QUARRY_TOO_LARGE);
    assert_int_equal(heap_totals().set_aside_bytes, Q_KIB(56));
    page_heap_remove_reserve(heap, Q_KIB(32));
    page_heap_remove_reserve(heap, Q_KIB(16));
    assert_int_equal(heap_totals().set_aside_bytes, Q_KIB(8));
    heap_check();
    assert_int_equal(page_heap_set_reserve(heap, 0), QUARRY_OK);
    page_free(lane, filler);
}

/* ---- thieves -------------------------------------------------------------------------------- */

static _Atomic uint32_t is_over;
static _Atomic uint64_t stolen_count;

/* Takes whatever page falls free, and gives it back in a moment. */
static void *steal(void *argument)
{
    (void)argument;
    while (!atomic_load_acquire_u32(&is_over)) {
        void *base;
        if (try_take(1, &base)) {
            (void)atomic_add_relaxed_u64(&stolen_count, 1);
            page_free(lane, base);
        }
    }
    return NULL;
}

/* All that is set aside is to be had, whatever thieves do. */
static void read_through(void)
{
    void *base[RESERVE_PAGES];

    page_reserve_enter(heap);
    for (uint32_t i = 0; i < RESERVE_PAGES; i++) {
        assert_true(try_take(1, &base[i]));
    }
    page_reserve_leave(heap);
    for (uint32_t i = 0; i < RESERVE_PAGES; i++) {
        page_free(lane, base[i]);
    }
}

static void refill(void)
{
    for (uint32_t i = 0; heap_totals().set_aside_bytes < RESERVE_PAGES << PAGE_SHIFT; i++) {
        assert_true(i < 1000000);
        (void)page_heap_trim(heap);
        page_reserve_refill(heap);
    }
}

static void no_thief_gets_between_what_is_set_aside_and_its_payment(void **state)
{
    (void)state;
    pthread_t thief[THIEVES];

    set_aside(RESERVE_PAGES, 1);
    atomic_store_relaxed_u32(&is_over, 0);
    for (uint32_t i = 0; i < THIEVES; i++) {
        assert_int_equal(pthread_create(&thief[i], NULL, steal, NULL), 0);
    }
    while (atomic_load_relaxed_u64(&stolen_count) == 0) {
        os_yield();
    }
    for (uint32_t round = 0; round < 300; round++) {
        read_through();
        refill();
    }
    atomic_store_release_u32(&is_over, 1);
    for (uint32_t i = 0; i < THIEVES; i++) {
        assert_int_equal(pthread_join(thief[i], NULL), 0);
    }
    heap_check();
    page_free(lane, filler);
}

static void *read_the_ledger(void *argument)
{
    (void)argument;
    while (!atomic_load_acquire_u32(&is_over)) {
        (void)heap_totals(); /* asserts that the states fit into what is committed */
    }
    return NULL;
}

static void the_ledger_adds_up_while_the_reserve_comes_and_goes(void **state)
{
    (void)state;
    pthread_t reader;
    uint64_t seed = 7;

    set_aside(0, 64);
    atomic_store_relaxed_u32(&is_over, 0);
    assert_int_equal(pthread_create(&reader, NULL, read_the_ledger, NULL), 0);
    for (uint32_t round = 0; round < 3000; round++) {
        void *base;
        (void)page_heap_set_reserve(heap, random_u64(&seed) % 32 << PAGE_SHIFT);
        page_reserve_enter(heap);
        if (try_take(1 + random_u64(&seed) % 70, &base)) {
            page_free(lane, base);
        }
        page_reserve_leave(heap);
        (void)page_heap_trim(heap);
        page_reserve_refill(heap);
    }
    atomic_store_release_u32(&is_over, 1);
    assert_int_equal(pthread_join(reader, NULL), 0);
    heap_check();
    page_free(lane, filler);
}

/* ---- forks ---------------------------------------------------------------------------------- */

static void check_in_child(void *argument)
{
    struct page_heap *parents = argument;
    struct quarry_ledger totals;

    (void)page_heap_ledger(parents, &totals, NULL, 0);
    CHILD_CHECK(totals.set_aside_bytes == Q_MIB(1));
    CHILD_CHECK(totals.in_flight_bytes == 0);
    CHILD_CHECK(page_heap_validate(parents, NULL) == QUARRY_OK);
    CHILD_CHECK(page_heap_set_reserve(parents, 0) == QUARRY_OK);
}

static void a_child_of_fork_has_it_too(void **state)
{
    (void)state;
    struct page_heap_options options = {.limit_bytes = Q_MIB(16), .has_no_thread = true};
    struct page_heap *real;

    assert_int_equal(page_heap_create(&options, &real, NULL), QUARRY_OK);
    assert_int_equal(page_heap_set_reserve(real, Q_MIB(1)), QUARRY_OK);
    child_assert_succeeds(check_in_child, real);
    page_heap_destroy(real);
    page_free(lane, filler);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_set_aside_is_a_state_of_the_ledger),
        TEST(more_than_half_of_the_limit_is_refused),
        TEST(a_reserve_that_does_not_fit_is_refused_and_the_old_one_stands),
        TEST(a_limit_below_the_reserve_is_refused),
        TEST(threads_inside_have_it_and_others_do_not),
        TEST(it_pays_only_what_the_budget_has_no_room_for),
        TEST(what_is_too_much_takes_nothing),
        TEST(reclaiming_comes_before_it),
        TEST(being_inside_nests),
        TEST(leaving_what_was_not_entered_ends_the_program),
        TEST(a_heap_that_is_gone_is_not_entered_any_more),
        TEST(it_is_filled_up_again_when_there_is_room),
        TEST(room_for_a_part_fills_a_part),
        TEST(what_goes_back_to_the_kernel_fills_it_first),
        TEST(leaving_fills_it_from_what_is_free),
        TEST(restoring_makes_room_for_it),
        TEST(what_several_add_is_the_sum),
        TEST(no_thief_gets_between_what_is_set_aside_and_its_payment),
        TEST(the_ledger_adds_up_while_the_reserve_comes_and_goes),
        TEST(a_child_of_fork_has_it_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
